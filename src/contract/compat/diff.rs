//! The walk over two schemas for a person: which parts belong together, and what became of each. Input: two schemas.
//! Output: drafts of changes, each with the failures of resolution that it would be the cause of. Whether those come
//! about is for [`reading`](super::reading) to say.

use std::collections::{HashMap, HashSet};

use super::change::{ChangeKind, Direction};
use super::reading::{Fit, Site, join, name_fit, promotes, same_type};
use crate::contract::schema::{EnumType, Field, Kind, Logical, NodeId, RecordType, Schema};

/// A failure by its place: direction, the writer's node, the reader's node, what fails.
pub(super) type Key = (Direction, NodeId, NodeId, Site);

/// A change without its consequences.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) path: String,
    pub(super) kind: ChangeKind,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    /// What it does, told when it breaks nothing.
    pub(super) effect: Option<&'static str>,
    pub(super) owns: Vec<Key>,
}

pub(super) fn drafts(old: &Schema, new: &Schema) -> Vec<Draft> {
    let mut walk = Walk {
        old,
        new,
        drafts: Vec::new(),
        seen: HashMap::new(),
        depth: 0,
    };
    walk.slot(old.root, new.root, "");
    walk.drafts
}

/// Where a type stands: itself, or the union that it is a branch of.
#[derive(Clone, Copy)]
struct Place {
    node: NodeId,
    slot: NodeId,
}

struct Walk<'a> {
    old: &'a Schema,
    new: &'a Schema,
    drafts: Vec<Draft>,
    /// Pairs of named types met so far: whether they differ; nothing while the walk is inside them, so that recursive
    /// types end.
    seen: HashMap<(NodeId, NodeId), Option<bool>>,
    depth: usize,
}

/// Bound on pairs of types inside one another, as on those of resolution.
const DEPTH_LIMIT: usize = 200;

impl<'a> Walk<'a> {
    fn add(&mut self, path: &str, kind: ChangeKind) -> &mut Draft {
        self.drafts.push(Draft {
            path: path.to_owned(),
            kind,
            before: None,
            after: None,
            effect: None,
            owns: Vec::new(),
        });
        self.drafts.last_mut().expect("a draft was just added")
    }

    /// Two types as fields, items or values have them, unions or not.
    fn slot(&mut self, o: NodeId, n: NodeId, path: &str) {
        // Two records that contain themselves at different distances meet in as many pairs as both have types. What is
        // cut here is told by the reading, as unresolved.
        if self.depth >= DEPTH_LIMIT {
            return;
        }
        self.depth += 1;
        self.compare(o, n, path);
        self.depth -= 1;
    }

    fn compare(&mut self, o: NodeId, n: NodeId, path: &str) {
        let (old, new) = (self.old, self.new);
        let (before, after) = (old.node(o), new.node(n));
        let unions = [&before.kind, &after.kind].map(|kind| matches!(kind, Kind::Union(_)));
        if unions == [false, false] {
            return self.types(Place { node: o, slot: o }, Place { node: n, slot: n }, path);
        }
        let (old_null, olds) = branches(old, o);
        let (new_null, news) = branches(new, n);
        let start = self.drafts.len();
        match (old_null, new_null) {
            (None, Some(null)) => {
                let draft = self.add(path, ChangeKind::NullabilityAdded);
                draft.owns = vec![(Direction::Forward, null, o, Site::Null)];
            }
            (Some(null), None) => {
                let draft = self.add(path, ChangeKind::NullabilityRemoved);
                draft.owns = vec![(Direction::Backward, null, n, Site::Null)];
            }
            _ => {}
        }
        let partners = self.partners(&olds, &news);
        let several = olds.len() > 1 || news.len() > 1;
        for (position, branch) in news.iter().enumerate() {
            let at = match several {
                true => format!("{path}<{}>", label(new, *branch)),
                false => path.to_owned(),
            };
            match partners[position] {
                Some(partner) => {
                    let place = |node, slot| Place { node, slot };
                    self.types(place(olds[partner], o), place(*branch, n), &at);
                }
                None => {
                    let draft = self.add(&at, ChangeKind::UnionBranchAdded);
                    draft.after = Some(new.describe(*branch));
                    draft.effect =
                        Some("readers of the old schema read it as another type of the union");
                    let own = |site| (Direction::Forward, *branch, o, site);
                    draft.owns = [Site::Type, Site::Name].map(own).into();
                }
            }
        }
        for (position, branch) in olds.iter().enumerate() {
            if partners.contains(&Some(position)) {
                continue;
            }
            let at = format!("{path}<{}>", label(old, *branch));
            let draft = self.add(&at, ChangeKind::UnionBranchRemoved);
            draft.before = Some(old.describe(*branch));
            draft.effect =
                Some("what was written as it is read as another type of the union from now on");
            let own = |site| (Direction::Backward, *branch, n, site);
            draft.owns = [Site::Type, Site::Name].map(own).into();
        }
        let in_order = partners.windows(2).all(|pair| pair[0] < pair[1])
            && (unions[0] && unions[1])
            && null_position(old, o) == null_position(new, n);
        if self.drafts.len() == start && !in_order {
            let draft = self.add(path, ChangeKind::UnionReordered);
            draft.before = Some(old.describe(o));
            draft.after = Some(new.describe(n));
            draft.effect = Some("branches are found by their type, not by their place");
        }
    }

