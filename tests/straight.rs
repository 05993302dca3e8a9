//! A pipeline takes bytes to bytes and makes no tree of values. What a tree would have come to is computed here, from the
//! same schemas: both say the same of every record.

use std::sync::Arc;

use driftgate::build;
use driftgate::config;
use driftgate::config::model::Config;
use driftgate::contract::cache::{CacheSettings, SchemaCache};
use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::encode::encode;
use driftgate::contract::registry::RegistryClient;
use driftgate::contract::resolve::Resolution;
use driftgate::contract::schema::{Kind, Name, Node, RecordType, Schema};
use driftgate::contract::value::Value;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::error::{Reason, RecordError};
use driftgate::lookup::Lookups;
use driftgate::pipeline::{Gate, Stages, Verdict};
use driftgate::record::Record;
use tokio::runtime::Runtime;

const WRITER: &str = r#"{"type":"record","name":"Payment","fields":[
    {"name":"id","type":"int"},{"name":"currency","type":"string"},{"name":"gone","type":"string"}]}"#;
const CONTRACT: &str = r#"{"type":"record","name":"Payment","fields":[
    {"name":"id","type":"long"},{"name":"unit","aliases":["currency"],"type":"string"},
    {"name":"note","type":["null","string"],"default":null}]}"#;
const SINK: &str = r#"{"type":"record","name":"Clean","fields":[
    {"name":"unit","type":["null","string"]},{"name":"id","type":"double"},{"name":"source","type":"string","default":"gate"}]}"#;

fn configured(folder: &std::path::Path, registry: &str, steps: &str) -> Config {
    let text = format!(
        r#"
kafka: {{ bootstrap_servers: "127.0.0.1:1" }}
registry: {{ url: "{registry}" }}
pipelines:
  payments:
    owner: {{ team: billing }}
    source: {{ topics: [payments] }}
    contract: {{ schema: payment.avsc, rules: payment.rules.yaml, drift: {{ removed: allow }} }}
{steps}    sink: {{ topic: clean, schema: clean.avsc }}
"#
    );
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    write("driftgate.yaml", &text);
    write("payment.avsc", CONTRACT);
    write("clean.avsc", SINK);
    write(
        "payment.rules.yaml",
        "rules:\n  - { name: positive-id, field: id, range: { min: 0 } }\n",
    );
    let loaded = config::load(&folder.join("driftgate.yaml"), &|_| None);
    loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config
}

fn stages(runtime: &Runtime, config: &Config) -> Stages {
    let client = RegistryClient::new(&config.registry).expect("a client");
    let pipeline = &config.pipelines[0];
    let parts = runtime
        .block_on(build::compile(pipeline, Some(&client), &|_| None))
        .expect("compiles")
        .expect("all of it");
    let compiled = Arc::new(parts.finish(pipeline, &[77]));
    let settings = CacheSettings::default();
    let cache = SchemaCache::new(client, runtime.handle().clone(), settings);
    let gate = Gate::new(pipeline.contract.drift, "payment".to_owned(), |_| {});
    Stages::new(
        compiled,
        Arc::new(cache),
        Arc::new(Lookups::none(runtime.handle().clone())),
        Arc::new(gate),
    )
}

/// What becomes of a framed record by way of trees: the output's bytes, or the reason and path of its error.
fn by_tree(value: &[u8]) -> Result<Vec<u8>, (Reason, String)> {
    let schema = |text: &str| Schema::parse(text, &[]).expect("a schema");
    let (writer, contract, mut sink) = (schema(WRITER), schema(CONTRACT), schema(SINK));
    // The steps have no name for their output: the top records are taken for one another.
    sink.nodes[sink.root] = match sink.root().clone() {
        Node {
            kind: Kind::Record(record),
            logical,
        } => Node {
            kind: Kind::Record(RecordType {
                name: Name {
                    full: "Payment".to_owned(),
                    aliases: Vec::new(),
                },
                ..record
            }),
            logical,
        },
        other => other,
    };
    let told = |error: RecordError| (error.reason, error.path);
    let read = decode(&writer, &value[5..], &Limits::default()).map_err(told)?;
    let to_contract = Resolution::compile(&writer, &contract).expect("fits");
    let event = to_contract.apply(read).map_err(told)?;
    let Value::Record(fields) = &event else {
        panic!("a record")
    };
    if matches!(fields[0], Value::Long(id) if id < 0) {
        return Err((Reason::RuleViolation, "id".to_owned()));
    }
    let to_sink = Resolution::compile(&contract, &sink).expect("fits");
    let output = to_sink.apply(event).map_err(told)?;
    let mut bytes = vec![0, 0, 0, 0, 77];
    encode(&sink, &output, &mut bytes).map_err(told)?;
    Ok(bytes)
}

/// A payment as the writer writes it.
fn payment(schema: u32, id: i8, currency: &str) -> Vec<u8> {
    let zigzag = ((i16::from(id) << 1) ^ (i16::from(id) >> 15)).cast_unsigned();
    let number = match u8::try_from(zigzag) {
        Ok(short) if short < 0x80 => vec![short],
        _ => vec![(zigzag & 0x7F) as u8 | 0x80, (zigzag >> 7) as u8],
    };
    let length = u8::try_from(2 * currency.len()).expect("short");
    let text = [vec![length], currency.as_bytes().to_vec()].concat();
    let id_of_schema = schema.to_be_bytes().to_vec();
    [vec![0], id_of_schema, number, text, vec![4], b"xx".to_vec()].concat()
}

#[test]
fn bytes_to_bytes_is_what_a_tree_would_have_come_to() {
    let runtime = Runtime::new().expect("a runtime");
    let registry = EmbeddedRegistry::start().expect("starts");
    let (one, other) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let plain = configured(one.path(), &registry.url(), "");
    let step = "    transform:\n      - filter: \"unit != 'TEST'\"\n";
    let stepped = configured(other.path(), &registry.url(), step);
    let client = RegistryClient::new(&plain.registry).expect("a client");
    let registered = client.register("payments-value", WRITER, &[]);
    let schema = runtime.block_on(registered).expect("an id");
    let mut straight = stages(&runtime, &plain);
    let mut through = stages(&runtime, &stepped);

    let (mut emitted, mut failed) = (0, 0);
    for id in i8::MIN..=i8::MAX {
        for currency in ["EUR", "", "€"] {
            let good = payment(schema, id, currency);
            let mut bad = good.clone();
            let at = id.unsigned_abs() as usize % bad.len();
            bad[at] ^= 0x81;
            for value in [&good, &bad, &good[..good.len() - 1].to_vec()] {
                let record = Record {
                    topic: "payments",
                    value: Some(value.as_slice()),
                    ..Record::default()
                };
                let found = straight.process("payments", &record, None);
                let expect = through.process("payments", &record, None);
                assert_eq!(format!("{found:?}"), format!("{expect:?}"));
                // A record of another schema, or of none.
                let own = value[..5] == good[..5];
                match found {
                    Verdict::Emit(output) => {
                        assert_eq!(Ok(output.value.expect("a value")), by_tree(value));
                        emitted += 1;
                    }
                    Verdict::Failed(error) if own => {
                        assert_eq!(Err((error.reason, error.path)), by_tree(value));
                        failed += 1;
                    }
                    Verdict::Failed(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(emitted > 300 && failed > 800, "{emitted} {failed}");
}
