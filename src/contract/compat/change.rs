//! One change between two schemas.

use serde::Serialize;

/// Whom a change can break. "Old" and "new" are the schemas, in the order of their versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Readers of the new schema, by records written with the old one.
    Backward,
    /// Readers of the old schema, by records written with the new one.
    Forward,
}

impl Direction {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Direction::Backward => "backward",
            Direction::Forward => "forward",
        }
    }
}

/// By what a change breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The Avro specification: resolution fails, or two decimals do not match.
    Specification,
    /// Resolution as the specification has it goes through, and the value means something else afterwards, or is none.
    Meaning,
}

/// One direction in which a change breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// Whom.
    pub direction: Direction,
    /// By what.
    pub by: By,
    /// Whether only some records fail, such as those with a symbol that the reader lacks. If not, all that have a
    /// value there do.
    pub some: bool,
    /// What happens to a record, in one sentence.
    pub why: String,
}

/// What a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A field without a default.
    FieldAdded,
    /// A field with a default.
    FieldAddedWithDefault,
    /// A field that had no default.
    FieldRemoved,
    /// A field that had a default.
    FieldRemovedWithDefault,
    /// The same fields in another order.
    FieldsReordered,
    /// A field under another name, which an alias joins to the old one.
    FieldRenamed,
    /// A default where there was none.
    DefaultAdded,
    /// Another default.
    DefaultChanged,
    /// No default where there was one.
    DefaultRemoved,
    /// A type that the old one can be promoted to, as `int` to `long`.
    TypePromoted,
    /// A type that can be promoted to the old one, as `long` to `int`.
    TypeDemoted,
    /// A type that has nothing to do with the old one.
    TypeChanged,
    /// A logical type where there was none.
    LogicalTypeAdded,
    /// No logical type where there was one.
    LogicalTypeRemoved,
    /// Another logical type, of another sort.
    LogicalTypeChanged,
    /// Another unit of time, a point in time where there was a span of the day, or local time for global.
    UnitChanged,
    /// Another scale of a decimal.
    ScaleChanged,
    /// Another precision of a decimal.
    PrecisionChanged,
    /// Null is a value now.
    NullabilityAdded,
    /// Null is no value any more.
    NullabilityRemoved,
    /// A type more in a union.
    UnionBranchAdded,
    /// A type less in a union.
    UnionBranchRemoved,
    /// The same types in another order, or a union around a single type.
    UnionReordered,
    /// Symbols more in an enum.
    SymbolsAdded,
    /// Symbols less in an enum.
    SymbolsRemoved,
    /// The same symbols in another order.
    SymbolsReordered,
    /// Another default of an enum, or one more or less.
    EnumDefaultChanged,
    /// Another length of a fixed.
    SizeChanged,
    /// A named type under another name.
    TypeRenamed,
    /// A named type in another namespace.
    NamespaceChanged,
    /// Other aliases, of a field or a named type.
    AliasesChanged,
    /// A named type that is used here too and whose definition differs behind its equal name; how is told where it is
    /// met first.
    DefinitionChanged,
    /// Only a doc.
    DocChanged,
    /// A pair of types that meet in resolution only, as a union's branch that resolves to one of another name.
    Unresolved,
}

/// Coarse classes, as the policies of `contract.drift` are written. They are seen by someone who goes on reading by
/// the old schema while records come with the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// There is more than before, and one who does not know of it need not: a field, with or without a default.
    AddedOptional,
    /// A field is gone, or gone under its name.
    Removed,
    /// Values may come that were not allowed before, or their type is another.
    TypeChanged,
    /// The same number means something else: unit, scale, local for global time.
    UnitChanged,
}

impl Class {
    /// Its key under `contract.drift`.
    pub const fn word(self) -> &'static str {
        match self {
            Class::AddedOptional => "added_optional",
            Class::Removed => "removed",
            Class::TypeChanged => "type_changed",
            Class::UnitChanged => "unit_changed",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where, as `items[].price`, `prices{}.net`, `payment<shop.Card>.number`; empty for the top type. By the new
    /// schema's names, and by the old ones' for what is gone.
    pub path: String,
    /// What.
    pub kind: ChangeKind,
    /// What stood there before.
    pub before: Option<String>,
    /// What stands there now.
    pub after: Option<String>,
    /// The class that a drift policy speaks of; none where nothing changes for one who reads by the old schema, or
    /// fewer values come than before.
    pub class: Option<Class>,
    /// The directions that it breaks; none for a change that does no harm.
    pub breaks: Vec<Break>,
    /// What it does to records where it breaks nothing, if that is not plain.
    pub effect: Option<String>,
}

impl Change {
    /// The class that a drift policy speaks of.
    pub const fn class(&self) -> Option<Class> {
        self.class
    }

    /// Whether it breaks a direction.
    pub fn breaks(&self, direction: Direction) -> bool {
        self.breaks.iter().any(|b| b.direction == direction)
    }
}

impl ChangeKind {
    pub(super) const fn class(self) -> Option<Class> {
        match self {
            ChangeKind::FieldAdded | ChangeKind::FieldAddedWithDefault => {
                Some(Class::AddedOptional)
            }
            ChangeKind::FieldRemoved
            | ChangeKind::FieldRemovedWithDefault
            | ChangeKind::FieldRenamed => Some(Class::Removed),
            ChangeKind::TypePromoted
            | ChangeKind::TypeDemoted
            | ChangeKind::TypeChanged
            | ChangeKind::LogicalTypeAdded
            | ChangeKind::LogicalTypeRemoved
            | ChangeKind::LogicalTypeChanged
            | ChangeKind::PrecisionChanged
            | ChangeKind::NullabilityAdded
            | ChangeKind::UnionBranchAdded
            | ChangeKind::SymbolsAdded
            | ChangeKind::SizeChanged
            | ChangeKind::TypeRenamed
            | ChangeKind::Unresolved => Some(Class::TypeChanged),
            ChangeKind::UnitChanged | ChangeKind::ScaleChanged => Some(Class::UnitChanged),
            ChangeKind::FieldsReordered
            | ChangeKind::DefaultAdded
            | ChangeKind::DefaultChanged
            | ChangeKind::DefaultRemoved
            | ChangeKind::NullabilityRemoved
            | ChangeKind::UnionBranchRemoved
            | ChangeKind::UnionReordered
            | ChangeKind::SymbolsRemoved
            | ChangeKind::SymbolsReordered
            | ChangeKind::EnumDefaultChanged
            | ChangeKind::NamespaceChanged
            | ChangeKind::AliasesChanged
            | ChangeKind::DefinitionChanged
            | ChangeKind::DocChanged => None,
        }
    }
}
