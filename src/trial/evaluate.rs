//! One expression on one event, for `driftgate try`. Input: the expression's text and, if there is one, an event in Avro
//! or JSON, with the steps that are run on it first. Output: the type of the result and its value as JSON.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bumpalo::Bump;
use serde_json::{Map, Value as Json};

use crate::config::fault::Fault;
use crate::config::model::{Pipeline, Place, Placed, Step};
use crate::config::source::Source;
use crate::contract::decode::{Limits, decode};
use crate::contract::encode::encode;
use crate::contract::json::{FromJson, to_json};
use crate::contract::plan::{Plan, Scratch};
use crate::contract::resolve::Resolution;
use crate::contract::schema::{Kind, Schema};
use crate::contract::{decimal, wire};
use crate::error::RecordError;
use crate::expr::cx::STEPS;
use crate::expr::scope::{Scope, Secrets, with_scope};
use crate::expr::value::{self, Val};
use crate::expr::{Base, Cx, Expr, Type};
use crate::record::Record;
use crate::transform::{Answers, Arm, Buffers, Builder, Progress};

/// What faults call the expression.
const NAME: &str = "expression";

/// An event whose fields can be named.
#[derive(Debug, Clone)]
pub struct Event {
    schema: Schema,
    /// None where there is a type and no event.
    bytes: Option<Vec<u8>>,
}

impl Event {
    /// The type alone: an expression can be checked by it, and one that names no field evaluated.
    pub fn of_type(schema: &Schema) -> Result<Event, String> {
        if schema.record().is_none() {
            let found = schema.describe(schema.root);
            return Err(format!(
                "an expression names fields, and this schema has none: it is {found}"
            ));
        }
        Ok(Event {
            schema: schema.clone(),
            bytes: None,
        })
    }

    /// An event as JSON of the schema, as Avro with a frame or without, or as hex of either. What could be several of
    /// these is the first that it can be.
    pub fn read(schema: &Schema, file: &[u8]) -> Result<Event, String> {
        let mut event = Event::of_type(schema)?;
        event.bytes = Some(bytes_of(schema, file)?);
        Ok(event)
    }
}

fn bytes_of(schema: &Schema, file: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(file)
        .ok()
        .map(|text| text.trim_start_matches('\u{feff}').trim());
    if let Some(text) = text
        && text.starts_with('{')
    {
        let value = FromJson::default().text(schema, schema.root, text);
        let mut bytes = Vec::new();
        let written = value.and_then(|value| encode(schema, &value, &mut bytes));
        return match written {
            Ok(()) => Ok(bytes),
            Err(error) => Err(format!("as JSON: {error}")),
        };
    }
    let hex = text.and_then(unhex);
    let avro = hex.as_deref().unwrap_or(file);
    let limits = Limits::default();
    let framed = wire::read(avro, &[]).ok();
    if let Some((_, payload)) = framed
        && decode(schema, payload, &limits).is_ok()
    {
        return Ok(payload.to_vec());
    }
    match decode(schema, avro, &limits) {
        Ok(_) => Ok(avro.to_vec()),
        Err(bare) => Err(
            match framed.map(|(id, payload)| (id, decode(schema, payload, &limits))) {
                Some((id, Err(error))) => {
                    format!(
                        "as Avro behind the frame of schema {id}: {error}; without a frame: {bare}"
                    )
                }
                _ => format!("neither JSON nor Avro of this schema: {bare}"),
            },
        ),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| !c.is_whitespace());
    let digits: Vec<u8> = digits
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    if digits.is_empty() || digits.len() % 2 == 1 {
        return None;
    }
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

/// What is around the event.
#[derive(Debug, Default)]
pub struct Around<'a> {
    /// What `hmac` and the like can name.
    pub secrets: Secrets,
    /// Steps that are run on the event first, of [`steps`].
    pub steps: Vec<Step>,
    /// What `header(…)` and the like are about.
    pub record: Record<'a>,
}

