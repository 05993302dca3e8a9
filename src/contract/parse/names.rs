//! Names, namespaces and aliases.

use serde_json::{Map, Value as Json};

use super::{error, join, primitive, strings};
use crate::contract::schema::{Name, SchemaError};

/// The name with its namespace and aliases.
pub(super) fn name(
    object: &Map<String, Json>,
    space: &str,
    path: &str,
) -> Result<Name, SchemaError> {
    let Some(name) = object.get("name").and_then(Json::as_str) else {
        return error(path, "has no \"name\"");
    };
    let space = match object.get("namespace") {
        None | Some(Json::Null) => space,
        Some(Json::String(own)) => own,
        Some(_) => return error(&join(path, "namespace"), "is not a string"),
    };
    let full = qualify(name, space);
    check_full(&full, path)?;
    let own_space = full.rsplit_once('.').map_or("", |(space, _)| space);
    let at = join(path, "aliases");
    let mut aliases = Vec::new();
    for alias in strings(object.get("aliases"), &at)? {
        let alias = qualify(&alias, own_space);
        check_full(&alias, &at)?;
        aliases.push(alias);
    }
    if primitive(&full).is_some() {
        return error(path, format!("{full:?} is the name of a primitive type"));
    }
    Ok(Name { full, aliases })
}

/// A name with a dot is full already; a leading dot says "no namespace".
pub(super) fn qualify(name: &str, space: &str) -> String {
    match name.strip_prefix('.') {
        Some(bare) => bare.to_owned(),
        None if name.contains('.') || space.is_empty() => name.to_owned(),
        None => format!("{space}.{name}"),
    }
}

/// The last part must be a word of the specification. Namespaces may hold hyphens too: Java did not check them before
/// 1.12, and schemas named after topics are in use.
pub(super) fn check_full(full: &str, path: &str) -> Result<(), SchemaError> {
    let (space, name) = full.rsplit_once('.').unwrap_or(("", full));
    check_word(name, path)?;
    let fine = |part: &str| {
        !part.is_empty() && (part.bytes()).all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    if !space.is_empty() && !space.split('.').all(fine) {
        return error(path, format!("{space:?} is not a namespace"));
    }
    Ok(())
}

pub(super) fn check_word(word: &str, path: &str) -> Result<(), SchemaError> {
    let mut bytes = word.bytes();
    let first = (bytes.next()).is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    error(
        path,
        format!("{word:?} is not a name: letters, digits and _, not beginning with a digit"),
    )
}
