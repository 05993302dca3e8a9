//! A file as a baseline.

use std::path::Path;

use super::{Baseline, Distinct, Field, Measure, Numbers, Share, Shares};
use crate::config::check::Checker;
use crate::config::fault::Fault;
use crate::config::keys::Key;
use crate::config::keys::baseline::ROOT;
use crate::config::load::read_file;
use crate::config::lower::Lowering;
use crate::config::model::{DriftAction, Place};
use crate::config::source::Source;
use crate::config::tree::{self, Entry, Node};
use crate::config::units::parse_ratio;
use crate::config::view::View;

/// Numbers of [`Numbers::deciles`].
const DECILES: usize = 11;

/// A baseline with its places, for whoever holds it against a contract.
#[derive(Debug)]
pub struct Placed {
    /// The baseline.
    pub baseline: Baseline,
    /// Where its subject stands, and then each field.
    places: Vec<Place>,
    source: Source,
}

impl Placed {
    /// What does not fit a contract with that subject and those fields: compared with nothing, which somebody should know.
    pub fn misfits(&self, subject: &str, has: &dyn Fn(&str) -> bool) -> Vec<Fault> {
        let mut misfits = Vec::new();
        let baseline = &self.baseline;
        let (of_subject, of_fields) = (self.places.first(), self.places.iter().skip(1));
        if let Some(place) = of_subject
            && baseline.subject != subject
        {
            let message = format!("the contract's subject is {subject}");
            let fault = Fault::new(place, &baseline.subject, message);
            misfits.push(fault.hint("is this the baseline of another contract?"));
        }
        let unknown = baseline.fields.iter().zip(of_fields);
        let unknown = unknown.filter(|(field, _)| !has(&field.path));
        misfits.extend(unknown.map(|(field, place)| {
            let message = format!("the contract has no field {} any more", field.path);
            Fault::new(place, &field.path, message).hint("take it out of the baseline")
        }));
        misfits
            .iter_mut()
            .for_each(|fault| self.source.locate(fault));
        misfits
    }
}

/// Reads a baseline. Every fault at once.
pub fn load(path: &Path) -> Result<Baseline, Vec<Fault>> {
    Ok(load_placed(path)?.baseline)
}

/// The same with the places of its fields.
pub fn load_placed(path: &Path) -> Result<Placed, Vec<Fault>> {
    load_source(path).1
}

/// The same with the source for messages of whoever looks at it later.
pub(crate) fn load_source(path: &Path) -> (Option<Source>, Result<Placed, Vec<Fault>>) {
    let name = path.display().to_string();
    match read_file(path, &name) {
        Err(fault) => {
            let hint = "`driftgate drift baseline` writes one";
            (None, Err(vec![fault.hint(hint)]))
        }
        Ok(text) => {
            let (source, read) = parse(&text, &name);
            (Some(source), read)
        }
    }
}

/// Reads a baseline from a text. `name` stands for the file in faults.
pub fn load_text(text: &str, name: &str) -> Result<Baseline, Vec<Fault>> {
    Ok(parse(text, name).1?.baseline)
}

fn parse(text: &str, name: &str) -> (Source, Result<Placed, Vec<Fault>>) {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut faults = Vec::new();
    let mut tree = tree::parse(bare, name, &mut faults);
    let base = Path::new("");
    let mut checker = Checker::new(base, ROOT, &tree);
    checker.root(&tree, name);
    let mut cx = Lowering {
        base,
        has_state_dir: false,
        complete: tree.complete,
        faults: Vec::new(),
        warnings: Vec::new(),
        advice: Vec::new(),
    };
    let start = Place {
        file: name.to_owned(),
        line: 1,
        column: 1,
    };
    let root = View::new(tree.root.as_ref(), ROOT, &start);
    let baseline = lower(root, &mut cx);
    let subject = root.value_place("subject").clone();
    let fields = entries(root).filter(|entry| entry.key.text().is_some());
    let places = fields.map(|entry| entry.key.place.clone());
    let places = std::iter::once(subject).chain(places).collect();
    faults.extend(checker.faults);
    // What could not be read in a file that is cut short has been told already.
    if cx.complete && faults.is_empty() {
        faults.extend(cx.faults);
    }
    let masks = [checker.masks, std::mem::take(&mut tree.masks)].concat();
    let source = Source::new(name, bare, masks, !tree.complete)
        .rewritten(std::mem::take(&mut tree.rewritten));
    faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
    faults.iter_mut().for_each(|fault| source.locate(fault));
    let read = match faults.is_empty() {
        true => Ok(Placed {
            baseline,
            places,
            source: source.clone(),
        }),
        false => Err(faults),
    };
    (source, read)
}

fn entries<'a>(root: View<'a>) -> impl Iterator<Item = &'a Entry> {
    let fields = root.node("fields").map_or(&[][..], Node::entries);
    fields.iter().filter(|entry| !entry.duplicate)
}

