//! What is told of steps that are wrong, and of an output that does not fit its sink.

use super::*;

/// The first fault of each: text, message, hint.
#[test]
fn faults_of_steps() {
    for (step, text, message, hint) in [
        (
            set(&[("status", "'PAYD'")]),
            "'PAYD'",
            "no symbol `PAYD`",
            "`PAID`",
        ),
        (
            set(&[("x", "amout")]),
            "amout",
            "no field `amout`",
            "`amount`",
        ),
        (set(&[("x", "null")]), "null", "always be null", ""),
        (set(&[("id", "null")]), "null", "never null", "drop"),
        (set(&[("a-b", "1")]), "a-b", "cannot be the name", "letters"),
        (
            set(&[("billing.town", "'x'")]),
            "billing.town",
            "no field `town`",
            "",
        ),
        (
            set(&[("shipping.city", "'x'")]),
            "shipping.city",
            "may be null",
            "",
        ),
        (
            set(&[("billing", "billing"), ("billing.city", "'x'")]),
            "billing.city",
            "overlap",
            "two steps",
        ),
        (
            rename(&[("nothing", "x")]),
            "nothing",
            "no field `nothing`",
            "",
        ),
        (rename(&[("id", "note")]), "note", "already", "first"),
        (
            rename(&[("billing.zip", "billing.code")]),
            "billing.code",
            "cannot be the name",
            "last name only",
        ),
        (drop(&["tag"]), "tag", "no field `tag`", "`tags`"),
        (drop(&["tags[]"]), "tags[]", "are elements", "filter"),
        (
            drop(&["billing", "billing.city"]),
            "billing.city",
            "overlap",
            "",
        ),
        (
            cast(&[("id", "integer")]),
            "integer",
            "no cast to `integer`",
            "",
        ),
        (
            cast(&[("id", "strng")]),
            "strng",
            "no cast to `strng`",
            "`string`",
        ),
        (
            cast(&[("id", "decimal(2,3)")]),
            "decimal(2,3)",
            "scale must not be above",
            "",
        ),
        (
            cast(&[("id", "decimal")]),
            "decimal",
            "precision and scale",
            "decimal(12,2)",
        ),
        (
            cast(&[("status", "int")]),
            "int",
            "enum shop.Status cannot be cast",
            "",
        ),
        (
            cast(&[("tags", "string")]),
            "string",
            "array of string cannot be cast",
            "",
        ),
        (
            cast(&[("day", "timestamp-millis")]),
            "timestamp-millis",
            "date cannot be cast",
            "localTime",
        ),
        (
            cast(&[("either", "string")]),
            "string",
            "cannot be cast",
            "not available yet",
        ),
        (
            mask("quantity", Mask::Sha256),
            "quantity",
            "is int; this mask needs a string or bytes",
            "cast",
        ),
        (
            mask("raw", Mask::Last4),
            "raw",
            "is bytes; this mask needs a string",
            "",
        ),
        (
            Step::Filter(placed("id")),
            "id",
            "must be true or false",
            "",
        ),
        (
            lookup("http://crm/{idd}", OnMissing::Null),
            "idd",
            "no field `idd`",
            "`id`",
        ),
        (
            lookup("http://crm/{amount}", OnMissing::Null),
            "amount",
            "is decimal(10,2)",
            "cast",
        ),
        (
            lookup("http://crm/{note}", OnMissing::Null),
            "note",
            "may be null",
            "on_null: missing",
        ),
        (
            lookup("http://crm/{shipping.city}", OnMissing::Null),
            "shipping.city",
            "may be null",
            "on_null: missing",
        ),
        (
            asking(topic("count"), OnMissing::Null, None),
            "count",
            "may be null",
            "on_null: missing",
        ),
        (
            asking(topic("raw"), OnMissing::Null, None),
            "raw",
            "a lookup asks with text",
            "cast",
        ),
        (
            lookup(
                "http://crm/{id}",
                OnMissing::Default(placed("{\"name\": 3}")),
            ),
            "{\"name\": 3}",
            "not of the answer's type: name: expected",
            "",
        ),
        (
            lookup(
                "http://crm/{id}",
                OnMissing::Default(placed("{\"name\": \"x\", \"nam\": 1}")),
            ),
            "{\"name\": \"x\", \"nam\": 1}",
            "not of the answer's type",
            "",
        ),
        (
            lookup("http://crm/{id", OnMissing::Null),
            "{",
            "no partner",
            "",
        ),
        (
            lookup("http://crm/id}", OnMissing::Null),
            "}",
            "no partner",
            "",
        ),
        (
            lookup("http://{id}/x", OnMissing::Null),
            "url",
            "may not choose the host",
            "",
        ),
        (
            lookup("http://crm:{quantity}/x", OnMissing::Null),
            "url",
            "may not choose the host",
            "",
        ),
        (
            lookup("http://crm{id}", OnMissing::Null),
            "url",
            "may not choose the host",
            "",
        ),
        (
            lookup("ftp://crm/{id}", OnMissing::Null),
            "url",
            "http://",
            "",
        ),
        (lookup("crm/{id}", OnMissing::Null), "url", "not a URL", ""),
        (
            lookup("http://u:p@crm/{id}", OnMissing::Null),
            "url",
            "credentials",
            "",
        ),
    ] {
        let said = format!("{step:?}");
        let faults = faults(&[step]);
        assert_eq!(faults.len(), 1, "{said}: {faults:#?}");
        let fault = &faults[0];
        assert_eq!(fault.text, text, "{said}");
        assert!(fault.message.contains(message), "{said}: {fault:?}");
        let given = fault.hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{said}: {fault:?}");
    }
}

