//! Lists and maps: their parts, one by one, whether they lie in the record or were made.

use bumpalo::collections::Vec as ArenaVec;

use super::{Evaluated, Run, Stop, compare, mismatch, stop};
use crate::contract::schema::{Kind, Schema};
use crate::contract::view::{Element, Elements};
use crate::expr::cx::Cx;
use crate::expr::ir::{Each, EachKind};
use crate::expr::value::{self, Val};

/// The elements of a list, or the keys of a map.
pub(super) enum Items<'v> {
    Made(std::slice::Iter<'v, Val<'v>>),
    Keys(std::slice::Iter<'v, (Val<'v>, Val<'v>)>),
    Avro(Elements<'v, 'v>, &'v [u8], /* keys */ bool),
}

impl<'v> Items<'v> {
    pub(super) fn of<'a: 'v>(cx: &Cx<'a>, value: Val<'v>) -> Evaluated<Items<'v>> {
        Ok(match value {
            Val::List(items) => Items::Made(items.iter()),
            Val::Map(entries) => Items::Keys(entries.iter()),
            Val::Avro(node, bytes) => {
                let schema: &'a Schema = cx.schema;
                let keys = matches!(schema.node(node).kind, Kind::Map(_));
                Items::Avro(Elements::new(schema, node, bytes, 0)?, bytes, keys)
            }
            _ => return Err(mismatch()),
        })
    }

    pub(super) fn next<'a: 'v>(&mut self, cx: &mut Cx<'a>) -> Evaluated<Option<Val<'v>>> {
        cx.spend(1)?;
        Ok(match self {
            Items::Made(items) => items.next().copied(),
            Items::Keys(entries) => entries.next().map(|(key, _)| *key),
            Items::Avro(elements, bytes, keys) => {
                let schema: &'a Schema = cx.schema;
                let node = elements.node();
                let Some(element) = elements.next()? else {
                    return Ok(None);
                };
                cx.spend_bytes(element.end - element.start + element.key.len())?;
                Some(match keys {
                    true => key(&element)?,
                    false => {
                        value::read(schema, node, bytes, element.start)
                            .map_err(stop)?
                            .0
                    }
                })
            }
        })
    }
}

fn key<'v>(element: &Element<'v>) -> Evaluated<Val<'v>> {
    Ok(Val::Text(
        std::str::from_utf8(element.key).map_err(|_| mismatch())?,
    ))
}

/// `needle in list`, or in the keys of a map.
pub(super) fn within(cx: &mut Cx<'_>, needle: Val<'_>, list: Val<'_>) -> Evaluated<bool> {
    let mut items = Items::of(cx, list)?;
    while let Some(item) = items.next(cx)? {
        if compare::equal(cx, needle, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Characters of a text, bytes, elements, entries.
pub(super) fn size(cx: &mut Cx<'_>, value: Val<'_>) -> Evaluated<i64> {
    let size = match value {
        Val::Text(text) => {
            cx.spend_bytes(text.len())?;
            text.chars().count()
        }
        Val::Bytes(bytes) => bytes.len(),
        Val::List(items) => items.len(),
        Val::Map(entries) => entries.len(),
        value => {
            let mut items = Items::of(cx, value)?;
            let mut count = 0;
            while items.next(cx)?.is_some() {
                count += 1;
            }
            count
        }
    };
    i64::try_from(size).map_err(|_| mismatch())
}

/// The element with that index.
pub(super) fn element<'v, 'a: 'v>(
    cx: &mut Cx<'a>,
    list: Val<'v>,
    index: i64,
) -> Evaluated<Option<Val<'v>>> {
    let Ok(index) = usize::try_from(index) else {
        return Ok(None);
    };
    if let Val::List(items) = list {
        return Ok(items.get(index).copied());
    }
    let mut items = Items::of(cx, list)?;
    for _ in 0..index {
        if items.next(cx)?.is_none() {
            return Ok(None);
        }
    }
    items.next(cx)
}

/// The value of a key. Of a key that is there twice, which Avro's bytes can say, the last one's.
pub(super) fn value_of<'v, 'a: 'v>(
    cx: &mut Cx<'a>,
    map: Val<'v>,
    wanted: Val<'_>,
) -> Evaluated<Option<Val<'v>>> {
    match map {
        Val::Map(entries) => {
            for (key, value) in entries {
                cx.spend(1)?;
                if compare::equal(cx, *key, wanted)? {
                    return Ok(Some(*value));
                }
            }
            Ok(None)
        }
        Val::Avro(node, bytes) => {
            let Val::Text(wanted) = wanted else {
                return Err(mismatch());
            };
            let schema: &'a Schema = cx.schema;
            let mut elements = Elements::new(schema, node, bytes, 0)?;
            let node = elements.node();
            let mut found = None;
            while let Some(element) = elements.next()? {
                cx.spend(1)?;
                cx.spend_bytes(element.end - element.start + element.key.len())?;
                if element.key == wanted.as_bytes() {
                    found = Some(element.start);
                }
            }
            let Some(start) = found else {
                return Ok(None);
            };
            Ok(Some(
                value::read(schema, node, bytes, start).map_err(stop)?.0,
            ))
        }
        _ => Err(mismatch()),
    }
}

