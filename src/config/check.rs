//! The tree against the table of keys: unknown keys, wrong kinds, missing keys. Input: the
//! interpolated tree. Output: faults, and which characters of the file are secret. What several keys mean together is
//! the business of `lower`.

use std::ops::Range;
use std::path::Path;

use super::fault::Fault;
use super::keys::{Key, Kind};
use super::model::Place;
use super::properties;
use super::redact::bare_url;
use super::scalar::{closest, scalar_problem};
use super::source::{is_secret_name, may_be_secret};
use super::tree::{Body, Entry, Node, Tree};
use super::units::Problem;

pub(crate) struct Checker<'a> {
    /// What relative paths are resolved against.
    pub(crate) base: &'a Path,
    /// The whole table, to find a key that stands in the wrong place.
    pub(crate) table: &'static [Key],
    /// Whether a key that is missing is really missing.
    pub(crate) complete: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    pub(crate) masks: Vec<Range<usize>>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(base: &'a Path, table: &'static [Key], tree: &Tree) -> Self {
        Checker {
            base,
            table,
            complete: tree.complete,
            faults: Vec::new(),
            warnings: Vec::new(),
            masks: Vec::new(),
        }
    }

    /// The whole file.
    pub(crate) fn root(&mut self, tree: &Tree, file: &str) {
        match &tree.root {
            None if self.complete => self.faults.push(
                Fault::of_file(file, "the file holds nothing")
                    .hint("`driftgate init` writes one to begin with"),
            ),
            None => {}
            Some(root) => self.map(root, self.table, &root.place.clone(), ""),
        }
    }

    fn value(&mut self, node: &Node, kind: &'static Kind, at: &Place, name: &str) {
        if let (Kind::Secret | Kind::SecretUrl, true) = (kind, !matches!(node.body, Body::Null)) {
            self.mask_leaves(node, &|_, _| true, "");
        }
        // A URL's user name, password and query, wherever one stands and whatever else is wrong with its line.
        if node.raw.contains("://") && node.raw.contains(['@', '?']) {
            self.masks.push(node.span.clone());
        }
        match (kind, &node.body) {
            (_, Body::Broken) | (Kind::Anything, _) => {}
            (Kind::Map(keys), Body::Map(_) | Body::Null) => self.map(node, keys, at, name),
            (Kind::MapOr { keys, .. }, Body::Map(_)) => self.map(node, keys, at, name),
            (Kind::OneOf(keys), Body::Map(_)) => self.one_of(node, keys, at),
            (
                Kind::Named {
                    what,
                    value,
                    pipeline,
                },
                Body::Map(_),
            ) => {
                self.named(node, what, value, *pipeline);
            }
            (Kind::List { item, max }, Body::List(items)) => {
                if items.len() > *max {
                    let message = format!(
                        "`{name}` has {} items; at most {max} are allowed",
                        items.len()
                    );
                    self.faults.push(Fault::new(&node.place, "", message));
                }
                for item_node in items {
                    match item_node.body {
                        Body::Null => self.faults.push(Fault::new(
                            &item_node.place,
                            "",
                            format!("an empty item in `{name}`"),
                        )),
                        _ => self.value(item_node, item, &item_node.place, name),
                    }
                }
            }
            (Kind::Properties, Body::Map(entries)) => {
                for entry in entries {
                    self.property(&entry.key, &entry.value);
                }
            }
            // Absent in all but name. What is required has been reported by the mapping.
            (_, Body::Null) => {}
            (_, Body::Scalar(scalar)) => {
                self.warn_of_plain_secret(node, kind);
                if let Some(problem) = scalar_problem(kind, &scalar.text, self.base) {
                    self.scalar_fault(node, kind, name, problem);
                }
            }
            (_, Body::List(_) | Body::Map(_)) => self.wrong_shape(node, kind, name),
        }
    }

    fn is_masked(&self, node: &Node) -> bool {
        self.masks.contains(&node.span)
    }

    /// What stands in the place of a mapping that may hold secrets may be one.
    fn mask_misplaced(&mut self, node: &Node, kind: &Kind) {
        if takes_secrets(kind) || holds_secrets(kind.keys()) {
            self.mask_leaves(node, &|_, _| true, "");
        } else {
            self.mask_leaves(
                node,
                &|name, node| may_be_secret(name) || node.raw.contains([':', '@']),
                "",
            );
        }
    }

    fn wrong_shape(&mut self, node: &Node, kind: &Kind, name: &str) {
        self.mask_misplaced(node, kind);
        let found = match node.body {
            Body::List(_) => "a list",
            _ => "a mapping",
        };
        let message = format!("{} is {found}; expected {}", called(name), kind.expected());
        let fault = Fault::new(&node.place, "", message);
        self.faults.push(match (kind, &node.body) {
            (Kind::Expression, Body::Map(_)) => fault.hint("text with `{` needs quotes"),
            _ => fault,
        });
    }

    fn scalar_fault(&mut self, node: &Node, kind: &Kind, name: &str, problem: Problem) {
        let reference = matches!(&node.body, Body::Scalar(scalar) if scalar.reference);
        let text = match kind {
            Kind::Secret | Kind::SecretUrl => String::new(),
            Kind::Map(_) | Kind::OneOf(_) | Kind::Named { .. } | Kind::Properties => {
                self.mask_misplaced(node, kind);
                String::new()
            }
            Kind::Url { .. } => bare_url(&node.raw),
            _ => node.raw.clone(),
        };
        let text = if text.is_empty() || !self.is_masked(node) {
            text
        } else {
            String::new()
        };
        let mut message = format!("`{name}`: {}", problem.message);
        let quiet = matches!(
            kind,
            Kind::Secret
                | Kind::SecretUrl
                | Kind::Url { .. }
                | Kind::Map(_)
                | Kind::OneOf(_)
                | Kind::Named { .. }
                | Kind::Properties
        );
        // What the variable held explains the fault; a URL may hold a password, and a secret may stand out of its place.
        if let (true, Some(value), false) = (reference, node.text(), quiet) {
            let value: String = value
                .chars()
                .take(60)
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            message.push_str(&format!(" (it holds `{value}`)"));
        }
        let mut fault = Fault::new(&node.place, text, message);
        fault.hint = problem.hint.map(String::into_boxed_str);
        self.faults.push(fault);
    }

    fn map(&mut self, node: &Node, keys: &'static [Key], at: &Place, name: &str) {
        if !matches!(node.body, Body::Map(_) | Body::Null) {
            let kind = Kind::Map(keys);
            self.wrong_shape_or_scalar(node, &kind, name);
            return;
        }
        for entry in node.entries() {
            let Some(written) = entry.key.text() else {
                continue;
            };
            match keys.iter().find(|key| key.name == written) {
                None => self.unknown(&entry.key, &entry.value, written, keys, name),
                Some(key) => self.value(&entry.value, &key.kind, &entry.key.place, key.name),
            }
        }
        if !self.complete {
            return;
        }
        for key in keys.iter().filter(|key| key.required) {
            let Some(entry) = node.entry(key.name) else {
                // In a list, the mapping stands behind no key.
                let text = if *at == node.place { "" } else { name };
                self.missing(at, text, name, key);
                continue;
            };
            let container = matches!(key.kind, Kind::Map(_));
            if matches!(entry.value.body, Body::Null) && !container {
                let message = format!("`{}` is empty; it is needed", key.name);
                self.faults
                    .push(Fault::new(&entry.key.place, key.name, message));
            }
        }
    }

    fn wrong_shape_or_scalar(&mut self, node: &Node, kind: &Kind, name: &str) {
        match node.body {
            Body::Broken | Body::Null => {}
            Body::Scalar(_) => {
                self.mask_misplaced(node, kind);
                let message = format!("{}: expected {}", called(name), kind.expected());
                self.faults.push(Fault::new(&node.place, "", message));
            }
            _ => self.wrong_shape(node, kind, name),
        }
    }

    fn missing(&mut self, at: &Place, text: &str, name: &str, key: &Key) {
        let message = match name {
            "" => format!("`{}` is missing", key.name),
            _ => format!("`{}` is missing in `{name}`", key.name),
        };
        let doc = key.doc.split(". ").next().unwrap_or(key.doc);
        self.faults.push(Fault::new(at, text, message).hint(format!(
            "{}: {}",
            key.name,
            doc.trim_end_matches('.')
        )));
    }

    /// A step: exactly one key, beside those that say how it runs.
    fn one_of(&mut self, node: &Node, keys: &'static [Key], at: &Place) {
        let mut known = 0;
        for entry in node.entries() {
            let Some(written) = entry.key.text() else {
                continue;
            };
            let Some(key) = keys.iter().find(|key| key.name == written) else {
                self.unknown(&entry.key, &entry.value, written, keys, "transform");
                continue;
            };
            known += usize::from(!key.beside);
            if known == 2 && !key.beside && !entry.duplicate {
                let message = format!("`{written}` is a second step in one list item");
                self.faults.push(
                    Fault::new(&entry.key.place, written, message)
                        .hint(format!("begin a new item: `- {written}: …`")),
                );
            }
            if matches!(entry.value.body, Body::Null) && !is_null(&key.kind, &entry.value) {
                let message = format!("the step `{written}` is empty");
                self.faults
                    .push(Fault::new(&entry.key.place, written, message));
            } else {
                self.value(&entry.value, &key.kind, &entry.key.place, key.name);
            }
        }
        if node.entries().is_empty() && self.complete {
            self.faults.push(Fault::new(at, "", "an empty step"));
        }
        let beside = |key: &&Key| key.beside && node.entry(key.name).is_some();
        if let Some(key) = keys.iter().find(beside)
            && node.entries().len() == 1
            && self.complete
        {
            let message = format!("`{}` stands beside a step, and here is none", key.name);
            self.faults.push(Fault::new(at, key.name, message));
        }
    }

    fn named(&mut self, node: &Node, what: &str, kind: &'static Kind, pipeline: bool) {
        if node.entries().is_empty() && self.complete {
            let message = format!("no {what} is named here");
            self.faults.push(Fault::new(&node.place, "", message));
        }
        for entry in node.entries() {
            let Some(name) = entry.key.text() else {
                continue;
            };
            if pipeline && !legal_pipeline_name(name) {
                self.faults.push(
                    Fault::new(
                        &entry.key.place,
                        &entry.key.raw,
                        format!("`{name}` is not a pipeline's name"),
                    )
                    .hint(
                        "small letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
                    ),
                );
            }
            if takes_secrets(kind) && !legal_secret_name(entry) {
                // Without the blank behind its colon, or without its name, a secret is a key to YAML.
                self.masks.push(entry.key.span.clone());
                self.mask_leaves(&entry.value, &|_, _| true, name);
                let hint = "`name: value`; names have letters, digits, `.`, `_` and `-`";
                let message = format!("not a {what}'s name and value");
                let fault = Fault::new(&entry.key.place, "", message);
                self.faults.push(fault.hint(hint));
                continue;
            }
            let scalar = !matches!(kind, Kind::Map(_));
            if scalar && matches!(entry.value.body, Body::Null) && !is_null(kind, &entry.value) {
                let message = format!(
                    "nothing stands behind `{name}`; expected {}",
                    kind.expected()
                );
                self.faults
                    .push(Fault::new(&entry.key.place, &entry.key.raw, message));
            }
            self.value(&entry.value, kind, &entry.key.place, name);
        }
    }

    fn unknown(
        &mut self,
        name: &Node,
        value: &Node,
        written: &str,
        keys: &'static [Key],
        parent: &str,
    ) {
        // A slip in a secret's name must not print the secret.
        if holds_secrets(self.table) {
            self.mask_leaves(value, &|_, _| true, written);
        }
        // `token:abc` without the blank is a key to YAML, value and all.
        if !written
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '<'))
        {
            self.masks.push(name.span.clone());
            self.faults.push(
                Fault::new(&name.place, "", "not a key")
                    .hint("a key is one word, followed by `: ` with a blank"),
            );
            return;
        }
        if written == "<<" {
            self.faults.push(
                Fault::new(&name.place, written, "YAML merge keys are not supported")
                    .hint("write the keys out here"),
            );
            return;
        }
        let message = match parent {
            "" => format!("unknown key `{written}`"),
            _ => format!("unknown key `{written}` in `{parent}`"),
        };
        let hint = match closest(written, keys.iter().map(|key| key.name)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => match find_path(self.table, written, "") {
                Some(path) => format!("there is `{path}`"),
                None => {
                    let names: Vec<_> = keys.iter().map(|key| key.name).collect();
                    format!("the keys here are {}", names.join(", "))
                }
            },
        };
        self.faults
            .push(Fault::new(&name.place, &name.raw, message).hint(hint));
    }

    fn property(&mut self, name: &Node, value: &Node) {
        let Some(written) = name.text() else { return };
        if written.contains(|c: char| c == ':' || c == '=' || c.is_whitespace()) {
            self.mask_leaves(value, &|_, _| true, written);
            self.masks.push(name.span.clone());
            self.faults.push(
                Fault::new(&name.place, "", "not a property's name")
                    .hint("a name is one word, followed by `: ` with a blank"),
            );
            return;
        }
        let secret = may_be_secret(written) || !properties::exists(written);
        if secret {
            self.mask_leaves(value, &|_, _| true, written);
        }
        match &value.body {
            Body::Broken => {}
            Body::List(_) | Body::Map(_) => {
                let message = format!("`{written}`: expected one text, number or boolean");
                self.faults.push(
                    Fault::new(&name.place, &name.raw, message)
                        .hint("lists are one text, separated by commas"),
                );
            }
            Body::Null => {
                let message = format!("nothing stands behind `{written}`");
                self.faults
                    .push(Fault::new(&name.place, &name.raw, message));
            }
            Body::Scalar(scalar) => {
                if is_secret_name(written) && !written.ends_with("location") {
                    self.warn_of_plain_secret(value, &Kind::Secret);
                }
                if let Err(problem) = properties::check(written, &scalar.text) {
                    let mut fault = Fault::new(&name.place, &name.raw, problem.message);
                    fault.hint = problem.hint.map(String::into_boxed_str);
                    self.faults.push(fault);
                }
            }
        }
    }

    fn warn_of_plain_secret(&mut self, node: &Node, kind: &Kind) {
        let Body::Scalar(scalar) = &node.body else {
            return;
        };
        if matches!(kind, Kind::Secret) && !scalar.reference && !scalar.text.is_empty() {
            self.warnings.push(
                Fault::new(&node.place, "", "a secret in plain text").hint(
                    "write ${file:/run/secrets/…} or ${NAME}, so that the file can be shared",
                ),
            );
        }
    }

    /// Takes every scalar below a node out of the lines that are shown, if `secret` says so of its key and itself.
    fn mask_leaves(&mut self, node: &Node, secret: &dyn Fn(&str, &Node) -> bool, name: &str) {
        match &node.body {
            Body::Null | Body::Broken | Body::Scalar(_) => {
                if secret(name, node) && !node.span.is_empty() {
                    self.masks.push(node.span.clone());
                }
            }
            Body::List(items) => items
                .iter()
                .for_each(|item| self.mask_leaves(item, secret, name)),
            Body::Map(entries) => {
                for entry in entries {
                    let name = entry.key.text().unwrap_or_default().to_owned();
                    self.mask_leaves(&entry.value, secret, &name);
                }
            }
        }
    }
}

