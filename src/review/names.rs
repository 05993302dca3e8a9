//! The named types in the text of a schema: those that it defines and those that it uses. Input: JSON. Knows nothing of
//! files, nor whether the schema is a good one.

use std::collections::BTreeSet;

use serde_json::Value;

/// The types that need no definition.
pub(super) const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// The full name that a definition gives itself inside a namespace.
pub(super) fn full_name(definition: &Value, enclosing: &str) -> Option<String> {
    let name = definition.get("name")?.as_str()?;
    let namespace = definition
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(enclosing);
    Some(qualified(name, namespace))
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// The named types of a schema, defined and used, as the Avro specification resolves names.
#[derive(Default)]
pub(super) struct Names {
    pub(super) defines: BTreeSet<String>,
    pub(super) uses: BTreeSet<String>,
}

impl Names {
    pub(super) fn walk(&mut self, schema: &Value, namespace: &str) {
        match schema {
            Value::String(name) if !PRIMITIVES.contains(&name.as_str()) => {
                self.uses.insert(qualified(name, namespace));
            }
            Value::Array(branches) => branches
                .iter()
                .for_each(|branch| self.walk(branch, namespace)),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => match kind.as_str() {
                    "record" | "error" | "enum" | "fixed" => self.define(schema, namespace),
                    "array" => object
                        .get("items")
                        .into_iter()
                        .for_each(|items| self.walk(items, namespace)),
                    "map" => object
                        .get("values")
                        .into_iter()
                        .for_each(|values| self.walk(values, namespace)),
                    _ => self.walk(&object["type"], namespace),
                },
                Some(nested) => self.walk(nested, namespace),
                None => {}
            },
            _ => {}
        }
    }

    fn define(&mut self, definition: &Value, enclosing: &str) {
        let Some(full) = full_name(definition, enclosing) else {
            return;
        };
        let namespace = full
            .rsplit_once('.')
            .map_or("", |(namespace, _)| namespace)
            .to_owned();
        self.defines.insert(full);
        for field in definition
            .get("fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            field
                .get("type")
                .into_iter()
                .for_each(|kind| self.walk(kind, &namespace));
        }
    }
}
