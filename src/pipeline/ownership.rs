//! Which source may set which field. Input: an event in the contract's bytes, its record and its source topic. Output: the fields that
//! it sets and its source does not own, and the event without those that are to be ignored. Never a value.
//!
//! A field is set unless it is null or has the contract's default: in the contract's bytes, a field that the writer does not have
//! looks like that. So nobody has to tell a source that owns nothing from one that has never heard of the field.

use std::fmt::Write as _;

use crate::config::fault::Fault;
use crate::config::model::{self, OnForeign, Placed, RulesFile, SourceBy};
use crate::config::scalar::closest;
use crate::contract::decode::{Limits, prefix};
use crate::contract::encode::encode_node;
use crate::contract::plan::ABSENT;
use crate::contract::rules::Listed;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;
use crate::contract::{default, view};
use crate::error::{Reason, RecordError};
use crate::expr::path::Path;
use crate::expr::{Cx, Expr, Val};
use crate::headers;
use crate::record::Record;

/// What a source is called in metrics that is none of the configuration's.
const OTHER: &str = "other";

/// Who owns what, and how an event's source is told.
#[derive(Debug)]
pub struct Ownership {
    by: By,
    /// What may be found by `by`, sorted, each with an index into `sources`.
    known: Vec<(Vec<u8>, usize)>,
    sources: Vec<String>,
    fields: Vec<Owned>,
    /// The fields that each source does not own, and behind those of the last one all fields, for whoever is no source.
    foreign: Vec<Vec<usize>>,
}

/// By what the source of an event is told.
#[derive(Debug)]
pub enum By {
    /// Its source topic.
    Topic,
    /// A header.
    Header(String),
    /// A text of the event, and how it is written in the configuration.
    Field(Expr, String),
}

/// A field with an owner.
#[derive(Debug)]
struct Owned {
    path: String,
    positions: Vec<usize>,
    /// Index into the sources.
    owner: usize,
    then: OnForeign,
    /// Where it lies.
    mark: usize,
    node: NodeId,
    /// The branch of its union that is null.
    null: Option<usize>,
    default: Option<Value>,
    /// Its default or null, which stands for a field that is not set, as bytes. None where every event sets it.
    unset: Option<Vec<u8>>,
}

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sender {
    /// Index into the sources.
    Known(usize),
    /// It says something that is no source's name.
    Unknown,
    /// It does not say.
    #[default]
    Untold,
}

/// What an event sets and its source does not own.
#[derive(Debug, Default)]
pub struct Found {
    sender: Sender,
    /// Indices of fields, in the order of the contract.
    fields: Vec<usize>,
}