fn lower(root: View<'_>, cx: &mut Lowering<'_>) -> Baseline {
    let keys = below(ROOT, "fields");
    let then = action(root).unwrap_or_default();
    let per_minute = root.has("per_minute").then(|| {
        let span = root.map("per_minute");
        let (least, most) = (number(span, "least"), number(span, "most"));
        if least > most {
            let fault = Fault::new(span.place("least"), "least", "`least` is above `most`");
            cx.faults.push(fault.hint("swap them"));
        }
        (least, most)
    });
    Baseline {
        subject: root.text("subject").unwrap_or_default(),
        records: root.int("records").unwrap_or_default(),
        windows: root.int("windows").unwrap_or_default(),
        then,
        from: root.text("from"),
        until: root.text("until"),
        per_minute,
        fields: entries(root)
            .filter_map(|entry| {
                let path = entry.key.text()?.to_owned();
                let view = View::new(Some(&entry.value), keys, &entry.key.place);
                Some(field(path, view, then, cx))
            })
            .collect(),
    }
}

fn action(view: View<'_>) -> Option<DriftAction> {
    let word = view.scalar("then")?;
    let mut actions = DriftAction::ALL.into_iter();
    actions.find(|action| action.as_str() == word)
}

fn field(path: String, view: View<'_>, then: DriftAction, cx: &mut Lowering<'_>) -> Field {
    let measures = Measure::ALL.into_iter();
    let mut numbers = measures
        .filter(|measure| view.has(measure.key()))
        .map(|measure| (measure, view.map(measure.key())));
    let first = numbers.next();
    if let (Some((first, _)), Some((second, _))) = (first, numbers.next()) {
        let message = format!("`{}` and `{}` of one field", first.key(), second.key());
        let place = view.place(second.key());
        let fault = Fault::new(place, second.key(), message);
        cx.faults
            .push(fault.hint("a field has one of them, by its type"));
    }
    Field {
        path,
        then: action(view).unwrap_or(then),
        nulls: share(view, "nulls"),
        defaults: share(view, "defaults"),
        distinct: view.has("distinct").then(|| {
            let distinct = view.map("distinct");
            Distinct {
                all: distinct.int("all").unwrap_or_default(),
                least: ratio(distinct, "least"),
            }
        }),
        values: shares(view, "values", cx),
        formats: shares(view, "formats", cx),
        day_month: shares(view, "day_month", cx),
        numbers: first.map(|(of, view)| lower_numbers(of, view, cx)),
    }
}

fn share(view: View<'_>, name: &str) -> Share {
    match view.has(name) {
        true => Share {
            all: ratio(view.map(name), "all"),
            most: ratio(view.map(name), "most"),
        },
        false => Share::default(),
    }
}

fn shares(view: View<'_>, name: &str, cx: &mut Lowering<'_>) -> Option<Shares> {
    let shares = view.has(name).then(|| view.map(name))?;
    let entries = shares.node("of").map_or(&[][..], Node::entries);
    let entries = entries.iter().filter(|entry| !entry.duplicate);
    let of: Vec<(String, f64)> = entries
        .filter_map(|entry| {
            let share = parse_ratio(entry.value.text()?).ok()?;
            Some((entry.key.text()?.to_owned(), share))
        })
        .collect();
    let sum: f64 = of.iter().map(|(_, share)| share).sum();
    // Each is rounded.
    if sum > 1.0 + 1e-5 * of.len() as f64 {
        let message = format!("the parts are {:.3}% together", sum * 100.0);
        let fault = Fault::new(shares.place("of"), "of", message);
        cx.faults.push(fault.hint("they are parts of 100%"));
    }
    Some(Shares {
        spread: number(shares, "spread"),
        of,
    })
}

fn lower_numbers(of: Measure, view: View<'_>, cx: &mut Lowering<'_>) -> Numbers {
    let items = view.items("deciles").iter();
    let deciles: Vec<f64> = items.filter_map(|item| item.text()?.parse().ok()).collect();
    let mut fault = |message: String, hint: &str| {
        let fault = Fault::new(view.place("deciles"), "deciles", message);
        cx.faults.push(fault.hint(hint));
    };
    if deciles.len() != DECILES {
        let message = format!("{} numbers; {DECILES} are expected", deciles.len());
        fault(message, "from the least to the greatest, in ten steps");
    } else if !deciles.is_sorted() {
        fault("the numbers do not rise".to_owned(), "sort them");
    }
    Numbers {
        of,
        mean: view.has("mean").then(|| number(view, "mean")),
        spread: ratio(view, "spread"),
        deciles,
    }
}

fn number(view: View<'_>, name: &str) -> f64 {
    let number = view.scalar(name).and_then(|text| text.parse().ok());
    number.unwrap_or_default()
}

fn ratio(view: View<'_>, name: &str) -> f64 {
    let ratio = view.scalar(name).and_then(|text| parse_ratio(text).ok());
    ratio.unwrap_or_default()
}

fn below(keys: &'static [Key], name: &str) -> &'static [Key] {
    let key = keys.iter().find(|key| key.name == name);
    key.map_or(&[], |key| key.kind.keys())
}
