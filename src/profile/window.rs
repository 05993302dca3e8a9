//! What is counted of some records: fixed size, filled without allocating, and added to another one.

use super::labels::Labels;
use super::layout::{Content, Layout, Leaf};
use super::shape;
use super::{PARTS, SAMPLE};

/// Texts of a window whose values are kept for people.
const TOPS: usize = 32;
/// Formats of a window that are kept for people.
const SHAPES: usize = 16;

/// Some records of one topic and writer schema.
#[derive(Debug, Clone)]
pub struct Window {
    /// Records that came by, counted or not.
    pub seen: u64,
    /// Records that were counted.
    pub records: u64,
    /// Records whose values were looked at.
    pub looked: u64,
    /// Time of the first record, in milliseconds since the epoch.
    pub first: Option<i64>,
    /// Time of the last one.
    pub last: Option<i64>,
    /// The fields, in the order of the layout.
    pub fields: Vec<FieldWindow>,
}

/// One field of a window.
#[derive(Debug, Clone)]
pub struct FieldWindow {
    /// Records that have the field: a record above it that is null has none.
    pub count: u64,
    /// Nulls among them.
    pub nulls: u64,
    /// Values that are the contract's default, null aside.
    pub defaults: u64,
    /// The symbols of a choice, exactly; of a personal text, its classes. The last one is all others.
    pub choices: Vec<u64>,
    /// The least number.
    pub min: f64,
    /// The greatest number.
    pub max: f64,
    /// The sum of all numbers.
    pub sum: f64,
    /// The numbers that were looked at; of a text its length in characters, of a time its age.
    pub(super) values: Vec<f64>,
    /// Hashes of the values that were looked at.
    pub(super) hashes: Vec<u64>,
    /// Hashes of their shapes.
    pub(super) shapes: Vec<u64>,
    /// Of the first two numbers in the texts that were looked at.
    pub(super) parts: [u32; shape::PARTS.len()],
    pub(super) tops: Labels,
    pub(super) shape_names: Labels,
}

impl Window {
    /// An empty part of a window.
    pub fn part(layout: &Layout) -> Window {
        Window::with_sample(layout, SAMPLE)
    }

    /// An empty window, with room for all of its parts.
    pub fn whole(layout: &Layout) -> Window {
        Window::with_sample(layout, SAMPLE * PARTS)
    }

    pub(super) fn with_sample(layout: &Layout, sample: usize) -> Window {
        let fields = layout.leaves.iter();
        Window {
            seen: 0,
            records: 0,
            looked: 0,
            first: None,
            last: None,
            fields: fields.map(|leaf| FieldWindow::new(leaf, sample)).collect(),
        }
    }

    /// Takes everything out, and keeps the room.
    pub fn clear(&mut self) {
        (self.seen, self.records, self.looked) = (0, 0, 0);
        (self.first, self.last) = (None, None);
        self.fields.iter_mut().for_each(FieldWindow::clear);
    }

    /// Adds the records of another one of the same layout. What the room does not hold of its sample is left out.
    pub fn merge(&mut self, other: &Window) {
        self.seen += other.seen;
        self.records += other.records;
        self.looked += other.looked;
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
        for (own, other) in self.fields.iter_mut().zip(&other.fields) {
            own.merge(other);
        }
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        let fields = self.fields.iter().map(FieldWindow::size);
        size_of::<Window>() + fields.sum::<usize>()
    }

    pub(super) fn at(&mut self, time: Option<i64>) {
        self.first = [self.first, time].into_iter().flatten().min();
        self.last = self.last.max(time);
    }
}

impl FieldWindow {
    fn new(leaf: &Leaf, sample: usize) -> FieldWindow {
        let is_text = leaf.content == Content::Text;
        let when = |has: bool, room: usize| if has { room } else { 0 };
        // What is personal has no room for anything of its own.
        let plain = !leaf.personal;
        let valued = plain && leaf.content != Content::Choice;
        let choices = match (leaf.content, leaf.personal) {
            (Content::Choice, false) => leaf.symbols.len() + 1,
            (Content::Text, true) => shape::CLASSES.len() + 1,
            _ => 0,
        };
        FieldWindow {
            count: 0,
            nulls: 0,
            defaults: 0,
            choices: vec![0; choices],
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            values: Vec::with_capacity(when(valued, sample)),
            hashes: Vec::with_capacity(when(valued && leaf.content != Content::Size, sample)),
            shapes: Vec::with_capacity(when(plain && is_text, sample)),
            parts: [0; shape::PARTS.len()],
            tops: Labels::with_capacity(when(plain && is_text, TOPS)),
            shape_names: Labels::with_capacity(when(plain && is_text, SHAPES)),
        }
    }

    fn clear(&mut self) {
        (self.count, self.nulls, self.defaults) = (0, 0, 0);
        self.choices.fill(0);
        (self.min, self.max, self.sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        self.values.clear();
        self.hashes.clear();
        self.shapes.clear();
        self.parts = Default::default();
        self.tops.clear();
        self.shape_names.clear();
    }

    fn merge(&mut self, other: &FieldWindow) {
        self.count += other.count;
        self.nulls += other.nulls;
        self.defaults += other.defaults;
        for (own, other) in self.choices.iter_mut().zip(&other.choices) {
            *own += other;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        append(&mut self.values, &other.values);
        append(&mut self.hashes, &other.hashes);
        append(&mut self.shapes, &other.shapes);
        for (own, other) in self.parts.iter_mut().zip(&other.parts) {
            *own += other;
        }
        self.tops.merge(&other.tops);
        self.shape_names.merge(&other.shape_names);
    }

    /// Values that are there.
    pub fn present(&self) -> u64 {
        self.count - self.nulls
    }

    /// The mean of all numbers.
    pub fn mean(&self) -> Option<f64> {
        (self.present() > 0 && self.min.is_finite()).then(|| self.sum / self.present() as f64)
    }

    fn size(&self) -> usize {
        size_of::<FieldWindow>()
            + 8 * (self.choices.capacity()
                + self.values.capacity()
                + self.hashes.capacity()
                + self.shapes.capacity())
            + self.tops.size()
            + self.shape_names.size()
    }
}

fn append<T: Copy>(own: &mut Vec<T>, other: &[T]) {
    let room = own.capacity() - own.len();
    own.extend_from_slice(&other[..other.len().min(room)]);
}
