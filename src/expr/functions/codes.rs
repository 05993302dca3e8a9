//! Codes against their lists (countries, currencies, languages), e-mail addresses, UUIDs.

use email_address::{EmailAddress, Options};
use iso_currency::Currency;
use isolang::Language;
use uuid::Uuid;

use super::args::{Made, blamed, call, choice, function, of_text, tells, text};
use super::{CallError, Constants, Example, Function, Ty};
use crate::expr::cx::Cx;
use crate::expr::value::Val;

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "country",
        group: "codes",
        doc: "An ISO 3166-1 country code as two capital letters, from a text in any case. With `'alpha3'`, a constant, the \
              text is of three letters (`DEU`).",
        errors: "A text that is no code of the list: also names, `UK` (it is `GB`), `EU`, `XK`, and blanks around a code.",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Text, |_| {
                of_text(|_, text| country(text, false))
            }),
            function(
                &[("text", Ty::Text), ("kind", Ty::Text)],
                Ty::Text,
                country_of,
            ),
        ],
        examples: &[
            Example {
                expr: "country('de')",
                result: "'DE'",
            },
            Example {
                expr: "country('DEU', 'alpha3')",
                result: "'DE'",
            },
            Example {
                expr: "country('UK')",
                result: "error: no ISO 3166-1 country code",
            },
        ],
    },
    Function {
        name: "isCountry",
        group: "codes",
        doc: "Whether `country(text)` would take it.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Bool, |_| {
            tells(|text| country(text, false).is_ok())
        })],
        examples: &[
            Example {
                expr: "isCountry('fr')",
                result: "true",
            },
            Example {
                expr: "isCountry('France')",
                result: "false",
            },
        ],
    },
    Function {
        name: "currency",
        group: "codes",
        doc: "An ISO 4217 currency code as three capital letters, from a text in any case. Codes that were withdrawn in \
              recent years (`HRK`, `BGN`) are taken, since records of their time name them.",
        errors: "A text that is no code of the list: also signs such as `€`, and blanks around a code.",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|_, text| currency(text))
        })],
        examples: &[
            Example {
                expr: "currency('eur')",
                result: "'EUR'",
            },
            Example {
                expr: "currency('€')",
                result: "error: no ISO 4217 currency code",
            },
        ],
    },
    Function {
        name: "isCurrency",
        group: "codes",
        doc: "Whether `currency(text)` would take it.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Bool, |_| {
            tells(|text| currency(text).is_ok())
        })],
        examples: &[
            Example {
                expr: "isCurrency('USD')",
                result: "true",
            },
            Example {
                expr: "isCurrency('TEST')",
                result: "false",
            },
        ],
    },
    Function {
        name: "language",
        group: "codes",
        doc: "An ISO 639-1 language code as two small letters, from a text in any case.",
        errors: "A text that is no code of the list: also `en-US` (take the part before the hyphen) and names.",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|_, text| language(text))
        })],
        examples: &[
            Example {
                expr: "language('EN')",
                result: "'en'",
            },
            Example {
                expr: "language('en-US')",
                result: "error: no ISO 639-1 language code",
            },
        ],
    },
    Function {
        name: "isLanguage",
        group: "codes",
        doc: "Whether `language(text)` would take it.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Bool, |_| {
            tells(|text| language(text).is_ok())
        })],
        examples: &[
            Example {
                expr: "isLanguage('pt')",
                result: "true",
            },
            Example {
                expr: "isLanguage('xx')",
                result: "false",
            },
        ],
    },
    Function {
        name: "email",
        group: "codes",
        doc: "An e-mail address with its domain in lower case; the part before the `@` stays, since its case can matter. \
              What is checked is the form (RFC 5321, a domain of at least two labels), not whether there is such a mailbox.",
        errors: "A text that is no address: also one with a name (`Jane <jane@example.com>`), and blanks around it.",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(email)
        })],
        examples: &[
            Example {
                expr: "email('Jane.Doe@Example.COM')",
                result: "'Jane.Doe@example.com'",
            },
            Example {
                expr: "email('jane@localhost')",
                result: "error: no e-mail address",
            },
        ],
    },
    Function {
        name: "isEmail",
        group: "codes",
        doc: "Whether `email(text)` would take it.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Bool, |_| {
            tells(|text| address(text).is_some())
        })],
        examples: &[
            Example {
                expr: "isEmail('jane+news@example.com')",
                result: "true",
            },
            Example {
                expr: "isEmail('jane@@example.com')",
                result: "false",
            },
        ],
    },
    Function {
        name: "uuid",
        group: "codes",
        doc: "A UUID in its canonical form, small letters with hyphens, from a text with or without hyphens, in braces, or \
              behind `urn:uuid:`.",
        errors: "A text that is no UUID.",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|cx, text| match Uuid::try_parse(text) {
                Ok(uuid) => Ok(canonical(cx, uuid)),
                Err(_) => Err("this is no UUID".into()),
            })
        })],
        examples: &[
            Example {
                expr: "uuid('{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}')",
                result: "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
            },
            Example {
                expr: "uuid('6ba7b810')",
                result: "error: no UUID",
            },
        ],
    },
    Function {
        name: "uuidv5",
        group: "codes",
        doc: "The UUID of version 5 for a name in a namespace: the same name gives the same UUID, everywhere. The namespace \
              is `'dns'`, `'url'`, `'oid'`, `'x500'` or a UUID of your own. It hides nothing: a guessed name is confirmed \
              by computing its UUID.",
        errors: "A namespace that is none of these (at `check`, if it is a constant).",
        forms: &[function(
            &[("namespace", Ty::Text), ("name", Ty::Text)],
            Ty::Text,
            uuid_v5,
        )],
        examples: &[
            Example {
                expr: "uuidv5('dns', 'www.example.com')",
                result: "'2ed6657d-e927-568b-95e1-2665a8aea6a2'",
            },
            Example {
                expr: "uuidv5('shop', 'order-1')",
                result: "error: no namespace",
            },
        ],
    },
];