/// A list or map of the record as one that was made.
pub(super) fn made<'a>(cx: &mut Cx<'a>, value: Val<'a>) -> Evaluated<Val<'a>> {
    let Val::Avro(node, bytes) = value else {
        return Ok(value);
    };
    let schema: &'a Schema = cx.schema;
    if !matches!(schema.node(node).kind, Kind::Map(_)) {
        let mut made = ArenaVec::new_in(cx.arena);
        let mut items = Items::of(cx, value)?;
        while let Some(item) = items.next(cx)? {
            cx.spend(1)?;
            made.push(item);
        }
        return Ok(Val::List(made.into_bump_slice()));
    }
    let mut made: ArenaVec<'a, (Val<'a>, Val<'a>)> = ArenaVec::new_in(cx.arena);
    let mut elements = Elements::new(schema, node, bytes, 0)?;
    let node = elements.node();
    while let Some(element) = elements.next()? {
        cx.spend(2)?;
        cx.spend_bytes(element.end - element.start + element.key.len())?;
        let value = value::read(schema, node, bytes, element.start)
            .map_err(stop)?
            .0;
        made.push((key(&element)?, value));
    }
    Ok(Val::Map(made.into_bump_slice()))
}

impl<'a> Run<'_, 'a> {
    /// A comprehension.
    pub(super) fn each(&mut self, each: &Each) -> Evaluated<Val<'a>> {
        let range = self.eval(&each.range)?;
        let mut items = Items::of(self.cx, range)?;
        // What an error in an inner one left behind is cut off.
        self.locals.truncate(each.slot);
        self.locals.push(Val::Null);
        let mut made = ArenaVec::new_in(self.cx.arena);
        let mut found = 0usize;
        let mut absorbed: Option<Box<Stop>> = None;
        while let Some(item) = items.next(self.cx)? {
            self.locals.truncate(each.slot);
            self.locals.push(item);
            if let Some(keep) = &each.keep
                && !self.truth(keep)?
            {
                continue;
            }
            if each.kind == EachKind::Map {
                self.cx.spend(1)?;
                made.push(self.eval(&each.body)?);
                continue;
            }
            let holds = match self.truth(&each.body) {
                Err(error) if each.absorbing && !error.too_long => {
                    absorbed.get_or_insert(error);
                    continue;
                }
                holds => holds?,
            };
            match (each.kind, holds) {
                (EachKind::All, false) => return Ok(Val::Bool(false)),
                (EachKind::Exists, true) => return Ok(Val::Bool(true)),
                (_, true) => found += 1,
                (_, false) => {}
            }
        }
        if let Some(error) = absorbed {
            return Err(error);
        }
        Ok(match each.kind {
            EachKind::Map => Val::List(made.into_bump_slice()),
            EachKind::All => Val::Bool(true),
            EachKind::Exists => Val::Bool(false),
            EachKind::ExistsOne => Val::Bool(found == 1),
        })
    }
}
