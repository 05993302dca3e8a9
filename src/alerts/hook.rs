//! The task of one webhook: looks at the state once a second, takes events, and posts one notice at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Watched;
use super::condition::{About, Condition};
use super::deliver::{Answer, backoff, client, post};
use super::incidents::{Delivery, Incidents, Now, Ticket};
use super::notice::{From, Notice};
use super::render;
use super::signs::{Concern, signs};
use super::window::Window;
use crate::config::diagnose;
use crate::config::model::{Alert, AlertKind};
use crate::error::FatalError;
use crate::metrics::AlertMetrics;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// While a webhook fails, the log says so this often.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// Something that happened, as it is sent to every webhook of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// What it is known by, so that it is told once.
    pub(super) name: String,
    pub(super) notice: Notice,
}

type Post = Pin<Box<dyn Future<Output = (Ticket, AlertKind, Answer)> + Send>>;

/// One webhook.
pub(super) struct Hook {
    number: usize,
    alert: Alert,
    from: From,
    concern: Concern,
    when: Option<Condition>,
    /// Whether the log says that the condition cannot be evaluated.
    said_unknown: bool,
    watched: Watched,
    http: Client,
    metrics: AlertMetrics,
    incidents: Incidents,
    window: Window,
    began: Instant,
    /// In a row.
    failures: u32,
    not_before: Instant,
    said: Option<Instant>,
    is_leaving: bool,
}

impl Hook {
    pub(super) fn new(
        number: usize,
        alert: &Alert,
        from: From,
        concern: Concern,
        watched: Watched,
    ) -> Result<Hook, FatalError> {
        let kinds: Vec<_> = alert.kinds.iter().map(|kind| kind.as_str()).collect();
        let when = alert.when.as_ref().map(Condition::compile).transpose();
        let when = when.map_err(|faults| FatalError::Contract(diagnose::render(&faults, false)))?;
        let now = Instant::now();
        Ok(Hook {
            number,
            http: client()?,
            metrics: watched.metrics.alert(&from.pipeline, number, &kinds),
            incidents: Incidents::new(alert.after, alert.remind_every),
            window: Window::new(alert.dead_letters_above),
            alert: alert.clone(),
            from,
            concern,
            when,
            said_unknown: false,
            watched,
            began: now,
            failures: 0,
            not_before: now,
            said: None,
            is_leaving: false,
        })
    }

