//! The harness itself: what the other integration tests rest on does what it says.

mod support;

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};
use support::acl::Right;
use support::topics::{self, Write};
use support::{Bed, Options, Proxy, RealKafka, Registry, bed, eventually, http, unique};

const STRING: &str = r#""string""#;
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn records_come_back_as_they_were_written() {
    bed::each(Bed::real(), |bed| {
        let client = bed.client();
        let topic = unique("harness-whole");
        topics::create(&client, &topic, 3, &[("retention.ms", "3600000")]);
        let mut odd = Write::new("k", "v")
            .to(2)
            .header("a", "1")
            .header("a", [0xff]);
        odd.headers.push(("null".into(), None));
        odd.timestamp = Some(1_700_000_000_123);
        let tombstone = Write {
            key: Some(b"gone".to_vec()),
            partition: Some(0),
            ..Write::default()
        };
        let bare = Write {
            value: Some(b"no key".to_vec()),
            partition: Some(0),
            ..Write::default()
        };
        topics::produce(&client, &topic, &[odd.clone(), tombstone, bare]);

        let read = topics::consume_all(&client, &topic);
        let shape: Vec<_> = read
            .iter()
            .map(|read| {
                (
                    read.partition,
                    read.offset,
                    read.key.as_deref(),
                    read.value.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            shape,
            [
                (0, 0, Some(&b"gone"[..]), None),
                (0, 1, None, Some(&b"no key"[..])),
                (2, 0, Some(&b"k"[..]), Some(&b"v"[..])),
            ]
        );
        assert_eq!(read[2].headers, odd.headers);
        assert_eq!(read[2].timestamp, odd.timestamp);
        assert_eq!(read[2].count("a"), 2);
        assert_eq!(read[2].header("a"), None, "the last one is not text");
        assert_eq!(
            topics::watermarks(&client, &topic),
            [(0, 2), (0, 0), (0, 1)]
        );
        assert_eq!(
            topics::committed(&client, &unique("nobody"), &topic),
            [None, None, None]
        );
        assert_eq!(topics::partitions(&client, &unique("missing")), 0);
        assert_eq!(topics::consume_all(&client, &unique("missing")), []);
    });
}

#[test]
fn aborted_records_and_control_markers_are_not_read() {
    let Some(bootstrap) = support::kafka() else {
        return;
    };
    let client = topics::client(&bootstrap);
    let topic = unique("harness-transactions");
    topics::create(&client, &topic, 1, &[]);
    let producer: ThreadedProducer<DefaultProducerContext> = client
        .clone()
        .set("transactional.id", unique("harness"))
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    for (value, commit) in [("one", true), ("never", false), ("two", true)] {
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::<(), str>::to(&topic).payload(value))
            .map_err(|(error, _)| error)
            .unwrap();
        producer.flush(LIMIT).unwrap();
        if commit {
            producer.commit_transaction(LIMIT).unwrap();
        } else {
            producer.abort_transaction(LIMIT).unwrap();
        }
    }
    let values: Vec<_> = topics::consume_all(&client, &topic)
        .into_iter()
        .map(|read| (read.offset, read.value.unwrap()))
        .collect();
    assert_eq!(values, [(0, b"one".to_vec()), (4, b"two".to_vec())]);
    assert_eq!(topics::watermarks(&client, &topic), [(0, 6)]);
}

#[test]
fn a_restarted_and_a_killed_broker_keep_their_data_and_their_address() {
    let Some(mut kafka) = RealKafka::start(Options::default()) else {
        return;
    };
    let bootstrap = kafka.bootstrap();
    let client = kafka.client();
    topics::create(&client, "kept", 1, &[]);
    topics::produce(&client, "kept", &[Write::new("1", "before the restart")]);
    kafka.restart();
    assert_eq!(kafka.bootstrap(), bootstrap);
    topics::produce(&client, "kept", &[Write::new("2", "before the kill")]);
    kafka.kill();
    let down: BaseConsumer = client.create().unwrap();
    assert!(down.fetch_metadata(None, Duration::from_secs(2)).is_err());
    kafka.start_again();
    topics::produce(&client, "kept", &[Write::new("3", "after both")]);
    let read = topics::wait_for(&client, "kept", 3, LIMIT);
    let offsets: Vec<_> = read.iter().map(|read| read.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
}

#[test]
fn a_broker_behind_a_proxy_can_be_cut_off_and_comes_back() {
    let proxy = Proxy::start();
    let options = Options {
        advertised: Some(proxy.address()),
        ..Options::default()
    };
    let Some(kafka) = RealKafka::start(options.with("message.max.bytes", "2000000")) else {
        return;
    };
    proxy.forward_to(&kafka.bootstrap());
    let client = topics::client(&proxy.address());
    topics::create(&client, "proxied", 1, &[]);
    topics::produce(&client, "proxied", &[Write::new("1", "through")]);

    let mut hasty = client.clone();
    hasty.set("request.timeout.ms", "1000");
    proxy.refuse();
    let refused: BaseConsumer = hasty.create().unwrap();
    assert!(
        refused
            .fetch_metadata(None, Duration::from_secs(2))
            .is_err()
    );
    proxy.pass();
    eventually(LIMIT, "the same client reaches the broker again", || {
        refused.fetch_metadata(None, Duration::from_secs(2)).is_ok()
    });
    proxy.hold();
    assert!(
        refused
            .fetch_metadata(None, Duration::from_secs(2))
            .is_err()
    );
    proxy.pass();
    proxy.cut();
    assert_eq!(topics::wait_for(&client, "proxied", 1, LIMIT).len(), 1);
}

#[test]
fn sasl_ssl_refuses_a_wrong_password_an_unknown_authority_and_what_no_acl_allows() {
    let Some(secure) = RealKafka::sasl_ssl() else {
        return;
    };
    let admin = secure.client(&secure.admin);
    let app = secure.client(&secure.app);
    for topic in ["open", "closed"] {
        topics::create(&admin, topic, 1, &[]);
    }
    secure.allow(&[
        Right::topic("open", &["Read", "Write"]),
        Right::group("readers"),
    ]);

    eventually(LIMIT, "the ACL is in force", || {
        topics::try_produce(&app, "open", &[Write::new("k", "v")]).is_ok()
    });
    assert!(!topics::consume_all(&app, "open").is_empty());

    let refused = topics::try_produce(&app, "closed", &[Write::new("k", "v")]).unwrap_err();
    assert_eq!(
        refused.rdkafka_error_code(),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    assert_eq!(topics::consume_all(&admin, "closed"), []);

    let reaches = |config: &rdkafka::ClientConfig| {
        let client: BaseConsumer = config.create().unwrap();
        client.fetch_metadata(None, Duration::from_secs(3)).is_ok()
    };
    assert!(reaches(&app));
    let mut wrong_password = app.clone();
    wrong_password.set("sasl.password", "not it");
    assert!(!reaches(&wrong_password));
    let mut stranger = app.clone();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = support::certificates::make(elsewhere.path());
    stranger.set("ssl.ca.location", other.ca.display().to_string());
    assert!(!reaches(&stranger));
    let mut plain = topics::client(&secure.bootstrap());
    plain.set("socket.timeout.ms", "2000");
    assert!(!reaches(&plain));
}

/// Registers two versions and a schema shared by two subjects, restarts, and looks whether a client would notice.
fn registry_keeps_its_ids(mut registry: Registry) {
    let first = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
    let second = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int","default":0}]}"#;
    let breaking = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"c","type":"int"}]}"#;
    let string = registry.register("keys-key", STRING);
    let one = registry.register("orders-value", first);
    let two = registry.register("orders-value", second);
    assert_eq!(registry.register("orders-value", second), two, "idempotent");
    let (status, body) = registry.post(
        "/subjects/orders-value/versions",
        json!({ "schema": breaking }),
    );
    assert_eq!(
        status, 409,
        "BACKWARD forbids a new field without a default: {body}"
    );

    let url = registry.url();
    registry.stop();
    assert!(http::get(format!("{url}/subjects")).send().is_err());
    registry.start_again();
    assert_eq!(registry.url(), url);
    for (id, text) in [(string, STRING), (one, first), (two, second)] {
        let (status, body) = registry.get(&format!("/schemas/ids/{id}"));
        assert_eq!(status, 200, "id {id} after the restart: {body}");
        let schema = parse(parse(&body)["schema"].as_str().expect("the schema as text"));
        assert_eq!(schema, parse(text));
    }
    let (status, _) = registry.post(
        "/subjects/orders-value/versions",
        json!({ "schema": breaking }),
    );
    assert_eq!(status, 409, "the level is what it was");
    let (status, body) = registry.get("/schemas/ids/999999");
    assert_eq!(status, 404);
    assert_eq!(parse(&body)["error_code"], 40403);
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn axonops_comes_back_with_its_ids() {
    if let Some(registry) = Registry::axonops() {
        registry_keeps_its_ids(registry);
    }
}

#[test]
fn apicurio_comes_back_with_its_ids() {
    if let Some(registry) = Registry::apicurio() {
        registry_keeps_its_ids(registry);
    }
}

#[test]
fn a_secure_registry_wants_its_certificate_trusted_and_its_password() {
    let Some(registry) = Registry::axonops_secure() else {
        return;
    };
    assert!(registry.register("secure-value", STRING) > 0);
    let security = registry.security().unwrap();
    let subjects = format!("{}/subjects", registry.url());
    assert!(subjects.starts_with("https://"));
    let ca = &security.certificates.ca;
    let user = security.login.username.as_str();
    let status = |request: http::Request| request.send().map(|(status, _)| status).ok();
    assert_eq!(
        status(
            http::get(&subjects)
                .ca(ca)
                .basic(user, &security.login.password)
        ),
        Some(200)
    );
    assert_eq!(
        status(http::get(&subjects).ca(ca).basic(user, "not it")),
        Some(401)
    );
    assert_eq!(status(http::get(&subjects).ca(ca)), Some(401));
    assert_eq!(
        status(http::get(&subjects)),
        None,
        "a certificate of an unknown authority"
    );
}

#[test]
fn a_paused_registry_accepts_and_does_not_answer() {
    let Some(registry) = Registry::axonops() else {
        return;
    };
    let url = format!("{}/subjects", registry.url());
    registry.pause();
    let error = http::get(&url).send().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    registry.resume();
    assert_eq!(http::get(&url).send().unwrap().0, 200);
}

#[test]
fn shared_registries_answer() {
    bed::each(Bed::real(), |bed| {
        let subject = unique("harness-value");
        let url = format!("{}/subjects/{subject}/versions", bed.registry_url);
        let (status, body) = http::post(&url, json!({ "schema": STRING }))
            .send()
            .unwrap();
        assert_eq!(status, 200, "{body}");
        let id = parse(&body)["id"].as_u64().unwrap();
        let by_id = format!("{}/schemas/ids/{id}", bed.registry_url);
        assert_eq!(http::get(by_id).send().unwrap().0, 200);
    });
}

#[test]
#[should_panic(expected = "not within 50ms: the moon")]
fn waiting_ends() {
    eventually(Duration::from_millis(50), "the moon", || false);
}
