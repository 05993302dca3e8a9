//! The benchmark's job on an order: four rules, a filter, SHA-256 of one field, upper case of one, digits of one.

use bumpalo::Bump;
use driftgate::config::model::{Place, Placed, RulesFile, Step};
use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::json::to_json;
use driftgate::contract::plan::{Plan, Scratch};
use driftgate::contract::resolve::Resolution;
use driftgate::contract::rules::Rules;
use driftgate::contract::schema::Schema;
use driftgate::expr::cx::STEPS;
use driftgate::expr::scope::Secrets;
use driftgate::expr::{Cx, Val};
use driftgate::transform::{Answers, Arm, Buffers, Builder, Progress, Transform};

use super::order;

pub(crate) const WRITER: &str = include_str!("../../src/bench/files/orders-value.avsc");
const CONTRACT: &str = include_str!("../schemas/order-contract.avsc");
const RULES: &str = include_str!("order.rules.yaml");

fn placed(text: &str) -> Placed<String> {
    Placed {
        value: text.to_owned(),
        place: Place::default(),
    }
}

fn steps() -> Vec<Step> {
    let set = |entries: &[(&str, &str)]| {
        let entries = entries
            .iter()
            .map(|(field, text)| (placed(field), placed(text)));
        Step::Set(entries.collect())
    };
    vec![
        Step::Filter(placed("currency != 'TEST'")),
        set(&[
            ("customer.email", "sha256(customer.email)"),
            ("currency", "currency.upperAscii()"),
            (
                "customer.phone",
                "customer.phone == null ? null : digits(customer.phone, '+')",
            ),
        ]),
    ]
}

pub(crate) struct Job {
    transform: Transform,
    rules: Rules,
    #[allow(dead_code)]
    pub(crate) plan: Plan,
    #[allow(dead_code, reason = "only the benchmark compares with it")]
    pub(crate) bare: Plan,
    contract: Schema,
}

impl Job {
    pub(crate) fn new() -> Job {
        let schema = |text: &str| Schema::parse(text, &[]).expect("a schema");
        let (writer, contract) = (schema(WRITER), schema(CONTRACT));
        let mut builder = Builder::new(&contract, Secrets::default());
        builder.rules_here();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("order.rules.yaml");
        std::fs::write(&path, RULES).expect("written");
        let (file, _): (RulesFile, _) =
            driftgate::config::rules::load(&path, &|_| None).expect("rules");
        let rules = builder.for_rules(|event| Rules::compile(&file, event));
        builder
            .steps(&steps(), &|_| Err(String::new()))
            .unwrap_or_else(|faults| panic!("{faults:#?}"));
        let output = builder.output();
        let arm = Arm {
            when: None,
            sink: 0,
            schema: &output,
            resolution: Resolution::compile(&output, &output).expect("itself"),
        };
        let transform = builder.finish(&[arm]).expect("compiles");
        let plan = Plan::compile(&writer, &contract, transform.wanted()).expect("fits");
        let job = Job {
            rules: rules.expect("compile"),
            bare: Plan::compile(&writer, &contract, &[]).expect("fits"),
            plan,
            transform,
            contract: contract.clone(),
        };
        let bytes = order::bytes(&writer);
        let mut worker = Worker::default();
        let emitted = worker.run(&job, &bytes, true).expect("emitted");
        let limits = Limits::default();
        let value = decode(&output, &emitted, &limits).expect("the type that was promised");
        let json = to_json(&output, output.root, &value);
        assert_eq!(
            json["customer"]["email"],
            "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"
        );
        assert_eq!(json["customer"]["phone"], "+49309018200");
        assert_eq!(json["currency"], "EUR");
        assert_eq!(json["items"][2]["sku"], "SKU-00017");
        job
    }
}

/// What a worker keeps from one record to the next.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) scratch: Scratch,
    arena: Bump,
    buffers: Buffers,
    answers: Answers,
    /// Of the one sink: empty.
    frames: [Vec<u8>; 1],
}

impl Worker {
    /// The output; `None` without `steps`, when only the rules are checked.
    pub(crate) fn run(&mut self, job: &Job, bytes: &[u8], steps: bool) -> Option<Vec<u8>> {
        self.arena.reset();
        let view = job
            .plan
            .run(bytes, &Limits::default(), &mut self.scratch)
            .expect("valid");
        let registers = self
            .arena
            .alloc_slice_fill_copy(job.transform.registers(), Val::Null);
        registers[0] = Val::Avro(job.contract.root, view.bytes);
        let mut cx = Cx {
            schema: job.transform.schema(),
            arena: &self.arena,
            bytes: view.bytes,
            marks: view.marks,
            registers,
            record: None,
            steps: STEPS,
        };
        let prepared = job.transform.prepare(&mut cx, &mut self.buffers);
        assert!(prepared.expect("nothing to fail"));
        job.rules.check(&mut cx, &mut |_| {}).expect("a good order");
        if !steps {
            return None;
        }
        match job
            .transform
            .run(&mut cx, &self.answers, &self.frames, &mut self.buffers)
        {
            Ok(Progress::Done(emitted)) => Some(emitted.value),
            other => panic!("{other:?}"),
        }
    }
}
