//! Random steps over random events: the flow does what the model does, whatever the types, and its bytes go to a sink as
//! the trees would.

use super::super::testing;
use super::model::{self, Fails, Model, Seg, Spot, Ty, Wrap};
use super::*;
use crate::config::model::{MapValues, Otherwise};
use crate::contract::arbitrary::{Evolution, Generator, Shape, sized_blocks};
use crate::contract::decode::{Limits, decode};
use crate::contract::encode::encode;
use crate::contract::schema::Kind;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// What a step does to an event, in parts.
#[derive(Debug, Clone)]
enum Part {
    Remove(Vec<Seg>, usize),
    /// Puts a value aside.
    Take(Vec<Seg>, Option<Wrap>),
    /// So many values put aside become a record put aside.
    Collect(usize),
    /// Puts what was taken first into a record.
    Insert(Vec<Seg>, usize),
    /// Appends a copy of another field to every record.
    Copy(Vec<Seg>, usize, Copied),
    Inner(Vec<Seg>, Made),
    Default(Vec<Seg>, Value),
    Set(Vec<Seg>, Value),
    Table(Vec<Seg>, Otherwise, bool),
    /// Keeps what is null, or what is not.
    Filter(Vec<Seg>, bool),
    Explode(Vec<Seg>),
}

#[derive(Debug, Clone, Copy)]
enum Copied {
    Same,
    /// Out of a union of one.
    Bare,
    /// Into `[null, T]`.
    Nullable,
}

#[derive(Debug, Clone)]
enum Made {
    Text(&'static str),
    Digits,
    Boolean,
}

struct Stage {
    parts: Vec<(Ty, Part)>,
}

struct Case {
    contract: Schema,
    steps: Vec<Step>,
    stages: Vec<Stage>,
    /// The type after them.
    ty: Ty,
}

struct Draw<'s> {
    rng: StdRng,
    model: Model<'s>,
    parts: Vec<(Ty, Part)>,
    count: usize,
    explodes: usize,
}

