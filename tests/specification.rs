//! Every statement of the section "Schema Resolution" of the Avro 1.12 specification, one test each, on the plan that
//! records go through. A test's doc is the statement, in short.

use driftgate::contract::decode::{self, Limits};
use driftgate::contract::encode::encode;
use driftgate::contract::json::{FromJson, to_json};
use driftgate::contract::plan::{Plan, Scratch};
use driftgate::contract::schema::Schema;
use driftgate::error::Reason;
use serde_json::{Value as Json, json};

/// Bytes are base64 in values, and characters up to U+00FF in defaults.
/// The reader's view of a value, or why there is none: `incompatible_schema` for all records, or `unresolvable_value`
/// for this one.
fn read(writer: &Json, reader: &Json, value: &Json) -> Result<Json, Reason> {
    let schema = |json: &Json| Schema::parse(&json.to_string(), &[]).expect("a schema");
    let (writer, reader) = (schema(writer), schema(reader));
    let value = FromJson::default().text(&writer, writer.root, &value.to_string());
    let mut bytes = Vec::new();
    encode(&writer, &value.expect("a value of the writer"), &mut bytes).expect("fits");
    let plan = Plan::compile(&writer, &reader, &[]).map_err(|error| error.reason)?;
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let view = plan
        .run(&bytes, &limits, &mut scratch)
        .map_err(|error| error.reason)?;
    let value = decode::decode(&reader, view.bytes, &limits).expect("bytes of the reader");
    Ok(to_json(&reader, reader.root, &value))
}

fn check(writer: Json, reader: Json, value: Json, expect: Json) {
    assert_eq!(
        read(&writer, &reader, &value),
        Ok(expect),
        "{writer} → {reader}"
    );
}

fn never(writer: Json, reader: Json, value: Json) {
    let found = read(&writer, &reader, &value);
    assert_eq!(
        found,
        Err(Reason::IncompatibleSchema),
        "{writer} → {reader}"
    );
}

fn refuses(writer: Json, reader: Json, value: Json) {
    let found = read(&writer, &reader, &value);
    assert_eq!(found, Err(Reason::UnresolvableValue), "{writer} → {reader}");
}

fn record(name: &str, fields: Json) -> Json {
    json!({"type": "record", "name": name, "fields": fields})
}

fn array(items: Json) -> Json {
    json!({"type": "array", "items": items})
}

fn map(values: Json) -> Json {
    json!({"type": "map", "values": values})
}

fn symbols(name: &str, symbols: Json) -> Json {
    json!({"type": "enum", "name": name, "symbols": symbols})
}

fn fixed(name: &str, size: usize) -> Json {
    json!({"type": "fixed", "name": name, "size": size})
}

/// It is an error if the two schemas do not match.
#[test]
fn schemas_that_do_not_match_are_an_error() {
    never(json!("int"), json!("string"), json!(1));
    never(json!("string"), array(json!("string")), json!("a"));
    never(record("R", json!([])), map(json!("int")), json!({}));
    never(json!("boolean"), json!("int"), json!(true));
    never(json!("null"), json!("string"), Json::Null);
}

/// Both schemas are arrays whose item types match.
#[test]
fn arrays_match_by_their_items() {
    check(
        array(json!("int")),
        array(json!("int")),
        json!([1, 2]),
        json!([1, 2]),
    );
    never(array(json!("int")), array(json!("string")), json!([]));
}

/// Both schemas are maps whose value types match.
#[test]
fn maps_match_by_their_values() {
    check(
        map(json!("int")),
        map(json!("int")),
        json!({"a": 1}),
        json!({"a": 1}),
    );
    never(map(json!("int")), map(json!("string")), json!({}));
}

/// Both schemas are enums whose (unqualified) names match.
#[test]
fn enums_match_by_unqualified_name() {
    let a = symbols("a.E", json!(["X", "Y"]));
    check(
        a.clone(),
        symbols("b.E", json!(["X", "Y"])),
        json!("Y"),
        json!("Y"),
    );
    never(a, symbols("a.F", json!(["X", "Y"])), json!("Y"));
}

