//! What an expression costs on a record whose plan has run: the time from the contract's bytes to a value, results
//! compared before anything is timed. The order is the one of `plan.rs`, with its amount as a decimal.
//!
//! `cargo bench --bench expressions`; ids `expression/…`, `compile/…`.

use std::hint::black_box;

use bumpalo::Bump;
use criterion::{Criterion, criterion_main};
use driftgate::config::model::{Place as Written, Placed};
use driftgate::contract::encode::encode;
use driftgate::contract::schema::Schema;
use driftgate::contract::value::Value;
use driftgate::contract::view;
use driftgate::expr::scope::{Located, Profile, Secrets};
use driftgate::expr::{Cx, Expr, Place, Scope, Val, cx};

#[path = "order/mod.rs"]
mod order;

const CONTRACT: &str = include_str!("schemas/order-contract.avsc");
const DECIMAL: &str =
    r#""amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}"#;

/// The order in the contract's schema, with its amount as a decimal and its currency in lower case.
fn order() -> Value {
    let Value::Record(mut fields) = order::order() else {
        unreachable!("an order is a record")
    };
    fields[3] = order::text("eur");
    fields[4] = Value::Bytes(vec![0x0f, 0x42, 0x40]);
    fields[9] = Value::Double(3.25);
    fields.insert(12, order::text("main"));
    Value::Record(fields)
}

/// The expressions, and how their values print.
const EXPRESSIONS: [(&str, &str, &str); 7] = [
    ("flag", "!gift", "Bool(true)"),
    ("amount", "amount > decimal('0')", "Bool(true)"),
    ("one_of", "currency in ['EUR', 'USD', 'eur']", "Bool(true)"),
    ("contains", "customer.email.contains('@')", "Bool(true)"),
    (
        "sha256",
        "sha256(customer.email)",
        r#"Text("86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d")"#,
    ),
    ("upper", "currency.upperAscii()", r#"Text("EUR")"#),
    ("all", "items.all(i, i.quantity > 0)", "Bool(true)"),
];

struct Order {
    schema: Schema,
    bytes: Vec<u8>,
    marks: Vec<u32>,
}

impl Order {
    fn new() -> Order {
        let contract = CONTRACT.replace(r#""amount", "type": "long""#, DECIMAL);
        assert_ne!(contract, CONTRACT);
        let schema = Schema::parse(&contract, &[]).expect("a schema");
        let mut bytes = Vec::new();
        encode(&schema, &order(), &mut bytes).expect("an order");
        let field = |record, position, at| {
            view::field(&schema, record, position, &bytes, at).expect("a field")
        };
        let fields = &schema.record().expect("a record").fields;
        let mut marks: Vec<usize> = (0..fields.len())
            .map(|nth| field(schema.root, nth, 0))
            .collect();
        // The e-mail, as a plan marks what is wanted.
        marks.push(field(fields[1].node, 1, marks[1]));
        let marks = marks
            .into_iter()
            .map(|at| u32::try_from(at).expect("a small record"));
        let marks = marks.collect();
        Order {
            schema,
            bytes,
            marks,
        }
    }

    fn compile(&self, expr: &str) -> Expr {
        let secrets = Secrets::default();
        let locate = |positions: &[usize]| match positions {
            [1, 1, ..] => Located {
                place: Place::Mark(14),
                depth: 2,
            },
            [first, ..] => Located {
                place: Place::Mark(u32::try_from(*first).expect("few fields")),
                depth: 1,
            },
            [] => unreachable!("at least one position is asked for"),
        };
        let scope = Scope {
            schema: &self.schema,
            root: Some(self.schema.root),
            locate: &locate,
            variables: Vec::new(),
            constants: Vec::new(),
            secrets: &secrets,
            profile: Profile::Checked,
            record: false,
        };
        let place = Written {
            file: "bench".into(),
            line: 1,
            column: 1,
        };
        let text = Placed {
            value: expr.to_owned(),
            place,
        };
        Expr::compile(&text, &scope).unwrap_or_else(|faults| panic!("{expr}: {faults:?}"))
    }

    fn eval<'a>(&'a self, expr: &Expr, arena: &'a Bump) -> Val<'a> {
        let mut cx = Cx {
            schema: &self.schema,
            arena,
            bytes: &self.bytes,
            marks: &self.marks,
            registers: &mut [],
            record: None,
            steps: cx::STEPS,
        };
        expr.eval(&mut cx).expect("a value")
    }
}

fn evaluate(criterion: &mut Criterion) {
    let order = Order::new();
    let mut group = criterion.benchmark_group("expression");
    for (name, text, expect) in EXPRESSIONS {
        let expr = order.compile(text);
        let mut arena = Bump::new();
        assert_eq!(format!("{:?}", order.eval(&expr, &arena)), expect, "{text}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                arena.reset();
                black_box(order.eval(black_box(&expr), &arena).is_null())
            });
        });
    }
    group.finish();
}

fn compile(criterion: &mut Criterion) {
    let order = Order::new();
    criterion.bench_function("compile/one_of", |bencher| {
        bencher.iter(|| order.compile(black_box("currency in ['EUR', 'USD', 'eur']")));
    });
}

/// The benchmarks of this file.
mod benches {
    #![allow(missing_docs, reason = "the macro makes a function without one")]
    criterion::criterion_group!(all, super::evaluate, super::compile);
}

criterion_main!(benches::all);