    /// For each new branch, the old one that it continues.
    fn partners(&self, olds: &[NodeId], news: &[NodeId]) -> Vec<Option<usize>> {
        let kinds =
            |o: usize, n: usize| (&self.old.node(olds[o]).kind, &self.new.node(news[n]).kind);
        let full = |o: usize, n: usize| {
            let (a, b) = kinds(o, n);
            same_type(a, b) && a.name().map(|x| &x.full) == b.name().map(|x| &x.full)
        };
        let fits = |o: usize, n: usize, wanted: Fit| {
            let (a, b) = kinds(o, n);
            same_type(a, b) && (name_fit(a, b) == wanted || name_fit(b, a) == wanted)
        };
        let mut partners = vec![None; news.len()];
        let mut taken = vec![false; olds.len()];
        let tries: [&dyn Fn(usize, usize) -> bool; 3] =
            [&full, &|o, n| fits(o, n, Fit::Exact), &|o, n| {
                fits(o, n, Fit::Unqualified)
            }];
        for fit in tries {
            for (n, partner) in partners.iter_mut().enumerate() {
                if partner.is_none() {
                    *partner = (0..olds.len()).find(|o| !taken[*o] && fit(*o, n));
                    partner.iter().for_each(|o| taken[*o] = true);
                }
            }
        }
        // One left on each side: the one has become the other, unless they have nothing in common and there are more.
        let left_old: Vec<_> = (0..olds.len()).filter(|o| !taken[*o]).collect();
        let left_new: Vec<_> = (0..news.len()).filter(|n| partners[*n].is_none()).collect();
        if let ([o], [n]) = (left_old.as_slice(), left_new.as_slice()) {
            let (a, b) = kinds(*o, *n);
            let alone = olds.len() == 1 && news.len() == 1;
            if alone || same_type(a, b) || promotes(a, b) || promotes(b, a) {
                partners[*n] = Some(*o);
            }
        }
        partners
    }

    /// Two types, none of them a union.
    fn types(&mut self, o: Place, n: Place, path: &str) {
        let (old, new) = (self.old, self.new);
        let (before, after) = (old.node(o.node), new.node(n.node));
        let (a, b) = (&before.kind, &after.kind);
        if !same_type(a, b) {
            let kind = match (promotes(a, b), promotes(b, a)) {
                (true, _) => ChangeKind::TypePromoted,
                (_, true) => ChangeKind::TypeDemoted,
                _ => ChangeKind::TypeChanged,
            };
            let related = kind != ChangeKind::TypeChanged;
            let say = |schema: &Schema, id: NodeId| match related {
                true => schema.node(id).kind.word().to_owned(),
                false => schema.describe(id),
            };
            let draft = self.add(path, kind);
            draft.before = Some(say(old, o.node));
            draft.after = Some(say(new, n.node));
            draft.effect = promotion_effect(a, b);
            draft.owns = owns(o, n, &[Site::Type, Site::Null, Site::Text]);
            if related {
                self.logical(o, n, path);
            }
            return;
        }
        if a.name().is_some() {
            match self.seen.get(&(o.node, n.node)) {
                Some(Some(true)) => {
                    let text = Some(new.describe(n.node));
                    self.add(path, ChangeKind::DefinitionChanged).after = text;
                    return;
                }
                Some(_) => return,
                None => {}
            }
            self.seen.insert((o.node, n.node), None);
        }
        let start = self.drafts.len();
        self.names(o, n, path);
        self.logical(o, n, path);
        match (a, b) {
            (Kind::Array(from), Kind::Array(to)) => self.slot(*from, *to, &format!("{path}[]")),
            (Kind::Map(from), Kind::Map(to)) => self.slot(*from, *to, &format!("{path}{{}}")),
            (Kind::Record(from), Kind::Record(to)) => self.record((o, from), (n, to), path),
            (Kind::Enum(from), Kind::Enum(to)) => self.enumeration((o, from), (n, to), path),
            (Kind::Fixed(from), Kind::Fixed(to)) if from.size != to.size => {
                let draft = self.add(path, ChangeKind::SizeChanged);
                draft.before = Some(format!("{} bytes", from.size));
                draft.after = Some(format!("{} bytes", to.size));
                draft.owns = owns(o, n, &[Site::Size]);
            }
            _ => {}
        }
        if a.name().is_some() {
            let differs = self.drafts.len() > start;
            self.seen.insert((o.node, n.node), Some(differs));
        }
    }