/// Both schemas are fixed whose sizes and (unqualified) names match.
#[test]
fn fixed_match_by_size_and_unqualified_name() {
    let value = json!("AQI=");
    let same = read(&fixed("a.F", 2), &fixed("b.F", 2), &value).expect("matches");
    let own = read(&fixed("a.F", 2), &fixed("a.F", 2), &value).expect("matches");
    assert_eq!(same, own);
    never(fixed("F", 2), fixed("F", 3), value.clone());
    never(fixed("F", 2), fixed("G", 2), value);
}

/// Both schemas are records with the same (unqualified) name.
#[test]
fn records_match_by_unqualified_name() {
    let fields = json!([{"name": "a", "type": "int"}]);
    let value = json!({"a": 1});
    check(
        record("a.R", fields.clone()),
        record("b.R", fields.clone()),
        value.clone(),
        value.clone(),
    );
    never(record("R", fields.clone()), record("S", fields), value);
}

/// Either schema is a union.
#[test]
fn a_union_on_either_side_matches() {
    check(json!("int"), json!(["null", "int"]), json!(1), json!(1));
    check(json!(["null", "int"]), json!("int"), json!(1), json!(1));
    check(
        json!(["null", "int"]),
        json!(["int", "null"]),
        json!(1),
        json!(1),
    );
}

/// Both schemas have the same primitive type.
#[test]
fn primitive_types_match_themselves() {
    for (of, value) in [
        ("null", Json::Null),
        ("boolean", json!(true)),
        ("int", json!(-1)),
        ("long", json!(i64::MIN)),
        ("float", json!(0.5)),
        ("double", json!(-0.25)),
        ("string", json!("é")),
    ] {
        check(json!(of), json!(of), value.clone(), value);
    }
    let bytes = json!("AP8=");
    assert!(read(&json!("bytes"), &json!("bytes"), &bytes).is_ok());
}

/// int is promotable to long, float or double.
#[test]
fn int_is_promoted_to_long_float_and_double() {
    check(
        json!("int"),
        json!("long"),
        json!(i32::MIN),
        json!(i32::MIN),
    );
    check(json!("int"), json!("float"), json!(3), json!(3.0));
    check(
        json!("int"),
        json!("double"),
        json!(i32::MAX),
        json!(2_147_483_647.0),
    );
}

/// long is promotable to float or double.
#[test]
fn long_is_promoted_to_float_and_double() {
    check(json!("long"), json!("float"), json!(-3), json!(-3.0));
    check(
        json!("long"),
        json!("double"),
        json!(1_i64 << 40),
        json!(1_099_511_627_776.0),
    );
    never(json!("long"), json!("int"), json!(1));
}

/// float is promotable to double.
#[test]
fn float_is_promoted_to_double() {
    check(json!("float"), json!("double"), json!(0.5), json!(0.5));
    never(json!("double"), json!("float"), json!(0.5));
    never(json!("float"), json!("long"), json!(0.5));
}

/// string is promotable to bytes.
#[test]
fn string_is_promoted_to_bytes() {
    let promoted = read(&json!("string"), &json!("bytes"), &json!("é"));
    let bytes = read(&json!("bytes"), &json!("bytes"), &json!("w6k="));
    assert!(
        promoted.is_ok() && promoted == bytes,
        "{promoted:?} {bytes:?}"
    );
}

/// bytes is promotable to string.
#[test]
fn bytes_is_promoted_to_string() {
    check(json!("bytes"), json!("string"), json!("w6k="), json!("é"));
    // What is no text is no string.
    refuses(json!("bytes"), json!("string"), json!("/w=="));
}

/// If both are records: the ordering of fields may be different; fields are matched by name.
#[test]
fn fields_are_matched_by_name_in_any_order() {
    let (a, b) = (
        json!({"name": "a", "type": "int"}),
        json!({"name": "b", "type": "string"}),
    );
    check(
        record("R", json!([a, b])),
        record("R", json!([b, a])),
        json!({"a": 1, "b": "x"}),
        json!({"b": "x", "a": 1}),
    );
}

/// If both are records: schemas for fields with the same name in both records are resolved recursively.
#[test]
fn fields_of_the_same_name_are_resolved_recursively() {
    let nested = |of: &str| {
        let inner = record("I", json!([{"name": "n", "type": of}]));
        record("R", json!([{"name": "a", "type": inner}]))
    };
    check(
        nested("int"),
        nested("double"),
        json!({"a": {"n": 1}}),
        json!({"a": {"n": 1.0}}),
    );
    never(nested("int"), nested("string"), json!({"a": {"n": 1}}));
}

