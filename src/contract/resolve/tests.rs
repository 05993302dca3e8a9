//! Each statement of the specification's "Schema Resolution" section has a test that names it; then what we add.

use super::*;
use crate::contract::json::FromJson;

enum Expect<'a> {
    /// The reader's value, as JSON with unions in Avro's wrapped form where that matters.
    Reads(&'a str),
    /// This record has no counterpart: path and part of the message.
    Refuses(&'a str, &'a str),
    /// The pair can never work: path and part of the message of the first mismatch.
    Never(&'a str, &'a str),
}
use Expect::{Never, Reads, Refuses};

fn value(schema: &Schema, json: &str) -> Value {
    let read = FromJson::default().text(schema, schema.root, json);
    read.unwrap_or_else(|e| panic!("{json}: {e}"))
}

fn schema(text: &str) -> Schema {
    Schema::parse(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn check(writer: &str, reader: &str, json: &str, expect: Expect<'_>) {
    let (writer, reader) = (schema(writer), schema(reader));
    match (Resolution::compile(&writer, &reader), expect) {
        (Err(found), Never(path, part)) => {
            assert_eq!(found[0].path, path, "{found:?}");
            assert!(found[0].message.contains(part), "{found:?}");
        }
        (Err(found), _) => panic!("{found:?}"),
        (Ok(resolution), expect) => match (resolution.apply(value(&writer, json)), expect) {
            (Ok(found), Reads(expect)) => assert_eq!(found, value(&reader, expect)),
            (Err(e), Refuses(path, part)) => {
                assert_eq!(
                    (e.reason, e.path.as_str()),
                    (Reason::UnresolvableValue, path),
                    "{e}"
                );
                assert!(e.message.contains(part), "{e}");
            }
            (found, Never(..)) => panic!("it compiles, and gives {found:?}"),
            (found, Reads(expect) | Refuses(expect, _)) => panic!("{found:?}, expected {expect}"),
        },
    }
}

fn rec(name: &str, fields: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
}

fn field(name: &str, of: &str) -> String {
    format!(r#"{{"name":"{name}","type":{of}}}"#)
}

fn symbols(name: &str, symbols: &str, more: &str) -> String {
    format!(r#"{{"type":"enum","name":"{name}","symbols":{symbols}{more}}}"#)
}

#[test]
fn both_schemas_are_arrays_whose_item_types_match() {
    let of = |item: &str| format!(r#"{{"type":"array","items":{item}}}"#);
    check(&of("\"int\""), &of("\"long\""), "[1,2]", Reads("[1,2]"));
    check(
        &of("\"int\""),
        &of("\"string\""),
        "[]",
        Never("[]", "int cannot be read as string"),
    );
}

#[test]
fn both_schemas_are_maps_whose_value_types_match() {
    let of = |item: &str| format!(r#"{{"type":"map","values":{item}}}"#);
    check(
        &of("\"int\""),
        &of("\"double\""),
        r#"{"k":1}"#,
        Reads(r#"{"k":1}"#),
    );
    check(
        &of("\"int\""),
        &of("\"boolean\""),
        "{}",
        Never("[]", "int cannot be read as boolean"),
    );
}

#[test]
fn both_schemas_are_enums_whose_unqualified_names_match() {
    check(
        &symbols("a.E", r#"["X"]"#, ""),
        &symbols("b.E", r#"["X"]"#, ""),
        "\"X\"",
        Reads("\"X\""),
    );
    check(
        &symbols("E", r#"["X"]"#, ""),
        &symbols("F", r#"["X"]"#, ""),
        "",
        Never("", "differ in name"),
    );
}

#[test]
fn both_schemas_are_fixed_whose_sizes_and_unqualified_names_match() {
    let of = |name: &str, size: u8| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    check(&of("a.F", 1), &of("b.F", 1), "\"AA==\"", Reads("\"AA==\""));
    check(
        &of("F", 1),
        &of("F", 2),
        "",
        Never("", "has 1 bytes in the writer schema and 2"),
    );
    check(&of("F", 1), &of("G", 1), "", Never("", "differ in name"));
}

#[test]
fn both_schemas_are_records_with_the_same_unqualified_name() {
    check(&rec("a.R", ""), &rec("b.R", ""), "{}", Reads("{}"));
    check(
        &rec("R", ""),
        &rec("S", ""),
        "{}",
        Never("", "record R and the reader's record S differ in name"),
    );
}

#[test]
fn both_schemas_have_the_same_primitive_type() {
    for (of, json) in [
        ("\"null\"", "null"),
        ("\"boolean\"", "true"),
        ("\"int\"", "7"),
        ("\"long\"", "7"),
        ("\"float\"", "1.5"),
        ("\"double\"", "1.5"),
        ("\"bytes\"", "\"/w==\""),
        ("\"string\"", "\"x\""),
    ] {
        check(of, of, json, Reads(json));
    }
}

#[test]
fn the_writers_schema_may_be_promoted_to_the_readers() {
    let types = [
        "null", "boolean", "int", "long", "float", "double", "bytes", "string",
    ];
    let json = ["null", "true", "7", "7", "1.5", "1.5", "\"YQ==\"", "\"a\""];
    let allowed = [
        ("int", "long", "7"),
        ("int", "float", "7"),
        ("int", "double", "7"),
        ("long", "float", "7"),
        ("long", "double", "7"),
        ("float", "double", "1.5"),
        ("string", "bytes", "\"YQ==\""),
        ("bytes", "string", "\"a\""),
    ];
    for (writer, json) in types.iter().zip(json) {
        for reader in types.iter().filter(|r| *r != writer) {
            let found = allowed.iter().find(|(w, r, _)| (w, r) == (writer, reader));
            let expect = match found {
                Some((_, _, expect)) => Reads(expect),
                None => Never("", "cannot be read as"),
            };
            check(
                &format!("\"{writer}\""),
                &format!("\"{reader}\""),
                json,
                expect,
            );
        }
    }
    check(
        "\"bytes\"",
        "\"string\"",
        "\"/w==\"",
        Refuses("", "expected UTF-8"),
    );
    check("\"int\"", "\"long\"", "-2147483648", Reads("-2147483648"));
}

#[test]
fn the_ordering_of_fields_may_be_different_fields_are_matched_by_name() {
    let (a, b) = (field("a", "\"int\""), field("b", "\"string\""));
    let (writer, reader) = (rec("R", &format!("{a},{b}")), rec("R", &format!("{b},{a}")));
    check(
        &writer,
        &reader,
        r#"{"a":1,"b":"x"}"#,
        Reads(r#"{"b":"x","a":1}"#),
    );
}

#[test]
fn schemas_for_fields_with_the_same_name_are_resolved_recursively() {
    let nest = |of: &str| rec("R", &field("a", &rec("S", &field("b", of))));
    check(
        &nest("\"int\""),
        &nest("\"long\""),
        r#"{"a":{"b":1}}"#,
        Reads(r#"{"a":{"b":1}}"#),
    );
    check(
        &nest("\"long\""),
        &nest("\"int\""),
        "{}",
        Never("a.b", "long cannot be read as int"),
    );
}

#[test]
fn a_writers_field_that_the_reader_lacks_is_ignored() {
    let writer = rec(
        "R",
        &format!("{},{}", field("a", "\"int\""), field("b", "\"int\"")),
    );
    check(
        &writer,
        &rec("R", &field("b", "\"int\"")),
        r#"{"a":1,"b":2}"#,
        Reads(r#"{"b":2}"#),
    );
}

#[test]
fn a_readers_field_with_a_default_that_the_writer_lacks_takes_the_default() {
    let inner = rec(
        "I",
        r#"{"name":"x","type":"int"},{"name":"y","type":"int","default":2}"#,
    );
    for (of, default, expect) in [
        ("\"null\"".to_owned(), "null", "null"),
        ("\"boolean\"".to_owned(), "true", "true"),
        ("\"int\"".to_owned(), "7", "7"),
        ("\"long\"".to_owned(), "7", "7"),
        ("\"float\"".to_owned(), "1.5", "1.5"),
        ("\"double\"".to_owned(), "1", "1.0"),
        ("\"bytes\"".to_owned(), "\"\\u00ff\"", "\"/w==\""),
        ("\"string\"".to_owned(), "\"x\"", "\"x\""),
        (
            r#"{"type":"fixed","name":"F","size":1}"#.to_owned(),
            "\"\\u00ff\"",
            "\"/w==\"",
        ),
        (symbols("E", r#"["A","B"]"#, ""), "\"B\"", "\"B\""),
        (r#"{"type":"array","items":"int"}"#.to_owned(), "[1]", "[1]"),
        (
            r#"{"type":"map","values":"int"}"#.to_owned(),
            r#"{"k":1}"#,
            r#"{"k":1}"#,
        ),
        (r#"["null","int"]"#.to_owned(), "null", "null"),
        (r#"["null","int"]"#.to_owned(), "7", r#"{"int":7}"#),
        (inner, r#"{"x":1}"#, r#"{"x":1,"y":2}"#),
    ] {
        let reader = rec(
            "R",
            &format!(r#"{{"name":"new","type":{of},"default":{default}}}"#),
        );
        check(
            &rec("R", ""),
            &reader,
            "{}",
            Reads(&format!(r#"{{"new":{expect}}}"#)),
        );
    }
}

#[test]
fn a_readers_field_without_default_that_the_writer_lacks_is_an_error() {
    let nullable = rec("R", &field("a", r#"["null","int"]"#));
    check(
        &rec("R", ""),
        &nullable,
        "{}",
        Never("a", "no such field, and the reader's has no default"),
    );
}

#[test]
fn a_writers_symbol_that_the_reader_lacks_takes_the_readers_default_or_is_an_error() {
    let writer = symbols("E", r#"["A","B","C"]"#, "");
    check(
        &writer,
        &symbols("E", r#"["C","A"]"#, ""),
        "\"C\"",
        Reads("\"C\""),
    );
    check(
        &writer,
        &symbols("E", r#"["C","A"]"#, ""),
        "\"B\"",
        Refuses("", "the symbol \"B\" is unknown"),
    );
    let defaulted = symbols("E", r#"["X","C"]"#, r#","default":"X""#);
    check(&writer, &defaulted, "\"B\"", Reads("\"X\""));
    check(&writer, &defaulted, "\"C\"", Reads("\"C\""));
    check(
        &writer,
        &symbols("E", r#"["Z"]"#, ""),
        "",
        Never("", "no symbol of the writer's enum E"),
    );
    // The writer's default says nothing to the reader.
    let own = symbols("E", r#"["A","B"]"#, r#","default":"A""#);
    check(
        &own,
        &symbols("E", r#"["A"]"#, ""),
        "\"B\"",
        Refuses("", "\"B\" is unknown"),
    );
}

#[test]
fn if_both_are_unions_the_first_reader_branch_that_matches_the_writers_selected_one_is_taken() {
    let (writer, reader) = (r#"["null","int","string"]"#, r#"["string","null","long"]"#);
    check(writer, reader, "null", Reads("null"));
    check(writer, reader, r#"{"int":1}"#, Reads(r#"{"long":1}"#));
    check(
        writer,
        reader,
        r#"{"string":"x"}"#,
        Reads(r#"{"string":"x"}"#),
    );
    check(
        writer,
        r#"["null","int"]"#,
        r#"{"string":"x"}"#,
        Refuses("", "string cannot be read as union of null, int"),
    );
    check(
        r#"["boolean","int"]"#,
        r#"["null","string"]"#,
        "",
        Never("", "boolean cannot be read"),
    );
}

#[test]
fn if_only_the_reader_is_a_union_the_first_branch_that_matches_the_writer_is_taken() {
    check("\"int\"", r#"["null","int"]"#, "1", Reads(r#"{"int":1}"#));
    check(
        "\"int\"",
        r#"["null","double","long"]"#,
        "1",
        Reads(r#"{"double":1}"#),
    );
    // The same type before any promotion, as Java does it.
    check("\"int\"", r#"["long","int"]"#, "1", Reads(r#"{"int":1}"#));
    check(
        "\"bytes\"",
        r#"["string","bytes"]"#,
        "\"/w==\"",
        Reads(r#"{"bytes":"/w=="}"#),
    );
    check(
        "\"boolean\"",
        r#"["null","int"]"#,
        "",
        Never("", "boolean cannot be read as union"),
    );
    let array = |of: &str| format!(r#"{{"type":"array","items":"{of}"}}"#);
    check(
        &array("string"),
        &format!("[\"null\",{}]", array("int")),
        "",
        Never("[]", "string cannot be read"),
    );
}

#[test]
fn if_only_the_writer_is_a_union_its_selected_branch_must_match_the_reader() {
    check(r#"["null","int"]"#, "\"long\"", r#"{"int":1}"#, Reads("1"));
    check(
        r#"["null","int"]"#,
        "\"long\"",
        "null",
        Refuses("", "null cannot be read as long"),
    );
    check(
        r#"["null","boolean"]"#,
        "\"long\"",
        "null",
        Never("", "null cannot be read as long"),
    );
    let nested = rec(
        "R",
        &field("a", r#"{"type":"array","items":["null","int"]}"#),
    );
    let strict = rec("R", &field("a", r#"{"type":"array","items":"int"}"#));
    check(
        &nested,
        &strict,
        r#"{"a":[1,null]}"#,
        Refuses("a[1]", "null cannot be read as int"),
    );
}

#[test]
fn union_branches_of_look_alike_records_are_told_apart_by_name() {
    let a = rec("x.A", &field("v", "\"int\""));
    let b = rec("x.B", &field("v", "\"int\""));
    let (writer, reader) = (format!("[{a},{b}]"), format!("[{b},{a}]"));
    check(
        &writer,
        &reader,
        r#"{"x.A":{"v":1}}"#,
        Reads(r#"{"x.A":{"v":1}}"#),
    );
    check(
        &writer,
        &writer,
        r#"{"x.B":{"v":1}}"#,
        Reads(r#"{"x.B":{"v":1}}"#),
    );
    // The full name goes before an unqualified one that stands first.
    let y = rec("y.A", &field("v", "\"int\""));
    check(
        &a,
        &format!("[{y},{a}]"),
        r#"{"v":1}"#,
        Reads(r#"{"x.A":{"v":1}}"#),
    );
    check(
        &a,
        &format!("[\"null\",{y}]"),
        r#"{"v":1}"#,
        Reads(r#"{"y.A":{"v":1}}"#),
    );
    // Among unqualified ones the first that resolves; another name is never tried.
    let z = rec("z.A", &field("w", "\"int\""));
    check(
        &a,
        &format!("[{z},{y}]"),
        r#"{"v":1}"#,
        Reads(r#"{"y.A":{"v":1}}"#),
    );
    check(
        &a,
        &format!("[\"null\",{b}]"),
        "",
        Never("", "record x.A cannot be read"),
    );
}

#[test]
fn aliases_of_the_reader_join_names_that_differ() {
    let aliased = |text: &str, alias: &str| {
        text.replacen("\"name\"", &format!(r#""aliases":["{alias}"],"name""#), 1)
    };
    check(
        &rec("a.Old", ""),
        &aliased(&rec("b.New", ""), "a.Old"),
        "{}",
        Reads("{}"),
    );
    // An alias without a namespace has that of its type.
    check(
        &rec("a.Old", ""),
        &aliased(&rec("a.New", ""), "Old"),
        "{}",
        Reads("{}"),
    );
    check(
        &rec("a.Old", ""),
        &aliased(&rec("b.New", ""), "Old"),
        "",
        Never("", "differ in name"),
    );
    let (old, new) = (symbols("O", r#"["A"]"#, ""), symbols("N", r#"["A"]"#, ""));
    check(&old, &aliased(&new, "O"), "\"A\"", Reads("\"A\""));
    let of = |name: &str| format!(r#"{{"type":"fixed","name":"{name}","size":1}}"#);
    check(
        &of("O"),
        &aliased(&of("N"), "O"),
        "\"AA==\"",
        Reads("\"AA==\""),
    );
    // In a union too.
    let reader = format!("[\"null\",{}]", aliased(&rec("b.New", ""), "a.Old"));
    check(&rec("a.Old", ""), &reader, "{}", Reads(r#"{"b.New":{}}"#));
    // The writer's aliases say nothing to the reader.
    check(
        &aliased(&rec("Old", ""), "New"),
        &rec("New", ""),
        "",
        Never("", "differ in name"),
    );
}

#[test]
fn field_aliases_of_the_reader_find_the_writers_field() {
    let reader = rec(
        "R",
        r#"{"name":"new","aliases":["older","old"],"type":["null","int"],"default":null}"#,
    );
    check(
        &rec("R", &field("old", "\"int\"")),
        &reader,
        r#"{"old":1}"#,
        Reads(r#"{"new":{"int":1}}"#),
    );
    // The name goes before the alias.
    let both = rec(
        "R",
        &format!("{},{}", field("old", "\"int\""), field("new", "\"int\"")),
    );
    check(
        &both,
        &reader,
        r#"{"old":1,"new":2}"#,
        Reads(r#"{"new":{"int":2}}"#),
    );
    // A field that the reader has by name is not taken by another's alias.
    let split = rec(
        "R",
        r#"{"name":"a","type":"int"},{"name":"b","aliases":["a"],"type":"int","default":9}"#,
    );
    check(
        &rec("R", &field("a", "\"int\"")),
        &split,
        r#"{"a":1}"#,
        Reads(r#"{"a":1,"b":9}"#),
    );
}

#[test]
fn an_alias_leaves_a_field_to_the_one_of_that_name_in_any_order() {
    let reader = rec(
        "R",
        r#"{"name":"b","aliases":["a"],"type":"int","default":9},{"name":"a","type":"int"}"#,
    );
    check(
        &rec("R", &field("a", "\"int\"")),
        &reader,
        r#"{"a":1}"#,
        Reads(r#"{"a":1,"b":9}"#),
    );
}

#[test]
fn a_branch_that_is_not_taken_misreads_nothing() {
    let at = |unit: &str| format!(r#"{{"type":"long","logicalType":"timestamp-{unit}"}}"#);
    let inner = |unit: &str| rec("I", &field("t", &at(unit)));
    let unfit = |more: &str| {
        let z = rec(
            "z.A",
            &format!("{},{}", field("i", &inner("micros")), field("w", "\"int\"")),
        );
        let y = rec("y.A", &field("i", &inner("millis")));
        rec("R", &format!("{}{more}", field("u", &format!("[{z},{y}]"))))
    };
    let a = rec("x.A", &field("i", &inner("millis")));
    let json = r#"{"u":{"i":{"t":7}}}"#;
    let expect = r#"{"u":{"y.A":{"i":{"t":7}}}}"#;
    check(&rec("R", &field("u", &a)), &unfit(""), json, Reads(expect));
    // Where the same pair of types is read after all, it still does.
    let writer = rec(
        "R",
        &format!("{},{}", field("u", &a), field("v", "\"x.I\"")),
    );
    let reader = unfit(&format!(",{}", field("v", "\"z.I\"")));
    check(&writer, &reader, "", Never("v.t", "would be misread as"));
}

#[test]
fn recursive_types_resolve() {
    let list = |of: &str| {
        rec(
            "L",
            &format!("{},{}", field("v", of), field("next", r#"["null","L"]"#)),
        )
    };
    let json = r#"{"v":1,"next":{"L":{"v":2,"next":null}}}"#;
    check(&list("\"int\""), &list("\"long\""), json, Reads(json));
    check(
        &list("\"long\""),
        &list("\"int\""),
        json,
        Never("v", "long cannot be read as int"),
    );
    let tree = |more: &str| {
        rec(
            "T",
            &format!(r#"{}{more}"#, field("c", r#"{"type":"array","items":"T"}"#)),
        )
    };
    let wider = tree(r#",{"name":"n","type":"int","default":0}"#);
    check(
        &tree(""),
        &wider,
        r#"{"c":[{"c":[]}]}"#,
        Reads(r#"{"c":[{"c":[],"n":0}],"n":0}"#),
    );
}

#[test]
fn a_unit_or_scale_that_differs_is_never_reinterpreted() {
    let of =
        |base: &str, logical: &str| format!(r#"{{"type":"{base}","logicalType":"{logical}"}}"#);
    let never = |w: &str, r: &str| {
        check(w, r, "", Never("", "would be misread as"));
        // Nor inside a union, though a null would pass.
        check(
            &format!("[\"null\",{w}]"),
            &format!("[\"null\",{r}]"),
            "",
            Never("", "would be misread as"),
        );
    };
    let longs = [
        "time-micros",
        "timestamp-millis",
        "timestamp-micros",
        "timestamp-nanos",
        "local-timestamp-millis",
        "local-timestamp-micros",
        "local-timestamp-nanos",
    ];
    for w in longs {
        for r in longs.iter().filter(|r| **r != w) {
            never(&of("long", w), &of("long", r));
        }
        check(&of("long", w), &of("long", w), "7", Reads("7"));
        // It may appear or vanish.
        check(&of("long", w), "\"long\"", "7", Reads("7"));
        check("\"long\"", &of("long", w), "7", Reads("7"));
        check("\"int\"", &of("long", w), "7", Reads("7"));
        never(&of("int", "date"), &of("long", w));
    }
    never(&of("int", "date"), &of("int", "time-millis"));
    let decimal = |p: u8, s: u8| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{p},"scale":{s}}}"#)
    };
    never(&decimal(9, 2), &decimal(9, 3));
    never(&decimal(9, 2), &decimal(8, 2));
    never(&of("string", "uuid"), &decimal(9, 2));
    check(
        &decimal(9, 2),
        &decimal(12, 2),
        "\"1.25\"",
        Reads("\"1.25\""),
    );
    check(&decimal(9, 2), "\"bytes\"", "\"1.25\"", Reads("\"fQ==\""));
    let fixed =
        r#"{"type":"fixed","name":"F","size":8,"logicalType":"decimal","precision":9,"scale":2}"#;
    check(
        &decimal(9, 2),
        fixed,
        "",
        Never("", "cannot be read as fixed F"),
    );
    check(
        fixed,
        &decimal(9, 2),
        "",
        Never("", "cannot be read as bytes"),
    );
}

#[test]
fn every_mismatch_is_listed_at_once() {
    let writer = rec(
        "R",
        &format!(
            "{},{}",
            field("a", "\"long\""),
            field("t", r#"{"type":"long","logicalType":"timestamp-millis"}"#)
        ),
    );
    let reader = rec(
        "R",
        &format!(
            "{},{},{}",
            field("a", "\"int\""),
            field("b", "\"int\""),
            field("t", r#"{"type":"long","logicalType":"timestamp-micros"}"#)
        ),
    );
    let found = Resolution::compile(&schema(&writer), &schema(&reader)).expect_err("refused");
    let paths: Vec<_> = found.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(paths, ["t", "a", "b"], "{found:?}");
}
