use super::*;

fn check(text: &str, expect: Result<&str, (&str, &str)>) {
    check_with(text, &[], expect);
}

fn check_with(text: &str, references: &[&str], expect: Result<&str, (&str, &str)>) {
    let references: Vec<_> = references.iter().map(|r| (*r).to_owned()).collect();
    match (parse(text, &references), expect) {
        (Ok(schema), Ok(expect)) => assert_eq!(schema.describe(schema.root), expect, "{text}"),
        (Err(e), Err((path, part))) => {
            assert_eq!(e.path, path, "{e}");
            assert!(e.message.contains(part), "{e}");
        }
        (found, expect) => panic!("{text}: {found:?}, expected {expect:?}"),
    }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"a.R","fields":[{fields}]}}"#)
}

#[test]
fn all_forms_of_types() {
    check("string", Ok("string"));
    check("\"string\"", Ok("string"));
    check(r#"{"type":"string"}"#, Ok("string"));
    check(
        r#"{"type":{"type":"long","logicalType":"timestamp-millis"}}"#,
        Ok("long timestamp-millis"),
    );
    check(
        r#"["null",{"type":"array","items":"int"}]"#,
        Ok("union of null, array of int"),
    );
    check(
        r#"{"type":"map","values":["null","bytes"]}"#,
        Ok("map of union of null, bytes"),
    );
    check(&record(""), Ok("record a.R"));
    check(r#"{"type":"fixed","name":"x.F","size":0}"#, Ok("fixed x.F"));
    check(
        r#"{"type":"enum","name":"E","namespace":"x","symbols":["A"],"default":"A"}"#,
        Ok("enum x.E"),
    );
    check(
        r#"{"type":"enum","name":"y.E","namespace":"x","symbols":[]}"#,
        Ok("enum y.E"),
    );
    check(
        r#"{"type":"record","name":"my-topic.v1.R","fields":[]}"#,
        Ok("record my-topic.v1.R"),
    );
}

#[test]
fn faults_say_where_and_what() {
    check("{", Err(("", "is not JSON")));
    check("7", Err(("", "is not a type")));
    check("{}", Err(("", "has no \"type\"")));
    check("\"strin\"", Err(("", "did you mean \"string\"?")));
    check(r#"{"type":"array"}"#, Err(("", "has no \"items\"")));
    check(
        r#"{"type":"record","name":"R"}"#,
        Err(("R", "without an array of \"fields\"")),
    );
    check(
        r#"{"type":"record","fields":[]}"#,
        Err(("", "has no \"name\"")),
    );
    check(
        r#"{"type":"record","name":"1R","fields":[]}"#,
        Err(("", "is not a name")),
    );
    check(
        r#"{"type":"record","name":"a..R","fields":[]}"#,
        Err(("", "is not a namespace")),
    );
    check(
        r#"{"type":"record","name":"int","fields":[]}"#,
        Err(("", "primitive type")),
    );
    check(
        &record(r#"{"type":"int"}"#),
        Err(("a.R.fields[0]", "has no \"name\"")),
    );
    check(
        &record(r#"{"name":"f"}"#),
        Err(("a.R.fields.f", "has no \"type\"")),
    );
    check(
        &record(r#"{"name":"f-g","type":"int"}"#),
        Err(("a.R.fields.f-g", "is not a name")),
    );
    check(
        &record(r#"{"name":"f","type":"int"},{"name":"f","type":"int"}"#),
        Err(("a.R.fields.f", "second field")),
    );
    check(
        &record(r#"{"name":"f","type":["int",{"type":"array","items":"Nope"}]}"#),
        Err(("a.R.fields.f.type[1].items", "unknown type \"a.Nope\"")),
    );
    check(
        &record(r#"{"name":"f","type":"int","aliases":"g"}"#),
        Err(("a.R.fields.f.aliases", "not an array of strings")),
    );
    check(r#"["int","int"]"#, Err(("[1]", "a second int")));
    check(
        r#"["int",["null"]]"#,
        Err(("[1]", "directly inside a union")),
    );
    check("[]", Err(("", "without branches")));
    check(
        r#"{"type":"enum","name":"E","symbols":["A","A"]}"#,
        Err(("E.symbols", "stands twice")),
    );
    check(
        r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#,
        Err(("E.default", "not one of")),
    );
    check(
        r#"{"type":"enum","name":"E"}"#,
        Err(("E", "without \"symbols\"")),
    );
    check(
        r#"{"type":"fixed","name":"F","size":-1}"#,
        Err(("F", "without a \"size\"")),
    );
}

#[test]
fn limits_hold() {
    let deep = |n: usize| {
        format!(
            "{}\"int\"{}",
            r#"{"type":"array","items":"#.repeat(n),
            "}".repeat(n)
        )
    };
    assert!(parse(&deep(64), &[]).is_ok());
    check(&deep(65), Err(("", "nests deeper than 64 levels")));
    check(
        &format!("\"{}\"", "[".repeat(100)),
        Err(("", "unknown type")),
    );
    check(&" ".repeat(TEXT_LIMIT + 1), Err(("", "is larger than")));
    // A chain of references nests deeper than any one text.
    let link = |i: usize| match i {
        0 => r#"{"type":"record","name":"R0","fields":[]}"#.to_owned(),
        _ => format!(
            r#"{{"type":"record","name":"R{i}","fields":[{{"name":"f","type":"R{}"}}]}}"#,
            i - 1
        ),
    };
    let chain: Vec<_> = (0..100).map(link).collect();
    assert!(parse("\"R20\"", &chain).is_ok());
    let error = parse("\"R99\"", &chain).expect_err("refused");
    assert!(error.message.contains("deeper than 64 types"), "{error}");
}

#[test]
fn names_and_namespaces() {
    // A name without a dot is looked for in the enclosing namespace, then without one.
    let inner = r#"{"name":"f","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"g","type":"E"},{"name":"h","type":"a.E"}"#;
    let schema = parse(&record(inner), &[]).expect("schema");
    assert_eq!(schema.find("f"), schema.find("g"));
    assert_eq!(schema.find("f"), schema.find("h"));
    assert_eq!(schema.describe(schema.find("f").expect("f")), "enum a.E");
    let bare = r#"{"type":"enum","name":"E","symbols":["A"]}"#;
    check_with(
        &record(r#"{"name":"f","type":"E"}"#),
        &[bare],
        Ok("record a.R"),
    );
    // Aliases are full names, relative to the type's own namespace.
    let aliased = r#"{"type":"fixed","name":"a.b.F","size":1,"aliases":["G","x.H",".I"]}"#;
    let schema = parse(aliased, &[]).expect("schema");
    let name = schema.root().kind.name().expect("named");
    assert_eq!(name.aliases, ["a.b.G", "x.H", "I"]);
    assert_eq!(name.unqualified(), "F");
}

#[test]
fn recursive_types_are_indices() {
    let tree = r#"{"type":"record","name":"T","fields":[{"name":"children","type":{"type":"array","items":"T"}}]}"#;
    let schema = parse(tree, &[]).expect("schema");
    assert_eq!(schema.nodes.len(), 2);
    assert_eq!(schema.find("children[].children[]"), Some(schema.root));
}

#[test]
fn references_are_resolved_by_name() {
    let item =
        r#"{"type":"record","name":"shop.Item","fields":[{"name":"next","type":["null","Item"]}]}"#;
    let order =
        r#"{"type":"record","name":"shop.Order","fields":[{"name":"item","type":"shop.Item"}]}"#;
    check_with(order, &[item], Ok("record shop.Order"));
    check_with(
        order,
        &[],
        Err(("shop.Order.fields.item.type", "unknown type \"shop.Item\"")),
    );
    // The same definition once more is fine, a different one is not, and twice in one text never is.
    check_with(item, &[item, item], Ok("record shop.Item"));
    let other =
        r#"{"type":"record","name":"shop.Item","fields":[{"name":"next","type":["null","int"]}]}"#;
    check_with(item, &[other], Err(("shop.Item", "defined differently")));
    let documented = r#"{"type":"record","name":"shop.Item","doc":"d","fields":[{"name":"next","type":["null","Item"]}]}"#;
    check_with(item, &[documented], Ok("record shop.Item"));
    let fixed = r#"{"type":"fixed","name":"F","size":1}"#;
    let twice = record(&format!(
        r#"{{"name":"f","type":{fixed}}},{{"name":"g","type":{fixed}}}"#
    ));
    check(&twice, Err(("a.R.fields.g.type(a.F)", "defined twice")));
    // What only the reference has is not part of the schema.
    let schema = parse("\"int\"", &[item.to_owned()]).expect("schema");
    assert_eq!(schema.nodes.len(), 1);
    check_with("\"int\"", &["{"], Err(("reference 1: ", "is not JSON")));
}

#[test]
fn logical_types_count_only_where_they_are_valid() {
    for (text, expect) in [
        (r#"{"type":"int","logicalType":"date"}"#, "int date"),
        (r#"{"type":"long","logicalType":"date"}"#, "long"),
        (
            r#"{"type":"int","logicalType":"time-millis"}"#,
            "int time-millis",
        ),
        (
            r#"{"type":"long","logicalType":"time-micros"}"#,
            "long time-micros",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
            "long timestamp-nanos",
        ),
        (r#"{"type":"int","logicalType":"timestamp-millis"}"#, "int"),
        (
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            "long local-timestamp-micros",
        ),
        (r#"{"type":"string","logicalType":"uuid"}"#, "string uuid"),
        (
            r#"{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}"#,
            "fixed F uuid",
        ),
        (
            r#"{"type":"fixed","name":"F","size":15,"logicalType":"uuid"}"#,
            "fixed F",
        ),
        (
            r#"{"type":"fixed","name":"F","size":12,"logicalType":"duration"}"#,
            "fixed F duration",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#,
            "bytes decimal(4,2)",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":4}"#,
            "bytes decimal(4,0)",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}"#,
            "bytes",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":0}"#,
            "bytes",
        ),
        (r#"{"type":"bytes","logicalType":"decimal"}"#, "bytes"),
        (
            r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9}"#,
            "fixed F decimal(9,0)",
        ),
        (
            r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":10}"#,
            "fixed F",
        ),
        (r#"{"type":"string","logicalType":"color"}"#, "string"),
        (r#"{"type":"int","logicalType":7}"#, "int"),
    ] {
        check(text, Ok(expect));
    }
    assert_eq!([1, 2, 4, 8, 16].map(logical::digits_in), [2, 4, 9, 18, 38]);
}

#[test]
fn defaults_are_checked_against_their_type() {
    check(
        &record(r#"{"name":"f","type":"int","default":"x"}"#),
        Err(("a.R.fields.f.default", "does not fit the type: is no int")),
    );
    // Any branch of a union, and a type that is complete only later.
    check(
        &record(r#"{"name":"f","type":["null","int"],"default":7}"#),
        Ok("record a.R"),
    );
    check(
        &record(r#"{"name":"f","type":["null","R"],"default":{"f":null}}"#),
        Ok("record a.R"),
    );
    check(
        &record(r#"{"name":"f","type":"R","default":{}}"#),
        Err(("a.R.fields.f.default", "deeper than 64")),
    );
}

#[test]
fn fingerprints_see_what_changes_a_value_and_nothing_else() {
    let of = |fields: &str| parse(&record(fields), &[]).expect("schema").fingerprint();
    let base = of(r#"{"name":"f","type":"long"}"#);
    assert_eq!(base.len(), 64);
    assert_eq!(
        base,
        of(r#"{"type":{"type":"long"},"name":"f","doc":"d","order":"ignore"}"#)
    );
    for other in [
        r#"{"name":"f","type":{"type":"long","logicalType":"timestamp-millis"}}"#,
        r#"{"name":"f","type":"long","default":1}"#,
        r#"{"name":"f","type":"long","aliases":["g"]}"#,
        r#"{"name":"g","type":"long"}"#,
    ] {
        assert_ne!(base, of(other), "{other}");
    }
    let map = r#"{"name":"f","type":{"type":"map","values":"int"},"default":"#;
    assert_eq!(
        of(&format!(r#"{map}{{"a":1,"b":2}}}}"#)),
        of(&format!(r#"{map}{{"b":2,"a":1}}}}"#))
    );
}

#[test]
fn json_keeps_docs_defaults_aliases_and_shadowed_names() {
    let bare = r#"{"type":"enum","name":"E","symbols":["A"]}"#;
    let text = r#"{"type":"record","name":"a.R","doc":"d","aliases":["Old",".Older"],"fields":[
        {"name":"x","type":"E"},{"name":"y","type":{"type":"enum","name":"E","symbols":["A","B"],"default":"B","doc":"e"}},
        {"name":"z","type":".E","default":"A","aliases":["zz"],"doc":"f"}]}"#;
    let schema = parse(text, &[bare.to_owned()]).expect("schema");
    assert_eq!(schema.find("x"), schema.find("z"));
    assert_ne!(schema.find("x"), schema.find("y"));
    let again = parse(&schema.to_json().to_string(), &[]).expect("own JSON");
    assert_eq!(again, schema);
}
