//! Durations, sizes and ratios as they are written in the file (`1h30m`, `4MiB`, `5%`), both ways. Pure.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// What is wrong with a text, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Problem {
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// `500ms`, `5s`, `1m`, `2h`, `7d`, and compounds with falling units (`1h30m`).
pub fn parse_duration(text: &str) -> Result<Duration, Problem> {
    let wrong = || {
        Problem::new("not a duration")
            .hint("write a whole number and a unit: 500ms, 5s, 1m, 2h, 7d, 1h30m")
    };
    if text.is_empty() {
        return Err(wrong());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(
            Problem::new("a duration needs a unit").hint(format!("{text}s, if seconds are meant"))
        );
    }
    let too_long = || Problem::new("this duration is too long");
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = split_digits(rest);
        let (unit, after) = split_letters(after);
        let factor = DURATION_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(wrong)?;
        if number.is_empty() || factor >= last_unit {
            return Err(wrong());
        }
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(factor))
            .ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        last_unit = factor;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// The shortest text that [`parse_duration`] reads as this many milliseconds.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS {
        let count = millis / factor;
        // 24h rather than 1d, as people write windows; whole days from two on.
        if count > 0 && !(unit == "d" && millis == 86_400_000) {
            text.push_str(&format!("{count}{unit}"));
            millis %= factor;
        }
    }
    text
}

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time: a second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// How many in a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// `50/s`, `3000/m`, `100000/h`.
pub fn parse_rate(text: &str) -> Result<Rate, Problem> {
    let wrong =
        || Problem::new("not a rate").hint("write a whole number and a time: 50/s, 3000/m, 1000/h");
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let per = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match count.parse() {
        Ok(0) => Err(Problem::new("a rate of 0 would never ask")),
        Ok(count) if count <= 1_000_000 => Ok(Rate {
            count,
            per: Duration::from_secs(per),
        }),
        _ => Err(Problem::new("at most 1000000 in that time")),
    }
}

/// `512KiB`, `4MiB`, `10MB`: bytes.
pub fn parse_size(text: &str) -> Result<u64, Problem> {
    let (number, unit) = split_digits(text);
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(Problem::new("not a size")
            .hint("write a whole number and a unit: 512KiB, 4MiB, 10MB, 1GiB"));
    }
    if unit.is_empty() {
        return Err(Problem::new("a size needs a unit")
            .hint(format!("{number}MiB, if mebibytes are meant")));
    }
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let meant = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map_or(
                "the units are B, KB, MB, GB, KiB, MiB, GiB".to_owned(),
                |(name, _)| format!("did you mean {number}{name}?"),
            );
        return Err(Problem::new("not a size: unknown unit").hint(meant));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*factor))
        .ok_or_else(|| Problem::new("this size is too large"))
}

/// The size in the largest binary unit that divides it.
pub fn format_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// `5%`, `0.5%`: a part of one, from 0 to 1.
pub fn parse_ratio(text: &str) -> Result<f64, Problem> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if plain {
            text.parse::<f64>().ok()
        } else {
            None
        }
    };
    let Some(percent) = text.strip_suffix('%') else {
        let problem = Problem::new("not a ratio");
        return Err(match number(text) {
            Some(part) if part <= 1.0 => problem.hint(format!("write {}%", part * 100.0)),
            Some(part) => problem.hint(format!("write {part}%")),
            None => problem.hint("write a percentage: 5%, 0.5%"),
        });
    };
    match number(percent.trim_end()) {
        Some(value) if value <= 100.0 => Ok(value / 100.0),
        Some(_) => Err(Problem::new("a ratio is at most 100%")),
        None => Err(Problem::new("not a ratio").hint("write a percentage: 5%, 0.5%")),
    }
}

/// `20%/1m`: a part of one, and the time that it is measured over.
pub fn parse_ratio_in(text: &str) -> Result<(f64, Duration), Problem> {
    let Some((ratio, window)) = text.split_once('/') else {
        return Err(Problem::new("not a ratio within a time").hint("write both: 20%/1m"));
    };
    let ratio = parse_ratio(ratio)?;
    let window = parse_duration(window)?;
    match window.as_secs() {
        1..=86_400 => Ok((ratio, window)),
        _ => Err(Problem::new("the time is from 1s to 1d")),
    }
}

/// The ratio as a percentage.
pub fn format_ratio(ratio: f64) -> String {
    let percent = (ratio * 100.0 * 1e6).round() / 1e6;
    format!("{percent}%")
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn split_letters(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates() {
        for (text, per_second) in [("50/s", 50.0), ("3000/m", 50.0), ("1/h", 1.0 / 3600.0)] {
            let rate = parse_rate(text).expect(text);
            assert_eq!(rate.per_second(), per_second, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for text in [
            "",
            "50",
            "/s",
            "50/",
            "50/d",
            "0/s",
            "+1/s",
            "1.5/s",
            "50 /s",
            "99999999/s",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("1m", 60_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1m500ms", 60_500),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "1.5s",
            "-1s",
            "5S",
            "30m1h",
            "1h1h",
            "999999999999d",
            "5s!",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        let problem = parse_duration("5").expect_err("no unit");
        assert_eq!(problem.hint.as_deref(), Some("5s, if seconds are meant"));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("4MiB", 4 << 20),
            ("10MB", 10_000_000),
            ("512KiB", 512 << 10),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "4",
            "MiB",
            "4mib",
            "4M",
            "-1B",
            "1.5MiB",
            "99999999999999GiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        let problem = parse_size("4mib").expect_err("case");
        assert_eq!(problem.hint.as_deref(), Some("did you mean 4MiB?"));
    }

    #[test]
    fn ratios() {
        for (text, ratio) in [("5%", 0.05), ("0%", 0.0), ("100%", 1.0), ("0.5%", 0.005)] {
            assert_eq!(parse_ratio(text), Ok(ratio), "{text}");
        }
        for text in ["", "5", "%", "101%", "-1%", "NaN%", "inf%", "1e1%"] {
            assert!(parse_ratio(text).is_err(), "{text}");
        }
        let problem = parse_ratio("0.2").expect_err("a part of one");
        assert_eq!(problem.hint.as_deref(), Some("write 20%"));
    }

    #[test]
    fn ratios_within_a_time() {
        for (text, ratio, secs) in [("20%/1m", 0.2, 60), ("0.5%/1h30m", 0.005, 5400)] {
            let expect = (ratio, Duration::from_secs(secs));
            assert_eq!(parse_ratio_in(text), Ok(expect), "{text}");
        }
        for text in [
            "20%",
            "20%/",
            "/1m",
            "20/1m",
            "120%/1m",
            "20%/60",
            "20%/0s",
            "20%/2d",
            "20%/1m/1m",
        ] {
            assert!(parse_ratio_in(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back(millis in 0u64..10_000_000_000, bytes in 0u64..1 << 40, percent in 0u32..=100) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            let ratio = f64::from(percent) / 100.0;
            prop_assert_eq!(parse_ratio(&format_ratio(ratio)), Ok(ratio));
        }
    }
}
