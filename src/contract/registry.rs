//! The schema registry's REST API. Input: ids, subjects, schema texts. Output: schemas with their references resolved,
//! or a [`RegistryError`] that keeps "does not exist" apart from "could not be asked". Knows nothing of caches, records
//! or what a schema means.
//!
//! Fetching, looking up and registering go through `schema_registry_converter`'s calls, below its caches (they keep
//! outages for ever and never evict) and without its references (it pastes texts). Its errors drop the status and the
//! `Retry-After` header, and its fetches send no `Accept`: [`http::observe`] sits in its middleware seat, sees each request
//! and answer first, and hands a typed [`Failure`] through. What the crate lacks (compatibility with reasons, levels,
//! ping) goes over a second client of the same making.

mod answer;
mod http;
mod levels;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, HeaderValue};
use reqwest_middleware::{ClientWithMiddleware, RequestBuilder};
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, get_schema_by_subject_and_version, perform_sr_call,
};
use schema_registry_converter::schema_registry_common::{
    RegisteredReference, RegisteredSchema, SchemaType, SrCall,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use self::answer::{Fetched, Reference, RegistryError, SchemaKind, Version};
use self::http::{
    Failure, MEDIA_TYPE, address, causes, compact, encoded, failure_of, http_client, observe,
    typed, unanswered,
};
use super::cache::disk::{Disk, Question};
use crate::config::model::{Registry, RegistryAuth};
use crate::error::FatalError;

/// Schemas that one schema may pull in. Real ones have a handful; the bound ends a registry that answers in circles.
const MAX_REFERENCES: usize = 256;

/// How often a registration is tried again after a 409, and after how long the first time.
const RACES: u32 = 3;
const RACE_PAUSE: Duration = Duration::from_millis(50);

/// What a 404 may be about.
enum Asked<'a> {
    Id(u32),
    Version(&'a str, Option<u32>),
    Subject(&'a str),
    Nothing,
}

/// A client of one registry. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

struct Inner {
    base: String,
    auth: RegistryAuth,
    settings: SrSettings,
    http: ClientWithMiddleware,
    /// The last known good answers, for a registry that cannot be asked.
    disk: Option<Arc<Disk>>,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryClient({})", self.inner.base)
    }
}

impl RegistryClient {
    /// A client as configured. Reads certificate files; does not connect.
    pub fn new(registry: &Registry) -> Result<RegistryClient, FatalError> {
        RegistryClient::build(registry, None)
    }

    /// The same, with `registry.cache_dir` if one is set: what was kept there stands in for a registry that cannot be
    /// asked. For what must go on in an outage; not for what changes the registry or reviews it.
    pub fn lasting(registry: &Registry) -> Result<RegistryClient, FatalError> {
        RegistryClient::build(registry, registry.cache_dir.as_deref())
    }

    fn build(
        registry: &Registry,
        cache_dir: Option<&std::path::Path>,
    ) -> Result<RegistryClient, FatalError> {
        let fault = |message: String| FatalError::Start(format!("registry: {message}"));
        let (base, auth) = address(registry).map_err(fault)?;
        let mut builder = SrSettings::new_builder(base.clone());
        builder.set_timeout(registry.timeout);
        match &auth {
            RegistryAuth::None => {}
            RegistryAuth::Basic { username, password } => {
                builder.set_basic_authorization(username, Some(password.expose()));
            }
            RegistryAuth::Bearer { token } => {
                // A line break (a token read from a file) would fail every request, as if the registry were away.
                HeaderValue::from_str(token.expose()).map_err(|_| {
                    fault("the bearer token has characters that no HTTP header may carry".into())
                })?;
                builder.set_token_authorization(token.expose());
            }
        }
        let settings = builder
            .with_middleware(observe)
            .build_with(http_client(&registry.tls).map_err(fault)?)
            .map_err(|error| fault(error.to_string()))?;
        let own = http_client(&registry.tls)
            .map_err(fault)?
            .timeout(registry.timeout)
            .build()
            .map_err(|error| fault(causes(&error)))?;
        let http = reqwest_middleware::ClientBuilder::new(own)
            .with(observe)
            .build();
        let disk = cache_dir.map(|root| Disk::open(root, &base)).transpose()?;
        let inner = Inner {
            disk: disk.map(Arc::new),
            base,
            auth,
            settings,
            http,
        };
        Ok(RegistryClient {
            inner: Arc::new(inner),
        })
    }

    /// The registry's address, without credentials.
    pub fn url(&self) -> &str {
        &self.inner.base
    }

    /// What is kept of this registry, if anything is.
    pub fn disk(&self) -> Option<&Arc<Disk>> {
        self.inner.disk.as_ref()
    }

    /// The schema of an id, from the registry and nowhere else.
    pub async fn schema_by_id(&self, id: u32) -> Result<Fetched, RegistryError> {
        let schema = get_schema_by_id(id, &self.inner.settings)
            .await
            .map_err(|error| self.explain(failure_of(&error), Asked::Id(id)))?;
        self.complete(schema).await
    }

    /// The subjects that an id is registered under, those deleted softly left out. `None` from a registry that does
    /// not tell.
    pub async fn subjects_of(&self, id: u32) -> Result<Option<Vec<String>>, RegistryError> {
        #[derive(Deserialize)]
        struct At {
            subject: String,
        }
        let versions = self.at(&format!("/schemas/ids/{id}/versions"));
        match self
            .send::<Option<Vec<At>>>(self.inner.http.get(versions))
            .await
        {
            Ok(found) => {
                let mut subjects: Vec<String> = found
                    .unwrap_or_default()
                    .into_iter()
                    .map(|at| at.subject)
                    .collect();
                subjects.sort();
                subjects.dedup();
                Ok(Some(subjects))
            }
            // An optional question: only silence is an outage.
            Err(Failure::Answered { .. }) => Ok(None),
            Err(failure) => Err(self.explain(failure, Asked::Nothing)),
        }
    }

    /// A version of a subject; the latest for `None`.
    pub async fn version(
        &self,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Version, RegistryError> {
        if subject.starts_with(":.") && !self.inner.base.contains("/contexts/") {
            tracing::warn!(
                subject,
                "this subject lies in a context of the registry, and the ids in records are asked for in the default \
                 one: if the records are written in that context too, add /contexts/.NAME to registry.url"
            );
        }
        let asked = self.ask_version(subject, version).await;
        let kept = self.or_kept(Question::Version(subject, version), asked.map(Some));
        kept.and_then(|found| {
            found.ok_or_else(|| RegistryError::NoSuchVersion {
                subject: subject.to_owned(),
                version,
            })
        })
    }

    async fn ask_version(
        &self,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Version, RegistryError> {
        // Not by the crate's call, which drops what is registered beside the schema.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            id: Option<u32>,
            version: Option<u32>,
            schema: Option<String>,
            schema_type: Option<String>,
            references: Option<Vec<Reference>>,
            metadata: Option<serde_json::Value>,
            rule_set: Option<serde_json::Value>,
        }
        let number = version.map_or("latest".to_owned(), |version| version.to_string());
        let path = format!("/subjects/{}/versions/{number}", encoded(subject)?);
        let request = self.inner.http.get(self.at(&path));
        let answer = self
            .send::<Answer>(request)
            .await
            .map_err(|failure| self.explain(failure, Asked::Version(subject, version)))?;
        let (Some(id), Some(version), Some(text)) =
            (answer.id, answer.version.or(version), answer.schema)
        else {
            return Err(self.unreadable("a version without its number, id or schema"));
        };
        let direct = answer.references.unwrap_or_default().into_iter();
        let fetched = Fetched {
            id,
            // Registries leave it out where it is Avro.
            kind: answer
                .schema_type
                .as_deref()
                .map_or(SchemaKind::Avro, SchemaKind::parse),
            text,
            references: self
                .resolve(direct.map(|r| (r.subject, r.version)).collect())
                .await?,
            subjects: None,
        };
        let present = |json: &serde_json::Value| !json.is_null();
        Ok(Version {
            subject: subject.to_owned(),
            version,
            id,
            fetched,
            rule_set: answer.rule_set.filter(present),
            metadata: answer.metadata.filter(present),
        })
    }

    /// The numbers of a subject's versions, ascending, without those deleted softly.
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        let path = self.at(&format!("/subjects/{}/versions", encoded(subject)?));
        let asked = self.send::<Option<Vec<u32>>>(self.inner.http.get(path));
        let asked = match asked.await {
            Ok(versions) => {
                let mut versions = versions.unwrap_or_default();
                versions.sort_unstable();
                Ok(versions)
            }
            Err(failure) => Err(self.explain(failure, Asked::Subject(subject))),
        };
        let Some(disk) = &self.inner.disk else {
            return asked;
        };
        match &asked {
            Ok(versions) => disk.keep_versions(subject, versions),
            Err(RegistryError::NoSuchSubject(_)) => disk.keep_versions(subject, &[]),
            Err(RegistryError::Unavailable { message, .. }) => {
                if let Some(kept) = disk.versions(subject) {
                    tracing::warn!(
                        subject,
                        "going on with what was kept in registry.cache_dir: {message}"
                    );
                    return Ok(kept);
                }
            }
            Err(_) => {}
        }
        asked
    }

    /// The version under which a subject already has this schema; without its rules, which this question does not tell.
    pub async fn find(
        &self,
        subject: &str,
        text: &str,
        references: &[Reference],
    ) -> Result<Option<Version>, RegistryError> {
        let body = schema_body(text, references);
        let asked = self.ask_find(subject, text, references, &body).await;
        self.or_kept(Question::Find(subject, &body), asked)
    }

    async fn ask_find(
        &self,
        subject: &str,
        text: &str,
        references: &[Reference],
        body: &str,
    ) -> Result<Option<Version>, RegistryError> {
        let path = encoded(subject)?;
        let call = SrCall::PostForVersion(&path, body);
        let found = match perform_sr_call(&self.inner.settings, call).await {
            Ok(found) => found,
            Err(error) => {
                return match failure_of(&error) {
                    // No such subject; or the subject has it not (Apicurio says 40402 there).
                    Failure::Answered {
                        status: 404,
                        code: Some(40401..=40403),
                        ..
                    } => Ok(None),
                    failure => Err(self.explain(failure, Asked::Subject(subject))),
                };
            }
        };
        let (Some(id), Some(version)) = (found.id, found.version) else {
            return Err(self.unreadable("a version without id or number"));
        };
        let direct: Vec<_> = match found.references {
            Some(direct) => direct.into_iter().map(|r| (r.subject, r.version)).collect(),
            None => references
                .iter()
                .map(|r| (r.subject.clone(), r.version))
                .collect(),
        };
        let fetched = Fetched {
            id,
            kind: SchemaKind::Avro,
            text: found.schema.unwrap_or_else(|| text.to_owned()),
            references: self.resolve(direct).await?,
            subjects: None,
        };
        Ok(Some(Version {
            subject: subject.to_owned(),
            version,
            id,
            fetched,
            rule_set: None,
            metadata: None,
        }))
    }

    /// Registers an Avro schema as a new version of a subject, unless it is one already. The schema's id.
    pub async fn register(
        &self,
        subject: &str,
        text: &str,
        references: &[Reference],
    ) -> Result<u32, RegistryError> {
        let path = encoded(subject)?;
        let body = schema_body(text, references);
        let mut losses = 0;
        let registered = loop {
            let call = SrCall::PostNew(&path, &body);
            let error = match perform_sr_call(&self.inner.settings, call).await {
                Ok(registered) => break registered,
                Err(error) => self.explain(failure_of(&error), Asked::Subject(subject)),
            };
            // Of several first registrations of a subject at once, which is what instances that start together do,
            // Apicurio answers all but one with 409. A schema that is really incompatible is so the next time too.
            if !matches!(error, RegistryError::Incompatible { .. }) || losses == RACES {
                return Err(error);
            }
            losses += 1;
            tokio::time::sleep(RACE_PAUSE * losses).await;
        };
        registered
            .id
            .ok_or_else(|| self.unreadable("a registration without an id"))
    }

    /// Whether a registry answers at this address and takes the credentials.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let request = self.inner.http.get(self.at("/schemas/types"));
        self.send::<Option<Vec<String>>>(request)
            .await
            .map(drop)
            .map_err(|failure| self.explain(failure, Asked::Nothing))
    }

    /// Keeps an answer, forgets what does not exist, and takes what was kept where the registry could not be asked.
    fn or_kept(
        &self,
        question: Question<'_>,
        asked: Result<Option<Version>, RegistryError>,
    ) -> Result<Option<Version>, RegistryError> {
        let Some(disk) = &self.inner.disk else {
            return asked;
        };
        match &asked {
            Ok(Some(found)) => disk.keep_version(question, found),
            Ok(None)
            | Err(RegistryError::NoSuchSubject(_) | RegistryError::NoSuchVersion { .. }) => {
                disk.forget(question);
            }
            Err(RegistryError::Unavailable { message, .. }) => {
                if let Some(kept) = disk.version(question) {
                    tracing::warn!(
                        subject = kept.subject,
                        version = kept.version,
                        id = kept.id,
                        "going on with what was kept in registry.cache_dir: {message}"
                    );
                    return Ok(Some(kept));
                }
            }
            Err(_) => {}
        }
        asked
    }

    async fn complete(&self, schema: RegisteredSchema) -> Result<Fetched, RegistryError> {
        let direct = schema
            .references
            .into_iter()
            .map(|r| (r.subject, r.version))
            .collect();
        Ok(Fetched {
            id: schema.id,
            kind: match schema.schema_type {
                SchemaType::Avro => SchemaKind::Avro,
                SchemaType::Json => SchemaKind::Json,
                SchemaType::Protobuf => SchemaKind::Protobuf,
                _ => SchemaKind::Other,
            },
            text: schema.schema,
            references: self.resolve(direct).await?,
            subjects: None,
        })
    }

    /// The texts behind references, depth first, each after its own. A subject and version that was seen is not
    /// visited again, so a circle ends.
    async fn resolve(&self, direct: Vec<(String, u32)>) -> Result<Vec<String>, RegistryError> {
        enum Step {
            Visit(String, u32),
            Emit(String),
        }
        let mut texts: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        let visit = |(subject, version)| Step::Visit(subject, version);
        let mut stack: Vec<Step> = direct.into_iter().rev().map(visit).collect();
        while let Some(step) = stack.pop() {
            let (subject, version) = match step {
                Step::Visit(subject, version) => (subject, version),
                Step::Emit(text) => {
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                    continue;
                }
            };
            if !seen.insert((subject.clone(), version)) {
                continue;
            }
            if seen.len() > MAX_REFERENCES {
                return Err(self.unreadable("a schema with more than 256 references"));
            }
            let path = encoded(&subject)?;
            let schema =
                get_schema_by_subject_and_version(&self.inner.settings, &path, Some(version))
                    .await
                    .map_err(|error| {
                        self.missing_reference(&subject, version, failure_of(&error))
                    })?;
            stack.push(Step::Emit(schema.schema));
            let deeper = schema.references.into_iter().rev();
            stack.extend(deeper.map(|r: RegisteredReference| visit((r.subject, r.version))));
        }
        Ok(texts)
    }

    /// A reference that is not there is the registry's trouble (a late replica, a forced deletion), not the schema's.
    fn missing_reference(&self, subject: &str, version: u32, failure: Failure) -> RegistryError {
        let (message, retry_after) = match self.explain(failure, Asked::Nothing) {
            RegistryError::Unavailable {
                message,
                retry_after,
            } => (message, retry_after),
            other => (other.to_string(), None),
        };
        RegistryError::Unavailable {
            message: format!("reference to subject {subject:?} version {version}: {message}"),
            retry_after,
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.inner.base)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let request = request.header(CONTENT_TYPE, MEDIA_TYPE);
        let request = match &self.inner.auth {
            RegistryAuth::None => request,
            RegistryAuth::Basic { username, password } => {
                request.basic_auth(username, Some(password.expose()))
            }
            RegistryAuth::Bearer { token } => request.bearer_auth(token.expose()),
        };
        let response = request.send().await.map_err(typed)?;
        let body = response
            .text()
            .await
            .map_err(|error| unanswered(error.into()))?;
        serde_json::from_str(&body)
            .map_err(|_| Failure::Unanswered("the answer is not a registry's".to_owned()))
    }

    fn unreadable(&self, what: &str) -> RegistryError {
        RegistryError::Unavailable {
            message: format!("registry {}: answered with {what}", self.inner.base),
            retry_after: None,
        }
    }

    fn explain(&self, failure: Failure, asked: Asked<'_>) -> RegistryError {
        let base = &self.inner.base;
        let (status, code, message, retry_after) = match failure {
            Failure::Answered {
                status,
                code,
                message,
                retry_after,
            } => (status, code, message, retry_after),
            Failure::Unanswered(message) => {
                return RegistryError::Unavailable {
                    message: format!("registry {base}: {message}"),
                    retry_after: None,
                };
            }
        };
        match (status, code, asked) {
            (404, Some(40403), Asked::Id(id)) => return RegistryError::UnknownId(id),
            (404, Some(40401), Asked::Version(subject, _) | Asked::Subject(subject)) => {
                return RegistryError::NoSuchSubject(subject.to_owned());
            }
            (404, Some(40402), Asked::Version(subject, version)) => {
                return RegistryError::NoSuchVersion {
                    subject: subject.to_owned(),
                    version,
                };
            }
            _ => {}
        }
        let meaning = match status {
            409 => return RegistryError::Incompatible { message },
            300..=399 => "redirects, which are not followed: give the address that it redirects to",
            401 => "does not take the credentials",
            403 => "forbids this",
            404 => "answered that there is nothing at this address",
            408 | 504 => "gave up waiting",
            429 => "asks for fewer requests",
            400..=499 => return RegistryError::Refused { status, message },
            _ => "failed",
        };
        RegistryError::Unavailable {
            message: format!("registry {base} {meaning} (HTTP {status}): {message}"),
            retry_after,
        }
    }
}

