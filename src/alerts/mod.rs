//! Alerts: tells the webhooks of a pipeline what somebody has to look at, and when it is over. Input: the state that the
//! rest of the program writes anyway (`health`, `metrics`), looked at once a second, and events. Output: POSTs. Workers do
//! nothing for it, so a webhook that hangs holds up nobody. It knows no payload and decides nothing about records.
//!
//! `signs` makes causes of the state, `window` counts dead letters, `condition` is a webhook's `when`, `incidents` keeps what is open and what each receiver
//! knows, `render` writes the body, `hook` is the task of one webhook and `deliver` its request. All but the last two are
//! pure.

mod condition;
mod deliver;
mod hook;
mod incidents;
mod notice;
mod render;
mod signs;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::model::{AlertFormat, AlertKind, Config, Pipeline};
use crate::error::FatalError;
use crate::health::Health;
use crate::metrics::Metrics;
pub use condition::faults as condition_faults;
use hook::{Event, Hook};
use incidents::Delivery;
use notice::{From, Notice, State, bounded};
use signs::Concern;

/// Events on their way to the webhooks' tasks, which take them at once.
const EVENTS: usize = 256;
/// What a stop may take longer for alerts that have not been told yet.
const LAST_CHANCE: Duration = Duration::from_secs(3);

/// What is watched, and how.
#[derive(Clone)]
pub struct Watched {
    /// The state of the instance.
    pub health: Arc<Health>,
    /// Its counters.
    pub metrics: Arc<Metrics>,
    /// The instance's name, for people.
    pub instance: String,
    /// The wall clock: milliseconds since the epoch.
    pub wall: fn() -> i64,
    /// When the instance stops: what is seen from then on is no news.
    pub shutdown: CancellationToken,
}

/// The webhooks of an instance.
pub struct Alerts {
    pipelines: BTreeMap<String, broadcast::Sender<Event>>,
    tasks: JoinSet<()>,
    end: CancellationToken,
    wall: fn() -> i64,
}

/// The way to the webhooks of one pipeline, for what happens rather than lasts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Teller {
    events: Option<broadcast::Sender<Event>>,
    wall: fn() -> i64,
}

/// A writer schema that drifted.
#[derive(Debug, Clone)]
pub struct Drifted<'a> {
    /// Source topic.
    pub topic: &'a str,
    /// The schema's id.
    pub schema_id: u32,
    /// What is done about it: `warn`, `quarantine`, `halt`.
    pub action: &'static str,
    /// In one sentence.
    pub text: String,
    /// For programs.
    pub details: Map<String, Value>,
}

impl Alerts {
    /// Starts a task for each webhook of the configuration.
    pub fn start(
        config: &Config,
        watched: &Watched,
        runtime: &Handle,
    ) -> Result<Alerts, FatalError> {
        let mut alerts = Alerts {
            pipelines: BTreeMap::new(),
            tasks: JoinSet::new(),
            end: CancellationToken::new(),
            wall: watched.wall,
        };
        for pipeline in config.pipelines.iter().filter(|one| !one.alerts.is_empty()) {
            let (events, _) = broadcast::channel(EVENTS);
            let from = from(config, pipeline, &watched.instance);
            for (index, alert) in pipeline.alerts.iter().enumerate() {
                let concern = Concern::of(pipeline);
                let hook = Hook::new(index + 1, alert, from.clone(), concern, watched.clone())?;
                let run = hook.run(events.subscribe(), alerts.end.clone());
                alerts.tasks.spawn_on(run, runtime);
            }
            alerts.pipelines.insert(pipeline.name.clone(), events);
        }
        Ok(alerts)
    }

    /// What tells the webhooks of a pipeline.
    pub fn teller(&self, pipeline: &str) -> Teller {
        Teller {
            events: self.pipelines.get(pipeline).cloned(),
            wall: self.wall,
        }
    }

    /// Gives what has not been told yet a last chance. With an error, the instance ended by it, and that is told too.
    pub async fn finish(mut self, error: Option<&FatalError>) {
        if let Some(error) = error {
            for pipeline in self.pipelines.keys() {
                self.teller(pipeline).stopped(error);
            }
        }
        self.end.cancel();
        let done = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_CHANCE, done).await.is_err() {
            tracing::warn!("alerts: not everything was taken by its webhook before the end");
        }
    }
}

impl Teller {
    /// A writer schema drifted, and the policy does not allow it. Returns at once.
    pub fn drifted(&self, drifted: Drifted<'_>) {
        let Drifted {
            topic,
            schema_id,
            action,
            text,
            details,
        } = drifted;
        let subject = format!("{topic}/{schema_id}");
        let notice = Notice {
            topic: Some(topic.to_owned()),
            details,
            ..self.event(AlertKind::Drift, &subject, action, &text)
        };
        self.send(subject, notice);
    }

    fn stopped(&self, error: &FatalError) {
        let text = "the instance has ended with an error";
        let notice = Notice {
            detail: bounded(&error.to_string()),
            ..self.event(AlertKind::Stopped, "", "stopped", text)
        };
        self.send("stopped".to_owned(), notice);
    }

    fn event(&self, kind: AlertKind, subject: &str, reason: &str, text: &str) -> Notice {
        let now = (self.wall)();
        Notice {
            state: State::Event,
            ..Notice::plain(kind, subject, reason, text, now)
        }
    }

    fn send(&self, name: String, notice: Notice) {
        if let Some(events) = &self.events {
            // An error says that every task has ended, as after a shutdown.
            drop(events.send(Event { name, notice }));
        }
    }
}

/// Who tells it.
fn from(config: &Config, pipeline: &Pipeline, instance: &str) -> From {
    let url = config.admin.public_url.as_ref();
    From {
        pipeline: pipeline.name.clone(),
        owner: pipeline.owner.clone(),
        instance: instance.to_owned(),
        link: url.map(|url| format!("{url}/?pipeline={}", pipeline.name)),
    }
}

/// What became of a test alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Pipeline.
    pub pipeline: String,
    /// The webhook's number in its `alerts`, from 1.
    pub webhook: usize,
    /// What it was sent.
    pub format: AlertFormat,
    /// Whether it answered at all.
    pub is_reached: bool,
    /// Why it did not take the alert; `None` if it did.
    pub refusal: Option<String>,
}

/// Sends a test alert to a webhook of a pipeline, by its number from 1, once.
pub async fn try_out(
    config: &Config,
    pipeline: &Pipeline,
    webhook: usize,
    instance: &str,
    now: i64,
) -> Result<Tried, FatalError> {
    let alert = &pipeline.alerts[webhook - 1];
    let text = "this is a test; nothing is wrong";
    let notice = Notice {
        state: State::Test,
        ..Notice::plain(AlertKind::Paused, "", "test", text, now)
    };
    let body = render::body(alert.format, &from(config, pipeline, instance), &notice);
    let answer = deliver::post(&deliver::client()?, &alert.webhook, &body).await;
    Ok(Tried {
        pipeline: pipeline.name.clone(),
        webhook,
        format: alert.format,
        is_reached: answer.is_reached,
        refusal: (answer.delivery != Delivery::Taken).then_some(answer.why),
    })
}
