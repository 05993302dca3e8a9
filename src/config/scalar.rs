//! One value by itself: whether a text is of the kind that its key asks for, and what was likely meant if not. Input: a
//! text. Output: a problem without a place. Reads the file system to see whether a path leads anywhere.

use std::net::SocketAddr;
use std::path::Path;

use super::keys::{Kind, Word};
use super::units::{
    Problem, format_duration, format_size, parse_duration, parse_rate, parse_ratio, parse_ratio_in,
    parse_size,
};

/// Longest name that Kafka gives a topic.
pub(crate) const MAX_TOPIC: usize = 249;

/// What is wrong with a scalar of that kind, if anything.
pub(crate) fn scalar_problem(kind: &Kind, text: &str, base: &Path) -> Option<Problem> {
    let expected = || Problem::new(format!("expected {}", kind.expected()));
    match kind {
        Kind::Anything | Kind::Literal => None,
        Kind::Text | Kind::Secret | Kind::Expression | Kind::ExpressionOrNull => text
            .trim()
            .is_empty()
            .then(|| Problem::new("this text is empty")),
        Kind::Bool => match text {
            "true" | "false" => None,
            "yes" | "on" | "Yes" | "True" => Some(expected().hint("write true")),
            "no" | "off" | "No" | "False" => Some(expected().hint("write false")),
            _ => Some(expected()),
        },
        Kind::Int { min, max } => match text.parse::<u64>() {
            Ok(value) if (*min..=*max).contains(&value) => None,
            Ok(_) => Some(Problem::new(format!(
                "expected a whole number from {min} to {max}"
            ))),
            Err(_) => Some(expected()),
        },
        Kind::Number => (!legal_number(text))
            .then(|| expected().hint("digits, with a `-` before and a `.` within")),
        Kind::Duration { min, max } => match parse_duration(text) {
            Ok(value) if value < *min => {
                Some(Problem::new(format!("at least {}", format_duration(*min))))
            }
            Ok(value) if value > *max => {
                Some(Problem::new(format!("at most {}", format_duration(*max))))
            }
            Ok(_) => None,
            Err(problem) => Some(problem),
        },
        Kind::Size { min } => match parse_size(text) {
            Ok(value) if value < *min => {
                Some(Problem::new(format!("at least {}", format_size(*min))))
            }
            Ok(_) => None,
            Err(problem) => Some(problem),
        },
        Kind::Ratio => parse_ratio(text).err(),
        Kind::Rate => parse_rate(text).err(),
        Kind::RatioIn => parse_ratio_in(text).err(),
        Kind::MapOr { short, .. } => scalar_problem(short, text, base),
        Kind::Choice(words) => choice_problem(words, text),
        Kind::Listen => parse_listen(text).err(),
        Kind::Url { base } => url_problem(text, *base),
        Kind::SecretUrl => url_problem(text, false),
        Kind::File => file_problem(text, base),
        Kind::Topic => topic_problem(text),
        Kind::Group => topic_problem(text).map(|problem| Problem {
            message: format!("a group is part of topic names: {}", problem.message),
            ..problem
        }),
        Kind::Version => match text.parse::<u32>() {
            Ok(version) if version >= 1 => None,
            _ if text == "latest" => None,
            _ => Some(expected()),
        },
        Kind::Regex => regex_problem(text),
        Kind::Properties | Kind::Map(_) | Kind::OneOf(_) | Kind::Named { .. } => Some(expected()),
        Kind::List { .. } => Some(expected().hint(format!("write [{text}] for a list of one"))),
    }
}

fn choice_problem(words: &[Word], text: &str) -> Option<Problem> {
    match words.iter().find(|word| word.word == text) {
        Some(_) => None,
        None => {
            let all: Vec<_> = words.iter().map(|word| word.word).collect();
            let problem = Problem::new(format!("expected {}", or_list(&all)));
            Some(match closest(text, words.iter().map(|word| word.word)) {
                Some(word) => problem.hint(format!("did you mean {word}?")),
                None => problem,
            })
        }
    }
}

fn or_list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// `None` for `off`.
pub(crate) fn parse_listen(text: &str) -> Result<Option<SocketAddr>, Problem> {
    if text == "off" {
        return Ok(None);
    }
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    address.parse().map(Some).map_err(|_| {
        let problem = Problem::new("expected an IP address and port, or off");
        match text.strip_prefix(':') {
            Some(port) => problem.hint(format!(
                "0.0.0.0:{port} is all addresses, 127.0.0.1:{port} this machine only"
            )),
            None => problem.hint("127.0.0.1:9600, [::1]:9600, 0.0.0.0:9600"),
        }
    })
}

