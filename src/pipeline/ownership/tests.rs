use std::path::Path as FilePath;

use bumpalo::Bump;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::build;
use crate::config;
use crate::config::diagnose;
use crate::contract::arbitrary::{ANY, Generator, sized_blocks};
use crate::contract::decode::decode;
use crate::contract::encode::encode;
use crate::contract::plan::{Plan, Scratch};
use crate::contract::wire;
use crate::expr::path::peel;
use crate::in_process::{CONTRACT_ID, Ended, InProcess};
use crate::record::Header;
use crate::transform::native::Natives;

const CUSTOMER: &str = r#"{"type":"record","name":"Customer","fields":[
    {"name":"id","type":"string"},
    {"name":"origin","type":["null","string"],"default":null},
    {"name":"email","type":["null","string"],"default":null},
    {"name":"address","type":["null",{"type":"record","name":"Address","fields":[
        {"name":"street","type":["null","string"],"default":null},
        {"name":"city","type":"string","default":"?"},
        {"name":"zip","type":"string"}]}],"default":null},
    {"name":"level","type":["int","null"],"default":7},
    {"name":"tags","type":{"type":"array","items":"string"},"default":["new"]},
    {"name":"points","type":{"type":"map","values":"long"},"default":{}},
    {"name":"score","type":"double","default":0}]}"#;

const BY_TOPIC: &str = "names: { customers.crm: crm, customers.shop: shop }";

/// A pipeline over two source topics, and what loading it warns of.
fn load(ownership: &str, fields: &str, steps: &str) -> Result<(InProcess, Vec<Fault>), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text);
    let yaml = format!(
        "pipelines:
  customers:
    owner: {{ team: crm }}
    source: {{ topics: [customers.crm, customers.shop] }}
    contract: {{ schema: customer.avsc, rules: customer.rules.yaml }}
    ownership: {{ {ownership} }}
    transform: [ {steps} ]
    sink: {{ topic: golden, schema: customer.avsc }}
"
    );
    let rules = format!(
        "rules:\n  - {{ name: known-city, expr: \"address == null || address.city != 'Atlantis'\" }}\nfields:\n{fields}"
    );
    write("driftgate.yaml", &yaml).expect("a file");
    write("customer.avsc", CUSTOMER).expect("a file");
    write("customer.rules.yaml", &rules).expect("a file");
    let file = folder.path().join("driftgate.yaml");
    let rendered = |faults: Vec<Fault>| diagnose::render(&faults, false);
    let loaded = config::load(&file, &|_| None).map_err(rendered)?;
    let parts = build::compile(&loaded.config.pipelines[0], None, &|_| None);
    let parts = match futures::executor::block_on(parts) {
        Ok(parts) => parts.expect("its schemas are files"),
        Err(build::BuildError::Faults(faults)) => return Err(rendered(faults)),
        Err(build::BuildError::Registry(error)) => panic!("{error}"),
    };
    let pipeline = in_process(&file);
    Ok((pipeline, parts.warnings))
}

fn in_process(file: &FilePath) -> InProcess {
    InProcess::load(file, "customers", &Natives::default(), &|_| None).expect("a pipeline")
}

fn pipeline(ownership: &str, fields: &str) -> InProcess {
    load(ownership, fields, "")
        .unwrap_or_else(|why| panic!("{why}"))
        .0
}

fn bare() -> Json {
    json!({"id": "c-1", "origin": null, "email": null, "address": null, "level": 7, "tags": ["new"], "points": {}, "score": 0.0})
}

fn with(field: &str, value: Json) -> Json {
    let mut customer = bare();
    customer[field] = value;
    customer
}

