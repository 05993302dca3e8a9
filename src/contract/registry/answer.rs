//! What the registry says, in words of its own: schemas, versions, and why there is no answer.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro, also where the registry says nothing.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol buffers.
    Protobuf,
    /// A type that only the registry knows.
    Other,
}

impl SchemaKind {
    /// The registry's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Json => "JSON",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Other => "OTHER",
        }
    }

    /// From the registry's word.
    pub fn parse(word: &str) -> SchemaKind {
        match word {
            "AVRO" => SchemaKind::Avro,
            "JSON" => SchemaKind::Json,
            "PROTOBUF" => SchemaKind::Protobuf,
            _ => SchemaKind::Other,
        }
    }
}

/// A schema as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The id that frames carry.
    pub id: u32,
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// The texts it refers to, directly or not, each after those that it needs itself, none twice.
    pub references: Vec<String>,
    /// The subjects that it is registered under; `None` where nobody asked or the registry does not tell.
    pub subjects: Option<Arc<[String]>>,
}

impl Fetched {
    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.references.iter().map(String::len).sum::<usize>()
    }
}

/// A schema as a version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: u32,
    /// The schema's id.
    pub id: u32,
    /// The schema.
    pub fetched: Fetched,
    /// The rules that are registered with it, as JSON, from a registry that keeps some.
    pub rule_set: Option<serde_json::Value>,
    /// What else is registered with it, tags of fields among it, as JSON.
    pub metadata: Option<serde_json::Value>,
}

/// What a schema needs from another subject, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Full name of the type.
    pub name: String,
    /// The subject that defines it.
    pub subject: String,
    /// And the version there.
    pub version: u32,
}

/// Why the registry did not give what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// 404 with error code 40403, and nothing else: the id does not exist.
    #[error("the registry has no schema with id {0}")]
    UnknownId(u32),
    /// 404 with error code 40401.
    #[error("the registry has no subject {0:?}")]
    NoSuchSubject(String),
    /// 404 with error code 40402.
    #[error("subject {subject:?} has no version {}", .version.map_or("at all".to_owned(), |version| version.to_string()))]
    NoSuchVersion {
        /// The subject, which exists.
        subject: String,
        /// The version; `None` when the latest was asked for.
        version: Option<u32>,
    },
    /// 409: the schema breaks the subject's compatibility level.
    #[error("not compatible: {message}")]
    Incompatible {
        /// The registry's reasons.
        message: String,
    },
    /// 422 and other refusals of what was sent, which would be refused again.
    #[error("the registry refused it (HTTP {status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The registry's words.
        message: String,
    },
    /// Everything else: no connection, a time-out, 401, 403, 408, 429, 5xx, any other 404, a redirect, an answer that
    /// does not parse. It says nothing about the schema.
    #[error("{message}")]
    Unavailable {
        /// What happened, with the registry's address.
        message: String,
        /// How long the registry asked to wait.
        retry_after: Option<Duration>,
    },
}
