//! `mask: { field, with }` makes a text unreadable. Null stays null.
//!
//! - `sha256`: hexadecimal digest of the UTF-8 text, or of bytes, which become text. Whoever can guess a value can
//!   confirm it: pseudonymous, not anonymous.
//! - `hmac`: the same under a secret (HMAC-SHA-256); the recommended form.
//! - `fixed`: a constant.
//! - `last4`: a `*` for each character but the last four; a text of four or fewer is all `*`.

use super::flow::Flow;
use super::leaf::Leaf;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::{Mask, Placed};
use crate::contract::schema::Kind;
use crate::expr::functions::privacy::{all_but_four, digest, hex};
use crate::expr::path::{peel, type_name};
use crate::expr::{Base, Cx, Val};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

pub(super) enum Masking {
    Sha256,
    /// With its key already taken in.
    Hmac(Hmac<Sha256>),
    Fixed(String),
    Last4,
}

pub(super) fn compile(
    field: &Placed<String>,
    with: &Mask,
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let target = match flow.target(field) {
        Ok(target) => target,
        Err(fault) => return faults.push(fault),
    };
    let node = peel(&flow.schema, target.declared).node;
    let digests = matches!(with, Mask::Sha256 | Mask::Hmac(_));
    let written = flow.schema.node(node);
    let takes = match (&written.kind, written.logical) {
        (Kind::String, _) => true,
        (Kind::Bytes, None) => digests,
        _ => false,
    };
    if !takes {
        let what = type_name(&flow.schema, node);
        let wants = match digests {
            true => "a string or bytes",
            false => "a string",
        };
        let message = format!("`{}` is {what}; this mask needs {wants}", field.value);
        let fault = Fault::new(&field.place, field.value.clone(), message);
        return faults.push(fault.hint(format!(
            "cast it first: `cast: {{ {}: string }}`",
            field.value
        )));
    }
    let string = shape::plain(&mut flow.schema, &Base::String);
    let declared = shape::retyped(&mut flow.schema, target.declared, string);
    flow.change(&target, declared, Leaf::Mask(Masking::of(with)));
}

impl fmt::Debug for Masking {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Masking::Sha256 => "sha256",
            Masking::Hmac(_) => "hmac",
            Masking::Fixed(_) => "fixed",
            Masking::Last4 => "last4",
        })
    }
}

impl Masking {
    fn of(with: &Mask) -> Masking {
        match with {
            Mask::Sha256 => Masking::Sha256,
            Mask::Hmac(secret) => Masking::Hmac(
                Hmac::new_from_slice(secret.expose().as_bytes())
                    .expect("HMAC takes a key of any length"),
            ),
            Mask::Fixed(constant) => Masking::Fixed(constant.clone()),
            Mask::Last4 => Masking::Last4,
        }
    }

    pub(super) fn apply<'a>(&'a self, cx: &Cx<'a>, value: Val<'a>) -> Val<'a> {
        let bytes = match value {
            Val::Text(text) => text.as_bytes(),
            Val::Bytes(bytes) => bytes,
            // Whatever else it is: what was to be masked does not go on.
            _ => &[],
        };
        match (self, value) {
            (Masking::Fixed(constant), _) => Val::Text(constant),
            (Masking::Last4, Val::Text(text)) => Val::Text(all_but_four(cx, text)),
            (Masking::Last4, _) => Val::Text(""),
            (Masking::Sha256, _) => Val::Unread(hex(cx, &digest(bytes))),
            (Masking::Hmac(keyed), _) => {
                let mut mac = keyed.clone();
                mac.update(bytes);
                Val::Unread(hex(cx, &mac.finalize().into_bytes()))
            }
        }
    }
}
