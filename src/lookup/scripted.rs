//! A lookup that is played: each question has its answer in a script, and nobody is asked. What an answer comes to is
//! decided as for a service or a table that is there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Answer;
use crate::config::model::LookupSource;
use crate::error::Reason;
use crate::transform::lookup::LookupSpec;

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scripted {
    /// A status of HTTP and a body. Of a table, 200 is a row and 404 no such key.
    Status {
        /// The status.
        code: u16,
        /// The body, JSON of the lookup's type.
        body: String,
        /// `Retry-After`
        retry_after: Option<Duration>,
    },
    /// Nothing, in time. A table is not loaded then.
    Timeout,
}

/// The answer for each question of a lookup.
#[derive(Clone)]
pub struct Script(Arc<Answers>);

type Answers = dyn Fn(&LookupSpec, &str) -> Scripted + Send + Sync;

impl Script {
    /// From a function of the lookup and its URL or key.
    pub fn new(answer: impl Fn(&LookupSpec, &str) -> Scripted + Send + Sync + 'static) -> Script {
        Script(Arc::new(answer))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

pub(super) struct Played {
    pub(super) spec: Arc<LookupSpec>,
    pub(super) script: Script,
}

impl Played {
    pub(super) fn ask(&self, what: &str) -> Answer {
        let spec = &self.spec;
        let Script(script) = &self.script;
        match (script(spec, what), &spec.from) {
            (
                Scripted::Status {
                    code: 200, body, ..
                },
                _,
            ) => spec.from_json(&body).map(Some),
            (Scripted::Status { code: 404, .. }, _) => spec.when_missing(),
            (
                Scripted::Status {
                    code, retry_after, ..
                },
                LookupSource::Http(_),
            ) => Err(spec.refused(code, retry_after)),
            (Scripted::Status { code, .. }, LookupSource::Topic(_)) => {
                let what = format!("a table has a key or not, and never answers {code}");
                Err(spec.error(Reason::LookupMisconfigured, &what))
            }
            (Scripted::Timeout, LookupSource::Http(config)) => Err(spec.no_answer(config.timeout)),
            (Scripted::Timeout, LookupSource::Topic(_)) => {
                Err(spec.error(Reason::LookupNotLoaded, "the table is being loaded"))
            }
        }
    }
}
