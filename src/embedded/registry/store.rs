//! What the embedded registry knows, and a registry's rules: ids by content, versions by subject, soft and hard
//! deletion, levels. Pure: JSON in and out, no HTTP.
//!
//! What is checked when a schema is registered: an Avro schema parses together with its references and is compatible
//! as [`compatibility`](super::compatibility) says; a JSON Schema is JSON; a protobuf text is taken as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compatibility::{self, Level, Parsed};

/// A 4xx answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: u32,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: u32, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
        }
    }

    fn no_subject(subject: &str) -> Refusal {
        Refusal::new(404, 40401, format!("Subject '{subject}' not found."))
    }

    fn no_version(version: Option<u32>) -> Refusal {
        let version = version.map_or("latest".to_owned(), |version| version.to_string());
        Refusal::new(404, 40402, format!("Version {version} not found."))
    }

    fn no_schema() -> Refusal {
        Refusal::new(404, 40403, "Schema not found")
    }
}

/// The body of a registration, look-up or check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Submitted {
    schema: String,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    #[serde(flatten)]
    contract: DataContract,
}

/// What is kept with a version and served with it, and not with the id; what it says is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DataContract {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_set: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    text: String,
    /// The text as JSON, read once: each new schema is compared to all that there are.
    meaning: Option<Value>,
    kind: String,
    references: Vec<Reference>,
}

impl Stored {
    /// White space and the way it is escaped do not make another schema.
    fn same_as(&self, other: &Stored) -> bool {
        self.kind == other.kind
            && self.references == other.references
            && (self.text == other.text
                || (self.meaning.is_some() && self.meaning == other.meaning))
    }

    /// The part of an answer that describes the schema; Avro is what is meant when no type is given.
    fn describe(&self) -> Value {
        let mut answer = json!({ "schema": self.text });
        if self.kind != "AVRO" {
            answer["schemaType"] = json!(self.kind);
        }
        if !self.references.is_empty() {
            answer["references"] = json!(self.references);
        }
        answer
    }
}

#[derive(Debug, Clone)]
struct Entry {
    version: u32,
    id: u32,
    deleted: bool,
    contract: DataContract,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// By id - 1. Never shrinks: content that returns gets its id back.
    schemas: Vec<Stored>,
    subjects: BTreeMap<String, Vec<Entry>>,
    global: Level,
    levels: BTreeMap<String, Level>,
}

impl Store {
    pub(super) fn subjects(&self, deleted: bool) -> Value {
        let shown = self
            .subjects
            .iter()
            .filter(|(_, entries)| entries.iter().any(|e| deleted || !e.deleted));
        json!(shown.map(|(subject, _)| subject).collect::<Vec<_>>())
    }

    pub(super) fn schema(&self, id: u32) -> Result<Value, Refusal> {
        if !self.uses_of(id).any(|_| true) {
            return Err(Refusal::no_schema());
        }
        Ok(self.stored(id).describe())
    }

    pub(super) fn versions_of_id(&self, id: u32) -> Result<Value, Refusal> {
        let uses: Vec<Value> = self
            .uses_of(id)
            .filter(|(_, entry)| !entry.deleted)
            .map(|(subject, entry)| json!({ "subject": subject, "version": entry.version }))
            .collect();
        if uses.is_empty() {
            Err(Refusal::no_schema())
        } else {
            Ok(json!(uses))
        }
    }

    pub(super) fn versions(&self, subject: &str, deleted: bool) -> Result<Value, Refusal> {
        let entries = self
            .entries(subject)?
            .iter()
            .filter(|entry| deleted || !entry.deleted);
        let versions: Vec<u32> = entries.map(|entry| entry.version).collect();
        if versions.is_empty() {
            Err(Refusal::no_subject(subject))
        } else {
            Ok(json!(versions))
        }
    }

    pub(super) fn version(
        &self,
        subject: &str,
        version: Option<u32>,
        deleted: bool,
    ) -> Result<Value, Refusal> {
        let entry = self.entry(subject, version, deleted)?;
        Ok(self.describe(subject, entry))
    }

