//! A worker's plans, one per writer schema id. Bounded by memory: a topic with ever new ids costs time, not space.

use std::collections::HashMap;
use std::sync::Arc;

use crate::contract::drift::Verdict;
use crate::contract::plan::Plan;
use crate::contract::schema::Schema;
use crate::error::RecordError;

/// What the plans of one worker may take, in bytes.
pub(super) const BUDGET: usize = 32 * 1024 * 1024;
/// The same for the plans of keys, whose schemas are small.
pub(super) const KEY_BUDGET: usize = 4 * 1024 * 1024;

/// What is known of a writer schema.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// How its records are read, or why they cannot be. A compile that fails is kept like one that succeeds.
    pub(super) plan: Result<Arc<Plan>, RecordError>,
    /// The schema, if it could be parsed.
    pub(super) writer: Option<Arc<Schema>>,
    /// The subjects that it is registered under.
    pub(super) subjects: Option<Arc<[String]>>,
    /// What the gate said, by topic.
    pub(super) verdicts: Vec<(String, Arc<Verdict>)>,
}

/// The plans.
#[derive(Debug)]
pub(super) struct Plans {
    entries: HashMap<u32, Held>,
    budget: usize,
    size: usize,
    clock: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Held {
    entry: Entry,
    size: usize,
    used: u64,
}

impl Plans {
    pub(super) fn new(budget: usize) -> Plans {
        Plans {
            entries: HashMap::new(),
            budget,
            size: 0,
            clock: 0,
            evictions: 0,
        }
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Entry> {
        self.clock += 1;
        let held = self.entries.get_mut(&id)?;
        held.used = self.clock;
        Some(&mut held.entry)
    }

    /// Keeps an entry, and drops those that were not used for longest while there is no room.
    pub(super) fn insert(&mut self, id: u32, entry: Entry) {
        let size = entry.size();
        self.clock += 1;
        let held = Held {
            entry,
            size,
            used: self.clock,
        };
        if let Some(before) = self.entries.insert(id, held) {
            self.size -= before.size;
        }
        self.size += size;
        while self.size > self.budget && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, held)| held.used);
            let Some(id) = oldest.map(|(id, _)| *id) else {
                break;
            };
            if let Some(dropped) = self.entries.remove(&id) {
                self.size -= dropped.size;
                self.evictions += 1;
            }
        }
    }

    /// How many were dropped for want of room since this was asked last.
    pub(super) fn take_evictions(&mut self) -> u64 {
        std::mem::take(&mut self.evictions)
    }
}

impl Entry {
    fn size(&self) -> usize {
        let plan = self.plan.as_ref().map_or(512, |plan| plan.size());
        let writer = self.writer.as_ref().map_or(0, |writer| writer.size());
        let subjects = self.subjects.iter().flat_map(|all| all.iter());
        let verdicts = self
            .verdicts
            .iter()
            .map(|(topic, verdict)| topic.len() + weight(verdict));
        let names = subjects.map(String::len).sum::<usize>();
        plan + writer + names + verdicts.sum::<usize>() + 512
    }
}

/// Bytes that a verdict takes, roughly: a schema of many fields may differ in all of them.
pub(super) fn weight(verdict: &Verdict) -> usize {
    let findings = verdict.findings.iter();
    let texts = findings.map(|finding| finding.path.len() + finding.what.len() + 96);
    texts.sum::<usize>() + 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::DriftAction;
    use crate::contract::drift::Finding;
    use crate::error::Reason;

    fn finding(id: u32) -> Finding {
        Finding {
            class: "added_optional",
            path: format!("a.field.of.schema.{id}"),
            what: "a field that the contract does not have".to_owned(),
            action: DriftAction::Allow,
        }
    }

    fn entry() -> Entry {
        Entry {
            plan: Err(RecordError::new(Reason::IncompatibleSchema, "")),
            writer: None,
            subjects: None,
            verdicts: Vec::new(),
        }
    }

    /// A topic where each record has an id of its own: what is held stays below what the README states.
    #[test]
    fn ten_thousand_ids_stay_within_the_budget() {
        let text = |number: usize| {
            let fields: Vec<String> = (0..50)
                .map(|field| {
                    format!(
                        r#"{{"name":"field_{field}","type":["null","string"],"default":null,"doc":"number {number}"}}"#
                    )
                })
                .collect();
            let fields = fields.join(",");
            format!(r#"{{"type":"record","name":"shop.Order","fields":[{fields}]}}"#)
        };
        let contract = Schema::parse(&text(0), &[]).expect("a schema");
        let mut evictions = 0;
        let mut plans = Plans::new(BUDGET);
        let counted = allocation_counter::measure(|| {
            for id in 1..=10_000 {
                let writer = Arc::new(Schema::parse(&text(id as usize), &[]).expect("a schema"));
                let plan = Plan::compile_shared(Arc::clone(&writer), &contract, &[]);
                let verdict = Arc::new(Verdict {
                    action: DriftAction::Allow,
                    findings: vec![finding(id); 50],
                });
                let entry = Entry {
                    plan: plan.map(Arc::new),
                    writer: Some(writer),
                    subjects: Some(vec!["orders-value".to_owned()].into()),
                    verdicts: vec![("orders".to_owned(), verdict)],
                };
                plans.insert(id, entry);
                evictions += plans.take_evictions();
            }
        });
        let held = usize::try_from(counted.bytes_current).expect("something is held");
        let count = plans.entries.len();
        assert!(held <= BUDGET, "{held} bytes for {count} plans");
        // Not empty by mistake either, and what is gone was counted.
        assert!(held > BUDGET / 4, "{held} bytes for {count} plans");
        assert_eq!(count as u64 + evictions, 10_000);
        assert!(plans.get(10_000).is_some() && plans.get(1).is_none());
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_is_counted() {
        let mut plans = Plans::new(3 * entry().size());
        for id in 1..=3 {
            plans.insert(id, entry());
        }
        assert!(plans.get(1).is_some());
        plans.insert(4, entry());
        let kept: Vec<_> = (1..=4).filter(|id| plans.get(*id).is_some()).collect();
        assert_eq!((kept, plans.take_evictions()), (vec![1, 3, 4], 1));
        plans.insert(4, entry());
        assert_eq!(
            (plans.size, plans.take_evictions()),
            (3 * entry().size(), 0)
        );
    }
}