impl Draw<'_> {
    fn name(&mut self, letter: char) -> String {
        self.count += 1;
        format!("{letter}{}", self.count)
    }

    fn part(&mut self, part: Part) {
        self.parts.push((self.model.ty.clone(), part));
    }

    fn spot(&mut self, fits: impl Fn(&Model<'_>, &Spot) -> bool) -> Option<Spot> {
        let spots = self.model.spots(4);
        let all: Vec<&Spot> = spots.iter().filter(|s| fits(&self.model, s)).collect();
        all.choose(&mut self.rng).map(|spot| (*spot).clone())
    }

    fn index(&self, way: &[Seg]) -> usize {
        let (last, parent) = way.split_last().expect("a field");
        let mut ty = self.model.ty.clone();
        let found = self.model.open(&mut ty, parent);
        let Some((_, Ty::Record(fields), _)) = self.model.only(found) else {
            panic!("{way:?}")
        };
        let same = |(name, _): &(String, Ty)| *last == Seg::Field(name.clone());
        fields.iter().position(same).expect("it exists")
    }

    fn remove(&mut self, way: &[Seg]) {
        let at = self.index(way);
        let parent = way[..way.len() - 1].to_vec();
        self.part(Part::Remove(parent.clone(), at));
        self.model.edit(&parent, |fields| {
            fields.remove(at);
        });
    }

    fn insert(&mut self, parent: &[Seg], at: usize, name: &str, ty: Ty) {
        self.part(Part::Insert(parent.to_vec(), at));
        self.model
            .edit(parent, |fields| fields.insert(at, (name.to_owned(), ty)));
    }

    fn width(&self, way: &[Seg]) -> usize {
        let mut ty = self.model.ty.clone();
        match self.model.only(self.model.open(&mut ty, way)) {
            Some((_, Ty::Record(fields), _)) => fields.len(),
            other => panic!("{other:?}"),
        }
    }

    /// Puts a field's value aside; its type there.
    fn lift(&mut self, spot: &Spot) -> Ty {
        let (ty, wrap) = match spot.optional {
            true => {
                let (ty, wrap) = self.model.nullable(&spot.ty);
                (ty, Some(wrap))
            }
            false => (spot.ty.clone(), None),
        };
        self.part(Part::Take(spot.way.clone(), wrap));
        ty
    }

    /// A constant for a type, as an expression.
    fn constant(&self, ty: &Ty) -> Option<(&'static str, Value)> {
        Some(match ty {
            Ty::Text => ("'c'", Value::String("c".to_owned())),
            Ty::Long => ("5", Value::Long(5)),
            Ty::Bool => ("true", Value::Boolean(true)),
            _ => return None,
        })
    }

    /// Another step, or none if there is nothing for it.
    fn step(&mut self) -> Option<Step> {
        let field = |spot: &Spot| matches!(spot.way.last(), Some(Seg::Field(_)));
        let placed = |spot: &Spot| super::placed(&spot.text());
        match self.rng.random_range(0..16) {
            0 | 1 => {
                let spot = self.spot(|_, s| field(s))?;
                let other = self.spot(|_, s| field(s) && !overlap(&s.way, &spot.way));
                let mut ways = vec![spot.way.clone()];
                ways.extend(other.map(|other| other.way));
                let texts = ways.iter().map(|way| super::placed(&model::text(way)));
                let step = Step::Drop(texts.collect());
                ways.sort_by_key(|way| std::cmp::Reverse(way.len()));
                ways.iter().for_each(|way| self.remove(way));
                Some(step)
            }
            2 => {
                let spot = self.spot(|_, s| field(s))?;
                let at = self.index(&spot.way);
                let name = self.name('r');
                self.model.edit(&spot.way[..spot.way.len() - 1], |fields| {
                    fields[at].0.clone_from(&name);
                });
                Some(Step::Rename(vec![(placed(&spot), super::placed(&name))]))
            }
            3 => {
                let mut kept = Vec::new();
                for _ in 0..self.rng.random_range(1..4) {
                    kept.push(self.spot(|_, _| true)?);
                }
                let step = Step::Keep(kept.iter().map(placed).collect());
                let mut others = Vec::new();
                let kept: Vec<Vec<Seg>> = kept.into_iter().map(|s| s.way).collect();
                rest(
                    &self.model,
                    &self.model.ty,
                    &kept,
                    &mut Vec::new(),
                    &mut others,
                );
                others.iter().rev().for_each(|way| self.remove(way));
                Some(step)
            }
            4 => {
                let spot = self.spot(|_, s| field(s) && !s.many)?;
                let into = self.spot(|model, s| {
                    field(s)
                        && !s.optional
                        && !s.many
                        && matches!(model.expand(&s.ty), Ty::Record(_))
                        && !s.way.starts_with(&spot.way)
                });
                let name = self.name('m');
                let parent = into.map(|into| into.way).unwrap_or_default();
                let mut to = parent.clone();
                to.push(Seg::Field(name.clone()));
                let ty = self.lift(&spot);
                self.remove(&spot.way);
                let end = self.width(&parent);
                self.insert(&parent, end, &name, ty);
                let to = super::placed(&model::text(&to));
                Some(Step::Move(vec![(placed(&spot), to)]))
            }
            5 => {
                let spot = self.spot(|model, s| {
                    field(s)
                        && !s.optional
                        && !s.many
                        && matches!(model.only(&s.ty), Some((_, Ty::Record(_), _)))
                })?;
                let prefix = format!("{}_", self.name('x'));
                let step = Step::Flatten {
                    field: placed(&spot),
                    prefix: Some(prefix.clone()),
                    separator: "_".to_owned(),
                };
                let Some((wrapped, Ty::Record(fields), _)) = self.model.only(&spot.ty) else {
                    unreachable!("it was chosen for that")
                };
                let mut lifted = Vec::new();
                for (name, ty) in fields {
                    let mut way = spot.way.clone();
                    way.push(Seg::Field(name.clone()));
                    let below = Spot {
                        way,
                        ty,
                        optional: wrapped.is_some(),
                        ..spot.clone()
                    };
                    let ty = self.lift(&below);
                    lifted.push((format!("{prefix}{name}"), ty));
                }
                let at = self.index(&spot.way);
                self.remove(&spot.way);
                let parent = &spot.way[..spot.way.len() - 1];
                for (nth, (name, ty)) in lifted.into_iter().enumerate() {
                    self.insert(parent, at + nth, &name, ty);
                }
                Some(step)
            }
            6 => {
                let one = self.spot(|_, s| field(s) && !s.many)?;
                let two = self.spot(|_, s| {
                    field(s)
                        && !s.many
                        && !overlap(&s.way, &one.way)
                        && s.way.last() != one.way.last()
                });
                let into = self.name('n');
                let spots: Vec<Spot> = [one].into_iter().chain(two).collect();
                let step = Step::Nest {
                    into: super::placed(&into),
                    fields: spots.iter().map(placed).collect(),
                };
                let mut fields = Vec::new();
                for spot in &spots {
                    let ty = self.lift(spot);
                    let Some(Seg::Field(name)) = spot.way.last() else {
                        unreachable!("fields were chosen")
                    };
                    fields.push((name.clone(), ty));
                }
                self.part(Part::Collect(fields.len()));
                let mut ways: Vec<_> = spots.into_iter().map(|s| s.way).collect();
                ways.sort_by_key(|way| std::cmp::Reverse(way.len()));
                ways.iter().for_each(|way| self.remove(way));
                let end = self.width(&[]);
                self.insert(&[], end, &into, Ty::Record(fields));
                Some(step)
            }
            7 => {
                let spot =
                    self.spot(|model, s| matches!(model.only(&s.ty), Some((_, Ty::Text, _))))?;
                self.part(Part::Inner(spot.way.clone(), Made::Text("***")));
                Some(mask(&spot.text(), Mask::Fixed("***".to_owned())))
            }
            8 => {
                let spot = self.spot(|model, s| {
                    matches!(model.only(&s.ty), Some((_, Ty::Text | Ty::Long, _)))
                })?;
                let is_text = matches!(self.model.only(&spot.ty), Some((_, Ty::Text, _)));
                let (to, made, ty) = match is_text {
                    true => ("boolean", Made::Boolean, Ty::Bool),
                    false => ("string", Made::Digits, Ty::Text),
                };
                self.part(Part::Inner(spot.way.clone(), made));
                self.model.retype_inner(&spot.way, ty);
                Some(cast(&[(&spot.text(), to)]))
            }
            9 => {
                let spot = self.spot(|model, s| {
                    !s.below_null
                        && matches!(
                            model.only(&s.ty),
                            Some((_, Ty::Text | Ty::Long | Ty::Bool, true))
                        )
                })?;
                let (_, bare, _) = self.model.only(&spot.ty)?;
                let (text, value) = self.constant(&bare)?;
                self.part(Part::Default(spot.way.clone(), value));
                self.model.retype(&spot.way, bare);
                Some(Step::Default(pairs(&[(&spot.text(), text)])))
            }
            10 => {
                // What is copied is what was there before the step.
                let name = self.name('s');
                let spot = self.spot(|_, s| field(s) && !s.optional && !s.many)?;
                let ty = self.lift(&spot);
                if matches!(self.model.expand(&ty), Ty::Null) {
                    self.parts.clear();
                    return None;
                }
                let text = spot.text();
                let mut entries = vec![(name.as_str(), text.as_str())];
                if let Some(constant) = self.set(&spot) {
                    entries.insert(0, (text.as_str(), constant));
                }
                let end = self.width(&[]);
                self.insert(&[], end, &name, ty);
                Some(super::set(&entries))
            }
            11 => {
                let spot = self.spot(|model, s| {
                    !s.below_null
                        && matches!(
                            model.only(&s.ty),
                            Some((_, Ty::Text | Ty::Long | Ty::Bool, _))
                        )
                })?;
                let text = self.set(&spot)?;
                Some(super::set(&[(&spot.text(), text)]))
            }
            12 => {
                let spot = self.spot(|model, s| {
                    !field(s)
                        && matches!(model.only(&s.ty), Some((_, Ty::Record(fields), _)) if !fields.is_empty())
                })?;
                let (_, Ty::Record(fields), _) = self.model.only(&spot.ty)? else {
                    return None;
                };
                let at = self.rng.random_range(0..fields.len());
                let (from, ty) = fields[at].clone();
                let (copied, ty) = match self.model.only(&ty) {
                    Some((_, Ty::Null, _)) => return None,
                    Some((Some(_), bare, true)) => {
                        (Copied::Nullable, Ty::Union(vec![Ty::Null, bare]))
                    }
                    Some((Some(_), bare, false)) => (Copied::Bare, bare),
                    _ => (Copied::Same, ty),
                };
                let name = self.name('s');
                self.part(Part::Copy(spot.way.clone(), at, copied));
                self.model
                    .edit(&spot.way, |fields| fields.push((name.clone(), ty)));
                let to = format!("{}.{name}", spot.text());
                Some(super::set(&[(&to, &format!("this.{from}"))]))
            }
            13 => {
                // A list that an expression made, in place of bytes.
                let spot = self.spot(|model, s| {
                    field(s)
                        && !s.optional
                        && !s.many
                        && matches!(model.expand(&s.ty), Ty::Array(_))
                })?;
                let text = spot.text();
                Some(super::set(&[(&text, &format!("{text}.filter(x, true)"))]))
            }
            14 if self.rng.random_bool(0.5) => {
                let spot = self.spot(|model, s| {
                    field(s)
                        && !s.optional
                        && !s.many
                        && matches!(model.only(&s.ty), Some((Some(_), _, true)))
                })?;
                let null = self.rng.random_bool(0.3);
                self.part(Part::Filter(spot.way.clone(), null));
                let test = if null { "==" } else { "!=" };
                Some(Step::Filter(super::placed(&format!(
                    "{} {test} null",
                    spot.text()
                ))))
            }
            14 => {
                let spot =
                    self.spot(|model, s| matches!(model.only(&s.ty), Some((_, Ty::Text, _))))?;
                let (_, _, nullable) = self.model.only(&spot.ty)?;
                let otherwise = [Otherwise::Keep, Otherwise::Null, Otherwise::DeadLetter]
                    [self.rng.random_range(0..3)];
                let nullable = nullable || otherwise == Otherwise::Null;
                self.part(Part::Table(spot.way.clone(), otherwise, nullable));
                self.model.retype(
                    &spot.way,
                    match nullable {
                        true => Ty::Union(vec![Ty::Null, Ty::Text]),
                        false => Ty::Text,
                    },
                );
                Some(Step::MapValues(MapValues {
                    field: placed(&spot),
                    values: pairs(&[("", "empty"), ("***", "masked")]),
                    otherwise,
                }))
            }
            _ if self.explodes < 2 => {
                let spot = self.spot(|model, s| {
                    field(s)
                        && !s.optional
                        && !s.many
                        && matches!(model.only(&s.ty), Some((_, Ty::Array(_), _)))
                })?;
                let (_, Ty::Array(inner), _) = self.model.only(&spot.ty)? else {
                    return None;
                };
                self.explodes += 1;
                self.part(Part::Explode(spot.way.clone()));
                self.model.retype(&spot.way, *inner);
                Some(Step::Explode {
                    field: placed(&spot),
                    into: None,
                })
            }
            _ => None,
        }
    }

    /// Sets a place to a constant, of another type where it is in no union.
    fn set(&mut self, spot: &Spot) -> Option<&'static str> {
        let (at, ty, _) = self.model.only(&spot.ty)?;
        let ty = match (at, ty) {
            (None, Ty::Text) => Ty::Long,
            (None, Ty::Long) => Ty::Bool,
            (None, Ty::Bool) => Ty::Text,
            (_, ty) => ty,
        };
        let (text, value) = self.constant(&ty)?;
        match at {
            Some(at) => {
                let value = Value::Union(at, Box::new(value));
                self.part(Part::Set(spot.way.clone(), value));
            }
            None => {
                self.part(Part::Set(spot.way.clone(), value));
                self.model.retype(&spot.way, ty);
            }
        }
        Some(text)
    }
}

