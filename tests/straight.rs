//! A pipeline without steps takes the contract's bytes to the sink's without a tree of values; one with a step that
//! changes nothing goes through the tree. Both say the same of every record.

use std::sync::Arc;

use driftgate::build;
use driftgate::config;
use driftgate::config::model::Config;
use driftgate::contract::cache::{CacheSettings, SchemaCache};
use driftgate::contract::registry::RegistryClient;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::error::Reason;
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

fn stages(runtime: &Runtime, config: &Config) -> (Stages, bool) {
    let client = RegistryClient::new(&config.registry).expect("a client");
    let pipeline = &config.pipelines[0];
    let parts = runtime
        .block_on(build::compile(pipeline, Some(&client), &|_| None))
        .expect("compiles")
        .expect("all of it");
    let compiled = Arc::new(parts.finish(pipeline, &[77]));
    let straight = compiled.straight.is_some();
    let settings = CacheSettings::default();
    let cache = SchemaCache::new(client, runtime.handle().clone(), settings);
    let gate = Gate::new(pipeline.contract.drift, "payment".to_owned(), |_| {});
    let stages = Stages::new(
        compiled,
        Arc::new(cache),
        Arc::new(Lookups::none(runtime.handle().clone())),
        Arc::new(gate),
    );
    (stages, straight)
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
fn the_way_without_a_tree_and_the_way_through_it_agree() {
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
    let (mut straight, is_straight) = stages(&runtime, &plain);
    let (mut through, has_steps) = stages(&runtime, &stepped);
    assert!(is_straight && !has_steps);

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
                match found {
                    Verdict::Emit(output) => {
                        let output = output.value.expect("a value");
                        assert_eq!(output[..5], [0, 0, 0, 0, 77]);
                        emitted += 1;
                    }
                    Verdict::Failed(error) => {
                        failed += usize::from(error.reason != Reason::RegistryUnavailable);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert!(emitted > 300 && failed > 800, "{emitted} {failed}");
}