    /// Runs until `end`, and then for as long as something waits that has not been refused since.
    pub(super) async fn run(mut self, mut events: Receiver<Event>, end: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let shutdown = self.watched.shutdown.clone();
        let mut under_way: Option<Post> = None;
        let mut has_events = true;
        let mut had_last_chance = false;
        loop {
            // Once more, also for a receiver that was being left alone.
            if end.is_cancelled() && !std::mem::replace(&mut had_last_chance, true) {
                self.failures = 0;
                self.not_before = Instant::now();
            }
            if under_way.is_none() && Instant::now() >= self.not_before {
                under_way = self.post_next();
            }
            self.metrics.waiting(self.incidents.waiting(self.now()));
            if end.is_cancelled() && under_way.is_none() && events.is_empty() && self.is_done() {
                return;
            }
            tokio::select! {
                biased;
                (ticket, kind, answer) = ended(&mut under_way) => {
                    under_way = None;
                    self.answered(&ticket, kind, &answer);
                }
                event = events.recv(), if has_events => match event {
                    Ok(event) => self.happened(event),
                    Err(RecvError::Lagged(missed)) => self.dropped(missed),
                    Err(RecvError::Closed) => has_events = false,
                },
                // What the partitions that are given back now would look like is no news of them.
                () = shutdown.cancelled(), if !self.is_leaving => {
                    self.is_leaving = true;
                    self.incidents.leave();
                }
                () = end.cancelled(), if !end.is_cancelled() => {}
                () = tokio::time::sleep_until(self.not_before), if self.waits() => {}
                _ = looks.tick() => {
                    if !self.is_leaving {
                        self.look();
                    }
                }
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            wall: (self.watched.wall)(),
            at: self.began.elapsed(),
        }
    }

    fn waits(&self) -> bool {
        Instant::now() < self.not_before
    }

    /// Whether nothing waits, or what waits would have to wait on for a receiver that does not take it.
    fn is_done(&self) -> bool {
        self.failures > 0 || self.incidents.waiting(self.now()) == 0
    }

    fn look(&mut self) {
        let now = self.now();
        let pipeline = self.from.pipeline.clone();
        let faults = self.watched.health.faults(&pipeline);
        let too_many = match self.alert.kinds.contains(&AlertKind::DeadLetters) {
            true => {
                let counts = self.watched.metrics.dead_letters(&pipeline);
                self.window.look(now.at, counts)
            }
            false => None,
        };
        let too_many = too_many.map(|found| (self.alert.dead_letters_above, found));
        let mut signs = signs(&self.concern, &faults, too_many, now.wall);
        signs.retain(|sign| {
            let kind = sign.key.0;
            let is_told = self.alert.kinds.contains(&kind) && self.concerns(&About::sign(sign));
            if !is_told && kind == AlertKind::DeadLetters {
                self.window.untold();
            }
            is_told
        });
        let metrics = Arc::clone(&self.watched.metrics);
        let owns =
            |place: &super::notice::Place| metrics.owns(&pipeline, &place.topic, place.partition);
        self.incidents.look(now, signs, &owns);
    }

    fn happened(&mut self, event: Event) {
        if self.alert.kinds.contains(&event.notice.kind)
            && self.concerns(&About::event(&event.notice))
            && !self.incidents.happened(event.name, event.notice)
        {
            self.dropped(1);
        }
    }

    /// Whether `when` is true of it. Where that cannot be told it is: an alert too many is better than one too few.
    fn concerns(&mut self, about: &About<'_>) -> bool {
        let Some(when) = &self.when else {
            return true;
        };
        when.holds(about).unwrap_or_else(|error| {
            if !std::mem::replace(&mut self.said_unknown, true) {
                tracing::warn!(
                    pipeline = self.from.pipeline,
                    webhook = self.number,
                    "`when` of a webhook cannot be evaluated and counts as true: {error}"
                );
            }
            true
        })
    }

    fn dropped(&self, count: u64) {
        tracing::warn!(
            pipeline = self.from.pipeline,
            webhook = self.number,
            count,
            "alerts of events were dropped, the oldest first: too many wait for the webhook; the log has them"
        );
    }

    fn post_next(&mut self) -> Option<Post> {
        let (ticket, notice) = self.incidents.next(self.now())?;
        let body = render::body(self.alert.format, &self.from, &notice);
        let (http, webhook) = (self.http.clone(), self.alert.webhook.clone());
        let kind = notice.kind;
        Some(Box::pin(async move {
            let answer = post(&http, &webhook, &body).await;
            (ticket, kind, answer)
        }))
    }

    fn answered(&mut self, ticket: &Ticket, kind: AlertKind, answer: &Answer) {
        let (pipeline, webhook) = (&self.from.pipeline, self.number);
        let is_taken = answer.delivery == Delivery::Taken;
        self.metrics.sent(kind.as_str(), is_taken);
        self.incidents.told(ticket, answer.delivery, self.now());
        if is_taken {
            if std::mem::take(&mut self.failures) > 0 {
                tracing::info!(pipeline, webhook, "the webhook takes alerts again");
            }
            self.said = None;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now() + backoff(self.failures, answer.wait);
        if self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            tracing::warn!(
                pipeline,
                webhook,
                kind = kind.as_str(),
                "an alert was not taken by its webhook: {}; it is tried again until it is",
                answer.why
            );
        }
    }
}

/// The end of the request under way; never, without one.
async fn ended(under_way: &mut Option<Post>) -> (Ticket, AlertKind, Answer) {
    match under_way {
        Some(post) => post.await,
        None => std::future::pending().await,
    }
}
