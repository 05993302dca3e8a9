//! `${NAME}`, `${NAME:-default}`, `${file:/path}` and `$$` in every value. Runs on the parsed tree, so that a value
//! cannot inject YAML. Input: the tree. Output: the same tree with the texts filled in, and faults at their places.

use std::path::Path;

use super::fault::Fault;
use super::model::Place;
use super::tree::{Body, Node};

/// A secret or a list of servers, never a data file.
const MAX_FILE: u64 = 1 << 20;

/// Where values come from.
pub(crate) struct Env<'a> {
    /// Environment variables.
    pub(crate) vars: &'a dyn Fn(&str) -> Option<String>,
    /// What relative `${file:…}` paths are resolved against.
    pub(crate) base: &'a Path,
}

/// Fills in every scalar below `node`; keys stay as written.
pub(crate) fn interpolate(node: &mut Node, env: &Env<'_>, faults: &mut Vec<Fault>) {
    let place = node.content_place();
    match &mut node.body {
        Body::Null | Body::Broken => {}
        Body::List(items) => {
            for item in items {
                interpolate(item, env, faults);
            }
        }
        Body::Map(entries) => {
            for entry in entries {
                interpolate(&mut entry.value, env, faults);
            }
        }
        Body::Scalar(scalar) => {
            if !scalar.text.contains('$') {
                return;
            }
            // In a block or with escapes before it the column is not known; then the value's own place is named.
            let exact = !scalar.block && node.raw.contains(&scalar.text);
            let filled = fill(&scalar.text, env, &mut |offset, text, message, hint| {
                let column = if exact {
                    place.column + offset
                } else {
                    place.column
                };
                let place = Place {
                    column,
                    ..place.clone()
                };
                faults.push(Fault::new(&place, text, message).hint(hint));
            });
            match filled {
                None => node.body = Body::Broken,
                // `token: ${TOKEN:-}` is the way to say "only if it is set".
                Some(filled) if filled.reference && filled.text.is_empty() => {
                    node.body = Body::Null;
                }
                Some(filled) => {
                    scalar.text = filled.text;
                    scalar.reference = filled.reference;
                }
            }
        }
    }
}

struct Filled {
    text: String,
    reference: bool,
}

/// Takes the offset in characters, the offending text, the message and the hint.
type Report<'a> = dyn FnMut(usize, &str, String, &str) + 'a;

fn fill(text: &str, env: &Env<'_>, report: &mut Report<'_>) -> Option<Filled> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut reference = false;
    let mut sound = true;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let offset = text[..text.len() - rest.len() + at].chars().count();
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some(after) = rest.strip_prefix('{') else {
            out.push('$');
            continue;
        };
        let Some(end) = after.find('}') else {
            report(
                offset,
                "${",
                "`${` without a closing `}`".to_owned(),
                "write $${ for the text itself",
            );
            return None;
        };
        let inner = &after[..end];
        rest = &after[end + 1..];
        reference = true;
        match resolve(inner, env) {
            Ok(value) => out.push_str(&value),
            Err((message, hint)) => {
                sound = false;
                report(offset, &format!("${{{inner}}}"), message, &hint);
            }
        }
    }
    out.push_str(rest);
    sound.then_some(Filled {
        text: out,
        reference,
    })
}

fn resolve(inner: &str, env: &Env<'_>) -> Result<String, (String, String)> {
    if let Some(path) = inner.strip_prefix("file:") {
        return read(path, env.base);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !legal {
        let hint = "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ is the text itself";
        return Err((
            "not the name of an environment variable".to_owned(),
            hint.to_owned(),
        ));
    }
    if default.is_some_and(|default| default.contains("${")) {
        let hint = "a default is a plain text";
        return Err((
            "interpolations cannot be nested".to_owned(),
            hint.to_owned(),
        ));
    }
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    match ((env.vars)(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable {name} is not set"),
            format!("set it, or give a default: ${{{name}:-…}}"),
        )),
    }
}

fn read(path: &str, base: &Path) -> Result<String, (String, String)> {
    let hint = || "the process must be able to read it when it starts".to_owned();
    let resolved = base.join(path);
    let size = std::fs::metadata(&resolved).map(|meta| meta.len());
    let text = match size {
        Ok(size) if size > MAX_FILE => {
            return Err((format!("{path} is larger than 1 MiB"), hint()));
        }
        _ => std::fs::read_to_string(&resolved),
    };
    match text {
        Ok(text) => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err((format!("{path} is not UTF-8 text"), hint()))
        }
        Err(error) => Err((format!("cannot read {path}: {error}"), hint())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, (usize, &str)>) {
        let vars = |name: &str| match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let env = Env {
            vars: &vars,
            base: Path::new("."),
        };
        let mut found = None;
        let filled = fill(text, &env, &mut |offset, _, message, _| {
            found = Some((offset, message))
        });
        match (filled, found) {
            (Some(filled), None) => assert_eq!(Ok(filled.text.as_str()), expect, "{text}"),
            (None, Some((offset, message))) => {
                assert_eq!(Err((offset, message.as_str())), expect, "{text}");
            }
            _ => panic!("{text}: a fault exactly when there is no text"),
        }
    }

    #[test]
    fn forms() {
        check("${HOST}:1", Ok("db:1"));
        check("a${HOST}b${HOST}", Ok("adbbdb"));
        check("${NONE:-x:-y}", Ok("x:-y"));
        check("${HOST:-x}", Ok("db"));
        check("${EMPTY}", Ok(""));
        check("${EMPTY:-x}", Ok("x"));
        check("^a$", Ok("^a$"));
        check("$$", Ok("$"));
        check("$${HOST}", Ok("${HOST}"));
        check(
            "ä ${NONE}",
            Err((2, "the environment variable NONE is not set")),
        );
        check("${HOST", Err((0, "`${` without a closing `}`")));
        check(
            "${A B}",
            Err((0, "not the name of an environment variable")),
        );
        check("${A:-${HOST}}", Err((0, "interpolations cannot be nested")));
    }

    #[test]
    fn a_file_loses_its_last_line_end_only() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("s"), "top\nsecret\r\n").expect("written");
        assert_eq!(read("s", folder.path()), Ok("top\nsecret".to_owned()));
        let (message, _) = read("none", folder.path()).expect_err("missing");
        assert!(message.starts_with("cannot read none: "), "{message}");
    }
}