impl Found {
    /// Nothing.
    pub fn clear(&mut self) {
        self.fields.clear();
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// A field that was set by another source than its owner, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignField {
    /// Its path.
    pub path: String,
    /// Its owner.
    pub owner: String,
    /// What became of it.
    pub then: OnForeign,
}

impl Ownership {
    /// Out of the configuration and the owners in the rules file, with what is likely not meant. `by` is compiled; `mark` has a
    /// field's place marked by the contract's plans, and says which mark that is.
    pub fn compile(
        config: &model::Ownership,
        topics: &[String],
        rules: &RulesFile,
        contract: &Schema,
        by: By,
        mark: &mut dyn FnMut(&[usize]) -> u32,
    ) -> Result<(Ownership, Vec<Fault>), Vec<Fault>> {
        let mut compiling = Compiling {
            config,
            contract,
            faults: Vec::new(),
            warnings: Vec::new(),
            sources: Vec::new(),
        };
        let mut known: Vec<(Vec<u8>, usize)> = Vec::new();
        for named in &config.names {
            let source = compiling.source(&named.name.value);
            known.push((named.found.value.clone().into_bytes(), source));
        }
        if config.by == SourceBy::Topic {
            for topic in topics {
                if !known.iter().any(|(found, _)| found == topic.as_bytes()) {
                    let source = compiling.source(topic);
                    known.push((topic.clone().into_bytes(), source));
                }
            }
        }
        let senders = compiling.sources.len();
        let fields = compiling.fields(rules, senders, mark);
        let Compiling {
            mut faults,
            warnings,
            sources,
            ..
        } = compiling;
        let owners = rules.fields.values().any(|doc| doc.owner.is_some());
        if !owners {
            let message = "no field of the contract has an owner, so nothing is held to one";
            let fault = Fault::new(&config.place, "ownership", message);
            faults.push(fault.hint("fields: { email: { owner: crm } } in contract.rules"));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        // What has no entry is the name itself.
        if config.by != SourceBy::Topic {
            for (index, source) in sources.iter().enumerate() {
                if !known.iter().any(|(found, _)| found == source.as_bytes()) {
                    known.push((source.clone().into_bytes(), index));
                }
            }
        }
        known.sort_unstable();
        let others = |source: usize| {
            let fields = fields.iter().enumerate();
            let others = fields.filter(move |(_, field)| field.owner != source);
            others.map(|(index, _)| index).collect()
        };
        let foreign = (0..=sources.len()).map(others).collect();
        Ok((
            Ownership {
                by,
                known,
                sources,
                fields,
                foreign,
            },
            warnings,
        ))
    }

    /// What is checked, for people. `file` is the rules file.
    pub fn listed(&self, file: &str) -> Vec<Listed> {
        let fields = self.fields.iter().map(|field| Listed {
            rule: format!("owner of {}", field.path),
            origin: file.to_owned(),
            checks: format!("set by {} alone", self.sources[field.owner]),
            does: match field.then {
                OnForeign::Reject => "dead letter".to_owned(),
                then => then.as_str().to_owned(),
            },
        });
        fields.collect()
    }

    /// The fields that the event sets and its source does not own.
    pub fn find<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        topic: &str,
        record: &Record<'_>,
        found: &mut Found,
    ) -> Result<(), RecordError> {
        found.fields.clear();
        found.sender = self.sender(cx, topic, record)?;
        let foreign = match found.sender {
            Sender::Known(source) => self.foreign.get(source),
            Sender::Unknown | Sender::Untold => self.foreign.last(),
        };
        for index in foreign.map_or(&[][..], Vec::as_slice) {
            let field = &self.fields[*index];
            if field.is_set(cx).map_err(broken)? {
                found.fields.push(*index);
            }
        }
        Ok(())
    }

    fn sender<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        topic: &str,
        record: &Record<'_>,
    ) -> Result<Sender, RecordError> {
        let said = match &self.by {
            By::Topic => topic.as_bytes(),
            By::Header(name) => match record.header(name) {
                Some(value) => value,
                None => return Ok(Sender::Untold),
            },
            By::Field(expr, _) => match expr.eval(cx) {
                Ok(Val::Text(text)) => text.as_bytes(),
                Ok(Val::Bytes(bytes)) => bytes,
                Ok(_) => return Ok(Sender::Untold),
                Err(error) => {
                    let message = format!("ownership.by: {}", error.message);
                    return Err(RecordError { message, ..error });
                }
            },
        };
        let known = self
            .known
            .binary_search_by(|(found, _)| found.as_slice().cmp(said));
        Ok(known.map_or(Sender::Unknown, |at| Sender::Known(self.known[at].1)))
    }

