//! The event while its steps are compiled: its type and where its parts lie after each step, the operations that the
//! steps come down to, and the fields whose positions the contract's plan must mark.
//!
//! A step works on a *frame*: the event, or each record inside of an array, a map or behind a nullable field of it.

use std::cell::RefCell;

use super::assemble::{Assembler, Marks, Origins, Piece};
use super::layout::{Base, Layout};
use super::leaf::Leaf;
use super::run::{Each, Op, Source};
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, NodeId, RecordType, Schema};
use crate::expr::path::{Path, Segment, peel};
use crate::expr::scope::{self, Event, Located, Secrets, Variable};
use crate::expr::{Place, Scope};

/// A record that steps change.
#[derive(Debug)]
pub(super) struct Frame {
    /// Its type; no union.
    pub(super) node: NodeId,
    /// Where its parts lie.
    pub(super) layout: Layout,
    /// What is done to it, in order.
    pub(super) ops: Vec<Op>,
    /// The register of the record itself, inside of a collection.
    pub(super) this: Option<u32>,
}

impl Frame {
    /// What expressions call the element: `this`, inside of a collection.
    pub(super) fn element(&self) -> Vec<Variable> {
        let element = self.this.map(|register| Variable {
            name: "this".to_owned(),
            node: self.node,
            place: Place::Register(register),
        });
        element.into_iter().collect()
    }
}

/// The event on its way through the steps.
#[derive(Debug)]
pub(super) struct Flow {
    /// Every type; nodes are only added.
    pub(super) schema: Schema,
    /// The contract's top node.
    pub(super) contract: NodeId,
    pub(super) top: Frame,
    marks: RefCell<Marks>,
    /// One entry a register.
    origins: RefCell<Origins>,
    /// What has to be put together before the step that is being compiled.
    pending: RefCell<Vec<Op>>,
    /// The event as expressions see it, where that is not as it stands: as it was before a step that is half compiled.
    seen: Option<(NodeId, Layout)>,
    pub(super) secrets: Secrets,
    /// The step being compiled, for errors of its registers.
    pub(super) label: String,
}

/// A field that a step is about.
#[derive(Debug)]
pub(super) struct Target {
    /// The way to the frame: empty for the event itself.
    pub(super) container: Vec<Segment>,
    /// Positions from the frame to the field; empty when the frame is the value itself, as in `tags[]`.
    pub(super) inner: Vec<usize>,
    /// Whether the record of the frame may be null, and is no element.
    pub(super) optional: bool,
    /// The field's type as declared, with its union.
    pub(super) declared: NodeId,
    /// As written.
    pub(super) text: String,
}

impl Target {
    /// The whole way from the event to the field.
    pub(super) fn segments(&self) -> Vec<Segment> {
        let inner = self.inner.iter();
        let inner = inner.map(|position| Segment::Field(*position, String::new()));
        self.container
            .iter()
            .cloned()
            .chain(inner)
            .map(Segment::unnamed)
            .collect()
    }

    /// The container as it was written.
    pub(super) fn container_text(&self) -> &str {
        if self.container.is_empty() {
            return "";
        }
        let mut text = self.text.as_str();
        for _ in &self.inner {
            text = text.rsplit_once('.').map_or("", |(above, _)| above);
        }
        text
    }

    /// Whether the frame is the value itself.
    pub(super) fn is_leaf(&self) -> bool {
        self.inner.is_empty()
    }
}

impl Flow {
    /// The event as the contract leaves it.
    pub(super) fn new(contract: &Schema, secrets: Secrets) -> Flow {
        let flow = Flow {
            schema: contract.clone(),
            contract: contract.root,
            top: Frame {
                node: contract.root,
                layout: Layout::Whole(Base::Contract, Vec::new()),
                ops: Vec::new(),
                this: None,
            },
            marks: RefCell::default(),
            origins: RefCell::default(),
            pending: RefCell::default(),
            seen: None,
            secrets,
            label: String::new(),
        };
        // Register 0 is the whole event in the contract's bytes.
        flow.register("");
        flow
    }

    /// The mark of a field of the contract.
    pub(super) fn mark(&self, positions: &[usize]) -> u32 {
        self.marks.borrow_mut().of(positions)
    }

    /// A new register, for the field at a path.
    pub(super) fn register(&self, path: &str) -> u32 {
        let mut origins = self.origins.borrow_mut();
        origins.0.push((self.label.clone(), path.to_owned()));
        u32::try_from(origins.0.len() - 1).expect("there are fewer than 2³² steps")
    }

