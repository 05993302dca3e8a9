//! What a reader cannot read of a writer's data. Input: two schemas. Output: every pair of types at which some record
//! fails or is misread. Follows [`resolve`](crate::contract::resolve) step by step: which fields meet, which branch of
//! a union takes a value; a property test holds the two together. Knows nothing of versions and of diffs.

use std::collections::{HashMap, HashSet};

use super::change::By;
use crate::contract::schema::{EnumType, Kind, Logical, NodeId, RecordType, Schema};

/// Record types inside one another, as in resolution.
const DEPTH_LIMIT: usize = 100;

/// What of a pair of types fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Site {
    /// The types.
    Type,
    /// Their names.
    Name,
    /// Their logical types.
    Logical,
    /// The scales of their decimals.
    Scale,
    /// The precisions of their decimals.
    Precision,
    /// A field of the reader that the writer lacks.
    Field(String),
    /// Symbols of the writer that the reader lacks.
    Symbols,
    /// The sizes of two fixed.
    Size,
    /// Bytes are to be text.
    Text,
    /// Null, which the reader does not have. The writer's node is the null.
    Null,
}

/// One failure. A branch of the writer's union that finds none in the reader's is told with the node of that union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issue {
    pub(super) writer: NodeId,
    pub(super) reader: NodeId,
    pub(super) site: Site,
    pub(super) by: By,
    /// Whether it depends on the value and not only on there being one.
    pub(super) some: bool,
    /// Symbols, for [`Site::Symbols`].
    pub(super) names: Vec<String>,
    /// By the reader's names.
    pub(super) path: String,
}

/// All that fails when `reader` reads data of `writer`.
pub(super) fn issues(writer: &Schema, reader: &Schema) -> Vec<Issue> {
    let mut reading = Reading {
        writer,
        reader,
        issues: Vec::new(),
        known: HashMap::new(),
        depth: 0,
    };
    reading.pair(writer.root, reader.root, "", false);
    let mut seen = HashSet::new();
    let mut issues = reading.issues;
    issues.retain(|i| seen.insert((i.writer, i.reader, i.site.clone())));
    issues
}

/// Whether a value of one type is promoted to another.
pub(super) fn promotes(writer: &Kind, reader: &Kind) -> bool {
    matches!(
        (writer, reader),
        (Kind::Int, Kind::Long | Kind::Float | Kind::Double)
            | (Kind::Long, Kind::Float | Kind::Double)
            | (Kind::Float, Kind::Double)
            | (Kind::String, Kind::Bytes)
            | (Kind::Bytes, Kind::String)
    )
}

pub(super) fn same_type(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// How well two types of one kind go by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    None,
    Unqualified,
    Exact,
}

pub(super) fn name_fit(writer: &Kind, reader: &Kind) -> Fit {
    match (writer.name(), reader.name()) {
        (Some(w), Some(r)) if w.full == r.full || r.aliases.contains(&w.full) => Fit::Exact,
        (Some(w), Some(r)) if w.unqualified() == r.unqualified() => Fit::Unqualified,
        (None, None) => Fit::Exact,
        _ => Fit::None,
    }
}

pub(super) fn is_decimal(logical: Option<Logical>) -> bool {
    matches!(logical, Some(Logical::Decimal { .. }))
}

/// The writer's field that a reader's field takes: by name, else by an alias that no reader field has as its name.
pub(super) fn source(
    from: &RecordType,
    to: &RecordType,
    position: usize,
    taken: &HashSet<usize>,
) -> Option<usize> {
    let field = &to.fields[position];
    from.index.get(&field.name).copied().or_else(|| {
        let free = field.aliases.iter().filter(|a| !to.index.contains_key(*a));
        let mut known = free.filter_map(|alias| from.index.get(alias).copied());
        known.find(|index| !taken.contains(index))
    })
}

