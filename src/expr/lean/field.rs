//! A field at a mark, whose bytes say its value without a look at the schema. Input: the record's bytes and
//! marks. Output: the value where it lies; nothing where the bytes are not as expected, which the plan rules out, or not
//! as they are usually written.

use crate::contract::plan::ABSENT;
use crate::contract::schema::{Kind, Logical, NodeId, Schema};
use crate::contract::view;
use crate::expr::cx::Cx;

/// Where it lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    mark: u32,
    /// The index of null in its union, which is one of null and one other type.
    null: Option<u8>,
    kind: Shape,
}

/// What it is, when it is not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `string`
    Text,
    /// `int` and `long` without another meaning.
    Whole,
    /// `enum`
    Symbol,
    /// `boolean`
    Flag,
    /// Anything else; it can be told from null.
    Other,
}

/// A value, if it is not null, and the bytes that it takes with its union's index.
pub(crate) type Read<T> = (Option<T>, usize);

impl Field {
    /// At a mark of the plan, where a value of that node lies.
    pub(crate) fn of(schema: &Schema, mark: u32, node: NodeId) -> Option<Field> {
        let (null, inner) = match &schema.node(node).kind {
            Kind::Union(branches) => {
                let is_null = |node: NodeId| schema.node(node).kind == Kind::Null;
                match branches[..] {
                    [null, inner] if is_null(null) && !is_null(inner) => (Some(0), inner),
                    [inner, null] if is_null(null) && !is_null(inner) => (Some(1), inner),
                    _ => return None,
                }
            }
            Kind::Null => return None,
            _ => (None, node),
        };
        let written = schema.node(inner);
        let kind = match (&written.kind, written.logical) {
            (Kind::String, None | Some(Logical::Uuid)) => Shape::Text,
            (Kind::Int | Kind::Long, None) => Shape::Whole,
            (Kind::Enum(_), None) => Shape::Symbol,
            (Kind::Boolean, None) => Shape::Flag,
            _ => Shape::Other,
        };
        Some(Field { mark, null, kind })
    }

    /// What it is.
    pub(crate) fn shape(&self) -> Shape {
        self.kind
    }

    /// Where the value begins, or that it is null; and where the field does.
    #[inline]
    fn begin(&self, cx: &Cx<'_>) -> Option<(Option<usize>, usize)> {
        let at = *cx.marks.get(self.mark as usize)?;
        if at == ABSENT {
            return Some((None, 0));
        }
        let at = at as usize;
        let Some(null) = self.null else {
            return Some((Some(at), at));
        };
        match *cx.bytes.get(at)? {
            index if index == null << 1 => Some((None, at)),
            index if index == (1 - null) << 1 => Some((Some(at + 1), at)),
            _ => None,
        }
    }

    #[inline]
    fn read<T>(
        &self,
        cx: &Cx<'_>,
        value: impl FnOnce(usize) -> Option<(T, usize)>,
    ) -> Option<Read<T>> {
        Some(match self.begin(cx)? {
            (Some(at), start) => {
                let (value, end) = value(at)?;
                (Some(value), end - start)
            }
            // A mark that was not met takes no bytes; null takes its index.
            (None, _) => (None, 0),
        })
    }

    /// The bytes of a text.
    #[inline]
    pub(crate) fn text<'a>(&self, cx: &Cx<'a>) -> Option<Read<&'a [u8]>> {
        let bytes: &'a [u8] = cx.bytes;
        self.read(cx, |at| match *bytes.get(at)? {
            length if length < 0x80 && length & 1 == 0 => {
                let end = at + 1 + usize::from(length >> 1);
                Some((bytes.get(at + 1..end)?, end))
            }
            _ => view::sized(bytes, at).ok(),
        })
    }

    /// A whole number.
    #[inline]
    pub(crate) fn whole(&self, cx: &Cx<'_>) -> Option<Read<i64>> {
        self.read(cx, |at| view::long(cx.bytes, at).ok())
    }

    /// The index of a symbol.
    #[inline]
    pub(crate) fn symbol(&self, cx: &Cx<'_>) -> Option<Read<u32>> {
        self.read(cx, |at| {
            let (index, end) = view::long(cx.bytes, at).ok()?;
            Some((u32::try_from(index).ok()?, end))
        })
    }

    /// A boolean.
    #[inline]
    pub(crate) fn flag(&self, cx: &Cx<'_>) -> Option<Read<bool>> {
        self.read(cx, |at| Some((*cx.bytes.get(at)? == 1, at + 1)))
    }

    /// Whether it is null, where it can be; the bytes that it takes then.
    #[inline]
    pub(crate) fn is_null(&self, cx: &Cx<'_>) -> Option<bool> {
        Some(self.begin(cx)?.0.is_none())
    }
}
