//! Real schema registries of a test's own. Both keep their schemas in memory only, so a restart here puts back what was
//! registered, under the same ids: to a client it is a registry that was away and has come back.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificates::{self, Certificates};
use super::kafka::Login;
use super::process::Server;
use super::skip::{java, real_part};
use super::{http, ports, wait};

/// Which product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// AxonOps Schema Registry: starts at once, keeps `metadata` and `ruleSet`.
    AxonOps,
    /// Apicurio Registry, by its Confluent-compatible interface.
    Apicurio,
}

/// TLS and basic authentication.
#[derive(Debug, Clone)]
pub struct Security {
    /// The authority that signed its certificate, and the rest.
    pub certificates: Certificates,
    /// Who may use it.
    pub login: Login,
}

/// A running (or stopped) registry. Dropping it kills the process.
pub struct Registry {
    kind: Kind,
    program: PathBuf,
    server: Option<Server>,
    folder: TempDir,
    port: u16,
    security: Option<Security>,
    kept: Vec<Version>,
    levels: Vec<(String, String)>,
}

/// One registered version, as a restart has to put it back.
#[derive(Debug, Clone)]
struct Version {
    subject: String,
    version: u64,
    id: u64,
    registration: Value,
}

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(30);

impl Registry {
    /// An AxonOps Schema Registry; `None`, and a skip, where it has not been built.
    pub fn axonops() -> Option<Registry> {
        Some(Registry::on_a_free_port(
            Kind::AxonOps,
            real_part("axonops")?.join("schema-registry"),
            false,
        ))
    }

    /// The same, over TLS and only for those who give a name and a password.
    pub fn axonops_secure() -> Option<Registry> {
        Some(Registry::on_a_free_port(
            Kind::AxonOps,
            real_part("axonops")?.join("schema-registry"),
            true,
        ))
    }

    /// An Apicurio Registry with compatibility BACKWARD; `None`, and a skip, where it has not been fetched.
    pub fn apicurio() -> Option<Registry> {
        let folder = real_part("apicurio")?;
        let runner = std::fs::read_dir(&folder)
            .expect("the fetched part can be read")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
            .expect("the fetched part has its runner");
        Some(Registry::on_a_free_port(Kind::Apicurio, runner, false))
    }

    fn on_a_free_port(kind: Kind, program: PathBuf, secure: bool) -> Registry {
        let mut last = String::new();
        for _ in 0..3 {
            let folder = TempDir::with_prefix("driftgate-registry-").expect("a temporary folder");
            let security = secure.then(|| Security {
                certificates: certificates::make(folder.path()),
                login: Login {
                    username: "gate".to_owned(),
                    password: uuid::Uuid::new_v4().simple().to_string(),
                },
            });
            let mut registry = Registry {
                kind,
                program: program.clone(),
                server: None,
                folder,
                port: ports::free(),
                security,
                kept: Vec::new(),
                levels: Vec::new(),
            };
            match registry.try_launch() {
                Ok(()) => {
                    registry.set_level("/config", "BACKWARD");
                    return registry;
                }
                Err(log) => last = log,
            }
        }
        panic!("{kind:?} did not come up three times; the end of its log:\n{last}");
    }

    /// Base URL, without a trailing slash.
    pub fn url(&self) -> String {
        let scheme = if self.security.is_some() {
            "https"
        } else {
            "http"
        };
        let path = match self.kind {
            Kind::AxonOps => "",
            Kind::Apicurio => "/apis/ccompat/v7",
        };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    /// `127.0.0.1:port`, for a [`Proxy`](super::Proxy) in front of it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Authority and login of a secure one.
    pub fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    /// Registers an Avro schema, and returns its id.
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        let (status, body) = self.post(
            &format!("/subjects/{subject}/versions"),
            json!({ "schema": schema }),
        );
        assert_eq!(status, 200, "registering {subject}: {body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["id"]
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .expect("an id")
    }

    /// `GET` on a path below the base URL, with the login if there is one.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.send(http::get(self.url() + path))
    }

    /// `POST` on a path below the base URL.
    pub fn post(&self, path: &str, body: Value) -> (u16, String) {
        self.send(http::post(self.url() + path, body))
    }

    /// `PUT` on a path below the base URL.
    pub fn put(&self, path: &str, body: Value) -> (u16, String) {
        self.send(http::put(self.url() + path, body))
    }

    fn send(&self, request: http::Request) -> (u16, String) {
        self.with_security(request)
            .send()
            .expect("the registry answers")
    }

    fn with_security(&self, request: http::Request) -> http::Request {
        match &self.security {
            Some(Security {
                certificates,
                login,
            }) => request
                .ca(&certificates.ca)
                .basic(&login.username, &login.password),
            None => request,
        }
    }

    /// Stops the process: connections are refused from here on.
    pub fn stop(&mut self) {
        self.remember();
        let server = self.server.take().expect("the registry runs");
        server.stop(STOP_LIMIT);
    }

