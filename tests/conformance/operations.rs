//! Random expressions of each type: its operators and functions.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::maker::Maker;
use super::part::{Part, Ty, What, part};

impl Maker<'_> {
    pub(crate) fn bool(&mut self, depth: usize) -> Part {
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
                    let inner = match self.rng.random_range(0..4) {
                        0 => Ty::Item,
                        1 => Ty::List(Box::new(Ty::Int)),
                        _ => self.scalar(),
                    };
                    let list = Ty::List(Box::new(inner));
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

    pub(crate) fn int(&mut self, depth: usize) -> Part {
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
                    Ty::List(Box::new(Ty::Item)),
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
                    let field = self.pick(&["at", "bt"]).to_owned();
                    args = vec![part(Ty::Timestamp, What::Field(field), Vec::new())];
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
                    let mut args = vec![self.of(&Ty::Text, depth), self.of(&Ty::Text, depth)];
                    if self.rng.random_bool(0.3) {
                        args.push(self.small());
                    }
                    let name = self.pick(&["indexOf", "lastIndexOf"]);
                    part(Ty::Int, What::Method(name), args)
                }
            },
        }
    }

    pub(crate) fn double(&mut self, depth: usize) -> Part {
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

    pub(crate) fn text(&mut self, depth: usize) -> Part {
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

    pub(crate) fn list(&mut self, inner: &Ty, depth: usize) -> Part {
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
