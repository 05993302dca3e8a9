//! A producer's calls on its transactions.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::{TransactionalProducer, error, late};
use crate::error::FatalError;
use crate::native::consumer::Entry;
use crate::native::producer::Delivery;
use crate::native::transaction::{Member, Then, TransactionError};
use crate::worker::ports::Transactions;
use crate::worker::sim::core::Core;
use crate::worker::sim::outlet::SimOutlet;
use crate::worker::sim::world::micros;

impl SimOutlet {
    /// Waits until the coordinators answer and one round trip is over.
    fn ask(&self, timeout: Duration) -> bool {
        self.world.step(self.id);
        self.world.wait(self.id, micros(timeout), &Core::answers);
        let wait = {
            let mut core = self.world.core();
            let most = core.plan.round_trip;
            core.some(most)
        };
        self.world.wait(self.id, wait, &|_| false);
        self.world.core().answers()
    }

    fn end(
        &self,
        commits: bool,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        let (id, world) = (self.id, &self.world);
        world.step(id);
        let by = world.core().now + micros(timeout);
        let left = || by.saturating_sub(world.core().now);
        if let Some(code) = world.core().outboxes[id].producer.ended {
            return Err(error(code, Then::Fatal));
        }
        let asked = world.core().outboxes[id].producer.ending.is_some();
        if !asked {
            match commits {
                true => world.core().send_all(id),
                false => world.core().purge(id),
            }
            world.wait(id, left(), &|core| core.flushed(id));
            let flushed = world.core().flushed(id);
            self.reports(out);
            if !flushed {
                return Err(late());
            }
            let failed = world.core().outboxes[id].producer.failed;
            if let (Some(code), true) = (failed, commits) {
                return Err(error(code, Then::Abort));
            }
            world.core().ask(id, commits);
        }
        let answered = |core: &Core| {
            let ending = core.outboxes[id].producer.ending.as_ref();
            ending.is_some_and(|ending| ending.answered)
        };
        world.wait(id, left(), &answered);
        let mut core = world.core();
        if !answered(&core) {
            return Err(late());
        }
        let producer = &mut core.outboxes[id].producer;
        let ending = producer.ending.take();
        if ending
            .as_ref()
            .is_some_and(|ending| ending.commits != commits)
        {
            core.violated("atomic: a transaction was to be ended in two ways".to_owned());
            return Err(late());
        }
        match ending.and_then(|ending| ending.result) {
            Some(Ok(())) => {
                producer.open = false;
                producer.failed = None;
                Ok(())
            }
            _ => Err(core.ended(id)),
        }
    }
}

impl Transactions for SimOutlet {
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        if !self.ask(timeout) {
            return Err(late());
        }
        self.world.core().init(self.id);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.world.step(self.id);
        let mut core = self.world.core();
        let producer = &mut core.outboxes[self.id].producer;
        if let Some(code) = producer.ended {
            return Err(error(code, Then::Fatal));
        }
        if producer.open || producer.ending.is_some() {
            core.violated("atomic: a transaction begins within another".to_owned());
            return Err(error(RDKafkaErrorCode::State, Then::Refused));
        }
        producer.open = true;
        Ok(())
    }

    fn send_offsets(
        &mut self,
        entries: &[Entry],
        member: &Member,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        if let Some(code) = self.world.core().outboxes[self.id].producer.ended {
            return Err(error(code, Then::Fatal));
        }
        if !self.ask(timeout) {
            return Err(late());
        }
        self.world.core().add_offsets(self.id, entries, member)
    }

    fn commit(
        &mut self,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        self.end(true, timeout, out)
    }

    fn abort(
        &mut self,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        self.end(false, timeout, out)
    }

    fn failure(&mut self) -> Option<TransactionError> {
        let code = self.world.core().outboxes[self.id].producer.failed?;
        Some(error(code, Then::Abort))
    }

    fn renew(&mut self) -> Result<(), FatalError> {
        self.world.step(self.id);
        let mut core = self.world.core();
        core.replace(self.id);
        let producer = &mut core.outboxes[self.id].producer;
        *producer = TransactionalProducer {
            slot: producer.slot,
            number: producer.number,
            ..TransactionalProducer::default()
        };
        core.tell(|| format!("{} has another producer", self.id));
        Ok(())
    }
}
