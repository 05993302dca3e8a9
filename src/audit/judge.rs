//! The verdict. Input: commits, ledger and what was found in the topics. Output: a report. Pure.
//!
//! What is proved: that the ledger leads to the committed offset without a hole; that each of its stretches has as many
//! outcomes as a committed reader is shown records; that as many dead letters, retries and outputs are found as it counts; and,
//! where outputs name their record, that each record has exactly one outcome.

use super::chain::{Chain, Fault};
use super::expired::{Front, Times};
use super::found::{Emissions, Found, Offsets};
use super::report::{CountLine, Finding, Kind, Line, Report, Standing};
use crate::ingest::ledger::{Ranges, SILENT};
use crate::ingest::offsets::Counts;
use crate::record::Outcome;
use crate::words::counted;

/// A commit as an audit begins.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Commit {
    pub(super) offset: i64,
    /// `None`: it was made by something else.
    pub(super) counts: Option<Counts>,
    /// Where the ledger must begin.
    pub(super) begins: Option<i64>,
}

/// A source or retry partition.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// The first offset that is still there.
    pub(super) low: i64,
    /// The end when the audit began.
    pub(super) end: i64,
    /// What was looked at.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) commit: Option<Commit>,
    pub(super) chain: Chain,
    /// When its records' outcomes were written, by the same entries.
    pub(super) times: Times,
    /// Whether older records of a key may have been removed.
    pub(super) compacted: bool,
    /// Whether an open transaction hides entries of its ledger.
    pub(super) is_hidden: bool,
    /// What a committed reader is shown of a retry partition; a source's is in [`Found`].
    pub(super) universe: Offsets,
    /// Records of a retry partition that name no place in its source: somebody else wrote them.
    pub(super) foreign: Offsets,
}

/// A source partition with its retry partitions.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) source: Side,
    pub(super) retries: Vec<Side>,
    pub(super) found: Found,
    /// What is gone from the sinks.
    pub(super) sinks: Front,
    /// What is gone from where the partition's retries go.
    pub(super) retried: Front,
    /// What is gone from where its dead letters go.
    pub(super) dead: Front,
}

/// Found in topics, of one outcome.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) outcome: Option<Outcome>,
    pub(super) topics: Vec<String>,
    /// By the commits at the beginning, and at the end of the audit.
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) found: u64,
    /// Why they cannot be compared.
    pub(super) why: Option<String>,
}

/// What the verdict is to go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Whether duplicates are faults.
    pub(super) exactly_once: bool,
    /// Whether outputs name their records.
    pub(super) header: bool,
    /// Whether there is a ledger.
    pub(super) ledger: bool,
    /// How many offsets are listed.
    pub(super) examples: usize,
    /// Whether any outcome may be gone: something was compacted or is held back. What retention takes is in [`Family`].
    pub(super) gaps: bool,
}

/// Judges everything into the report.
pub(super) fn judge(families: &[Family], seen: &[Seen], terms: Terms, report: &mut Report) {
    for family in families {
        for side in std::iter::once(&family.source).chain(&family.retries) {
            let universe = match std::ptr::eq(side, &raw const family.source) {
                true => &family.found.universe,
                false => &side.universe,
            };
            cover(side, universe, terms, report);
            // What an instance makes of it looks like an outcome of the source's record at that offset: so it is wrong, whatever
            // the counts say.
            let place = (side.topic.as_str(), side.partition);
            let text = "no retry of this pipeline (its headers name no place in the source): instances take it for one of the \
                        source's record at the same offset";
            let foreign = Finding::of(Kind::Foreign, place, &side.foreign, terms.examples, text);
            report.findings.extend(foreign);
        }
        if terms.header {
            pair(family, terms, report);
        }
    }
    for seen in seen {
        compare(seen, terms, report);
    }
    if !terms.header {
        // Only the counts prove anything, and these prove nothing.
        let lines = report.counts.iter();
        let lines = lines.filter(|line| line.standing == Standing::NotComparable);
        let told: u64 = lines.map(|line| line.counted).sum();
        let shown = families
            .iter()
            .map(|Family { source, found, .. }| found.universe.within(source.from, source.to));
        report.unproved = told.min(shown.sum());
    }
    // A record of which an outcome is missing also makes a count wrong: it is unaccounted for once.
    let each = |kinds: &[Kind]| -> u64 {
        let of = report
            .findings
            .iter()
            .filter(|one| kinds.contains(&one.kind));
        of.map(|one| one.count).sum()
    };
    let named = each(&[
        Kind::Lost,
        Kind::TwoOutcomes,
        Kind::Incomplete,
        Kind::Stray,
        Kind::Altered,
        Kind::LedgerClaims,
    ]);
    let counted = each(&[
        Kind::Count,
        Kind::LedgerHole,
        Kind::LedgerDiffers,
        Kind::ForeignCommit,
    ]);
    report.unaccounted = named.max(counted);
}

