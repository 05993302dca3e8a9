//! Our side: an expression compiled against a schema and evaluated on bytes of it.

use bumpalo::Bump;
use driftgate::config::model::{Place as Written, Placed};
use driftgate::contract::encode::encode;
use driftgate::contract::schema::{Kind, NodeId, Schema};
use driftgate::contract::view::{self, Elements};
use driftgate::expr::scope::{Located, Profile, Secrets, Variable};
use driftgate::expr::{Cx, Expr, Place, Scope, Val, cx, value};

use super::data::{Data, Shape};

/// What came of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It does not compile: every fault.
    Refused(String),
    /// It was evaluated, and that is an error.
    Failed(String),
    Value(Data),
}

/// A record and its type.
pub(crate) struct Subject {
    pub(crate) schema: Schema,
    bytes: Vec<u8>,
    /// The record's begin, then that of each field.
    marks: Vec<u32>,
}

impl Subject {
    pub(crate) fn new(shape: &Shape, data: &Data) -> Subject {
        let schema = Schema::parse(&shape.schema(&mut 0), &[]);
        let schema = schema.unwrap_or_else(|error| panic!("{error}: {shape:?}"));
        let mut subject = Subject {
            schema,
            bytes: Vec::new(),
            marks: Vec::new(),
        };
        subject.set(shape, data);
        subject
    }

    /// Another record of the same type.
    pub(crate) fn set(&mut self, shape: &Shape, data: &Data) {
        self.bytes.clear();
        encode(&self.schema, &shape.avro(data), &mut self.bytes).expect("a value of its shape");
        self.set_bytes(&self.bytes.clone());
    }

    fn set_bytes(&mut self, bytes: &[u8]) {
        let fields = self.schema.record().map_or(0, |record| record.fields.len());
        let root = self.schema.root;
        let begin = |position| {
            let at = view::field(&self.schema, root, position, bytes, 0);
            u32::try_from(at.expect("the bytes of a record")).expect("a small record")
        };
        self.marks = std::iter::once(0).chain((0..fields).map(begin)).collect();
    }

    pub(crate) fn compile(&self, expr: &str, profile: Profile) -> Result<Expr, String> {
        let secrets = Secrets::default();
        let locate = |positions: &[usize]| Located {
            place: Place::Mark(u32::try_from(positions[0]).expect("few fields") + 1),
            depth: 1,
        };
        let (root, variables) = match profile {
            Profile::Checked => (Some(self.schema.root), Vec::new()),
            Profile::Confluent => {
                let variable = |name: &str, node, mark: usize| Variable {
                    name: name.to_owned(),
                    node,
                    place: Place::Mark(u32::try_from(mark).expect("few fields")),
                };
                let mut variables = vec![variable("message", self.schema.root, 0)];
                let fields = self
                    .schema
                    .record()
                    .map_or(&[][..], |record| &record.fields);
                let fields = fields.iter().enumerate();
                variables.extend(fields.map(|(nth, of)| variable(&of.name, of.node, nth + 1)));
                (None, variables)
            }
        };
        let scope = Scope {
            schema: &self.schema,
            root,
            locate: &locate,
            variables,
            constants: Vec::new(),
            secrets: &secrets,
            profile,
            record: false,
        };
        let text = Placed {
            value: expr.to_owned(),
            place: Written {
                file: "case".into(),
                line: 1,
                column: 1,
            },
        };
        Expr::compile(&text, &scope).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(|fault| fault.to_string()).collect();
            faults.join("; ")
        })
    }

    pub(crate) fn evaluate(&self, expr: &Expr, arena: &Bump) -> Outcome {
        let mut cx = Cx {
            schema: &self.schema,
            arena,
            bytes: &self.bytes,
            marks: &self.marks,
            registers: &mut [],
            record: None,
            steps: cx::STEPS,
        };
        match expr.eval(&mut cx) {
            Ok(value) => Outcome::Value(data(&self.schema, value)),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// A value of ours as the tests see it.
pub(crate) fn data(schema: &Schema, value: Val<'_>) -> Data {
    match value {
        Val::Null => Data::Null,
        Val::Bool(value) => Data::Bool(value),
        Val::Int(value) => Data::Int(value),
        Val::Double(value) => Data::Double(value),
        Val::Text(value) => Data::Text(value.to_owned()),
        Val::Bytes(value) => Data::Bytes(value.to_vec()),
        Val::Unread(_) => panic!("a text of a register"),
        Val::Timestamp(instant) => {
            let nanos = instant.as_nanosecond();
            let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).expect("in range");
            let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).expect("nanoseconds");
            Data::Timestamp(seconds, rest)
        }
        Val::Duration(length) => Data::Duration(length.as_nanos()),
        Val::List(items) => Data::List(items.iter().map(|item| data(schema, *item)).collect()),
        Val::Map(entries) => {
            let entries = entries.iter();
            Data::Map(
                entries
                    .map(|(key, value)| (data(schema, *key), data(schema, *value)))
                    .collect(),
            )
        }
        Val::Avro(node, bytes) => avro(schema, node, bytes),
        Val::Decimal(..) => Data::Foreign("a decimal"),
        Val::Date(_) => Data::Foreign("a date"),
        Val::Time(_) => Data::Foreign("a time of day"),
        Val::Enum(_) => Data::Foreign("an enum"),
    }
}

fn avro(schema: &Schema, node: NodeId, bytes: &[u8]) -> Data {
    let read = |node, at| {
        let (value, next) = value::read(schema, node, bytes, at).expect("a value");
        (data(schema, value), next)
    };
    match &schema.node(node).kind {
        Kind::Record(record) => {
            let mut at = 0;
            let fields = record.fields.iter().map(|field| {
                let (value, next) = read(field.node, at);
                at = next;
                (field.name.clone(), value)
            });
            Data::Record(fields.collect())
        }
        Kind::Array(_) | Kind::Map(_) => {
            let mut elements = Elements::new(schema, node, bytes, 0).expect("a collection");
            let inner = elements.node();
            let (mut items, mut keys) = (Vec::new(), Vec::new());
            while let Some(element) = elements.next().expect("an element") {
                items.push(read(inner, element.start).0);
                let key = String::from_utf8(element.key.to_vec()).expect("UTF-8");
                keys.push(Data::Text(key));
            }
            match schema.node(node).kind {
                Kind::Map(_) => Data::Map(keys.into_iter().zip(items).collect()),
                _ => Data::List(items),
            }
        }
        other => panic!("not a value of the tests: {other:?}"),
    }
}
