//! A schema, a value of it, and expressions over both.

use bumpalo::Bump;

use crate::config::fault::Fault;
use crate::contract::encode::encode;
use crate::contract::plan::ABSENT;
use crate::contract::schema::{Kind, Schema};
use crate::contract::value::Value;
use crate::contract::view;
use crate::error::RecordError;
use crate::expr::scope::{Located, Place, Profile, Scope, Secrets};
use crate::expr::testing::placed;
use crate::expr::value::Val;
use crate::expr::{Cx, Expr};

/// An event in bytes, whose top fields have a mark each.
pub(super) struct Bed {
    pub(super) schema: Schema,
    pub(super) bytes: Vec<u8>,
    pub(super) marks: Vec<u32>,
}

impl Bed {
    pub(super) fn new(schema: Schema, event: &Value) -> Bed {
        let mut bytes = Vec::new();
        encode(&schema, event, &mut bytes).expect("the event is of the schema");
        let Kind::Record(record) = &schema.root().kind else {
            panic!("an event is a record");
        };
        let mark = |position| {
            let at = view::field(&schema, schema.root, position, &bytes, 0).expect("a field");
            u32::try_from(at).unwrap_or(ABSENT)
        };
        let marks = (0..record.fields.len()).map(mark).collect();
        Bed {
            schema,
            bytes,
            marks,
        }
    }

    pub(super) fn compile(&self, text: &str) -> Result<Expr, Vec<Fault>> {
        self.compile_by(text, Expr::compile)
    }

    pub(super) fn condition(&self, text: &str) -> Result<Expr, Vec<Fault>> {
        self.compile_by(text, Expr::compile_condition)
    }

    pub(super) fn compile_by(
        &self,
        text: &str,
        compile: fn(&crate::config::model::Placed<String>, &Scope<'_>) -> Result<Expr, Vec<Fault>>,
    ) -> Result<Expr, Vec<Fault>> {
        let locate = |positions: &[usize]| Located {
            place: Place::Mark(u32::try_from(positions[0]).expect("few fields")),
            depth: 1,
        };
        let secrets = Secrets::default();
        let scope = Scope {
            schema: &self.schema,
            root: Some(self.schema.root),
            locate: &locate,
            variables: Vec::new(),
            constants: Vec::new(),
            secrets: &secrets,
            profile: Profile::Checked,
            record: false,
        };
        compile(&placed(text), &scope)
    }

    pub(super) fn with_cx<R>(&self, then: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        let arena = Bump::new();
        let mut cx = Cx {
            schema: &self.schema,
            arena: &arena,
            bytes: &self.bytes,
            marks: &self.marks,
            registers: &mut [],
            record: None,
            steps: 0,
        };
        then(&mut cx)
    }

    pub(super) fn eval(&self, expr: &Expr) -> Result<String, RecordError> {
        self.with_cx(|cx| expr.eval(cx).map(|value| shown(&self.schema, value)))
    }

    pub(super) fn eval_bool(&self, expr: &Expr) -> Result<bool, RecordError> {
        self.with_cx(|cx| expr.eval_bool(cx))
    }
}

/// A value in the way that tests write it.
pub(super) fn shown(schema: &Schema, value: Val<'_>) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(b) => b.to_string(),
        Val::Int(i) => i.to_string(),
        Val::Double(d) => format!("{d:?}"),
        Val::Text(text) => format!("'{text}'"),
        Val::Unread(_) => panic!("only registers hold it"),
        Val::Bytes(bytes) => format!("b'{}'", String::from_utf8_lossy(bytes)),
        Val::Decimal(bytes, scale) => {
            crate::contract::decimal::to_text(bytes, scale as usize).expect("it is short")
        }
        Val::Timestamp(at) => at.to_string(),
        Val::Duration(length) => format!("{length:?}"),
        Val::Date(days) => crate::expr::days::date_of(days)
            .expect("a day of the calendar")
            .to_string(),
        Val::Time(nanos) => format!("{nanos}ns"),
        Val::Enum(index) => format!("#{index}"),
        Val::Avro(node, bytes) => format!("{} {bytes:?}", schema.describe(node)),
        Val::List(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(schema, *item)).collect();
            format!("[{}]", items.join(", "))
        }
        Val::Map(entries) => {
            let entries = entries.iter();
            let entries = entries
                .map(|(key, value)| format!("{}: {}", shown(schema, *key), shown(schema, *value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
