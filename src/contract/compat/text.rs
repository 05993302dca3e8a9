//! Changes and failures in words.

use super::change::{Change, ChangeKind, Direction};
use super::reading::{Issue, Site};
use crate::contract::schema::{Kind, Logical, NodeId, Schema};

/// What happens to a record, in one sentence without a stop.
pub(super) fn why(direction: Direction, issue: &Issue, writer: &Schema, reader: &Schema) -> String {
    let (records, readers) = match direction {
        Direction::Backward => ("records written before", "the new schema"),
        Direction::Forward => ("records written with the new schema", "the old schema"),
    };
    let from = || writer.describe(issue.writer);
    let to = || reader.describe(issue.reader);
    match &issue.site {
        Site::Field(_) => match direction {
            Direction::Backward => {
                "records written before have no value for it and the field has no default"
                    .to_owned()
            }
            Direction::Forward => "records written with the new schema have no value for it, and \
                 the old schema's field has no default"
                .to_owned(),
        },
        Site::Type => format!(
            "{} in {records} cannot be read as {}, which {readers} expects",
            a(&from()),
            a(&to())
        ),
        Site::Null => format!(
            "a null in {records} cannot be read as {} by {readers}",
            a(&to())
        ),
        Site::Name => format!(
            "{records} have {} there, {readers} expects {}, and no alias joins the names",
            from(),
            to()
        ),
        Site::Symbols => format!(
            "{records} may have {}, which {readers} lacks, and its enum has no default",
            issue.names.join(", ")
        ),
        Site::Size => format!(
            "{} in {records} cannot be read as {} by {readers}",
            size(writer, issue.writer),
            size(reader, issue.reader)
        ),
        Site::Scale => format!(
            "{} in {records} would be read as {} by {readers}: the same digits, another number",
            logical(writer, issue.writer),
            logical(reader, issue.reader)
        ),
        Site::Precision => format!(
            "{records} may have numbers of more digits than {readers} takes ({})",
            logical(reader, issue.reader)
        ),
        Site::Logical => format!(
            "{} in {records} would be taken for {} by {readers}: the same bytes, another meaning",
            logical(writer, issue.writer),
            logical(reader, issue.reader)
        ),
        Site::Text => {
            format!("bytes in {records} that are not UTF-8 cannot be read as text by {readers}")
        }
    }
}

fn a(what: &str) -> String {
    let article = match what.chars().next() {
        Some('a' | 'e' | 'i' | 'o') => "an",
        _ => "a",
    };
    format!("{article} {what}")
}

fn size(schema: &Schema, id: NodeId) -> String {
    match &schema.node(id).kind {
        Kind::Fixed(fixed) => format!("a fixed of {} bytes", fixed.size),
        _ => schema.describe(id),
    }
}

fn logical(schema: &Schema, id: NodeId) -> String {
    let node = schema.node(id);
    match node.logical {
        Some(Logical::Decimal { precision, scale }) => format!("decimal({precision},{scale})"),
        Some(logical) => logical.word().to_owned(),
        None => format!("plain {}", node.kind.word()),
    }
}

impl ChangeKind {
    /// What happened, in words.
    pub const fn words(self) -> &'static str {
        match self {
            ChangeKind::FieldAdded => "field added without a default",
            ChangeKind::FieldAddedWithDefault => "field added with a default",
            ChangeKind::FieldRemoved => "field removed, which had no default",
            ChangeKind::FieldRemovedWithDefault => "field removed, which had a default",
            ChangeKind::FieldsReordered => "fields in another order",
            ChangeKind::FieldRenamed => "field renamed",
            ChangeKind::DefaultAdded => "default added",
            ChangeKind::DefaultChanged => "default changed",
            ChangeKind::DefaultRemoved => "default removed",
            ChangeKind::TypePromoted => "type promoted",
            ChangeKind::TypeDemoted => "type demoted",
            ChangeKind::TypeChanged => "type changed",
            ChangeKind::LogicalTypeAdded => "logical type added",
            ChangeKind::LogicalTypeRemoved => "logical type removed",
            ChangeKind::LogicalTypeChanged => "logical type changed",
            ChangeKind::UnitChanged => "unit changed",
            ChangeKind::ScaleChanged => "decimal scale changed",
            ChangeKind::PrecisionChanged => "decimal precision changed",
            ChangeKind::NullabilityAdded => "may be null now",
            ChangeKind::NullabilityRemoved => "may not be null any more",
            ChangeKind::UnionBranchAdded => "union branch added",
            ChangeKind::UnionBranchRemoved => "union branch removed",
            ChangeKind::UnionReordered => "union of the same types, in another form",
            ChangeKind::SymbolsAdded => "enum symbols added",
            ChangeKind::SymbolsRemoved => "enum symbols removed",
            ChangeKind::SymbolsReordered => "enum symbols in another order",
            ChangeKind::EnumDefaultChanged => "enum default changed",
            ChangeKind::SizeChanged => "fixed size changed",
            ChangeKind::TypeRenamed => "type renamed",
            ChangeKind::NamespaceChanged => "namespace changed",
            ChangeKind::AliasesChanged => "aliases changed",
            ChangeKind::DefinitionChanged => {
                "the definition behind the name differs, as told above"
            }
            ChangeKind::DocChanged => "doc changed",
            ChangeKind::Unresolved => "the types meet in resolution and do not agree",
        }
    }
}

impl Change {
    /// The change in one line without its path: `type promoted: int -> long`.
    pub fn describe(&self) -> String {
        let words = self.kind.words();
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!("{words}: {before} -> {after}"),
            (Some(one), None) | (None, Some(one)) => format!("{words}: {one}"),
            (None, None) => words.to_owned(),
        }
    }
}