/// Holds a partition's ledger to its commit and to the records that are there.
fn cover(side: &Side, universe: &Offsets, terms: Terms, report: &mut Report) {
    let place = (side.topic.as_str(), side.partition);
    let shown = format!("{}-{}", side.topic, side.partition);
    let commit = side.commit.unwrap_or_default();
    let sums = commit.counts.unwrap_or_default();
    report.partitions.push(Line {
        topic: side.topic.clone(),
        partition: side.partition,
        from: side.from,
        to: side.to,
        records: universe.within(side.from, side.to),
        counted: sums.total(),
        entries: side.chain.pages.len(),
        waiting: u64::try_from(side.end - commit.offset.max(side.low)).unwrap_or(0),
    });
    if side.commit.is_none() {
        return;
    }
    let mut tell = |kind, text: String, count| {
        report.findings.push(Finding {
            kind,
            topic: place.0.to_owned(),
            partition: Some(place.1),
            text,
            count,
            offsets: Vec::new(),
        });
    };
    if commit.counts.is_none() {
        let text = format!(
            "offset {} was committed by something that is not Driftgate: nothing is known of the records below it",
            commit.offset
        );
        tell(
            Kind::ForeignCommit,
            text,
            universe.within(side.from, side.to).max(1),
        );
    }
    if !terms.ledger {
        return;
    }
    if side.is_hidden {
        report.notes.push(format!(
            "{shown}: an open transaction hides entries of its ledger; nothing is said of whether it leads to offset {}",
            commit.offset
        ));
        return;
    }
    for fault in &side.chain.faults {
        match fault {
            Fault::Hole(range) => {
                let count = universe.within(range.start.max(side.low), range.end).max(1);
                let text = format!("no entry covers the offsets {}..{}", range.start, range.end);
                tell(Kind::LedgerHole, text, count);
            }
            Fault::Differs { at, says, needs } => {
                let text = format!(
                    "the entry that ends at offset {at} has counted {}, and what follows it starts from {}",
                    words(*says),
                    words(*needs)
                );
                let apart =
                    Outcome::ALL.map(|outcome| says.of(outcome).abs_diff(needs.of(outcome)));
                tell(Kind::LedgerDiffers, text, apart.iter().sum::<u64>().max(1));
            }
            Fault::Impossible(at) => {
                let text =
                    format!("the entry that ends at offset {at} adds more than its sums have");
                tell(Kind::LedgerDiffers, text, 1);
            }
        }
    }
    for page in &side.chain.pages {
        let Some(silent) = &page.silent else { continue };
        for outcome in SILENT {
            let named = silent.get(outcome.as_str()).map_or(0, Ranges::count);
            let sum = page.delta.of(outcome);
            if named != sum {
                let text = format!(
                    "the entry of the offsets {}..{} names {named} as {}, and counts {sum}",
                    page.from,
                    page.to,
                    outcome.as_str()
                );
                tell(Kind::LedgerDiffers, text, named.abs_diff(sum));
            }
        }
    }
    let reached = side.chain.begins().unwrap_or(commit.offset);
    match commit.begins {
        Some(begins) if begins < reached && side.chain.faults.is_empty() => {
            let text = format!("no entry covers the offsets {begins}..{reached}");
            let count = universe.within(begins.max(side.low), reached).max(1);
            tell(Kind::LedgerHole, text, count);
        }
        None if commit.counts.is_some_and(|counts| counts.total() > 0) => {
            report.notes.push(format!(
                "{shown}: the commit knows of no ledger yet; nothing can be said of the records below offset {}",
                commit.offset
            ));
            return;
        }
        _ => {}
    }
    if side.chain.base.total() > 0 && side.chain.faults.is_empty() {
        report.notes.push(format!(
            "{shown}: the ledger begins at offset {reached}; {} counted before that cannot be proved",
            counted(side.chain.base.total(), "record")
        ));
    }
    stretches(side, universe, report);
}

/// Holds each entry to the records that are there.
fn stretches(side: &Side, universe: &Offsets, report: &mut Report) {
    let (mut gone, mut compacted) = (0_u64, 0_u64);
    for page in side.chain.pages.iter().filter(|page| page.to <= side.to) {
        let told = page.delta.total();
        let shown = universe.within(page.from.max(side.low), page.to);
        if page.from < side.low && side.from == side.low {
            // Of a stretch that is partly deleted, what is left must still be no more than was counted.
            gone += told;
            if shown <= told {
                continue;
            }
        }
        let is_cut = page.from.max(side.low) < side.from;
        if is_cut || shown == told {
            continue;
        }
        if shown < told && side.compacted {
            compacted += told - shown;
            continue;
        }
        report.findings.push(Finding {
            kind: Kind::Count,
            topic: side.topic.clone(),
            partition: Some(side.partition),
            text: format!(
                "the ledger counts {} in the offsets {}..{}, and the topic has {} there",
                counted(told, "outcome"),
                page.from,
                page.to,
                counted(shown, "record")
            ),
            count: told.abs_diff(shown),
            offsets: Vec::new(),
        });
    }
    let place = format!("{}-{}", side.topic, side.partition);
    if gone > 0 {
        report.notes.push(format!(
            "{place}: begins at offset {} by now (retention); stretches from before count {}",
            side.low,
            counted(gone, "record")
        ));
    }
    if compacted > 0 {
        report.notes.push(format!(
            "{place}: compacted away of what was counted: {}",
            counted(compacted, "record")
        ));
    }
}

