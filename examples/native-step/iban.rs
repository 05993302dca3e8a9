//! The step `iban`: the account number that a field holds, checked and in one form. CEL has no check digits; a program
//! that uses the library brings them along.

use driftgate::Natives;
use driftgate::transform::native::{
    Bound, EventType, Input, Native, NativeError, Output, Params, Refusal, Work,
};

/// What the program registers.
pub(crate) fn natives() -> Natives {
    Natives::new().with("iban", Iban)
}

/// `native: { name: iban, params: { field, countries } }`
///
/// The field becomes its electronic form (`DE89370400440532013000`), and `<field>_country` the country's code. Null stays
/// null where the field may be null. `countries`, such as `DE,AT`, says whose accounts are taken; all by default.
struct Iban;

impl Native for Iban {
    fn bind(&self, event: &EventType<'_>, params: &Params<'_>) -> Result<Bound, Refusal> {
        params.only(&["field", "countries"])?;
        let field = params.required("field")?;
        let avro = match event.field(field).as_deref() {
            Some("string") => "string",
            Some("nullable string") => r#"["null", "string"]"#,
            Some(other) => {
                let message = format!("`{field}` is {other}, and an account number is a string");
                return Err(Refusal::new(message).about("field"));
            }
            None => {
                let message = format!("there is no field `{field}`");
                return Err(Refusal::new(message).about("field"));
            }
        };
        let countries = params.get("countries").unwrap_or_default();
        let countries = countries.split(',').map(str::trim);
        let countries: Vec<String> = countries
            .filter(|code| !code.is_empty())
            .map(str::to_owned)
            .collect();
        let name = field.to_owned();
        let bound = Bound::new(move || Checker {
            field: name.clone(),
            countries: countries.clone(),
            compact: String::with_capacity(34),
        });
        Ok(bound
            .reads(field)
            .writes(field, avro)
            .writes(format!("{field}_country"), avro))
    }
}

/// The work of one worker: its buffer is used again for each record.
struct Checker {
    field: String,
    countries: Vec<String>,
    compact: String,
}

impl Work for Checker {
    fn run<'a>(
        &mut self,
        input: &Input<'_, 'a>,
        output: &mut Output<'a>,
    ) -> Result<(), NativeError> {
        let value = input.get(0);
        let Some(text) = value.text() else {
            output.set(0, value.val());
            output.set(1, value.val());
            return Ok(());
        };
        // What is wrong, and never the number itself: this text stands in logs and headers.
        let failed = |what: &str| Err(NativeError::record(what).at(&self.field));
        self.compact.clear();
        let characters = text.chars().filter(|c| !c.is_whitespace());
        self.compact
            .extend(characters.map(|c| c.to_ascii_uppercase()));
        if let Err(what) = check(&self.compact) {
            return failed(what);
        }
        let country = &self.compact[..2];
        if !self.countries.is_empty() && !self.countries.iter().any(|code| code == country) {
            return failed("an account of another country");
        }
        output.set_text(0, &self.compact);
        output.set_text(1, country);
        Ok(())
    }
}

/// ISO 13616: two letters, two check digits, and the country's own account number; the whole, its first four characters
/// behind the others and letters as 10 to 35, is 1 modulo 97.
fn check(compact: &str) -> Result<(), &'static str> {
    if !compact.is_ascii() || !(15..=34).contains(&compact.len()) {
        return Err("no account number: 15 to 34 letters and digits");
    }
    let (head, account) = compact.split_at(4);
    let (country, digits) = head.split_at(2);
    let is_head = country.bytes().all(|c| c.is_ascii_uppercase())
        && digits.bytes().all(|c| c.is_ascii_digit());
    if !is_head || !account.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return Err("no account number: a country, two check digits, letters and digits");
    }
    let rest = account
        .chars()
        .chain(head.chars())
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| match value {
            0..10 => (rest * 10 + value) % 97,
            _ => (rest * 100 + value) % 97,
        });
    match rest {
        1 => Ok(()),
        _ => Err("the check digits are wrong"),
    }
}