fn overlap(one: &[Seg], other: &[Seg]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The ways to everything that is not kept.
fn rest(
    model: &Model<'_>,
    ty: &Ty,
    kept: &[Vec<Seg>],
    way: &mut Vec<Seg>,
    out: &mut Vec<Vec<Seg>>,
) {
    let Some((_, inner, _)) = model.only(ty) else {
        return;
    };
    let mut go = |seg: Seg, ty: &Ty, out: &mut Vec<Vec<Seg>>| {
        way.push(seg);
        let is_field = matches!(way.last(), Some(Seg::Field(_)));
        let whole = |kept: &Vec<Seg>| {
            way.starts_with(kept)
                || kept.starts_with(way)
                    && kept[way.len()..]
                        .iter()
                        .all(|seg| !matches!(seg, Seg::Field(_)))
        };
        if kept.iter().any(whole) {
        } else if kept.iter().any(|kept| kept.starts_with(way)) {
            rest(model, ty, kept, way, out);
        } else if is_field {
            out.push(way.clone());
        }
        way.pop();
    };
    match inner {
        Ty::Record(fields) => {
            for (name, ty) in &fields {
                go(Seg::Field(name.clone()), ty, out);
            }
        }
        Ty::Array(inner) => go(Seg::Items, &inner, out),
        Ty::Map(inner) => go(Seg::Values, &inner, out),
        _ => {}
    }
}

fn draw(seed: u64, schema: &Schema) -> Case {
    let mut draw = Draw {
        rng: StdRng::seed_from_u64(seed ^ 0x5eed),
        model: Model {
            contract: schema,
            ty: Ty::Node(schema.root),
        },
        parts: Vec::new(),
        count: 0,
        explodes: 0,
    };
    let wanted = draw.rng.random_range(1..7);
    let (mut steps, mut stages) = (Vec::new(), Vec::new());
    for _ in 0..3 * wanted {
        if steps.len() == wanted {
            break;
        }
        if let Some(step) = draw.step() {
            steps.push(step);
            let parts = std::mem::take(&mut draw.parts);
            stages.push(Stage { parts });
        }
    }
    Case {
        contract: schema.clone(),
        steps,
        stages,
        ty: draw.model.ty,
    }
}

impl Case {
    /// Every output of an event, or the number of the step that failed.
    fn expect(&self, first: usize, value: Value, out: &mut Vec<Value>) -> Result<(), usize> {
        let Some(stage) = self.stages.get(first) else {
            out.push(value);
            return Ok(());
        };
        let mut values = vec![value];
        let mut aside = Vec::new();
        for (ty, part) in &stage.parts {
            let model = Model {
                contract: &self.contract,
                ty: ty.clone(),
            };
            let mut next = Vec::new();
            for value in values {
                next.extend(act(&model, part, value, &mut aside).map_err(|Fails| first + 1)?);
            }
            values = next;
        }
        for value in values {
            self.expect(first + 1, value, out)?;
        }
        Ok(())
    }
}

fn act(
    model: &Model<'_>,
    part: &Part,
    mut value: Value,
    aside: &mut Vec<Value>,
) -> Result<Vec<Value>, Fails> {
    let is_null = |value: &Value| matches!(value, Value::Union(_, inner) if **inner == Value::Null);
    match part {
        Part::Remove(way, at) => model.each_record(&mut value, way, &mut |fields| {
            fields.remove(*at);
        }),
        Part::Take(way, wrap) => {
            let taken = model.get(&value, way);
            aside.push(match wrap {
                Some(wrap) => wrap.value(taken),
                None => taken.expect("it is always there"),
            });
        }
        Part::Collect(count) => {
            let from = aside.len() - count;
            let record = Value::Record(aside.split_off(from));
            aside.push(record);
        }
        Part::Insert(way, at) => {
            let taken = aside.remove(0);
            model.each_record(&mut value, way, &mut |fields| {
                fields.insert(*at, taken.clone());
            });
        }
        Part::Copy(way, at, copied) => model.each_record(&mut value, way, &mut |fields| {
            let copy = match (copied, fields[*at].clone()) {
                (Copied::Same, value) => value,
                (Copied::Bare, value) => value.inner().clone(),
                (Copied::Nullable, value) if is_null(&value) => {
                    Value::Union(0, Box::new(Value::Null))
                }
                (Copied::Nullable, value) => Value::Union(1, Box::new(value.inner().clone())),
            };
            fields.push(copy);
        }),
        Part::Inner(way, made) => model.each_inner(&mut value, way, &mut |value| {
            *value = match (made, &*value) {
                (Made::Text(text), _) => Value::String((*text).to_owned()),
                (Made::Digits, Value::Long(number)) => Value::String(number.to_string()),
                (Made::Boolean, Value::String(text)) => {
                    Value::Boolean(text.parse().map_err(|_| Fails)?)
                }
                other => panic!("{other:?}"),
            };
            Ok(())
        })?,
        Part::Default(way, default) => model.each(&model.ty, &mut value, way, &mut |value| {
            *value = match is_null(value) {
                true => default.clone(),
                false => value.inner().clone(),
            };
            Ok(())
        })?,
        Part::Set(way, new) => model.each(&model.ty, &mut value, way, &mut |value| {
            *value = new.clone();
            Ok(())
        })?,
        Part::Table(way, otherwise, nullable) => {
            model.each(&model.ty, &mut value, way, &mut |value| {
                let mapped = match value.inner() {
                    Value::Null => None,
                    Value::String(text) => match (text.as_str(), otherwise) {
                        ("", _) => Some("empty".to_owned()),
                        ("***", _) => Some("masked".to_owned()),
                        (_, Otherwise::Keep) => Some(text.clone()),
                        (_, Otherwise::Null) => None,
                        _ => return Err(Fails),
                    },
                    other => panic!("{other:?}"),
                };
                *value = match (mapped, nullable) {
                    (None, _) => Value::Union(0, Box::new(Value::Null)),
                    (Some(text), true) => Value::Union(1, Box::new(Value::String(text))),
                    (Some(text), false) => Value::String(text),
                };
                Ok(())
            })?;
        }
        Part::Filter(way, null) => {
            let found = model.get(&value, way).expect("it is always there");
            if is_null(&found) != *null {
                return Ok(Vec::new());
            }
        }
        Part::Explode(way) => {
            let found = model.get(&value, way).expect("it is always there");
            let Value::Array(items) = found.inner().clone() else {
                return Ok(Vec::new());
            };
            let one = |item: Value| {
                let mut copy = value.clone();
                let done = model.each(&model.ty, &mut copy, way, &mut |value| {
                    *value = item.clone();
                    Ok(())
                });
                done.expect("nothing fails");
                copy
            };
            return Ok(items.into_iter().map(one).collect());
        }
    }
    Ok(vec![value])
}

/// The names of the model's type are those of the promised one.
fn same_names(model: &Model<'_>, ty: &Ty, schema: &Schema, node: usize, depth: usize) {
    if depth == 0 {
        return;
    }
    match (model.expand(ty), &schema.node(node).kind) {
        (Ty::Record(fields), Kind::Record(record)) => {
            let promised: Vec<&str> = record.fields.iter().map(|f| f.name.as_str()).collect();
            let expected: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(promised, expected);
            for ((_, ty), field) in fields.iter().zip(&record.fields) {
                same_names(model, ty, schema, field.node, depth - 1);
            }
        }
        (Ty::Array(ty), Kind::Array(inner)) | (Ty::Map(ty), Kind::Map(inner)) => {
            same_names(model, &ty, schema, *inner, depth - 1);
        }
        (Ty::Union(types), Kind::Union(branches)) => {
            assert_eq!(types.len(), branches.len());
            for (ty, branch) in types.iter().zip(branches) {
                same_names(model, ty, schema, *branch, depth - 1);
            }
        }
        _ => {}
    }
}

const SHAPE: Shape = Shape {
    logical: true,
    wide_unions: true,
};

fn bytes_of(schema: &Schema, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(schema, value, &mut bytes).expect("a value of its type");
    bytes
}

fn arm(output: &Schema, resolution: Resolution) -> Arm<'_> {
    Arm {
        when: None,
        sink: 0,
        schema: output,
        resolution,
    }
}