/// `emitted=3 filtered=1`: what is not 0.
fn words(counts: Counts) -> String {
    let all = Outcome::ALL.into_iter();
    let some = all.filter(|outcome| counts.of(*outcome) > 0);
    let words: Vec<_> = some
        .map(|outcome| format!("{}={}", outcome.as_str(), counts.of(outcome)))
        .collect();
    match words.is_empty() {
        true => "nothing".to_owned(),
        false => words.join(" "),
    }
}

/// Record by record: exactly one outcome each.
fn pair(family: &Family, terms: Terms, report: &mut Report) {
    let (side, found) = (&family.source, &family.found);
    let place = (side.topic.as_str(), side.partition);
    let emissions = found.emissions();
    let universe = judged(side, found);
    let sent_back: Offsets = found.redriven.keys().copied().collect();
    let ended = emissions.whole.or(&found.dead.once).or(&found.silent.once);
    let waits = found.pending.or(&found.blind);
    let none = universe.less(&ended.or(&emissions.partial).or(&waits));
    let incomplete = emissions.partial.and(&universe).less(&ended.or(&waits));
    let twice = emissions
        .again
        .or(&found.dead.again)
        .or(&found.silent.again)
        .or(&emissions.whole.and(&found.dead.once))
        .or(&emissions.whole.and(&found.silent.once))
        .or(&found.dead.once.and(&found.silent.once))
        .or(&emissions
            .partial
            .and(&found.dead.once.or(&found.silent.once)))
        .and(&universe)
        .less(&waits);
    let SentBack {
        missing,
        doubled,
        twice: sent_twice,
    } = redriven(found, &emissions, &universe, &waits);
    let lost = none.or(&missing);
    let twice = twice.less(&sent_back).or(&doubled);
    let push = |report: &mut Report, kind, offsets: &Offsets, text: &str| {
        let finding = Finding::of(kind, place, offsets, terms.examples, text);
        report.findings.extend(finding);
    };
    let kept = |all: &Offsets| -> Offsets {
        match terms.gaps {
            true => Offsets::default(),
            false => all
                .iter()
                .filter(|offset| is_kept(family, *offset))
                .collect(),
        }
    };
    let unproved = lost.or(&incomplete);
    let (lost, incomplete) = (kept(&lost), kept(&incomplete));
    let unproved = unproved.less(&lost).less(&incomplete);
    if !unproved.is_empty() {
        let offsets: Vec<_> = unproved
            .first(terms.examples)
            .iter()
            .map(i64::to_string)
            .collect();
        report.notes.push(format!(
            "{}-{}: not all outcomes are found of {}, perhaps deleted or held back (see the other notes): offsets {}",
            place.0, place.1, counted(unproved.len(), "record"), offsets.join(" ")
        ));
    }
    let unnamed = found
        .universe
        .within(side.from, side.to)
        .saturating_sub(universe.len());
    if unnamed > 0 {
        report.notes.push(format!(
            "{}-{}: {} where the ledger does not name what was filtered: not looked at one by one",
            place.0,
            place.1,
            counted(unnamed, "record")
        ));
    }
    report.unproved += unproved.len() + unnamed;
    push(report, Kind::Lost, &lost, "no outcome is found");
    push(
        report,
        Kind::Incomplete,
        &incomplete,
        "some of the record's outputs are missing",
    );
    let text = "more than one outcome, or one more than once";
    let finding = Finding::of(Kind::TwoOutcomes, place, &twice, terms.examples, text);
    match terms.exactly_once {
        true => report.findings.extend(finding),
        false => report.duplicates.extend(finding),
    }
    let text =
        "the same dead letter was sent back more than once, and each time came to an outcome";
    let finding = Finding::of(Kind::TwoOutcomes, place, &sent_twice, terms.examples, text);
    report.duplicates.extend(finding);
    if !side.compacted {
        let named = ended.or(&emissions.partial).or(&found.retried.once);
        let below = |offset: &i64| *offset >= side.from && *offset < side.to;
        let stray: Offsets = named.less(&found.universe).iter().filter(below).collect();
        push(
            report,
            Kind::Stray,
            &stray,
            "an outcome names a record that is not there",
        );
    }
    strangers(family, terms, report);
    let claimed = found.silent.once.and(&found.to_emit).less(&found.outrun);
    let claimed = claimed.and(&universe);
    let text = "the ledger says that it was filtered, and the pipeline emits it";
    push(report, Kind::LedgerClaims, &claimed, text);
    let leaked = emissions.whole.and(&found.to_filter).and(&universe);
    push(
        report,
        Kind::Altered,
        &leaked,
        "it was emitted, and the pipeline filters it",
    );
}

