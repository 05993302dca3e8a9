//! docker-compose.yml and deploy/Dockerfile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use driftgate::config;
use driftgate::config::model::Config;
use driftgate::embedded::registry::EmbeddedRegistry;
use serde_json::Value;

use crate::{file, text, yaml};

const INSTANCES: [&str; 2] = ["driftgate-1", "driftgate-2"];

fn compose() -> Value {
    yaml::read(&file("docker-compose.yml"))
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = compose["services"].as_object().expect("services");
    services
        .iter()
        .map(|(name, service)| (name.as_str(), service))
}

fn texts(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| item.as_str().expect("a text"))
        .collect()
}

/// The service's environment, as the container sees it.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let entries = service["environment"].as_object().expect("an environment");
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    entries
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// What is mounted: path on the host, path in the container, options. Named volumes are left out.
fn mounts(service: &Value) -> Vec<(String, String, String)> {
    let mut mounts = Vec::new();
    for volume in texts(&service["volumes"]) {
        let mut parts = volume.split(':').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let (from, to, options) = (part(), part(), part());
        if from.starts_with('.') {
            mounts.push((from, to, options));
        }
    }
    mounts
}

/// The file of the repository that a path in the container means.
fn on_host(service: &Value, path: &str) -> PathBuf {
    let directory = service["working_dir"].as_str().expect("a folder");
    let mut absolute = PathBuf::new();
    for part in Path::new(directory).join(path).components() {
        match part.as_os_str().to_str() {
            Some("..") => drop(absolute.pop()),
            _ => absolute.push(part),
        }
    }
    let mounts = mounts(service);
    let found = mounts.iter().find_map(|(from, to, _)| {
        let rest = absolute.strip_prefix(to).ok()?;
        match rest.as_os_str().is_empty() {
            true => Some(file(from)),
            false => Some(file(from).join(rest)),
        }
    });
    found.unwrap_or_else(|| panic!("{path} is not mounted"))
}

/// The service's own command line, with its paths turned into those of the repository.
fn run(service: &Value, extra: &[&str], environment: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
    for argument in texts(&service["command"]) {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) => (Some(option), value),
            None => (None, argument),
        };
        let is_path = value.contains('/') && !value.ends_with("/s") || value.ends_with(".yaml");
        let value = match is_path {
            true => on_host(service, value).display().to_string(),
            false => value.to_owned(),
        };
        command.arg(match option {
            Some(option) => format!("{option}={value}"),
            None => value,
        });
    }
    command
        .args(extra)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command.output().expect("the program starts")
}

