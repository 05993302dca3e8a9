//! A record of a table's topic: its key as text, its value as Avro bytes of the lookup's type. Input: a record and the
//! cache of schemas. What cannot be read is told from what cannot be read now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::cache::{Answer, SchemaCache};
use crate::contract::decode::{Limits, decode};
use crate::contract::plan::{Plan, Scratch};
use crate::contract::registry::{Fetched, SchemaKind};
use crate::contract::schema::{Kind, Schema};
use crate::contract::value::Value;
use crate::contract::wire;
use crate::record::Header;
use crate::transform::lookup::Bytes;

/// How long one look at the cache of schemas waits for a fetch.
const FETCH: Duration = Duration::from_secs(1);
/// Plans kept. A topic has a handful of writer schemas; made-up ids must not fill memory.
const PLANS: usize = 256;

/// Why something could not be read.
#[derive(Debug, PartialEq)]
pub(super) enum Unread {
    /// It never can be.
    Never(String),
    /// The registry does not know its schema (yet).
    Unknown(String),
    /// The registry cannot be asked now.
    NotNow(String),
}

pub(super) struct Reader {
    answer: Arc<Schema>,
    schemas: Arc<SchemaCache>,
    plans: HashMap<u32, Result<Arc<Plan>, String>>,
    /// Of [`SchemaCache::replaced`], as the plans know it.
    replaced: u64,
    scratch: Scratch,
}

impl Reader {
    pub(super) fn new(answer: Arc<Schema>, schemas: Arc<SchemaCache>) -> Reader {
        Reader {
            answer,
            replaced: schemas.replaced(),
            schemas,
            plans: HashMap::new(),
            scratch: Scratch::default(),
        }
    }

    /// A key as text: an Avro string or whole number behind a frame, UTF-8 otherwise.
    pub(super) fn key(&self, key: &[u8], headers: &[Header<'_>]) -> Result<String, Unread> {
        let has_header = headers.iter().any(|(name, _)| *name == wire::KEY_HEADER);
        // No key that is text begins with the magic byte.
        if !has_header && key.first() != Some(&0) {
            let text = std::str::from_utf8(key);
            return text
                .map(str::to_owned)
                .map_err(|_| Unread::Never("the key is neither UTF-8 text nor framed".to_owned()));
        }
        let (id, payload) =
            wire::read_key(key, headers).map_err(|error| Unread::Never(error.message))?;
        let schema = self.schema(id)?.map_err(Unread::Never)?;
        let value = decode(&schema, payload, &Limits::default())
            .map_err(|error| Unread::Never(format!("the key: {}", error.message)))?;
        match (&schema.root().kind, value) {
            (_, Value::String(text)) => Ok(text),
            (_, Value::Int(number)) if schema.root().logical.is_none() => Ok(number.to_string()),
            (_, Value::Long(number)) if schema.root().logical.is_none() => Ok(number.to_string()),
            (Kind::Enum(named), Value::Enum(index)) => {
                Ok(named.symbols.get(index).cloned().unwrap_or_default())
            }
            (kind, _) => Err(Unread::Never(format!(
                "the key is {} of schema {id}; a key is a text or a whole number",
                kind.word()
            ))),
        }
    }

    /// A value, resolved to the lookup's type.
    pub(super) fn value(&mut self, value: &[u8], headers: &[Header<'_>]) -> Result<Bytes, Unread> {
        let (id, payload) =
            wire::read(value, headers).map_err(|error| Unread::Never(error.message))?;
        let plan = self.plan(id)?.map_err(Unread::Never)?;
        match plan.run(payload, &Limits::default(), &mut self.scratch) {
            Ok(view) => Ok(view.bytes.into()),
            Err(error) => Err(Unread::Never(error.with_schema(id).to_string())),
        }
    }

    fn plan(&mut self, id: u32) -> Result<Result<Arc<Plan>, String>, Unread> {
        let replaced = self.schemas.replaced();
        if self.plans.len() >= PLANS || std::mem::replace(&mut self.replaced, replaced) != replaced
        {
            self.plans.clear();
        }
        if let Some(plan) = self.plans.get(&id) {
            return Ok(plan.clone());
        }
        let plan = self.schema(id)?.and_then(|writer| {
            Plan::compile_shared(Arc::new(writer), &self.answer, &[])
                .map(Arc::new)
                .map_err(|error| error.with_schema(id).to_string())
        });
        self.plans.insert(id, plan.clone());
        Ok(plan)
    }

    /// A schema, or why its text is none.
    fn schema(&self, id: u32) -> Result<Result<Schema, String>, Unread> {
        match self.schemas.wait(id, FETCH) {
            Answer::Ready(fetched) => {
                Ok(parse(&fetched).map_err(|why| format!("schema {id}: {why}")))
            }
            Answer::Unknown => Err(Unread::Unknown(format!(
                "the registry knows no schema {id}"
            ))),
            Answer::Pending => Err(Unread::NotNow(format!("schema {id} is being fetched"))),
            Answer::Unavailable { message, .. } => Err(Unread::NotNow(message)),
        }
    }
}

fn parse(fetched: &Fetched) -> Result<Schema, String> {
    match fetched.kind {
        SchemaKind::Avro => {
            let schema = Schema::parse(&fetched.text, &fetched.references);
            schema.map_err(|error| error.to_string())
        }
        kind => Err(format!("{kind:?}, and Avro is needed")),
    }
}