    /// Does what is to be done about what was found: an error, or the event without the fields that are ignored. `wanted` are the
    /// fields that `cx.marks` are of. `count` is told field, source and verdict.
    pub fn act<'a>(
        &self,
        cx: &mut Cx<'a>,
        root: NodeId,
        wanted: &[Vec<usize>],
        found: &Found,
        count: &mut dyn FnMut(&str, &str, &str),
    ) -> Result<(), RecordError> {
        let source = match found.sender {
            Sender::Known(source) => &self.sources[source],
            Sender::Unknown | Sender::Untold => OTHER,
        };
        let fields = || found.fields.iter().map(|index| &self.fields[*index]);
        let of = |then: OnForeign| fields().filter(move |field| field.then == then);
        let mut rejected = of(OnForeign::Reject);
        if let Some(first) = rejected.next() {
            for field in of(OnForeign::Reject) {
                count(&field.path, source, field.then.as_str());
            }
            return Err(self.rejected(first, rejected.count(), found.sender));
        }
        for field in fields() {
            count(&field.path, source, field.then.as_str());
        }
        let mut ignored = of(OnForeign::Ignore).peekable();
        if ignored.peek().is_none() {
            return Ok(());
        }
        let mut bytes = bumpalo::collections::Vec::with_capacity_in(cx.bytes.len(), cx.arena);
        let mut copied = 0;
        for field in ignored {
            // In the order of the contract's bytes, and none inside of another.
            let at = cx.marks[field.mark] as usize;
            let end = view::skip(cx.schema, field.node, cx.bytes, at).map_err(broken)?;
            bytes.extend_from_slice(&cx.bytes[copied..at]);
            bytes.extend_from_slice(field.unset.as_deref().unwrap_or_default());
            copied = end;
        }
        bytes.extend_from_slice(&cx.bytes[copied..]);
        let bytes: &'a [u8] = bytes.into_bump_slice();
        let marks = cx.arena.alloc_slice_fill_copy(wanted.len(), ABSENT);
        for (mark, positions) in marks.iter_mut().zip(wanted) {
            let found = view::descend(cx.schema, (root, 0), positions, bytes).map_err(broken)?;
            if let Some((_, at)) = found {
                *mark = u32::try_from(at).map_err(|_| broken(view::Broken))?;
            }
        }
        (cx.bytes, cx.marks) = (bytes, marks);
        cx.registers[0] = Val::Avro(root, bytes);
        Ok(())
    }

    /// The first of the rejected fields, and how many more there are.
    fn rejected(&self, first: &Owned, more: usize, sender: Sender) -> RecordError {
        let from = match (sender, &self.by) {
            (Sender::Known(source), _) => format!("the event is from `{}`", self.sources[source]),
            (Sender::Unknown, By::Header(name)) => {
                format!("the event's header `{name}` names no source that is known here")
            }
            (Sender::Untold, By::Header(name)) => format!("the event has no header `{name}`"),
            (Sender::Unknown, By::Field(_, text)) => {
                format!("`{text}` is no source that is known here")
            }
            (Sender::Untold, By::Field(_, text)) => format!("`{text}` is null"),
            (_, By::Topic) => "the event's topic is none of the sources'".to_owned(),
        };
        let owner = &self.sources[first.owner];
        let mut text = format!("`{owner}` owns this field, and {from}");
        if more > 0 {
            let fields = if more == 1 { "field" } else { "fields" };
            // Writing to a String does not fail.
            let _infallible = write!(text, "; {more} more {fields} of others in it");
        }
        RecordError::new(Reason::ForeignField, text).at(&first.path)
    }

    /// The value of the header [`headers::FOREIGN`], if there is anything that goes on as it is.
    pub fn flagged(&self, found: &Found) -> Option<String> {
        let flagged = found.fields.iter().map(|index| &self.fields[*index]);
        let mut flagged = flagged.filter(|field| field.then == OnForeign::Flag);
        let mut text = headers::cut(&flagged.next()?.path, headers::FOREIGN_LIMIT).to_owned();
        while let Some(field) = flagged.next() {
            // Room for the count of those that are left out.
            if text.len() + field.path.len() + 20 > headers::FOREIGN_LIMIT {
                let _infallible = write!(text, ", +{}", 1 + flagged.count());
                break;
            }
            text.push_str(", ");
            text.push_str(&field.path);
        }
        Some(text)
    }

    /// What was found, for people.
    pub fn told(&self, found: &Found) -> Vec<ForeignField> {
        let fields = found.fields.iter().map(|index| &self.fields[*index]);
        let told = fields.map(|field| ForeignField {
            path: field.path.clone(),
            owner: self.sources[field.owner].clone(),
            then: field.then,
        });
        told.collect()
    }
}

