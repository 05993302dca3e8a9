//! Structural drift: how a writer schema differs from the contract as it was reviewed. Input: both schemas, the
//! subjects that the writer's is registered under, a policy. Output: what differs, and what is to be done about it.
//! Pure; asked once per schema id and topic.
//!
//! The verdict depends on the contract and the writer schema alone, not on what was seen before: two instances that
//! meet two schemas in different order judge alike, and so does one that was restarted.

use std::collections::HashSet;
use std::fmt;

use super::compat::{self, Change, ChangeKind, Class};
use super::schema::{Kind, NodeId, Schema};
use crate::config::model::{Drift, DriftAction};

/// What was found in a writer schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The most that any finding asks for.
    pub action: DriftAction,
    /// What differs from the contract, in the order of the schema.
    pub findings: Vec<Finding>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key of the policy that it comes under.
    pub class: &'static str,
    /// The field, as `items[].price`; empty for the whole schema.
    pub path: String,
    /// What differs, for a person.
    pub what: String,
    /// What the policy says.
    pub action: DriftAction,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(
            f,
            "{} ({}: {})",
            self.what,
            self.class,
            self.action.as_str()
        )
    }
}

/// Judges a writer schema. `subjects` are those that it is registered under, `None` if that is not known; `expected`
/// are those that belong to the topic.
pub fn judge(
    contract: &Schema,
    writer: &Schema,
    subjects: Option<&[String]>,
    expected: &[String],
    policy: &Drift,
) -> Verdict {
    let known = under_the_writers_names(contract, writer);
    let mut findings: Vec<Finding> = compat::diff(&known, writer)
        .iter()
        .filter_map(|change| finding(change, policy))
        .collect();
    if let Some(subjects) = subjects
        && !subjects.is_empty()
        && !subjects.iter().any(|subject| belongs(subject, expected))
    {
        findings.push(Finding {
            class: "unknown_subject",
            path: String::new(),
            what: format!(
                "registered under {}, and not under {}",
                listed(subjects),
                listed(expected)
            ),
            action: policy.unknown_subject,
        });
    }
    Verdict {
        action: findings
            .iter()
            .map(|finding| finding.action)
            .max()
            .unwrap_or(DriftAction::Allow),
        findings,
    }
}

/// The subjects that a topic's schemas may be registered under, by each of the usual naming strategies.
pub fn expected_subjects(topic: &str, contract: &str, writer: &Schema) -> Vec<String> {
    let mut expected = vec![format!("{topic}-value")];
    if !expected.iter().any(|subject| subject == contract) {
        expected.push(contract.to_owned());
    }
    if let Some(name) = writer.root().kind.name() {
        expected.push(name.full.clone());
        expected.push(format!("{topic}-{}", name.full));
    }
    expected
}

/// A subject may stand in a context of the registry: `:.context:subject`.
fn belongs(subject: &str, expected: &[String]) -> bool {
    let bare = match subject.strip_prefix(":.") {
        Some(rest) => rest.split_once(':').map_or(rest, |(_, bare)| bare),
        None => subject,
    };
    expected.iter().any(|name| name == bare || name == subject)
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "any".to_owned(),
        names => names.join(", "),
    }
}

fn finding(change: &Change, policy: &Drift) -> Option<Finding> {
    let class = change.class()?;
    // The contract says that it takes the narrower type: it is read by promotion.
    if change.kind == ChangeKind::TypeDemoted {
        return None;
    }
    Some(Finding {
        class: class.word(),
        path: change.path.clone(),
        what: change.describe(),
        action: match class {
            Class::AddedOptional => policy.added_optional,
            Class::Removed => policy.removed,
            Class::TypeChanged => policy.type_changed,
            Class::UnitChanged => policy.unit_changed,
        },
    })
}