fn assert_ok(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

/// The configuration as an instance in a container loads it.
pub(crate) fn configuration() -> Config {
    let compose = compose();
    let environment = environment(&compose["services"]["driftgate-1"]);
    let vars = |name: &str| environment.get(name).cloned();
    let loaded = config::load(&file("deploy/driftgate.yaml"), &vars);
    loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config
}

#[test]
fn check_accepts_the_pipeline_with_the_environment_of_an_instance_and_without_any() {
    let compose = compose();
    for name in INSTANCES {
        let service = &compose["services"][name];
        assert_eq!(
            on_host(service, "driftgate.yaml"),
            file("./deploy/driftgate.yaml")
        );
        for environment in [environment(service), BTreeMap::new()] {
            let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
                .args(["check", "--offline", "-c"])
                .arg(file("deploy/driftgate.yaml"))
                .env_clear()
                .envs(&environment)
                .output()
                .expect("the program starts");
            assert!(assert_ok(&output).contains("orders.orders-gate.dlq"));
            let stderr = String::from_utf8_lossy(&output.stderr);
            // A flood that runs through is what `careless-producer` shows.
            let notes = "note: pipeline clean-orders: nothing stops a flood of dead letters; failure.dead_letter.pause_above or \
                         pause_after does\n\
                         note: --offline: rules that the registry keeps with a subject are not looked at\n";
            assert_eq!(stderr, format!("{notes}check: ok\n"), "no warning either");
        }
    }
}

/// Every file that the configuration names is there under that path in the container too.
#[test]
fn the_files_of_the_pipeline_are_mounted() {
    let compose = compose();
    let pipeline = text("deploy/driftgate.yaml");
    let names = regex::Regex::new(r"(?m)(?:schema|rules|type): ([^\s,}]+)").expect("a pattern");
    for name in INSTANCES.iter().chain(&["schemas"]) {
        let service = &compose["services"][name];
        let mut count = 0;
        for found in names.captures_iter(&pipeline) {
            let path = on_host(service, &found[1]);
            assert!(path.is_file(), "{name}: {}", path.display());
            count += 1;
        }
        assert_eq!(count, 4, "paths in deploy/driftgate.yaml");
        let secret = &service["secrets"][0];
        let directory = service["working_dir"].as_str().expect("a folder");
        assert!(pipeline.contains("${file:admin-token}"));
        assert_eq!(
            secret["target"].as_str(),
            Some(format!("{directory}/admin-token").as_str())
        );
    }
}

/// The containers' own command lines, on an embedded registry.
#[test]
fn the_schemas_register_and_the_rows_of_both_producers_are_valid() {
    let compose = compose();
    let registry = EmbeddedRegistry::start().expect("a registry");
    let environment = [("SCHEMA_REGISTRY_URL", registry.url())];
    let registered = {
        let service = &compose["services"]["schemas"];
        // Beside the file, where the secret is in a checkout; the command names it without a folder.
        assert_eq!(
            texts(&service["command"]),
            ["schema", "register", "-c", "driftgate.yaml"]
        );
        assert_ok(&run(service, &[], &environment))
    };
    for subject in ["orders-value", "orders.clean-value"] {
        let line = registered.lines().find(|line| line.starts_with(subject));
        let line = line.unwrap_or_else(|| panic!("{subject} in:\n{registered}"));
        assert!(line.ends_with("BACKWARD_TRANSITIVE"), "{line}");
    }
    for (producer, rows) in [("producer", 1200), ("careless-producer", 60)] {
        let service = &compose["services"][producer];
        let out = assert_ok(&run(
            service,
            &["--dry-run", "--output", "json"],
            &environment,
        ));
        let summary: Value = serde_json::from_str(&out).expect("a summary");
        assert_eq!(
            (&summary["valid"], &summary["rejected"]),
            (&rows.into(), &0.into()),
            "{producer}: {summary}"
        );
        assert_eq!(summary["topic"], "orders");
    }
}

/// What is wrong with the sample is known by number, and the other producer differs from the contract in one thing.
#[test]
fn the_sample_strains_the_rules_and_the_careless_producer_differs_in_its_status() {
    let rows: Vec<Value> = text("deploy/sample/orders.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    let count = |test: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| test(row)).count();
    assert_eq!(count(&|row| row["currency"] == "TEST"), 24, "filtered");
    assert_eq!(count(&|row| row["currency"] == "EURO"), 10);
    assert_eq!(count(&|row| row["amount"] == "0.00"), 8);
    assert_eq!(count(&|row| row["quantity"] == 0), 6);
    assert_eq!(
        count(&|row| row["customer_id"] == "C-9999"),
        4,
        "unknown to the CRM"
    );
    assert_eq!(
        count(&|row| row["note"].as_str().is_some_and(|note| note.len() > 200)),
        3
    );
    // 10 + 8 + 6 + 4 dead letters; a long note only warns.
    let readme = text("README.md").replace('\n', " ");
    assert!(readme.contains(
        "Of the 1,200 orders that go round, 1,148 come out, 24 are filtered and 28 are dead letters"
    ));
    let contract: Value = serde_json::from_str(&text("schemas/orders-value.avsc")).expect("JSON");
    let drifted: Value = serde_json::from_str(&text("deploy/sample/drifted.avsc")).expect("JSON");
    let differing: Vec<&Value> = contract["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(drifted["fields"].as_array().into_iter().flatten())
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, _)| &ours["name"])
        .collect();
    assert_eq!(differing, ["status"]);
}

#[test]
fn images_are_pinned_ports_are_local_and_services_are_guarded() {
    let compose = compose();
    let one_shot = ["topics", "schemas", "careless-producer"];
    for (name, service) in services(&compose) {
        let image = service["image"].as_str().expect("an image");
        let (_, tag) = image.rsplit_once(':').expect("a tag");
        assert!(
            tag.contains('.') && !tag.contains("latest"),
            "{name}: {image}"
        );
        for port in texts(&service["ports"]) {
            let parts: Vec<&str> = port.split(':').collect();
            assert_eq!(parts[0], "127.0.0.1", "{name}: {port}");
            for number in &parts[1..] {
                assert!(
                    number.parse::<u16>().expect("a port") >= 1024,
                    "{name}: {port}"
                );
            }
        }
        assert!(service.get("privileged").is_none(), "{name}");
        let restart = service["restart"].as_str().expect("a restart policy");
        if one_shot.contains(&name) {
            assert!(restart == "no" || restart == "on-failure:5", "{name}");
        } else {
            assert_eq!(restart, "unless-stopped", "{name}");
            assert!(service["healthcheck"].is_object(), "{name}");
        }
    }
    let published: Vec<&str> = services(&compose)
        .flat_map(|(_, service)| texts(&service["ports"]))
        .map(|port| port.split(':').nth(1).unwrap_or_default())
        .collect();
    let mut distinct = published.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), published.len(), "{published:?}");
}

