//! Times on the command line: a moment, a day, or how long ago. Input: text and the time that it is now. Output: milliseconds
//! since the epoch. Pure but for [`now`].

use crate::config::units::parse_duration;

/// What to write instead of what is no time.
pub(super) const FORMS: &str =
    "write 2026-11-21T08:00:00Z, 2026-11-21 (UTC), or 2h for two hours ago";

/// A moment, a day, or a time ago; milliseconds since the epoch.
pub(super) fn moment(text: &str, now: i64) -> Option<i64> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_millisecond());
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return Some(midnight.timestamp().as_millisecond());
    }
    let ago = parse_duration(text).ok()?;
    now.checked_sub(i64::try_from(ago.as_millis()).ok()?)
}

/// Whether a text names a time that moves on: `2h` is another moment each time.
pub(super) fn moves(text: &str) -> bool {
    moment(text, 0) != moment(text, 1)
}

/// `--since` and `--until`, in milliseconds since the epoch. Between them must be some time.
pub(super) fn range(
    since: Option<&str>,
    until: Option<&str>,
    now: i64,
) -> Result<(Option<i64>, Option<i64>), String> {
    let read = |name: &str, text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match moment(text, now) {
            Some(moment) => Ok(Some(moment)),
            None => Err(format!("--{name} {text:?} is no time: {FORMS}")),
        },
    };
    let (from, to) = (read("since", since)?, read("until", until)?);
    match (from, to) {
        (Some(from), Some(to)) if from >= to => Err(format!(
            "--since {} is not before --until {}: there is no time between them",
            since.unwrap_or_default(),
            until.unwrap_or_default()
        )),
        both => Ok(both),
    }
}

/// Now, in milliseconds since the epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a command has no batch whose time it could take: ages are told, and due times written, by the wall clock"
)]
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_days_or_a_while_ago() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(moment(text, 10_000_000), expect, "{text}");
        };
        check("1970-01-01T00:00:01Z", Some(1_000));
        check("1970-01-01T01:00:01+01:00", Some(1_000));
        check("1970-01-02", Some(86_400_000));
        check("1h", Some(6_400_000));
        check("0", None);
        check("yesterday", None);
        check("1970-13-01", None);
        assert!(moves("1h"));
        assert!(!moves("1970-01-02") && !moves("1970-01-01T00:00:01Z") && !moves("x"));
    }

    #[test]
    fn a_range_has_some_time_in_it() {
        let check = |since, until, expect: Result<(Option<i64>, Option<i64>), &str>| {
            let found = range(since, until, 10_000_000);
            match expect {
                Ok(expect) => assert_eq!(found, Ok(expect)),
                Err(part) => {
                    let told = found.expect_err("no time between them");
                    assert!(told.contains(part), "{told}");
                }
            }
        };
        check(None, None, Ok((None, None)));
        check(
            Some("2h"),
            Some("1h"),
            Ok((Some(2_800_000), Some(6_400_000))),
        );
        check(
            Some("1h"),
            Some("2h"),
            Err("--since 1h is not before --until 2h"),
        );
        check(
            Some("1h"),
            Some("1970-01-01"),
            Err("is not before --until 1970-01-01"),
        );
        check(None, Some("soon"), Err("--until \"soon\" is no time"));
    }
}
