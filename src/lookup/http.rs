//! One lookup at an HTTP service: cache, limit and the server's state around the client.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use moka::notification::RemovalCause;

use super::Answer;
use super::limit::{Limit, NoRoom};
use super::origin::{Origin, Outcome, Refusal};
use crate::config::model::HttpLookup;
use crate::config::units::Rate;
use crate::error::{FatalError, Reason, RecordError};
use crate::metrics::{LookupMetrics, LookupResult, NotAsked};
use crate::transform::lookup::{Bytes, LookupClient, LookupSpec, Missing};

/// What an entry of the cache takes beside its URL and answer, roughly.
const ENTRY: usize = 160;

pub(super) struct Http {
    spec: Arc<LookupSpec>,
    client: LookupClient,
    origin: Arc<Origin>,
    limit: Option<Arc<Limit>>,
    rate: Option<Rate>,
    /// By URL; `None` is a 404.
    cache: Option<Cache<String, Option<Bytes>>>,
    concurrency: usize,
    metrics: LookupMetrics,
}

impl Http {
    pub(super) fn new(
        spec: Arc<LookupSpec>,
        config: &HttpLookup,
        origin: Arc<Origin>,
        limit: Option<Arc<Limit>>,
        metrics: LookupMetrics,
    ) -> Result<Http, FatalError> {
        let cache = config.cache.map(|settings| {
            let evicted = metrics.clone();
            Cache::builder()
                .max_capacity(settings.max)
                .time_to_live(settings.ttl)
                .weigher(|url: &String, answer: &Option<Bytes>| {
                    let bytes = answer.as_ref().map_or(0, |bytes| bytes.len());
                    u32::try_from(url.len() + bytes + ENTRY).unwrap_or(u32::MAX)
                })
                .eviction_listener(move |_, _, cause| {
                    if cause == RemovalCause::Size {
                        evicted.evicted();
                    }
                })
                .build()
        });
        Ok(Http {
            client: LookupClient::new(Arc::clone(&spec), config)?,
            origin,
            limit,
            rate: config.limit,
            cache,
            concurrency: config.concurrency,
            metrics,
            spec,
        })
    }

    pub(super) fn concurrency(&self) -> usize {
        self.concurrency
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Asks, unless it is known. A request that has not begun by `deadline` never does.
    pub(super) async fn ask(&self, url: &str, deadline: Instant) -> Answer {
        let found = match &self.cache {
            None => self.fetch(url, deadline).await?,
            Some(cache) => self.cached(cache, url, deadline).await?,
        };
        match found {
            Some(bytes) => Ok(Some(bytes)),
            None => self.spec.when_missing(),
        }
    }

    /// Those who ask for one URL at the same time share one request and what came of it. A failure is not kept.
    async fn cached(
        &self,
        cache: &Cache<String, Option<Bytes>>,
        url: &str,
        deadline: Instant,
    ) -> Answer {
        let has_asked = Cell::new(false);
        let ask = async {
            has_asked.set(true);
            match self.fetch(url, deadline).await {
                Ok(None) if self.spec.missing == Missing::DeadLetter => Err(self.spec.not_found()),
                answer => answer,
            }
        };
        let found = cache.try_get_with_by_ref(url, ask).await;
        match (has_asked.get(), &found) {
            (true, _) => self.metrics.cache_miss(),
            (false, Ok(_)) => self.metrics.cache_hit(),
            // Somebody else's request failed, and has been counted as his miss.
            (false, Err(_)) => {}
        }
        self.metrics
            .cache_size(cache.entry_count(), cache.weighted_size());
        found.map_err(|error: Arc<RecordError>| RecordError::clone(&error))
    }

    async fn fetch(&self, url: &str, deadline: Instant) -> Answer {
        // Nobody waits for his turn at a server that is not asked anyway.
        self.origin
            .peek()
            .map_err(|refusal| self.refused(refusal))?;
        if Instant::now() >= deadline {
            let what = "not asked: the requests before it in its batch took too long";
            return Err(self.not_asked(NotAsked::Patience, what, None));
        }
        if let Some(limit) = &self.limit {
            limit
                .turn(deadline)
                .await
                .map_err(|no_room| match no_room {
                    NoRoom::Unknown => {
                        let what = "not asked: how many members share the limit is not known yet";
                        self.not_asked(NotAsked::Limit, what, None)
                    }
                    NoRoom::Full(wait) => {
                        let what = "not asked: the limit had no room for it in time";
                        self.not_asked(NotAsked::Limit, what, wait)
                    }
                })?;
        }
        let entry = self.origin.enter(deadline).await;
        let pass = entry.map_err(|refusal| self.refused(refusal))?;
        let begun = Instant::now();
        let answer = self.client.fetch(url).await;
        let (result, outcome) = match &answer {
            Ok(Some(_)) => (LookupResult::Found, Outcome::Answered),
            Ok(None) => (LookupResult::Missing, Outcome::Answered),
            Err(error) if error.reason == Reason::LookupUnavailable => (
                LookupResult::Unavailable,
                match error.retry_after {
                    Some(wait) => Outcome::ToldToWait(&error.message, wait),
                    None => Outcome::Failed(&error.message),
                },
            ),
            Err(error) => (
                LookupResult::Misconfigured,
                Outcome::Misconfigured(&error.message),
            ),
        };
        pass.report(outcome);
        self.metrics.asked(result, begun.elapsed().as_secs_f64());
        answer
    }

    fn refused(&self, refusal: Refusal) -> RecordError {
        let why = match refusal.is_told_to_wait {
            true => NotAsked::RetryAfter,
            false => NotAsked::Breaker,
        };
        self.not_asked(why, &refusal.what, refusal.wait)
    }

    fn not_asked(&self, why: NotAsked, what: &str, wait: Option<Duration>) -> RecordError {
        self.metrics.not_asked(why);
        RecordError {
            retry_after: wait,
            ..self.spec.error(Reason::LookupUnavailable, what)
        }
    }
}