#[test]
fn what_a_service_refers_to_is_there() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for (from, to, options) in mounts(service) {
            assert!(file(&from).exists(), "{name}: {from}");
            assert!(to.starts_with('/') && options == "ro", "{name}: {to}");
        }
        for volume in texts(&service["volumes"]) {
            let from = volume.split(':').next().unwrap_or_default();
            if !from.starts_with('.') {
                assert!(
                    compose["volumes"].get(from).is_some(),
                    "{name}: volume {from}"
                );
            }
        }
        for (other, condition) in service["depends_on"].as_object().into_iter().flatten() {
            let other_service = &compose["services"][other];
            assert!(other_service.is_object(), "{name} depends on {other}");
            match condition["condition"].as_str() {
                Some("service_healthy") => {
                    assert!(
                        other_service["healthcheck"]["test"].is_array(),
                        "{name}: {other}"
                    );
                }
                Some("service_completed_successfully") => {
                    assert_ne!(
                        other_service["restart"], "unless-stopped",
                        "{name}: {other}"
                    );
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let secrets = service["secrets"].as_array();
        for secret in secrets.into_iter().flatten() {
            let secret = secret["source"].as_str().expect("a source");
            assert!(compose["secrets"][secret]["file"].is_string(), "{secret}");
        }
    }
    assert!(!text("deploy/admin-token").trim().is_empty());
}

/// Kafka's and the registry's addresses are those that the services are at, inside and on this machine.
#[test]
fn addresses_agree() {
    let compose = compose();
    let kafka = environment(&compose["services"]["kafka"]);
    let advertised = &kafka["KAFKA_ADVERTISED_LISTENERS"];
    let config = configuration();
    assert!(advertised.contains(&format!("INTERNAL://{}", config.kafka.bootstrap_servers)));
    assert!(advertised.contains("HOST://localhost:9092"));
    assert_eq!(
        texts(&compose["services"]["kafka"]["ports"]),
        ["127.0.0.1:9092:9092"]
    );
    assert_eq!(kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], "false");

    let path = "/apis/ccompat/v7";
    assert_eq!(config.registry.url, format!("http://registry:8080{path}"));
    assert_eq!(
        texts(&compose["services"]["registry"]["ports"]),
        ["127.0.0.1:8081:8080"]
    );
    let on_this_machine = format!("http://localhost:8081{path}");
    assert!(text("deploy/driftgate.yaml").contains(&on_this_machine));
    assert!(
        text("examples/flights/README.md")
            .contains(&format!("SCHEMA_REGISTRY_URL={on_this_machine}"))
    );
    assert!(text("README.md").contains(&on_this_machine));

    let crm = environment(&compose["services"]["driftgate-1"])["CRM_URL"].clone();
    assert_eq!(crm, "http://crm:8080");
    assert!(text("deploy/crm/nginx.conf").contains("listen 8080;"));
    for name in INSTANCES {
        let service = &compose["services"][name];
        let listen = config.admin.listen.expect("an address");
        let port = texts(&service["ports"])[0];
        assert!(port.ends_with(&format!(":{}", listen.port())), "{port}");
        assert!(listen.ip().is_unspecified() && config.admin.token.is_some());
        let grace = service["stop_grace_period"]
            .as_str()
            .and_then(|text| text.strip_suffix('s'));
        let grace: u64 = grace.and_then(|text| text.parse().ok()).expect("seconds");
        assert!(grace > config.shutdown_grace.as_secs());
    }
    let topics = texts(&compose["services"]["topics"]["command"]);
    assert!(topics.contains(&format!("--topic={}", config.pipelines[0].source_topics[0]).as_str()));
}