struct Reading<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    issues: Vec<Issue>,
    /// Pairs of records met so far, and whether any value can pass. One that is still open counts as fine, which is
    /// what ends recursive types.
    known: HashMap<(NodeId, NodeId), bool>,
    depth: usize,
}

/// Each method answers whether a value can pass at all. What fails for some values only is an issue and passes.
impl Reading<'_> {
    fn fail(&mut self, w: NodeId, r: NodeId, site: Site, some: bool, path: &str) -> bool {
        self.issues.push(Issue {
            writer: w,
            reader: r,
            site,
            by: By::Specification,
            some,
            names: Vec::new(),
            path: path.to_owned(),
        });
        false
    }

    fn misread(&mut self, w: NodeId, r: NodeId, site: Site, some: bool, path: &str) {
        self.fail(w, r, site, some, path);
        if let Some(issue) = self.issues.last_mut() {
            issue.by = By::Meaning;
        }
    }

    /// `branch`: the writer's value is one of several that may come.
    fn pair(&mut self, w: NodeId, r: NodeId, path: &str, branch: bool) -> bool {
        let (from, to) = (self.writer.node(w), self.reader.node(r));
        if !matches!((&from.kind, &to.kind), (Kind::Record(_), Kind::Record(_))) {
            return self.plain(w, r, path, branch);
        }
        if let Some(known) = self.known.get(&(w, r)) {
            return *known;
        }
        if self.depth >= DEPTH_LIMIT {
            return self.fail(w, r, Site::Type, branch, path);
        }
        self.known.insert((w, r), true);
        self.depth += 1;
        let passes = self.plain(w, r, path, branch);
        self.depth -= 1;
        self.known.insert((w, r), passes);
        passes
    }

    fn plain(&mut self, w: NodeId, r: NodeId, path: &str, branch: bool) -> bool {
        let (writer, reader) = (self.writer, self.reader);
        let (from, to) = (writer.node(w), reader.node(r));
        if let Kind::Union(branches) = &from.kind {
            let several = branches.len() > 1;
            let mut any = false;
            for inner in branches {
                any |= self.pair(*inner, r, path, several);
            }
            return any;
        }
        if let Kind::Union(branches) = &to.kind {
            return self.reader_union(w, branches, r, path, branch);
        }
        self.logical(w, r, path);
        if promotes(&from.kind, &to.kind) {
            if (&from.kind, &to.kind) == (&Kind::Bytes, &Kind::String) {
                self.misread(w, r, Site::Text, true, path);
            }
            return true;
        }
        if !same_type(&from.kind, &to.kind) {
            return self.mismatch(w, r, path, branch);
        }
        if name_fit(&from.kind, &to.kind) == Fit::None {
            return self.fail(w, r, Site::Name, branch, path);
        }
        match (&from.kind, &to.kind) {
            (Kind::Array(from), Kind::Array(to)) => {
                self.pair(*from, *to, &format!("{path}[]"), false)
            }
            (Kind::Map(from), Kind::Map(to)) => {
                self.pair(*from, *to, &format!("{path}{{}}"), false)
            }
            (Kind::Record(from), Kind::Record(to)) => self.record((w, from), (r, to), path, branch),
            (Kind::Enum(from), Kind::Enum(to)) => self.enumeration((w, from), (r, to), path),
            (Kind::Fixed(from), Kind::Fixed(to)) if from.size != to.size => {
                self.fail(w, r, Site::Size, branch, path)
            }
            _ => true,
        }
    }

    fn mismatch(&mut self, w: NodeId, r: NodeId, path: &str, branch: bool) -> bool {
        let site = match self.writer.node(w).kind {
            Kind::Null => Site::Null,
            _ => Site::Type,
        };
        self.fail(w, r, site, branch, path)
    }

    fn logical(&mut self, w: NodeId, r: NodeId, path: &str) {
        let (from, to) = (self.writer.node(w), self.reader.node(r));
        let promoted = promotes(&from.kind, &to.kind);
        if !promoted && !same_type(&from.kind, &to.kind) {
            return;
        }
        match (from.logical, to.logical) {
            (
                Some(Logical::Decimal {
                    precision: has,
                    scale: a,
                }),
                Some(Logical::Decimal {
                    precision: takes,
                    scale: b,
                }),
            ) => {
                // The specification has two decimals match when both are equal. A wider reader takes every value all
                // the same, so only a narrower one counts.
                if a != b {
                    self.fail(w, r, Site::Scale, false, path);
                } else if has > takes {
                    self.fail(w, r, Site::Precision, true, path);
                }
            }
            (Some(a), Some(b)) if a != b => self.misread(w, r, Site::Logical, false, path),
            // Text and an unscaled number share nothing but their bytes.
            (a, b) if promoted && is_decimal(a) != is_decimal(b) => {
                self.misread(w, r, Site::Logical, false, path);
            }
            // Bytes that are no number so far; those of too many digits are refused.
            (None, Some(Logical::Decimal { .. })) if !promoted => {
                self.misread(w, r, Site::Logical, true, path);
            }
            _ => {}
        }
    }

    fn record(
        &mut self,
        (w, from): (NodeId, &RecordType),
        (r, to): (NodeId, &RecordType),
        path: &str,
        branch: bool,
    ) -> bool {
        let mut taken = HashSet::new();
        let mut passes = true;
        for (position, field) in to.fields.iter().enumerate() {
            let at = join(path, &field.name);
            match source(from, to, position, &taken) {
                Some(index) => {
                    taken.insert(index);
                    passes &= self.pair(from.fields[index].node, field.node, &at, false);
                }
                None if field.default.is_some() => {}
                None => passes = self.fail(w, r, Site::Field(field.name.clone()), branch, &at),
            }
        }
        passes
    }

    fn enumeration(
        &mut self,
        (w, from): (NodeId, &EnumType),
        (r, to): (NodeId, &EnumType),
        path: &str,
    ) -> bool {
        let known: HashSet<&String> = to.symbols.iter().collect();
        let lacks = |symbol: &&String| !known.contains(symbol) && to.default.is_none();
        let lost: Vec<String> = from.symbols.iter().filter(lacks).cloned().collect();
        if lost.is_empty() {
            return true;
        }
        let some = lost.len() < from.symbols.len();
        self.fail(w, r, Site::Symbols, some, path);
        if let Some(issue) = self.issues.last_mut() {
            issue.names = lost;
        }
        some
    }

    fn reader_union(
        &mut self,
        w: NodeId,
        branches: &[NodeId],
        r: NodeId,
        path: &str,
        branch: bool,
    ) -> bool {
        let (writer, reader) = (self.writer, self.reader);
        let from = &writer.node(w).kind;
        let kind = |id: &NodeId| &reader.node(*id).kind;
        let fits = |wanted: Fit| {
            move |id: &&NodeId| same_type(from, kind(id)) && name_fit(from, kind(id)) == wanted
        };
        if let Some(exact) = branches.iter().find(fits(Fit::Exact)) {
            return self.pair(w, *exact, path, branch);
        }
        let mut first = None;
        for candidate in branches.iter().filter(fits(Fit::Unqualified)) {
            let (issues, known) = (self.issues.len(), self.known.clone());
            if self.pair(w, *candidate, path, branch) {
                return true;
            }
            // Not the branch that is taken, so what fails in it does not count unless no other is.
            let failed = self.issues.split_off(issues);
            self.known = known;
            first = first.or(Some(failed));
        }
        if let Some(failed) = first {
            self.issues.extend(failed);
            return false;
        }
        match branches.iter().find(|id| promotes(from, kind(id))) {
            Some(promoted) => self.pair(w, *promoted, path, branch),
            None => self.mismatch(w, r, path, branch),
        }
    }
}

pub(super) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}
