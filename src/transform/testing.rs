//! For tests: steps over events given as trees, with outputs as trees.

use std::path::Path;

use bumpalo::Bump;

use super::steps::{Arm, Builder};
use super::{Answers, Buffers, LookupSpec, Question, Transform};
use crate::config::fault::Fault;
use crate::config::model::Step;
use crate::contract::decode::{Limits, decode};
use crate::contract::encode::encode;
use crate::contract::plan::{Plan, Scratch};
use crate::contract::resolve::Resolution;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::error::RecordError;
use crate::expr::cx::STEPS;
use crate::expr::scope::Secrets;
use crate::expr::{Cx, Val};

/// Compiled steps whose sink has exactly the type that they leave.
#[derive(Debug)]
pub(crate) struct Trial {
    contract: Schema,
    output: Schema,
    types: Vec<(String, Schema)>,
    transform: Transform,
}

/// What became of an event.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    Done(Value),
    Many(Vec<Value>),
    Filtered,
    Lookup(Pending),
}

/// An event that waits.
#[derive(Debug, PartialEq)]
pub(crate) struct Pending {
    pub(crate) question: String,
    asked: Question,
    event: Value,
}

impl Trial {
    pub(crate) fn compile(
        steps: &[Step],
        contract: &Schema,
        schemas: &dyn Fn(&Path) -> Result<Schema, String>,
    ) -> Result<Trial, Vec<Fault>> {
        let mut builder = Builder::new(contract, Secrets::default());
        builder.rules_here();
        builder.steps(steps, schemas)?;
        let output = builder.output();
        let types = builder.types();
        let types = types
            .map(|(name, schema)| (name.to_owned(), schema))
            .collect();
        let arm = Arm {
            when: None,
            sink: 0,
            schema: &output,
            resolution: Resolution::compile(&output, &output).expect("a type is itself"),
        };
        let transform = builder.finish(&[arm])?;
        Ok(Trial {
            contract: contract.clone(),
            transform,
            types,
            output,
        })
    }

    pub(crate) fn output(&self) -> &Schema {
        &self.output
    }

    pub(crate) fn types(&self) -> impl Iterator<Item = (String, &Schema)> {
        self.types
            .iter()
            .map(|(name, schema)| (name.clone(), schema))
    }

    pub(crate) fn lookups(&self) -> &[std::sync::Arc<LookupSpec>] {
        self.transform.lookups()
    }

    pub(crate) fn run(&self, event: Value) -> Result<Progress, RecordError> {
        self.run_with(event, &Answers::new())
    }

    pub(crate) fn resume(
        &self,
        pending: Pending,
        answer: Option<Value>,
    ) -> Result<Progress, RecordError> {
        let spec = &self.transform.lookups()[pending.asked.lookup];
        let answer = answer.map(|answer| {
            let mut bytes = Vec::new();
            encode(&spec.answer, &answer, &mut bytes).expect("an answer");
            bytes.into()
        });
        let answers = Answers::from([(pending.asked, Ok(answer))]);
        self.run_with(pending.event, &answers)
    }

    fn run_with(&self, event: Value, answers: &Answers) -> Result<Progress, RecordError> {
        let mut bytes = Vec::new();
        encode(&self.contract, &event, &mut bytes).expect("an event of the contract");
        let progress = run(&self.transform, &self.contract, &bytes, answers)?;
        let read = |bytes: &[u8]| {
            decode(&self.output, bytes, &Limits::default()).expect("the bytes of its type")
        };
        Ok(match progress {
            super::Progress::Filtered => Progress::Filtered,
            super::Progress::Ask(mut questions) => {
                let asked = questions.remove(0);
                Progress::Lookup(Pending {
                    question: asked.text.clone(),
                    asked,
                    event,
                })
            }
            super::Progress::Done(emitted) => Progress::Done(read(&emitted.value)),
            super::Progress::Exploded(emitted) => {
                Progress::Many(emitted.iter().map(|one| read(&one.value)).collect())
            }
        })
    }
}

/// Runs an event in the contract's bytes, without frames.
pub(crate) fn run(
    transform: &Transform,
    contract: &Schema,
    bytes: &[u8],
    answers: &Answers,
) -> Result<super::Progress, RecordError> {
    let plan =
        Plan::compile(contract, contract, transform.wanted()).expect("a schema reads itself");
    let mut scratch = Scratch::default();
    let view = plan.run(bytes, &Limits::default(), &mut scratch)?;
    let arena = Bump::new();
    let registers = arena.alloc_slice_fill_copy(transform.registers(), Val::Null);
    registers[0] = Val::Avro(contract.root, view.bytes);
    let mut cx = Cx {
        schema: transform.schema(),
        arena: &arena,
        bytes: view.bytes,
        marks: view.marks,
        registers,
        record: None,
        steps: STEPS,
    };
    let mut buffers = Buffers::default();
    assert!(
        transform.prepare(&mut cx, &mut buffers)?,
        "no filter stands before the rules"
    );
    let frames = vec![Vec::new(); 4];
    transform.run(&mut cx, answers, &frames, &mut buffers)
}