fn url_problem(text: &str, base: bool) -> Option<Problem> {
    let hint = "http://host:port/path or https://…";
    // The placeholders of a lookup are not legal in a URL until they are filled in.
    let plain = text.replace(['{', '}'], "");
    match url::Url::parse(&plain) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Some(Problem::new("not an HTTP URL").hint(hint))
        }
        Ok(url) if base && (url.query().is_some() || url.fragment().is_some()) => Some(
            Problem::new("paths are added to this URL, so it ends before any `?` or `#`"),
        ),
        Ok(_) => None,
        Err(error) => Some(Problem::new(format!("not a URL: {error}")).hint(hint)),
    }
}

fn file_problem(text: &str, base: &Path) -> Option<Problem> {
    if text.trim().is_empty() {
        return Some(Problem::new("this path is empty"));
    }
    let path = base.join(text);
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => Some(Problem::new(format!("{} is a folder", path.display()))),
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let problem = Problem::new(format!("there is no file {}", path.display()));
            Some(match similar_file(&path) {
                Some(name) => problem.hint(format!("did you mean {name}?")),
                None if Path::new(text).is_relative() => {
                    problem.hint("relative paths begin at the configuration file's folder")
                }
                None => problem,
            })
        }
        Err(error) => Some(Problem::new(format!(
            "cannot read {}: {error}",
            path.display()
        ))),
    }
}

fn similar_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .take(1000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    closest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

pub(crate) fn topic_problem(text: &str) -> Option<Problem> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() {
        return Some(Problem::new("this name is empty"));
    }
    if let Some(c) = text.chars().find(|c| !legal(*c)) {
        return Some(
            Problem::new(format!("{c:?} is not legal in a topic's name"))
                .hint("letters, digits, `.`, `_` and `-`"),
        );
    }
    if text == "." || text == ".." {
        return Some(Problem::new("Kafka refuses this name"));
    }
    (text.len() > MAX_TOPIC).then(|| {
        Problem::new(format!(
            "{} characters; Kafka allows {MAX_TOPIC}",
            text.len()
        ))
    })
}

fn legal_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

fn regex_problem(text: &str) -> Option<Problem> {
    // By itself first: `a)(b` is legal only between the brackets that make it match the whole text.
    let error = regex::Regex::new(text)
        .and_then(|_| regex::Regex::new(&format!("^(?:{text})$")))
        .err()?
        .to_string();
    // The last line of the error says what is wrong; those above it repeat the pattern.
    let last = error.lines().last().unwrap_or_default();
    let reason = last.trim().trim_start_matches("error: ");
    Some(Problem::new(format!("not a regular expression: {reason}")))
}

/// The name that was likely meant.
pub(crate) fn closest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let wanted = plain(written);
    if wanted.is_empty() || wanted.len() > 100 {
        return None;
    }
    names
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance <= (wanted.len().min(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance < wanted.chars().count())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names() {
        let names = ["tiers", "jitter", "budget", "bootstrap_servers", "with"];
        for (written, expect) in [
            ("teirs", Some("tiers")),
            ("Jitter", Some("jitter")),
            ("bootstrap.servers", Some("bootstrap_servers")),
            ("bootstrapServers", Some("bootstrap_servers")),
            ("x", None),
            ("retention", None),
            ("", None),
        ] {
            assert_eq!(closest(written, names.into_iter()), expect, "{written}");
        }
    }

    #[test]
    fn numbers() {
        for text in ["0", "-1", "1.50", "12345678901234567890.1"] {
            assert!(legal_number(text), "{text}");
        }
        for text in ["", "-", "1.", ".5", "1e3", "+1", "NaN", "0x1"] {
            assert!(!legal_number(text), "{text}");
        }
    }

    #[test]
    fn a_pattern_fault_names_the_reason_alone() {
        let problem = regex_problem("[a-").expect("unclosed");
        assert_eq!(
            problem.message,
            "not a regular expression: unclosed character class"
        );
        assert_eq!(regex_problem("[A-Z]{3}"), None);
    }

    #[test]
    fn listen() {
        assert_eq!(parse_listen("off"), Ok(None));
        let address = parse_listen("localhost:1").expect("legal").expect("on");
        assert!(address.ip().is_loopback());
        assert!(parse_listen("[::1]:9600").is_ok());
        for text in ["9600", ":9600", "0.0.0.0", "example.org:80", ""] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }
}
