//! What all orders of the control topic come to: which partitions an operator has paused, which pauses are answered,
//! which writer schemas are accepted. Written by the reader of the topic, asked by workers and the gate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::order::{Action, Order, Subject};

/// The orders that stand. One for an instance: subjects name their pipeline.
#[derive(Debug, Default)]
pub struct Controls {
    /// Changes with every order: whoever acts on orders looks again when it has.
    version: AtomicU64,
    orders: Mutex<HashMap<Subject, (i64, Order)>>,
}

impl Controls {
    /// Changes whenever an order came in.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The order at an offset of the control topic; `None` is a tombstone.
    pub fn apply(&self, offset: i64, subject: Subject, order: Option<Order>) {
        let mut orders = self.lock();
        match order {
            Some(order) => orders.insert(subject, (offset, order)),
            None => orders.remove(&subject),
        };
        drop(orders);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The topic begins anew: what was known stands until something newer comes.
    pub fn begin_anew(&self) {
        for (offset, _) in self.lock().values_mut() {
            *offset = -1;
        }
    }

    /// The order by which an operator has paused a partition. Of those for it and those for its pipeline, the newest counts.
    pub fn paused(&self, pipeline: &str, topic: &str, number: i32) -> Option<Order> {
        let orders = self.lock();
        let wide = Subject::Pipeline(pipeline.to_owned());
        let narrow = Subject::Partition(pipeline.to_owned(), topic.to_owned(), number);
        let found = [wide, narrow];
        let found = found.iter().filter_map(|subject| orders.get(subject));
        let (_, order) = found.max_by_key(|(offset, _)| *offset)?;
        (order.action == Action::Pause).then(|| order.clone())
    }

    /// The order that answers the pause of a partition that began at `since`.
    pub fn resumed(&self, pipeline: &str, topic: &str, number: i32, since: i64) -> Option<Order> {
        let subject = Subject::Partition(pipeline.to_owned(), topic.to_owned(), number);
        let orders = self.lock();
        let (_, order) = orders.get(&subject)?;
        let answers = order.action == Action::Resume && order.answers == Some(since);
        answers.then(|| order.clone())
    }

    /// The order by which a writer schema was accepted on a source topic.
    pub fn accepted(&self, pipeline: &str, topic: &str, schema_id: u32) -> Option<Order> {
        let subject = Subject::Schema(pipeline.to_owned(), topic.to_owned(), schema_id);
        let orders = self.lock();
        let (_, order) = orders.get(&subject)?;
        (order.action == Action::Accept).then(|| order.clone())
    }

    /// Every change is a single insertion or removal: whoever panicked under the lock has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, (i64, Order)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(action: Action, answers: Option<i64>) -> Option<Order> {
        Some(Order {
            action,
            answers,
            by: "ada".to_owned(),
            at: 1,
            reason: String::new(),
        })
    }

    fn wide() -> Subject {
        Subject::Pipeline("p".to_owned())
    }

    fn narrow(number: i32) -> Subject {
        Subject::Partition("p".to_owned(), "t".to_owned(), number)
    }

    #[test]
    fn the_newest_of_the_pipelines_and_the_partitions_order_counts() {
        let controls = Controls::default();
        let paused = || [0, 1].map(|number| controls.paused("p", "t", number).is_some());
        assert_eq!(paused(), [false, false]);
        controls.apply(0, wide(), order(Action::Pause, None));
        assert_eq!(paused(), [true, true]);
        controls.apply(1, narrow(0), order(Action::Resume, None));
        assert_eq!(paused(), [false, true]);
        controls.apply(2, narrow(0), order(Action::Pause, None));
        assert_eq!(paused(), [true, true]);
        controls.apply(3, wide(), order(Action::Resume, None));
        assert_eq!(paused(), [false, false]);
        controls.apply(4, narrow(1), order(Action::Pause, None));
        assert_eq!(paused(), [false, true]);
        controls.apply(5, narrow(1), None);
        assert_eq!(paused(), [false, false]);
        assert_eq!(controls.version(), 6);
        assert!(controls.paused("q", "t", 0).is_none(), "another pipeline");
    }

    #[test]
    fn a_pause_is_lifted_by_the_order_that_answers_it() {
        let controls = Controls::default();
        let resumed = |number, since| controls.resumed("p", "t", number, since).is_some();
        controls.apply(0, narrow(0), order(Action::Resume, Some(100)));
        assert!(resumed(0, 100));
        assert!(!resumed(0, 101), "a later pause");
        assert!(!resumed(1, 100), "another partition");
        controls.apply(1, narrow(1), order(Action::Resume, None));
        controls.apply(2, wide(), order(Action::Resume, None));
        assert!(!resumed(1, 100), "an order that answers no pause");
        controls.apply(3, narrow(0), order(Action::Pause, Some(100)));
        assert!(!resumed(0, 100), "a pause is no answer");
    }

    #[test]
    fn a_schema_is_accepted_for_a_topic_of_a_pipeline() {
        let controls = Controls::default();
        let subject = Subject::Schema("p".to_owned(), "t".to_owned(), 7);
        controls.apply(0, subject.clone(), order(Action::Accept, None));
        let accepted = |pipeline, topic, id| controls.accepted(pipeline, topic, id).is_some();
        assert!(accepted("p", "t", 7));
        assert!(!accepted("p", "t", 8) && !accepted("p", "u", 7) && !accepted("q", "t", 7));
        controls.apply(1, subject, None);
        assert!(!accepted("p", "t", 7));
    }

    #[test]
    fn a_topic_that_was_made_anew_adds_to_what_was_known() {
        let controls = Controls::default();
        controls.apply(900, wide(), order(Action::Pause, None));
        controls.begin_anew();
        assert!(controls.paused("p", "t", 0).is_some());
        controls.apply(0, narrow(0), order(Action::Resume, None));
        assert!(
            controls.paused("p", "t", 0).is_none(),
            "newer than all from before"
        );
        assert!(controls.paused("p", "t", 1).is_some());
    }
}
