//! What `docs/expressions.md` says is true.

use super::support::Bed;
use crate::contract::value::Value;
use crate::expr::testing::schema;

fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn examples_are_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/expressions.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let text = |text: &str| Value::String(text.to_owned());
    let some = |value| Value::Union(1, Box::new(value));
    let none = || Value::Union(0, Box::new(Value::Null));
    let order = Value::Record(vec![
        text("A-7"),
        Value::Bytes(vec![0x04, 0xe2]),
        Value::Int(3),
        Value::Double(0.5),
        none(),
        Value::Enum(1),
        Value::Long(1_769_860_800_000),
        Value::Int(20_498),
        some(Value::Record(vec![none()])),
        Value::Array(vec![
            Value::Record(vec![text("x"), Value::Int(1)]),
            Value::Record(vec![text("y"), Value::Int(2)]),
        ]),
        Value::Map([("source".to_owned(), text("web"))].into_iter().collect()),
    ]);
    let bed = Bed::new(schema(blocks(&page, "json")[0]), &order);
    let lines: Vec<&str> = blocks(&page, "text")
        .into_iter()
        .flat_map(str::lines)
        .collect();
    assert!(lines.len() >= 39, "{}", lines.len());
    for line in lines {
        let (expr, expect) = line.split_once('→').expect("each line has a result");
        let (expr, expect) = (expr.trim(), expect.trim());
        let compiled = bed.compile(expr);
        if let Some(part) = expect.strip_prefix("fault: ") {
            let faults = compiled.expect_err(expr);
            assert!(faults[0].message.contains(part), "{expr}: {}", faults[0]);
            continue;
        }
        let compiled = compiled.unwrap_or_else(|faults| panic!("{expr}: {}", faults[0]));
        let answer = bed.eval(&compiled);
        match expect.strip_prefix("error: ") {
            Some(part) => {
                let error = answer.expect_err(expr);
                assert!(error.message.contains(part), "{expr}: {error}");
            }
            None => assert_eq!(answer.as_deref(), Ok(expect), "{expr}"),
        }
    }
}
