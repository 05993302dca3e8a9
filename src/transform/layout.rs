//! Where the parts of an event lie while the steps are compiled: still in the bytes that it came in, or in a register. A
//! step changes the layout; what no step touches is never looked at, and copied in runs when the output is assembled.

/// What positions count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Base {
    /// The event in the contract's bytes.
    Contract,
    /// The value in a register.
    Register(u32),
}

/// Where a value lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// In one piece: the fields at these positions, from record to record, below the base. No record on the way is
    /// nullable.
    Whole(Base, Vec<usize>),
    /// In pieces: a record (never null), one layout a field.
    Record(Vec<Layout>),
}

impl Layout {
    /// The value of a register.
    pub(super) fn register(register: u32) -> Layout {
        Layout::Whole(Base::Register(register), Vec::new())
    }

    /// The layout at a path of fields, none of which lies below a null: `None` when the path leads into a piece that is
    /// in one, with the positions that are left.
    pub(super) fn at<'l, 'p>(&'l self, path: &'p [usize]) -> (&'l Layout, &'p [usize]) {
        match (self, path.split_first()) {
            (Layout::Record(fields), Some((first, rest))) => match fields.get(*first) {
                Some(field) => field.at(rest),
                None => (self, path),
            },
            _ => (self, path),
        }
    }

    /// The same, as a layout of its own.
    pub(super) fn below(&self, path: &[usize]) -> Layout {
        let (found, rest) = self.at(path);
        match found {
            Layout::Whole(base, positions) => {
                let positions = positions.iter().chain(rest).copied().collect();
                Layout::Whole(*base, positions)
            }
            Layout::Record(_) => found.clone(),
        }
    }

    /// Takes a record apart, so that its fields can be changed one by one.
    pub(super) fn fields(&mut self, width: usize) -> &mut Vec<Layout> {
        if let Layout::Whole(base, positions) = self {
            let field = |position: usize| {
                let mut positions = positions.clone();
                positions.push(position);
                Layout::Whole(*base, positions)
            };
            *self = Layout::Record((0..width).map(field).collect());
        }
        match self {
            Layout::Record(fields) => fields,
            Layout::Whole(..) => unreachable!("it was taken apart"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart_where_it_is_touched() {
        let mut layout = Layout::Whole(Base::Contract, vec![]);
        layout.fields(3)[1].fields(2)[0] = Layout::register(7);
        for (path, expect) in [
            (&[0][..], Layout::Whole(Base::Contract, vec![0])),
            (&[2, 4], Layout::Whole(Base::Contract, vec![2, 4])),
            (&[1, 0], Layout::register(7)),
            (&[1, 0, 3], Layout::Whole(Base::Register(7), vec![3])),
            (&[1, 1], Layout::Whole(Base::Contract, vec![1, 1])),
        ] {
            assert_eq!(layout.below(path), expect, "{path:?}");
        }
        assert!(matches!(layout.below(&[1]), Layout::Record(_)));
    }
}
