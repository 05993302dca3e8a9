//! The conformance cases. Input: the folder of the files. Output: cases in the files' order.

use std::path::Path;

use super::data::{Data, Shape};
use super::text::{self, Item, Message};

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    /// `file/section/name`, without blanks in it; a name that stands twice in a section has `#2` behind it.
    pub(crate) name: String,
    pub(crate) expr: String,
    /// Names, their declared types if any, and their values.
    pub(crate) bindings: Vec<(String, Option<Shape>, Data)>,
    pub(crate) expect: Expect,
    /// The namespace that names are looked up in.
    pub(crate) container: String,
}

/// What must come out.
#[derive(Debug)]
pub(crate) enum Expect {
    Value(Data),
    Error,
}

/// Reads all files of a folder.
pub(crate) fn read(folder: &Path) -> Vec<Case> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "textproto"));
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in paths {
        let content = std::fs::read_to_string(&path).expect("text");
        let file = path.file_stem().and_then(|stem| stem.to_str());
        let file = file.expect("a name");
        for section in text::read(&content).messages("section") {
            for test in section.messages("test") {
                let own = test.text("name").replace([' ', '/'], "_");
                let name = format!("{file}/{}/{own}", section.text("name"));
                let twins = cases
                    .iter()
                    .filter(|case| case.name == name || case.name.starts_with(&format!("{name}#")));
                let name = match twins.count() {
                    0 => name,
                    before => format!("{name}#{}", before + 1),
                };
                cases.push(case(name, test));
            }
        }
    }
    cases
}

fn case(name: String, test: &Message) -> Case {
    let declared = |variable: &str| {
        let mut declarations = test.messages("type_env");
        let found = declarations.find(|declared| declared.text("name") == variable)?;
        shape(found.message("ident")?.message("type")?)
    };
    let bindings = test.messages("bindings").map(|binding| {
        let key = binding.text("key");
        let bound = binding
            .message("value")
            .and_then(|bound| bound.message("value"));
        let bound = bound.map_or(Data::Foreign("an unknown value"), value);
        let shape = declared(&key);
        (key, shape, bound)
    });
    let mut bindings: Vec<_> = bindings.collect();
    for declaration in test.messages("type_env") {
        let name = declaration.text("name");
        if !bindings.iter().any(|(bound, ..)| *bound == name) {
            bindings.push((name, None, Data::Foreign("a declaration without a value")));
        }
    }
    let expect = if let Some(expected) = test.message("value") {
        Expect::Value(value(expected))
    } else if let Some(typed) = test.message("typed_result") {
        // `check_only` cases have none.
        let result = typed.message("result");
        Expect::Value(result.map_or(Data::Foreign("a type alone"), value))
    } else if test.one("eval_error").is_some() || test.one("any_eval_errors").is_some() {
        Expect::Error
    } else if test.one("unknown").is_some() || test.one("any_unknowns").is_some() {
        Expect::Value(Data::Foreign("an unknown value"))
    } else {
        // So the format says.
        Expect::Value(Data::Bool(true))
    };
    Case {
        name,
        expr: test.text("expr"),
        bindings,
        expect,
        container: test.text("container"),
    }
}

/// A `cel.expr.Value`.
fn value(message: &Message) -> Data {
    let (kind, item) = message.fields().next().expect("a kind of value");
    match (kind, item) {
        ("null_value", _) => Data::Null,
        ("bool_value", Item::Word(word)) => Data::Bool(word == "true"),
        ("int64_value", Item::Word(word)) => Data::Int(integer(word)),
        ("double_value", Item::Word(word)) => Data::Double(double(word)),
        ("string_value", Item::Quoted(bytes)) => {
            Data::Text(String::from_utf8(bytes.clone()).expect("UTF-8"))
        }
        ("bytes_value", Item::Quoted(bytes)) => Data::Bytes(bytes.clone()),
        ("list_value", Item::Message(list)) => {
            Data::List(list.messages("values").map(value).collect())
        }
        ("map_value", Item::Message(map)) => {
            let entry = |entry: &Message, part| value(entry.message(part).expect("a part"));
            let entries = map.messages("entries");
            Data::Map(
                entries
                    .map(|e| (entry(e, "key"), entry(e, "value")))
                    .collect(),
            )
        }
        ("object_value", Item::Message(any)) => object(any),
        ("uint64_value", _) => Data::Foreign("an unsigned integer"),
        ("type_value", _) => Data::Foreign("a type"),
        ("enum_value", _) => Data::Foreign("an enum of protobuf"),
        other => panic!("no kind of value: {other:?}"),
    }
}

fn integer(word: &str) -> i64 {
    match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => word.parse(),
    }
    .unwrap_or_else(|_| panic!("no integer: {word}"))
}

fn double(word: &str) -> f64 {
    let word = word.to_lowercase();
    let word = word
        .strip_suffix('f')
        .filter(|_| !word.ends_with("inf"))
        .unwrap_or(&word);
    word.parse().unwrap_or_else(|_| panic!("no number: {word}"))
}

/// An object, of which timestamps and durations are ours.
fn object(any: &Message) -> Data {
    let Some((url, Item::Message(object))) = any.fields().next() else {
        return Data::Foreign("a protobuf message");
    };
    let number = |name| match object.one(name) {
        Some(Item::Word(word)) => integer(word),
        _ => 0,
    };
    let (seconds, nanos) = (number("seconds"), number("nanos"));
    match url {
        "type.googleapis.com/google.protobuf.Timestamp" => {
            Data::Timestamp(seconds, u32::try_from(nanos).expect("nanoseconds"))
        }
        "type.googleapis.com/google.protobuf.Duration" => {
            Data::Duration(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
        }
        _ => Data::Foreign("a protobuf message"),
    }
}

/// A `cel.expr.Type` as a field's type.
fn shape(message: &Message) -> Option<Shape> {
    let (kind, item) = message.fields().next()?;
    Some(match (kind, item) {
        ("primitive", Item::Word(word)) => match word.as_str() {
            "BOOL" => Shape::Bool,
            "INT64" => Shape::Int,
            "DOUBLE" => Shape::Double,
            "STRING" => Shape::Text,
            "BYTES" => Shape::Bytes,
            _ => return None,
        },
        ("list_type", Item::Message(list)) => {
            Shape::List(Box::new(shape(list.message("elem_type")?)?))
        }
        ("map_type", Item::Message(map)) => match shape(map.message("key_type")?)? {
            Shape::Text => Shape::Map(Box::new(shape(map.message("value_type")?)?)),
            _ => return None,
        },
        _ => return None,
    })
}
