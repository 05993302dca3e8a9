//! Compatibility: a subject's level, and what the registry has against a schema at it.

use serde::Deserialize;
use serde_json::json;

use super::http::{Failure, encoded};
use super::{Asked, Reference, RegistryClient, RegistryError, schema_body};

impl RegistryClient {
    /// What speaks against registering a schema now, at the subject's level; empty when nothing does, as with a
    /// subject that does not exist yet.
    pub async fn check_compatible(
        &self,
        subject: &str,
        text: &str,
        references: &[Reference],
    ) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Verdict {
            is_compatible: bool,
            messages: Option<Vec<String>>,
            /// Apicurio's word for them.
            reason: Option<String>,
        }
        let path = format!("/compatibility/subjects/{}/versions", encoded(subject)?);
        let body = schema_body(text, references);
        let ask = async |version: &str| {
            let request = self
                .inner
                .http
                .post(self.at(&format!("{path}{version}?verbose=true")));
            self.send::<Verdict>(request.body(body.clone())).await
        };
        // Without a version: all those that the level is about. Not every registry has that (Karapace), and Apicurio
        // compares with all of them at any level, which is too many where only the latest counts.
        let all = match self.compatibility(subject).await {
            Ok(level) => level.ends_with("_TRANSITIVE"),
            Err(RegistryError::NoSuchSubject(_)) => true,
            Err(error) => return Err(error),
        };
        let told = match ask(if all { "" } else { "/latest" }).await {
            Err(Failure::Answered {
                status: 404 | 405,
                code,
                ..
            }) if all && !matches!(code, Some(40401 | 40402)) => ask("/latest").await,
            told => told,
        };
        match told {
            Ok(verdict) if verdict.is_compatible => Ok(Vec::new()),
            Ok(verdict) => {
                let mut reasons = verdict.messages.unwrap_or_default();
                reasons.extend(verdict.reason);
                if reasons.is_empty() {
                    reasons.push("the registry gives no reason".to_owned());
                }
                Ok(reasons)
            }
            Err(Failure::Answered {
                status: 404,
                code: Some(40401 | 40402),
                ..
            }) => Ok(Vec::new()),
            Err(failure) => Err(self.explain(failure, Asked::Subject(subject))),
        }
    }

    /// The compatibility level that holds for a subject: its own or the global one.
    pub async fn compatibility(&self, subject: &str) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Level {
            #[serde(alias = "compatibility")]
            #[serde(rename = "compatibilityLevel")]
            level: String,
        }
        let own = self.at(&format!(
            "/config/{}?defaultToGlobal=true",
            encoded(subject)?
        ));
        match self.send::<Level>(self.inner.http.get(own)).await {
            Ok(own) => return Ok(own.level),
            // 40408: known, without a level of its own.
            Err(Failure::Answered {
                status: 404,
                code: Some(40401 | 40408),
                ..
            }) => {}
            Err(failure) => return Err(self.explain(failure, Asked::Nothing)),
        }
        let global = self.inner.http.get(self.at("/config"));
        match self.send::<Level>(global).await {
            Ok(global) => Ok(global.level),
            Err(failure) => Err(self.explain(failure, Asked::Nothing)),
        }
    }

    /// Gives a subject a compatibility level of its own.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let request = self
            .inner
            .http
            .put(self.at(&format!("/config/{}", encoded(subject)?)))
            .body(json!({ "compatibility": level }).to_string());
        self.send::<serde_json::Value>(request)
            .await
            .map(drop)
            .map_err(|failure| self.explain(failure, Asked::Subject(subject)))
    }
}
