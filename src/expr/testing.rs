//! For tests: schemas, placed texts, and an event whose fields lie at marks.

use std::cell::RefCell;

use bumpalo::Bump;

use super::cx::STEPS;
use super::scope::{Event, Located, Place, Secrets};
use super::{Cx, Val};
use crate::config::model;
use crate::contract::decode::Limits;
use crate::contract::encode::encode;
use crate::contract::plan::{Plan, Scratch};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;

/// A schema from its JSON text.
pub(crate) fn schema(json: &str) -> Schema {
    Schema::parse(json, &[]).expect("the test's schema parses")
}

/// A text at line 3, column 5 of `t.yaml`.
pub(crate) fn placed(text: &str) -> model::Placed<String> {
    model::Placed {
        value: text.to_owned(),
        place: place(),
    }
}

/// Line 3, column 5 of `t.yaml`.
pub(crate) fn place() -> model::Place {
    model::Place {
        file: "t.yaml".to_owned(),
        line: 3,
        column: 5,
    }
}

/// An event that lies at marks of its plan, and as a whole in register 0.
pub(crate) struct Marked {
    schema: Schema,
    paths: RefCell<Vec<Vec<usize>>>,
    registers: RefCell<u32>,
    secrets: Secrets,
}

impl Marked {
    pub(crate) fn new(schema: Schema) -> Marked {
        Marked {
            schema,
            paths: RefCell::default(),
            registers: RefCell::new(1),
            secrets: Secrets::default(),
        }
    }

    /// Runs `with` on a value of the schema.
    pub(crate) fn with<R>(&self, event: &Value, with: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        let mut bytes = Vec::new();
        encode(&self.schema, event, &mut bytes).expect("an event of the schema");
        let paths = self.paths.borrow();
        let plan = Plan::compile(&self.schema, &self.schema, &paths).expect("reads itself");
        let mut scratch = Scratch::default();
        let view = plan
            .run(&bytes, &Limits::default(), &mut scratch)
            .expect("valid bytes");
        let arena = Bump::new();
        let registers = arena.alloc_slice_fill_copy(*self.registers.borrow() as usize, Val::Null);
        registers[0] = match self.schema.root().kind {
            Kind::Record(_) => Val::Avro(self.schema.root, view.bytes),
            _ => {
                super::value::read(&self.schema, self.schema.root, view.bytes, 0)
                    .expect("valid bytes")
                    .0
            }
        };
        with(&mut Cx {
            schema: &self.schema,
            arena: &arena,
            bytes: view.bytes,
            marks: view.marks,
            registers,
            record: None,
            steps: STEPS,
        })
    }
}

impl Event for Marked {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn root(&self) -> NodeId {
        self.schema.root
    }

    fn locate(&self, positions: &[usize]) -> Located {
        if positions.is_empty() {
            return Located {
                place: Place::Register(0),
                depth: 0,
            };
        }
        let mut paths = self.paths.borrow_mut();
        paths.push(positions.to_vec());
        Located {
            place: Place::Mark(u32::try_from(paths.len() - 1).expect("few")),
            depth: positions.len(),
        }
    }

    fn register(&self) -> u32 {
        self.registers.replace_with(|last| *last + 1)
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn has_record(&self) -> bool {
        false
    }
}
