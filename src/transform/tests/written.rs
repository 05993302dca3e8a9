//! Steps as they are written in a configuration, and what becomes of an event, as text.

use super::super::testing;
use super::*;
use crate::config;
use crate::contract::decode::{Limits, decode};
use crate::contract::encode::encode;

/// The steps of a configuration whose `transform` is this.
pub(super) fn steps(yaml: &str) -> Vec<Step> {
    let mut text = "pipelines:\n  p:\n    owner: { team: t }\n    source: { topics: [in] }\n    \
        contract: { subject: in-value }\n    sink: { topic: out, subject: out-value }\n    transform:\n"
        .to_owned();
    for line in yaml.lines() {
        text.push_str(&format!("      {line}\n"));
    }
    let vars = |name: &str| (name == "PSEUDONYM_KEY").then(|| "key".to_owned());
    let loaded = config::load_text(&text, "driftgate.yaml", Path::new(""), &vars);
    let mut config = loaded
        .unwrap_or_else(|faults| panic!("{text}\n{faults:#?}"))
        .config;
    let pipeline = config.pipelines.remove(0);
    assert!(pipeline.prepare.is_empty());
    pipeline.transform
}

/// What becomes of an event: one text an output, or `filtered`, or the error.
pub(super) fn outcome(
    contract: &Schema,
    steps: &[Step],
    event: &Json,
) -> Result<Vec<Json>, String> {
    let mut builder = Builder::new(contract, Secrets::default());
    builder.rules_here();
    builder
        .steps(steps, &schemas)
        .unwrap_or_else(|faults| panic!("{steps:?}: {faults:#?}"));
    let output = builder.output();
    let itself = Resolution::compile(&output, &output).expect("a type is itself");
    let conditions: Vec<_> = match steps.last() {
        Some(Step::Route(arms)) => {
            let arms = arms.iter();
            arms.map(|arm| (arm.when.as_ref(), Some(arm.sink.topic.clone())))
                .collect()
        }
        _ => vec![(None, None)],
    };
    let arms: Vec<_> = conditions
        .iter()
        .enumerate()
        .map(|(sink, (when, _))| Arm {
            when: *when,
            sink,
            schema: &output,
            resolution: itself.clone(),
        })
        .collect();
    let transform = builder.finish(&arms).expect("finishes");
    let event = from_json(contract, contract.root, event).expect("the test's event fits");
    let mut bytes = Vec::new();
    encode(contract, &event, &mut bytes).expect("of its type");
    let progress = testing::run(&transform, contract, &bytes, &Answers::new());
    let progress = progress.map_err(|error| match error.path.as_str() {
        "" => error.message.clone(),
        path => format!("{path}: {}", error.message),
    })?;
    let emitted = match progress {
        super::super::Progress::Done(emitted) => vec![emitted],
        super::super::Progress::Exploded(emitted) => emitted,
        super::super::Progress::Filtered => return Ok(Vec::new()),
        super::super::Progress::Ask(questions) => panic!("{questions:?}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shown = emitted.into_iter().enumerate().map(|(at, one)| {
        assert_eq!(one.index.unwrap_or(0), at, "outputs are counted");
        let value = decode(&output, &one.value, &Limits::default()).expect("the promised type");
        let value = to_json(&output, output.root, &value);
        let mut around = serde_json::Map::new();
        if let Some(topic) = &conditions[one.sink].1 {
            around.insert("topic".to_owned(), json!(topic));
        }
        let attributes = one.attributes.unwrap_or_default();
        if let Some(key) = attributes.key {
            around.insert("key".to_owned(), json!(key.as_deref().map(text)));
        }
        for (name, value) in &attributes.headers {
            let headers = around.entry("headers").or_insert_with(|| json!({}));
            headers[name] = json!(value.as_deref().map(text));
        }
        if let Some(timestamp) = attributes.timestamp {
            around.insert("timestamp".to_owned(), json!(timestamp));
        }
        match around.is_empty() {
            true => value,
            false => {
                around.insert("value".to_owned(), value);
                Json::Object(around)
            }
        }
    });
    Ok(shown.collect())
}
