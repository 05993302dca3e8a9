//! One POST to a webhook, and what came of it. The URL is a secret and stands in no message.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, redirect};
use serde_json::Value;

use super::incidents::Delivery;
use crate::config::model::Secret;
use crate::error::FatalError;

/// For one request, connection included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A `Retry-After` beyond this is taken for a mistake.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What came of a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) delivery: Delivery,
    /// Whether there was an answer, whatever it said.
    pub(super) is_reached: bool,
    /// Why it was not taken.
    pub(super) why: String,
    /// How long the receiver wants to be left alone.
    pub(super) wait: Option<Duration>,
}

impl Answer {
    fn new(delivery: Delivery, why: impl Into<String>) -> Answer {
        Answer {
            delivery,
            is_reached: false,
            why: why.into(),
            wait: None,
        }
    }
}

pub(super) fn client() -> Result<Client, FatalError> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("driftgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| FatalError::Start(format!("alerts: HTTP client: {error}")))
}

/// Posts a body.
pub(super) async fn post(http: &Client, webhook: &Secret, body: &Value) -> Answer {
    match http.post(webhook.expose()).json(body).send().await {
        Ok(answer) if answer.status().is_success() => Answer {
            is_reached: true,
            ..Answer::new(Delivery::Taken, "")
        },
        Ok(answer) => {
            let status = answer.status().as_u16();
            let seconds = answer.headers().get(RETRY_AFTER);
            let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
            Answer {
                is_reached: true,
                wait: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
                ..Answer::new(Delivery::Refused, format!("it answered HTTP {status}"))
            }
        }
        Err(error) if error.is_connect() => Answer::new(Delivery::Refused, "it cannot be reached"),
        Err(error) if error.is_timeout() => {
            Answer::new(Delivery::Unknown, format!("no answer within {TIMEOUT:?}"))
        }
        Err(error) if error.is_builder() => {
            Answer::new(Delivery::Refused, "its URL cannot be used")
        }
        Err(_) => Answer::new(Delivery::Unknown, "it broke the connection off"),
    }
}

/// The wait before a webhook that failed so many times in a row is tried again: a second, doubling to a minute, and no
/// less than it asked for.
pub(super) fn backoff(failures: u32, asked: Option<Duration>) -> Duration {
    let wait = Duration::from_secs(1u64 << failures.saturating_sub(1).min(10));
    wait.min(LONGEST_BACKOFF).max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_honour_what_was_asked() {
        let secs = Duration::from_secs;
        assert_eq!(backoff(1, None), secs(1));
        assert_eq!(backoff(3, None), secs(4));
        assert_eq!(backoff(u32::MAX, None), secs(60));
        assert_eq!(backoff(1, Some(secs(30))), secs(30));
        assert_eq!(backoff(20, Some(secs(30))), secs(60));
    }
}
