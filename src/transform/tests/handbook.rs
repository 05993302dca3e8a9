//! `docs/steps.md`: each example is run.

use super::written::{outcome, steps};
use super::*;

/// The fenced blocks of a text: their word and what they hold.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let mut parts = text.split("\n```");
    parts.next();
    let mut out = Vec::new();
    while let (Some(block), _) = (parts.next(), parts.next()) {
        let (word, inside) = block.split_once('\n').unwrap_or((block, ""));
        out.push((word, inside));
    }
    out
}

/// Whether `found` is what is shown. `"…": "…"` stands for the fields that are as they were.
fn is_shown(found: &Json, shown: &Json, event: &Json, yaml: &str) {
    let (Some(fields), true) = (found.as_object(), shown.get("…").is_some()) else {
        match (found.get("value"), shown.get("value")) {
            (Some(value), Some(part)) => {
                is_shown(value, part, event, yaml);
                let around = |json: &Json| {
                    let mut json = json.clone();
                    json["value"] = Json::Null;
                    json
                };
                assert_eq!(around(found), around(shown), "{yaml}");
            }
            _ => assert_eq!(found, shown, "{yaml}"),
        }
        return;
    };
    let shown = shown.as_object().expect("an object");
    for (name, value) in shown.iter().filter(|(name, _)| *name != "…") {
        assert_eq!(fields.get(name), Some(value), "{yaml}: {name}");
    }
    for (name, value) in fields.iter().filter(|(name, _)| !shown.contains_key(*name)) {
        assert_eq!(event.get(name), Some(value), "{yaml}: {name} is not shown");
    }
    let before = event.as_object().expect("an object");
    for name in before.keys().filter(|name| !fields.contains_key(*name)) {
        assert!(yaml.contains(name), "{yaml}: {name} is lost");
    }
}

#[test]
fn the_examples_of_the_handbook_are_what_happens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/steps.md");
    let text = std::fs::read_to_string(path).expect("docs/steps.md");
    let blocks = blocks(&text);
    let [("avsc", contract), ("json", event), rest @ ..] = blocks.as_slice() else {
        panic!("the page begins with the schema and the event")
    };
    let contract = schema(contract);
    let event: Json = serde_json::from_str(event).expect("the event");
    let mut examples = 0;
    for pair in rest.windows(2) {
        let [("yaml", yaml), (word, shown)] = pair else {
            continue;
        };
        examples += 1;
        if *word == "fault" {
            let mut builder = Builder::new(&contract, Secrets::default());
            let faults = builder.steps(&steps(yaml), &schemas).expect_err(yaml);
            assert_eq!(faults[0].message, shown.trim(), "{yaml}");
            continue;
        }
        match outcome(&contract, &steps(yaml), &event) {
            Ok(found) => {
                assert_eq!(*word, "json", "{yaml}: {found:?}");
                let shown = serde_json::Deserializer::from_str(shown).into_iter::<Json>();
                let shown: Vec<Json> = shown.collect::<Result<_, _>>().expect(yaml);
                assert_eq!(found.len(), shown.len(), "{yaml}: {found:#?}");
                for (found, shown) in found.iter().zip(&shown) {
                    is_shown(found, shown, &event, yaml);
                }
            }
            Err(error) => assert_eq!((*word, shown.trim()), ("error", error.as_str()), "{yaml}"),
        }
    }
    for step in [
        "set",
        "rename",
        "move",
        "drop",
        "keep",
        "cast",
        "filter",
        "mask",
        "default",
        "flatten",
        "nest",
        "explode",
        "route",
        "map_values",
        "header",
        "key",
        "timestamp",
        "lookup",
    ] {
        assert!(
            text.contains(&format!("\n## `{step}`\n")),
            "no word of {step}"
        );
    }
    assert!(examples >= 25, "{examples} examples");
}