/// If the writer's record contains a field with a name not present in the reader's record, the writer's value for that
/// field is ignored.
#[test]
fn a_field_that_the_reader_lacks_is_ignored() {
    check(
        record(
            "R",
            json!([{"name": "gone", "type": "string"}, {"name": "a", "type": "int"}]),
        ),
        record("R", json!([{"name": "a", "type": "int"}])),
        json!({"gone": "x", "a": 1}),
        json!({"a": 1}),
    );
}

/// If the reader's record schema has a field that contains a default value, and writer's schema does not have a field
/// with the same name, then the reader should use the default value from its field.
#[test]
fn a_field_that_the_writer_lacks_takes_its_default() {
    for (of, default) in [
        (json!("null"), Json::Null),
        (json!("boolean"), json!(true)),
        (json!("int"), json!(-5)),
        (json!("long"), json!(1_i64 << 40)),
        (json!("float"), json!(0.5)),
        (json!("double"), json!(-0.5)),
        (json!("string"), json!("x")),
        (array(json!("int")), json!([1, 2])),
        (map(json!("int")), json!({"k": 1})),
        (symbols("E", json!(["A", "B"])), json!("B")),
        (
            record("I", json!([{"name": "n", "type": "int"}])),
            json!({"n": 1}),
        ),
        (json!(["null", "int"]), Json::Null),
        (json!(["int", "null"]), json!(7)),
    ] {
        let reader = record(
            "R",
            json!([{"name": "new", "type": of, "default": default}]),
        );
        check(
            record("R", json!([])),
            reader,
            json!({}),
            json!({"new": default}),
        );
    }
    for of in [json!("bytes"), fixed("F", 2)] {
        let field = json!({"name": "new", "type": of, "default": "\u{0}\u{ff}"});
        let found = read(
            &record("R", json!([])),
            &record("R", json!([field])),
            &json!({}),
        );
        let own = read(&of, &of, &json!("AP8=")).expect("itself");
        assert_eq!(found, Ok(json!({"new": own})));
    }
}

/// If the reader's record schema has a field with no default value, and writer's schema does not have a field with the
/// same name, an error is signalled.
#[test]
fn a_field_that_the_writer_lacks_without_default_is_an_error() {
    let reader = record("R", json!([{"name": "new", "type": ["null", "int"]}]));
    never(record("R", json!([])), reader, json!({}));
}

/// If both are enums: if the writer's symbol is not present in the reader's enum and the reader has a default value,
/// then that value is used, otherwise an error is signalled.
#[test]
fn an_unknown_symbol_takes_the_default_or_is_an_error() {
    let writer = symbols("E", json!(["A", "B", "C"]));
    let reader = symbols("E", json!(["C", "A"]));
    let mut defaulting = reader.clone();
    defaulting["default"] = json!("A");
    check(writer.clone(), defaulting, json!("B"), json!("A"));
    check(writer.clone(), reader.clone(), json!("C"), json!("C"));
    refuses(writer, reader, json!("B"));
}

/// If both are arrays: this resolution algorithm is applied recursively to the reader's and writer's array item schemas.
#[test]
fn items_are_resolved_recursively() {
    let items = |of: &str| array(array(json!(of)));
    check(
        items("int"),
        items("double"),
        json!([[1], []]),
        json!([[1.0], []]),
    );
}

/// If both are maps: this resolution algorithm is applied recursively to the reader's and writer's value schemas.
#[test]
fn values_are_resolved_recursively() {
    let values = |of: &str| map(map(json!(of)));
    check(
        values("int"),
        values("double"),
        json!({"a": {"b": 1}}),
        json!({"a": {"b": 1.0}}),
    );
}

