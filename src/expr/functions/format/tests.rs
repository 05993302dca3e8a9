use super::*;
use proptest::prelude::*;

fn check(format: &str, wanted: Wanted, expect: Result<(), &str>) {
    match (Reading::new(format, wanted), expect) {
        (Ok(_), Ok(())) => {}
        (Err(found), Err(part)) => assert!(found.contains(part), "{format}: {found}"),
        (found, _) => panic!("{format}: {found:?}, expected {expect:?}"),
    }
}

#[test]
fn formats_are_checked() {
    use Wanted::{Date, Instant, Local};
    check("%Y-%m-%d", Date, Ok(()));
    check("%F", Date, Ok(()));
    check("%-d. %B %Y", Date, Ok(()));
    check("%Y%j", Date, Ok(()));
    check("%F %T", Date, Ok(()));
    check("%FT%T%.f%:z", Instant, Ok(()));
    check("%FT%T%.3f%z", Instant, Ok(()));
    check("%d/%m/%Y %I:%M %p", Local, Ok(()));
    check("100%% %F", Date, Ok(()));
    check("%Y%m%-d", Date, Err("beside another number"));
    check("%Y%m%e", Date, Err("beside another number"));
    check("%-d%b%Y", Date, Ok(()));
    check("%d/%m/%y", Date, Err("century"));
    check("%D", Date, Err("century"));
    check("%m-%d", Date, Err("no year"));
    check("%Y-%d", Date, Err("no month"));
    check("%Y-%m", Date, Err("no day"));
    check("%Y %j %d", Date, Err("too much"));
    check("%F %Y", Date, Err("both give the year"));
    check("%Y-%K-%d", Date, Err("no directive `%K`"));
    check("%F%", Date, Err("ends within"));
    check("%F %:d", Date, Err("does not go with"));
    check("%F %I", Date, Err("needs `%p`"));
    check("%F %H %p", Date, Err("needs `%p`"));
    check("%F %z", Date, Err("no offset"));
    check("%F %s", Date, Err("fromEpoch"));
    check("%F", Instant, Err("no hour"));
    check("%F %M", Local, Err("no hour"));
    check("%FT%TZ", Instant, Err("'UTC'"));
    check("%F %T %Z", Instant, Err("abbreviation"));
    check("%F %T %z", Local, Err("leave one out"));
}

#[test]
fn days_are_read_or_refused() {
    for (format, text, expect) in [
        ("%d/%m/%Y", "03/04/2026", Ok("2026-04-03")),
        ("%m/%d/%Y", "03/04/2026", Ok("2026-03-04")),
        ("%d.%m.%Y", "3.4.2026", Ok("2026-04-03")),
        ("%Y%m%d", "20260403", Ok("2026-04-03")),
        ("%d %b %Y", "03 apr 2026", Ok("2026-04-03")),
        ("%a, %d %b %Y", "Fri, 03 Apr 2026", Ok("2026-04-03")),
        ("%Y-%j", "2024-366", Ok("2024-12-31")),
        ("%F", "0001-01-01", Ok("0001-01-01")),
        ("%Y%m%d", "00010101", Ok("0001-01-01")),
        ("v%Y%j", "v2024366", Ok("2024-12-31")),
        ("%Y%m%d", "2026111", Err("leading zeros")),
        ("%Y%m%d", "2026 111", Err("leading zeros")),
        ("%d%m%Y", "1112026", Err("leading zeros")),
        ("%d %m%Y", "3 12026", Err("leading zeros")),
        ("%d %m%Y", "3 042026", Ok("2026-04-03")),
        ("%d/%m/%Y", "31/02/2026", Err("no such day")),
        ("%d/%m/%Y", "13/13/2026", Err("not of the format")),
        ("%F", "2026-04-03 ", Err("not of the format")),
        ("%F", "2026-04-03T00:00", Err("not of the format")),
        ("%F", " 2026-04-03", Ok("2026-04-03")),
        ("%d/%m/%Y", "03/04/26", Err("four digits")),
        ("%d/%m/%Y", "03/04/026", Err("four digits")),
        ("%d%m%Y", "0304-2026", Err("leading zeros")),
        ("%d%m %Y", "0304 -2026", Err("four digits")),
        ("%d/%m/%Y", "03/04/20260", Err("not of the format")),
        ("%a, %d %b %Y", "Mon, 03 Apr 2026", Err("day of the week")),
        ("%Y-%j", "2026-366", Err("no such day")),
        ("%F", "", Err("not of the format")),
        ("%F", "٢٠٢٦-٠٤-٠٣", Err("not of the format")),
    ] {
        let reading = Reading::new(format, Wanted::Date).expect("a format");
        match (reading.date(text), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found.to_string(), expect, "{text}"),
            (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
            (found, expect) => panic!("{format} {text}: {found:?}, expected {expect:?}"),
        }
    }
}

/// Formats in which every directive may stand once.
fn formats() -> impl Strategy<Value = String> {
    let day = prop_oneof![Just("%d"), Just("%-d"), Just("%e")];
    let month = prop_oneof![Just("%m"), Just("%-m"), Just("%b"), Just("%B")];
    let order = Just([0, 1, 2]).prop_shuffle();
    (day, month, order, "[-/. ,T]?", "[-/. ,]?", prop::bool::ANY).prop_map(
        |(day, month, order, one, two, named)| {
            let parts = order.map(|part| ["%Y", month, day][part]);
            let start = if named { "%a " } else { "" };
            format!("{start}{}{one}{}{two}{}", parts[0], parts[1], parts[2])
        },
    )
}

proptest! {
    /// A date that is written by a format is read by it as the same date, if it is read by it at all.
    #[test]
    fn what_is_written_is_read(format in formats(), days in -350_000i32..2_900_000) {
        let date = crate::expr::days::date_of(days).expect("in range");
        if let Ok(reading) = Reading::new(&format, Wanted::Date) {
            let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).expect("in range");
            let text = write(&format, &midnight).expect("checked");
            prop_assert_eq!(reading.date(&text), Ok(date), "{} {}", format, text);
        }
    }

    #[test]
    fn any_format_is_taken_or_refused(
        format in "([%][-_0:.3]{0,2}[YmdHIMSpbajzfFTRyeZ]|[-/ a%]){0,8}|.*",
        text in "[-+0-9: /.]{0,24}|.*",
    ) {
        for wanted in [Wanted::Date, Wanted::Instant, Wanted::Local] {
            if let Ok(reading) = Reading::new(&format, wanted) {
                let (day, time) = (reading.date(&text), reading.time(&text));
                prop_assert!(day.is_err() || day.is_ok_and(|day| day.year() >= 0));
                prop_assert!(time.is_err() || time.is_ok_and(|(time, _)| time.year() >= 0));
            }
        }
        if writing(&format, true).is_ok() {
            let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
            prop_assert!(write(&format, &sample).is_ok());
        }
    }
}
