//! A point in time as expressions know it: of the years -9999 to 9999, to the last nanosecond, in UTC. CEL's timestamps
//! begin with the year 1, which holds for what is computed; what is only read and written may be older.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::contract::utc;

/// Nanoseconds in a second.
const SECOND: u32 = 1_000_000_000;
/// -9999-01-01T00:00:00Z, 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const FIRST: i64 = -377_705_116_800;
const YEAR_1: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Since 1970, towards the past.
    seconds: i64,
    /// Of the second, below a thousand million.
    nanos: u32,
}

impl Instant {
    fn new(seconds: i64, nanos: u32) -> Option<Instant> {
        (FIRST..=LAST)
            .contains(&seconds)
            .then_some(Instant { seconds, nanos })
    }

    /// So many seconds after 1970, if it is in the years -9999 to 9999.
    pub fn from_second(seconds: i64) -> Option<Instant> {
        Instant::new(seconds, 0)
    }

    /// So many milliseconds after 1970, if it is in the years -9999 to 9999.
    #[inline]
    pub fn from_millisecond(millis: i64) -> Option<Instant> {
        Instant::of_units(millis, 1_000)
    }

    /// So many microseconds after 1970, if it is in the years -9999 to 9999.
    #[inline]
    pub fn from_microsecond(micros: i64) -> Option<Instant> {
        Instant::of_units(micros, 1_000_000)
    }

    /// `number` of which there are `units` in a second.
    #[inline]
    fn of_units(number: i64, units: u32) -> Option<Instant> {
        let rest = u32::try_from(number.rem_euclid(i64::from(units))).ok()?;
        Instant::new(number.div_euclid(i64::from(units)), rest * (SECOND / units))
    }

    /// So many nanoseconds after 1970, if it is in the years -9999 to 9999.
    pub fn from_nanosecond(nanos: i128) -> Option<Instant> {
        let seconds = i64::try_from(nanos.div_euclid(i128::from(SECOND))).ok()?;
        let rest = u32::try_from(nanos.rem_euclid(i128::from(SECOND))).ok()?;
        Instant::new(seconds, rest)
    }

    /// A text in the form of RFC 3339, or what else the calendar's parser takes with an offset.
    pub fn parse(text: &str) -> Option<Instant> {
        Instant::from_nanosecond(utc::parse(text)?)
    }

    /// What clocks at this offset show as that date and time, if it is in the years -9999 to 9999.
    pub fn at(local: DateTime, offset: Offset) -> Option<Instant> {
        let offset = i128::from(offset.seconds()) * i128::from(SECOND);
        Instant::from_nanosecond(utc::nanos(local) - offset)
    }

    /// Seconds since 1970, towards the past.
    pub const fn as_second(self) -> i64 {
        self.seconds
    }

    /// Milliseconds since 1970, towards the past.
    pub const fn as_millisecond(self) -> i64 {
        self.seconds * 1_000 + (self.nanos / 1_000_000) as i64
    }

    /// Nanoseconds since 1970.
    #[inline]
    pub const fn as_nanosecond(self) -> i128 {
        self.seconds as i128 * SECOND as i128 + self.nanos as i128
    }

    /// Whether CEL knows it: whether its year is 1 or later.
    pub const fn is_cel(self) -> bool {
        self.seconds >= YEAR_1
    }

    /// Later by so much, or earlier, if it is in the years 1 to 9999.
    pub fn plus(self, length: SignedDuration) -> Option<Instant> {
        let sum = self.as_nanosecond().checked_add(length.as_nanos())?;
        Instant::from_nanosecond(sum).filter(|sum| sum.is_cel())
    }

    /// How long after `other` it is.
    pub fn since(self, other: Instant) -> SignedDuration {
        SignedDuration::from_nanos_i128(self.as_nanosecond() - other.as_nanosecond())
    }

    /// The calendar's own, which ends 26 hours before the year 9999 does and begins as late.
    pub(super) fn timestamp(self) -> Option<Timestamp> {
        let nanos = i32::try_from(self.nanos).ok()?;
        Timestamp::new(self.seconds, nanos).ok()
    }

    /// How far the clocks of a zone are from UTC. None changes them in the last days of 9999, which jiff does not reach.
    pub fn offset(self, zone: &TimeZone) -> Offset {
        let nearest = if self.seconds < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        zone.to_offset(self.timestamp().unwrap_or(nearest))
    }

