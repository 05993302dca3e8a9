//! `mask: { field, with }` makes a text unreadable. Null stays null.
//!
//! - `sha256`: hexadecimal digest of the UTF-8 text, or of bytes, which become text. Whoever can guess a value can
//!   confirm it: pseudonymous, not anonymous.
//! - `hmac`: the same under a secret (HMAC-SHA-256); the recommended form.
//! - `fixed`: a constant.
//! - `last4`: a `*` for each character but the last four; a text of four or fewer is all `*`.

use super::{Outcome, shape};
use crate::config::fault::Fault;
use crate::config::model::{Mask, Placed};
use crate::contract::schema::{Kind, Schema};
use crate::contract::value::Value;
use crate::expr::path::{peel, slot, type_name, unwrapped};
use crate::expr::types::Base;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write;

#[derive(Debug)]
pub(super) struct Masking {
    positions: Vec<usize>,
    with: Mask,
}

pub(super) fn compile(
    field: &Placed<String>,
    with: &Mask,
    input: &Schema,
    faults: &mut Vec<Fault>,
) -> Outcome<Masking> {
    let mut output = input.clone();
    let (path, positions) = match shape::plain_path(input, field) {
        Ok(found) => found,
        Err(fault) => {
            faults.push(fault);
            return Outcome::failed(output);
        }
    };
    let node = peel(input, path.declared).node;
    let digests = matches!(with, Mask::Sha256 | Mask::Hmac(_));
    let takes = match (&input.node(node).kind, input.node(node).logical) {
        (Kind::String, _) => true,
        (Kind::Bytes, None) => digests,
        _ => false,
    };
    if !takes {
        let what = type_name(input, node);
        let wants = match digests {
            true => "a string or bytes",
            false => "a string",
        };
        let message = format!("`{}` is {what}; this mask needs {wants}", field.value);
        let fault = Fault::new(&field.place, field.value.clone(), message);
        faults.push(fault.hint(format!(
            "cast it first: `cast: {{ {}: string }}`",
            field.value
        )));
        return Outcome::failed(output);
    }
    let string = Base::String.intern(&mut output);
    let declared = shape::retyped(&mut output, path.declared, string);
    shape::retype(&mut output, &positions, declared);
    let with = with.clone();
    Outcome::new(Masking { positions, with }, output)
}

impl Masking {
    pub(super) fn apply(&self, event: &mut Value) {
        let Some(value) = slot(event, &self.positions) else {
            return;
        };
        let value = unwrapped(value);
        let masked = match (&self.with, &*value) {
            (_, Value::Null) => return,
            (Mask::Sha256, Value::String(text)) => hex(&Sha256::digest(text)),
            (Mask::Sha256, Value::Bytes(bytes)) => hex(&Sha256::digest(bytes)),
            (Mask::Hmac(secret), Value::String(text)) => keyed(secret.expose(), text.as_bytes()),
            (Mask::Hmac(secret), Value::Bytes(bytes)) => keyed(secret.expose(), bytes),
            (Mask::Last4, Value::String(text)) => last4(text),
            // Whatever else it is: what was to be masked does not go on.
            (Mask::Fixed(constant), _) => constant.clone(),
            (_, _) => String::new(),
        };
        *value = Value::String(masked);
    }
}

fn keyed(secret: &str, bytes: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(bytes);
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            write!(out, "{byte:02x}").expect("writing to a String never fails");
            out
        })
}

fn last4(text: &str) -> String {
    let characters = text.chars().count();
    let hidden = match characters {
        0..=4 => characters,
        _ => characters - 4,
    };
    let shown = text.chars().skip(hidden);
    std::iter::repeat_n('*', hidden).chain(shown).collect()
}
