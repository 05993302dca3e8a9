//! Asks a lookup's service. Input: a filled-in URL. Output: the answer as a value, nothing (404), or an error whose
//! reason says whose fault it is:
//!
//! | what comes back | reason |
//! |---|---|
//! | time-out, refused or broken connection, 408, 429, 5xx | `lookup_unavailable`, with the wait that a `Retry-After` asks for |
//! | 404, with `on_missing: dead_letter` | `lookup_not_found` |
//! | a redirect, 401, 403, any other status but 200, JSON of another shape, a body over 1 MiB | `lookup_misconfigured` |
//!
//! Redirects are never followed: where an event's values go is for the configuration to say. No retries here: the
//! retry tiers do that. Errors hold the lookup's name, its origin and the status; never the rest of the URL or a body.

use super::LookupSpec;
use super::scripted::Script;
use crate::config::model::OnMissing;
use crate::contract::json::{FromJson, Unknown};
use crate::contract::value::Value;
use crate::error::{FatalError, Reason, RecordError};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{ACCEPT, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use std::time::Duration;

/// The most that is read of an answer.
const MAX_BODY: usize = 1024 * 1024;

/// The client of one lookup. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct LookupClient {
    http: Client,
    pub(super) spec: LookupSpec,
    pub(super) script: Option<Script>,
}

impl LookupClient {
    /// Fails only where the system's TLS cannot be set up.
    pub fn new(spec: &LookupSpec) -> Result<LookupClient, FatalError> {
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(spec.timeout)
            .user_agent(concat!("driftgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                FatalError::Start(format!("lookup into {}: HTTP client: {error}", spec.into))
            })?;
        Ok(LookupClient {
            http,
            spec: spec.clone(),
            script: None,
        })
    }

    /// Asks once. `None` is a 404 that `on_missing: null` allows.
    pub async fn fetch(&self, url: &str) -> Result<Option<Value>, RecordError> {
        if let Some(script) = &self.script {
            return self.scripted_answer(script(url));
        }
        let request = self.http.get(url).header(ACCEPT, "application/json");
        let response = request
            .send()
            .await
            .map_err(|error| self.transport(&error))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return self.missing(),
            _ => return Err(self.refused(status, response.headers())),
        }
        let body = self.body(response).await?;
        self.decode(&body).map(Some)
    }

    pub(super) fn missing(&self) -> Result<Option<Value>, RecordError> {
        match self.spec.on_missing {
            OnMissing::Null => Ok(None),
            OnMissing::DeadLetter => Err(self.spec.not_found()),
        }
    }

    pub(super) fn unavailable(&self, what: &str) -> RecordError {
        self.spec.error(Reason::LookupUnavailable, what)
    }

    fn misconfigured(&self, what: &str) -> RecordError {
        self.spec.error(Reason::LookupMisconfigured, what)
    }

    /// The error's own text holds the URL, so it is put in words of ours.
    fn transport(&self, error: &reqwest::Error) -> RecordError {
        if error.is_timeout() {
            let waited = self.spec.timeout;
            return self.unavailable(&format!("no answer within {waited:?}"));
        }
        if error.is_builder() {
            return self.misconfigured("the URL cannot be asked");
        }
        self.unavailable(match error.is_connect() {
            true => "could not connect",
            false => "the connection broke",
        })
    }

    pub(super) fn refused(&self, status: StatusCode, headers: &HeaderMap) -> RecordError {
        let code = status.as_u16();
        let transient = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        if transient {
            return RecordError {
                retry_after: retry_after(headers),
                ..self.unavailable(&format!("answered {code}"))
            };
        }
        self.misconfigured(&match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("answered {code}: we are not let in")
            }
            _ if status.is_redirection() => {
                format!("answered {code}: redirects are not followed")
            }
            _ => format!("answered {code}"),
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

    pub(super) fn decode(&self, body: &[u8]) -> Result<Value, RecordError> {
        let text =
            std::str::from_utf8(body).map_err(|_| self.misconfigured("the answer is not UTF-8"))?;
        let reader = FromJson {
            unknown_fields: Unknown::Allow,
        };
        let answer = &self.spec.answer;
        reader.text(answer, answer.root, text).map_err(|error| {
            let what = format!("the answer is not of its declared type: {}", error.message);
            let path = match error.path.as_str() {
                "" => self.spec.into.clone(),
                path => format!("{}.{path}", self.spec.into),
            };
            self.misconfigured(&what).at(path)
        })
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