fn run(pipeline: &mut InProcess, topic: &str, headers: &[Header<'_>], value: &Json) -> Ended {
    let framed = pipeline.frame(CONTRACT_ID, value).expect("a customer");
    pipeline.process(&Record {
        topic,
        value: Some(&framed),
        headers: headers.to_vec(),
        ..Record::default()
    })
}

fn error(ended: &Ended) -> (Reason, &str, &str) {
    let error = ended.error().unwrap_or_else(|| panic!("{ended:?}"));
    (error.reason, &error.path, &error.message)
}

fn flag(ended: &Ended) -> Option<String> {
    let Ended::Emitted(emitted) = ended else {
        panic!("{ended:?}")
    };
    let headers = emitted[0].headers.iter();
    let mut foreign = headers.filter(|(name, _)| name == headers::FOREIGN);
    let (_, value) = foreign.next()?;
    let value = value.clone().expect("a value");
    Some(String::from_utf8(value).expect("text"))
}

#[test]
fn the_owner_sets_a_field_and_nobody_else_does() {
    let mut pipeline = pipeline(BY_TOPIC, "  email: { owner: crm }\n");
    let set = with("email", json!("ada@example.com"));
    let ended = run(&mut pipeline, "customers.crm", &[], &set);
    assert_eq!(ended.output(), Some(set.clone()));
    let ended = run(&mut pipeline, "customers.shop", &[], &set);
    let expected = "`crm` owns this field, and the event is from `shop`";
    assert_eq!(error(&ended), (Reason::ForeignField, "email", expected));
    let told = ended.error().expect("it failed").to_string();
    assert!(!told.contains("ada"), "{told}");
    // What it does not own and does not set is none of its business.
    for topic in ["customers.crm", "customers.shop"] {
        let ended = run(&mut pipeline, topic, &[], &bare());
        assert_eq!(ended.output(), Some(bare()), "{topic}");
    }
}

#[test]
fn null_and_the_default_are_not_set_however_they_are_written() {
    let fields = "  email: { owner: crm }\n  level: { owner: crm }\n  tags: { owner: crm }\n  points: { owner: crm }\n  score: { owner: crm }\n";
    let mut pipeline = pipeline(BY_TOPIC, fields);
    let shop = "customers.shop";
    for (field, unset, set) in [
        ("level", json!(null), json!(8)),
        ("level", json!(7), json!(0)),
        ("tags", json!(["new"]), json!([])),
        ("tags", json!(["new"]), json!(["new", "new"])),
        ("points", json!({}), json!({"a": 1})),
        ("score", json!(0.0), json!(0.5)),
    ] {
        let quiet = with(field, unset);
        let ended = run(&mut pipeline, shop, &[], &quiet);
        assert_eq!(ended.output(), Some(quiet), "{field}");
        let ended = run(&mut pipeline, shop, &[], &with(field, set));
        let (reason, path, _) = error(&ended);
        assert_eq!((reason, path), (Reason::ForeignField, field));
    }
    // The same default in blocks that state their size.
    let contract = pipeline.contract().clone();
    let text = bare().to_string();
    let value = crate::contract::json::from_text(&contract, contract.root, &text);
    let mut framed = Vec::new();
    wire::write_header(CONTRACT_ID, &mut framed);
    let value = value.expect("a customer");
    sized_blocks(&contract, contract.root, &value, &mut framed);
    let ended = pipeline.process(&Record {
        topic: shop,
        value: Some(&framed),
        ..Record::default()
    });
    assert_eq!(ended.output(), Some(bare()));
}

/// A writer that has never heard of the field sets nothing.
#[test]
fn a_field_that_the_writer_does_not_have_is_not_set() {
    let mut pipeline = InProcess::builder("customers")
        .contract(CUSTOMER)
        .rules("fields:\n  email: { owner: crm }\n  tags: { owner: crm }\n")
        .ownership("by: { header: x-system }")
        .writer(
            7,
            r#"{"type":"record","name":"Customer","fields":[{"name":"id","type":"string"}]}"#,
        )
        .build()
        .unwrap_or_else(|faults| panic!("{faults}"));
    let framed = pipeline.frame(7, &json!({"id": "c-1"})).expect("a value");
    let ended = pipeline.process(&Record {
        value: Some(&framed),
        ..Record::default()
    });
    assert_eq!(ended.output(), Some(bare()));
}

#[test]
fn what_is_ignored_is_not_there_for_rules_and_steps() {
    let fields = "  email: { owner: crm }\n  address.city: { owner: crm }\n  level: { owner: crm }\n  tags: { owner: crm }\n";
    let steps =
        "{ filter: \"level.orValue(0) == 7\" }, { set: { score: \"email == null ? 1.0 : 2.0\" } }";
    let (mut pipeline, _) = load(&format!("{BY_TOPIC}, then: ignore"), fields, steps)
        .unwrap_or_else(|why| panic!("{why}"));
    let mut customer = with("email", json!("ada@example.com"));
    customer["address"] = json!({"street": "Long Road", "city": "Atlantis", "zip": "1"});
    customer["level"] = json!(9);
    customer["tags"] = json!([]);
    let ended = run(&mut pipeline, "customers.shop", &[], &customer);
    let mut expected = bare();
    expected["address"] = json!({"street": "Long Road", "city": "?", "zip": "1"});
    expected["score"] = json!(1.0);
    assert_eq!(ended.output(), Some(expected));
    assert_eq!(flag(&ended), None);
    // To its owner the same event fails the rule.
    let ended = run(&mut pipeline, "customers.crm", &[], &customer);
    assert_eq!(error(&ended).0, Reason::RuleViolation);
}

#[test]
fn what_is_flagged_goes_on_as_it_is_and_names_the_fields() {
    let fields = "  email: { owner: crm }\n  address: { owner: crm }\n  level: { owner: shop }\n  tags: { owner: crm, on_foreign: ignore }\n";
    let mut pipeline = pipeline(&format!("{BY_TOPIC}, then: flag"), fields);
    let mut customer = with("email", json!("ada@example.com"));
    customer["address"] = json!({"street": null, "city": "?", "zip": "1"});
    customer["level"] = json!(3);
    customer["tags"] = json!(["old"]);
    let ended = run(&mut pipeline, "customers.shop", &[], &customer);
    customer["tags"] = json!(["new"]);
    assert_eq!(ended.output(), Some(customer.clone()));
    assert_eq!(flag(&ended).as_deref(), Some("email, address"));
    let ended = run(
        &mut pipeline,
        "customers.crm",
        &[],
        &with("level", json!(3)),
    );
    assert_eq!(flag(&ended).as_deref(), Some("level"));
    let ended = run(&mut pipeline, "customers.crm", &[], &bare());
    assert_eq!(flag(&ended), None);
}

/// A rejected event counts nothing as ignored or flagged: it does not go on.
#[test]
fn the_first_field_that_rejects_is_told_and_the_others_are_counted() {
    let fields = "  email: { owner: crm, on_foreign: ignore }\n  level: { owner: crm }\n  tags: { owner: crm }\n  score: { owner: crm }\n";
    let mut pipeline = pipeline(BY_TOPIC, fields);
    let mut customer = with("email", json!("a@b.c"));
    customer["level"] = json!(1);
    let ended = run(&mut pipeline, "customers.shop", &[], &customer);
    let one = "`crm` owns this field, and the event is from `shop`";
    assert_eq!(error(&ended), (Reason::ForeignField, "level", one));
    customer["tags"] = json!([]);
    let ended = run(&mut pipeline, "customers.shop", &[], &customer);
    let two = format!("{one}; 1 more field of others in it");
    assert_eq!(error(&ended), (Reason::ForeignField, "level", two.as_str()));
    customer["score"] = json!(2.0);
    let ended = run(&mut pipeline, "customers.shop", &[], &customer);
    let three = format!("{one}; 2 more fields of others in it");
    assert_eq!(error(&ended).2, three);
}

#[test]
fn a_header_says_who_it_is() {
    let ownership = "by: { header: x-system }, names: { SAP_CRM: crm }";
    let mut pipeline = pipeline(ownership, "  email: { owner: crm }\n");
    let set = with("email", json!("ada@example.com"));
    let mut of = |headers: &[Header<'_>]| {
        let ended = run(&mut pipeline, "customers.shop", headers, &set);
        ended.error().map(|error| error.message.clone())
    };
    // By its entry, by its name, and by the last header of that name.
    assert_eq!(of(&[("x-system", Some(b"SAP_CRM"))]), None);
    assert_eq!(of(&[("x-system", Some(b"crm"))]), None);
    let twice: [Header<'_>; 2] = [("x-system", Some(b"shop")), ("x-system", Some(b"crm"))];
    assert_eq!(of(&twice), None);
    let stranger = "`crm` owns this field, and the event's header `x-system` names no source that is known here";
    let silent = "`crm` owns this field, and the event has no header `x-system`";
    for said in ["shop", "CRM", "", "sap_crm"] {
        let told = of(&[("x-system", Some(said.as_bytes()))]);
        assert_eq!(told.as_deref(), Some(stranger), "{said}");
    }
    assert_eq!(of(&[]).as_deref(), Some(silent));
    assert_eq!(of(&[("x-system", None)]).as_deref(), Some(silent));
    let turned: [Header<'_>; 2] = [("x-system", Some(b"crm")), ("x-system", Some(b"shop"))];
    assert_eq!(of(&turned).as_deref(), Some(stranger));
}

#[test]
fn a_field_or_an_expression_says_who_it_is() {
    for by in ["origin", "origin.orValue('shop').lowerAscii()"] {
        let ownership = format!("by: {{ field: \"{by}\" }}, names: {{ CRM: crm }}");
        let mut pipeline = pipeline(&ownership, "  email: { owner: crm }\n");
        let mut of = |origin: Json| {
            let mut customer = with("email", json!("ada@example.com"));
            customer["origin"] = origin;
            let ended = run(&mut pipeline, "customers.crm", &[], &customer);
            ended.error().map(|error| error.message.clone())
        };
        for origin in ["crm", "CRM"] {
            assert_eq!(of(json!(origin)), None, "{by}, {origin}");
        }
        let stranger = format!("`crm` owns this field, and `{by}` is no source that is known here");
        assert_eq!(of(json!("x")), Some(stranger.clone()), "{by}");
        let silent = match by {
            "origin" => format!("`crm` owns this field, and `{by}` is null"),
            _ => stranger,
        };
        assert_eq!(of(json!(null)), Some(silent), "{by}");
    }
}

#[test]
fn a_topic_without_an_entry_is_its_own_name_and_a_tombstone_passes() {
    let mut pipeline = pipeline("by: topic", "  email: { owner: customers.crm }\n");
    let set = with("email", json!("ada@example.com"));
    let ended = run(&mut pipeline, "customers.crm", &[], &set);
    assert!(ended.error().is_none());
    let ended = run(&mut pipeline, "customers.shop", &[], &set);
    let told = "`customers.crm` owns this field, and the event is from `customers.shop`";
    assert_eq!(error(&ended).2, told);
    let ended = pipeline.process(&Record {
        topic: "customers.shop",
        ..Record::default()
    });
    assert_eq!(ended.output(), Some(Json::Null));
}

#[test]
fn what_cannot_be_owned_is_a_fault_and_what_is_owned_in_vain_a_warning() {
    let refused = |ownership: &str, fields: &str, says: &str| {
        let Err(told) = load(ownership, fields, "") else {
            panic!("{fields} is taken");
        };
        assert!(told.contains(says), "{fields}: {told}");
        told
    };
    refused(BY_TOPIC, "  email: { doc: mail }\n", "has an owner");
    let told = refused(BY_TOPIC, "  emial: { owner: crm }\n", "no field `emial`");
    assert_eq!(told.matches("no field `emial`").count(), 1, "{told}");
    refused(
        BY_TOPIC,
        "  \"tags[]\": { owner: crm }\n",
        "ownership is of the whole",
    );
    refused(
        BY_TOPIC,
        "  \"points{}\": { owner: crm }\n",
        "give `points` the owner",
    );
    refused(
        BY_TOPIC,
        "  id: { owner: crm, on_foreign: ignore }\n",
        "nothing to ignore it for",
    );
    for inner in ["owner: shop", "owner: crm, on_foreign: flag"] {
        refused(
            BY_TOPIC,
            &format!("  address: {{ owner: crm }}\n  address.city: {{ {inner} }}\n"),
            "`address.city` is a part of `address`",
        );
    }
    refused(
        BY_TOPIC,
        "  email: { on_foreign: flag }\n",
        "`email` has no owner",
    );
    refused(
        "by: { field: level }",
        "  email: { owner: crm }\n",
        "a text or bytes; this is",
    );
    let told = refused(
        "by: { field: orgin }",
        "  emial: { owner: crm }\n  email: { owner: crm }\n",
        "no field `orgin`",
    );
    // All that is wrong, at once.
    assert!(told.contains("emial"), "{told}");

    let warns = |ownership: &str, fields: &str| -> Vec<String> {
        let (_, warnings) = load(ownership, fields, "").unwrap_or_else(|why| panic!("{why}"));
        let text = |fault: &Fault| {
            let hint = fault.hint.as_deref().unwrap_or_default();
            format!("{}: {hint}", fault.message)
        };
        warnings.iter().map(text).collect()
    };
    let quiet: [String; 0] = [];
    assert_eq!(warns(BY_TOPIC, "  email: { owner: crm }\n"), quiet);
    // The same verdict within a record is said twice.
    let twice = "  address: { owner: crm }\n  address.city: { owner: crm }\n";
    assert_eq!(warns(BY_TOPIC, twice), quiet);
    let vain = warns(BY_TOPIC, "  email: { owner: cmr }\n");
    assert_eq!(
        vain,
        [
            "`email` is owned by `cmr`, and no source topic stands for that: nobody can set it: did you mean `crm`?"
        ]
    );
    let header = "by: { header: x }";
    assert_eq!(warns(header, "  email: { owner: cmr }\n"), quiet);
    let always = warns(header, "  id: { owner: crm }\n");
    assert!(
        always[0].contains("all events of others are dead letters"),
        "{always:?}"
    );
    let always = warns(
        BY_TOPIC,
        "  address.zip: { owner: crm, on_foreign: flag }\n",
    );
    assert!(
        always[0].contains("all events of others are flagged"),
        "{always:?}"
    );
    let alone = "names: { customers.crm: crm, customers.shop: crm }";
    assert_eq!(warns(alone, "  id: { owner: crm }\n"), quiet);
}

#[test]
fn the_header_is_bounded() {
    let field = |index: usize| Owned {
        path: format!("a_field_with_a_rather_long_name_{index:03}"),
        positions: vec![index],
        owner: 0,
        then: OnForeign::Flag,
        mark: index,
        node: 0,
        null: None,
        default: None,
        unset: None,
    };
    let ownership = Ownership {
        by: By::Topic,
        known: Vec::new(),
        sources: vec!["crm".to_owned()],
        fields: (0..500).map(field).collect(),
        foreign: Vec::new(),
    };
    let found = Found {
        sender: Sender::Unknown,
        fields: (0..500).collect(),
    };
    let text = ownership.flagged(&found).expect("fields");
    assert!(text.len() <= headers::FOREIGN_LIMIT, "{}", text.len());
    let (names, left) = text.rsplit_once(", +").expect("a count");
    let named = names.split(", ").count();
    assert_eq!(named + left.parse::<usize>().expect("a number"), 500);
    assert!(named > 20, "{named}");
}

/// Every field of a record, and of those in it, as far as they are no part of an owned one.
fn random_fields(schema: &Schema, pick: &mut dyn FnMut() -> bool) -> Vec<Owned> {
    let mut out = Vec::new();
    let mut ways = vec![(Vec::new(), schema.root, 0)];
    while let Some((way, node, depth)) = ways.pop() {
        let Kind::Record(record) = &schema.node(peel(schema, node).node).kind else {
            continue;
        };
        for (position, field) in record.fields.iter().enumerate() {
            let mut positions: Vec<usize> = way.clone();
            positions.push(position);
            if !pick() {
                if depth < 4 {
                    ways.push((positions, field.node, depth + 1));
                }
                continue;
            }
            let (null, unset) = match &schema.node(field.node).kind {
                Kind::Union(branches) => {
                    let is_null = |branch: &NodeId| schema.node(*branch).kind == Kind::Null;
                    match branches.iter().position(is_null) {
                        Some(branch) => (Some(branch), Value::Union(branch, Box::new(Value::Null))),
                        None => continue,
                    }
                }
                Kind::String => (None, Value::String("a default that is long".to_owned())),
                Kind::Long if schema.node(field.node).logical.is_none() => (None, Value::Long(77)),
                Kind::Array(_) => (None, Value::Array(Vec::new())),
                _ => continue,
            };
            let mut bytes = Vec::new();
            encode_node(schema, field.node, &unset, &mut bytes).expect("it fits");
            out.push(Owned {
                path: format!("{positions:?}"),
                positions,
                owner: 0,
                then: OnForeign::Ignore,
                mark: 0,
                node: field.node,
                null,
                default: Some(unset),
                unset: Some(bytes),
            });
        }
    }
    out.sort_by(|one, other| one.positions.cmp(&other.positions));
    out
}

/// Puts the value that a field has when it is not set in its place, unless a record above it is null.
fn unset(value: &mut Value, positions: &[usize], to: &Value) {
    let inner = match value {
        Value::Union(_, inner) => inner,
        value => value,
    };
    match (inner, positions) {
        (Value::Record(fields), [last]) => fields[*last] = to.clone(),
        (Value::Record(fields), [first, rest @ ..]) => unset(&mut fields[*first], rest, to),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Ignoring is setting to what is not set, on a tree of values; and the marks are those of a plan that reads the result.
    #[test]
    fn ignoring_is_the_same_on_bytes_as_on_a_tree(seed: u64, picks: u64) {
        let (_, schema, value) = Generator::pair(seed, ANY);
        let mut picks = picks;
        let mut fields = random_fields(&schema, &mut || {
            picks = picks.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            picks & 1 == 0
        });
        let mut wanted: Vec<Vec<usize>> = fields.iter().map(|field| field.positions.clone()).collect();
        // Others that steps need lie in front of these.
        if let Kind::Record(record) = &schema.root().kind {
            for position in (0..record.fields.len()).rev() {
                if !wanted.contains(&vec![position]) {
                    wanted.insert(0, vec![position]);
                }
            }
        }
        for field in &mut fields {
            let at = wanted.iter().position(|wanted| *wanted == field.positions);
            field.mark = at.expect("it is wanted");
        }
        let all = (0..fields.len()).collect();
        let ownership = Ownership {
            by: By::Header("none".to_owned()),
            known: Vec::new(),
            sources: vec!["crm".to_owned()],
            fields,
            foreign: vec![Vec::new(), all],
        };
        let plan = Plan::compile(&schema, &schema, &wanted).expect("it reads itself");
        let mut bytes = Vec::new();
        encode(&schema, &value, &mut bytes).expect("a value of its schema");
        let limits = Limits::default();
        let mut scratch = Scratch::default();
        let view = plan.run(&bytes, &limits, &mut scratch).expect("valid");
        let (arena, mut registers) = (Bump::new(), [Val::Null]);
        let mut cx = Cx {
            schema: &schema,
            arena: &arena,
            bytes: view.bytes,
            marks: view.marks,
            registers: &mut registers,
            record: None,
            steps: 0,
        };
        let mut found = Found::default();
        let record = Record::default();
        ownership.find(&mut cx, "", &record, &mut found).expect("valid");
        let mut expected = value.clone();
        for index in &found.fields {
            let field = &ownership.fields[*index];
            unset(&mut expected, &field.positions, field.default.as_ref().expect("it has one"));
        }
        // What was not found is what would not have changed.
        for field in &ownership.fields {
            let mut again = expected.clone();
            unset(&mut again, &field.positions, field.default.as_ref().expect("it has one"));
            prop_assert_eq!(&again, &expected);
        }
        ownership.act(&mut cx, schema.root, &wanted, &found, &mut |_, source, then| {
            assert_eq!((source, then), (OTHER, "ignore"));
        }).expect("nothing is rejected");
        let (made, marks) = (cx.bytes, cx.marks);
        let read = decode(&schema, made, &limits);
        prop_assert_eq!(read.as_ref(), Ok(&expected));
        let mut scratch = Scratch::default();
        let view = plan.run(made, &limits, &mut scratch).expect("valid");
        prop_assert_eq!(view.marks, marks);
    }
}