/// The contract with its fields and types under the names that the writer has, where the contract's aliases join
/// them: what the contract's own review has declared to be the same is no drift.
fn under_the_writers_names(contract: &Schema, writer: &Schema) -> Schema {
    let mut renamed = contract.clone();
    let mut open = vec![(writer.root, contract.root)];
    let mut seen: HashSet<(NodeId, NodeId)> = HashSet::new();
    while let Some((from, to)) = open.pop() {
        if !seen.insert((from, to)) {
            continue;
        }
        let (Some(from), Some(to)) = (writer.non_null(from), contract.non_null(to)) else {
            continue;
        };
        let (from_kind, to_kind) = (&writer.node(from).kind, &contract.node(to).kind);
        if let (Some(theirs), Some(ours)) = (from_kind.name(), to_kind.name())
            && theirs.full != ours.full
            && ours.aliases.contains(&theirs.full)
        {
            match &mut renamed.nodes[to].kind {
                Kind::Record(record) => record.name.full.clone_from(&theirs.full),
                Kind::Enum(symbols) => symbols.name.full.clone_from(&theirs.full),
                Kind::Fixed(fixed) => fixed.name.full.clone_from(&theirs.full),
                _ => {}
            }
        }
        match (from_kind, to_kind) {
            (Kind::Array(from), Kind::Array(to)) | (Kind::Map(from), Kind::Map(to)) => {
                open.push((*from, *to));
            }
            (Kind::Record(from), Kind::Record(ours)) => {
                let mut names: Vec<String> = Vec::with_capacity(ours.fields.len());
                for field in &ours.fields {
                    // As in resolution: an alias takes a field that no other one has, by name or by an alias before.
                    let free = |alias: &&String| {
                        from.index.contains_key(*alias)
                            && !ours.index.contains_key(*alias)
                            && !names.contains(*alias)
                    };
                    let name = match from.index.contains_key(&field.name) {
                        true => &field.name,
                        false => field.aliases.iter().find(free).unwrap_or(&field.name),
                    };
                    if let Some(position) = from.index.get(name) {
                        open.push((from.fields[*position].node, field.node));
                    }
                    names.push(name.clone());
                }
                if let Kind::Record(record) = &mut renamed.nodes[to].kind {
                    record.index.clear();
                    for (position, name) in names.into_iter().enumerate() {
                        record.index.insert(name.clone(), position);
                        record.fields[position].name = name;
                    }
                }
            }
            _ => {}
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> Schema {
        let text =
            format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{fields}]}}"#);
        Schema::parse(&text, &[]).expect("a schema")
    }

    fn check(contract: &str, writer: &str, expect: &[(&str, &str)], action: DriftAction) {
        let policy = Drift {
            type_changed: DriftAction::Quarantine,
            ..Drift::default()
        };
        let verdict = judge(&record(contract), &record(writer), None, &[], &policy);
        let found: Vec<_> = verdict
            .findings
            .iter()
            .map(|finding| (finding.class, finding.path.as_str()))
            .collect();
        assert_eq!(found, expect, "{verdict:?}");
        assert_eq!(verdict.action, action, "{verdict:?}");
    }

    #[test]
    fn each_class_has_its_policy_and_the_strictest_holds() {
        let id = r#"{"name":"id","type":"string"}"#;
        let with = |more: &str| format!("{id},{more}");
        let note = r#"{"name":"note","type":["null","string"],"default":null}"#;
        check(id, id, &[], DriftAction::Allow);
        check(
            id,
            &with(note),
            &[("added_optional", "note")],
            DriftAction::Allow,
        );
        check(&with(note), id, &[("removed", "note")], DriftAction::Warn);
        let status = |of: &str| with(&format!(r#"{{"name":"status","type":{of}}}"#));
        let changed = [("type_changed", "status")];
        check(
            &status(r#""string""#),
            &status(r#""int""#),
            &changed,
            DriftAction::Quarantine,
        );
        let time = |unit: &str| {
            status(&format!(
                r#"{{"type":"long","logicalType":"timestamp-{unit}"}}"#
            ))
        };
        check(
            &time("millis"),
            &time("micros"),
            &[("unit_changed", "status")],
            DriftAction::Halt,
        );
    }

    #[test]
    fn what_the_contract_declares_is_no_drift() {
        let contract = r#"{"name":"amount","type":"long"},{"name":"source","aliases":["channel"],"type":"string"}"#;
        let writer = r#"{"name":"amount","type":"int"},{"name":"channel","type":"string"}"#;
        check(contract, writer, &[], DriftAction::Allow);
        // The other way round a value may come that the contract has no room for.
        let wider = r#"{"name":"amount","type":"long"}"#;
        let narrow = r#"{"name":"amount","type":"int"}"#;
        check(
            narrow,
            wider,
            &[("type_changed", "amount")],
            DriftAction::Quarantine,
        );
    }

    #[test]
    fn one_field_of_the_writer_is_one_field_of_the_contract() {
        let contract = r#"{"name":"a","aliases":["x"],"type":"string","default":""},
            {"name":"b","aliases":["x"],"type":"long","default":0}"#;
        let writer = r#"{"name":"x","type":"string"}"#;
        check(contract, writer, &[("removed", "b")], DriftAction::Warn);
    }

    #[test]
    fn a_schema_of_another_subject_is_told() {
        let schema = record(r#"{"name":"id","type":"string"}"#);
        let expected = expected_subjects("orders", "orders-contract", &schema);
        let action = |subjects: Option<&[&str]>| {
            let subjects: Option<Vec<String>> =
                subjects.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            let verdict = judge(
                &schema,
                &schema,
                subjects.as_deref(),
                &expected,
                &Drift::default(),
            );
            verdict
                .findings
                .first()
                .map(|finding| (finding.class, verdict.action))
        };
        let wrong = Some(("unknown_subject", DriftAction::Warn));
        assert_eq!(action(None), None, "not known is not wrong");
        assert_eq!(action(Some(&[])), None);
        assert_eq!(action(Some(&["orders-value"])), None);
        assert_eq!(action(Some(&["orders-contract"])), None);
        assert_eq!(action(Some(&["shop.Order"])), None);
        assert_eq!(action(Some(&["orders-shop.Order"])), None);
        assert_eq!(action(Some(&[":.eu:orders-value"])), None);
        assert_eq!(action(Some(&["customers-value", "orders-value"])), None);
        assert_eq!(action(Some(&["customers-value"])), wrong);
        assert_eq!(action(Some(&["orders-key"])), wrong);
    }
}
