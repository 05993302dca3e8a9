//! Formats of dates and times, in the words of `strptime`. A format is checked before any record is read: that its
//! directives exist, that none leaves a guess (a year of two digits, an hour without AM or PM), and that they give
//! what the function needs.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::Offset;

/// The directives that texts are read by, for the documentation.
pub(super) const READ: &str = "`%Y` year in four digits; `%m` month as a number, `%b` or `%B` its English name; `%d` day; \
    `%j` day of the year; `%a`, `%A` English day of the week (must agree); `%H` hour, `%I` with `%p` hour and AM or PM; \
    `%M` minute; `%S` second; `%f` fraction of a second, `%.f` the same with its point, if there is one; `%z` offset as \
    `+0530`, `%:z` as `+05:30`; `%F` is `%Y-%m-%d`, `%T` is `%H:%M:%S`, `%R` is `%H:%M`; `%%` a percent sign. Numbers may \
    lack their leading zeros and have blanks in front, except where one follows another directly (`%Y%m%d`); a blank stands for any number of blanks, and everything else is met as it stands";

/// A part of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directive<'f> {
    /// Where it begins.
    at: usize,
    /// All of it: `%-d`.
    written: &'f str,
    /// Flags, width, colons and point between the percent sign and the letter.
    between: &'f str,
    letter: char,
}

fn directives(format: &str) -> Result<Vec<Directive<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = format.char_indices();
    while let Some((at, character)) = rest.next() {
        if character != '%' {
            continue;
        }
        let start = at + 1;
        let is_between =
            |character: &char| matches!(character, '-' | '_' | '^' | '#' | ':' | '.' | '0'..='9');
        let Some((end, letter)) = rest.find(|(_, character)| !is_between(character)) else {
            return Err(
                "the format ends within a directive; a percent sign is written `%%`".to_owned(),
            );
        };
        found.push(Directive {
            at,
            written: format.get(at..end + letter.len_utf8()).unwrap_or(""),
            between: format.get(start..end).unwrap_or(""),
            letter,
        });
    }
    Ok(found)
}

/// What a format is to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A day.
    Date,
    /// A point in time: with an offset in the text.
    Instant,
    /// A time in a zone that the text does not name.
    Local,
}

/// A format that texts are read by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// With `%F`, `%T` and `%R` written out.
    format: String,
    /// Where digits are counted.
    runs: Vec<Run>,
    /// Whether the day of the week is in the text.
    weekday: bool,
    /// As it was written, for messages.
    shown: String,
}

/// Numbers that follow each other without a sign between them, or a year.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// Where in the format it begins.
    at: usize,
    /// How many digits it takes.
    digits: usize,
    /// How many numbers it is.
    numbers: usize,
    /// Whether it is a year alone.
    year: bool,
}

#[derive(Debug, Default)]
struct Parts(Vec<(&'static str, String)>);

impl Parts {
    fn add(&mut self, part: &'static str, written: &str) -> Result<(), String> {
        if let Some((_, before)) = self.0.iter().find(|(own, _)| *own == part) {
            return Err(format!("`{before}` and `{written}` both give the {part}"));
        }
        self.0.push((part, written.to_owned()));
        Ok(())
    }

    fn has(&self, part: &str) -> bool {
        self.0.iter().any(|(own, _)| *own == part)
    }
}

impl Reading {
    /// Checks a format.
    pub(super) fn new(shown: &str, wanted: Wanted) -> Result<Reading, String> {
        let format = written_out(shown)?;
        let mut parts = Parts::default();
        let directives = directives(&format)?;
        for directive in &directives {
            let part = part(directive)?;
            if !part.is_empty() {
                parts.add(part, directive.written)?;
            }
        }
        complete(&parts, wanted)?;
        let runs = runs(&directives)?;
        Ok(Reading {
            format,
            runs,
            weekday: parts.has("day of the week"),
            shown: shown.to_owned(),
        })
    }

    fn read(&self, text: &str) -> Result<BrokenDownTime, String> {
        let unlike = || format!("the text is not of the format `{}`", self.shown);
        let read = BrokenDownTime::parse(&self.format, text).map_err(|_| unlike())?;
        // jiff takes `26` as the year 26, and a sign; and `2026111` by `%Y%m%d` as November 1.
        for run in &self.runs {
            if run.year && matches!(read.year(), Some(1000..)) {
                continue;
            }
            let before = self.format.get(..run.at).unwrap_or("");
            let at = match before {
                "" => 0,
                _ => {
                    BrokenDownTime::parse_prefix(before, text)
                        .map_err(|_| unlike())?
                        .1
                }
            };
            let digits = text.as_bytes().get(at..at + run.digits);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit)) {
                return Err(match run.year {
                    true => "expected a year of four digits".to_owned(),
                    false => "numbers that follow each other need their leading zeros".to_owned(),
                });
            }
        }
        Ok(read)
    }

    /// The day that a text names.
    pub(super) fn date(&self, text: &str) -> Result<Date, String> {
        self.read(text)?.to_date().map_err(|_| self.no_day())
    }

    /// The time that a text names, and its offset if the format has one.
    pub(super) fn time(&self, text: &str) -> Result<(DateTime, Option<Offset>), String> {
        let read = self.read(text)?;
        let time = read.to_datetime().map_err(|_| self.no_day())?;
        Ok((time, read.offset()))
    }

    fn no_day(&self) -> String {
        match self.weekday {
            true => "the calendar has no such day, or it is another day of the week".to_owned(),
            false => "the calendar has no such day".to_owned(),
        }
    }
}

