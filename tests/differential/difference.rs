//! Where we differ from Java's Avro 1.12 on purpose. This list is complete: the differential test fails when the two
//! differ anywhere else, and when one of these never occurs.

/// One rule that we keep and Java does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Difference {
    TrailingBytes,
    NumberTooLarge,
    Boolean,
    Utf8,
    EnumIndex,
    BlockSize,
    BlockCount,
    SkippedData,
    DuplicateKeys,
    DecimalDigits,
    Depth,
    Elements,
    NeverReadable,
    Units,
    RecordNames,
    UnionNames,
    UnionPositions,
    Aliases,
    UnionDefaults,
    RecursiveDefaults,
    SkippedRecursion,
}

use Difference::*;

impl Difference {
    pub(crate) const ALL: [Difference; 21] = [
        TrailingBytes,
        NumberTooLarge,
        Boolean,
        Utf8,
        EnumIndex,
        BlockSize,
        BlockCount,
        SkippedData,
        DuplicateKeys,
        DecimalDigits,
        Depth,
        Elements,
        NeverReadable,
        Units,
        RecordNames,
        UnionNames,
        UnionPositions,
        Aliases,
        UnionDefaults,
        RecursiveDefaults,
        SkippedRecursion,
    ];

    /// Its line in docs/avro.md: what we do, and what Java does.
    pub(crate) const fn doc(self) -> &'static str {
        match self {
            TrailingBytes => {
                "Bytes after the value are refused. Java leaves them unread and says nothing."
            }
            NumberTooLarge => {
                "A variable-length number with bits beyond 32 (int, enum and union index) or 64 (long, length, count) is refused. Java drops those bits."
            }
            Boolean => "A boolean is the byte 0 or 1. Java reads every other byte as false.",
            Utf8 => {
                "A string or map key must be UTF-8, also when it is promoted to or from bytes. Java passes any bytes on, and replaces them in map keys."
            }
            EnumIndex => {
                "An enum index must be one of the writer's symbols. Java takes one beyond them where the reader's enum is longer."
            }
            BlockSize => {
                "A block's size in bytes must be what its items take. Java does not look at it, except to skip."
            }
            BlockCount => {
                "A block count of -2^63 is refused. Java reads it as the end of the array or map."
            }
            SkippedData => {
                "A field that the reader lacks is validated like any other. Java steps over it by the lengths that the data states, or past blocks by their stated size."
            }
            DuplicateKeys => {
                "Entries of a map are passed on as they were written. Java keeps the last of equal keys."
            }
            DecimalDigits => {
                "A decimal with more digits than its precision, in the writer's schema or in the reader's, is refused. Java's bytes hold any number of digits."
            }
            Depth => {
                "Data deeper than 64 records, arrays and maps is refused. Java goes on until its stack is exhausted."
            }
            Elements => {
                "Array items, map entries and values without bytes are bounded to a million in all. Java bounds each collection, and only if it is told to."
            }
            NeverReadable => {
                "A pair of schemas with a part that can never be read is refused as a whole. Java refuses only a datum that reaches the part, so that an empty array passes."
            }
            Units => {
                "Two logical types that differ in kind, unit or scale, or a decimal precision that shrinks, are refused. So are a text as a decimal and a decimal as a text. Java ignores logical types in resolution: milliseconds are read as microseconds."
            }
            RecordNames => {
                "Records match by full name, alias or unqualified name. Java reads a record as one of any other name, and in a union as the first that looks alike."
            }
            UnionNames => {
                "An enum or fixed that matches a union's branch by alias or unqualified name goes there, as the specification says. Java demands the full name inside unions, though not outside."
            }
            UnionPositions => {
                "Branches of two unions match by name. Java takes unions of the same shape position by position, and compares unqualified names only, so that a.R and b.R trade places."
            }
            Aliases => {
                "An alias joins the pair of types or fields that it stands in, and never takes a field that the reader has by its own name. Java renames throughout the writer schema first, and a renamed field that meets its namesake makes the pair unreadable."
            }
            UnionDefaults => {
                "A default of a union takes the first branch that it fits. Java picks by JSON type, so that a text stops at an enum that lacks it, and a number of 64 bits at an int, where it is cut."
            }
            RecursiveDefaults => {
                "A default may hold a value of the record that it stands in. Java checks it before that record is complete, and refuses the schema."
            }
            SkippedRecursion => {
                "A recursive record in a field that the reader lacks is read like any other. Java's parser can fail there with a null pointer."
            }
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of rules that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rules(u32);

impl Rules {
    /// All of them: what we promise.
    pub(crate) const OURS: Rules = Rules((1 << Difference::ALL.len()) - 1);
    /// None of them: what Java does.
    pub(crate) const JAVA: Rules = Rules(0);

    pub(crate) const fn keeps(self, rule: Difference) -> bool {
        self.0 & rule.bit() != 0
    }

    pub(crate) const fn with(self, rule: Difference) -> Rules {
        Rules(self.0 | rule.bit())
    }

    pub(crate) const fn without(self, rule: Difference) -> Rules {
        Rules(self.0 & !rule.bit())
    }
}
