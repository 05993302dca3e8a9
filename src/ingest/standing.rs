//! Pauses that outlast their owner: words in the commit metadata, beside the outcome counts and atomic with the offset, so
//! that whoever is assigned the partition next knows before it reads. `paused=breaker@<ms>`, one word for each.

/// Fields of a contract, by their places among those that are compared with a baseline; up to 512 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fields([u64; 8]);

impl Fields {
    /// These; places beyond the last one are none.
    pub fn of(places: &[usize]) -> Fields {
        let mut fields = Fields::default();
        for place in places {
            if let Some(word) = fields.0.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
        fields
    }

    /// Their places.
    pub fn places(&self) -> Vec<usize> {
        let is_in = |place: &usize| self.0[place / 64] & (1 << (place % 64)) != 0;
        (0..512).filter(is_in).collect()
    }

    /// Those of both.
    #[must_use]
    pub fn with(self, other: Fields) -> Fields {
        Fields(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// These but for the others.
    #[must_use]
    pub fn without(self, other: Fields) -> Fields {
        Fields(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Fields::default()
    }

    fn to_word(self) -> String {
        let used = self.0.iter().rposition(|word| *word != 0).unwrap_or(0);
        let words = self.0[..=used].iter().map(|word| format!("{word:x}"));
        words.collect::<Vec<_>>().join("-")
    }

    fn of_word(word: &str) -> Option<Fields> {
        let mut fields = Fields::default();
        for (place, word) in word.split('-').enumerate() {
            *fields.0.get_mut(place)? = u64::from_str_radix(word, 16).ok()?;
        }
        Some(fields)
    }
}

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
    /// The values of fields drifted from the baseline, and that says to halt. They drift on while nothing is read, so it
    /// stands until somebody resumes.
    Values(Values),
    /// No pause: an operator has let such values go on. The same ones do not pause it again, until they were right in
    /// between or the baseline is another one.
    LetGo(Values),
}

/// Values that drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values {
    /// The writer schema's id.
    pub schema_id: u32,
    /// Which baseline.
    pub baseline: u32,
    /// The fields.
    pub fields: Fields,
}

impl Values {
    fn to_word(self) -> String {
        let fields = self.fields.to_word();
        format!("values:{}:{:x}:{fields}", self.schema_id, self.baseline)
    }

    fn of_words(mut words: std::str::Split<'_, char>) -> Option<Values> {
        let values = Values {
            schema_id: words.next()?.parse().ok()?,
            baseline: u32::from_str_radix(words.next()?, 16).ok()?,
            fields: Fields::of_word(words.next()?)?,
        };
        words.next().is_none().then_some(values)
    }
}

impl Cause {
    /// Whether it pauses anything.
    pub const fn is_pause(self) -> bool {
        !matches!(self, Cause::LetGo(_))
    }

    /// The stable word, without the schema.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Breaker => "breaker",
            Cause::Quarantine => "quarantine",
            Cause::Operator => "operator",
            Cause::Drift { .. } => "drift",
            Cause::Values(_) | Cause::LetGo(_) => "values",
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
            Cause::Values(values) => format!("paused={}@{since}", values.to_word()),
            Cause::LetGo(values) => format!("resumed={}@{since}", values.to_word()),
            cause => format!("paused={}@{since}", cause.as_str()),
        }
    }

    fn of_word(word: &str) -> Option<Standing> {
        let (word, since) = word.split_once('@')?;
        if let Some(values) = word.strip_prefix("resumed=values:") {
            let values = Values::of_words(values.split(':'))?;
            let (cause, since) = (Cause::LetGo(values), since.parse().ok()?);
            return Some(Standing { cause, since });
        }
        let cause = word.strip_prefix("paused=")?;
        let cause = match cause.split_once(':') {
            None => [Cause::Breaker, Cause::Quarantine, Cause::Operator]
                .into_iter()
                .find(|known| known.as_str() == cause)?,
            Some(("drift", id)) => Cause::Drift {
                schema_id: id.parse().ok()?,
            },
            Some(("values", rest)) => Cause::Values(Values::of_words(rest.split(':'))?),
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

    fn values(places: &[usize]) -> Values {
        Values {
            schema_id: 42,
            baseline: 0xc0ff_ee00,
            fields: Fields::of(places),
        }
    }

    #[test]
    fn fields_are_a_set() {
        let some = Fields::of(&[0, 5, 500]);
        assert_eq!(some.places(), [0, 5, 500]);
        assert_eq!(some.with(Fields::of(&[5, 6])).places(), [0, 5, 6, 500]);
        assert_eq!(some.without(Fields::of(&[5, 6])).places(), [0, 500]);
        assert!(some.without(some).is_empty() && !some.is_empty());
        assert!(Fields::of(&[512]).is_empty());
        let word = Cause::Values(values(&[0, 63]));
        let word = Standing {
            cause: word,
            since: 5,
        }
        .to_word();
        assert_eq!(word, "paused=values:42:c0ffee00:8000000000000001@5");
    }

    #[test]
    fn pauses_come_back_from_the_metadata_beside_the_counts() {
        let all = [
            Cause::Breaker,
            Cause::Quarantine,
            Cause::Operator,
            Cause::Values(values(&[0, 63])),
            Cause::LetGo(values(&[1, 64, 511])),
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
            "paused=values@5",
            "paused=values:3@5",
            "paused=values:3:0:x@5",
            "paused=values:3:0:1-1-1-1-1-1-1-1-1@5",
            "paused=values:3:0:1:9@5",
            "resumed=breaker@5",
            "breaker@5",
        ] {
            let text = format!("driftgate/1 emitted=3 {word}");
            assert_eq!(Standing::of_metadata(&text), [], "{word}");
        }
    }
}
