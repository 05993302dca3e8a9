//! The table by itself, without a topic.

use super::read::{Reader, Unread};
use super::*;
use crate::config::model::{Lookup, LookupSource, OnMissing, Registry, RegistryAuth, Step};
use crate::contract::cache::{CacheSettings, SchemaCache};
use crate::contract::registry::RegistryClient;
use crate::expr::testing::{place, placed, schema};
use crate::transform::testing::Trial;

fn spec() -> Arc<LookupSpec> {
    let event = schema(r#"{"type":"record","name":"E","fields":[{"name":"id","type":"string"}]}"#);
    let customer = r#"{"type":"record","name":"C","fields":[{"name":"name","type":"string"}]}"#;
    let steps = [Step::Lookup(Box::new(Lookup {
        into: placed("customer"),
        from: LookupSource::Topic(TopicLookup {
            topic: "customers".to_owned(),
            key: placed("id"),
            max: 1 << 20,
        }),
        answer: "c.avsc".into(),
        answer_place: place(),
        on_missing: OnMissing::DeadLetter,
        on_null: None,
    }))];
    let transform = Trial::compile(&steps, &event, &|_| Ok(schema(customer)));
    Arc::clone(&transform.expect("compiles").lookups()[0])
}

fn rows() -> Rows {
    Rows {
        phase: Phase::Loaded,
        ..Rows::new(10_000)
    }
}

fn value(byte: u8) -> Option<Row> {
    Some(Row::Value(vec![byte; 3].into()))
}

fn broken() -> Option<Row> {
    Some(Row::Broken("why".to_owned(), None))
}

#[test]
fn the_newest_value_of_a_key_counts_and_a_tombstone_takes_it_out() {
    let (spec, mut rows) = (spec(), rows());
    assert_eq!(rows.get(&spec, "a"), Ok(None));
    rows.put("a", value(1));
    rows.put("a", value(2));
    assert_eq!(rows.get(&spec, "a"), Ok(Some(vec![2; 3].into())));
    rows.put("a", None);
    rows.put("b", None);
    assert_eq!(rows.get(&spec, "a"), Ok(None));
    assert_eq!((rows.size, rows.broken), (0, 0));
}

#[test]
fn nothing_is_answered_before_all_is_loaded() {
    let (spec, mut rows) = (spec(), rows());
    rows.put("a", value(1));
    rows.phase = Phase::Loading("half of it".to_owned());
    let error = rows.get(&spec, "a").expect_err("not loaded");
    assert_eq!(error.reason, Reason::LookupNotLoaded);
    assert!(error.message.contains("half of it"), "{error}");
}

#[test]
fn what_cannot_be_read_is_never_passed_over() {
    let (spec, mut rows) = (spec(), rows());
    rows.put("a", value(1));
    rows.put("a", broken());
    let error = rows.get(&spec, "a").expect_err("not the value before");
    assert_eq!(error.reason, Reason::LookupMisconfigured);
    assert_eq!(rows.broken, 1);
    rows.put("a", value(3));
    assert_eq!(rows.get(&spec, "a"), Ok(Some(vec![3; 3].into())));
    // Whose key that is, nobody knows: it may be the one that seems to be missing.
    rows.unreadable(&[0xff], true);
    rows.unreadable(&[0xff], true);
    let error = rows.get(&spec, "z").expect_err("perhaps there");
    assert_eq!(error.reason, Reason::LookupMisconfigured);
    assert!(rows.get(&spec, "a").is_ok());
    rows.unreadable(&[0xff], false);
    assert_eq!(rows.get(&spec, "z"), Ok(None));
    rows.put("a", None);
    assert_eq!((rows.size, rows.broken), (0, 0));
}

#[test]
fn a_table_that_outgrows_its_bound_answers_nothing_for_good() {
    let (spec, mut rows) = (spec(), rows());
    for key in 0..50 {
        rows.put(&key.to_string(), value(1));
    }
    assert_eq!(rows.phase, Phase::Loaded);
    for key in 0..200 {
        rows.put(&key.to_string(), value(1));
    }
    assert_eq!(rows.phase, Phase::TooLarge);
    assert!(rows.size < 10_000);
    rows.put("a", value(1));
    let error = rows.get(&spec, "a").expect_err("given up");
    assert_eq!(error.reason, Reason::LookupNotLoaded);
    assert!(error.message.contains("10000 bytes"), "{error}");
}

#[test]
fn a_registry_that_cannot_be_asked_is_no_verdict_on_a_record() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let registry = Registry {
        url: "http://127.0.0.1:1".to_owned(),
        auth: RegistryAuth::None,
        tls: Default::default(),
        timeout: Duration::from_secs(1),
        cache_dir: None,
    };
    let client = RegistryClient::new(&registry).expect("a client");
    let settings = CacheSettings::default();
    let schemas = SchemaCache::new(client, runtime.handle().clone(), settings);
    let mut reader = Reader::new(Arc::clone(&spec().answer), Arc::new(schemas));
    let framed = [0, 0, 0, 0, 7, 2, 65];
    assert!(matches!(reader.value(&framed, &[]), Err(Unread::NotNow(_))));
    assert!(matches!(reader.key(&framed, &[]), Err(Unread::NotNow(_))));
    // What needs no schema to be judged is judged.
    assert_eq!(
        reader.key("grün 7".as_bytes(), &[]),
        Ok("grün 7".to_owned())
    );
    assert!(matches!(reader.key(&[0xff], &[]), Err(Unread::Never(_))));
    assert!(matches!(reader.key(&[0, 0], &[]), Err(Unread::Never(_))));
    assert!(matches!(reader.value(b"{}", &[]), Err(Unread::Never(_))));
}
