//! Drafts of changes and failures of reading → changes with what each breaks. Every failure finds a change: one that no
//! draft owns becomes a change of its own.

use std::collections::HashMap;

use super::change::{Break, Change, ChangeKind, Direction};
use super::diff::{Draft, Key, drafts};
use super::reading::{Issue, issues};
use super::text;
use crate::contract::schema::Schema;

pub(super) fn changes(old: &Schema, new: &Schema) -> Vec<Change> {
    let drafts = drafts(old, new);
    let mut owners: HashMap<Key, usize> = HashMap::new();
    let mut changes: Vec<Change> = Vec::with_capacity(drafts.len());
    for Draft {
        path,
        kind,
        before,
        after,
        effect,
        owns,
    } in drafts
    {
        for key in owns {
            owners.entry(key).or_insert(changes.len());
        }
        changes.push(Change {
            path,
            kind,
            before,
            after,
            class: kind.class(),
            breaks: Vec::new(),
            effect: effect.map(str::to_owned),
        });
    }
    for direction in [Direction::Backward, Direction::Forward] {
        let (writer, reader) = match direction {
            Direction::Backward => (old, new),
            Direction::Forward => (new, old),
        };
        for issue in issues(writer, reader) {
            let key = (direction, issue.writer, issue.reader, issue.site.clone());
            let found = Break {
                direction,
                by: issue.by,
                some: issue.some,
                why: text::why(direction, &issue, writer, reader),
            };
            match owners.get(&key) {
                Some(owner) => add(&mut changes[*owner], found),
                None => unowned(&mut changes, direction, &issue, writer, reader, found),
            }
        }
    }
    for change in &mut changes {
        if !change.breaks.is_empty() {
            change.effect = None;
        }
    }
    changes
}

fn add(change: &mut Change, found: Break) {
    if !change.breaks.contains(&found) {
        change.breaks.push(found);
    }
}

/// Types that only resolution brings together: a branch that resolves to one of another name, a field that an alias
/// takes from elsewhere.
fn unowned(
    changes: &mut Vec<Change>,
    direction: Direction,
    issue: &Issue,
    writer: &Schema,
    reader: &Schema,
    found: Break,
) {
    let (from, to) = (writer.describe(issue.writer), reader.describe(issue.reader));
    let (before, after) = match direction {
        Direction::Backward => (from, to),
        Direction::Forward => (to, from),
    };
    let same = changes.iter_mut().find(|change| {
        change.kind == ChangeKind::Unresolved
            && change.path == issue.path
            && change.before.as_ref() == Some(&before)
            && change.after.as_ref() == Some(&after)
    });
    match same {
        Some(change) => add(change, found),
        None => changes.push(Change {
            path: issue.path.clone(),
            kind: ChangeKind::Unresolved,
            before: Some(before),
            after: Some(after),
            class: ChangeKind::Unresolved.class(),
            breaks: vec![found],
            effect: None,
        }),
    }
}
