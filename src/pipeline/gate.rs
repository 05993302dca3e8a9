//! The gate: each writer schema is judged once for each topic, on its first record, and what was found is told once.
//! Input: a schema that a plan is being made for. Output: the verdict, and an [`Event`] to whoever listens. Shared by a
//! pipeline's workers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::plans::weight;
use crate::alerts::{Drifted, Teller};
use crate::config::model::{Drift, DriftAction};
use crate::contract::compat;
use crate::contract::drift::{self, Finding, Verdict};
use crate::contract::schema::Schema;
use crate::control::state::Controls;
use crate::metrics::Metrics;

/// Verdicts kept, and the bytes that they may take; more distinct schemas than that are judged, and told, again.
const VERDICTS: usize = 20_000;
const VERDICT_BYTES: usize = 16 * 1024 * 1024;

/// A writer schema was met for the first time on a topic.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// Source topic.
    pub topic: &'a str,
    /// The schema's id.
    pub schema_id: u32,
    /// What differs from the contract, and what is done about it.
    pub verdict: &'a Verdict,
    /// The id that was met before it on this topic, and what differs from that one, a line each.
    pub since: Option<(u32, Vec<String>)>,
    /// The subjects that it is registered under, where the registry tells.
    pub subjects: Option<&'a [String]>,
}

impl Event<'_> {
    /// Tells it: a line in the log, a count for each difference, and an alert if the policy does not allow it.
    pub fn tell(&self, pipeline: &str, owner: &str, metrics: &Metrics, alerts: &Teller) {
        let Event {
            topic,
            schema_id,
            verdict,
            ..
        } = self;
        for finding in &verdict.findings {
            let action = finding.action.as_str();
            metrics.drift(pipeline, topic, finding.class, action);
        }
        let differs: Vec<_> = verdict.findings.iter().map(Finding::to_string).collect();
        let differs = match differs.as_slice() {
            [] => "it is as the contract was reviewed".to_owned(),
            differs => differs.join("; "),
        };
        let since = self
            .since
            .as_ref()
            .map_or_else(String::new, |(id, changes)| {
                let changes = match changes.as_slice() {
                    [] => "nothing but its id".to_owned(),
                    changes => changes.join("; "),
                };
                format!(" (since schema {id}: {changes})")
            });
        let text = bounded(format!(
            "writer schema {schema_id} on {topic}: {differs}{since}"
        ));
        let action = verdict.action.as_str();
        match verdict.action {
            DriftAction::Allow => tracing::info!(pipeline, owner, action, "drift: {text}"),
            DriftAction::Warn | DriftAction::Quarantine => {
                tracing::warn!(pipeline, owner, action, "drift: {text}");
            }
            DriftAction::Halt => tracing::error!(pipeline, owner, action, "drift: {text}"),
        }
        if verdict.action > DriftAction::Allow {
            let findings: Vec<_> = verdict
                .findings
                .iter()
                .take(FINDINGS)
                .map(|finding| {
                    json!({"class": finding.class, "path": finding.path, "what": finding.what,
                        "action": finding.action.as_str()})
                })
                .collect();
            let details = json!({"schema_id": schema_id, "subjects": self.subjects, "action": action,
                "findings": findings, "findings_in_all": verdict.findings.len(), "since": self.since.as_ref().map(|(id, _)| id)});
            alerts.drifted(Drifted {
                topic,
                schema_id: *schema_id,
                action,
                text,
                details: details.as_object().cloned().unwrap_or_default(),
            });
        }
    }
}

/// Findings that an alert names; it counts the rest.
const FINDINGS: usize = 50;

/// A schema of hundreds of fields may differ in all of them.
fn bounded(mut text: String) -> String {
    const LIMIT: usize = 4096;
    if text.len() > LIMIT {
        text.truncate(text.floor_char_boundary(LIMIT));
        text.push('…');
    }
    text
}

/// Who is told.
type Listener = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// The gate of one pipeline.
pub struct Gate {
    policy: Drift,
    /// The contract's subject.
    subject: String,
    listener: Listener,
    /// Where operators accept schemas that halt, and the pipeline's name there.
    controls: Option<(Arc<Controls>, String)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    verdicts: HashMap<(String, u32), Arc<Verdict>>,
    /// What they take.
    bytes: usize,
    /// The schema that was met last on each topic.
    last: HashMap<String, (u32, Arc<Schema>)>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.subject)
    }
}

