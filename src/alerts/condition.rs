//! `when` of a webhook: an expression over what a notice would say, and whether it holds. Input: the text, when it is
//! compiled; a sign or an event, when it is asked. Output: yes or no, or why that cannot be told. Pure, and knows nothing of
//! incidents or receivers.

use std::sync::LazyLock;

use bumpalo::Bump;
use serde_json::json;

use super::notice::Notice;
use super::signs::Sign;
use crate::config::fault::Fault;
use crate::config::model::{AlertKind, Pipeline, Placed};
use crate::contract::encode::encode;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::error::RecordError;
use crate::expr::cx::STEPS;
use crate::expr::scope::{Plain, with_scope};
use crate::expr::{Cx, Expr, Val};

/// What conditions can name.
static NOTICE: LazyLock<Schema> = LazyLock::new(|| {
    let kinds: Vec<_> = AlertKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let schema = json!({
        "type": "record", "name": "Alert", "fields": [
            { "name": "kind", "type": { "type": "enum", "name": "AlertKind", "symbols": kinds } },
            { "name": "reason", "type": "string" },
            { "name": "subject", "type": "string" },
            { "name": "topic", "type": ["null", "string"] },
            { "name": "partitions", "type": "int" },
            { "name": "count", "type": "long" },
        ]
    });
    Schema::parse(&schema.to_string(), &[]).expect("the schema is fixed")
});

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    expr: Expr,
    registers: usize,
}

/// What it is asked about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct About<'a> {
    kind: AlertKind,
    reason: &'a str,
    subject: &'a str,
    /// Where there is only one.
    topic: Option<&'a str>,
    partitions: usize,
    count: u64,
}

impl<'a> About<'a> {
    pub(super) fn sign(sign: &'a Sign) -> About<'a> {
        let mut topics = sign.places.keys().map(|place| place.topic.as_str());
        let topic = topics.next().or(sign.topic.as_deref());
        About {
            kind: sign.key.0,
            reason: &sign.reason,
            subject: &sign.key.1,
            topic: topic.filter(|first| topics.all(|other| other == *first)),
            partitions: sign.places.len(),
            count: sign.count,
        }
    }

    pub(super) fn event(notice: &'a Notice) -> About<'a> {
        About {
            kind: notice.kind,
            reason: &notice.reason,
            subject: &notice.subject,
            topic: notice.topic.as_deref(),
            partitions: notice.partitions_in_all,
            count: notice.count,
        }
    }

    /// In the order of [`NOTICE`].
    fn value(&self) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        let symbols = AlertKind::ALL;
        let symbol = symbols.iter().position(|kind| *kind == self.kind);
        let topic = match self.topic {
            Some(topic) => Value::Union(1, Box::new(text(topic))),
            None => Value::Union(0, Box::new(Value::Null)),
        };
        Value::Record(vec![
            Value::Enum(symbol.expect("every kind is listed")),
            text(self.reason),
            text(self.subject),
            topic,
            Value::Int(i32::try_from(self.partitions).unwrap_or(i32::MAX)),
            Value::Long(i64::try_from(self.count).unwrap_or(i64::MAX)),
        ])
    }
}

impl Condition {
    pub(super) fn compile(text: &Placed<String>) -> Result<Condition, Vec<Fault>> {
        let event = Plain::new(&NOTICE);
        let expr = with_scope(&event, |scope| Expr::compile_condition(text, &scope))?;
        Ok(Condition {
            expr,
            registers: event.registers(),
        })
    }

    /// Whether it is true. An error where that cannot be told, such as an overflow.
    pub(super) fn holds(&self, about: &About<'_>) -> Result<bool, RecordError> {
        let mut bytes = Vec::new();
        encode(&NOTICE, &about.value(), &mut bytes)?;
        let arena = Bump::new();
        let registers = arena.alloc_slice_fill_copy(self.registers, Val::Null);
        registers[0] = Val::Avro(NOTICE.root, &bytes);
        self.expr.eval_bool(&mut Cx {
            schema: &NOTICE,
            arena: &arena,
            bytes: &bytes,
            marks: &[],
            registers,
            record: None,
            steps: STEPS,
        })
    }
}

/// What is wrong with the conditions of a pipeline's webhooks.
pub fn faults(pipeline: &Pipeline) -> Vec<Fault> {
    let conditions = pipeline
        .alerts
        .iter()
        .filter_map(|alert| alert.when.as_ref());
    let faults = conditions.filter_map(|when| Condition::compile(when).err());
    faults.flatten().collect()
}

#[cfg(test)]
mod tests;