    fn names(&mut self, o: Place, n: Place, path: &str) {
        let (a, b) = (&self.old.node(o.node).kind, &self.new.node(n.node).kind);
        let (Some(from), Some(to)) = (a.name(), b.name()) else {
            return;
        };
        if from.full != to.full {
            let kind = match from.unqualified() == to.unqualified() {
                true => ChangeKind::NamespaceChanged,
                false => ChangeKind::TypeRenamed,
            };
            let draft = self.add(path, kind);
            draft.before = Some(from.full.clone());
            draft.after = Some(to.full.clone());
            draft.effect = Some(match kind {
                ChangeKind::NamespaceChanged => "types are matched by name without namespace",
                _ => "an alias joins the names",
            });
            draft.owns = owns(o, n, &[Site::Name, Site::Type]);
        } else if from.aliases != to.aliases {
            let draft = self.add(path, ChangeKind::AliasesChanged);
            draft.before = Some(list(&from.aliases));
            draft.after = Some(list(&to.aliases));
        }
        if doc(a) != doc(b) {
            self.add(path, ChangeKind::DocChanged);
        }
    }

    fn logical(&mut self, o: Place, n: Place, path: &str) {
        let (before, after) = (self.old.node(o.node).logical, self.new.node(n.node).logical);
        let mut say = |kind, from: Option<String>, to: Option<String>, site: Site| {
            let draft = self.add(path, kind);
            (draft.before, draft.after) = (from, to);
            draft.owns = owns(o, n, &[site]);
            draft.effect = match kind {
                ChangeKind::LogicalTypeAdded => {
                    Some("the values stay as they are; readers may present them differently")
                }
                ChangeKind::LogicalTypeRemoved => {
                    Some("the values stay as they are, and nothing says what they mean")
                }
                _ => None,
            };
        };
        let word = |logical: Logical| Some(logical.word().to_owned());
        match (before, after) {
            (None, None) => {}
            (None, Some(to)) => say(ChangeKind::LogicalTypeAdded, None, word(to), Site::Logical),
            (Some(from), None) => {
                say(
                    ChangeKind::LogicalTypeRemoved,
                    word(from),
                    None,
                    Site::Logical,
                );
            }
            (
                Some(Logical::Decimal {
                    precision: had,
                    scale: from,
                }),
                Some(Logical::Decimal {
                    precision: has,
                    scale: to,
                }),
            ) => {
                let number = |number: usize| Some(number.to_string());
                if from != to {
                    say(
                        ChangeKind::ScaleChanged,
                        number(from),
                        number(to),
                        Site::Scale,
                    );
                }
                if had != has {
                    say(
                        ChangeKind::PrecisionChanged,
                        number(had),
                        number(has),
                        Site::Precision,
                    );
                }
            }
            (Some(from), Some(to)) if from != to => {
                let kind = match is_time(from) && is_time(to) {
                    true => ChangeKind::UnitChanged,
                    false => ChangeKind::LogicalTypeChanged,
                };
                say(kind, word(from), word(to), Site::Logical);
            }
            _ => {}
        }
    }