#[test]
fn one_mistake_is_told_once_and_later_ones_too() {
    let faults = faults(&[
        set(&[("total", "amout")]),
        Step::Filter(placed("total > 1 && quantity > 'x'")),
        cast(&[("total", "string")]),
        drop(&["tagz"]),
    ]);
    let texts: Vec<&str> = faults.iter().map(|fault| fault.text.as_str()).collect();
    assert_eq!(texts, ["amout", "'x'", "tagz"]);
}

#[test]
fn the_output_is_checked_against_the_sink() {
    let sink = |fields: &str| {
        schema(&format!(
            r#"{{"type":"record","name":"clean.Order","fields":[{fields}]}}"#
        ))
    };
    let steps = [
        drop(&["tags"]),
        set(&[("quantity", "'many'")]),
        set(&[("id", "'x'")]),
    ];
    let mut builder = Builder::new(&schema(ORDER), Default::default());
    builder.steps(&steps, &schemas).expect("compiles");
    let fits = sink(r#"{"name":"id","type":"string"},{"name":"quantity","type":"string"}"#);
    let resolution = check_sink(&builder, &fits, &place(), "s.avsc").expect("fits");
    let other = sink(
        r#"{"name":"id","type":"string"},{"name":"quantity","type":"int"},{"name":"missing","type":"int"}"#,
    );
    let faults = check_sink(&builder, &other, &place(), "s.avsc").expect_err("two do not fit");
    assert_eq!(faults.len(), 2, "{faults:#?}");
    let quantity = faults
        .iter()
        .find(|fault| fault.message.contains("`quantity`"));
    let hint = quantity.and_then(|fault| fault.hint.as_deref());
    assert_eq!(hint, Some("it did fit before step 2 (set)"));
    let missing = faults
        .iter()
        .find(|fault| fault.message.contains("missing"));
    assert_eq!(missing.expect("named").hint, None);
    let transform = compile(&steps);
    let Ok(Progress::Done(value)) = transform.run(event(&order())) else {
        panic!("not done")
    };
    let value = resolution.apply(value).expect("resolves");
    assert_eq!(
        to_json(&fits, fits.root, &value),
        json!({"id": "x", "quantity": "many"})
    );
}