/// The first steps of a pipeline. Those that change no field do nothing in it; one that asks or makes several events of
/// one is refused, by its words.
pub fn steps(pipeline: &Pipeline, count: usize) -> Result<Vec<Step>, String> {
    let all = pipeline.prepare.iter().chain(&pipeline.transform);
    let found = pipeline.prepare.len() + pipeline.transform.len();
    if count > found {
        return Err(format!("{} has {found} steps", pipeline.name));
    }
    let step = |(index, step): (usize, &Step)| {
        let refused = |why: &str| Err(format!("step {} {why}", index + 1));
        match step {
            Step::Lookup(_) => refused("(lookup) asks, and nobody is asked here"),
            Step::Explode { .. } => refused("(explode) makes several events of one"),
            Step::Header(_) | Step::Key(_) | Step::Timestamp(_) | Step::Route(_) => {
                Ok(Step::Set(Vec::new()))
            }
            step => Ok(step.clone()),
        }
    };
    all.take(count).enumerate().map(step).collect()
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its type, in words.
    pub of_type: String,
    /// Its value; none where it names fields and there is no event.
    pub value: Option<Json>,
}

/// Why an expression has no value.
#[derive(Debug)]
pub enum NoAnswer {
    /// It is wrong as it is written.
    Faults(Vec<Fault>),
    /// It, or a step before it, failed on this event.
    Failed(RecordError),
    /// A step before it filtered the event.
    Filtered,
}

/// Checks an expression, and evaluates it; without one, the event is the answer.
pub fn evaluate(
    text: Option<&str>,
    event: Option<&Event>,
    around: &Around<'_>,
) -> Result<Answer, NoAnswer> {
    let nothing = Schema::parse("\"null\"", &[]).expect("a schema");
    let schema = event.map_or(&nothing, |event| &event.schema);
    let mut builder = Builder::new(schema, around.secrets.clone());
    builder
        .steps(&around.steps, &|_| Err("nobody is asked".to_owned()))
        .map_err(NoAnswer::Faults)?;
    builder.rules_here();
    let expr = match text {
        Some(text) => Some(compile(text, event.is_some(), &mut builder)?),
        None => None,
    };
    let output = builder.output();
    let arm = Arm {
        when: None,
        sink: 0,
        schema: &output,
        resolution: Resolution::compile(&output, &output).expect("a type reads itself"),
    };
    let transform = builder.finish(&[arm]).map_err(NoAnswer::Faults)?;
    let of_type = match &expr {
        Some(expr) => expr.ty().describe(transform.schema()),
        None => output.describe(output.root),
    };
    let bytes = event.and_then(|event| event.bytes.as_deref());
    let needs_event = expr.as_ref().is_none_or(|expr| !expr.fields().is_empty());
    if bytes.is_none() && needs_event {
        return Ok(Answer {
            of_type,
            value: None,
        });
    }
    let plan = Plan::compile_shared(Arc::new(schema.clone()), schema, transform.wanted());
    let plan = plan.map_err(NoAnswer::Failed)?;
    let (mut scratch, mut buffers) = (Scratch::default(), Buffers::default());
    let arena = Bump::new();
    let mut cx = Cx {
        schema: transform.schema(),
        arena: &arena,
        bytes: &[],
        marks: &[],
        registers: arena.alloc_slice_fill_copy(transform.registers(), Val::Null),
        record: Some(&around.record),
        steps: STEPS,
    };
    if let Some(bytes) = bytes {
        let view = plan
            .run(bytes, &Limits::default(), &mut scratch)
            .map_err(NoAnswer::Failed)?;
        (cx.bytes, cx.marks) = (view.bytes, view.marks);
        cx.registers[0] = Val::Avro(schema.root, view.bytes);
        let kept = transform.prepare(&mut cx, &mut buffers);
        if !kept.map_err(NoAnswer::Failed)? {
            return Err(NoAnswer::Filtered);
        }
    }
    let value = match &expr {
        Some(expr) => {
            let value = expr.eval(&mut cx).map_err(NoAnswer::Failed)?;
            json(transform.schema(), expr.ty(), value)
        }
        None => {
            let progress = transform.run(&mut cx, &Answers::new(), &[Vec::new()], &mut buffers);
            let Progress::Done(emitted) = progress.map_err(NoAnswer::Failed)? else {
                return Err(NoAnswer::Filtered);
            };
            let value =
                decode(&output, &emitted.value, &Limits::default()).map_err(NoAnswer::Failed)?;
            to_json(&output, output.root, &value)
        }
    };
    Ok(Answer {
        of_type,
        value: Some(value),
    })
}

