//! Random records and random well-typed expressions over them, by a seed. Expressions are trees, so that one that fails
//! can be made smaller, and printed with or without a deliberate mistake.

use std::fmt::Write;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::data::{Data, Shape};

/// The type of a part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ty {
    Bool,
    Int,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    List(Box<Ty>),
    Map(Box<Ty>),
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) ty: Ty,
    pub(crate) what: What,
    pub(crate) args: Vec<Part>,
}

/// What a part does with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A literal or a variable of a comprehension.
    Atom(String),
    /// A field, by its path.
    Field(String),
    Prefix(&'static str),
    Infix(&'static str),
    Call(&'static str),
    /// The first argument is in front.
    Method(&'static str),
    Index,
    Ternary,
    List,
    /// With these keys.
    Map(Vec<String>),
    /// The first argument is what it goes over, the variable's name stands here.
    Macro(&'static str, String),
}

/// How an expression is printed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// What stands before a field's name.
    pub(crate) before: &'static str,
    /// `&&` and `||` as conditionals: the left one first, and its error is the result.
    pub(crate) in_order: bool,
    /// A mistake: this operator or function is printed as the other.
    pub(crate) mistake: Option<(&'static str, &'static str)>,
}

impl Part {
    pub(crate) fn print(&self, style: Style) -> String {
        let mut out = String::new();
        self.write(style, &mut out).expect("memory");
        out
    }

    fn write(&self, style: Style, out: &mut String) -> std::fmt::Result {
        let wrong = |word: &'static str| match style.mistake {
            Some((right, wrong)) if right == word => wrong,
            _ => word,
        };
        let list = |parts: &[Part], out: &mut String| -> std::fmt::Result {
            for (nth, part) in parts.iter().enumerate() {
                if nth > 0 {
                    out.push_str(", ");
                }
                part.write(style, out)?;
            }
            Ok(())
        };
        let args = &self.args;
        match &self.what {
            What::Atom(text) => out.push_str(text),
            What::Field(path) => {
                out.push_str(style.before);
                out.push_str(path);
            }
            What::Prefix(operator) => {
                write!(out, "{operator}(")?;
                args[0].write(style, out)?;
                out.push(')');
            }
            What::Infix(operator) => {
                let operator = wrong(operator);
                out.push('(');
                args[0].write(style, out)?;
                match (operator, style.in_order) {
                    ("&&", true) => out.push_str(" ? "),
                    ("||", true) => out.push_str(" ? true : "),
                    _ => write!(out, " {operator} ")?,
                }
                args[1].write(style, out)?;
                if operator == "&&" && style.in_order {
                    out.push_str(" : false");
                }
                out.push(')');
            }
            What::Call(name) => {
                write!(out, "{}(", wrong(name))?;
                list(args, out)?;
                out.push(')');
            }
            What::Method(name) => {
                args[0].write(style, out)?;
                write!(out, ".{}(", wrong(name))?;
                list(&args[1..], out)?;
                out.push(')');
            }
            What::Index => {
                args[0].write(style, out)?;
                out.push('[');
                args[1].write(style, out)?;
                out.push(']');
            }
            What::Ternary => {
                out.push('(');
                args[0].write(style, out)?;
                out.push_str(" ? ");
                args[1].write(style, out)?;
                out.push_str(" : ");
                args[2].write(style, out)?;
                out.push(')');
            }
            What::List => {
                out.push('[');
                list(args, out)?;
                out.push(']');
            }
            What::Map(keys) => {
                out.push('{');
                for (nth, (key, value)) in keys.iter().zip(args).enumerate() {
                    if nth > 0 {
                        out.push_str(", ");
                    }
                    write!(out, "{key}: ")?;
                    value.write(style, out)?;
                }
                out.push('}');
            }
            What::Macro(name, variable) => {
                args[0].write(style, out)?;
                write!(out, ".{}({variable}, ", wrong(name))?;
                list(&args[1..], out)?;
                out.push(')');
            }
        }
        Ok(())
    }

    /// The same with a part replaced by one of its own arguments of the same type: every way to do so.
    pub(crate) fn smaller(&self) -> Vec<Part> {
        let mut ways: Vec<Part> = Vec::new();
        for arg in &self.args {
            // What stands inside a comprehension may name its variable.
            if arg.ty == self.ty && !matches!(self.what, What::Macro(..)) {
                ways.push(arg.clone());
            }
        }
        if matches!(self.what, What::Macro(..)) && self.args[0].ty == self.ty {
            ways.push(self.args[0].clone());
        }
        for (nth, arg) in self.args.iter().enumerate() {
            for way in arg.smaller() {
                let mut whole = self.clone();
                whole.args[nth] = way;
                ways.push(whole);
            }
        }
        ways
    }

    /// Whether any part is such a one.
    pub(crate) fn any(&self, is: &dyn Fn(&Part) -> bool) -> bool {
        is(self) || self.args.iter().any(|arg| arg.any(is))
    }
}

/// The fields of the random records: those of each type, nested ones by their path.
pub(crate) fn record_shape(rng: &mut StdRng) -> Shape {
    let list = |inner| Shape::List(Box::new(inner));
    let map = |inner| Shape::Map(Box::new(inner));
    let nullable = |inner| Shape::Nullable(Box::new(inner));
    let named = |name: &str, shape| (name.to_owned(), shape);
    let item = Shape::Record(vec![
        named("n", Shape::Int),
        named("s", Shape::Text),
        named("d", Shape::Double),
    ]);
    let deep = Shape::Record(vec![named("p", Shape::Bool), named("i", Shape::Int)]);
    let mut inner = vec![
        named("i", Shape::Int),
        named("s", Shape::Text),
        named("d", Shape::Double),
        named("l", list(Shape::Int)),
        named("m", map(Shape::Text)),
        named("deep", deep),
    ];
    inner.shuffle(rng);
    let mut fields = vec![
        named("i", Shape::Int),
        named("j", Shape::Int),
        named("d", Shape::Double),
        named("e", Shape::Double),
        named("s", Shape::Text),
        named("t", Shape::Text),
        named("b", Shape::Bytes),
        named("c", Shape::Bytes),
        named("p", Shape::Bool),
        named("q", Shape::Bool),
        named("at", Shape::Timestamp { nanos: false }),
        named("bt", Shape::Timestamp { nanos: true }),
        named("li", list(Shape::Int)),
        named("ld", list(Shape::Double)),
        named("ls", list(Shape::Text)),
        named("ll", list(list(Shape::Int))),
        named("items", list(item)),
        named("mi", map(Shape::Int)),
        named("ms", map(Shape::Text)),
        named("r", Shape::Record(inner)),
        named("ni", nullable(Shape::Int)),
        named("ns", nullable(Shape::Text)),
    ];
    fields.shuffle(rng);
    Shape::Record(fields)
}

const TEXTS: [&str; 14] = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "ABC",
    "x y",
    "ä",
    "日本",
    "😀",
    "1",
    "-17",
    "2.5",
    "2026-02-28T12:00:00Z",
];
const KEYS: [&str; 4] = ["a", "b", "k", ""];
const INTS: [i64; 12] = [
    0,
    1,
    2,
    3,
    5,
    7,
    -1,
    -2,
    100,
    i64::MAX,
    i64::MIN,
    4_294_967_296,
];
const DOUBLES: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    0.5,
    -2.5,
    3.0,
    1e300,
    -1e-300,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    9_007_199_254_740_993.0,
];
const BYTES: [&[u8]; 6] = [b"", b"a", b"ab", b"\x00", b"\xff", "ä".as_bytes()];

fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => (0..rng.random_range(0..6))
            .map(|_| {
                *['a', 'b', 'B', ' ', 'ß', '1', '\u{301}']
                    .choose(rng)
                    .expect("some")
            })
            .collect(),
        _ => (*TEXTS.choose(rng).expect("some")).to_owned(),
    }
}

/// A random value of a shape.
pub(crate) fn value(rng: &mut StdRng, shape: &Shape) -> Data {
    match shape {
        Shape::Null => Data::Null,
        Shape::Bool => Data::Bool(rng.random()),
        Shape::Int => Data::Int(match rng.random_range(0..4) {
            0 => rng.random_range(-20..20),
            1 if rng.random_bool(0.3) => rng.random(),
            _ => *INTS.choose(rng).expect("some"),
        }),
        Shape::Double => Data::Double(match rng.random_range(0..4) {
            0 => f64::from(rng.random_range(-40..40)) / 4.0,
            _ => *DOUBLES.choose(rng).expect("some"),
        }),
        Shape::Text => Data::Text(text(rng)),
        Shape::Bytes => Data::Bytes(BYTES.choose(rng).expect("some").to_vec()),
        Shape::Timestamp { nanos } => {
            let seconds = match rng.random_range(0..5) {
                0 => 0,
                1 => -1,
                // Inside of what nanoseconds since the epoch can say.
                _ => rng.random_range(-9_000_000_000_i64..9_000_000_000),
            };
            let unit = if *nanos { 1 } else { 1000 };
            Data::Timestamp(seconds, rng.random_range(0..1_000_000_000 / unit) * unit)
        }
        Shape::List(inner) => {
            let count = rng.random_range(0..4);
            Data::List((0..count).map(|_| value(rng, inner)).collect())
        }
        Shape::Map(inner) => {
            let keys = KEYS.iter().filter(|_| rng.random_bool(0.5));
            let keys: Vec<&str> = keys.copied().collect();
            let entries = keys
                .iter()
                .map(|key| (Data::Text((*key).to_owned()), value(rng, inner)));
            Data::Map(entries.collect())
        }
        Shape::Record(fields) => {
            let values = fields
                .iter()
                .map(|(name, shape)| (name.clone(), value(rng, shape)));
            Data::Record(values.collect())
        }
        Shape::Nullable(inner) => match rng.random_bool(0.4) {
            true => Data::Null,
            false => value(rng, inner),
        },
    }
}