    /// Starts it again on its port, with what was registered. Ids must come out as they were; where they cannot (a
    /// version was deleted, say) this panics rather than let a test run on other ids.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the registry runs already");
        if let Err(log) = self.try_launch() {
            panic!("the registry did not come back; the end of its log:\n{log}");
        }
        self.put_back();
    }

    /// [`stop`](Self::stop) and [`start_again`](Self::start_again).
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// SIGSTOP: connections are accepted and nothing answers.
    pub fn pause(&self) {
        self.server
            .as_ref()
            .expect("the registry runs")
            .signal(Signal::STOP);
    }

    /// SIGCONT after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.server
            .as_ref()
            .expect("the registry runs")
            .signal(Signal::CONT);
    }

    fn try_launch(&mut self) -> Result<(), String> {
        let log = self.folder.path().join("registry.log");
        let mut server = match self.kind {
            Kind::AxonOps => {
                let file = self.folder.path().join("registry.yaml");
                std::fs::write(&file, self.axonops_configuration().to_string())
                    .expect("the test's own folder");
                Server::start(
                    &self.program,
                    ["--config".into(), file.into_os_string()],
                    &[],
                    &log,
                )
            }
            Kind::Apicurio => {
                let arguments = [
                    "-Xmx512m",
                    "-XX:TieredStopAtLevel=1",
                    "-XX:+UseSerialGC",
                    "-jar",
                ]
                .map(Into::into);
                let arguments = arguments
                    .into_iter()
                    .chain([self.program.clone().into_os_string()]);
                let environment = [
                    ("QUARKUS_HTTP_HOST", "127.0.0.1".to_owned()),
                    ("QUARKUS_HTTP_PORT", self.port.to_string()),
                ];
                Server::start(&java(), arguments, &environment, &log)
            }
        };
        let answers = wait::within(START_LIMIT, || {
            if !server.runs() {
                return Some(false);
            }
            let probe = self
                .with_security(http::get(self.url() + "/subjects"))
                .send();
            matches!(probe, Ok((200, _))).then_some(true)
        });
        if answers == Some(true) && server.runs() {
            self.server = Some(server);
            Ok(())
        } else {
            Err(server.tail())
        }
    }

    /// JSON, which is YAML too.
    fn axonops_configuration(&self) -> Value {
        let security = match &self.security {
            None => json!({ "auth": { "enabled": false } }),
            Some(Security {
                certificates,
                login,
            }) => json!({
                "tls": { "enabled": true, "cert_file": certificates.certificate, "key_file": certificates.key },
                "auth": {
                    "enabled": true,
                    "methods": ["basic"],
                    "basic": { "realm": "registry" },
                    "bootstrap": { "enabled": true, "username": login.username, "password": login.password },
                },
            }),
        };
        json!({
            "server": { "host": "127.0.0.1", "port": self.port },
            "storage": { "type": "memory" },
            "compatibility": { "default_level": "BACKWARD" },
            "security": security,
        })
    }

    fn json(&self, path: &str) -> Option<Value> {
        match self.get(path) {
            (200, body) => Some(serde_json::from_str(&body).expect("JSON")),
            (404, _) => None,
            (status, body) => panic!("GET {path}: {status} {body}"),
        }
    }

    fn set_level(&self, path: &str, level: &str) {
        let (status, body) = self.put(path, json!({ "compatibility": level }));
        // Apicurio starts with none, and says that there is no such rule when it is told so.
        let is_so_already = self.kind == Kind::Apicurio && level == "NONE" && status == 404;
        assert!(
            status == 200 || is_so_already,
            "PUT {path}: {status} {body}"
        );
    }

    fn remember(&mut self) {
        let list = |value: Option<Value>| match value {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        self.kept.clear();
        self.levels.clear();
        let mut paths = vec!["/config".to_owned()];
        for subject in list(self.json("/subjects")) {
            let subject = subject.as_str().expect("a name");
            paths.push(format!("/config/{subject}"));
            for version in list(self.json(&format!("/subjects/{subject}/versions"))) {
                let version = version.as_u64().expect("a number");
                let mut registration = self
                    .json(&format!("/subjects/{subject}/versions/{version}"))
                    .expect("a version that was just listed");
                let id = registration["id"].as_u64().expect("an id");
                let fields = registration.as_object_mut().expect("an object");
                fields.retain(|key, _| {
                    ["schema", "schemaType", "references", "metadata", "ruleSet"]
                        .contains(&key.as_str())
                });
                self.kept.push(Version {
                    subject: subject.to_owned(),
                    version,
                    id,
                    registration,
                });
            }
        }
        for path in paths {
            if let Some(config) = self.json(&path) {
                let level = config["compatibilityLevel"]
                    .as_str()
                    .expect("a level")
                    .to_owned();
                self.levels.push((path, level));
            }
        }
    }

    fn put_back(&self) {
        // What was accepted once is to be accepted again, whatever the levels were at that time.
        self.set_level("/config", "NONE");
        let mut left = self.kept.clone();
        while !left.is_empty() {
            // In the order of ids, except that within a subject the order of its versions goes first.
            let next = (0..left.len())
                .filter(|&at| {
                    let mine = &left[at];
                    !left
                        .iter()
                        .any(|other| other.subject == mine.subject && other.version < mine.version)
                })
                .min_by_key(|&at| left[at].id)
                .expect("every subject has a first version");
            let Version {
                subject,
                version,
                id,
                registration,
            } = left.swap_remove(next);
            let (status, body) = self.post(&format!("/subjects/{subject}/versions"), registration);
            assert_eq!(
                status, 200,
                "putting back {subject} version {version}: {body}"
            );
            let answer: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(
                answer["id"].as_u64(),
                Some(id),
                "{subject} version {version} came back under another id"
            );
        }
        for (path, level) in &self.levels {
            self.set_level(path, level);
        }
    }
}
