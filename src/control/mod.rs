//! What operators ask of a running group: to pause a pipeline or a partition, to go on, to accept a writer schema that
//! halted. An order is a record of the compacted topic `<group>.control`, which every instance follows; so it reaches
//! whichever instance owns a partition, now and after a restart.
//!
//! [`order`] is the record, [`state`] what all of them come to (both pure), [`follow`] the reader of an instance, [`desk`]
//! what the commands and the admin API use: it finds what is paused and writes orders.

pub mod desk;
pub mod follow;
pub mod order;
pub mod state;
