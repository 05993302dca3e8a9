//! A lookup whose service is played: each URL has its answer, and nobody is asked. What the answer comes to is decided
//! as for a service that is there.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::{LookupClient, LookupSpec};
use crate::contract::value::Value;
use crate::error::{FatalError, Reason, RecordError};

/// What a played service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scripted {
    /// A status and a body.
    Status(u16, String),
    /// Nothing, in time.
    Timeout,
}

/// The answer for each URL.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&str) -> Scripted + Send + Sync>);

impl Script {
    /// From a function of the URL.
    pub fn new(answer: impl Fn(&str) -> Scripted + Send + Sync + 'static) -> Script {
        Script(Arc::new(answer))
    }
}

impl Deref for Script {
    type Target = dyn Fn(&str) -> Scripted + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl LookupClient {
    /// A client that takes its answers from a script.
    pub fn scripted(spec: &LookupSpec, script: Script) -> Result<LookupClient, FatalError> {
        let mut client = LookupClient::new(spec)?;
        client.script = Some(script);
        Ok(client)
    }

    pub(super) fn scripted_answer(&self, answer: Scripted) -> Result<Option<Value>, RecordError> {
        let (status, body) = match answer {
            Scripted::Status(status, body) => (status, body),
            Scripted::Timeout => {
                let waited = self.spec.timeout;
                return Err(self.unavailable(&format!("no answer within {waited:?}")));
            }
        };
        let status = StatusCode::from_u16(status).map_err(|_| {
            self.spec.error(
                Reason::LookupMisconfigured,
                "answered with no status of HTTP",
            )
        })?;
        match status {
            StatusCode::OK => self.decode(body.as_bytes()).map(Some),
            StatusCode::NOT_FOUND => self.missing(),
            _ => Err(self.refused(status, &HeaderMap::new())),
        }
    }
}