    pub(super) fn find(&self, subject: &str, submitted: &Submitted) -> Result<Value, Refusal> {
        let wanted = stored(submitted);
        let mut live = self.live(subject)?.into_iter().rev();
        let entry = live.find(|entry| self.stored(entry.id).same_as(&wanted));
        entry
            .map(|entry| self.describe(subject, entry))
            .ok_or_else(Refusal::no_schema)
    }

    pub(super) fn register(
        &mut self,
        subject: &str,
        submitted: Submitted,
    ) -> Result<Value, Refusal> {
        let new = stored(&submitted);
        let live = self.live(subject).unwrap_or_default();
        // The same schema with another contract is a new version with the same id; with none, it is what is there.
        let contract = submitted.contract.clone();
        if let Some(entry) = live.iter().find(|entry| {
            let same = contract == DataContract::default() || entry.contract == contract;
            same && self.stored(entry.id).same_as(&new)
        }) {
            return Ok(json!({ "id": entry.id }));
        }
        let reasons = self.check(subject, &submitted)?;
        if !reasons.is_empty() {
            let message = format!(
                "Schema being registered is incompatible with an earlier schema: {}",
                reasons.join("; ")
            );
            return Err(Refusal::new(409, 409, message));
        }
        let known = self.schemas.iter().position(|schema| schema.same_as(&new));
        let index = known.unwrap_or(self.schemas.len());
        if known.is_none() {
            self.schemas.push(new);
        }
        let id =
            u32::try_from(index + 1).map_err(|_| Refusal::new(507, 50001, "No ids are left"))?;
        let entries = self.subjects.entry(subject.to_owned()).or_default();
        let version = entries.last().map_or(1, |last| last.version + 1);
        entries.push(Entry {
            version,
            id,
            deleted: false,
            contract,
        });
        Ok(json!({ "id": id }))
    }

    /// What speaks against the schema at the subject's level: against the latest version, or all for a transitive one.
    pub(super) fn check(
        &self,
        subject: &str,
        submitted: &Submitted,
    ) -> Result<Vec<String>, Refusal> {
        let new = self.parse(&stored(submitted))?;
        let level = self.levels.get(subject).copied().unwrap_or(self.global);
        let live = self.live(subject).unwrap_or_default();
        let earlier = if level.is_transitive() {
            &live[..]
        } else {
            &live[live.len().saturating_sub(1)..]
        };
        let mut reasons = Vec::new();
        for entry in earlier.iter().rev() {
            reasons.extend(self.compare(level, entry, &new)?);
        }
        Ok(reasons)
    }

    /// The same against one version. The latest of a subject without versions is compatible with everything.
    pub(super) fn check_against(
        &self,
        subject: &str,
        version: Option<u32>,
        submitted: &Submitted,
    ) -> Result<Vec<String>, Refusal> {
        let new = self.parse(&stored(submitted))?;
        let level = self.levels.get(subject).copied().unwrap_or(self.global);
        match self.entry(subject, version, false) {
            Ok(entry) => self.compare(level, entry, &new),
            Err(_) if version.is_none() => Ok(Vec::new()),
            Err(refusal) => Err(refusal),
        }
    }

    fn compare(&self, level: Level, earlier: &Entry, new: &Parsed) -> Result<Vec<String>, Refusal> {
        let old = self.parse(self.stored(earlier.id))?;
        let reasons = compatibility::reasons(level, &old, new);
        Ok(reasons
            .into_iter()
            .map(|reason| format!("version {}: {reason}", earlier.version))
            .collect())
    }

    fn parse(&self, schema: &Stored) -> Result<Parsed, Refusal> {
        let mut texts = Vec::new();
        self.gather(&schema.references, &mut texts)?;
        compatibility::parse(&schema.kind, &schema.text, &texts)
            .map_err(|message| Refusal::new(422, 42201, format!("Invalid schema: {message}")))
    }

