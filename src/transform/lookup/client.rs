//! Asks a lookup's service. Input: a filled-in URL. Output: the answer as Avro bytes of its type, nothing (404), or an
//! error whose reason says whose fault it is:
//!
//! | what comes back | reason |
//! |---|---|
//! | time-out, refused or broken connection, 408, 429, 5xx | `lookup_unavailable`, with the wait that a `Retry-After` asks for |
//! | a redirect, 401, 403, any other status but 200, JSON of another shape, a body over 1 MiB | `lookup_misconfigured` |
//!
//! Redirects are never followed: where an event's values go is for the configuration to say. No retries here: the
//! retry tiers do that. Errors hold the lookup's name, its origin and the status; never the rest of the URL or a body.

use super::{Bytes, LookupSpec};
use crate::config::model::HttpLookup;
use crate::error::{FatalError, Reason, RecordError};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{ACCEPT, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use std::sync::Arc;
use std::time::Duration;

/// The most that is read of an answer.
const MAX_BODY: usize = 1024 * 1024;

/// The client of one lookup. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct LookupClient {
    http: Client,
    spec: Arc<LookupSpec>,
    timeout: Duration,
}

impl LookupClient {
    /// Fails only where the system's TLS cannot be set up.
    pub fn new(spec: Arc<LookupSpec>, config: &HttpLookup) -> Result<LookupClient, FatalError> {
        let start = |what: String| FatalError::Start(format!("lookup into {}: {what}", spec.into));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value.expose());
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(start("a header that cannot be sent".to_owned()));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .default_headers(headers)
            .timeout(config.timeout)
            .user_agent(concat!("driftgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| start(format!("HTTP client: {error}")))?;
        Ok(LookupClient {
            http,
            timeout: config.timeout,
            spec,
        })
    }

    /// Asks once. `None` is a 404.
    pub async fn fetch(&self, url: &str) -> Result<Option<Bytes>, RecordError> {
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => {
                let wait = retry_after(response.headers());
                return Err(self.spec.refused(status.as_u16(), wait));
            }
        }
        let body = self.body(response).await?;
        let text = std::str::from_utf8(&body)
            .map_err(|_| self.misconfigured("the answer is not UTF-8"))?;
        self.spec.from_json(text).map(Some)
    }

    fn unavailable(&self, what: &str) -> RecordError {
        self.spec.error(Reason::LookupUnavailable, what)
    }

    fn misconfigured(&self, what: &str) -> RecordError {
        self.spec.misconfigured(what)
    }

    /// The error's own text holds the URL, so it is put in words of ours.
    fn transport(&self, error: &reqwest::Error) -> RecordError {
        if error.is_timeout() {
            return self.spec.no_answer(self.timeout);
        }
        if error.is_builder() {
            return self.misconfigured("the URL cannot be asked");
        }
        self.unavailable(match error.is_connect() {
            true => "could not connect",
            false => "the connection broke",
        })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, RecordError> {
        let too_large = || self.misconfigured("the answer is larger than 1 MiB");
        if response
            .content_length()
            .is_some_and(|length| length > MAX_BODY as u64)
        {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl LookupSpec {
    /// The error of a service that answers with this status, which is neither 200 nor 404.
    pub fn refused(&self, code: u16, retry_after: Option<Duration>) -> RecordError {
        match code {
            408 | 429 | 500..=599 => RecordError {
                retry_after,
                ..self.error(Reason::LookupUnavailable, &format!("answered {code}"))
            },
            401 | 403 => self.misconfigured(&format!("answered {code}: we are not let in")),
            300..=399 => {
                self.misconfigured(&format!("answered {code}: redirects are not followed"))
            }
            _ => self.misconfigured(&format!("answered {code}")),
        }
    }

    /// The error of a service that was waited for in vain.
    pub fn no_answer(&self, waited: Duration) -> RecordError {
        let what = format!("no answer within {waited:?}");
        self.error(Reason::LookupUnavailable, &what)
    }
}

/// `Retry-After` in seconds, or as a date: then counted from the answer's own `Date`, so that no clock has to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let until = http_date(wanted)?;
    let now = http_date(text(DATE)?)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

fn http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests;