    /// What the clocks of a zone show, if that is in the years -9999 to 9999.
    pub fn local(self, zone: &TimeZone) -> Option<DateTime> {
        match self.timestamp() {
            Some(known) => Some(zone.to_datetime(known)),
            None => {
                let offset = SignedDuration::from_secs(i64::from(self.offset(zone).seconds()));
                self.utc().checked_add(offset).ok()
            }
        }
    }

    /// What a clock in UTC shows.
    pub fn utc(self) -> DateTime {
        match self.timestamp() {
            Some(known) => Offset::UTC.to_datetime(known),
            None => {
                utc::datetime(self.as_nanosecond()).expect("it is in the years of the calendar")
            }
        }
    }
}

impl fmt::Display for Instant {
    /// RFC 3339, with as many digits of the second as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const END: &str = "9999-12-31T23:59:59.999999999Z";

    fn instant(text: &str) -> Instant {
        Instant::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn the_first_and_the_last() {
        let end = instant(END);
        assert_eq!(end.to_string(), END);
        assert_eq!(end.as_second(), LAST);
        assert_eq!(Instant::from_nanosecond(end.as_nanosecond()), Some(end));
        assert_eq!(Instant::from_nanosecond(end.as_nanosecond() + 1), None);
        assert_eq!(Instant::from_second(LAST + 1), None);
        let first = Instant::from_second(FIRST).expect("the first");
        assert_eq!(first.to_string(), "-009999-01-01T00:00:00Z");
        assert_eq!(Instant::from_nanosecond(first.as_nanosecond() - 1), None);
        for number in [i64::MIN, i64::MAX] {
            assert_eq!(Instant::from_second(number), None);
            assert_eq!(Instant::from_millisecond(number), None);
        }
        assert_eq!(Instant::from_nanosecond(i128::MAX), None);
        let before = Instant::from_microsecond(-1).expect("just before 1970");
        assert_eq!(before.to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!((before.as_second(), before.as_millisecond()), (-1, -1));
    }

    #[test]
    fn sums_stay_in_the_years_of_cel() {
        let (end, nano) = (instant(END), SignedDuration::from_nanos(1));
        assert_eq!(end.plus(nano), None);
        let begin = instant("0001-01-01T00:00:00Z");
        assert!(begin.is_cel());
        assert_eq!(begin.plus(-nano), None);
        assert_eq!(begin.plus(end.since(begin)), Some(end));
        assert_eq!(end.plus(SignedDuration::MIN), None);
    }

    #[test]
    fn clocks_of_zones_at_the_end() {
        let end = instant(END);
        let zone = |name| TimeZone::get(name).expect("a zone");
        let local = |name| end.local(&zone(name)).map(|at| at.to_string());
        assert_eq!(
            local("UTC").as_deref(),
            Some("9999-12-31T23:59:59.999999999")
        );
        assert_eq!(
            local("America/New_York").as_deref(),
            Some("9999-12-31T18:59:59.999999999")
        );
        assert_eq!(local("Europe/Berlin"), None);
        let midnight = jiff::civil::date(9999, 12, 31).at(0, 0, 0, 0);
        let berlin = Instant::at(midnight, Offset::constant(1)).expect("still 9999");
        assert_eq!(berlin.to_string(), "9999-12-30T23:00:00Z");
        assert_eq!(berlin.local(&zone("Europe/Berlin")), Some(midnight));
        assert_eq!(Instant::at(DateTime::MAX, Offset::constant(-1)), None);
    }

    proptest! {
        #[test]
        fn as_the_calendar_has_it(micros in -377_705_000_000_000_000_i64..253_402_200_000_000_000) {
            let ours = Instant::from_microsecond(micros).expect("in range");
            let its = Timestamp::from_microsecond(micros).expect("in range");
            prop_assert_eq!(ours.timestamp(), Some(its));
            prop_assert_eq!(ours.as_nanosecond(), its.as_nanosecond());
            prop_assert_eq!(ours.to_string(), its.to_string());
            prop_assert_eq!(Instant::from_millisecond(micros / 1000).map(Instant::as_millisecond), Some(micros / 1000));
        }
    }
}
