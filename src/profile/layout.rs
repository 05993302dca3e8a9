//! Which fields of a contract are profiled, and as what. Made once for a contract.

use crate::contract::default;
use crate::contract::encode::encode_node;
use crate::contract::schema::{Kind, Logical, NodeId, RecordType, Schema};

/// The most fields of a contract that are profiled; the others are told by [`Layout::left_out`].
const MOST_FIELDS: usize = 500;
/// The most symbols of an enum that are told apart; those beyond are one.
const MOST_SYMBOLS: usize = 64;

/// What a field holds, as far as a profile sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A number.
    Number,
    /// A moment or a day: looked at as its age, in seconds, at the time of its record.
    Time {
        /// How many of its units are a second; 0 for days.
        per_second: u32,
    },
    /// A text.
    Text,
    /// One of a few: enum, boolean, or the branch of a union.
    Choice,
    /// Something of which only the size is looked at: bytes, array, map.
    Size,
}

/// One profiled field.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Its path: `customer.email`.
    pub path: String,
    /// What it holds.
    pub content: Content,
    /// Whether it is tagged as personal: then only rates and the class of its texts are looked at.
    pub personal: bool,
    /// The words of a choice.
    pub symbols: Vec<String>,
    /// The bytes of its default, if that is no null.
    pub(super) default: Option<Vec<u8>>,
    /// The type below the union with null.
    pub(super) inner: NodeId,
    /// The digits behind a decimal's point.
    pub(super) scale: i32,
}

/// The profiled fields of a contract.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// In the order of the schema.
    pub leaves: Vec<Leaf>,
    /// Fields that are not profiled, since there are too many.
    pub left_out: usize,
    pub(super) steps: Vec<Step>,
}

/// What a walk over a value does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// Looks at a field, and goes behind it.
    Leaf { leaf: usize, node: NodeId },
    /// Goes behind a value that nobody looks at.
    Skip(NodeId),
    /// Goes into a record that may be null: where it is, so many steps are left out.
    Enter { node: NodeId, steps: usize },
}

impl Layout {
    /// The fields of a contract. `personal` are the paths of those that are tagged so; what is below one is too.
    pub fn new(schema: &Schema, personal: &[String]) -> Layout {
        let mut layout = Layout {
            leaves: Vec::new(),
            left_out: 0,
            steps: Vec::new(),
        };
        let mut open = Vec::new();
        match &schema.root().kind {
            Kind::Record(record) => {
                open.push(schema.root);
                layout.record(schema, record, "", personal, &mut open);
            }
            _ => layout.leaf(schema, schema.root, "", None, personal),
        }
        layout
    }

    /// The same, of those fields alone.
    #[must_use]
    pub fn only(&self, keeps: &dyn Fn(&Leaf) -> bool) -> Layout {
        let mut layout = Layout {
            leaves: Vec::new(),
            left_out: self.left_out,
            steps: Vec::with_capacity(self.steps.len()),
        };
        for step in &self.steps {
            layout.steps.push(match *step {
                Step::Leaf { leaf, node } if keeps(&self.leaves[leaf]) => {
                    layout.leaves.push(self.leaves[leaf].clone());
                    Step::Leaf {
                        leaf: layout.leaves.len() - 1,
                        node,
                    }
                }
                Step::Leaf { node, .. } => Step::Skip(node),
                step => step,
            });
        }
        layout
    }

    /// The field of that path.
    pub fn find(&self, path: &str) -> Option<usize> {
        self.leaves.iter().position(|leaf| leaf.path == path)
    }

    fn record(
        &mut self,
        schema: &Schema,
        record: &RecordType,
        above: &str,
        personal: &[String],
        open: &mut Vec<NodeId>,
    ) {
        for field in &record.fields {
            let path = match above {
                "" => field.name.clone(),
                above => format!("{above}.{}", field.name),
            };
            let inner = schema.non_null(field.node);
            let below = inner.and_then(|inner| match &schema.node(inner).kind {
                // A type that contains itself is gone into once.
                Kind::Record(record) if !open.contains(&inner) => Some((inner, record)),
                _ => None,
            });
            let Some((inner, below)) = below else {
                let json = field.default.as_ref();
                let bytes = json.and_then(|json| default_bytes(schema, field.node, json));
                self.leaf(schema, field.node, &path, bytes, personal);
                continue;
            };
            let at = self.steps.len();
            self.steps.push(Step::Enter {
                node: field.node,
                steps: 0,
            });
            open.push(inner);
            self.record(schema, below, &path, personal, open);
            open.pop();
            self.steps[at] = Step::Enter {
                node: field.node,
                steps: self.steps.len() - at - 1,
            };
        }
    }

    fn leaf(
        &mut self,
        schema: &Schema,
        node: NodeId,
        path: &str,
        default: Option<Vec<u8>>,
        personal: &[String],
    ) {
        if self.leaves.len() == MOST_FIELDS {
            self.left_out += 1;
            self.steps.push(Step::Skip(node));
            return;
        }
        let inner = schema.non_null(node).unwrap_or(node);
        let (content, symbols) = content(schema, inner);
        let scale = match schema.node(inner).logical {
            Some(Logical::Decimal { scale, .. }) => i32::try_from(scale).unwrap_or(0),
            _ => 0,
        };
        let tagged = |tagged: &String| {
            let rest = path.strip_prefix(tagged.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.steps.push(Step::Leaf {
            leaf: self.leaves.len(),
            node,
        });
        self.leaves.push(Leaf {
            path: path.to_owned(),
            content,
            personal: personal.iter().any(tagged),
            symbols,
            default,
            inner,
            scale,
        });
    }
}

fn content(schema: &Schema, inner: NodeId) -> (Content, Vec<String>) {
    let node = schema.node(inner);
    let time = |per_second| Content::Time { per_second };
    let content = match (&node.kind, node.logical) {
        (_, Some(Logical::Date)) => time(0),
        (_, Some(Logical::TimestampMillis | Logical::LocalTimestampMillis)) => time(1_000),
        (_, Some(Logical::TimestampMicros | Logical::LocalTimestampMicros)) => time(1_000_000),
        (_, Some(Logical::TimestampNanos | Logical::LocalTimestampNanos)) => time(1_000_000_000),
        (_, Some(Logical::Decimal { .. }))
        | (Kind::Int | Kind::Long | Kind::Float | Kind::Double, _) => Content::Number,
        (Kind::String, _) => Content::Text,
        (Kind::Enum(named), _) => {
            let symbols = named.symbols.iter().take(MOST_SYMBOLS).cloned();
            return (Content::Choice, symbols.collect());
        }
        (Kind::Boolean, _) => {
            return (Content::Choice, vec!["false".to_owned(), "true".to_owned()]);
        }
        (Kind::Union(branches), _) => {
            let words = branches.iter().take(MOST_SYMBOLS).map(|branch| {
                let kind = &schema.node(*branch).kind;
                kind.name()
                    .map_or(kind.word(), |name| name.unqualified())
                    .to_owned()
            });
            return (Content::Choice, words.collect());
        }
        _ => Content::Size,
    };
    (content, Vec::new())
}

fn default_bytes(schema: &Schema, node: NodeId, json: &serde_json::Value) -> Option<Vec<u8>> {
    let value = default::value(schema, node, json).ok()?;
    if value.is_null() {
        return None;
    }
    let mut bytes = Vec::new();
    encode_node(schema, node, &value, &mut bytes).ok()?;
    Some(bytes)
}