    fn record(
        &mut self,
        (o, from): (Place, &'a RecordType),
        (n, to): (Place, &'a RecordType),
        path: &str,
    ) {
        let partners = field_partners(from, to);
        for (field, partner) in to.fields.iter().zip(&partners) {
            let at = join(path, &field.name);
            let Some(earlier) = partner.map(|index| &from.fields[index]) else {
                let kind = match field.default {
                    Some(_) => ChangeKind::FieldAddedWithDefault,
                    None => ChangeKind::FieldAdded,
                };
                let text = with_default(self.new, field);
                let draft = self.add(&at, kind);
                draft.after = Some(text);
                draft.effect = Some("records without it are read with the default");
                draft.owns = vec![missing(Direction::Backward, o, n, &field.name)];
                continue;
            };
            if earlier.name != field.name {
                let draft = self.add(&at, ChangeKind::FieldRenamed);
                draft.before = Some(earlier.name.clone());
                draft.after = Some(field.name.clone());
                draft.owns = vec![
                    missing(Direction::Backward, o, n, &field.name),
                    missing(Direction::Forward, n, o, &earlier.name),
                ];
                draft.effect = Some("an alias joins the names, or a default stands in");
            }
            self.around(earlier, field, &at);
            self.slot(earlier.node, field.node, &at);
        }
        for (index, field) in from.fields.iter().enumerate() {
            if partners.contains(&Some(index)) {
                continue;
            }
            let kind = match field.default {
                Some(_) => ChangeKind::FieldRemovedWithDefault,
                None => ChangeKind::FieldRemoved,
            };
            let text = with_default(self.old, field);
            let draft = self.add(&join(path, &field.name), kind);
            draft.before = Some(text);
            draft.effect = Some("readers of the old schema read the default in its place");
            draft.owns = vec![missing(Direction::Forward, n, o, &field.name)];
        }
        let kept: Vec<_> = partners.iter().flatten().collect();
        if !kept.is_sorted() {
            self.add(path, ChangeKind::FieldsReordered).effect =
                Some("fields are matched by name, not by their place");
        }
    }

    /// What belongs to a field and not to its type.
    fn around(&mut self, from: &Field, to: &Field, path: &str) {
        let json = |default: &Option<serde_json::Value>| default.as_ref().map(ToString::to_string);
        let kind = match (&from.default, &to.default) {
            (None, Some(_)) => Some(ChangeKind::DefaultAdded),
            (Some(_), None) => Some(ChangeKind::DefaultRemoved),
            (Some(a), Some(b)) if a != b => Some(ChangeKind::DefaultChanged),
            _ => None,
        };
        if let Some(kind) = kind {
            let draft = self.add(path, kind);
            (draft.before, draft.after) = (json(&from.default), json(&to.default));
            draft.effect = Some("a default counts only for records without the field");
        }
        // An alias that joins the old name is told as the rename.
        if from.name == to.name && from.aliases != to.aliases {
            let draft = self.add(path, ChangeKind::AliasesChanged);
            draft.before = Some(list(&from.aliases));
            draft.after = Some(list(&to.aliases));
        }
        if from.doc != to.doc {
            self.add(path, ChangeKind::DocChanged);
        }
    }

    fn enumeration(
        &mut self,
        (o, from): (Place, &'a EnumType),
        (n, to): (Place, &'a EnumType),
        path: &str,
    ) {
        let places = |of: &'a EnumType| -> HashMap<&'a str, usize> {
            let symbols = of.symbols.iter().map(String::as_str);
            symbols
                .enumerate()
                .map(|(at, symbol)| (symbol, at))
                .collect()
        };
        let (in_old, in_new) = (places(from), places(to));
        let less = |of: &EnumType, there: &HashMap<&str, usize>| -> Vec<String> {
            let gone = of
                .symbols
                .iter()
                .filter(|s| !there.contains_key(s.as_str()));
            gone.cloned().collect()
        };
        let (added, removed) = (less(to, &in_old), less(from, &in_new));
        let default = |of: &EnumType| of.default.map(|position| of.symbols[position].clone());
        let (old_default, new_default) = (default(from), default(to));
        if !added.is_empty() {
            let draft = self.add(path, ChangeKind::SymbolsAdded);
            draft.after = Some(list(&added));
            draft.owns = vec![(Direction::Forward, n.node, o.node, Site::Symbols)];
            draft.effect = Some("readers of the old schema read its default in their place");
        }
        if !removed.is_empty() {
            let draft = self.add(path, ChangeKind::SymbolsRemoved);
            draft.before = Some(list(&removed));
            draft.owns = vec![(Direction::Backward, o.node, n.node, Site::Symbols)];
            draft.effect = Some("where they were written, the enum's default is read");
        }
        let kept = to
            .symbols
            .iter()
            .filter_map(|symbol| in_old.get(symbol.as_str()));
        let kept: Vec<_> = kept.collect();
        if !kept.is_sorted() {
            self.add(path, ChangeKind::SymbolsReordered).effect =
                Some("symbols are matched by name, not by their place");
        }
        if old_default != new_default {
            let draft = self.add(path, ChangeKind::EnumDefaultChanged);
            (draft.before, draft.after) = (old_default, new_default);
            draft.effect = Some("it counts only for symbols that a reader lacks");
        }
    }
}

/// For each new field, the old one that it continues: by name, else joined by an alias on either side.
fn field_partners(from: &RecordType, to: &RecordType) -> Vec<Option<usize>> {
    let mut partners: Vec<Option<usize>> = (to.fields.iter())
        .map(|field| from.index.get(&field.name).copied())
        .collect();
    let mut taken: HashSet<usize> = partners.iter().flatten().copied().collect();
    for (position, field) in to.fields.iter().enumerate() {
        if partners[position].is_some() {
            continue;
        }
        let joined = |(index, old): (usize, &Field)| {
            let alias = field.aliases.contains(&old.name) || old.aliases.contains(&field.name);
            (alias && !taken.contains(&index)).then_some(index)
        };
        partners[position] = from.fields.iter().enumerate().find_map(joined);
        taken.extend(partners[position]);
    }
    partners
}

fn missing(direction: Direction, writer: Place, reader: Place, field: &str) -> Key {
    let site = Site::Field(field.to_owned());
    (direction, writer.node, reader.node, site)
}

/// A failure between two types shows at the types, or at the union in which the writer's finds nothing.
fn owns(o: Place, n: Place, sites: &[Site]) -> Vec<Key> {
    let mut keys = Vec::new();
    for site in sites {
        for reader in [n.node, n.slot] {
            keys.push((Direction::Backward, o.node, reader, site.clone()));
        }
        for reader in [o.node, o.slot] {
            keys.push((Direction::Forward, n.node, reader, site.clone()));
        }
    }
    keys
}

/// The null branch, and the others.
fn branches(schema: &Schema, id: NodeId) -> (Option<NodeId>, Vec<NodeId>) {
    let all = match &schema.node(id).kind {
        Kind::Union(branches) => branches.clone(),
        _ => vec![id],
    };
    let is_null = |id: &NodeId| schema.node(*id).kind == Kind::Null;
    let null = all.iter().copied().find(|id| is_null(id));
    (null, all.into_iter().filter(|id| !is_null(id)).collect())
}

fn null_position(schema: &Schema, id: NodeId) -> Option<usize> {
    match &schema.node(id).kind {
        Kind::Union(branches) => (branches.iter()).position(|b| schema.node(*b).kind == Kind::Null),
        _ => None,
    }
}

fn label(schema: &Schema, id: NodeId) -> &str {
    let kind = &schema.node(id).kind;
    kind.name().map_or(kind.word(), |name| &name.full)
}

fn doc(kind: &Kind) -> Option<&String> {
    match kind {
        Kind::Record(record) => record.doc.as_ref(),
        Kind::Enum(symbols) => symbols.doc.as_ref(),
        Kind::Fixed(fixed) => fixed.doc.as_ref(),
        _ => None,
    }
}

fn list(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    }
}

fn with_default(schema: &Schema, field: &Field) -> String {
    let of = schema.describe(field.node);
    match &field.default {
        Some(json) => format!("{of}, default {json}"),
        None => of,
    }
}

fn is_time(logical: Logical) -> bool {
    !matches!(
        logical,
        Logical::Decimal { .. } | Logical::Uuid | Logical::Duration
    )
}

fn promotion_effect(from: &Kind, to: &Kind) -> Option<&'static str> {
    match (from, to) {
        (Kind::Int, Kind::Float) => Some("whole numbers beyond 2^24 lose their last digits"),
        (Kind::Long, Kind::Float | Kind::Double) => {
            Some("large whole numbers lose their last digits")
        }
        _ => None,
    }
}
