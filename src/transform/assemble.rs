//! Out of which pieces a value is put together: a layout and a type become pieces, and what lies side by side in the
//! contract's bytes is one run. What is done with them is in `append`.

use std::collections::HashMap;
use std::sync::Arc;

use super::layout::{Base, Layout};
use super::shape;
use crate::contract::encode::encode_node;
use crate::contract::plan::{Plan, copies};
use crate::contract::resolve::{ActionId, Fields, Resolution};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::expr::value::TextIn;

/// A place between two fields of the contract's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Start,
    Mark(u32),
    End,
}

/// A part of the output.
#[derive(Debug)]
pub(super) enum Piece {
    /// A run of the contract's bytes.
    Run(Bound, Bound),
    /// Fields of a record inside a register: `record` is found at `positions` below the value, then its fields `from`
    /// to `to` (exclusive) are taken.
    Fields {
        register: u32,
        positions: Vec<usize>,
        from: usize,
        to: usize,
    },
    /// The value of a register.
    Value {
        register: u32,
        node: NodeId,
        /// How a text is written there, if that is all that it takes.
        text: Option<TextIn>,
    },
    /// Bytes that are always the same.
    Constant(Vec<u8>),
    /// What the sink's schema has in another form.
    Converted {
        pieces: Vec<Piece>,
        plan: Box<Plan>,
        path: String,
    },
}

/// The marks that are wanted of the contract's plan, each once.
#[derive(Debug, Default)]
pub(super) struct Marks {
    paths: Vec<Vec<usize>>,
    known: HashMap<Vec<usize>, u32>,
}

impl Marks {
    pub(super) fn of(&mut self, path: &[usize]) -> u32 {
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        let mark = u32::try_from(self.paths.len()).expect("a schema has fewer than 2³² fields");
        self.paths.push(path.to_vec());
        self.known.insert(path.to_vec(), mark);
        mark
    }

    pub(super) fn into_paths(self) -> Vec<Vec<usize>> {
        self.paths
    }
}

/// A run before its ends have marks: from the first path to before the second (`None`: the end of the event).
type Span = (Vec<usize>, Option<Vec<usize>>);

enum Draft {
    Span(Span),
    Piece(Piece),
}

/// What is known while pieces are made.
pub(super) struct Assembler<'a> {
    pub(super) schema: &'a Schema,
    /// The contract's own top node: what positions of [`Base::Contract`] are about.
    pub(super) contract: NodeId,
    pub(super) marks: &'a mut Marks,
}

/// How the parts become those of another schema.
pub(super) struct Target<'a> {
    pub(super) schema: &'a Schema,
    pub(super) resolution: &'a Resolution,
}