impl Owned {
    #[inline]
    fn is_set(&self, cx: &Cx<'_>) -> Result<bool, view::Broken> {
        let at = match cx.marks.get(self.mark) {
            Some(&ABSENT) => return Ok(false),
            Some(at) => *at as usize,
            None => return Err(view::Broken),
        };
        if let Some(null) = self.null
            && view::index(cx.bytes, at)?.0 == null
        {
            return Ok(false);
        }
        let rest = cx.bytes.get(at..).ok_or(view::Broken)?;
        if let Some(unset) = &self.unset
            && rest.starts_with(unset)
        {
            return Ok(false);
        }
        // A default that is written otherwise: an array in blocks, a number with more bytes than it needs.
        let Some(default) = &self.default else {
            return Ok(true);
        };
        let read = prefix(cx.schema, self.node, rest, &Limits::default());
        Ok(read.map_err(|_| view::Broken)?.0 != *default)
    }
}

fn broken(error: view::Broken) -> RecordError {
    RecordError::new(Reason::UnresolvableValue, error.to_string())
}

/// What fields are compiled with.
struct Compiling<'c> {
    config: &'c model::Ownership,
    contract: &'c Schema,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    sources: Vec<String>,
}

impl Compiling<'_> {
    /// The index of a source.
    fn source(&mut self, name: &str) -> usize {
        let known = self.sources.iter().position(|source| source == name);
        known.unwrap_or_else(|| {
            self.sources.push(name.to_owned());
            self.sources.len() - 1
        })
    }

    /// The fields that have an owner, in the order of the contract. The first `senders` of the sources are those that events are
    /// known to come from.
    fn fields(
        &mut self,
        rules: &RulesFile,
        senders: usize,
        mark: &mut dyn FnMut(&[usize]) -> u32,
    ) -> Vec<Owned> {
        let mut fields: Vec<(Owned, Placed<String>)> = Vec::new();
        for (path, doc) in &rules.fields {
            let Some(owner) = &doc.owner else { continue };
            let written = Placed {
                value: path.clone(),
                place: doc.place.clone(),
            };
            let Some((positions, node)) = self.resolve(&written) else {
                continue;
            };
            if self.config.by == SourceBy::Topic {
                self.is_sender(owner, senders, &written);
            }
            let then = doc.on_foreign.unwrap_or(self.config.then);
            let owner = self.source(owner);
            let Some(field) = self.owned(&written, positions, node, owner, then) else {
                continue;
            };
            if field.unset.is_none() {
                self.always_set(&field, senders, &written);
            }
            fields.push((field, written));
        }
        fields.sort_by(|(one, _), (other, _)| one.positions.cmp(&other.positions));
        let mut out: Vec<Owned> = Vec::with_capacity(fields.len());
        for (mut field, written) in fields {
            let above = out.last();
            let above = above.filter(|above| field.positions.starts_with(&above.positions));
            match above {
                Some(above) if (above.owner, above.then) != (field.owner, field.then) => {
                    let message = format!(
                        "`{}` is a part of `{}`, which has an owner: one verdict on both is all that there can be",
                        field.path, above.path
                    );
                    let fault = Fault::new(&written.place, &written.value, message);
                    self.faults.push(fault.hint(format!(
                        "the same `owner` and `on_foreign`, or owners for the fields of `{}` alone",
                        above.path
                    )));
                }
                // Whoever sets it sets what it is a part of.
                Some(_) => {}
                None => {
                    field.mark = mark(&field.positions) as usize;
                    out.push(field);
                }
            }
        }
        out
    }

    /// The positions of a field, and its type.
    fn resolve(&mut self, written: &Placed<String>) -> Option<(Vec<usize>, NodeId)> {
        let path = match Path::resolve(self.contract, written) {
            Ok(path) => path,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        let positions = path.positions();
        if positions.is_none() {
            let many = written.value.find(['[', '{']).unwrap_or_default();
            let whole = &written.value[..many];
            let message = format!(
                "`{}` is in an array or map: there, ownership is of the whole",
                written.value
            );
            let fault = Fault::new(&written.place, &written.value, message);
            self.faults.push(fault.hint(format!(
                "give `{whole}` the owner, or take `ownership` out of the pipeline"
            )));
        }
        Some((positions?, path.declared))
    }

    fn owned(
        &mut self,
        written: &Placed<String>,
        positions: Vec<usize>,
        node: NodeId,
        owner: usize,
        then: OnForeign,
    ) -> Option<Owned> {
        let schema = self.contract;
        let null = match &schema.node(node).kind {
            Kind::Union(branches) => {
                let is_null = |branch: &NodeId| matches!(schema.node(*branch).kind, Kind::Null);
                branches.iter().position(is_null)
            }
            _ => None,
        };
        let default = default_of(schema, &positions)
            .map(|json| default::value(schema, node, json).map_err(|error| error.message));
        let stands = match (&default, null) {
            (Some(default), _) => Some(default.clone()),
            (None, Some(branch)) => Some(Ok(Value::Union(branch, Box::new(Value::Null)))),
            (None, None) if schema.node(node).kind == Kind::Null => Some(Ok(Value::Null)),
            (None, None) => None,
        };
        let unset = stands.map(|value| {
            let mut bytes = Vec::new();
            let written = encode_node(schema, node, &value?, &mut bytes);
            written.map_err(|error| error.message)?;
            Ok::<_, String>(bytes)
        });
        let unset = match unset.transpose() {
            Ok(unset) => unset,
            Err(why) => {
                let message = format!("the default of `{}` does not fit it: {why}", written.value);
                let fault = Fault::new(&written.place, &written.value, message);
                self.faults.push(fault);
                return None;
            }
        };
        if unset.is_none() && then == OnForeign::Ignore {
            let message = format!(
                "`{}` can be neither null nor has it a default, so there is nothing to ignore it for",
                written.value
            );
            let fault = Fault::new(&written.place, &written.value, message);
            self.faults
                .push(fault.hint("make it nullable, give it a default, or say on_foreign: reject"));
        }
        Some(Owned {
            path: written.value.clone(),
            positions,
            owner,
            then,
            mark: 0,
            node,
            null,
            default: default
                .and_then(Result::ok)
                .filter(|value| !value.is_null()),
            unset,
        })
    }

    /// With topics it is known who sends events: an owner that none of them stands for owns in vain.
    fn is_sender(&mut self, owner: &str, senders: usize, written: &Placed<String>) {
        let known = &self.sources[..senders];
        if known.iter().any(|source| source == owner) {
            return;
        }
        let message = format!(
            "`{}` is owned by `{owner}`, and no source topic stands for that: nobody can set it",
            written.value
        );
        let hint = match closest(owner, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "ownership.names says which topic is whose; the sources are {}",
                known.join(", ")
            ),
        };
        let fault = Fault::new(&written.place, &written.value, message);
        self.warnings.push(fault.hint(hint));
    }

    /// What can be neither null nor the default is set by every event.
    fn always_set(&mut self, field: &Owned, senders: usize, written: &Placed<String>) {
        let others = match self.config.by {
            SourceBy::Topic => (0..senders).any(|sender| sender != field.owner),
            SourceBy::Header(_) | SourceBy::Field(_) => true,
        };
        let what = match field.then {
            OnForeign::Reject => "all events of others are dead letters",
            OnForeign::Flag => "all events of others are flagged",
            OnForeign::Ignore => return,
        };
        if others {
            let message = format!(
                "`{}` can be neither null nor has it a default, so every event sets it: {what}",
                field.path
            );
            let fault = Fault::new(&written.place, &written.value, message);
            self.warnings
                .push(fault.hint("make it nullable or give it a default, if others send events"));
        }
    }
}

/// The default of the field at these positions, as written.
fn default_of<'s>(schema: &'s Schema, positions: &[usize]) -> Option<&'s serde_json::Value> {
    let (last, above) = positions.split_last()?;
    let mut node = schema.root;
    for position in above {
        let peeled = crate::expr::path::peel(schema, node).node;
        let Kind::Record(record) = &schema.node(peeled).kind else {
            return None;
        };
        node = record.fields.get(*position)?.node;
    }
    let peeled = crate::expr::path::peel(schema, node).node;
    let Kind::Record(record) = &schema.node(peeled).kind else {
        return None;
    };
    record.fields.get(*last)?.default.as_ref()
}

#[cfg(test)]
mod tests;