/// The probe of the compose file, run by bash against a server of ours: ready, not ready, nobody there.
#[test]
fn the_health_probe_tells_ready_from_not_ready() {
    let compose = compose();
    let probe = texts(&compose["services"]["driftgate-1"]["healthcheck"]["test"]);
    assert_eq!(probe[..3], ["CMD", "bash", "-c"]);
    let check = |answer: Option<&'static str>, expect: bool| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = answer.map(|answer| {
            std::thread::spawn(move || {
                use std::io::{BufRead, BufReader, Write};
                let (mut stream, _) = listener.accept().expect("a connection");
                let lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
                let request: Vec<String> = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                stream.write_all(answer.as_bytes()).expect("an answer");
                request
            })
        });
        // `$$` is compose's way to write `$`.
        let script = probe[3].replace("$$", "$");
        assert!(script.contains("127.0.0.1/9600 "), "{script}");
        let script = script.replace("127.0.0.1/9600 ", &format!("127.0.0.1/{port} "));
        let output = Command::new("bash").args(["-c", &script]).output();
        let output = output.expect("bash, as for the scripts");
        assert_eq!(output.status.success(), expect, "{answer:?}: {output:?}");
        if let Some(server) = server {
            let request = server.join().expect("the server ends");
            assert_eq!(request, ["GET /readyz HTTP/1.0"]);
        }
    };
    check(Some("HTTP/1.0 200 OK\r\n\r\n{}"), true);
    check(Some("HTTP/1.0 503 Service Unavailable\r\n\r\n{}"), false);
    check(Some("HTTP/1.0 401 Unauthorized\r\n\r\n"), false);
    check(None, false);
}

/// The Dockerfile copies what .dockerignore lets through, and only that; the compiler is the one of Cargo.toml; it runs as
/// nobody in particular.
#[test]
fn the_image_is_built_from_what_is_there() {
    let dockerfile = text("deploy/Dockerfile");
    let allowed: Vec<String> = text(".dockerignore")
        .lines()
        .filter_map(|line| line.strip_prefix('!').map(str::to_owned))
        .collect();
    let mut copied = Vec::new();
    for line in dockerfile.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("COPY") || line.contains("--from=") {
            continue;
        }
        let sources: Vec<&str> = words.collect();
        for source in &sources[..sources.len() - 1] {
            let passes = |pattern: &String| match pattern.strip_suffix('*') {
                Some(prefix) => source.starts_with(prefix),
                None => source == pattern,
            };
            assert!(
                allowed.iter().any(passes),
                "{source} is not let through by .dockerignore"
            );
            assert!(file(source).exists(), "{source}");
            copied.push(*source);
        }
    }
    assert!(
        ["Cargo.toml", "Cargo.lock", "src"]
            .iter()
            .all(|source| copied.contains(source))
    );

    let manifest = text("Cargo.toml");
    let field = |name: &str| {
        let line = manifest.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split('"').nth(1));
        value.unwrap_or_else(|| panic!("{name}")).to_owned()
    };
    let stages: Vec<&str> = dockerfile
        .lines()
        .filter(|line| line.starts_with("FROM "))
        .collect();
    assert!(
        stages[0].starts_with(&format!("FROM rust:{}.", field("rust-version"))),
        "{}",
        stages[0]
    );
    assert!(
        stages
            .iter()
            .all(|stage| stage.contains("bookworm") && !stage.contains("latest"))
    );
    let version = field("version");
    assert!(dockerfile.contains(&format!("image.version=\"{version}\"")));
    let compose = compose();
    assert_eq!(
        compose["services"]["driftgate-1"]["image"],
        format!("driftgate:{version}")
    );

    let (_, runtime) = dockerfile.rsplit_once("\nFROM ").expect("two stages");
    let user = runtime
        .lines()
        .find_map(|line| line.strip_prefix("USER "))
        .expect("USER");
    let numeric = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
    assert!(user.split(':').all(numeric), "{user}");
    assert!(runtime.contains("STOPSIGNAL SIGTERM"));
    let port = configuration().admin.listen.expect("an address").port();
    assert!(runtime.contains(&format!("EXPOSE {port}")));
}
