//! Alerts: what somebody has to look at, told to the webhooks of a pipeline. Input: an [`Alert`]. Output: a POST with a
//! JSON object. Holds no payload, never holds up a record, and gives up after three tries: the log and the metrics
//! have said it already.

use std::time::Duration;

use reqwest::{Client, redirect};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::config::model::{Pipeline, Secret};
use crate::error::FatalError;

/// Alerts that may wait; beyond them the oldest news is worth more than the newest.
const WAITING: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;

/// What is told.
#[derive(Debug, Clone, Serialize)]
pub struct Alert {
    /// What it is about: `drift`.
    pub kind: &'static str,
    /// Pipeline.
    pub pipeline: String,
    /// Its owner.
    pub owner: String,
    /// Source topic.
    pub topic: String,
    /// In one sentence.
    pub text: String,
    /// What belongs to the kind.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The way to a pipeline's webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    queue: Option<mpsc::Sender<Alert>>,
}

impl Alerts {
    /// Starts the task that tells the pipeline's webhooks, if it has any. The task ends with the last clone.
    pub fn start(pipeline: &Pipeline, runtime: &Handle) -> Result<Alerts, FatalError> {
        if pipeline.alerts.is_empty() {
            return Ok(Alerts { queue: None });
        }
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("driftgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| FatalError::Start(format!("alerts: HTTP client: {error}")))?;
        let (queue, waiting) = mpsc::channel(WAITING);
        runtime.spawn(tell(
            http,
            pipeline.name.clone(),
            pipeline.alerts.clone(),
            waiting,
        ));
        Ok(Alerts { queue: Some(queue) })
    }

    /// Hands an alert over and returns at once.
    pub fn send(&self, alert: Alert) {
        if let Some(queue) = &self.queue
            && queue.try_send(alert).is_err()
        {
            tracing::warn!("an alert was dropped: {WAITING} are waiting for their webhook");
        }
    }
}

async fn tell(
    http: Client,
    pipeline: String,
    hooks: Vec<Secret>,
    mut waiting: mpsc::Receiver<Alert>,
) {
    while let Some(alert) = waiting.recv().await {
        let body = serde_json::to_string(&alert).expect("texts and numbers");
        for (number, hook) in hooks.iter().enumerate() {
            if let Err(why) = post(&http, hook, &body).await {
                let number = number + 1;
                tracing::warn!(
                    pipeline,
                    "alert: webhook {number} did not take it after {TRIES} tries: {why}"
                );
            }
        }
    }
}

/// The URL is a secret and stands in no message.
async fn post(http: &Client, hook: &Secret, body: &str) -> Result<(), String> {
    let mut tries = 0;
    loop {
        tries += 1;
        let request = http
            .post(hook.expose())
            .header("content-type", "application/json");
        let why = match request.body(body.to_owned()).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("it answered HTTP {}", answer.status().as_u16()),
            Err(error) if error.is_timeout() => format!("no answer within {TIMEOUT:?}"),
            Err(_) => "it cannot be reached".to_owned(),
        };
        if tries == TRIES {
            return Err(why);
        }
        tokio::time::sleep(Duration::from_secs(u64::from(tries))).await;
    }
}