fn part(ty: Ty, what: What, args: Vec<Part>) -> Part {
    Part { ty, what, args }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Makes expressions.
pub(crate) struct Maker<'r> {
    pub(crate) rng: &'r mut StdRng,
    /// The variables of the comprehensions around: those that are of a type, and those that are an item.
    variables: Vec<(String, Option<Ty>)>,
    count: usize,
}

impl Maker<'_> {
    pub(crate) fn new(rng: &mut StdRng) -> Maker<'_> {
        Maker {
            rng,
            variables: Vec::new(),
            count: 0,
        }
    }

    /// An expression of any type.
    pub(crate) fn any(&mut self, depth: usize) -> Part {
        let ty = match self.rng.random_range(0..14) {
            0..5 => Ty::Bool,
            5 | 6 => Ty::Int,
            7 => Ty::Double,
            8 | 9 => Ty::Text,
            10 => Ty::Bytes,
            11 => Ty::List(Box::new(self.scalar())),
            12 => Ty::Map(Box::new(self.scalar())),
            _ => match self.rng.random() {
                true => Ty::Timestamp,
                false => Ty::Duration,
            },
        };
        self.of(&ty, depth)
    }

    fn scalar(&mut self) -> Ty {
        [Ty::Int, Ty::Text, Ty::Double, Ty::Bool]
            .choose(self.rng)
            .expect("some")
            .clone()
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words.choose(self.rng).expect("some")
    }

    /// A literal, a field or a variable.
    fn leaf(&mut self, ty: &Ty) -> Part {
        let mut atoms: Vec<What> = Vec::new();
        let field = |path: &str| What::Field(path.to_owned());
        for (name, of) in &self.variables {
            match of {
                Some(of) if of == ty => atoms.push(What::Atom(name.clone())),
                Some(_) => {}
                // An item of `items`.
                None => match ty {
                    Ty::Int => atoms.push(What::Atom(format!("{name}.n"))),
                    Ty::Text => atoms.push(What::Atom(format!("{name}.s"))),
                    Ty::Double => atoms.push(What::Atom(format!("{name}.d"))),
                    _ => {}
                },
            }
        }
        if !atoms.is_empty() && self.rng.random_bool(0.6) {
            let what = atoms.choose(self.rng).expect("some").clone();
            return part(ty.clone(), what, Vec::new());
        }
        let fields: &[&str] = match ty {
            Ty::Bool => &["p", "q", "r.deep.p"],
            Ty::Int => &["i", "j", "r.i", "r.deep.i"],
            Ty::Double => &["d", "e", "r.d"],
            Ty::Text => &["s", "t", "r.s"],
            Ty::Bytes => &["b", "c"],
            Ty::Timestamp => &["at", "bt"],
            Ty::Duration => &[],
            Ty::List(inner) => match **inner {
                Ty::Int => &["li", "r.l"],
                Ty::Double => &["ld"],
                Ty::Text => &["ls"],
                Ty::List(_) => &["ll"],
                _ => &[],
            },
            Ty::Map(inner) => match **inner {
                Ty::Int => &["mi"],
                Ty::Text => &["ms", "r.m"],
                _ => &[],
            },
        };
        if !fields.is_empty() && self.rng.random_bool(0.65) {
            let path = fields.choose(self.rng).expect("some");
            return part(ty.clone(), field(path), Vec::new());
        }
        self.literal(ty)
    }

    fn literal(&mut self, ty: &Ty) -> Part {
        let atom = match ty {
            Ty::Bool => self.rng.random::<bool>().to_string(),
            Ty::Int => match value(self.rng, &Shape::Int) {
                Data::Int(number) => number.to_string(),
                _ => "0".to_owned(),
            },
            Ty::Double => match value(self.rng, &Shape::Double) {
                Data::Double(number) if number.is_finite() => format!("{number:?}"),
                _ => "1.5".to_owned(),
            },
            Ty::Text => quoted(&text(self.rng)),
            Ty::Bytes => self
                .pick(&["b''", "b'a'", "b'ab'", "b'\\x00'", "b'\\xff'", "b'ä'"])
                .to_owned(),
            Ty::Timestamp => self
                .pick(&[
                    "timestamp('2026-02-28T12:00:00Z')",
                    "timestamp('1970-01-01T00:00:00Z')",
                    "timestamp('1969-12-31T23:59:59.999Z')",
                    "timestamp('2024-02-29T23:30:00.5+02:00')",
                    "timestamp('9999-12-31T23:59:59Z')",
                ])
                .to_owned(),
            Ty::Duration => self
                .pick(&[
                    "duration('0s')",
                    "duration('1s')",
                    "duration('-1.5h')",
                    "duration('90m')",
                    "duration('1h2m3.004s')",
                    "duration('100ms')",
                    "duration('1us')",
                ])
                .to_owned(),
            Ty::List(inner) => {
                let count = self.rng.random_range(1..4);
                let args = (0..count).map(|_| self.leaf(inner)).collect();
                return part(ty.clone(), What::List, args);
            }
            Ty::Map(inner) => {
                let keys = KEYS[..self.rng.random_range(1..KEYS.len())].iter();
                let keys: Vec<String> = keys.map(|key| quoted(key)).collect();
                let args = keys.iter().map(|_| self.leaf(inner)).collect();
                return part(ty.clone(), What::Map(keys), args);
            }
        };
        part(ty.clone(), What::Atom(atom), Vec::new())
    }

    /// An expression of that type.
    fn of(&mut self, ty: &Ty, depth: usize) -> Part {
        if depth == 0 || self.rng.random_bool(0.12) {
            return self.leaf(ty);
        }
        let depth = depth - 1;
        // What is there for every type.
        match self.rng.random_range(0..20) {
            0 => {
                let args = vec![
                    self.of(&Ty::Bool, depth),
                    self.of(ty, depth),
                    self.of(ty, depth),
                ];
                return part(ty.clone(), What::Ternary, args);
            }
            1 if matches!(ty, Ty::Int | Ty::Double | Ty::Text | Ty::Bool) => {
                let list = self.of(&Ty::List(Box::new(ty.clone())), depth);
                let index = match self.rng.random_range(0..3) {
                    0 => self.of(&Ty::Int, depth),
                    _ => {
                        let at = self.rng.random_range(0..3).to_string();
                        part(Ty::Int, What::Atom(at), Vec::new())
                    }
                };
                return part(ty.clone(), What::Index, vec![list, index]);
            }
            2 if matches!(ty, Ty::Int | Ty::Text) => {
                let map = self.of(&Ty::Map(Box::new(ty.clone())), depth);
                let key = match self.rng.random_range(0..3) {
                    0 => self.of(&Ty::Text, depth),
                    _ => {
                        let key = quoted(KEYS.choose(self.rng).expect("some"));
                        part(Ty::Text, What::Atom(key), Vec::new())
                    }
                };
                return part(ty.clone(), What::Index, vec![map, key]);
            }
            _ => {}
        }
        match ty {
            Ty::Bool => self.bool(depth),
            Ty::Int => self.int(depth),
            Ty::Double => self.double(depth),
            Ty::Text => self.text(depth),
            Ty::Bytes => match self.rng.random_range(0..3) {
                0 => self.leaf(ty),
                1 => {
                    let text = self.of(&Ty::Text, depth);
                    part(Ty::Bytes, What::Call("bytes"), vec![text])
                }
                _ => self.infix(ty, "+", &Ty::Bytes, &Ty::Bytes, depth),
            },
            Ty::Timestamp => match self.rng.random_range(0..5) {
                0 | 1 => self.infix(ty, "+", &Ty::Timestamp, &Ty::Duration, depth),
                2 => self.infix(ty, "-", &Ty::Timestamp, &Ty::Duration, depth),
                3 => self.infix(ty, "+", &Ty::Duration, &Ty::Timestamp, depth),
                _ => self.leaf(ty),
            },
            Ty::Duration => match self.rng.random_range(0..5) {
                0 | 1 => self.infix(ty, "-", &Ty::Timestamp, &Ty::Timestamp, depth),
                2 => self.infix(ty, "+", &Ty::Duration, &Ty::Duration, depth),
                3 => self.infix(ty, "-", &Ty::Duration, &Ty::Duration, depth),
                _ => self.leaf(ty),
            },
            Ty::List(inner) => self.list(inner, depth),
            Ty::Map(_) => self.literal(ty),
        }
    }

    fn infix(
        &mut self,
        ty: &Ty,
        operator: &'static str,
        left: &Ty,
        right: &Ty,
        depth: usize,
    ) -> Part {
        let args = vec![self.of(left, depth), self.of(right, depth)];
        part(ty.clone(), What::Infix(operator), args)
    }

    /// A comprehension over a list, with a body of that type.
    fn over(&mut self, ty: &Ty, name: &'static str, body: Option<&Ty>, depth: usize) -> Part {
        let items = body.is_some() && self.rng.random_bool(0.25);
        let (list, of) = match items {
            true => {
                let list = Ty::List(Box::new(Ty::Bool));
                (
                    part(list, What::Field("items".to_owned()), Vec::new()),
                    None,
                )
            }
            false => {
                // What `filter` gives is what it takes.
                let inner = match (body, ty) {
                    (None, Ty::List(inner)) => (**inner).clone(),
                    _ => self.scalar(),
                };
                (
                    self.of(&Ty::List(Box::new(inner.clone())), depth),
                    Some(inner),
                )
            }
        };
        self.count += 1;
        let variable = format!("v{}", self.count);
        self.variables.push((variable.clone(), of));
        let body = self.of(body.unwrap_or(&Ty::Bool), depth);
        self.variables.pop();
        part(ty.clone(), What::Macro(name, variable), vec![list, body])
    }

    fn bool(&mut self, depth: usize) -> Part {
        let ty = &Ty::Bool;
        match self.rng.random_range(0..16) {
            0..4 => {
                let operator = self.pick(&["<", "<=", ">", ">=", "==", "!="]);
                let of = [
                    Ty::Int,
                    Ty::Int,
                    Ty::Double,
                    Ty::Text,
                    Ty::Bytes,
                    Ty::Timestamp,
                    Ty::Duration,
                    Ty::Bool,
                ];
                let of = of.choose(self.rng).expect("some").clone();
                self.infix(ty, operator, &of, &of, depth)
            }
            4 => {
                // Numbers compare by value, whatever they are.
                let operator = self.pick(&["<", "<=", ">", ">=", "==", "!="]);
                match self.rng.random() {
                    true => self.infix(ty, operator, &Ty::Int, &Ty::Double, depth),
                    false => self.infix(ty, operator, &Ty::Double, &Ty::Int, depth),
                }
            }
            5..8 => {
                let operator = self.pick(&["&&", "||"]);
                self.infix(ty, operator, ty, ty, depth)
            }
            8 => {
                let inner = self.of(ty, depth);
                part(Ty::Bool, What::Prefix("!"), vec![inner])
            }
            9 => {
                let scalar = self.scalar();
                let list = Ty::List(Box::new(scalar.clone()));
                self.infix(ty, "in", &scalar, &list, depth)
            }
            10 => {
                let scalar = [Ty::Int, Ty::Text].choose(self.rng).expect("some").clone();
                self.infix(ty, "in", &Ty::Text, &Ty::Map(Box::new(scalar)), depth)
            }
            11 => {
                let name = self.pick(&["contains", "startsWith", "endsWith"]);
                let args = vec![self.of(&Ty::Text, depth), self.of(&Ty::Text, depth)];
                part(Ty::Bool, What::Method(name), args)
            }
            12 => {
                let text = self.of(&Ty::Text, depth);
                let pattern = self.pick(&["'^a'", "'b+$'", "'[a-c]*'", "'^.$'", "''", "'[^a-z]'"]);
                let pattern = part(Ty::Text, What::Atom(pattern.to_owned()), Vec::new());
                part(Ty::Bool, What::Method("matches"), vec![text, pattern])
            }
            13 | 14 => {
                let name = self.pick(&["all", "exists", "exists_one"]);
                self.over(ty, name, Some(&Ty::Bool), depth)
            }
            _ => match self.rng.random_range(0..4) {
                0 => {
                    let scalar = self.scalar();
                    let list = Ty::List(Box::new(scalar));
                    let operator = self.pick(&["==", "!="]);
                    self.infix(ty, operator, &list, &list, depth)
                }
                1 => {
                    let scalar = [Ty::Int, Ty::Text].choose(self.rng).expect("some").clone();
                    let map = Ty::Map(Box::new(scalar));
                    let operator = self.pick(&["==", "!="]);
                    self.infix(ty, operator, &map, &map, depth)
                }
                // Behind a check for null, on which the checker insists.
                2 => {
                    let (field, of) = match self.rng.random() {
                        true => ("ni", Ty::Int),
                        false => ("ns", Ty::Text),
                    };
                    let field = || part(of.clone(), What::Field(field.to_owned()), Vec::new());
                    let null = part(of.clone(), What::Atom("null".to_owned()), Vec::new());
                    let other = self.of(&of, depth);
                    let (joint, test, operator) = match self.rng.random() {
                        true => ("&&", "!=", self.pick(&["==", "<", ">="])),
                        false => ("||", "==", self.pick(&["!=", ">", "<="])),
                    };
                    let checked = part(Ty::Bool, What::Infix(test), vec![field(), null]);
                    let used = part(Ty::Bool, What::Infix(operator), vec![field(), other]);
                    part(Ty::Bool, What::Infix(joint), vec![checked, used])
                }
                _ => {
                    let key =
                        self.pick(&["has(ms.a)", "has(mi.k)", "has(r.m.b)", "has(ni)", "has(ns)"]);
                    // Named with what stands before a field.
                    let path = key
                        .trim_start_matches("has(")
                        .trim_end_matches(')')
                        .to_owned();
                    match path.contains('.') {
                        true => {
                            let field = part(Ty::Text, What::Field(path), Vec::new());
                            part(Ty::Bool, What::Call("has"), vec![field])
                        }
                        false => self.leaf(ty),
                    }
                }
            },
        }
    }

    fn int(&mut self, depth: usize) -> Part {
        let ty = &Ty::Int;
        match self.rng.random_range(0..12) {
            0..6 => {
                let operator = self.pick(&["+", "-", "*", "/", "%"]);
                self.infix(ty, operator, ty, ty, depth)
            }
            6 => {
                let inner = self.of(ty, depth);
                part(Ty::Int, What::Prefix("-"), vec![inner])
            }
            7 | 8 => {
                let scalar = self.scalar();
                let of = [
                    Ty::Text,
                    Ty::Bytes,
                    Ty::List(Box::new(scalar.clone())),
                    Ty::Map(Box::new(Ty::Int)),
                ];
                let of = of.choose(self.rng).expect("some").clone();
                let inner = self.of(&of, depth);
                let what = match self.rng.random() {
                    true => What::Call("size"),
                    false => What::Method("size"),
                };
                part(Ty::Int, what, vec![inner])
            }
            9 => {
                let of = [Ty::Double, Ty::Text, Ty::Timestamp, Ty::Int];
                let of = of.choose(self.rng).expect("some").clone();
                let inner = self.of(&of, depth);
                part(Ty::Int, What::Call("int"), vec![inner])
            }
            10 => {
                let name = self.pick(&[
                    "getFullYear",
                    "getMonth",
                    "getDate",
                    "getDayOfMonth",
                    "getDayOfWeek",
                    "getDayOfYear",
                    "getHours",
                    "getMinutes",
                    "getSeconds",
                    "getMilliseconds",
                ]);
                let mut args = vec![self.of(&Ty::Timestamp, depth)];
                if self.rng.random_bool(0.3) {
                    let zone =
                        self.pick(&["'Europe/Berlin'", "'America/New_York'", "'+05:30'", "'UTC'"]);
                    args.push(part(Ty::Text, What::Atom(zone.to_owned()), Vec::new()));
                }
                part(Ty::Int, What::Method(name), args)
            }
            _ => match self.rng.random() {
                true => {
                    let name =
                        self.pick(&["getHours", "getMinutes", "getSeconds", "getMilliseconds"]);
                    let length = self.of(&Ty::Duration, depth);
                    part(Ty::Int, What::Method(name), vec![length])
                }
                false => {
                    let args = vec![self.of(&Ty::Text, depth), self.of(&Ty::Text, depth)];
                    let name = self.pick(&["indexOf", "lastIndexOf"]);
                    part(Ty::Int, What::Method(name), args)
                }
            },
        }
    }

    fn double(&mut self, depth: usize) -> Part {
        let ty = &Ty::Double;
        match self.rng.random_range(0..8) {
            0..5 => {
                let operator = self.pick(&["+", "-", "*", "/"]);
                self.infix(ty, operator, ty, ty, depth)
            }
            5 => {
                let inner = self.of(ty, depth);
                part(Ty::Double, What::Prefix("-"), vec![inner])
            }
            _ => {
                let of = [Ty::Int, Ty::Text, Ty::Double];
                let of = of.choose(self.rng).expect("some").clone();
                let inner = self.of(&of, depth);
                part(Ty::Double, What::Call("double"), vec![inner])
            }
        }
    }

    fn text(&mut self, depth: usize) -> Part {
        let ty = &Ty::Text;
        match self.rng.random_range(0..10) {
            0..3 => self.infix(ty, "+", ty, ty, depth),
            3 => {
                let name = self.pick(&["lowerAscii", "upperAscii", "trim"]);
                let inner = self.of(ty, depth);
                part(Ty::Text, What::Method(name), vec![inner])
            }
            4 => {
                let args = vec![self.of(ty, depth), self.of(ty, depth), self.of(ty, depth)];
                part(Ty::Text, What::Method("replace"), args)
            }
            5 => {
                let mut args = vec![self.of(ty, depth), self.small()];
                if self.rng.random() {
                    args.push(self.small());
                }
                part(Ty::Text, What::Method("substring"), args)
            }
            6 => {
                let args = vec![self.of(ty, depth), self.small()];
                part(Ty::Text, What::Method("charAt"), args)
            }
            7 => {
                let mut args = vec![self.of(&Ty::List(Box::new(Ty::Text)), depth)];
                if self.rng.random() {
                    args.push(self.of(ty, depth));
                }
                part(Ty::Text, What::Method("join"), args)
            }
            _ => {
                let of = [
                    Ty::Int,
                    Ty::Double,
                    Ty::Bool,
                    Ty::Bytes,
                    Ty::Timestamp,
                    Ty::Duration,
                    Ty::Text,
                ];
                let of = of.choose(self.rng).expect("some").clone();
                let inner = self.of(&of, depth);
                part(Ty::Text, What::Call("string"), vec![inner])
            }
        }
    }

    fn small(&mut self) -> Part {
        let number = self.rng.random_range(-1..5).to_string();
        part(Ty::Int, What::Atom(number), Vec::new())
    }

    fn list(&mut self, inner: &Ty, depth: usize) -> Part {
        let ty = Ty::List(Box::new(inner.clone()));
        match self.rng.random_range(0..7) {
            0 | 1 => self.infix(&ty, "+", &ty.clone(), &ty, depth),
            2 => self.over(&ty, "filter", None, depth),
            3 | 4 => self.over(&ty, "map", Some(inner), depth),
            5 if *inner == Ty::Text => {
                let args = vec![self.of(&Ty::Text, depth), self.of(&Ty::Text, depth)];
                part(ty, What::Method("split"), args)
            }
            _ => {
                let count = self.rng.random_range(1..4);
                let args = (0..count).map(|_| self.of(inner, depth)).collect();
                part(ty, What::List, args)
            }
        }
    }
}