/// If both are unions: the first schema in the reader's union that matches the selected writer's union schema is
/// recursively resolved against it. If none match, an error is signalled.
#[test]
fn of_two_unions_the_selected_branch_is_resolved() {
    check(
        json!(["null", "int"]),
        json!(["string", "double", "null"]),
        json!(1),
        json!(1.0),
    );
    check(
        json!(["null", "int"]),
        json!(["string", "null"]),
        Json::Null,
        Json::Null,
    );
    refuses(json!(["null", "int"]), json!(["string", "null"]), json!(1));
    never(
        json!(["int", "boolean"]),
        json!(["string", "null"]),
        json!(1),
    );
    // Records are told apart by name, the full one first, however alike they look.
    let card = |name: &str, of: &str| record(name, json!([{"name": "number", "type": of}]));
    let writer = json!([card("a.Card", "int"), card("b.Card", "int")]);
    let reader = json!([card("a.Card", "float"), card("b.Card", "int")]);
    let number = |name: &str| json!({ name: {"number": 1} });
    check(
        writer.clone(),
        reader.clone(),
        number("a.Card"),
        json!({"number": 1.0}),
    );
    check(writer, reader, number("b.Card"), json!({"number": 1}));
}

/// If reader's is a union, but writer's is not: the first schema in the reader's union that matches the writer's schema
/// is recursively resolved against it. If none match, an error is signalled.
#[test]
fn a_reader_union_takes_the_branch_that_matches() {
    check(
        json!("int"),
        json!(["null", "string", "long"]),
        json!(5),
        json!(5),
    );
    check(
        json!("string"),
        json!(["bytes", "string"]),
        json!("x"),
        json!("x"),
    );
    never(json!("int"), json!(["null", "string"]), json!(5));
    let inner = |of: &str| record("I", json!([{"name": "n", "type": of}]));
    check(
        inner("int"),
        json!(["null", inner("double")]),
        json!({"n": 1}),
        json!({"n": 1.0}),
    );
}

/// If writer's is a union, but reader's is not: if the reader's schema matches the selected writer's schema, it is
/// recursively resolved against it. If they do not match, an error is signalled.
#[test]
fn a_writer_union_is_resolved_by_the_branch_it_takes() {
    check(
        json!(["null", "int", "string"]),
        json!("double"),
        json!(5),
        json!(5.0),
    );
    refuses(json!(["null", "int"]), json!("double"), Json::Null);
    never(json!(["null", "string"]), json!("double"), Json::Null);
}

/// A schema's doc fields are ignored for the purposes of schema resolution.
#[test]
fn docs_are_ignored() {
    let mut field = json!({"name": "a", "type": "int"});
    let plain = record("R", json!([field]));
    field["doc"] = json!("an amount");
    let mut told = record("R", json!([field]));
    told["doc"] = json!("a record");
    check(
        plain.clone(),
        told.clone(),
        json!({"a": 1}),
        json!({"a": 1}),
    );
    check(told, plain, json!({"a": 1}), json!({"a": 1}));
}

/// From the section on aliases: the writer's schema is rewritten using aliases of the reader's, of named types and of
/// fields.
#[test]
fn aliases_of_the_reader_join_types_and_fields() {
    let mut reader = record(
        "New",
        json!([{"name": "b", "aliases": ["a"], "type": "int"}]),
    );
    reader["aliases"] = json!(["Old"]);
    let writer = record("Old", json!([{"name": "a", "type": "int"}]));
    check(
        writer.clone(),
        reader.clone(),
        json!({"a": 1}),
        json!({"b": 1}),
    );
    reader["aliases"] = json!([]);
    never(writer, reader, json!({"a": 1}));
    let mut enumeration = symbols("shop.New", json!(["A"]));
    enumeration["aliases"] = json!(["Old"]);
    check(
        symbols("shop.Old", json!(["A"])),
        enumeration,
        json!("A"),
        json!("A"),
    );
    let mut bytes = fixed("New", 1);
    bytes["aliases"] = json!(["Old"]);
    assert!(read(&fixed("Old", 1), &bytes, &json!("YQ==")).is_ok());
}

/// From the section on decimals: two decimals match if their scales and precisions match. Ours takes a precision that
/// grows, since every value fits; a scale that differs is a hundredfold error and never matches.
#[test]
fn decimals_match_by_scale() {
    let decimal = |precision: usize, scale: usize| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    assert!(read(&decimal(4, 2), &decimal(4, 2), &json!("1.50")).is_ok());
    assert!(read(&decimal(4, 2), &decimal(6, 2), &json!("1.50")).is_ok());
    never(decimal(4, 2), decimal(4, 3), json!("1.50"));
    never(decimal(4, 2), decimal(3, 2), json!("1.50"));
}
