//! Phone numbers. The numbering plans (which numbers a country has, what is dialled in front of them) are those of
//! libphonenumber, as the `phonenumber` crate carries them; what is done with them is done here, since the crate's parser
//! takes letters and trailing digits, and its patterns are compiled again and again under one lock.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use phonenumber::metadata::{DATABASE, Descriptors, Metadata};
use regex::Regex;

use super::args::{Made, blamed, call, function, text};
use super::{CallError, Constants, Example, Function, Ty};
use crate::expr::value::Val;

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[Function {
    name: "e164",
    group: "phones",
    doc: "A phone number in the international form E.164 (`+4930123456`). A number that begins with `+`, or with the \
          region's prefix for calls abroad (`00`, `011`), says its country itself; any other is one of `region`, an ISO \
          3166-1 code such as `'DE'`, and the prefix for calls within it (`0`, `1`) is dropped where that region drops it: \
          `030 123456` is `+4930123456` in Germany, and an Italian 0 stays. Blanks, hyphens, points, slashes and brackets \
          are skipped, and `(0)` behind a country code. The region says how the number is dialled, not where it is: a \
          Canadian number dialled from the US is `+1`, too.",
    errors: "Anything else in the text, also letters and extensions; a number that the numbering plan of its country does \
             not have; a region that does not exist (at `check`, if it is a constant).",
    forms: &[function(
        &[("text", Ty::Text), ("region", Ty::Text)],
        Ty::Text,
        e164,
    )],
    examples: &[
        Example {
            expr: "e164('030 / 12 34 56', 'DE')",
            result: "'+4930123456'",
        },
        Example {
            expr: "e164('+44 (0)20 7946 0000', 'DE')",
            result: "'+442079460000'",
        },
        Example {
            expr: "e164('(650) 253-0000', 'US')",
            result: "'+16502530000'",
        },
        Example {
            expr: "e164('02 3661 8300', 'IT')",
            result: "'+390236618300'",
        },
        Example {
            expr: "e164('0012', 'DE')",
            result: "error: no phone number",
        },
        Example {
            expr: "e164('(650) 253-0000', 'FR')",
            result: "error: no phone number",
        },
        Example {
            expr: "e164('030 123456', 'GERMANY')",
            result: "error: no region",
        },
    ],
}];

/// The longest number of E.164, and room for what is dialled in front of it.
const MOST_DIGITS: usize = 15 + 10;
const SHORTEST: usize = 4;

const NO_REGION: &str = "this is no region; expected an ISO 3166-1 code such as 'DE'";
const CHARACTERS: &str =
    "expected digits with blanks and `+ - . / ( )` between them, without an extension";

/// A numbering plan, with its patterns compiled.
#[derive(Debug)]
struct Plan {
    code: String,
    /// All numbers of it, by what they are for; each is matched whole.
    numbers: Vec<Pattern>,
    general: Pattern,
    /// What is dialled in front of a number within the country, and what becomes of it.
    national: Option<Regex>,
    transform: Option<String>,
    /// What is dialled in front of a country code.
    international: Option<Regex>,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    lengths: Vec<u16>,
}

impl Pattern {
    fn takes(&self, number: &str) -> bool {
        let length = u16::try_from(number.len()).unwrap_or(u16::MAX);
        (self.lengths.is_empty() || self.lengths.contains(&length)) && self.regex.is_match(number)
    }
}

fn compiled(pattern: &str, whole: bool) -> Option<Regex> {
    let end = if whole { "$" } else { "" };
    // As libphonenumber's patterns are written: with blanks and line ends between their parts.
    Regex::new(&format!("^(?x:{pattern}){end}")).ok()
}

fn kinds(all: &Descriptors) -> impl Iterator<Item = &phonenumber::metadata::Descriptor> {
    [
        all.fixed_line(),
        all.mobile(),
        all.toll_free(),
        all.premium_rate(),
        all.shared_cost(),
        all.personal_number(),
        all.voip(),
        all.pager(),
        all.uan(),
        all.voicemail(),
    ]
    .into_iter()
    .flatten()
}

