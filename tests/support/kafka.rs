//! A real Apache Kafka of a test's own: one KRaft node, its data in a folder of its own, on ports that it keeps when it
//! is restarted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;
use tempfile::TempDir;

use super::acl::{self, Right};
use super::certificates::{self, Certificates};
use super::process::Server;
use super::skip::{java, real_part};
use super::{ports, scram, topics, wait};

/// What may differ from one broker to the next.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lines of server.properties, after ours: the last one wins.
    pub properties: Vec<(String, String)>,
    /// What clients are told to connect to instead of the broker's own address: a [`Proxy`](super::Proxy)'s.
    pub advertised: Option<String>,
}

impl Options {
    /// Adds a line of server.properties.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Options {
        self.properties.push((key.to_owned(), value.into()));
        self
    }
}

/// A running (or stopped) broker. Dropping it kills the process and removes its data.
pub struct RealKafka {
    server: Option<Server>,
    libs: PathBuf,
    folder: TempDir,
    client_port: u16,
}

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(45);

impl RealKafka {
    /// Starts a broker and waits until it serves; `None`, and a skip, where Kafka has not been fetched.
    pub fn start(options: Options) -> Option<RealKafka> {
        let libs = real_part("kafka")?.join("libs");
        Some(RealKafka::on_free_ports(&libs, |folder, client_port| {
            let controller = ports::free();
            let advertised = options
                .advertised
                .clone()
                .unwrap_or_else(|| format!("127.0.0.1:{client_port}"));
            let mut lines = base(folder, controller);
            lines.extend(pairs(&[
                (
                    "listeners",
                    &format!(
                        "PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller}"
                    ),
                ),
                ("advertised.listeners", &format!("PLAINTEXT://{advertised}")),
            ]));
            lines.extend(options.properties.clone());
            Layout {
                lines,
                users: Vec::new(),
            }
        }))
    }

    /// Formats and starts; on other ports and in another folder if it does not come up, since a port that was free a
    /// moment ago may have been taken.
    fn on_free_ports(libs: &Path, layout: impl Fn(&Path, u16) -> Layout) -> RealKafka {
        let mut last = String::new();
        for _ in 0..3 {
            let folder = TempDir::with_prefix("driftgate-kafka-").expect("a temporary folder");
            let client_port = ports::free();
            let layout = layout(folder.path(), client_port);
            let mut kafka = RealKafka::formatted(libs, folder, client_port, &layout, &cluster_id());
            match kafka.try_launch() {
                Ok(()) => return kafka,
                Err(log) => last = log,
            }
        }
        panic!("a broker did not come up three times; the end of its log:\n{last}");
    }

    /// A broker with its files written, not started.
    pub(super) fn formatted(
        libs: &Path,
        folder: TempDir,
        client_port: u16,
        layout: &Layout,
        cluster: &str,
    ) -> RealKafka {
        layout.write(folder.path());
        let kafka = RealKafka {
            server: None,
            libs: libs.to_owned(),
            folder,
            client_port,
        };
        kafka.format(&layout.users, cluster);
        kafka
    }

    /// `127.0.0.1:port`. The broker itself, even where a proxy is advertised.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// A client configuration for it (not for [`SecureKafka`], which has its own).
    pub fn client(&self) -> ClientConfig {
        topics::client(&self.bootstrap())
    }

    /// SIGTERM: a controlled shutdown.
    pub fn stop(&mut self) {
        let server = self.server.take().expect("the broker runs");
        server.stop(STOP_LIMIT);
    }

    /// SIGKILL: what the broker had not written is gone.
    pub fn kill(&mut self) {
        self.server.take().expect("the broker runs").kill();
    }

