use super::*;
use crate::config::model::{FieldDoc, RulesFile};
use crate::contract::encode::encode;
use crate::contract::json::from_text;
use crate::contract::schema::Schema;

const WRITER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"string"},{"name":"total","type":"int"},{"name":"note","type":["null","string"]},
    {"name":"legacy","type":"string"},{"name":"status","type":{"type":"enum","name":"S","symbols":["NEW","ODD"]}},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
        {"name":"sku","type":"string"},{"name":"price","type":"float"}]}}},
    {"name":"tags","type":{"type":"map","values":"string"}},{"name":"email","type":["null","string"]}]}"#;
const CONTRACT: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"string"},{"name":"total","type":["null","long"]},
    {"name":"comment","type":["null","string"],"aliases":["note"]},
    {"name":"status","type":{"type":"enum","name":"S","symbols":["NEW"],"default":"NEW"}},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
        {"name":"sku","type":"string"},{"name":"price","type":"double"},{"name":"count","type":"int","default":1}]}}},
    {"name":"tags","type":{"type":"map","values":"int"}},{"name":"email","type":["null","string"]},
    {"name":"currency","type":"string","default":"EUR"}]}"#;
const RECORD: &str = r#"{"id":"o-1","total":7,"note":"hello","legacy":"x","status":"ODD",
    "items":[{"sku":"a","price":1.5},{"sku":"b","price":2}],"tags":{"k":"v"},"email":"ann@example.org"}"#;

fn schema(text: &str) -> Schema {
    Schema::parse(text, &[]).expect("a schema")
}

fn bytes() -> Vec<u8> {
    let writer = schema(WRITER);
    let value = from_text(&writer, writer.root, RECORD).expect("a value");
    let mut bytes = Vec::new();
    encode(&writer, &value, &mut bytes).expect("encodes");
    bytes
}

fn tagged() -> Lineage {
    let mut rules = RulesFile::default();
    let doc = FieldDoc {
        tags: vec!["PII".to_owned()],
        ..FieldDoc::default()
    };
    rules.fields.insert("email".to_owned(), doc);
    Lineage::new(&rules, (&[], 0), &[], &[])
}

fn explained(payload: &[u8], lineage: &Lineage, mask: bool) -> annotate::Annotated {
    let (writer, contract) = (schema(WRITER), schema(CONTRACT));
    let subject = Subject {
        writer: &writer,
        contract: Some(&contract),
        lineage,
        mask,
        framing: 5,
        lines: 1000,
    };
    annotate(subject, payload)
}

#[test]
fn each_value_stands_against_the_contract() {
    let payload = bytes();
    let found = explained(&payload, &Lineage::default(), false);
    assert_eq!((found.covered, found.stop), (5 + payload.len(), None));
    let line = |path: &str| {
        let mut lines = found.lines.iter().filter(|line| line.path == path);
        let line = lines.next().unwrap_or_else(|| panic!("no line for {path}"));
        (line.taken.expect("a contract"), line.value.to_string())
    };
    for (path, taken, value) in [
        ("id", Taken::Same, r#""o-1""#),
        ("total", Taken::Promoted, "7"),
        ("note", Taken::Renamed, r#""hello""#),
        ("legacy", Taken::Unknown, r#""x""#),
        ("status", Taken::Default, r#""ODD""#),
        ("items[0].price", Taken::Promoted, "1.5"),
        ("items[1].sku", Taken::Same, r#""b""#),
        ("items[1].count", Taken::Default, "1"),
        ("tags[0]", Taken::Same, r#""key \"k\"""#),
        ("email", Taken::Same, r#""ann@example.org""#),
        ("currency", Taken::Default, r#""EUR""#),
    ] {
        assert_eq!(line(path), (taken, value.to_owned()), "{path}");
    }
    let value_of_entry = found
        .lines
        .iter()
        .filter(|line| line.path == "tags[0]")
        .nth(1);
    assert_eq!(
        value_of_entry.and_then(|line| line.taken),
        Some(Taken::Unreadable)
    );
}

#[test]
fn what_is_tagged_is_in_no_value_and_no_bytes() {
    let payload = bytes();
    let open = explained(&payload, &tagged(), false);
    let masked = explained(&payload, &tagged(), true);
    let text = |found: &annotate::Annotated| serde_json::to_string(&found.lines).expect("JSON");
    let secret = hex(b"ann@example.org");
    assert!(text(&open).contains("ann@example.org") && text(&open).contains(&secret));
    for hidden in ["ann@example.org", secret.as_str(), "\"x\""] {
        assert!(!text(&masked).contains(hidden), "{hidden}");
    }
    assert!(text(&masked).contains("o-1"), "what is not tagged is shown");
    let secrets = &masked.secrets;
    assert_eq!(
        shown(Some(b"user/ann@example.org"), secrets),
        Shown::Text(MASK.to_owned())
    );
    assert_eq!(shown(Some(b"o-1"), secrets), Shown::Text("o-1".to_owned()));
    assert_eq!(shown(None, secrets), Shown::Null);
    let bytes = shown(Some(&[0, 255]), secrets);
    assert_eq!(
        bytes,
        Shown::Bytes {
            hex: "00 ff".to_owned(),
            length: 2
        }
    );
}

#[test]
fn a_record_that_is_cut_is_explained_up_to_the_spot() {
    let payload = bytes();
    for end in 0..payload.len() {
        let found = explained(&payload[..end], &Lineage::default(), false);
        let stop = found.stop.expect("cut");
        let at = stop.byte_offset.expect("known");
        assert!((5..=5 + end).contains(&at), "{at} of {end}: {stop}");
        assert!(found.covered <= 5 + end || found.covered == 0);
    }
}

#[test]
fn emitted_values_are_masked_under_any_name() {
    let sink = schema(
        r#"{"type":"record","name":"Out","fields":[{"name":"id","type":"string"},
        {"name":"mail","aliases":["email"],"type":["null","string"]},{"name":"email","type":["null","string"]}]}"#,
    );
    let json = r#"{"id":"o-1","mail":"ann@example.org","email":null}"#;
    let value = from_text(&sink, sink.root, json).expect("a value");
    let masked = emitted(&sink, &value, Some(&tagged()));
    assert_eq!(
        masked,
        serde_json::json!({"id":"o-1","mail":MASK,"email":MASK})
    );
    assert_eq!(emitted(&sink, &value, None)["mail"], "ann@example.org");
}

#[test]
fn the_text_of_a_report() {
    let payload = bytes();
    let found = explained(&payload, &tagged(), true);
    let report = Report {
        record: Place {
            topic: Some("orders".to_owned()),
            partition: Some(3),
            offset: Some(17),
            timestamp: Some(moment(1_700_000_000_000)),
            role: Some("source".to_owned()),
        },
        key: shown(Some(b"o-1"), &found.secrets),
        headers: vec![("traceparent".to_owned(), Shown::Text("00-1".to_owned()))],
        value_bytes: Some(5 + payload.len()),
        writer: Some(Writer {
            schema_id: 9,
            framing: "id in front".to_owned(),
            schema: "record Order".to_owned(),
            subjects: Some(vec!["orders-value".to_owned()]),
        }),
        pipeline: Some("clean-orders".to_owned()),
        contract: Some("orders-value.avsc#0123456789ab".to_owned()),
        lines: found.lines,
        outcome: Outcome {
            outcome: "dead_lettered".to_owned(),
            text: "to orders.gate.dlq".to_owned(),
            ..Outcome::default()
        },
        ..Report::default()
    };
    insta::assert_snapshot!(text(&report));
}