fn compile(text: &str, has_fields: bool, builder: &mut Builder) -> Result<Expr, NoAnswer> {
    // Blanks all of them, and every spot stays where it is on one line.
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let placed = Placed {
        value: text.clone(),
        place: Place {
            file: NAME.to_owned(),
            line: 1,
            column: 1,
        },
    };
    let compiled = builder.for_rules(|event| {
        with_scope(event, |scope| {
            let root = scope.root.filter(|_| has_fields);
            Expr::compile(&placed, &Scope { root, ..scope })
        })
    });
    compiled.map_err(|mut faults| {
        let source = Source::new(NAME, &text, Vec::new(), false);
        faults.iter_mut().for_each(|fault| source.locate(fault));
        NoAnswer::Faults(faults)
    })
}

/// In the form in which outputs are written, where there is an Avro type for it.
fn json(schema: &Schema, of: &Type, value: Val<'_>) -> Json {
    as_avro(schema, of, value).unwrap_or_else(|| bare(schema, of, value))
}

fn as_avro(schema: &Schema, of: &Type, value: Val<'_>) -> Option<Json> {
    let mut schema = schema.clone();
    let node = of.intern(&mut schema).ok()?;
    let mut bytes = Vec::new();
    value::write(&schema, node, value, &mut bytes).ok()?;
    schema.root = node;
    let value = decode(&schema, &bytes, &Limits::default()).ok()?;
    Some(to_json(&schema, node, &value))
}

