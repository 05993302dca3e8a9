//! One order: the record of the control topic, both ways. Pure.

use serde::{Deserialize, Serialize};

/// The layout of the values that are written here.
const LAYOUT: u32 = 1;

/// What an order is about: the record's key, of which the topic keeps the newest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `flow/<pipeline>`: all of a pipeline.
    Pipeline(String),
    /// `flow/<pipeline>/<topic>/<partition>`: one source partition with its retries.
    Partition(String, String, i32),
    /// `accept/<pipeline>/<topic>/<schema id>`: a writer schema on a source topic.
    Schema(String, String, u32),
}

impl Subject {
    /// The record's key.
    pub fn to_key(&self) -> String {
        match self {
            Subject::Pipeline(pipeline) => format!("flow/{pipeline}"),
            Subject::Partition(pipeline, topic, number) => {
                format!("flow/{pipeline}/{topic}/{number}")
            }
            Subject::Schema(pipeline, topic, id) => format!("accept/{pipeline}/{topic}/{id}"),
        }
    }

    /// Reads [`Self::to_key`]. Names of pipelines and topics hold no slash.
    pub fn of_key(key: &str) -> Option<Subject> {
        let parts: Vec<&str> = key.split('/').collect();
        match parts.as_slice() {
            ["flow", pipeline] => Some(Subject::Pipeline((*pipeline).to_owned())),
            ["flow", pipeline, topic, number] => Some(Subject::Partition(
                (*pipeline).to_owned(),
                (*topic).to_owned(),
                number.parse().ok()?,
            )),
            ["accept", pipeline, topic, id] => Some(Subject::Schema(
                (*pipeline).to_owned(),
                (*topic).to_owned(),
                id.parse().ok()?,
            )),
            _ => None,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Take no more records.
    Pause,
    /// Go on.
    Resume,
    /// The writer schema is fine: its records go on.
    Accept,
}

/// An order: the record's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is asked for.
    pub action: Action,
    /// Of a resume: when the pause began that it answers, milliseconds since the epoch. A breaker's pause is lifted by the
    /// order that answers it and by no other, so that an old one cannot lift a later pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<i64>,
    /// Who asked.
    pub by: String,
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    layout: u32,
    #[serde(flatten)]
    order: T,
}

impl Order {
    /// The record's value.
    pub fn to_value(&self) -> Vec<u8> {
        let versioned = Versioned {
            layout: LAYOUT,
            order: self,
        };
        serde_json::to_vec(&versioned).expect("texts and numbers can be written as JSON")
    }

    /// Reads [`Self::to_value`]; what else stands there is said in words.
    pub fn of_value(value: &[u8]) -> Result<Order, String> {
        #[derive(Deserialize)]
        struct Layout {
            layout: u32,
        }
        let Layout { layout } = serde_json::from_slice(value)
            .map_err(|_| "the value is no order of ours".to_owned())?;
        if layout != LAYOUT {
            return Err(format!(
                "its layout is {layout}, and this version reads {LAYOUT}"
            ));
        }
        let versioned: Versioned<Order> = serde_json::from_slice(value)
            .map_err(|error| format!("not an order of layout {LAYOUT}: {error}"))?;
        Ok(versioned.order)
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "by {}", self.by)?;
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        for (subject, key) in [
            (Subject::Pipeline("orders".into()), "flow/orders"),
            (
                Subject::Partition("accept".into(), "shop.orders".into(), 7),
                "flow/accept/shop.orders/7",
            ),
            (
                Subject::Schema("orders".into(), "shop.orders".into(), 42),
                "accept/orders/shop.orders/42",
            ),
        ] {
            assert_eq!(subject.to_key(), key);
            assert_eq!(Subject::of_key(key), Some(subject));
        }
        for key in [
            "",
            "flow",
            "flow/a/b",
            "flow/a/b/c",
            "accept/a/b/-1",
            "flow/a/b/1/2",
        ] {
            assert_eq!(Subject::of_key(key), None, "{key}");
        }
    }

    #[test]
    fn values_come_back_and_others_are_refused() {
        let order = Order {
            action: Action::Resume,
            answers: Some(5),
            by: "ada@host".to_owned(),
            at: 1_763_732_000_000,
            reason: "the producer is fixed".to_owned(),
        };
        let value = order.to_value();
        assert_eq!(
            String::from_utf8_lossy(&value),
            r#"{"layout":1,"action":"resume","answers":5,"by":"ada@host","at":1763732000000,"reason":"the producer is fixed"}"#
        );
        assert_eq!(Order::of_value(&value), Ok(order.clone()));
        let bare = Order {
            answers: None,
            reason: String::new(),
            ..order
        };
        assert_eq!(Order::of_value(&bare.to_value()), Ok(bare));
        let check = |value: &str, expect: &str| {
            let error = Order::of_value(value.as_bytes()).expect_err(value);
            assert!(error.contains(expect), "{error}");
        };
        check("", "no order of ours");
        check(r#"{"action":"pause"}"#, "no order of ours");
        check(r#"{"layout":2,"action":"pause"}"#, "its layout is 2");
        check(r#"{"layout":1,"action":"dance","by":"","at":1}"#, "dance");
    }

    #[test]
    fn a_key_that_is_not_known_yet_is_no_obstacle() {
        let value = br#"{"layout":1,"action":"pause","by":"x","at":1,"until":9}"#;
        assert_eq!(Order::of_value(value).map(|order| order.at), Ok(1));
    }
}