    /// The type of the event as it stands.
    pub(super) fn root(&self) -> NodeId {
        self.top.node
    }

    /// The event's type as a schema of its own.
    pub(super) fn output(&self) -> Schema {
        let mut schema = self.schema.clone();
        schema.root = self.top.node;
        schema
    }

    /// Runs `with` on what an expression over the event as it stands can name, with more names.
    pub(super) fn with_scope<R>(
        &self,
        variables: Vec<Variable>,
        with: impl FnOnce(&Scope<'_>) -> R,
    ) -> R {
        scope::with_scope(self, |scope| with(&Scope { variables, ..scope }))
    }

    /// Where the field at these positions lies when an expression needs it.
    fn located(&self, positions: &[usize]) -> Located {
        let (root, layout) = self.seen();
        let (layout, rest) = layout.at(positions);
        match layout {
            Layout::Whole(Base::Contract, above) => {
                let path: Vec<usize> = above.iter().chain(rest).copied().collect();
                Located {
                    place: match path.is_empty() {
                        true => Place::Register(0),
                        false => Place::Mark(self.marks.borrow_mut().of(&path)),
                    },
                    depth: positions.len(),
                }
            }
            Layout::Whole(Base::Register(register), above) if above.is_empty() => Located {
                place: Place::Register(*register),
                depth: positions.len() - rest.len(),
            },
            // A field of what a register holds: the way starts above the path, where nobody can say that it does.
            // In pieces, or inside of what a register holds: put together once.
            layout => {
                let depth = positions.len() - rest.len();
                let node = self.node_at(root, &positions[..depth]);
                let register = self.register("");
                let pieces = self.pieces(layout, node);
                self.pending.borrow_mut().push(Op::Build {
                    pieces,
                    node,
                    into: register,
                });
                Located {
                    place: Place::Register(register),
                    depth,
                }
            }
        }
    }

    /// From here on expressions see the event as it is now, whatever a step makes of it.
    pub(super) fn freeze(&mut self) {
        self.seen = Some((self.top.node, self.top.layout.clone()));
    }

    /// Expressions see the event as it stands.
    pub(super) fn thaw(&mut self) {
        self.seen = None;
    }

    /// The event as expressions see it.
    pub(super) fn seen(&self) -> (NodeId, &Layout) {
        match &self.seen {
            Some((node, layout)) => (*node, layout),
            None => (self.top.node, &self.top.layout),
        }
    }

    /// Runs `with`, and forgets what expressions asked to have put together meanwhile.
    pub(super) fn only_looking<R>(&self, with: impl FnOnce(&Flow) -> R) -> R {
        let pending = self.pending.take();
        let result = with(self);
        self.pending.replace(pending);
        result
    }

    /// How much expressions have asked to have put together so far.
    pub(super) fn asked(&self) -> usize {
        self.pending.borrow().len()
    }

    /// Forgets what was asked since then: nobody needs it.
    pub(super) fn forget(&self, asked: usize) {
        self.pending.borrow_mut().truncate(asked);
    }

    /// What expressions asked to have put together comes before the operations that follow.
    pub(super) fn settle(&mut self) {
        let pending = self.pending.take();
        self.top.ops.extend(pending);
    }

    /// The types, the fields that need marks, and what the registers are about.
    pub(super) fn into_parts(self) -> (Schema, Vec<Vec<usize>>, Origins) {
        let marks = self.marks.into_inner().into_paths();
        (self.schema, marks, self.origins.into_inner())
    }

    pub(super) fn pieces(&self, layout: &Layout, node: NodeId) -> Vec<Piece> {
        Assembler {
            schema: &self.schema,
            contract: self.contract,
            marks: &mut self.marks.borrow_mut(),
        }
        .same(layout, node)
    }

    pub(super) fn assembler<R>(&self, with: impl FnOnce(&mut Assembler<'_>) -> R) -> R {
        with(&mut Assembler {
            schema: &self.schema,
            contract: self.contract,
            marks: &mut self.marks.borrow_mut(),
        })
    }

    /// The declared type at positions below a record.
    pub(super) fn node_at(&self, mut node: NodeId, positions: &[usize]) -> NodeId {
        for position in positions {
            let Kind::Record(record) = &self.schema.node(peel(&self.schema, node).node).kind else {
                unreachable!("positions lead from record to record");
            };
            node = record.fields[*position].node;
        }
        node
    }

    /// The record type of a frame's node, if it is one.
    pub(super) fn record(&self, node: NodeId) -> Option<&RecordType> {
        match &self.schema.node(peel(&self.schema, node).node).kind {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }

    /// Finds a field of the event, and the frame that it belongs to.
    pub(super) fn target(&self, text: &Placed<String>) -> Result<Target, Fault> {
        let path = Path::resolve_from(&self.schema, self.top.node, text)?;
        Ok(self.split(path))
    }

    fn split(&self, path: Path) -> Target {
        let mut node = self.top.node;
        let mut cut = 0;
        let mut optional = false;
        for (index, segment) in path.segments.iter().enumerate() {
            let peeled = peel(&self.schema, node);
            // A frame is no union: what lies behind a nullable record is a frame of its own.
            if index > 0 && self.is_union(node) {
                let field = matches!(path.segments[index - 1], Segment::Field(..));
                optional = field && peeled.nullable;
                cut = index;
            }
            node = match (segment, &self.schema.node(peeled.node).kind) {
                (Segment::Field(position, _), Kind::Record(record)) => {
                    record.fields[*position].node
                }
                (Segment::Elements, Kind::Array(inner)) | (Segment::Values, Kind::Map(inner)) => {
                    cut = index + 1;
                    optional = false;
                    *inner
                }
                _ => unreachable!("the path was resolved"),
            };
        }
        let inner = path.segments[cut..].iter().map(|segment| match segment {
            Segment::Field(position, _) => *position,
            Segment::Elements | Segment::Values => unreachable!("they end the container"),
        });
        Target {
            inner: inner.collect(),
            optional,
            container: path.segments[..cut].to_vec(),
            declared: path.declared,
            text: path.text,
        }
    }

    /// Lets `edit` change the frame at the end of a container, which is spelled as `path`. `leaf` says that the frame is
    /// the value itself, union and all, and not the record behind it.
    pub(super) fn inside(
        &mut self,
        (container, path): (&[Segment], &str),
        leaf: bool,
        edit: impl FnOnce(&mut Flow, &mut Frame),
    ) {
        if container.is_empty() {
            let mut frame = Frame {
                node: self.top.node,
                layout: self.top.layout.clone(),
                ops: Vec::new(),
                this: None,
            };
            edit(self, &mut frame);
            self.settle();
            self.top.ops.append(&mut frame.ops);
            self.top.node = frame.node;
            self.top.layout = frame.layout;
            return;
        }
        let (head, tail) = self.head(container);
        let declared = self.node_at(self.top.node, &head);
        let element = shape::element(&self.schema, declared, &tail);
        let node = match leaf {
            true => element,
            false => peel(&self.schema, element).node,
        };
        let this = self.register("");
        let mut frame = Frame {
            node,
            layout: Layout::register(this),
            ops: Vec::new(),
            this: Some(this),
        };
        edit(self, &mut frame);
        self.settle();
        let retyped = shape::replaced(&mut self.schema, declared, &tail, (node, frame.node));
        if frame.layout != Layout::register(this) || !frame.ops.is_empty() {
            let pieces = self.pieces(&frame.layout, frame.node);
            let mut top = self.take_top();
            let source = self.source(&mut top, &head, declared);
            let into = self.register(path);
            top.ops.push(Op::Each(Box::new(Each {
                source,
                retyped,
                segments: tail,
                leaf,
                this,
                ops: frame.ops,
                pieces,
                into,
            })));
            self.put(&mut top, &head, Layout::register(into));
            self.top = top;
        }
        if retyped != declared {
            self.top.node = shape::retyped_at(&mut self.schema, self.top.node, &head, retyped);
        }
    }

    fn take_top(&mut self) -> Frame {
        let empty = Frame {
            node: self.top.node,
            layout: Layout::register(0),
            ops: Vec::new(),
            this: None,
        };
        std::mem::replace(&mut self.top, empty)
    }

    /// The fields that lead to the first thing that may be null or many, and what follows.
    fn head(&self, container: &[Segment]) -> (Vec<usize>, Vec<Segment>) {
        let mut head = Vec::new();
        let mut node = self.top.node;
        for segment in container {
            let peeled = peel(&self.schema, node);
            let (Segment::Field(position, _), Kind::Record(record)) =
                (segment, &self.schema.node(peeled.node).kind)
            else {
                break;
            };
            if self.is_union(node) && !head.is_empty() {
                break;
            }
            head.push(*position);
            node = record.fields[*position].node;
        }
        let tail = container[head.len()..].to_vec();
        (head, tail)
    }

    /// Where a field of a frame lies, for an operation; what lies in pieces is put together first. `node` is its type.
    pub(super) fn source(&self, frame: &mut Frame, positions: &[usize], node: NodeId) -> Source {
        match frame.layout.below(positions) {
            Layout::Whole(Base::Contract, path) => Source {
                place: match path.is_empty() {
                    true => Place::Register(0),
                    false => Place::Mark(self.marks.borrow_mut().of(&path)),
                },
                node,
                rest: Vec::new(),
            },
            Layout::Whole(Base::Register(register), rest) => Source {
                place: Place::Register(register),
                node,
                rest,
            },
            pieces => {
                let into = self.register("");
                let pieces = self.pieces(&pieces, node);
                frame.ops.push(Op::Build { pieces, node, into });
                Source {
                    place: Place::Register(into),
                    node,
                    rest: Vec::new(),
                }
            }
        }
    }

    /// Makes a field's value of what it is, and gives the field another type.
    pub(super) fn change(&mut self, target: &Target, declared: NodeId, leaf: Leaf) {
        let container = (target.container.as_slice(), target.container_text());
        self.inside(container, target.is_leaf(), |flow, frame| {
            let source = flow.source(frame, &target.inner, target.declared);
            let into = flow.register(&target.text);
            frame.ops.push(Op::Leaf { source, leaf, into });
            flow.put(frame, &target.inner, Layout::register(into));
            frame.node = shape::retyped_at(&mut flow.schema, frame.node, &target.inner, declared);
        });
    }

    /// Gives a field another type, and leaves its value alone: after a fault, so that what follows is checked against the
    /// type that was meant.
    pub(super) fn retype(&mut self, target: &Target, declared: NodeId) {
        let container = (target.container.as_slice(), target.container_text());
        self.inside(container, target.is_leaf(), |flow, frame| {
            frame.node = shape::retyped_at(&mut flow.schema, frame.node, &target.inner, declared);
        });
    }

    /// The frame's type at the end of a container, as it is now.
    pub(super) fn look_inside(&self, container: &[Segment], look: impl FnOnce(&Flow, NodeId)) {
        let declared = shape::element(&self.schema, self.top.node, container);
        look(self, peel(&self.schema, declared).node);
    }

    /// Whether a type is a union, of however few branches: its values begin with the branch.
    pub(super) fn is_union(&self, node: NodeId) -> bool {
        matches!(self.schema.node(node).kind, Kind::Union(_))
    }

    /// Whether no record on the way to a field is nullable, or in another union.
    pub(super) fn is_plain(&self, node: NodeId, positions: &[usize]) -> bool {
        let above = (1..positions.len()).map(|end| self.node_at(node, &positions[..end]));
        above.into_iter().all(|node| !self.is_union(node))
    }

    /// The parts of a record of a frame, taken apart.
    pub(super) fn parts<'f>(
        &self,
        frame: &'f mut Frame,
        positions: &[usize],
    ) -> &'f mut Vec<Layout> {
        let mut at = &mut frame.layout;
        let mut node = frame.node;
        for position in positions {
            let width = self.width(node);
            at = &mut at.fields(width)[*position];
            node = self.node_at(node, &[*position]);
        }
        at.fields(self.width(node))
    }

    fn width(&self, node: NodeId) -> usize {
        match &self.schema.node(node).kind {
            Kind::Record(record) => record.fields.len(),
            _ => unreachable!("a frame's positions lead from record to record"),
        }
    }

    /// Puts a field of a frame somewhere else.
    pub(super) fn put(&self, frame: &mut Frame, positions: &[usize], layout: Layout) {
        match positions.split_last() {
            Some((last, parents)) => self.parts(frame, parents)[*last] = layout,
            None => frame.layout = layout,
        }
    }
}

impl Event for Flow {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn root(&self) -> NodeId {
        self.seen().0
    }

    fn locate(&self, positions: &[usize]) -> Located {
        self.located(positions)
    }

    fn register(&self) -> u32 {
        Flow::register(self, "")
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn has_record(&self) -> bool {
        true
    }
}