/// What is compared of an outcome: the outputs, or the start of the error.
fn outcome(
    transform: &Transform,
    contract: &Schema,
    bytes: &[u8],
    sink: &Schema,
) -> Result<Vec<Vec<u8>>, RecordError> {
    let emitted = match testing::run(transform, contract, bytes, &Answers::new())? {
        super::super::Progress::Done(emitted) => vec![emitted],
        super::super::Progress::Exploded(emitted) => emitted,
        super::super::Progress::Filtered => Vec::new(),
        super::super::Progress::Ask(questions) => panic!("{questions:?}"),
    };
    Ok(emitted
        .iter()
        .map(|one| {
            let value = decode(sink, &one.value, &Limits::default());
            bytes_of(sink, &value.expect("of the promised type"))
        })
        .collect())
}

/// Takes null out of some unions, which may leave a union of one type.
fn fewer_nulls(json: &mut Json, rng: &mut StdRng) {
    match json {
        Json::Array(parts) => {
            // A record in itself needs the way out.
            let named = |part: &Json| part.as_str().is_some_and(|name| name.contains('.'));
            let is_union = parts.iter().any(|part| *part == "null");
            if is_union && parts.len() > 1 && !parts.iter().any(named) && rng.random_bool(0.3) {
                parts.retain(|part| *part != "null");
            }
            parts.iter_mut().for_each(|part| fewer_nulls(part, rng));
        }
        Json::Object(object) => {
            let inside = object.values_mut();
            inside.for_each(|part| fewer_nulls(part, rng));
        }
        _ => {}
    }
}