/// Whether any key of the table takes a secret.
fn holds_secrets(table: &'static [Key]) -> bool {
    table
        .iter()
        .any(|key| takes_secrets(&key.kind) || holds_secrets(key.kind.keys()))
}

fn takes_secrets(kind: &Kind) -> bool {
    match kind {
        Kind::Secret | Kind::SecretUrl | Kind::Properties => true,
        Kind::Named { value, .. } => takes_secrets(value),
        _ => false,
    }
}

/// Whether the word `null` stands there and means something.
fn is_null(kind: &Kind, node: &Node) -> bool {
    matches!(kind, Kind::ExpressionOrNull) && node.raw.eq_ignore_ascii_case("null")
}

fn legal_secret_name(entry: &Entry) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = entry.key.text().unwrap_or_default();
    !name.is_empty() && name.chars().all(legal) && !matches!(entry.value.body, Body::Null)
}

fn legal_pipeline_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(legal)
        && name
            .chars()
            .all(|c| legal(c) || matches!(c, '.' | '_' | '-'))
}

/// Where in the table a key of that name stands.
fn find_path(keys: &'static [Key], name: &str, prefix: &str) -> Option<String> {
    for key in keys {
        let path = match (prefix, key.kind) {
            ("", Kind::Named { what, .. }) => format!("{}.<{what}>", key.name),
            ("", _) => key.name.to_owned(),
            (_, Kind::Named { what, .. }) => format!("{prefix}.{}.<{what}>", key.name),
            _ => format!("{prefix}.{}", key.name),
        };
        if key.name == name {
            return Some(path);
        }
        if let Some(found) = find_path(key.kind.keys(), name, &path) {
            return Some(found);
        }
    }
    None
}

/// A key's name; the file as a whole has none.
fn called(name: &str) -> String {
    match name {
        "" => "the file".to_owned(),
        _ => format!("`{name}`"),
    }
}
