//! One case, on a thread of its own, for no longer than it may take.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::subscriber::NoSubscriber;
use url::{Position, Url};

use super::given::GivenRecord;
use super::setup::Setup;
use super::{Fate, Trial};
use crate::config::cases::{Canned, Case};
use crate::config::model::LookupSource;
use crate::error::FatalError;
use crate::failure::envelope::Origin;
use crate::lookup::{Lookups, Script, Scripted};

/// How a case went.
#[derive(Debug)]
pub enum Ran {
    /// The record came to its end.
    Through {
        /// Its fate.
        fate: Fate,
        /// What lookups asked, and that the case has no answer for.
        unanswered: Vec<String>,
    },
    /// It did not, in this time. Its thread is left behind.
    TimedOut(Duration),
    /// The pipeline panicked.
    Panicked,
}

/// Runs the record of a case, whose lookups are answered as it says.
pub fn run(
    setup: &Setup,
    case: &Case,
    given: GivenRecord,
    timeout: Duration,
    runtime: &tokio::runtime::Handle,
) -> Result<Ran, FatalError> {
    let unanswered = Arc::new(Mutex::new(Vec::new()));
    let script = script(case.lookups.clone(), Arc::clone(&unanswered));
    let lookups = setup.compiled.transform.lookups();
    let lookups = Lookups::scripted(lookups, &script, runtime.clone());
    let trial = Trial::new(
        Arc::clone(&setup.compiled),
        Arc::new(lookups),
        Arc::clone(&setup.schemas),
    );
    let (done, wait) = sync_channel(1);
    let work = move || {
        let record = given.record();
        let try_it = || {
            let origin = Origin::of_source(&record);
            trial.run(record.topic, &record, &origin, true).fate
        };
        // What is logged of a record is expected here, or told as a difference.
        let fate = tracing::subscriber::with_default(NoSubscriber::default(), try_it);
        // Nobody waits any longer for one that comes too late.
        drop(done.try_send(fate));
    };
    let thread = std::thread::Builder::new().name("case".to_owned());
    thread
        .spawn(work)
        .map_err(|error| FatalError::Start(format!("a thread for a case: {error}")))?;
    Ok(match wait.recv_timeout(timeout) {
        Ok(fate) => {
            let mut unanswered = unanswered
                .lock()
                .expect("no code panics while it holds this");
            Ran::Through {
                fate,
                unanswered: std::mem::take(&mut unanswered),
            }
        }
        Err(RecvTimeoutError::Timeout) => Ran::TimedOut(timeout),
        Err(RecvTimeoutError::Disconnected) => Ran::Panicked,
    })
}

/// An answer's name is the URL, its part from the path on, or the topic of a table and the key: `customers/C-1`.
fn script(answers: Vec<(String, Canned)>, unanswered: Arc<Mutex<Vec<String>>>) -> Script {
    let status = |code, body: &str, retry_after| Scripted::Status {
        code,
        body: body.to_owned(),
        retry_after,
    };
    Script::new(move |spec, what| {
        let names = match &spec.from {
            LookupSource::Http(_) => {
                let url = Url::parse(what);
                let from_path = url.map(|url| url[Position::BeforePath..].to_owned());
                [what.to_owned(), from_path.unwrap_or_default()]
            }
            LookupSource::Topic(config) => {
                let row = format!("{}/{what}", config.topic);
                [row.clone(), row]
            }
        };
        let mut answers = answers.iter();
        match answers.find(|(of, _)| names.contains(of)) {
            Some((_, Canned::Status(code, wait))) => status(*code, "", *wait),
            Some((_, Canned::Body(body))) => status(200, body, None),
            Some((_, Canned::Timeout)) => Scripted::Timeout,
            None => {
                let mut unanswered = unanswered
                    .lock()
                    .expect("no code panics while it holds this");
                let [name, _] = names;
                if !unanswered.contains(&name) {
                    unanswered.push(name);
                }
                Scripted::Timeout
            }
        }
    })
}