/// Steps without the places.
fn told(steps: &[Step]) -> String {
    let text = format!("{steps:?}");
    let place = format!(", place: {:?}", place());
    text.replace(&place, "").replace("Placed { value: ", "(")
}

fn check(seed: u64) {
    let mut generator = Generator::new(seed, SHAPE);
    let mut json: Json = serde_json::from_str(&generator.schema()).expect("JSON");
    fewer_nulls(&mut json, &mut StdRng::seed_from_u64(seed));
    let schema = Schema::parse(&json.to_string(), &[]).expect("valid");
    let case = draw(seed, &schema);
    let said = || format!("seed {seed}: {}\n{}", told(&case.steps), schema.to_json());
    let mut builder = Builder::new(&schema, Secrets::default());
    builder.rules_here();
    if let Err(faults) = builder.steps(&case.steps, &schemas) {
        panic!("{}: {faults:#?}", said());
    }
    let output = builder.output();
    let model = Model {
        contract: &schema,
        ty: case.ty.clone(),
    };
    same_names(&model, &model.ty, &output, output.root, 6);
    // A sink that is another version of the type, if that has a text.
    let evolved = Evolution::new(seed).evolve(&output.to_json().to_string());
    let sink = Schema::parse(&evolved, &[]).ok().and_then(|sink| {
        let resolution = check_sink(&builder, &sink, &place(), "sink").ok()?;
        Some((sink, resolution))
    });
    let itself = Resolution::compile(&output, &output).expect("a type is itself");
    let transform = builder.finish(&[arm(&output, itself)]).expect("finishes");
    let to_sink = sink.map(|(sink, resolution)| {
        let mut builder = Builder::new(&schema, Secrets::default());
        builder.rules_here();
        builder.steps(&case.steps, &schemas).expect("as above");
        let arms = [arm(&sink, resolution.clone())];
        let transform = builder.finish(&arms).expect("finishes");
        (sink, resolution, transform)
    });
    for nth in 0..3 {
        let value = generator.value(&schema, schema.root, 4);
        let mut bytes = Vec::new();
        match nth {
            0 => sized_blocks(&schema, schema.root, &value, &mut bytes),
            _ => bytes = bytes_of(&schema, &value),
        }
        let mut expected = Vec::new();
        let failed = case.expect(0, value, &mut expected);
        let found = outcome(&transform, &schema, &bytes, &output);
        match (&found, &failed) {
            (Err(error), _) if error.message.contains(" is outside of ") => continue,
            (Err(error), Err(step)) => {
                let label = format!("step {step} (");
                assert!(
                    error.message.starts_with(&label),
                    "{}: {error} {step}",
                    said()
                );
                continue;
            }
            (Ok(found), Ok(())) => {
                let expected: Vec<_> = expected.iter().map(|v| bytes_of(&output, v)).collect();
                assert_eq!(*found, expected, "{}", said());
            }
            _ => panic!("{}: {found:?} {failed:?}", said()),
        }
        let Some((sink, resolution, transform)) = &to_sink else {
            continue;
        };
        let resolved: Result<Vec<Value>, RecordError> = expected
            .into_iter()
            .map(|value| resolution.apply(value))
            .collect();
        match (outcome(transform, &schema, &bytes, sink), resolved) {
            (Ok(found), Ok(expected)) => {
                let expected: Vec<_> = expected.iter().map(|v| bytes_of(sink, v)).collect();
                assert_eq!(found, expected, "{}", said());
            }
            (Err(_), Err(_)) => {}
            (found, expected) => panic!("{}: {found:?} {expected:?}", said()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(7_000))]

    /// Three events a case.
    #[test]
    fn the_flow_does_what_the_model_does(seed: u64) {
        check(seed);
    }
}