impl Plan {
    fn new(metadata: &Metadata) -> Option<Plan> {
        let pattern = |descriptor: &phonenumber::metadata::Descriptor| {
            Some(Pattern {
                regex: compiled(descriptor.national_number().as_str(), true)?,
                lengths: descriptor.possible_length().to_vec(),
            })
        };
        let all = metadata.descriptors();
        let part = |regex: Option<&str>| match regex {
            Some(regex) => compiled(regex, false).map(Some),
            None => Some(None),
        };
        Some(Plan {
            code: metadata.country_code().to_string(),
            numbers: kinds(all).map(pattern).collect::<Option<_>>()?,
            general: pattern(all.general())?,
            national: part(
                metadata
                    .national_prefix_for_parsing()
                    .map(|regex| regex.as_str())
                    .or(metadata.national_prefix()),
            )?,
            transform: metadata.national_prefix_transform_rule().map(braced),
            international: part(metadata.international_prefix().map(|regex| regex.as_str()))?,
        })
    }

    /// Whether there is such a number, without country code and what is dialled in front of it.
    fn has(&self, number: &str) -> bool {
        self.general.takes(number) && self.numbers.iter().any(|kind| kind.takes(number))
    }

    /// The number without what is dialled in front of it within the country.
    fn without_prefix(&self, dialled: &str) -> String {
        let Some(found) = self
            .national
            .as_ref()
            .and_then(|prefix| prefix.captures(dialled))
        else {
            return dialled.to_owned();
        };
        let Some(matched) = found.get(0).filter(|matched| !matched.is_empty()) else {
            return dialled.to_owned();
        };
        let rest = dialled.get(matched.end()..).unwrap_or("");
        let last = found.len() - 1;
        let stripped = match &self.transform {
            // Applies where the last group took part.
            Some(transform) if last > 0 && found.get(last).is_some() => {
                let mut out = String::new();
                found.expand(transform, &mut out);
                out + rest
            }
            _ => rest.to_owned(),
        };
        // A number that may begin with the same digit keeps it, unless it is a number without it too.
        match self.general.takes(dialled) && !self.general.takes(&stripped) {
            true => dialled.to_owned(),
            false => stripped,
        }
    }
}

/// `9$1` as `9${1}`, which a digit behind it cannot change.
fn braced(transform: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for character in transform.chars() {
        match (before, character) {
            ('$', '0'..='9') => out.extend(['{', character, '}']),
            _ => out.push(character),
        }
        before = character;
    }
    out
}

/// The plan of a region, compiled when it is first met.
fn plan_of(region: &str) -> Option<Arc<Plan>> {
    static PLANS: LazyLock<HashMap<String, OnceLock<Option<Arc<Plan>>>>> = LazyLock::new(|| {
        let regions = DATABASE.iter().map(|metadata| metadata.id().to_owned());
        // `001` is no region: numbers that belong to no country. They are met by their code.
        regions.map(|id| (id, OnceLock::new())).collect()
    });
    let own = PLANS.get(region)?;
    own.get_or_init(|| Plan::new(DATABASE.by_id(region)?).map(Arc::new))
        .clone()
}

/// The plans under a country code: several countries share `1`, `7`, `44`.
fn plans_under(code: u16) -> Vec<Arc<Plan>> {
    static SHARED: LazyLock<HashMap<u16, OnceLock<Vec<Arc<Plan>>>>> = LazyLock::new(|| {
        (1..1000)
            .filter(|code| DATABASE.by_code(code).is_some())
            .map(|code| (code, OnceLock::new()))
            .collect()
    });
    let Some(own) = SHARED.get(&code) else {
        return Vec::new();
    };
    let compile = || {
        let under = DATABASE.by_code(&code).unwrap_or_default();
        let plan = |metadata: &Metadata| match metadata.id() {
            "001" => Plan::new(metadata).map(Arc::new),
            id => plan_of(id),
        };
        under.into_iter().filter_map(plan).collect()
    };
    own.get_or_init(compile).clone()
}

fn region(text: &str) -> Option<Arc<Plan>> {
    let mut code: [u8; 2] = text.as_bytes().try_into().ok()?;
    code.make_ascii_uppercase();
    plan_of(std::str::from_utf8(&code).ok()?)
}

