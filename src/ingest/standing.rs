//! Pauses that outlast their owner: words in the commit metadata, beside the outcome counts and atomic with the offset, so
//! that whoever is assigned the partition next knows before it reads. `paused=breaker@<ms>`, one word for each.

/// What a partition is paused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Too many dead letters.
    Breaker,
    /// Too many records in quarantine.
    Quarantine,
    /// An operator asked for it. The control topic is where that stands; here it tells that the owner has obeyed.
    Operator,
    /// A writer schema drifted, and policy says to halt. Found anew when the record is read again; here it tells which
    /// schema there is to accept.
    Drift {
        /// The writer schema's id.
        schema_id: u32,
    },
}

impl Cause {
    /// The stable word, without the schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Breaker => "breaker",
            Cause::Quarantine => "quarantine",
            Cause::Operator => "operator",
            Cause::Drift { .. } => "drift",
        }
    }
}

/// One pause of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    /// Why.
    pub cause: Cause,
    /// When it began, milliseconds since the epoch: with the partition, the pause's name.
    pub since: i64,
}

impl Standing {
    /// The word for the metadata.
    pub fn to_word(self) -> String {
        let Standing { cause, since } = self;
        match cause {
            Cause::Drift { schema_id } => format!("paused=drift:{schema_id}@{since}"),
            cause => format!("paused={}@{since}", cause.as_str()),
        }
    }

    fn of_word(word: &str) -> Option<Standing> {
        let (cause, since) = word.strip_prefix("paused=")?.split_once('@')?;
        let cause = match cause.split_once(':') {
            None => [Cause::Breaker, Cause::Quarantine, Cause::Operator]
                .into_iter()
                .find(|known| known.as_str() == cause)?,
            Some(("drift", id)) => Cause::Drift {
                schema_id: id.parse().ok()?,
            },
            Some(_) => return None,
        };
        let since = since.parse().ok()?;
        Some(Standing { cause, since })
    }

    /// The pauses that commit metadata tells of. What is not known here is not a pause: a later version may write more.
    pub fn of_metadata(metadata: &str) -> Vec<Standing> {
        metadata.split(' ').filter_map(Standing::of_word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::offsets::Counts;

    #[test]
    fn pauses_come_back_from_the_metadata_beside_the_counts() {
        let all = [
            Cause::Breaker,
            Cause::Quarantine,
            Cause::Operator,
            Cause::Drift { schema_id: 17 },
        ]
        .map(|cause| Standing {
            cause,
            since: 1_763_732_000_123,
        });
        let mut text = Counts::default().to_metadata();
        for standing in all {
            text.push(' ');
            text.push_str(&standing.to_word());
        }
        assert_eq!(Standing::of_metadata(&text), all);
        assert_eq!(Counts::from_metadata(&text), Some(Counts::default()));
        assert!(text.ends_with(" paused=drift:17@1763732000123"), "{text}");
    }

    #[test]
    fn what_is_no_pause_is_none() {
        for word in [
            "",
            "paused",
            "paused=",
            "paused=breaker",
            "paused=breaker@",
            "paused=breaker@now",
            "paused=moon@5",
            "paused=drift@5",
            "paused=drift:x@5",
            "paused=breaker:3@5",
            "breaker@5",
        ] {
            let text = format!("driftgate/1 emitted=3 {word}");
            assert_eq!(Standing::of_metadata(&text), [], "{word}");
        }
    }
}
