//! The tags of fields, from the three places that give some: `confluent:tags` in the schema's text, the `metadata.tags`
//! of a registry's version (by pattern), and the `fields` of a rules file (by path).

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value as Json;

use crate::config::model::RulesFile;
use crate::contract::schema::{Kind, NodeId, Schema};

/// The tags of a contract's fields.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    /// By full name: record, point, field.
    named: BTreeMap<String, BTreeSet<String>>,
    /// By pattern over full names.
    patterns: Vec<(Regex, Vec<String>)>,
    /// By path from the top.
    paths: BTreeMap<String, Vec<String>>,
}

impl Tags {
    /// Those that stand in a schema's texts.
    pub fn of_schema<'a>(texts: impl Iterator<Item = &'a str>) -> Tags {
        let mut tags = Tags::default();
        for text in texts {
            // What does not parse has been refused by the schema's own parser.
            if let Ok(json) = serde_json::from_str::<Json>(text) {
                tags.walk(&json, "");
            }
        }
        tags
    }

    fn walk(&mut self, schema: &Json, namespace: &str) {
        match schema {
            Json::Array(branches) => branches.iter().for_each(|b| self.walk(b, namespace)),
            Json::Object(parts) => {
                let text = |key: &str| parts.get(key).and_then(Json::as_str);
                for below in ["items", "values"] {
                    if let Some(below) = parts.get(below) {
                        self.walk(below, namespace);
                    }
                }
                if let Some(inner @ (Json::Object(_) | Json::Array(_))) = parts.get("type") {
                    self.walk(inner, namespace);
                }
                let Some(Json::Array(fields)) = parts.get("fields") else {
                    return;
                };
                let name = text("name").unwrap_or_default();
                let own = text("namespace").unwrap_or(namespace);
                let (namespace, full) = match name.rsplit_once('.') {
                    Some((namespace, _)) => (namespace.to_owned(), name.to_owned()),
                    None if own.is_empty() => (String::new(), name.to_owned()),
                    None => (own.to_owned(), format!("{own}.{name}")),
                };
                for field in fields {
                    let name = field.get("name").and_then(Json::as_str).unwrap_or_default();
                    let tags = field.get("confluent:tags").and_then(Json::as_array);
                    let tags = tags.into_iter().flatten().filter_map(Json::as_str);
                    let named = self.named.entry(format!("{full}.{name}")).or_default();
                    named.extend(tags.map(str::to_owned));
                    if let Some(inner) = field.get("type") {
                        self.walk(inner, &namespace);
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds those of a version's metadata. `Err`: what cannot be understood.
    pub fn add_metadata(&mut self, metadata: &Json) -> Result<(), String> {
        let tags = match metadata.get("tags") {
            None | Some(Json::Null) => return Ok(()),
            Some(Json::Object(tags)) => tags,
            Some(_) => return Err("its `metadata.tags` cannot be understood".to_owned()),
        };
        for (pattern, tags) in tags {
            let list = tags.as_array().map(|tags| {
                let tags = tags.iter().map(|tag| tag.as_str().map(str::to_owned));
                tags.collect::<Option<Vec<_>>>()
            });
            let (Some(Some(list)), Some(regex)) = (list, wildcards(pattern)) else {
                return Err(format!(
                    "its `metadata.tags` of `{pattern}` cannot be understood"
                ));
            };
            self.patterns.push((regex, list));
        }
        Ok(())
    }

    /// Adds those of a rules file.
    pub fn add_file(&mut self, file: &RulesFile) {
        for (path, doc) in &file.fields {
            if !doc.tags.is_empty() {
                self.paths.insert(path.clone(), doc.tags.clone());
            }
        }
    }

    /// The paths of a schema's fields that have a tag, in any case of letters. A record inside itself is gone into once.
    pub fn paths_with(&self, schema: &Schema, tag: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.collect(schema, schema.root, "", tag, &mut Vec::new(), &mut found);
        found
    }

    fn collect(
        &self,
        schema: &Schema,
        node: NodeId,
        path: &str,
        tag: &str,
        open: &mut Vec<NodeId>,
        found: &mut Vec<String>,
    ) {
        match &schema.node(node).kind {
            Kind::Array(inner) => {
                self.collect(schema, *inner, &format!("{path}[]"), tag, open, found);
            }
            Kind::Map(inner) => {
                self.collect(schema, *inner, &format!("{path}{{}}"), tag, open, found);
            }
            Kind::Union(branches) => {
                for branch in branches {
                    self.collect(schema, *branch, path, tag, open, found);
                }
            }
            Kind::Record(record) if !open.contains(&node) => {
                open.push(node);
                for field in &record.fields {
                    let at = match path {
                        "" => field.name.clone(),
                        path => format!("{path}.{}", field.name),
                    };
                    let full_name = format!("{}.{}", record.name.full, field.name);
                    let tags = self.of(&full_name, [&at, &at]);
                    if tags.iter().any(|own| own.eq_ignore_ascii_case(tag)) {
                        found.push(at.clone());
                    }
                    self.collect(schema, field.node, &at, tag, open, found);
                }
                open.pop();
            }
            _ => {}
        }
    }

    /// Those of a field.
    pub(super) fn of(&self, full_name: &str, paths: [&str; 2]) -> BTreeSet<String> {
        let mut tags = self.named.get(full_name).cloned().unwrap_or_default();
        let matching = self
            .patterns
            .iter()
            .filter(|(pattern, _)| pattern.is_match(full_name));
        tags.extend(matching.flat_map(|(_, tags)| tags.iter().cloned()));
        let written = paths.iter().filter_map(|path| self.paths.get(*path));
        tags.extend(written.flatten().cloned());
        tags
    }
}

/// `?` is a character, `*` any within a part of a name, `**` any.
fn wildcards(pattern: &str) -> Option<Regex> {
    let mut regex = String::from(r"\A");
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let (part, length) = match first {
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^.]*".to_owned(), 1),
            '?' => ("[^.]".to_owned(), 1),
            other => (regex::escape(&other.to_string()), other.len_utf8()),
        };
        regex.push_str(&part);
        rest = &rest[length..];
    }
    regex.push_str(r"\z");
    Regex::new(&regex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tags_come_from_the_schema_the_metadata_and_the_rules_file() {
        let schema = json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [
            {"name": "email", "type": "string", "confluent:tags": ["PII"]},
            {"name": "items", "type": {"type": "array", "items":
                {"type": "record", "name": "Item", "fields": [
                    {"name": "sku", "type": ["null", "string"], "confluent:tags": ["KEY", "PII"]}]}}},
            {"name": "at", "type": "long"}]})
        .to_string();
        let mut tags = Tags::of_schema([schema.as_str()].into_iter());
        tags.add_metadata(
            &json!({"tags": {"**.sku": ["X"], "shop.*.at": ["T"], "shop.at": ["no"]}}),
        )
        .expect("understood");
        let mut file = RulesFile::default();
        let doc = crate::config::model::FieldDoc {
            tags: vec!["F".to_owned()],
            ..Default::default()
        };
        file.fields.insert("items[].sku".to_owned(), doc);
        tags.add_file(&file);
        for (name, path, expect) in [
            ("shop.Order.email", "email", "PII"),
            ("shop.Item.sku", "items[].sku", "F,KEY,PII,X"),
            ("shop.Item.sku", "other.sku", "KEY,PII,X"),
            ("shop.Order.at", "at", "T"),
            ("shop.Order.nothing", "nothing", ""),
        ] {
            let found: Vec<_> = tags.of(name, [path, path]).into_iter().collect();
            assert_eq!(found.join(","), expect, "{name} {path}");
        }
        for bad in [json!({"tags": ["x"]}), json!({"tags": {"a": "PII"}})] {
            assert!(Tags::default().add_metadata(&bad).is_err(), "{bad}");
        }
    }
}
