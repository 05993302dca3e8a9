//! YAML as tools for containers and metrics write it, with anchors and merge keys, as a JSON value.

use std::collections::HashMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Reads a file of the repository.
pub(crate) fn read(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let events = Parser::new_from_str(&text).map(|event| match event {
        Ok((event, _)) => event,
        Err(error) => panic!("{}: {error}", path.display()),
    });
    let mut reader = Reader {
        events,
        anchors: HashMap::new(),
    };
    loop {
        if let Event::DocumentStart(_) = reader.next() {
            let event = reader.next();
            return reader.value(event);
        }
    }
}

struct Reader<I> {
    events: I,
    anchors: HashMap<usize, Value>,
}

impl<'a, I: Iterator<Item = Event<'a>>> Reader<I> {
    fn next(&mut self) -> Event<'a> {
        self.events
            .next()
            .expect("the parser ends with a document's end")
    }

    fn value(&mut self, event: Event<'a>) -> Value {
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.anchors[&anchor].clone(),
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next() {
                        Event::SequenceEnd => break (anchor, Value::Array(items)),
                        event => items.push(self.value(event)),
                    }
                }
            }
            Event::MappingStart(anchor, _) => (anchor, self.mapping()),
            other => panic!("{other:?} is no value"),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        value
    }

    /// `<<` takes over the keys that the mapping does not have itself.
    fn mapping(&mut self) -> Value {
        let mut own = Map::new();
        let mut merged = Map::new();
        loop {
            let key = match self.next() {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                other => panic!("{other:?} is no key"),
            };
            let event = self.next();
            let value = self.value(event);
            match (key.as_str(), value) {
                ("<<", Value::Object(entries)) => merged.extend(entries),
                (_, value) => assert!(own.insert(key.clone(), value).is_none(), "{key} twice"),
            }
        }
        for (key, value) in merged {
            own.entry(key).or_insert(value);
        }
        Value::Object(own)
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(text),
        },
    }
}
