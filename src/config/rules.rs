//! `<subject>.rules.yaml` → [`RulesFile`]: read in the same manner as the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use super::fault::Fault;
use super::keys::rules::{CONSTRAINTS, ROOT};
use super::load::{Input, read_file};
use super::lower::{Lowering, owner, sub};
use super::model::*;
use super::ownership;
use super::source::Source;
use super::tree::{Node, Tree};
use super::view::View;

/// Reads a rules file. Every fault at once; with none, the rules and the warnings.
pub fn load(
    path: &Path,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<(RulesFile, Vec<Fault>), Vec<Fault>> {
    load_source(path, vars).1
}

/// Reads rules from a text. `base` is what `${file:…}` paths are resolved against.
pub fn load_text(
    text: &str,
    name: &str,
    base: &Path,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<(RulesFile, Vec<Fault>), Vec<Fault>> {
    parse(text, name, base, vars).1
}

/// What a rules file comes to.
type Outcome = Result<(RulesFile, Vec<Fault>), Vec<Fault>>;

/// The same with the source for messages of whoever looks at the expressions.
pub(crate) fn load_source(
    path: &Path,
    vars: &dyn Fn(&str) -> Option<String>,
) -> (Option<Source>, Outcome) {
    let name = path.display().to_string();
    match read_file(path, &name) {
        Err(fault) => (None, Err(vec![fault])),
        Ok(text) => {
            let base = path.parent().unwrap_or(Path::new(""));
            let (source, outcome) = parse(&text, &name, base, vars);
            (Some(source), outcome)
        }
    }
}

fn parse(
    text: &str,
    name: &str,
    base: &Path,
    vars: &dyn Fn(&str) -> Option<String>,
) -> (Source, Outcome) {
    let input = Input {
        text,
        name,
        base,
        vars,
    };
    let mut file = RulesFile::default();
    let (source, warnings, faults) = input.read(ROOT, &mut |tree, cx| file = lower(tree, name, cx));
    let outcome = if faults.is_empty() {
        Ok((file, warnings))
    } else {
        Err(faults)
    };
    (source, outcome)
}

fn lower(tree: &Tree, file: &str, cx: &mut Lowering<'_>) -> RulesFile {
    let start = Place {
        file: file.to_owned(),
        line: 1,
        column: 1,
    };
    let root = View::new(tree.root.as_ref(), ROOT, &start);
    let rule_keys = ROOT
        .iter()
        .find(|key| key.name == "rules")
        .map_or(&[][..], |key| key.kind.keys());
    let field_keys = ROOT
        .iter()
        .find(|key| key.name == "fields")
        .map_or(&[][..], |key| key.kind.keys());
    let mut rules: Vec<Rule> = Vec::new();
    for item in root.items("rules") {
        let Some(rule) = rule(sub(item, rule_keys, &item.place), item, cx) else {
            continue;
        };
        let first = rules
            .iter()
            .find(|first| first.name.value == rule.name.value);
        if let Some(first) = first.filter(|first| !first.name.value.is_empty()) {
            let message = format!("a second rule named `{}`", rule.name.value);
            cx.faults.push(
                Fault::new(&rule.name.place, &rule.name.value, message).hint(format!(
                    "the first is on line {}; metrics tell rules by name",
                    first.name.place.line
                )),
            );
        }
        rules.push(rule);
    }
    let mut fields = BTreeMap::new();
    for entry in root.node("fields").map_or(&[][..], Node::entries) {
        let Some(path) = entry.key.text().filter(|_| !entry.duplicate) else {
            continue;
        };
        let view = sub(&entry.value, field_keys, &entry.key.place);
        if view.has("on_foreign") && !view.has("owner") && cx.complete {
            let message = format!("`{path}` has no owner to whom other sources would be foreign");
            let fault = Fault::new(view.place("on_foreign"), "on_foreign", message);
            cx.faults
                .push(fault.hint("owner: the source that may set it"));
        }
        let doc = FieldDoc {
            tags: view
                .items("tags")
                .iter()
                .filter_map(Node::text)
                .map(str::to_owned)
                .collect(),
            owner: view.text("owner"),
            on_foreign: ownership::then(view.scalar("on_foreign")),
            doc: view.text("doc"),
            place: entry.key.place.clone(),
        };
        fields.insert(path.to_owned(), doc);
    }
    RulesFile {
        owner: root.has("owner").then(|| owner(root.map("owner"))),
        compatibility: root.text("compatibility"),
        rules,
        fields,
    }
}

/// `None` when what it checks cannot be told; that has been reported then.
fn rule(view: View<'_>, node: &Node, cx: &mut Lowering<'_>) -> Option<Rule> {
    let name = view.placed("name");
    let on_fail = match view.scalar("on_fail") {
        Some("warn") => OnFail::Warn,
        _ => OnFail::DeadLetter,
    };
    let constraints: Vec<&str> = CONSTRAINTS
        .into_iter()
        .filter(|name| view.has(name))
        .collect();
    let mut fault = |place: &Place, text: &str, message: String, hint: &str| {
        if cx.complete {
            cx.faults.push(Fault::new(place, text, message).hint(hint));
        }
    };
    let list = "required, range, one_of, pattern or length";
    let check = match (view.has("expr"), view.has("field")) {
        (true, false) => {
            if let Some(extra) = constraints.first() {
                let message =
                    format!("`{extra}` is about a `field`, and this rule is an expression");
                fault(view.place(extra), extra, message, "make it two rules");
            }
            Check::Expr(view.placed("expr"))
        }
        (false, true) => {
            let Some(first) = constraints.first() else {
                let message = "this rule says nothing of its field".to_owned();
                fault(
                    view.place("field"),
                    "field",
                    message,
                    &format!("add one of {list}"),
                );
                return None;
            };
            if let Some(second) = constraints.get(1) {
                let message = format!("`{first}` and `{second}` in one rule");
                fault(
                    view.place(second),
                    second,
                    message,
                    "make it two rules, each with a name for its metric",
                );
            }
            Check::Field {
                field: view.placed("field"),
                constraint: constraint(first, view, cx)?,
            }
        }
        (true, true) => {
            let message = "`expr` and `field` exclude each other".to_owned();
            fault(
                view.place("field"),
                "field",
                message,
                "an expression names its fields itself",
            );
            return None;
        }
        (false, false) => {
            // Without a mapping, the kind has been reported.
            if matches!(node.body, super::tree::Body::Map(_)) {
                let message = "this rule checks nothing".to_owned();
                fault(
                    view.at(),
                    "",
                    message,
                    &format!("expr: …, or field: … with one of {list}"),
                );
            }
            return None;
        }
    };
    Some(Rule {
        name,
        check,
        on_fail,
    })
}

fn constraint(name: &str, view: View<'_>, cx: &mut Lowering<'_>) -> Option<Constraint> {
    let mut fault = |message: &str, hint: &str| {
        if cx.complete {
            cx.faults
                .push(Fault::new(view.place(name), name, message).hint(hint));
        }
    };
    match name {
        "required" => {
            if !view.bool("required") && view.scalar("required") == Some("false") {
                fault("`required: false` checks nothing", "take the rule out");
            }
            Some(Constraint::Required)
        }
        "range" => {
            let range = view.map("range");
            let (min, max) = (range.text("min"), range.text("max"));
            match (&min, &max) {
                (None, None) => fault(
                    "a range without bounds",
                    "range: { min: …, max: … }, either may be missing",
                ),
                (Some(min), Some(max)) if is_above(min, max) => {
                    fault("`min` is above `max`: no value passes", "swap them");
                }
                _ => {}
            }
            Some(Constraint::Range { min, max })
        }
        "one_of" => {
            let values: Vec<String> = view
                .items("one_of")
                .iter()
                .filter_map(Node::text)
                .map(str::to_owned)
                .collect();
            if view.node("one_of").is_some_and(Node::is_empty) {
                fault("`one_of` is empty: no value passes", "list the values");
            }
            Some(Constraint::OneOf(values))
        }
        "pattern" => view.text("pattern").map(Constraint::Pattern),
        _ => {
            let length = view.map("length");
            let bound = |name| {
                length
                    .int(name)
                    .and_then(|value| usize::try_from(value).ok())
            };
            let (min, max) = (bound("min"), bound("max"));
            match (min, max) {
                (None, None) if length.node("min").or(length.node("max")).is_none() => {
                    fault(
                        "a length without bounds",
                        "length: { min: …, max: … }, either may be missing",
                    );
                }
                (Some(min), Some(max)) if min > max => {
                    fault("`min` is above `max`: no value passes", "swap them")
                }
                _ => {}
            }
            Some(Constraint::Length { min, max })
        }
    }
}

/// Exact comparison of two decimal texts.
fn is_above(left: &str, right: &str) -> bool {
    use std::cmp::Ordering;
    let split = |text: &str| {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits.to_owned()),
            None => (false, text.to_owned()),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => {
                (whole.to_owned(), fraction.trim_end_matches('0').to_owned())
            }
            None => (digits, String::new()),
        };
        let whole = whole.trim_start_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        (negative && !zero, whole, fraction)
    };
    let (left_negative, left_whole, left_fraction) = split(left);
    let (right_negative, right_whole, right_fraction) = split(right);
    let magnitude = left_whole
        .len()
        .cmp(&right_whole.len())
        .then_with(|| left_whole.cmp(&right_whole))
        .then_with(|| left_fraction.cmp(&right_fraction));
    match (left_negative, right_negative) {
        (false, true) => true,
        (true, false) => false,
        (false, false) => magnitude == Ordering::Greater,
        (true, true) => magnitude == Ordering::Less,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_order() {
        for (left, right, above) in [
            ("2", "10", false),
            ("10", "2", true),
            ("-1", "0", false),
            ("0", "-1", true),
            ("-2", "-10", true),
            ("1.50", "1.5", false),
            ("1.51", "1.5", true),
            ("-0", "0", false),
            ("007", "7", false),
        ] {
            assert_eq!(is_above(left, right), above, "{left} above {right}");
        }
    }
}