impl Gate {
    /// A gate that tells `listener`.
    pub fn new(
        policy: Drift,
        subject: String,
        listener: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Gate {
        Gate {
            policy,
            subject,
            listener: Box::new(listener),
            controls: None,
            state: Mutex::default(),
        }
    }

    /// The same, where operators of the pipeline of that name may accept schemas.
    #[must_use]
    pub fn with_controls(mut self, controls: Arc<Controls>, pipeline: &str) -> Gate {
        self.controls = Some((controls, pipeline.to_owned()));
        self
    }

    /// The verdict on a writer schema that halts, if an operator has accepted it: its records go on.
    pub fn accepted(&self, topic: &str, schema_id: u32, verdict: &Verdict) -> Option<Arc<Verdict>> {
        let (controls, pipeline) = self.controls.as_ref()?;
        let order = controls.accepted(pipeline, topic, schema_id)?;
        tracing::info!(
            pipeline,
            topic,
            schema = schema_id,
            "drift: the writer schema is accepted {order}"
        );
        Some(Arc::new(Verdict {
            action: DriftAction::Warn,
            ..verdict.clone()
        }))
    }

    /// Whether the subjects of an id are of interest.
    pub fn asks_subjects(&self) -> bool {
        self.policy.unknown_subject != DriftAction::Allow
    }

    /// Forgets every verdict, because ids have come to mean other schemas.
    pub fn forget(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.verdicts.clear();
        state.bytes = 0;
    }

    /// The verdict on a writer schema.
    pub fn judge(
        &self,
        topic: &str,
        schema_id: u32,
        contract: &Schema,
        writer: &Arc<Schema>,
        subjects: Option<&[String]>,
    ) -> Arc<Verdict> {
        // The lock is held throughout, so that of two workers that meet a schema together one tells it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (topic.to_owned(), schema_id);
        if let Some(verdict) = state.verdicts.get(&key) {
            return Arc::clone(verdict);
        }
        let expected = drift::expected_subjects(topic, &self.subject, writer);
        let verdict = Arc::new(drift::judge(
            contract,
            writer,
            subjects,
            &expected,
            &self.policy,
        ));
        let before = state
            .last
            .insert(topic.to_owned(), (schema_id, Arc::clone(writer)));
        let since = before.map(|(id, before)| {
            let changes = compat::diff(&before, writer);
            (id, changes.iter().map(told).collect::<Vec<_>>())
        });
        if since.is_some() || !verdict.findings.is_empty() {
            (self.listener)(&Event {
                topic,
                schema_id,
                verdict: &verdict,
                since,
                subjects,
            });
        }
        let weight = weight(&verdict) + 2 * topic.len();
        if state.verdicts.len() >= VERDICTS || state.bytes + weight > VERDICT_BYTES {
            state.verdicts.clear();
            state.bytes = 0;
        }
        state.bytes += weight;
        state.verdicts.insert(key, Arc::clone(&verdict));
        verdict
    }
}

fn told(change: &compat::Change) -> String {
    match change.path.as_str() {
        "" => change.describe(),
        path => format!("{path}: {}", change.describe()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::order::{Action, Order, Subject};

    fn schema(fields: &str) -> Arc<Schema> {
        let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        Arc::new(Schema::parse(&text, &[]).expect("a schema"))
    }

    #[test]
    fn a_schema_that_halts_goes_on_once_it_is_accepted_and_no_other() {
        let controls = Arc::new(Controls::default());
        let gate = Gate::new(Drift::default(), "orders".to_owned(), |_| {})
            .with_controls(Arc::clone(&controls), "p");
        let halts = Verdict {
            action: DriftAction::Halt,
            findings: Vec::new(),
        };
        assert!(gate.accepted("t", 7, &halts).is_none());
        let order = Order {
            action: Action::Accept,
            answers: None,
            by: "ada".to_owned(),
            at: 1,
            reason: String::new(),
        };
        let subject = Subject::Schema("p".to_owned(), "t".to_owned(), 7);
        controls.apply(0, subject, Some(order));
        let accepted = gate.accepted("t", 7, &halts).map(|verdict| verdict.action);
        assert_eq!(accepted, Some(DriftAction::Warn));
        assert!(gate.accepted("t", 8, &halts).is_none());
        assert!(gate.accepted("u", 7, &halts).is_none());
    }

    #[test]
    fn each_schema_is_told_once_for_each_topic_with_what_changed_since_the_last() {
        let events: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&events);
        let gate = Gate::new(Drift::default(), "orders".to_owned(), move |event| {
            let since = event
                .since
                .as_ref()
                .map(|(id, changes)| (*id, changes.len()));
            let found = event.verdict.findings.len();
            let line = format!("{} {} {found} {since:?}", event.topic, event.schema_id);
            heard.lock().expect("no panic").push(line);
        });
        let one = schema(r#"{"name":"a","type":"int"}"#);
        let two = schema(r#"{"name":"a","type":"int"},{"name":"b","type":"string","default":""}"#);
        let judge = |topic: &str, id, writer: &Arc<Schema>| {
            gate.judge(topic, id, &one, writer, None).action
        };
        for _ in 0..3 {
            assert_eq!(judge("t", 1, &one), DriftAction::Allow);
            assert_eq!(judge("t", 2, &two), DriftAction::Allow);
            assert_eq!(judge("u", 2, &two), DriftAction::Allow);
        }
        assert_eq!(
            *events.lock().expect("no panic"),
            ["t 2 1 Some((1, 1))", "u 2 1 None"],
            "the first schema of a topic that is as the contract says is no news"
        );
    }
}