fn bare(schema: &Schema, of: &Type, value: Val<'_>) -> Json {
    let below = |inner: Option<&Type>, value: Val<'_>| match inner {
        Some(inner) => json(schema, inner, value),
        None => bare(schema, &Type::exactly(Base::Null), value),
    };
    match value {
        Val::Null => Json::Null,
        Val::Bool(value) => value.into(),
        Val::Int(value) => value.into(),
        Val::Double(value) => match serde_json::Number::from_f64(value) {
            Some(number) => Json::Number(number),
            None => value.to_string().into(),
        },
        Val::Text(text) => text.into(),
        Val::Unread(octets) => String::from_utf8_lossy(octets).into(),
        Val::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Val::Decimal(unscaled, scale) => {
            let text = decimal::to_text(unscaled, scale as usize);
            text.map_or_else(|| STANDARD.encode(unscaled).into(), Json::from)
        }
        Val::Timestamp(instant) => instant.to_string().into(),
        Val::Duration(length) => format!("{length}").into(),
        Val::Date(days) => days.into(),
        Val::Time(nanos) => nanos.into(),
        Val::Enum(index) => match &of.base {
            Base::Node(node) => match &schema.node(*node).kind {
                Kind::Enum(named) => named.symbols.get(index as usize).cloned().into(),
                _ => index.into(),
            },
            _ => index.into(),
        },
        Val::Avro(node, bytes) => {
            let mut schema = schema.clone();
            schema.root = node;
            let value = decode(&schema, bytes, &Limits::default());
            value.map_or(Json::Null, |value| to_json(&schema, node, &value))
        }
        Val::List(items) => {
            let inner = match &of.base {
                Base::List(inner) => inner.as_deref(),
                _ => None,
            };
            items.iter().map(|item| below(inner, *item)).collect()
        }
        Val::Map(entries) => {
            let inner = match &of.base {
                Base::Map(inner) => inner.as_deref(),
                _ => None,
            };
            let entry = |(key, value): &(Val<'_>, Val<'_>)| {
                let key = match key {
                    Val::Text(key) => (*key).to_owned(),
                    key => below(None, *key).to_string(),
                };
                (key, below(inner, *value))
            };
            Json::Object(entries.iter().map(entry).collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
        {"name":"id","type":"string"},
        {"name":"status","type":{"type":"enum","name":"S","symbols":["PAID","SHIPPED"]}},
        {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"day","type":{"type":"int","logicalType":"date"}},
        {"name":"note","type":["null","string"],"default":null},
        {"name":"items","type":{"type":"array","items":{"type":"record","name":"I","fields":[
            {"name":"sku","type":"string"},{"name":"n","type":"int"}]}}}]}"#;
    const EVENT: &str = r#"{"id":"A","status":"SHIPPED","amount":"1.50","at":0,"day":0,
        "items":[{"sku":"x","n":2},{"sku":"y","n":0}]}"#;

    fn schema() -> Schema {
        Schema::parse(ORDER, &[]).expect("a schema")
    }

    #[track_caller]
    fn check(text: &str, of_type: &str, value: &str) {
        let event = Event::read(&schema(), EVENT.as_bytes()).expect("an event");
        let answer = evaluate(Some(text), Some(&event), &Around::default()).expect(text);
        let value: Json = serde_json::from_str(value).expect("JSON");
        let of_type = of_type.to_owned();
        assert_eq!(
            answer,
            Answer {
                of_type,
                value: Some(value)
            },
            "{text}"
        );
    }

    #[test]
    fn a_result_has_its_type_and_the_form_of_outputs() {
        check("id + '!'", "string", "\"A!\"");
        check("status", "enum S", "\"SHIPPED\"");
        check("amount", "decimal(9,2)", "\"1.50\"");
        check("at", "timestamp-millis", "\"1970-01-01T00:00:00.000Z\"");
        check("day", "date", "\"1970-01-01\"");
        check("note", "nullable string", "null");
        check("items[0]", "record I", r#"{"sku":"x","n":2}"#);
        check(
            "items",
            "array of record I",
            r#"[{"sku":"x","n":2},{"sku":"y","n":0}]"#,
        );
        check("items.map(i, i.n)", "array of int", "[2, 0]");
        check("[]", "empty list", "[]");
        check("{'a': 1}", "map of long", r#"{"a": 1}"#);
        check("at - at", "duration", "\"PT0S\"");
        check("1 == 1\n  && true", "boolean", "true");
    }

    #[test]
    fn an_event_is_read_in_each_of_its_forms() {
        let schema = schema();
        let event = Event::read(&schema, EVENT.as_bytes()).expect("JSON");
        let mut framed = vec![0, 0, 0, 0, 7];
        let bytes = event.bytes.clone().expect("its bytes");
        framed.extend_from_slice(&bytes);
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x} ")).collect() };
        let (bare_hex, framed_hex) = (hex(&bytes), hex(&framed));
        for form in [&bytes, &framed, bare_hex.as_bytes(), framed_hex.as_bytes()] {
            let read = Event::read(&schema, form).expect("the same event");
            assert_eq!(read.bytes.as_ref(), Some(&bytes));
        }
        for (form, says) in [
            (&b"{\"id\":1}"[..], "as JSON: id: expected string"),
            (b"\x00\x00\x00\x00\x07\x02", "behind the frame of schema 7"),
            (b"nonsense", "neither JSON nor Avro"),
            (b"", "neither JSON nor Avro"),
        ] {
            let error = Event::read(&schema, form).expect_err("no event");
            assert!(error.contains(says), "{error}");
        }
        let text = Schema::parse("\"string\"", &[]).expect("a schema");
        let error = Event::read(&text, b"\"x\"").expect_err("no fields");
        assert!(error.contains("names fields"), "{error}");
    }

    #[test]
    fn without_an_event_constants_have_values_and_fields_have_types() {
        let answer = evaluate(Some("1 + 2"), None, &Around::default()).expect("a constant");
        assert_eq!(answer.value, Some(3.into()));
        let only_type = Event::of_type(&schema()).expect("a record");
        let answer =
            evaluate(Some("id + id"), Some(&only_type), &Around::default()).expect("a type");
        assert_eq!((answer.of_type.as_str(), answer.value), ("string", None));
        let Err(NoAnswer::Faults(faults)) = evaluate(Some("id"), None, &Around::default()) else {
            panic!("there are no fields");
        };
        assert_eq!(faults[0].place.column, 1);
    }

    #[test]
    fn a_fault_marks_its_spot_and_a_failure_says_why() {
        let event = Event::read(&schema(), EVENT.as_bytes()).expect("an event");
        let of = |text| evaluate(Some(text), Some(&event), &Around::default());
        let Err(NoAnswer::Faults(faults)) = of("id == 'A' && amunt > 1") else {
            panic!("no such field");
        };
        let snippet = faults[0].snippet.as_ref().expect("its line");
        assert_eq!((snippet.start, snippet.width), (13, 5), "{faults:?}");
        let Err(NoAnswer::Failed(error)) = of("1 / items[1].n") else {
            panic!("a division by zero");
        };
        assert!(error.message.contains("zero"), "{error}");
    }
}
