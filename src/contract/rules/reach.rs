//! The way from an event to the values that a rule is about, found once: where the first of it lies, and the steps from
//! there through records, unions, arrays and maps. Input: an event. Output: each value, with the trail that leads to it.

use crate::contract::path::Trail;
use crate::contract::plan::ABSENT;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::view::{self, Elements};
use crate::expr::lean::field::Field;
use crate::expr::path::{Segment, peel};
use crate::expr::scope::Event;
use crate::expr::value::read;
use crate::expr::{Cx, Place, Val};

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Field(usize, String),
    Elements,
    Values,
    /// Into this branch of a union of several types.
    Branch(usize),
}

impl Step {
    pub(super) fn of(segment: &Segment) -> Step {
        match segment {
            Segment::Field(position, name) => Step::Field(*position, name.clone()),
            Segment::Elements => Step::Elements,
            Segment::Values => Step::Values,
        }
    }
}

/// The way to values.
#[derive(Debug)]
pub(super) struct Reach {
    /// As written, or as `items[].sku`.
    pub(super) text: String,
    place: Place,
    /// The type at `place`.
    node: NodeId,
    /// The names of the fields that lead to `place`.
    above: Vec<String>,
    steps: Vec<Step>,
}

/// What is at the end of the way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Value(Val<'a>),
    /// A record above it is null.
    Missing,
}

/// Looks at what was found: what is wrong with it, if anything.
pub(super) type Look<'l, 'a> = dyn FnMut(&mut Cx<'a>, Found<'a>) -> Option<String> + 'l;

impl Reach {
    /// `walked`: step by step from the first field on, so that the trail ends where a null is.
    pub(super) fn new(event: &dyn Event, text: &str, steps: Vec<Step>, walked: bool) -> Reach {
        let fields = steps.iter().map_while(|step| match step {
            Step::Field(position, _) => Some(*position),
            _ => None,
        });
        let mut positions: Vec<usize> = fields.collect();
        if walked {
            positions.truncate(1);
        }
        let located = event.locate(&positions);
        let schema = event.schema();
        let mut node = event.root();
        for position in &positions[..located.depth] {
            if let Kind::Record(record) = &schema.node(peel(schema, node).node).kind {
                node = record.fields[*position].node;
            }
        }
        let mut steps = steps;
        let rest = steps.split_off(located.depth);
        let name = |step| match step {
            Step::Field(_, name) => name,
            _ => unreachable!("only fields are located"),
        };
        Reach {
            text: text.to_owned(),
            place: located.place,
            node,
            above: steps.into_iter().map(name).collect(),
            steps: rest,
        }
    }

    /// The field that the way is, where it lies at a mark.
    pub(super) fn near(&self, schema: &Schema) -> Option<Field> {
        match (self.place, self.steps.as_slice()) {
            (Place::Mark(mark), []) => Field::of(schema, mark, self.node),
            _ => None,
        }
    }

    /// The path to where a walk has ended, from the event's top. The trail of a walk begins where the way does, so that a
    /// field that lies at a mark needs none.
    pub(super) fn path<'s>(&'s self, walked: &Trail<'s>) -> String {
        let mut trail = Trail::default();
        self.above.iter().for_each(|name| trail.push_field(name));
        trail.append(walked);
        trail.render()
    }

    /// Shows each value to `look`, until something is wrong: the trail then leads there.
    pub(super) fn visit<'s, 'a>(
        &'s self,
        cx: &mut Cx<'a>,
        trail: &mut Trail<'s>,
        look: &mut Look<'_, 'a>,
    ) -> Option<String> {
        let start = match self.place {
            Place::Register(register) => match cx.register(register) {
                Some(value) => value,
                None => return Some(view::Broken.to_string()),
            },
            Place::Mark(mark) => match cx.marks.get(mark as usize) {
                Some(&ABSENT) => return look(cx, Found::Missing),
                Some(at) => match read(cx.schema, self.node, cx.bytes, *at as usize) {
                    Ok((value, _)) => value,
                    Err(why) => return Some(why),
                },
                None => return Some(view::Broken.to_string()),
            },
        };
        walk(&self.steps, start, cx, trail, look)
    }
}

fn walk<'s, 'a>(
    steps: &'s [Step],
    value: Val<'a>,
    cx: &mut Cx<'a>,
    trail: &mut Trail<'s>,
    look: &mut Look<'_, 'a>,
) -> Option<String> {
    let Some((step, rest)) = steps.split_first() else {
        return look(cx, Found::Value(value));
    };
    let broken = |_| view::Broken.to_string();
    match (step, value) {
        (Step::Field(position, name), Val::Avro(node, bytes)) => {
            let field = match field(cx.schema, node, *position, bytes) {
                Ok(field) => field,
                Err(why) => return Some(why),
            };
            trail.push_field(name);
            let wrong = walk(rest, field, cx, trail, look);
            if wrong.is_none() {
                trail.pop();
            }
            wrong
        }
        (Step::Branch(wanted), Val::Avro(node, bytes)) => {
            let Kind::Union(branches) = &cx.schema.node(node).kind else {
                return None;
            };
            let (branch, at) = match view::index(bytes, 0).map_err(broken) {
                Ok(found) => found,
                Err(why) => return Some(why),
            };
            if branch != *wanted {
                return None;
            }
            match read(cx.schema, branches[branch], bytes, at) {
                Ok((value, _)) => walk(rest, value, cx, trail, look),
                Err(why) => Some(why),
            }
        }
        (Step::Elements | Step::Values, Val::Avro(node, bytes)) => {
            let schema = cx.schema;
            let mut elements = match Elements::new(schema, node, bytes, 0).map_err(broken) {
                Ok(elements) => elements,
                Err(why) => return Some(why),
            };
            let mut index = 0;
            loop {
                let element = match elements.next().map_err(broken) {
                    Ok(Some(element)) => element,
                    Ok(None) => return None,
                    Err(why) => return Some(why),
                };
                let value = match read(schema, elements.node(), bytes, element.start) {
                    Ok((value, _)) => value,
                    Err(why) => return Some(why),
                };
                trail.push_index(index);
                let wrong = walk(rest, value, cx, trail, look);
                if wrong.is_some() {
                    return wrong;
                }
                trail.pop();
                index += 1;
            }
        }
        (Step::Elements, Val::List(items)) => items.iter().enumerate().find_map(|(index, item)| {
            trail.push_index(index);
            let wrong = walk(rest, *item, cx, trail, look);
            if wrong.is_none() {
                trail.pop();
            }
            wrong
        }),
        (Step::Values, Val::Map(entries)) => {
            entries.iter().enumerate().find_map(|(index, (_, item))| {
                trail.push_index(index);
                let wrong = walk(rest, *item, cx, trail, look);
                if wrong.is_none() {
                    trail.pop();
                }
                wrong
            })
        }
        // A null on the way: below a record a field is missing, below a collection there is nothing.
        (Step::Field(..), _) if rest.iter().all(|step| matches!(step, Step::Field(..))) => {
            look(cx, Found::Missing)
        }
        _ => None,
    }
}

fn field<'a>(
    schema: &Schema,
    node: NodeId,
    position: usize,
    bytes: &'a [u8],
) -> Result<Val<'a>, String> {
    let broken = |error: view::Broken| error.to_string();
    let at = view::field(schema, node, position, bytes, 0).map_err(broken)?;
    let declared = view::field_type(schema, node, position).map_err(broken)?;
    read(schema, declared, bytes, at).map(|(value, _)| value)
}