/// Whether all outcomes of a record must still be there, whatever retention has taken.
fn is_kept(family: &Family, offset: i64) -> bool {
    let page = family.source.chain.page_of(offset);
    let has_failed = page.is_none_or(|page| {
        page.delta.of(Outcome::Retried) + page.delta.of(Outcome::DeadLettered) > 0
    });
    let front = match has_failed || family.found.redriven.contains_key(&offset) {
        true => family.sinks.and(family.retried).and(family.dead),
        // No record of its stretch went anywhere else.
        false => family.sinks,
    };
    front.keeps(family.source.times.since(offset))
}

/// The records of the stretches in which the ledger names what left nothing.
fn judged(side: &Side, found: &Found) -> Offsets {
    let mut all = Offsets::default();
    for page in side.chain.pages.iter().filter(|page| page.silent.is_some()) {
        let (from, to) = (page.from.max(side.from), page.to.min(side.to));
        all.extend_within(&found.universe, from, to);
    }
    all
}

/// Records that were sent back.
#[derive(Default)]
struct SentBack {
    /// Those that lack an ending.
    missing: Offsets,
    /// Those that have one too many.
    doubled: Offsets,
    /// Those of which one dead letter was sent back more than once: that is the redrive's doing.
    twice: Offsets,
}

/// A record that was sent back has one more ending for each time, so it is counted by itself.
fn redriven(found: &Found, emissions: &Emissions, universe: &Offsets, waits: &Offsets) -> SentBack {
    let mut all = SentBack::default();
    for (offset, redriven) in &found.redriven {
        if !universe.contains(*offset) || waits.contains(*offset) {
            continue;
        }
        if redriven.sent > redriven.times {
            all.twice.insert(*offset);
        }
        let expected = 1 + u64::from(redriven.times.max(redriven.sent));
        match found.endings(*offset, emissions).cmp(&expected) {
            std::cmp::Ordering::Less => drop(all.missing.insert(*offset)),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => drop(all.doubled.insert(*offset)),
        }
    }
    all
}

/// Outputs that do not look like the record that they name.
fn strangers(family: &Family, terms: Terms, report: &mut Report) {
    let (side, found) = (&family.source, &family.found);
    let offsets: Offsets = found.strangers.iter().map(|one| one.names).collect();
    if offsets.is_empty() {
        return;
    }
    let shown = found.strangers.iter().take(terms.examples);
    let texts: Vec<_> = shown
        .map(|one| match found.prints.whose(one.print) {
            Some(whose) => format!("{} names {} and looks like {whose}", one.at, one.names),
            None => format!("{} names {}", one.at, one.names),
        })
        .collect();
    report.findings.push(Finding {
        kind: Kind::Altered,
        topic: side.topic.clone(),
        partition: Some(side.partition),
        text: format!(
            "an output is not what the record that it names comes to: {}",
            texts.join("; ")
        ),
        count: found.strangers.len() as u64 + found.more_strangers,
        offsets: offsets.first(terms.examples),
    });
}

/// A count against what is found.
fn compare(seen: &Seen, terms: Terms, report: &mut Report) {
    let Some(outcome) = seen.outcome else { return };
    let standing = match (&seen.why, seen.found) {
        (Some(_), _) => Standing::NotComparable,
        (None, found) if found < seen.before => Standing::Wrong,
        (None, found) if found == seen.before => Standing::Equal,
        (None, found) if terms.exactly_once && found > seen.after => Standing::Wrong,
        (None, _) if terms.exactly_once => Standing::InFlight,
        (None, _) => Standing::More,
    };
    report.counts.push(CountLine {
        outcome: outcome.as_str(),
        topics: seen.topics.clone(),
        counted: seen.before,
        found: seen.found,
        standing,
        why: seen.why.clone(),
    });
    if standing == Standing::Wrong {
        let topics = seen.topics.join(", ");
        report.findings.push(Finding {
            kind: Kind::Count,
            topic: topics.clone(),
            partition: None,
            text: format!(
                "{} counted as {}, and {} found in {topics}",
                counted(seen.before, "record"),
                outcome.as_str(),
                seen.found
            ),
            count: match seen.found < seen.before {
                true => seen.before - seen.found,
                false => seen.found - seen.after,
            },
            offsets: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests;