/// The code in a buffer of its own, in the case that the lists have it in.
fn ascii<const N: usize>(text: &str, case: fn(&mut [u8; N])) -> Option<[u8; N]> {
    let mut code: [u8; N] = text.as_bytes().try_into().ok()?;
    case(&mut code);
    code.iter().all(u8::is_ascii_alphabetic).then_some(code)
}

fn country(text: &str, three: bool) -> Result<&'static str, CallError> {
    let found = match three {
        true => ascii::<3>(text, |code| code.make_ascii_uppercase())
            .and_then(|code| rust_iso3166::from_alpha3(std::str::from_utf8(&code).ok()?)),
        false => ascii::<2>(text, |code| code.make_ascii_uppercase())
            .and_then(|code| rust_iso3166::from_alpha2(std::str::from_utf8(&code).ok()?)),
    };
    let unknown = match three {
        true => "this is no ISO 3166-1 country code of three letters",
        false => "this is no ISO 3166-1 country code of two letters",
    };
    Ok(found.ok_or(unknown)?.alpha2)
}

fn country_of(constants: &Constants<'_>) -> Made {
    let three = choice(constants, 1, "kind", &[("alpha2", false), ("alpha3", true)])?;
    call(move |cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        country(text, three).map(Val::Text)
    })
}

fn currency(text: &str) -> Result<&'static str, CallError> {
    let code = ascii::<3>(text, |code| code.make_ascii_uppercase());
    let found = code.and_then(|code| Currency::from_code(std::str::from_utf8(&code).ok()?));
    Ok(found.ok_or("this is no ISO 4217 currency code")?.code())
}

fn language(text: &str) -> Result<&'static str, CallError> {
    let code = ascii::<2>(text, |code| code.make_ascii_lowercase());
    let found =
        code.and_then(|code| Language::from_639_1(std::str::from_utf8(&code).ok()?)?.to_639_1());
    Ok(found.ok_or("this is no ISO 639-1 language code of two letters")?)
}

/// Where the domain begins, if it is an address.
fn address(text: &str) -> Option<usize> {
    // RFC 5321: 254 characters. What is longer is not worth parsing.
    if text.len() > 254 {
        return None;
    }
    let options = Options::default()
        .with_required_tld()
        .without_display_text()
        .without_domain_literal();
    EmailAddress::parse_with_options(text, options).ok()?;
    Some(text.rfind('@')? + 1)
}

fn email<'a>(cx: &mut Cx<'a>, text: &'a str) -> Result<&'a str, CallError> {
    let at = address(text).ok_or("this is no e-mail address")?;
    let (local, domain) = text.split_at(at);
    let mut out = bumpalo::collections::String::with_capacity_in(text.len(), cx.arena);
    out.push_str(local);
    out.extend(domain.chars().flat_map(char::to_lowercase));
    Ok(out.into_bump_str())
}

fn canonical<'a>(cx: &Cx<'a>, uuid: Uuid) -> &'a str {
    let mut out = Uuid::encode_buffer();
    cx.arena.alloc_str(uuid.hyphenated().encode_lower(&mut out))
}

fn namespace(text: &str) -> Option<Uuid> {
    match text {
        "dns" => Some(Uuid::NAMESPACE_DNS),
        "url" => Some(Uuid::NAMESPACE_URL),
        "oid" => Some(Uuid::NAMESPACE_OID),
        "x500" => Some(Uuid::NAMESPACE_X500),
        _ => Uuid::try_parse(text).ok(),
    }
}

const NO_NAMESPACE: &str = "this is no namespace: expected 'dns', 'url', 'oid', 'x500' or a UUID";

fn uuid_v5(constants: &Constants<'_>) -> Made {
    let known = match constants.text(0) {
        Some(text) => Some(namespace(text).ok_or_else(|| (0, NO_NAMESPACE.to_owned()))?),
        None => None,
    };
    call(move |cx, args| {
        let name = text(args, 1)?;
        cx.spend_bytes(name.len())?;
        let space = match known {
            Some(space) => space,
            None => namespace(text(args, 0)?).ok_or_else(|| blamed(0, NO_NAMESPACE))?,
        };
        let uuid = Uuid::new_v5(&space, name.as_bytes());
        Ok(Val::Text(canonical(cx, uuid)))
    })
}
