//! Each kind of change, what it breaks, and verdicts at the levels.

use serde_json::json;

use super::*;

fn schema(text: &str) -> Schema {
    Schema::parse(text, &[]).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A record of one field.
fn field(of: &str) -> String {
    format!(r#"{{"type":"record","name":"shop.R","fields":[{{"name":"f","type":{of}}}]}}"#)
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"shop.R","fields":[{fields}]}}"#)
}

/// `path: words: before -> after`, then the breaks as `b`ackward or `f`orward, by `s`pecification or `m`eaning, with a
/// `?` when only some records fail.
fn lines(old: &str, new: &str) -> Vec<String> {
    let changes = diff(&schema(old), &schema(new));
    let line = |change: &Change| {
        let mut line = format!("{}: {}", change.path, change.describe());
        for found in &change.breaks {
            line.push(' ');
            line.push(match found.direction {
                Direction::Backward => 'b',
                Direction::Forward => 'f',
            });
            line.push(match found.by {
                By::Specification => 's',
                By::Meaning => 'm',
            });
            if found.some {
                line.push('?');
            }
        }
        line
    };
    changes.iter().map(line).collect()
}

fn check_diff(old: &str, new: &str, expect: &[&str]) {
    assert_eq!(lines(old, new), expect, "\n{old}\n{new}");
}

/// Types of a field.
fn types(old: &str, new: &str, expect: &[&str]) {
    check_diff(&field(old), &field(new), expect);
}

