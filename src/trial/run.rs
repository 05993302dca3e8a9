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
use crate::error::FatalError;
use crate::failure::envelope::Origin;
use crate::transform::LookupClient;
use crate::transform::lookup::{Script, Scripted};

/// How a case went.
#[derive(Debug)]
pub enum Ran {
    /// The record came to its end.
    Through {
        /// Its fate.
        fate: Fate,
        /// URLs that the pipeline asked, and that the case has no answer for.
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
    let lookups = setup.compiled.transform.lookups().iter();
    let clients = lookups.map(|spec| LookupClient::scripted(spec, script.clone()));
    let trial = Trial::new(
        Arc::clone(&setup.compiled),
        clients.collect::<Result<_, _>>()?,
        Arc::clone(&setup.schemas),
        runtime.clone(),
    );
    let (done, wait) = sync_channel(1);
    let work = move || {
        let record = given.record();
        let try_it = || trial.run(record.topic, &record, &Origin::of_source(&record), true);
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

fn script(answers: Vec<(String, Canned)>, unanswered: Arc<Mutex<Vec<String>>>) -> Script {
    Script::new(move |url| {
        let from_path = Url::parse(url).map(|url| url[Position::BeforePath..].to_owned());
        let from_path = from_path.unwrap_or_default();
        let mut answers = answers.iter();
        match answers.find(|(of, _)| of == url || *of == from_path) {
            Some((_, Canned::Status(status))) => Scripted::Status(*status, String::new()),
            Some((_, Canned::Body(body))) => Scripted::Status(200, body.clone()),
            Some((_, Canned::Timeout)) => Scripted::Timeout,
            None => {
                let mut unanswered = unanswered
                    .lock()
                    .expect("no code panics while it holds this");
                unanswered.push(url.to_owned());
                Scripted::Timeout
            }
        }
    })
}