    /// Starts the stopped or killed broker again, on its ports and its data, and waits until it serves.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the broker runs already");
        if let Err(log) = self.try_launch() {
            panic!("the broker did not come back; the end of its log:\n{log}");
        }
    }

    /// [`stop`](Self::stop) and [`start_again`](Self::start_again).
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// SIGSTOP: connections stay open and nothing answers, as with a broker in trouble.
    pub fn pause(&self) {
        self.running().signal(Signal::STOP);
    }

    /// SIGCONT after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    /// How many bytes a second producers may write that call themselves `client`: the broker makes them wait for what is
    /// more. `None` takes the limit away.
    pub fn limit_producers(&self, client: &str, bytes: Option<u32>) {
        let change = match bytes {
            Some(bytes) => [
                "--add-config".to_owned(),
                format!("producer_byte_rate={bytes}"),
            ],
            None => [
                "--delete-config".to_owned(),
                "producer_byte_rate".to_owned(),
            ],
        };
        let mut command = java_command(&self.libs);
        command
            .args(["kafka.admin.ConfigCommand", "--bootstrap-server"])
            .arg(self.bootstrap())
            .args([
                "--alter",
                "--entity-type",
                "clients",
                "--entity-name",
                client,
            ])
            .args(change);
        run(command, "changing a client's quota");
    }

    /// Where Kafka's programs are.
    pub(super) fn libs(&self) -> &Path {
        &self.libs
    }

    /// The broker's folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn running(&self) -> &Server {
        self.server.as_ref().expect("the broker runs")
    }

    fn format(&self, users: &[Login], cluster: &str) {
        let mut format = java_command(&self.libs);
        format
            .arg("kafka.tools.StorageTool")
            .args(["format", "-t", cluster, "-c"])
            .arg(self.folder.path().join("server.properties"));
        for Login { username, password } in users {
            format.arg("--add-scram").arg(format!(
                "SCRAM-SHA-512=[name={username},password={password}]"
            ));
        }
        run(format, "formatting the broker's storage");
    }

    fn try_launch(&mut self) -> Result<(), String> {
        self.launch();
        self.serves()
    }

    /// Starts the process.
    pub(super) fn launch(&mut self) {
        let mut arguments: Vec<String> = JVM.map(String::from).to_vec();
        arguments.push("-Xmx512m".into());
        arguments.push(log_configuration());
        arguments.extend(["-cp".into(), class_path(&self.libs), "kafka.Kafka".into()]);
        arguments.push(
            self.folder
                .path()
                .join("server.properties")
                .display()
                .to_string(),
        );
        let log = self.folder.path().join("broker.log");
        self.server = Some(Server::start(&java(), arguments, &[], &log));
    }

    /// Waits until it serves. If it does not, the end of its log; it runs no more then.
    pub(super) fn serves(&mut self) -> Result<(), String> {
        let mut server = self.server.take().expect("the broker was started");
        let serves = wait::within(START_LIMIT, || {
            if !server.runs() {
                return Some(false);
            }
            let address = ([127, 0, 0, 1], self.client_port).into();
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
                .is_ok()
                .then_some(true)
        });
        // Another process on the port would also accept: ours must still run.
        if serves == Some(true) && server.runs() {
            self.server = Some(server);
            Ok(())
        } else {
            Err(server.tail())
        }
    }
}

/// A user and what it proves itself with.
#[derive(Debug, Clone)]
pub struct Login {
    /// Name; the principal is `User:<name>`.
    pub username: String,
    /// Password.
    pub password: String,
}

impl Login {
    fn new(username: &str) -> Login {
        Login {
            username: username.to_owned(),
            password: format!("{username}-{}", uuid::Uuid::new_v4().simple()),
        }
    }
}

/// A broker that asks for SASL (SCRAM-SHA-512) over TLS and allows only what an ACL allows.
pub struct SecureKafka {
    /// The broker: to stop, kill and restart it.
    pub kafka: RealKafka,
    /// The authority that signed its certificate, and the rest.
    pub certificates: Certificates,
    /// May do everything.
    pub admin: Login,
    /// May do nothing until [`allow`](Self::allow).
    pub app: Login,
}

impl RealKafka {
    /// Starts a broker with SASL_SSL and ACLs; `None`, and a skip, where Kafka has not been fetched.
    pub fn sasl_ssl() -> Option<SecureKafka> {
        let libs = real_part("kafka")?.join("libs");
        let (admin, app) = (Login::new("admin"), Login::new("app"));
        let kafka = RealKafka::on_free_ports(&libs, |folder, client_port| {
            let keystore = certificates::make(folder).keystore;
            let (controller, internal) = (ports::free(), ports::free());
            let mut lines = base(folder, controller);
            lines.extend(pairs(&[
                // The broker talks to itself on a listener of its own; clients know only the first one.
                ("listeners", &format!("SASL_SSL://127.0.0.1:{client_port},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}")),
                ("advertised.listeners", &format!("SASL_SSL://127.0.0.1:{client_port},INTERNAL://127.0.0.1:{internal}")),
                ("listener.security.protocol.map", "SASL_SSL:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"),
                ("inter.broker.listener.name", "INTERNAL"),
                ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
                ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required;"),
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.location", &keystore.display().to_string()),
                ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
                // A login holds for so long: then it is asked for again, as with credentials that expire.
                ("connections.max.reauth.ms", "10000"),
                ("super.users", &format!("User:{};User:ANONYMOUS", admin.username)),
                ("allow.everyone.if.no.acl.found", "false"),
            ]));
            Layout {
                lines,
                users: vec![admin.clone(), app.clone()],
            }
        });
        let secure = SecureKafka {
            certificates: Certificates {
                ca: kafka.folder.path().join("ca.pem"),
                certificate: kafka.folder.path().join("server.pem"),
                key: kafka.folder.path().join("server.key"),
                keystore: kafka.folder.path().join("keystore.pem"),
            },
            kafka,
            admin,
            app,
        };
        // The credentials reach the broker with its metadata, a moment after its port opens.
        wait::eventually(START_LIMIT, "the admin's credentials work", || {
            let client: BaseConsumer = secure
                .client(&secure.admin)
                .create()
                .expect("a valid configuration");
            client.fetch_metadata(None, Duration::from_secs(5)).is_ok()
        });
        Some(secure)
    }
}