fn schema_body(text: &str, references: &[Reference]) -> String {
    let mut body = json!({ "schema": compact(text), "schemaType": "AVRO" });
    // Karapace refuses Avro references even when there are none.
    if !references.is_empty() {
        body["references"] = json!(references);
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{RegistryTls, Secret};

    fn settings(url: &str, auth: RegistryAuth) -> Registry {
        Registry {
            url: url.to_owned(),
            auth,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_no_request_could_carry_is_refused_at_once() {
        let token = |token: &str| RegistryAuth::Bearer {
            token: Secret::new(token),
        };
        assert!(RegistryClient::new(&settings("http://host", token("a.b-c"))).is_ok());
        assert!(RegistryClient::new(&settings("http://host", token("a\nb"))).is_err());
        assert!(RegistryClient::new(&settings("ftp://host", RegistryAuth::None)).is_err());
        let mut half = settings("https://host", RegistryAuth::None);
        half.tls.cert = Some("/nowhere/cert.pem".into());
        let error = RegistryClient::new(&half).expect_err("half a client certificate");
        assert!(error.to_string().contains("auth.tls.key"), "{error}");
        half.tls = RegistryTls {
            ca: Some("/nowhere/ca.pem".into()),
            ..RegistryTls::default()
        };
        let error = RegistryClient::new(&half).expect_err("no such file");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
