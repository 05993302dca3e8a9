//! What a pause says of a write that was refused: librdkafka's words for the code, and behind them what a person can do about it,
//! where it takes one.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::health::PauseReason;

/// Why a topic did not take a record, with what to do about it. "It" is the topic, which is named in front.
pub(super) fn in_words(code: Code) -> String {
    match hint(code) {
        Some(hint) => format!("{code}: {hint}"),
        None => code.to_string(),
    }
}

/// The same of a record that could not even be queued. How large one may be is settled at the start: a topic that is raised
/// later changes nothing by itself.
pub(super) fn not_queued(code: Code) -> String {
    match code {
        Code::MessageSizeTooLarge => format!(
            "{code}: raise its max.message.bytes, or message.max.bytes in kafka.properties where brokers do not tell it, and restart"
        ),
        _ => in_words(code),
    }
}

/// The same of a topic that a transaction may not be written to, by what librdkafka says of the transaction.
pub(super) fn barred(message: &str) -> String {
    match hint(Code::TopicAuthorizationFailed) {
        Some(hint) => format!("{message}: {hint}"),
        None => message.to_owned(),
    }
}

/// Why a partition stops for a write that was refused, which would be `reason` else: the outputs in front of it that fill the
/// producer's queue are on their way, which is no fault.
pub(super) fn reason(code: Code, reason: PauseReason) -> PauseReason {
    match code {
        Code::QueueFull => PauseReason::Backpressure,
        _ => reason,
    }
}

fn hint(code: Code) -> Option<&'static str> {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Some("raise its max.message.bytes"),
        Code::TopicAuthorizationFailed => Some("grant this user Write on it"),
        // The client's own word for it, and the broker's. Without Describe, a topic that is there looks the same.
        Code::UnknownTopic | Code::UnknownTopicOrPartition => Some(
            "create it, or restart with create_topics: true; if it is there, grant this user Describe on it",
        ),
        Code::UnknownPartition => Some(
            "it has fewer partitions than are written to: add them, or restart with create_topics: true",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_can_do_is_said_behind_the_code() {
        for (code, says) in [
            (
                Code::MessageSizeTooLarge,
                "Message size too large): raise its max.message.bytes",
            ),
            (
                Code::TopicAuthorizationFailed,
                "Topic authorization failed): grant this user Write on it",
            ),
            (
                Code::UnknownTopicOrPartition,
                "Unknown topic or partition): create it, or restart with create_topics: true",
            ),
            (Code::UnknownTopic, "Unknown topic): create it"),
            (
                Code::UnknownPartition,
                "Unknown partition): it has fewer partitions",
            ),
        ] {
            let told = in_words(code);
            assert!(told.contains(says), "{told}");
        }
        // An outage: nothing that a person could do to the topic.
        let outage = Code::NotEnoughReplicas;
        assert_eq!(in_words(outage), outage.to_string());
    }

    #[test]
    fn what_the_client_does_not_queue_for_its_size_needs_a_restart() {
        let large = not_queued(Code::MessageSizeTooLarge);
        assert!(large.contains("kafka.properties"), "{large}");
        assert!(large.ends_with("and restart"), "{large}");
        for code in [Code::UnknownTopic, Code::QueueFull] {
            assert_eq!(not_queued(code), in_words(code));
        }
    }
}
