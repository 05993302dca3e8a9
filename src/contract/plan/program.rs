//! What a plan is made of: a flat list of instructions over the writer's bytes. Most of them only step over a valid
//! value. Bytes that stay as they are need no instruction of their own: they gather in a *run*, which is copied once
//! when something else has to stand in the output.

/// Index of an instruction.
pub(super) type Address = u32;

/// One instruction. Those of the first group validate and step over a value; it becomes part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// A boolean: 0 or 1.
    Boolean,
    /// A number that 32 bits hold.
    Int,
    /// A number that 64 bits hold.
    Long,
    /// So many bytes, whatever they are: float, double, fixed.
    Skip(u32),
    /// A length and that many bytes in UTF-8.
    Text,
    /// A length and that many bytes.
    Bytes,
    /// A length and that many bytes: a number of at most so many digits.
    Decimal(u32),
    /// Checks the number of at most so many digits that comes next, and stays where it is.
    DecimalAhead(u32),
    /// The same in a fixed of so many bytes.
    FixedDecimal {
        /// Bytes.
        size: u32,
        /// Digits.
        precision: u32,
    },
    /// The index of one of so many symbols.
    Enum(u32),
    /// The index of one of two branches; the null one skips so many instructions.
    Nullable {
        /// 0 or 1.
        null: u8,
        /// Instructions of the other branch.
        over: u32,
    },
    /// The index of a branch; goes on at `tables[table + index]`.
    Union {
        /// First entry.
        table: u32,
        /// Branches.
        count: u32,
    },
    /// Blocks of items, each of them the next `body` instructions.
    Array {
        /// Instructions of an item.
        body: u32,
        /// Whether an item stays as it is. If not, every block becomes one with a count and no size.
        same: bool,
        /// Levels from the beginning of the procedure.
        depth: u16,
    },
    /// As an array, with a text before each value.
    Map {
        /// Instructions of a value.
        body: u32,
        /// As for an array.
        same: bool,
        /// As for an array.
        depth: u16,
    },

    /// A record begins, this many levels deep.
    Record(u16),
    /// So many values that take no bytes.
    Empty(u32),
    /// Runs a procedure: a record that contains itself.
    Call {
        /// Index into `procedures`.
        procedure: u32,
        /// Levels around it.
        depth: u16,
    },
    /// Goes on elsewhere.
    Jump(Address),
    /// The position of a field that is needed later.
    Mark(u32),
    /// The same for a field inside the constant that follows, so many bytes into it.
    MarkInside(u32, u32),
    /// Copies the run. What comes now until `Resume` is not copied.
    Flush,
    /// Starts a new run.
    Resume,
    /// Copies the run, then bytes of the plan.
    Constant(u32, u32),
    /// int → float.
    IntFloat,
    /// int → double.
    IntDouble,
    /// long → float.
    LongFloat,
    /// long → double.
    LongDouble,
    /// float → double.
    FloatDouble,
    /// An enum's index, replaced by `symbols[table + index]`.
    Symbol {
        /// First entry.
        table: u32,
        /// Symbols.
        count: u32,
    },
    /// A piece of a record whose fields the reader has in another order ends here.
    Cut,
    /// Puts the pieces in order: index into `orders`.
    Reorder(u32),
    /// The value has no counterpart.
    Refuse,
}

/// The reader's symbol for one that it does not have.
pub(super) const NO_SYMBOL: u32 = u32::MAX;

/// How the pieces of a record are put in the reader's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// For each reader field, the piece that it is: the pieces are the writer's fields, then the constants, in the
    /// order in which they were cut.
    pub(super) pieces: Vec<u32>,
    /// Marks inside of the record, each with the piece it lies in.
    pub(super) marks: Vec<(u32, u32)>,
}

/// The instructions with what they refer to.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) code: Vec<Op>,
    /// End of the main part; procedures follow.
    pub(super) main: u32,
    /// First and last instruction (exclusive) of each procedure.
    pub(super) procedures: Vec<(Address, Address)>,
    pub(super) tables: Vec<Address>,
    pub(super) symbols: Vec<u32>,
    pub(super) constants: Vec<u8>,
    pub(super) orders: Vec<Order>,
    /// How many marks there are.
    pub(super) marks: usize,
    /// Whether valid bytes of the writer are the reader's as they stand.
    pub(super) same: bool,
}

impl Program {
    /// Bytes that it takes, roughly.
    pub(super) fn size(&self) -> usize {
        let orders = self
            .orders
            .iter()
            .map(|order| 4 * order.pieces.len() + 8 * order.marks.len());
        size_of::<Op>() * self.code.capacity()
            + 4 * (self.tables.capacity() + self.symbols.capacity())
            + 8 * self.procedures.capacity()
            + self.constants.capacity()
            + orders.sum::<usize>()
            + size_of::<Order>() * self.orders.capacity()
    }
}