/// How many digits a number takes in a run; nothing for what is none.
const fn width(letter: char) -> Option<usize> {
    match letter {
        'Y' => Some(4),
        'j' => Some(3),
        'm' | 'd' | 'e' | 'H' | 'k' | 'I' | 'l' | 'M' | 'S' => Some(2),
        _ => None,
    }
}

fn runs(directives: &[Directive<'_>]) -> Result<Vec<Run>, String> {
    let mut runs: Vec<Run> = Vec::new();
    // Where the last run ends, if what comes next could go on with it, and the number that it ends with.
    let mut last: Option<(usize, &Directive<'_>)> = None;
    for directive in directives {
        let Some(digits) = width(directive.letter) else {
            last = None;
            continue;
        };
        match (&last, runs.last_mut()) {
            (Some((end, before)), Some(run)) if *end == directive.at => {
                for loose in [*before, directive] {
                    if !loose.between.is_empty() || matches!(loose.letter, 'e' | 'k' | 'l') {
                        let written = loose.written;
                        return Err(format!(
                            "`{written}` has no number of digits, and stands beside another number"
                        ));
                    }
                }
                run.digits += digits;
                run.numbers += 1;
                run.year = false;
            }
            _ => runs.push(Run {
                at: directive.at,
                digits,
                numbers: 1,
                year: directive.letter == 'Y',
            }),
        }
        last = Some((directive.at + directive.written.len(), directive));
    }
    runs.retain(|run| run.year || run.numbers > 1);
    Ok(runs)
}

fn written_out(format: &str) -> Result<String, String> {
    let mut out = String::with_capacity(format.len());
    let mut copied = 0;
    for directive in directives(format)? {
        let long = match (directive.letter, directive.between) {
            ('F', "") => "%Y-%m-%d",
            ('T', "") => "%H:%M:%S",
            ('R', "") => "%H:%M",
            _ => directive.written,
        };
        out.push_str(format.get(copied..directive.at).unwrap_or(""));
        out.push_str(long);
        copied = directive.at + directive.written.len();
    }
    out.push_str(format.get(copied..).unwrap_or(""));
    Ok(out)
}

/// What a directive gives; nothing for `%%`.
fn part(directive: &Directive<'_>) -> Result<&'static str, String> {
    let written = directive.written;
    let part = match directive.letter {
        '%' => "",
        'Y' => "year",
        'm' | 'b' | 'B' | 'h' => "month",
        'd' | 'e' => "day",
        'j' => "day of the year",
        'a' | 'A' => "day of the week",
        'H' | 'k' | 'I' | 'l' => "hour",
        'p' | 'P' => "AM or PM",
        'M' => "minute",
        'S' => "second",
        'f' => "fraction of a second",
        'z' => "offset",
        'y' | 'D' | 'g' | 'C' => {
            return Err(format!(
                "`{written}` is a year of two digits, whose century would be a guess; write `%Y`"
            ));
        }
        'Z' => {
            return Err(format!(
                "`{written}` is an abbreviation, and several zones share one; write it as it stands and name the zone as \
                 the third argument"
            ));
        }
        's' => {
            return Err(format!(
                "`{written}` is no part of a date; use `fromEpoch(int(text), 's')`"
            ));
        }
        letter => {
            return Err(format!(
                "there is no directive `%{letter}` to read by; a percent sign is written `%%`"
            ));
        }
    };
    let fits = match directive.letter {
        'f' => matches!(directive.between, "" | ".") || is_precision(directive.between),
        'z' => matches!(directive.between, "" | ":"),
        '%' | 'Y' => directive.between.is_empty(),
        _ => matches!(directive.between, "" | "-" | "_" | "0"),
    };
    match fits {
        true => Ok(part),
        false => Err(format!(
            "`{written}` is not understood: `{}` does not go with `%{}`",
            directive.between, directive.letter
        )),
    }
}

/// `3` or `.3`.
fn is_precision(between: &str) -> bool {
    let digits = between.strip_prefix('.').unwrap_or(between);
    matches!(digits.as_bytes(), [b'1'..=b'9'])
}

fn complete(parts: &Parts, wanted: Wanted) -> Result<(), String> {
    let missing =
        |what: &str, directive: &str| Err(format!("the format has no {what}: `{directive}`"));
    if !parts.has("year") {
        return missing("year", "%Y");
    }
    match (
        parts.has("day of the year"),
        parts.has("month"),
        parts.has("day"),
    ) {
        (true, false, false) | (false, true, true) => {}
        (true, ..) => {
            return Err("`%j` is the day of the year; month and day are then too much".to_owned());
        }
        (_, false, _) => return missing("month", "%m"),
        (_, _, false) => return missing("day", "%d"),
    }
    let twelve = parts
        .0
        .iter()
        .any(|(part, written)| *part == "hour" && written.ends_with(['I', 'l']));
    if twelve != parts.has("AM or PM") {
        let text =
            "`%I` is an hour of twelve and needs `%p`; `%H` is one of twenty-four and has no `%p`";
        return Err(text.to_owned());
    }
    for (part, above, directive) in [
        ("fraction of a second", "second", "%S"),
        ("second", "minute", "%M"),
        ("minute", "hour", "%H"),
    ] {
        if parts.has(part) && !parts.has(above) {
            return missing(above, directive);
        }
    }
    let offset = parts.has("offset");
    match wanted {
        Wanted::Date if offset => {
            Err("a date has no offset; read it with `parseTimestamp`".to_owned())
        }
        Wanted::Date => Ok(()),
        _ if !parts.has("hour") => missing("hour", "%H"),
        Wanted::Instant if !offset => Err(
            "nothing says in which zone this time is: write `%z` where the text has an \
             offset, or name the zone as the third argument ('UTC' for a text that ends in Z)"
                .to_owned(),
        ),
        Wanted::Local if offset => {
            Err("the format has an offset, and a zone is given too: leave one out".to_owned())
        }
        Wanted::Instant | Wanted::Local => Ok(()),
    }
}

/// Checks a format that a date (or, with `time`, a point in time) is written by.
pub(super) fn writing(format: &str, time: bool) -> Result<(), String> {
    for directive in directives(format)? {
        let letter = directive.letter;
        let dated = matches!(
            letter,
            'A' | 'a'
                | 'B'
                | 'b'
                | 'h'
                | 'C'
                | 'd'
                | 'D'
                | 'e'
                | 'F'
                | 'G'
                | 'g'
                | 'j'
                | 'm'
                | 'U'
                | 'u'
                | 'V'
                | 'W'
                | 'w'
                | 'Y'
                | 'y'
                | 'q'
                | '%'
                | 'n'
                | 't'
        );
        let timed = matches!(
            letter,
            'f' | 'H'
                | 'I'
                | 'k'
                | 'l'
                | 'M'
                | 'N'
                | 'P'
                | 'p'
                | 'Q'
                | 'R'
                | 'S'
                | 's'
                | 'T'
                | 'Z'
                | 'z'
        );
        match (dated, timed) {
            (true, _) => {}
            (_, true) if time => {}
            (_, true) => return Err(format!("a date has no `{}`", directive.written)),
            _ => {
                return Err(format!(
                    "there is no directive `%{letter}` to write by; a percent sign is written `%%`"
                ));
            }
        }
    }
    let sample = DateTime::default()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|error| error.to_string())?;
    write(format, &sample)
        .map(|_| ())
        .map_err(|_| "the format is not understood".to_owned())
}

/// A point in time by a format that was checked.
pub(super) fn write(format: &str, time: impl Into<BrokenDownTime>) -> Result<String, String> {
    strtime::format(format, time)
        .map_err(|_| "the time cannot be written by this format".to_owned())
}

#[cfg(test)]
mod tests;