/// The digits of a number, and whether a plus is in front of them.
fn digits_of(text: &str) -> Result<(bool, String), CallError> {
    let text = text.trim();
    let (plus, rest) = match text.strip_prefix(['+', '\u{ff0b}']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut digits = String::new();
    for character in rest.chars() {
        match character {
            '0'..='9' => digits.push(character),
            ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{202f}' | '\u{2009}' => {}
            // Hyphens of other widths, as typeset numbers have them.
            '\u{2010}'..='\u{2015}' => {}
            _ => return Err(CHARACTERS.into()),
        }
        if digits.len() > MOST_DIGITS {
            return Err("this is no phone number: it has too many digits".into());
        }
    }
    Ok((plus, digits))
}

/// A number behind `+`.
fn international(digits: &str, region: &str) -> Result<String, CallError> {
    for width in 1..=3 {
        let Some((code, number)) = digits.split_at_checked(width) else {
            break;
        };
        let Ok(value) = code.parse::<u16>() else {
            break;
        };
        let plans = plans_under(value);
        if plans.is_empty() || code.starts_with('0') {
            continue;
        }
        if plans.iter().any(|plan| plan.has(number)) {
            return Ok(format!("+{digits}"));
        }
        // `+49 030 …`, written by those who dial the 0 at home.
        let main = plans.first().map(|plan| plan.without_prefix(number));
        return match main {
            Some(short) if number.starts_with('0') && plans.iter().any(|plan| plan.has(&short)) => {
                Ok(format!("+{code}{short}"))
            }
            _ => Err(format!("this is no phone number of the country code +{value}").into()),
        };
    }
    Err(format!("this is no phone number{region}: there is no such country code").into())
}

/// A number as it is dialled in a region.
fn dialled(digits: &str, plan: &Plan) -> Result<String, CallError> {
    if let Some(found) = plan
        .international
        .as_ref()
        .and_then(|prefix| prefix.find(digits))
    {
        let rest = digits.get(found.end()..).unwrap_or("");
        if !found.is_empty() && !rest.starts_with('0') {
            return international(rest, " of the region");
        }
    }
    let shared = || plans_under(plan.code.parse().unwrap_or(0));
    let exists = |number: &str| plan.has(number) || shared().iter().any(|other| other.has(number));
    let number = plan.without_prefix(digits);
    if digits.len() >= SHORTEST && exists(&number) {
        return Ok(format!("+{}{number}", plan.code));
    }
    // The country code without a plus in front of it: only if it is no number of the region as it stands.
    if let Some(rest) = digits.strip_prefix(&plan.code)
        && exists(rest)
    {
        return Ok(format!("+{digits}"));
    }
    Err("this is no phone number of the region".into())
}

fn convert(text: &str, plan: &Plan) -> Result<String, CallError> {
    // A 0 in brackets is the one that is not dialled from abroad.
    let cleaned;
    let text = match text.split_once("(0)") {
        Some((code, number)) if code.trim_start().starts_with(['+', '0']) => {
            cleaned = format!("{code}{number}");
            cleaned.as_str()
        }
        _ => text,
    };
    let (plus, digits) = digits_of(text)?;
    match plus {
        true => international(&digits, ""),
        false => dialled(&digits, plan),
    }
}

fn e164(constants: &Constants<'_>) -> Made {
    let known = match constants.text(1) {
        Some(text) => Some(region(text).ok_or_else(|| (1, format!("`{text}`: {NO_REGION}")))?),
        None => None,
    };
    call(move |cx, args| {
        let number = text(args, 0)?;
        // Several patterns are tried on it.
        cx.spend(16)?;
        cx.spend_bytes(number.len())?;
        if number.len() > 100 {
            return Err("this is no phone number: it is too long".into());
        }
        let own;
        let plan = match &known {
            Some(plan) => plan,
            None => {
                own = region(text(args, 1)?).ok_or_else(|| blamed(1, NO_REGION))?;
                &own
            }
        };
        Ok(Val::Text(cx.arena.alloc_str(&convert(number, plan)?)))
    })
}

#[cfg(test)]
mod tests;