    /// Ends, since a reference has to exist when it is registered, and so there is no circle.
    fn gather(&self, references: &[Reference], texts: &mut Vec<String>) -> Result<(), Refusal> {
        for reference in references {
            let entry = self.entry(&reference.subject, Some(reference.version), true).map_err(|_| {
                let Reference { subject, version, .. } = reference;
                Refusal::new(422, 42201, format!("No schema reference found for subject \"{subject}\" and version {version}"))
            })?;
            let schema = self.stored(entry.id);
            self.gather(&schema.references, texts)?;
            if !texts.contains(&schema.text) {
                texts.push(schema.text.clone());
            }
        }
        Ok(())
    }

    pub(super) fn referenced_by(
        &self,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Value, Refusal> {
        let version = self.entry(subject, version, true)?.version;
        Ok(json!(self.users_of(subject, version)))
    }

    pub(super) fn delete_subject(
        &mut self,
        subject: &str,
        permanent: bool,
    ) -> Result<Value, Refusal> {
        let entries = self.entries(subject)?.to_vec();
        if !permanent && entries.iter().all(|entry| entry.deleted) {
            return Err(Refusal::new(
                404,
                40404,
                format!("Subject '{subject}' was soft deleted."),
            ));
        }
        if permanent && entries.iter().any(|entry| !entry.deleted) {
            return Err(Refusal::new(
                404,
                40405,
                format!(
                    "Subject '{subject}' was not deleted first before being permanently deleted"
                ),
            ));
        }
        let mut versions = Vec::new();
        for entry in entries.iter().filter(|entry| permanent || !entry.deleted) {
            self.refuse_while_referenced(subject, entry.version)?;
            versions.push(entry.version);
        }
        if permanent {
            self.subjects.remove(subject);
        } else if let Some(entries) = self.subjects.get_mut(subject) {
            entries.iter_mut().for_each(|entry| entry.deleted = true);
        }
        Ok(json!(versions))
    }

    pub(super) fn delete_version(
        &mut self,
        subject: &str,
        version: Option<u32>,
        permanent: bool,
    ) -> Result<Value, Refusal> {
        let entry = self.entry(subject, version, permanent)?;
        let (version, deleted) = (entry.version, entry.deleted);
        if permanent && !deleted {
            let message = format!(
                "Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
            );
            return Err(Refusal::new(404, 40407, message));
        }
        self.refuse_while_referenced(subject, version)?;
        if let Some(entries) = self.subjects.get_mut(subject) {
            if permanent {
                entries.retain(|entry| entry.version != version);
            } else {
                entries
                    .iter_mut()
                    .filter(|entry| entry.version == version)
                    .for_each(|entry| entry.deleted = true);
            }
            if entries.is_empty() {
                self.subjects.remove(subject);
            }
        }
        Ok(json!(version))
    }

    fn refuse_while_referenced(&self, subject: &str, version: u32) -> Result<(), Refusal> {
        if self.users_of(subject, version).is_empty() {
            return Ok(());
        }
        let message =
            format!("One or more references exist to the schema {subject} version {version}");
        Err(Refusal::new(422, 42206, message))
    }

    pub(super) fn global_level(&self) -> Level {
        self.global
    }

    pub(super) fn level(&self, subject: &str, default_to_global: bool) -> Result<Value, Refusal> {
        let level = match self.levels.get(subject) {
            Some(own) => *own,
            None if default_to_global => self.global,
            None => {
                let message = format!(
                    "Subject '{subject}' does not have subject-level compatibility configured"
                );
                return Err(Refusal::new(404, 40408, message));
            }
        };
        Ok(json!({ "compatibilityLevel": level.as_str() }))
    }

    pub(super) fn set_level(
        &mut self,
        subject: Option<&str>,
        level: &str,
    ) -> Result<Value, Refusal> {
        let parsed = Level::parse(level).ok_or_else(|| {
            Refusal::new(422, 42203, format!("Invalid compatibility level {level}"))
        })?;
        match subject {
            Some(subject) => drop(self.levels.insert(subject.to_owned(), parsed)),
            None => self.global = parsed,
        }
        Ok(json!({ "compatibility": parsed.as_str() }))
    }

    fn describe(&self, subject: &str, entry: &Entry) -> Value {
        let mut answer = json!({ "subject": subject, "version": entry.version, "id": entry.id });
        if let (Value::Object(answer), Value::Object(schema)) =
            (&mut answer, self.stored(entry.id).describe())
        {
            answer.extend(schema);
            if let Ok(Value::Object(contract)) = serde_json::to_value(&entry.contract) {
                answer.extend(contract);
            }
        }
        answer
    }

    fn stored(&self, id: u32) -> &Stored {
        &self.schemas[id as usize - 1]
    }

    fn uses_of(&self, id: u32) -> impl Iterator<Item = (&String, &Entry)> {
        let all = self.subjects.iter();
        let entries =
            all.flat_map(|(subject, entries)| entries.iter().map(move |entry| (subject, entry)));
        entries.filter(move |(_, entry)| entry.id == id)
    }

    /// Ids of schemas in use that refer to a version.
    fn users_of(&self, subject: &str, version: u32) -> Vec<u32> {
        let refers = |stored: &Stored| {
            stored
                .references
                .iter()
                .any(|r| r.subject == subject && r.version == version)
        };
        let live = self
            .subjects
            .values()
            .flatten()
            .filter(|entry| !entry.deleted);
        let mut users: Vec<u32> = live
            .map(|entry| entry.id)
            .filter(|id| refers(self.stored(*id)))
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    fn entries(&self, subject: &str) -> Result<&[Entry], Refusal> {
        self.subjects
            .get(subject)
            .map(Vec::as_slice)
            .ok_or_else(|| Refusal::no_subject(subject))
    }

    fn live(&self, subject: &str) -> Result<Vec<&Entry>, Refusal> {
        let live: Vec<_> = self
            .entries(subject)?
            .iter()
            .filter(|entry| !entry.deleted)
            .collect();
        if live.is_empty() {
            Err(Refusal::no_subject(subject))
        } else {
            Ok(live)
        }
    }

    fn entry(&self, subject: &str, version: Option<u32>, deleted: bool) -> Result<&Entry, Refusal> {
        let entries = self.entries(subject)?;
        if !deleted && entries.iter().all(|entry| entry.deleted) {
            return Err(Refusal::no_subject(subject));
        }
        let mut shown = entries
            .iter()
            .rev()
            .filter(|entry| deleted || !entry.deleted);
        let entry = shown.find(|entry| version.is_none_or(|version| entry.version == version));
        entry.ok_or_else(|| Refusal::no_version(version))
    }
}

fn stored(submitted: &Submitted) -> Stored {
    Stored {
        text: submitted.schema.clone(),
        meaning: serde_json::from_str(&submitted.schema).ok(),
        kind: submitted
            .schema_type
            .clone()
            .unwrap_or_else(|| "AVRO".to_owned()),
        references: submitted.references.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avro(schema: &str) -> Submitted {
        Submitted {
            schema: schema.to_owned(),
            contract: DataContract::default(),
            schema_type: None,
            references: None,
        }
    }

    fn code(result: Result<Value, Refusal>) -> u32 {
        result.expect_err("a refusal").code
    }

    #[test]
    fn ids_go_by_content_and_versions_by_subject() {
        let mut store = Store::default();
        let one = store
            .register("a", avro(r#"{"type":"string"}"#))
            .expect("registers");
        assert_eq!(one, json!({ "id": 1 }));
        assert_eq!(
            store
                .register("a", avro(r#" { "type" : "string" } "#))
                .expect("again"),
            one
        );
        assert_eq!(
            store
                .register("b", avro(r#"{"type":"string"}"#))
                .expect("elsewhere"),
            one
        );
        assert_eq!(store.versions("a", false).expect("versions"), json!([1]));
        assert_eq!(store.subjects(false), json!(["a", "b"]));
        assert_eq!(code(store.register("a", avro(r#"{"type":"int"}"#))), 409);
        assert_eq!(
            code(store.register("a", avro(r#"{"type":"integer"}"#))),
            42201
        );
    }

    #[test]
    fn a_rule_set_belongs_to_its_version_and_makes_one() {
        let mut store = Store::default();
        let schema = r#"{"type":"record","name":"R","fields":[]}"#;
        let with = |rules: Value| {
            let body = json!({ "schema": schema, "ruleSet": rules, "metadata": { "tags": {} } });
            serde_json::from_value::<Submitted>(body).expect("a registration")
        };
        let mut id = |submitted: Submitted| {
            let answer = store.register("s", submitted).expect("registered");
            answer["id"].as_u64()
        };
        let ids = [
            avro(schema),
            with(json!({"a": 1})),
            with(json!({"a": 1})),
            avro(schema),
        ]
        .map(&mut id);
        assert_eq!(ids, [Some(1); 4]);
        assert_eq!(store.versions("s", false).expect("two"), json!([1, 2]));
        let version = |number| store.version("s", Some(number), false).expect("a version");
        assert_eq!(version(1).get("ruleSet"), None);
        assert_eq!(version(2)["ruleSet"], json!({"a": 1}));
        assert_eq!(version(2)["metadata"], json!({"tags": {}}));
        assert_eq!(store.schema(1).expect("an id").get("ruleSet"), None);
    }

    #[test]
    fn not_found_has_three_codes() {
        let mut store = Store::default();
        store.register("a", avro(r#""string""#)).expect("registers");
        assert_eq!(code(store.schema(2)), 40403);
        assert_eq!(code(store.version("b", None, false)), 40401);
        assert_eq!(code(store.version("a", Some(2), false)), 40402);
        assert_eq!(code(store.find("b", &avro(r#""string""#))), 40401);
        assert_eq!(code(store.find("a", &avro(r#""int""#))), 40403);
    }

    #[test]
    fn soft_deletion_hides_versions_and_keeps_ids() {
        let mut store = Store::default();
        store.register("a", avro(r#""string""#)).expect("registers");
        assert_eq!(code(store.delete_subject("a", true)), 40405);
        assert_eq!(store.delete_subject("a", false).expect("soft"), json!([1]));
        assert_eq!(code(store.version("a", None, false)), 40401);
        assert!(store.schema(1).is_ok(), "records still carry the id");
        store.delete_subject("a", true).expect("hard");
        assert_eq!(code(store.schema(1)), 40403);
    }

    #[test]
    fn what_is_referred_to_cannot_be_deleted() {
        let mut store = Store::default();
        store
            .register("money", avro(r#"{"type":"fixed","name":"Money","size":8}"#))
            .expect("registers");
        let mut order =
            avro(r#"{"type":"record","name":"Order","fields":[{"name":"sum","type":"Money"}]}"#);
        assert_eq!(
            code(store.register("order", order.clone())),
            42201,
            "Money is not known"
        );
        order.references = Some(vec![Reference {
            name: "Money".to_owned(),
            subject: "money".to_owned(),
            version: 1,
        }]);
        store.register("order", order).expect("with its reference");
        assert_eq!(code(store.delete_subject("money", false)), 42206);
        assert_eq!(
            store.referenced_by("money", None).expect("known"),
            json!([2])
        );
    }

    #[test]
    fn the_subjects_level_decides_before_the_global_one() {
        let mut store = Store::default();
        assert_eq!(code(store.level("a", false)), 40408);
        assert_eq!(
            store.level("a", true).expect("global"),
            json!({ "compatibilityLevel": "BACKWARD" })
        );
        assert_eq!(code(store.set_level(Some("a"), "SIDEWAYS")), 42203);
        store.set_level(Some("a"), "NONE").expect("a level");
        store.register("a", avro(r#""string""#)).expect("registers");
        store
            .register("a", avro(r#""int""#))
            .expect("anything goes");
    }
}