#[test]
fn fields() {
    let a = r#"{"name":"a","type":"int"}"#;
    let b = r#"{"name":"b","type":"string"}"#;
    let b_default = r#"{"name":"b","type":"string","default":"x"}"#;
    let b_alias = r#"{"name":"b","type":"int","aliases":["a"]}"#;
    let both = |x: &str, y: &str| record(&format!("{x},{y}"));
    check_diff(&record(a), &record(a), &[]);
    check_diff(
        &record(a),
        &both(a, b),
        &["b: field added without a default: string bs"],
    );
    check_diff(
        &record(a),
        &both(a, b_default),
        &["b: field added with a default: string, default \"x\""],
    );
    check_diff(
        &both(a, b),
        &record(a),
        &["b: field removed, which had no default: string fs"],
    );
    check_diff(
        &both(a, b_default),
        &record(a),
        &["b: field removed, which had a default: string, default \"x\""],
    );
    check_diff(&both(a, b), &both(b, a), &[": fields in another order"]);
    check_diff(
        &record(a),
        &record(b_alias),
        &["b: field renamed: a -> b fs"],
    );
    // The old reader has the alias: it finds the value, and only the new one does not.
    check_diff(
        &record(b_alias),
        &record(a),
        &["a: field renamed: b -> a bs"],
    );
    check_diff(
        &record(a),
        &record(r#"{"name":"b","type":"int","aliases":["a"],"doc":"d","default":1}"#),
        &[
            "b: field renamed: a -> b fs",
            "b: default added: 1",
            "b: doc changed",
        ],
    );
    check_diff(&record(b), &record(b_default), &["b: default added: \"x\""]);
    check_diff(
        &record(b_default),
        &record(b),
        &["b: default removed: \"x\""],
    );
    check_diff(
        &record(b_default),
        &record(&b_default.replace("\"x\"", "\"y\"")),
        &["b: default changed: \"x\" -> \"y\""],
    );
    check_diff(
        &record(a),
        &record(r#"{"name":"a","type":"int","aliases":["z"]}"#),
        &["a: aliases changed: none -> z"],
    );
}

#[test]
fn primitive_types() {
    let numbers = ["\"int\"", "\"long\"", "\"float\"", "\"double\""];
    for (small, from) in numbers.iter().enumerate() {
        for to in &numbers[small + 1..] {
            let (f, t) = (from.trim_matches('"'), to.trim_matches('"'));
            types(from, to, &[&format!("f: type promoted: {f} -> {t} fs")]);
            types(to, from, &[&format!("f: type demoted: {t} -> {f} bs")]);
        }
    }
    types(
        r#""bytes""#,
        r#""string""#,
        &["f: type promoted: bytes -> string bm?"],
    );
    types(
        r#""string""#,
        r#""bytes""#,
        &["f: type promoted: string -> bytes fm?"],
    );
    types(
        r#""string""#,
        r#""int""#,
        &["f: type changed: string -> int bs fs"],
    );
    types(
        r#""null""#,
        r#""int""#,
        &["f: type changed: null -> int bs fs"],
    );
    types(
        r#""boolean""#,
        r#""int""#,
        &["f: type changed: boolean -> int bs fs"],
    );
}

#[test]
fn logical_types() {
    let of = |base: &str, word: &str| format!(r#"{{"type":"{base}","logicalType":"{word}"}}"#);
    let unit = |from: (&str, &str), to: (&str, &str), expect: &[&str]| {
        types(&of(from.0, from.1), &of(to.0, to.1), expect);
    };
    unit(
        ("long", "timestamp-millis"),
        ("long", "timestamp-micros"),
        &["f: unit changed: timestamp-millis -> timestamp-micros bm fm"],
    );
    unit(
        ("long", "timestamp-millis"),
        ("long", "local-timestamp-millis"),
        &["f: unit changed: timestamp-millis -> local-timestamp-millis bm fm"],
    );
    unit(
        ("int", "date"),
        ("int", "time-millis"),
        &["f: unit changed: date -> time-millis bm fm"],
    );
    unit(
        ("int", "time-millis"),
        ("long", "time-micros"),
        &[
            "f: type promoted: int -> long fs",
            "f: unit changed: time-millis -> time-micros bm",
        ],
    );
    types(
        &of("long", "timestamp-millis"),
        r#""long""#,
        &["f: logical type removed: timestamp-millis"],
    );
    types(
        r#""string""#,
        &of("string", "uuid"),
        &["f: logical type added: uuid"],
    );
    let decimal = |precision: u32, scale: u32| {
        format!(
            r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":{scale}}}"#
        )
    };
    types(
        &decimal(9, 2),
        &decimal(9, 4),
        &["f: decimal scale changed: 2 -> 4 bs fs"],
    );
    types(
        &decimal(9, 2),
        &decimal(12, 2),
        &["f: decimal precision changed: 9 -> 12 fs?"],
    );
    types(
        &decimal(12, 2),
        &decimal(9, 2),
        &["f: decimal precision changed: 12 -> 9 bs?"],
    );
    types(
        &decimal(9, 2),
        r#""bytes""#,
        &["f: logical type removed: decimal fm?"],
    );
    types(
        &decimal(9, 2),
        r#""string""#,
        &[
            "f: type promoted: bytes -> string bm?",
            "f: logical type removed: decimal bm fm",
        ],
    );
    let fixed = |word: &str| {
        format!(
            r#"{{"type":"fixed","name":"F","size":16,"logicalType":"{word}","precision":9,"scale":2}}"#
        )
    };
    types(
        &fixed("uuid"),
        &fixed("decimal"),
        &["f: logical type changed: uuid -> decimal bm fm"],
    );
}

#[test]
fn unions_and_null() {
    types(r#""int""#, r#"["null","int"]"#, &["f: may be null now fs?"]);
    types(
        r#"["null","int"]"#,
        r#""int""#,
        &["f: may not be null any more bs?"],
    );
    types(
        r#"["null","int"]"#,
        r#"["int","null"]"#,
        &["f: union of the same types, in another form: union of null, int -> union of int, null"],
    );
    types(
        r#""int""#,
        r#"["int"]"#,
        &["f: union of the same types, in another form: int -> union of int"],
    );
    types(
        r#"["null","int"]"#,
        r#"["null","long"]"#,
        &["f: type promoted: int -> long fs?"],
    );
    types(
        r#"["int","string"]"#,
        r#"["int","string","boolean"]"#,
        &["f<boolean>: union branch added: boolean fs?"],
    );
    types(
        r#"["int","string","boolean"]"#,
        r#"["int","string"]"#,
        &["f<boolean>: union branch removed: boolean bs?"],
    );
    // An int goes to the double that is left.
    types(
        r#"["int","string","double"]"#,
        r#"["string","double"]"#,
        &["f<int>: union branch removed: int"],
    );
    types(
        r#""int""#,
        r#"["null","int","string"]"#,
        &[
            "f: may be null now fs?",
            "f<string>: union branch added: string fs?",
        ],
    );
    types(
        r#"["int","string"]"#,
        r#"["string","long"]"#,
        &["f<long>: type promoted: int -> long fs?"],
    );
    types(
        r#"["null","int"]"#,
        r#"["null","string"]"#,
        &["f: type changed: int -> string bs? fs?"],
    );
}

#[test]
fn enums_and_fixed() {
    let symbols = |list: &str, more: &str| {
        format!(r#"{{"type":"enum","name":"shop.E","symbols":[{list}]{more}}}"#)
    };
    let default = r#","default":"A""#;
    types(
        &symbols(r#""A""#, ""),
        &symbols(r#""A","B","C""#, ""),
        &["f: enum symbols added: B, C fs?"],
    );
    types(
        &symbols(r#""A""#, default),
        &symbols(r#""A","B""#, default),
        &["f: enum symbols added: B"],
    );
    types(
        &symbols(r#""A","B""#, ""),
        &symbols(r#""A""#, ""),
        &["f: enum symbols removed: B bs?"],
    );
    types(
        &symbols(r#""A","B""#, ""),
        &symbols(r#""A""#, default),
        &["f: enum symbols removed: B", "f: enum default changed: A"],
    );
    types(
        &symbols(r#""A","B""#, ""),
        &symbols(r#""B","A""#, ""),
        &["f: enum symbols in another order"],
    );
    types(
        &symbols(r#""A""#, ""),
        &symbols(r#""B""#, ""),
        &[
            "f: enum symbols added: B fs",
            "f: enum symbols removed: A bs",
        ],
    );
    types(
        r#"{"type":"fixed","name":"F","size":2}"#,
        r#"{"type":"fixed","name":"F","size":3}"#,
        &["f: fixed size changed: 2 bytes -> 3 bytes bs fs"],
    );
}

#[test]
fn names() {
    let named = |name: &str, more: &str| {
        format!(
            r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"int"}}]{more}}}"#
        )
    };
    check_diff(
        &named("shop.A", ""),
        &named("sales.A", ""),
        &[": namespace changed: shop.A -> sales.A"],
    );
    check_diff(
        &named("shop.A", ""),
        &named("shop.B", ""),
        &[": type renamed: shop.A -> shop.B bs fs"],
    );
    check_diff(
        &named("shop.A", ""),
        &named("shop.B", r#","aliases":["A"]"#),
        &[": type renamed: shop.A -> shop.B fs"],
    );
    check_diff(
        &named("A", ""),
        &named("A", r#","doc":"d""#),
        &[": doc changed"],
    );
    check_diff(
        &named("A", ""),
        &named("A", r#","aliases":["B"]"#),
        &[": aliases changed: none -> B"],
    );
    // In a union the branch is found by its name.
    let union = |branch: &str| format!(r#"["null",{branch}]"#);
    types(
        &union(&named("shop.A", "")),
        &union(&named("shop.B", "")),
        &["f: type renamed: shop.A -> shop.B bs? fs?"],
    );
}

#[test]
fn paths_lead_through_collections_unions_and_recursion() {
    let item = |of: &str| {
        format!(
            r#"{{"type":"record","name":"shop.Item","fields":[{{"name":"price","type":"{of}"}}]}}"#
        )
    };
    let whole = |of: &str| {
        record(&format!(
            r#"{{"name":"items","type":{{"type":"array","items":{}}}}},
               {{"name":"by_name","type":{{"type":"map","values":"shop.Item"}}}},
               {{"name":"paid","type":["null","string","shop.Item"]}},
               {{"name":"next","type":["null","shop.R"]}}"#,
            item(of)
        ))
    };
    check_diff(
        &whole("int"),
        &whole("string"),
        &[
            "items[].price: type changed: int -> string bs fs",
            "by_name{}: the definition behind the name differs, as told above: record shop.Item",
            "paid<shop.Item>: the definition behind the name differs, as told above: record shop.Item",
        ],
    );
}

#[test]
fn a_definition_behind_an_equal_name_and_an_equal_text_is_seen() {
    let text = r#"{"type":"record","name":"shop.R","fields":[{"name":"m","type":"shop.Money"}]}"#;
    let money = |of: &str| {
        format!(
            r#"{{"type":"record","name":"shop.Money","fields":[{{"name":"cents","type":"{of}"}}]}}"#
        )
    };
    let parse = |of: &str| Schema::parse(text, &[money(of)]).expect("schema");
    let changes = diff(&parse("long"), &parse("string"));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].path, "m.cents");
    assert!(changes[0].breaks(Direction::Backward) && changes[0].breaks(Direction::Forward));
}

#[test]
fn what_only_resolution_brings_together_is_told_too() {
    // The new branch takes the old record by its alias, and then lacks a value for `y`. The old branch of that name is
    // still there for the eye.
    let old = r#"[{"type":"record","name":"a.N","fields":[{"name":"x","type":"int"}]},"string"]"#;
    let new = r#"[{"type":"record","name":"b.N","fields":[{"name":"y","type":"int"}]},
        {"type":"record","name":"c.N","fields":[{"name":"z","type":"int"}]},"string"]"#;
    let changes = diff(&schema(old), &schema(new));
    for direction in [Direction::Backward, Direction::Forward] {
        assert!(changes.iter().any(|c| c.breaks(direction)), "{changes:#?}");
    }
}

#[test]
fn every_break_says_what_happens_to_a_record() {
    let reason = |old: &str, new: &str| {
        let changes = diff(&schema(&field(old)), &schema(&field(new)));
        let found = changes.iter().flat_map(|change| &change.breaks);
        found.map(|b| b.why.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        reason("\"long\"", "\"int\""),
        ["a long in records written before cannot be read as an int, which the new schema expects"]
    );
    assert_eq!(
        reason("\"long\"", "[\"null\",\"long\"]"),
        [
            "a null in records written with the new schema cannot be read as a long by the old schema"
        ]
    );
    let at = |word: &str| format!(r#"{{"type":"long","logicalType":"timestamp-{word}"}}"#);
    assert_eq!(
        reason(&at("millis"), &at("micros"))[0],
        "timestamp-millis in records written before would be taken for timestamp-micros by the new schema: the same \
         bytes, another meaning"
    );
    let changes = diff(
        &schema(&record(r#"{"name":"a","type":"int"}"#)),
        &schema(&record(
            r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#,
        )),
    );
    assert_eq!(
        changes[0].breaks[0].why,
        "records written before have no value for it and the field has no default"
    );
}

#[test]
fn classes_are_the_keys_of_drift_policies() {
    let class = |old: &str, new: &str| {
        let changes = diff(&schema(old), &schema(new));
        changes.first().and_then(|c| c.class()).map(Class::word)
    };
    let a = r#"{"name":"a","type":"int"}"#;
    let b = r#"{"name":"b","type":"int","default":1}"#;
    let both = record(&format!("{a},{b}"));
    assert_eq!(class(&record(a), &both), Some("added_optional"));
    assert_eq!(class(&both, &record(a)), Some("removed"));
    let long = |word: &str| field(&format!(r#"{{"type":"long","logicalType":"{word}"}}"#));
    let (millis, micros) = (long("timestamp-millis"), long("timestamp-micros"));
    assert_eq!(class(&millis, &micros), Some("unit_changed"));
    assert_eq!(
        class(&field("\"int\""), &field("\"string\"")),
        Some("type_changed")
    );
    assert_eq!(
        class(&field("\"int\""), &field("[\"null\",\"int\"]")),
        Some("type_changed")
    );
    assert_eq!(class(&field("[\"null\",\"int\"]"), &field("\"int\"")), None);
}

#[test]
fn levels_choose_versions_and_directions() {
    let long = schema(&field("\"long\""));
    let int = schema(&field("\"int\""));
    let double = schema(&field("\"double\""));
    // int -> long -> double is a promotion at each step; forward nothing goes.
    let history = [
        Earlier {
            label: "1",
            schema: &int,
        },
        Earlier {
            label: "2",
            schema: &long,
        },
    ];
    let found = |level: Level, new: &Schema, history: &[Earlier<'_>]| {
        let verdict = check(level, new, history);
        let found = verdict.findings();
        found
            .map(|(version, _, b)| format!("{version} {}", b.direction.word()))
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(found(Level::None, &double, &history), none);
    assert_eq!(found(Level::Backward, &double, &history), none);
    assert_eq!(found(Level::BackwardTransitive, &double, &history), none);
    assert_eq!(found(Level::Forward, &double, &history), ["2 forward"]);
    assert_eq!(
        found(Level::ForwardTransitive, &double, &history),
        ["2 forward", "1 forward"]
    );
    assert_eq!(found(Level::Full, &double, &history), ["2 forward"]);
    assert_eq!(
        found(Level::FullTransitive, &double, &history),
        ["2 forward", "1 forward"]
    );
    // Back to an int: only the version in between stands against it.
    assert_eq!(found(Level::Backward, &int, &history), ["2 backward"]);
    let longer = [history[0], history[1], history[0]];
    assert_eq!(found(Level::Backward, &int, &longer), none);
    assert_eq!(
        found(Level::BackwardTransitive, &int, &longer),
        ["2 backward"]
    );
    assert_eq!(found(Level::FullTransitive, &long, &[]), none);
}

#[test]
fn a_verdict_says_who_would_let_it_pass() {
    let long = |word: &str| {
        schema(&field(&format!(
            r#"{{"type":"long","logicalType":"{word}"}}"#
        )))
    };
    let (millis, micros) = (long("timestamp-millis"), long("timestamp-micros"));
    let earlier = [Earlier {
        label: "1",
        schema: &millis,
    }];
    let verdict = check(Level::Backward, &micros, &earlier);
    assert!(!verdict.is_compatible() && verdict.passes_specification());
    let text = schema(&field("\"string\""));
    let verdict = check(Level::Backward, &text, &earlier);
    assert!(!verdict.is_compatible() && !verdict.passes_specification());
}

#[test]
fn levels_are_read_as_they_are_written() {
    for level in Level::ALL {
        assert_eq!(level.word().parse(), Ok(level));
        assert_eq!(json!(level), json!(level.word()));
    }
    assert_eq!("full".parse(), Ok(Level::Full));
    assert!("FULLY".parse::<Level>().is_err());
}
