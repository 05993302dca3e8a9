//! Records from a consumer to a producer with as little as librdkafka allows: what `driftgate bench` measures itself
//! against. Looks at nothing, and keeps nothing of where a record came from.

use std::time::Duration;

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::consumer::Batch;
use super::producer::{Delivery, Producer};
use super::{ClientError, text};

/// How long a full queue is waited for at a time.
const FULL: Duration = Duration::from_millis(10);

/// librdkafka's "no partition": the partitioner chooses.
const BY_KEY: i32 = -1;

/// Queues key and value of each record of the batch for `topic`, and says how many there were. Delivery reports that come
/// meanwhile are in `out`.
pub fn forward(
    batch: &Batch<'_>,
    producer: &mut Producer,
    topic: &str,
    out: &mut Vec<Delivery>,
) -> Result<u64, ClientError> {
    let failed = |code: RDKafkaErrorCode| ClientError {
        code,
        message: code.to_string(),
    };
    let handle = producer.topic(topic).map_err(failed)?;
    let mut count = 0;
    for slot in batch.slots() {
        // SAFETY: every slot holds a message until the batch is dropped; RD_KAFKA_MSG_F_COPY makes librdkafka copy key and
        // value before it returns. The topic's handle lives as long as the producer.
        unsafe {
            let message = &**slot;
            if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(ClientError {
                    code: message.err.into(),
                    message: text(sys::rd_kafka_message_errstr(*slot)),
                });
            }
            while sys::rd_kafka_produce(
                handle,
                BY_KEY,
                sys::RD_KAFKA_MSG_F_COPY,
                message.payload,
                message.len,
                message.key,
                message.key_len,
                std::ptr::null_mut(),
            ) != 0
            {
                match RDKafkaErrorCode::from(sys::rd_kafka_last_error()) {
                    RDKafkaErrorCode::QueueFull => producer.poll(FULL, out),
                    code => return Err(failed(code)),
                }
            }
        }
        count += 1;
    }
    Ok(count)
}
