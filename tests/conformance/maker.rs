//! Random well-typed expressions over the random records, by a seed: what any type has. The operations of each type
//! stand in [`super::operations`].

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::data::{Data, Shape};
use super::part::{Part, Ty, What, part};
use super::records::{KEYS, text, value};

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Makes expressions.
pub(crate) struct Maker<'r> {
    pub(crate) rng: &'r mut StdRng,
    /// The variables of the comprehensions around.
    variables: Vec<(String, Ty)>,
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

    pub(crate) fn scalar(&mut self) -> Ty {
        [Ty::Int, Ty::Text, Ty::Double, Ty::Bool]
            .choose(self.rng)
            .expect("some")
            .clone()
    }

    pub(crate) fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words.choose(self.rng).expect("some")
    }

    /// A literal, a field or a variable.
    pub(crate) fn leaf(&mut self, ty: &Ty) -> Part {
        let mut atoms: Vec<What> = Vec::new();
        let field = |path: &str| What::Field(path.to_owned());
        for (name, of) in &self.variables {
            match (of, ty) {
                (of, ty) if of == ty => atoms.push(What::Atom(name.clone())),
                (Ty::Item, Ty::Int) => atoms.push(What::Atom(format!("{name}.n"))),
                (Ty::Item, Ty::Text) => atoms.push(What::Atom(format!("{name}.s"))),
                (Ty::Item, Ty::Double) => atoms.push(What::Atom(format!("{name}.d"))),
                _ => {}
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
            Ty::Duration | Ty::Item => &[],
            Ty::List(inner) => match **inner {
                Ty::Int => &["li", "r.l"],
                Ty::Double => &["ld"],
                Ty::Text => &["ls"],
                Ty::List(_) => &["ll"],
                Ty::Item => &["items"],
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

    pub(crate) fn literal(&mut self, ty: &Ty) -> Part {
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
            Ty::Item => {
                let items = What::Field("items".to_owned());
                let items = part(Ty::List(Box::new(Ty::Item)), items, Vec::new());
                let first = part(Ty::Int, What::Atom("0".to_owned()), Vec::new());
                return part(Ty::Item, What::Index, vec![items, first]);
            }
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
    pub(crate) fn of(&mut self, ty: &Ty, depth: usize) -> Part {
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
            1 if matches!(ty, Ty::Int | Ty::Double | Ty::Text | Ty::Bool | Ty::Item) => {
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
            Ty::Map(_) | Ty::Item => self.leaf(ty),
        }
    }

    pub(crate) fn infix(
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
    pub(crate) fn over(
        &mut self,
        ty: &Ty,
        name: &'static str,
        body: Option<&Ty>,
        depth: usize,
    ) -> Part {
        let inner = match (body, ty) {
            // What `filter` gives is what it takes.
            (None, Ty::List(inner)) => (**inner).clone(),
            _ => match self.rng.random_range(0..8) {
                0 | 1 => Ty::Item,
                2 => Ty::List(Box::new(Ty::Int)),
                _ => self.scalar(),
            },
        };
        let list = self.of(&Ty::List(Box::new(inner.clone())), depth);
        self.count += 1;
        let variable = format!("v{}", self.count);
        self.variables.push((variable.clone(), inner));
        let body = self.of(body.unwrap_or(&Ty::Bool), depth);
        self.variables.pop();
        part(ty.clone(), What::Macro(name, variable), vec![list, body])
    }
}