impl SecureKafka {
    /// `127.0.0.1:port`
    pub fn bootstrap(&self) -> String {
        self.kafka.bootstrap()
    }

    /// The librdkafka properties that `login` needs, as they would stand under `kafka.properties`.
    pub fn properties(&self, login: &Login) -> Vec<(String, String)> {
        pairs(&[
            ("security.protocol", "SASL_SSL"),
            (
                "ssl.ca.location",
                &self.certificates.ca.display().to_string(),
            ),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", &login.username),
            ("sasl.password", &login.password),
        ])
    }

    /// A client configuration that speaks as `login`.
    pub fn client(&self, login: &Login) -> ClientConfig {
        let mut config = topics::client(&self.bootstrap());
        for (key, value) in self.properties(login) {
            config.set(key, value);
        }
        config
    }

    /// Allows the app all of this, at once.
    pub fn allow(&self, rights: &[Right]) {
        acl::allow(&self.client(&self.admin), &self.app.username, rights);
    }

    /// Takes all of this away from the app.
    pub fn withdraw(&self, rights: &[Right]) {
        acl::withdraw(&self.client(&self.admin), &self.app.username, rights);
    }

    /// Makes the app's password its password again, or nobody's.
    pub fn set_app_password(&self, is_valid: bool) {
        let password = is_valid.then_some(self.app.password.as_str());
        scram::set(&self.client(&self.admin), &self.app.username, password);
    }
}

/// What a broker is made of before it starts.
pub(super) struct Layout {
    pub(super) lines: Vec<(String, String)>,
    pub(super) users: Vec<Login>,
}

impl Layout {
    fn write(&self, folder: &Path) {
        let text: String = self
            .lines
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect();
        std::fs::write(folder.join("server.properties"), text)
            .expect("the broker's folder can be written");
    }
}

/// One node that is broker and controller, with every internal topic on itself.
pub(super) fn base(folder: &Path, controller: u16) -> Vec<(String, String)> {
    pairs(&[
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        (
            "controller.quorum.voters",
            &format!("1@127.0.0.1:{controller}"),
        ),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", &folder.join("data").display().to_string()),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("transaction.state.log.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        // Some tests write records with timestamps of years ago.
        ("log.retention.ms", "-1"),
        // Readers of what is committed wait for the transaction of a killed instance until the broker looks, which it does
        // every ten seconds by default.
        (
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            "500",
        ),
        ("auto.create.topics.enable", "false"),
    ])
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Quick to start rather than quick in the long run.
const JVM: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

fn class_path(libs: &Path) -> String {
    libs.join("*").display().to_string()
}

fn log_configuration() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/real/log4j2.properties");
    format!("-Dlog4j2.configurationFile={}", file.display())
}

pub(super) fn java_command(libs: &Path) -> Command {
    let mut command = Command::new(java());
    command
        .args(JVM)
        .arg(log_configuration())
        .args(["-cp", &class_path(libs)]);
    command
}

pub(super) fn run(mut command: Command, what: &str) {
    let output = command.output().expect("java can be run");
    assert!(
        output.status.success(),
        "{what} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// 16 random bytes in URL-safe base64, as Kafka writes its ids. One that begins with a dash would be taken for an option.
pub(super) fn cluster_id() -> String {
    use base64::Engine;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = uuid::Uuid::new_v4().into_bytes();
    bytes[0] &= 0x7f; // the first letter is of A to f
    engine.encode(bytes)
}