impl Assembler<'_> {
    /// The pieces of a value of `node`, in that type.
    pub(super) fn same(&mut self, layout: &Layout, node: NodeId) -> Vec<Piece> {
        let mut drafts = Vec::new();
        self.parts(layout, node, &mut drafts);
        self.joined(drafts)
    }

    fn parts(&mut self, layout: &Layout, node: NodeId, out: &mut Vec<Draft>) {
        match (layout, &self.schema.node(node).kind) {
            (Layout::Record(parts), Kind::Record(record)) => {
                for (part, field) in parts.iter().zip(&record.fields) {
                    self.parts(part, field.node, out);
                }
            }
            (Layout::Whole(base, positions), _) => out.push(self.whole(*base, positions, node)),
            (Layout::Record(_), _) => unreachable!("only a record is taken apart"),
        }
    }

    /// The pieces of a value of `node` in the sink's schema.
    pub(super) fn resolved(
        &mut self,
        layout: &Layout,
        node: NodeId,
        target: &Target<'_>,
    ) -> Vec<Piece> {
        let mut drafts = Vec::new();
        let root = (target.schema.root, target.resolution.root());
        self.into(layout, node, target, root, "", &mut drafts);
        self.joined(drafts)
    }

    fn into(
        &mut self,
        layout: &Layout,
        node: NodeId,
        target: &Target<'_>,
        (reader, action): (NodeId, ActionId),
        path: &str,
        out: &mut Vec<Draft>,
    ) {
        let copied = copies(self.schema, target.resolution, node, action);
        let (parts, record, fields) = match (layout, &self.schema.node(node).kind) {
            _ if copied => return self.parts(layout, node, out),
            (Layout::Record(parts), Kind::Record(record)) => match target.resolution.fields(action)
            {
                Some(fields) => (parts, record, fields),
                None => return self.converted(layout, node, target, (reader, action), path, out),
            },
            _ => return self.converted(layout, node, target, (reader, action), path, out),
        };
        let Kind::Record(wanted) = &target.schema.node(reader).kind else {
            return self.converted(layout, node, target, (reader, action), path, out);
        };
        let Fields { fields, defaults } = fields;
        for (position, field) in wanted.fields.iter().enumerate() {
            let below = match path {
                "" => field.name.clone(),
                path => format!("{path}.{}", field.name),
            };
            let from = fields.iter().enumerate().find_map(|(own, (_, to))| {
                to.filter(|(to, _)| *to == position)
                    .map(|(_, action)| (own, action))
            });
            if let Some((own, action)) = from {
                let way = (field.node, action);
                self.into(
                    &parts[own],
                    record.fields[own].node,
                    target,
                    way,
                    &below,
                    out,
                );
            } else if let Some((_, value)) = defaults.iter().find(|(at, _)| *at == position) {
                let mut bytes = Vec::new();
                encode_node(target.schema, field.node, value, &mut bytes)
                    .expect("a default was read as a value of its type");
                out.push(Draft::Piece(Piece::Constant(bytes)));
            } else {
                unreachable!("a resolved record has every field of the reader");
            }
        }
    }

    fn converted(
        &mut self,
        layout: &Layout,
        node: NodeId,
        target: &Target<'_>,
        (reader, action): (NodeId, ActionId),
        path: &str,
        out: &mut Vec<Draft>,
    ) {
        let pieces = self.same(layout, node);
        let writer = shape::extract(self.schema, node);
        let mut wanted = target.schema.clone();
        wanted.root = reader;
        let plan = Plan::of(Arc::new(writer), &wanted, target.resolution.at(action), &[]);
        out.push(Draft::Piece(Piece::Converted {
            pieces,
            plan: Box::new(plan),
            path: path.to_owned(),
        }));
    }

    fn whole(&self, base: Base, positions: &[usize], node: NodeId) -> Draft {
        match (base, positions.split_last()) {
            (Base::Contract, _) => Draft::Span(self.span(positions)),
            (Base::Register(register), None) => Draft::Piece(Piece::Value {
                register,
                node,
                text: TextIn::of(self.schema, node),
            }),
            (Base::Register(register), Some((last, above))) => Draft::Piece(Piece::Fields {
                register,
                positions: above.to_vec(),
                from: *last,
                to: last + 1,
            }),
        }
    }

    /// From where to where the value at these positions lies in the contract's bytes.
    fn span(&self, positions: &[usize]) -> Span {
        // A record begins where its first field does.
        let mut start = positions.to_vec();
        while start.last() == Some(&0) {
            start.pop();
        }
        let mut end = positions.to_vec();
        while let Some(last) = end.pop() {
            let mut node = self.contract;
            for position in &end {
                if let Kind::Record(record) = &self.schema.node(node).kind {
                    node = record.fields[*position].node;
                }
            }
            let width = match &self.schema.node(node).kind {
                Kind::Record(record) => record.fields.len(),
                _ => unreachable!("positions lead from record to record"),
            };
            if last + 1 < width {
                end.push(last + 1);
                return (start, Some(end));
            }
        }
        (start, None)
    }

    /// Joins what lies side by side, and gives the ends of what is left their marks.
    fn joined(&mut self, drafts: Vec<Draft>) -> Vec<Piece> {
        let mut joined: Vec<Draft> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match (joined.last_mut(), draft) {
                (Some(Draft::Span((_, end))), Draft::Span((start, next)))
                    if end.as_ref() == Some(&start) =>
                {
                    *end = next;
                }
                (
                    Some(Draft::Piece(Piece::Fields {
                        register,
                        positions,
                        to,
                        ..
                    })),
                    Draft::Piece(Piece::Fields {
                        register: other,
                        positions: beside,
                        from,
                        to: next,
                    }),
                ) if *register == other && *positions == beside && *to == from => *to = next,
                (_, draft) => joined.push(draft),
            }
        }
        let piece = |draft| match draft {
            Draft::Piece(piece) => piece,
            Draft::Span((start, end)) => {
                let start = match start.is_empty() {
                    true => Bound::Start,
                    false => Bound::Mark(self.marks.of(&start)),
                };
                let end = end.map_or(Bound::End, |end| Bound::Mark(self.marks.of(&end)));
                Piece::Run(start, end)
            }
        };
        joined.into_iter().map(piece).collect()
    }
}

/// What registers hold, for errors: the step and the field that they were computed for.
#[derive(Debug, Default)]
pub(super) struct Origins(pub(super) Vec<(String, String)>);
