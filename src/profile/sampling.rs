//! How closely a record is looked at. Up to [`EXACT_PER_SECOND`] records a second are counted, each of them; above, one in
//! as many as keeps it there, at distances that vary, so that nothing periodic is missed or met each time.

use super::{PART, SAMPLE};

/// Records a second and worker that are counted, each one.
pub const EXACT_PER_SECOND: u32 = 10_000;

/// Decides for one worker. Time comes with each batch.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// Records in the second that runs.
    seen: u32,
    /// When that second began, in milliseconds.
    since: i64,
    /// One record in so many is counted.
    stride: u32,
    /// Records until the next one that is.
    left: u32,
    random: u32,
}

impl Sampler {
    /// One that begins at a time.
    pub fn new(now: i64, seed: u32) -> Sampler {
        Sampler {
            seen: 0,
            since: now,
            stride: 1,
            left: 0,
            random: seed | 1,
        }
    }

    /// Takes the time of a batch.
    pub fn batch(&mut self, now: i64) {
        let elapsed = now.saturating_sub(self.since);
        if (0..1_000).contains(&elapsed) {
            return;
        }
        let elapsed = u64::try_from(elapsed).unwrap_or(1_000).max(1_000);
        let rate = u64::from(self.seen) * 1_000 / elapsed;
        let stride = rate.div_ceil(u64::from(EXACT_PER_SECOND)).max(1);
        self.stride = u32::try_from(stride).unwrap_or(u32::MAX);
        self.seen = 0;
        self.since = now;
    }

    /// Whether the next record is counted. A rate that rises within its second is slowed down within it.
    #[inline]
    pub fn counts(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        if self.stride > 1 || self.seen > EXACT_PER_SECOND {
            self.skip();
        }
        true
    }

    #[cold]
    fn skip(&mut self) {
        if self.seen > EXACT_PER_SECOND.saturating_mul(self.stride) {
            self.stride = self.stride.saturating_mul(2);
        }
        // xorshift32.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let span = self.stride.saturating_mul(2) - 1;
        self.left = self.random % span;
    }
}

/// Whether the record at this place of a part is looked at closely: the first ones at once, so that a part that ends by its
/// time has a sample, the others spread over what is left. Of several workers that fill a part together each has its share
/// of [`FIRST`].
#[inline]
pub(super) fn looks(place: usize, first: usize) -> bool {
    const EVERY: usize = (PART - FIRST).div_ceil(SAMPLE - FIRST);
    place < first || (place - first).is_multiple_of(EVERY)
}

/// Records of a part that are looked at closely at once.
pub(super) const FIRST: usize = SAMPLE / 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `rate` records a second are counted, in each of some seconds, in batches of a hundredth.
    fn counted(rate: u32) -> Vec<u32> {
        let mut sampler = Sampler::new(0, 7);
        let second = |second: i64| {
            let mut counted = 0;
            for batch in 0..100 {
                sampler.batch(second * 1_000 + batch * 10);
                counted += (0..rate / 100).filter(|_| sampler.counts()).count();
            }
            u32::try_from(counted).unwrap()
        };
        (0..5).map(second).collect()
    }

    #[test]
    fn every_record_counts_up_to_the_bound() {
        for rate in [100, 5_000, 10_000] {
            assert_eq!(counted(rate), [rate; 5]);
        }
    }

    #[test]
    fn above_it_about_as_many_as_the_bound() {
        for rate in [20_000, 100_000, 1_000_000] {
            for (second, count) in counted(rate).into_iter().enumerate() {
                // The first second does not know what comes.
                let most = if second == 0 { 100_000 } else { 11_000 };
                assert!(
                    (8_000..=most).contains(&count),
                    "{rate}: {count} in {second}"
                );
            }
        }
    }

    #[test]
    fn a_whole_part_fills_its_sample_and_no_more() {
        let looked = (0..PART).filter(|place| looks(*place, FIRST)).count();
        assert!((SAMPLE - 2..=SAMPLE).contains(&looked), "{looked}");
        assert_eq!((0..40).filter(|place| looks(*place, FIRST)).count(), 40);
    }
}
