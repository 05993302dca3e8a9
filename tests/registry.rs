//! The registry client, the schema cache and `schema register`: conformance on the embedded registry and on the real
//! ones, and every failure on registries that fail as told.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests wait between polls that have a deadline"
)]

mod support;

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use driftgate::cli::Output;
use driftgate::cli::schema::RegisterArgs;
use driftgate::config::model::{Registry, RegistryAuth, RegistryTls, Secret};
use driftgate::contract::cache::{Answer, CacheSettings, RegistryState, SchemaCache};
use driftgate::contract::registry::{Reference, RegistryClient, RegistryError, SchemaKind};
use driftgate::embedded::registry::{EmbeddedRegistry, Fault, Options};
use driftgate::review::files::{self, Target};
use driftgate::review::register::{self, Action};
use tokio::runtime::Runtime;

const DEADLINE: Duration = Duration::from_secs(20);
const ORDER: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}"#;
const ORDER_WITH_NOTE: &str = r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},
    {"name":"note","type":["null","string"],"default":null}]}"#;
const ORDER_BY_NUMBER: &str =
    r#"{"type":"record","name":"Order","fields":[{"name":"id","type":"int"}]}"#;

fn plain(url: &str) -> Registry {
    Registry {
        url: url.to_owned(),
        auth: RegistryAuth::None,
        tls: RegistryTls::default(),
        cache_dir: None,
        timeout: Duration::from_secs(5),
    }
}

fn client(registry: &Registry) -> RegistryClient {
    RegistryClient::new(registry).expect("a client")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Runs a conformance test on every registry there is. Subjects get a prefix of their own, since real registries keep
/// what earlier runs left.
fn on_each(test: impl AsyncFn(RegistryClient, String)) {
    let embedded = EmbeddedRegistry::start().expect("starts");
    let real = support::Bed::real().into_iter();
    for url in real.map(|bed| bed.registry_url).chain([embedded.url()]) {
        eprintln!("on {url}");
        let prefix = format!("t{:016x}", RandomState::new().hash_one(0));
        runtime().block_on(test(client(&plain(&url)), prefix));
    }
}

fn same_json(one: &str, other: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    parse(one) == parse(other)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// Conformance.

#[test]
fn what_is_registered_is_found_by_id_by_version_and_by_text() {
    on_each(async |client, prefix| {
        client.ping().await.expect("answers");
        let subject = format!("{prefix}-value");
        assert_eq!(client.find(&subject, ORDER, &[]).await, Ok(None));
        let id = client
            .register(&subject, ORDER, &[])
            .await
            .expect("registers");
        assert_eq!(client.register(&subject, ORDER, &[]).await, Ok(id), "again");

        let fetched = client.schema_by_id(id).await.expect("by id");
        assert_eq!((fetched.id, fetched.kind), (id, SchemaKind::Avro));
        assert!(same_json(&fetched.text, ORDER) && fetched.references.is_empty());
        for asked in [None, Some(1)] {
            let version = client.version(&subject, asked).await.expect("by version");
            assert_eq!((version.version, version.id), (1, id));
            assert!(same_json(&version.fetched.text, ORDER));
        }
        let reformatted = ORDER.replace(':', " :\n ");
        let found = client
            .find(&subject, &reformatted, &[])
            .await
            .expect("asked")
            .expect("found");
        assert_eq!((found.version, found.id), (1, id));
    });
}

/// Instances that start together register the same sink schema; some registries answer all but one of them with 409.
#[test]
fn of_first_registrations_at_once_none_is_refused() {
    on_each(async |client, prefix| {
        for round in 0..5 {
            let subject = format!("{prefix}-{round}-value");
            let at_once: Vec<_> = (0..8)
                .map(|_| {
                    let (client, subject) = (client.clone(), subject.clone());
                    tokio::spawn(async move { client.register(&subject, ORDER, &[]).await })
                })
                .collect();
            let mut ids = Vec::new();
            for one in at_once {
                ids.push(one.await.expect("no panic").expect("registers"));
            }
            ids.dedup();
            assert_eq!(ids.len(), 1, "one schema, one id: {ids:?}");
        }
    });
}

#[test]
fn what_does_not_exist_is_told_apart() {
    on_each(async |client, prefix| {
        let (subject, none) = (format!("{prefix}-value"), format!("{prefix}-none"));
        client
            .register(&subject, ORDER, &[])
            .await
            .expect("registers");
        let unknown = 2_000_000_011;
        assert_eq!(
            client.schema_by_id(unknown).await,
            Err(RegistryError::UnknownId(unknown))
        );
        assert_eq!(
            client.version(&none, None).await,
            Err(RegistryError::NoSuchSubject(none.clone()))
        );
        let missing = RegistryError::NoSuchVersion {
            subject: subject.clone(),
            version: Some(7),
        };
        assert_eq!(client.version(&subject, Some(7)).await, Err(missing));
        assert_eq!(client.find(&subject, ORDER_BY_NUMBER, &[]).await, Ok(None));
        assert_eq!(
            client.check_compatible(&none, ORDER, &[]).await,
            Ok(vec![]),
            "a new subject"
        );
    });
}

#[test]
fn an_incompatible_schema_is_refused_with_reasons_and_a_wrong_one_too() {
    on_each(async |client, prefix| {
        let subject = format!("{prefix}-value");
        client
            .register(&subject, ORDER, &[])
            .await
            .expect("registers");
        client
            .set_compatibility(&subject, "FULL")
            .await
            .expect("a level");
        assert_eq!(client.compatibility(&subject).await.as_deref(), Ok("FULL"));

        assert_eq!(
            client
                .check_compatible(&subject, ORDER_WITH_NOTE, &[])
                .await,
            Ok(vec![])
        );
        let reasons = client
            .check_compatible(&subject, ORDER_BY_NUMBER, &[])
            .await
            .expect("a verdict");
        assert!(
            reasons.iter().any(|reason| reason.len() > 10),
            "{reasons:?}"
        );
        let refused = client.register(&subject, ORDER_BY_NUMBER, &[]).await;
        assert!(
            matches!(&refused, Err(RegistryError::Incompatible { message }) if !message.is_empty()),
            "{refused:?}"
        );
        let wrong = client
            .register(&subject, r#"{"type":"record","name":"Order"}"#, &[])
            .await;
        assert!(
            matches!(wrong, Err(RegistryError::Refused { status: 422, .. })),
            "{wrong:?}"
        );
    });
}

/// At a level that is about the latest version alone, an earlier one has no say, wherever the registry would look.
#[test]
fn a_level_that_is_not_transitive_asks_for_the_latest_version_alone() {
    on_each(async |client, prefix| {
        let subject = format!("{prefix}-value");
        let with = |fields: &str| {
            format!(
                r#"{{"type":"record","name":"R","fields":[{{"name":"id","type":"string"}}{fields}]}}"#
            )
        };
        let text = with(r#",{"name":"x","type":"string"}"#);
        client
            .register(&subject, &text, &[])
            .await
            .expect("the first");
        client
            .set_compatibility(&subject, "BACKWARD")
            .await
            .expect("a level");
        client
            .register(&subject, &with(""), &[])
            .await
            .expect("the second");
        let number = with(r#",{"name":"x","type":"int","default":0}"#);
        let reasons = client.check_compatible(&subject, &number, &[]).await;
        assert_eq!(reasons, Ok(Vec::new()), "it reads the second");
        client
            .set_compatibility(&subject, "BACKWARD_TRANSITIVE")
            .await
            .expect("a level");
        let reasons = client.check_compatible(&subject, &number, &[]).await;
        assert!(
            reasons.is_ok_and(|reasons| !reasons.is_empty()),
            "and not the first"
        );
    });
}

fn order_files(prefix: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(format!("{prefix}-{name}")), text).expect("written");
    };
    // In the order of names a dependent comes first.
    write(
        "a-order.avsc",
        &format!(
            r#"{{"type":"record","name":"Order","namespace":"n{prefix}","fields":[
                {{"name":"lines","type":{{"type":"array","items":"Line"}}}},
                {{"name":"total","type":"Money"}}]}}"#
        ),
    );
    write(
        "line.avsc",
        &format!(
            r#"{{"type":"record","name":"Line","namespace":"n{prefix}","fields":[{{"name":"price","type":"Money"}}]}}"#
        ),
    );
    write(
        "money.avsc",
        &format!(
            r#"{{"type":"record","name":"Money","namespace":"n{prefix}","fields":[{{"name":"cents","type":"long"}}]}}"#
        ),
    );
    write("a-order.rules.yaml", "compatibility: BACKWARD_TRANSITIVE\n");
    dir
}

#[test]
fn files_are_registered_in_order_with_references_and_only_once() {
    on_each(async |client, prefix| {
        let dir = order_files(&prefix);
        let asked = [Target::of_file(
            dir.path().join(format!("{prefix}-a-order.avsc")),
        )];
        let plan = files::plan(&asked).expect("a plan");
        let actions = |report: &register::Report| -> Vec<(String, Action)> {
            assert_eq!(report.stopped, None);
            let outcomes = report.outcomes.iter();
            outcomes
                .map(|o| {
                    (
                        o.subject
                            .trim_start_matches(&format!("{prefix}-"))
                            .to_owned(),
                        o.action,
                    )
                })
                .collect()
        };
        let named =
            |action: Action| ["money", "line", "a-order"].map(|name| (name.to_owned(), action));

        let dry = register::register(&client, &plan, true, |_| ()).await;
        assert_eq!(actions(&dry), named(Action::WouldRegister));
        assert_eq!(
            client.find(&plan[0].subject, &plan[0].text, &[]).await,
            Ok(None),
            "a dry run changes nothing"
        );

        let first = register::register(&client, &plan, false, |_| ()).await;
        assert_eq!(actions(&first), named(Action::Registered), "{first:?}");
        let second = register::register(&client, &plan, false, |_| ()).await;
        assert_eq!(actions(&second), named(Action::Exists), "{second:?}");
        let ids = |report: &register::Report| -> Vec<_> {
            report.outcomes.iter().map(|o| (o.id, o.version)).collect()
        };
        assert_eq!(ids(&first), ids(&second));
        assert_eq!(
            client.compatibility(&plan[2].subject).await.as_deref(),
            Ok("BACKWARD_TRANSITIVE")
        );

        let id = second.outcomes[2].id.expect("an id");
        let fetched = client.schema_by_id(id).await.expect("by id");
        let expect = [&plan[0].text, &plan[1].text];
        assert_eq!(
            fetched.references.len(),
            2,
            "money once, and before line: {:?}",
            fetched.references
        );
        assert!(
            fetched
                .references
                .iter()
                .zip(expect)
                .all(|(one, other)| same_json(one, other))
        );
    });
}

#[test]
fn a_refusal_is_that_files_alone_and_its_dependents_are_skipped() {
    on_each(async |client, prefix| {
        let dir = order_files(&prefix);
        let money = dir.path().join(format!("{prefix}-money.avsc"));
        let text = std::fs::read_to_string(&money).expect("readable");
        let subject = format!("{prefix}-money");
        client
            .register(&subject, &text, &[])
            .await
            .expect("registers");
        client
            .set_compatibility(&subject, "BACKWARD")
            .await
            .expect("a level");
        std::fs::write(&money, text.replace("long", "string")).expect("written");
        let other = dir.path().join(format!("{prefix}-other.avsc"));
        std::fs::write(&other, r#"{"type":"string"}"#).expect("written");

        let plan = files::plan(&files::of_dir(dir.path()).expect("targets")).expect("a plan");
        let report = register::register(&client, &plan, false, |_| ()).await;
        let actions: Vec<Action> = report
            .outcomes
            .iter()
            .map(|outcome| outcome.action)
            .collect();
        assert_eq!(
            actions,
            [
                Action::Incompatible,
                Action::Skipped,
                Action::Skipped,
                Action::Registered
            ]
        );
        assert!(
            report.outcomes[0]
                .reasons
                .iter()
                .any(|reason| reason.len() > 10),
            "{report:?}"
        );
    });
}

#[test]
fn a_file_is_held_to_the_level_that_was_reviewed_with_it() {
    on_each(async |client, prefix| {
        let subject = format!("{prefix}-value");
        client
            .register(&subject, ORDER, &[])
            .await
            .expect("registers");
        client
            .set_compatibility(&subject, "BACKWARD")
            .await
            .expect("a level");
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join(format!("{subject}.avsc"));
        // Without its field: the new reads the old, and the old cannot read the new.
        std::fs::write(&file, r#"{"type":"record","name":"Order","fields":[]}"#).expect("written");
        std::fs::write(file.with_extension("rules.yaml"), "compatibility: FULL\n")
            .expect("written");
        let plan = files::plan(&[Target::of_file(&file)]).expect("a plan");

        let dry = register::register(&client, &plan, true, |_| ()).await;
        assert_eq!(dry.outcomes[0].action, Action::WouldRegister);
        assert!(
            dry.outcomes[0].reasons[0].contains("BACKWARD"),
            "checked at the level that is there: {dry:?}"
        );
        assert_eq!(
            client.compatibility(&subject).await.as_deref(),
            Ok("BACKWARD")
        );
        let report = register::register(&client, &plan, false, |_| ()).await;
        assert_eq!(
            report.outcomes[0].action,
            Action::Incompatible,
            "{report:?}"
        );
        assert_eq!(
            report.outcomes[0].compatibility_before.as_deref(),
            Some("BACKWARD")
        );
    });
}

#[test]
fn ensure_registers_what_is_missing_and_only_that() {
    on_each(async |client, prefix| {
        let subject = format!("{prefix}-value");
        let first = register::ensure_version(&client, &subject, ORDER, &[])
            .await
            .expect("ensures");
        assert!(!first.existed && first.version == 1);
        assert_eq!(
            register::ensure(&client, &subject, ORDER, &[]).await,
            Ok(first.id)
        );
        let next = register::ensure_version(&client, &subject, ORDER_WITH_NOTE, &[])
            .await
            .expect("ensures");
        assert!(!next.existed && next.version == 2 && next.id != first.id);
    });
}

/// `DELETE` on a path below the registry's URL; the status.
async fn delete(client: &RegistryClient, path: &str) -> u16 {
    let answer = reqwest::Client::new().delete(format!("{}{path}", client.url()));
    answer.send().await.expect("an answer").status().as_u16()
}

/// Records that were written with it are still on their topics.
#[test]
fn a_schema_that_was_deleted_softly_is_still_served_by_its_id() {
    on_each(async |client, prefix| {
        let subject = format!("{prefix}-value");
        // Apicurio keeps no second copy of an equal text: one of this test's own.
        let text = ORDER.replace("Order", &format!("Order_{prefix}"));
        let registered = client.register(&subject, &text, &[]).await;
        let id = registered.expect("registers");
        assert_eq!(delete(&client, &format!("/subjects/{subject}")).await, 200);
        let fetched = client.schema_by_id(id).await.expect("by id");
        assert!(same_json(&fetched.text, &text));
        assert!(client.version(&subject, None).await.is_err());
        assert_eq!(client.find(&subject, &text, &[]).await, Ok(None));
        let subjects = client.subjects_of(id).await.expect("asked");
        assert!(
            subjects.iter().flatten().all(|known| *known != subject),
            "{subjects:?}"
        );
    });
}

#[test]
fn subjects_of_a_context_are_subjects() {
    on_each(async |client, prefix| {
        let subject = format!(":.{prefix}:orders-value");
        let text = ORDER.replace("Order", &format!("Order_{prefix}"));
        let registered = client.register(&subject, &text, &[]).await;
        let id = registered.expect("registers");
        let version = client.version(&subject, None).await.expect("the latest");
        assert_eq!((version.id, version.version), (id, 1));
        let found = client.find(&subject, &text, &[]).await;
        assert!(
            matches!(&found, Ok(Some(version)) if version.id == id),
            "{found:?}"
        );
    });
}

/// Ids belong to their context: the same number is another schema in another one, and the URL decides which is meant.
#[test]
fn ids_of_a_context_are_asked_for_below_its_url() {
    let seen = AtomicU64::new(0);
    on_each(async |client, prefix| {
        let base = format!("{}/contexts/.{prefix}", client.url());
        let inside = self::client(&plain(&base));
        if inside.ping().await.is_err() {
            eprintln!("no contexts here: {}", client.url());
            return;
        }
        let text = ORDER.replace("Order", &format!("Order_{prefix}"));
        let id = inside.register("orders-value", &text, &[]).await;
        let id = id.expect("registers");
        let fetched = inside.schema_by_id(id).await.expect("by id");
        assert!(same_json(&fetched.text, &text));
        // From outside, the subject has a longer name, and the id may be anything.
        let subject = format!(":.{prefix}:orders-value");
        let outside = client.version(&subject, None).await.expect("the latest");
        assert!(same_json(&outside.fetched.text, &text));
        seen.fetch_add(1, Ordering::SeqCst);
    });
    eprintln!("{} registries have contexts", seen.into_inner());
}

#[test]
fn single_flight_on_each_registry() {
    on_each(async |client, prefix| {
        let registered = client
            .register(&format!("{prefix}-value"), ORDER, &[])
            .await;
        let id = registered.expect("registers");
        let runtime = tokio::runtime::Handle::current();
        let cache = SchemaCache::new(client, runtime, CacheSettings::default());
        let asked = cache.clone();
        let answers = tokio::task::spawn_blocking(move || {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..2500).for_each(|_| drop(asked.get(id))));
                }
            });
            asked.wait(id, DEADLINE)
        });
        let answer = answers.await.expect("no panic");
        assert!(matches!(answer, Answer::Ready(_)), "{answer:?}");
        assert_eq!(cache.stats().fetches, 1, "10,000 records, one request");
    });
}

// Failures, each its own kind and never "unknown".

/// A server that gives every request one answer.
struct Scripted {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Scripted {
    fn start(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) -> Scripted {
        let (runtime, requests) = (runtime(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&requests);
        let answer = async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut response = axum::response::IntoResponse::into_response(body);
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            for (name, value) in headers {
                response
                    .headers_mut()
                    .insert(*name, value.parse().expect("a value"));
            }
            response
        };
        let routes = Router::new().fallback(answer);
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Scripted {
            address,
            requests,
            _runtime: runtime,
        }
    }

    fn client(&self) -> RegistryClient {
        client(&plain(&format!("http://{}", self.address)))
    }
}

#[test]
fn only_404_with_40403_is_an_unknown_id() {
    let unavailable = [
        (
            404,
            r#"{"error_code":40401,"message":"Subject not found"}"#,
            "nothing at this address",
        ),
        (
            404,
            r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#,
            "nothing at this address",
        ),
        (404, "<html>no such page</html>", "nothing at this address"),
        (
            401,
            r#"{"error_code":40101,"message":"who are you"}"#,
            "does not take the credentials (HTTP 401): who are you",
        ),
        (403, "", "forbids"),
        (408, "", "gave up waiting"),
        (429, "", "fewer requests"),
        (
            500,
            r#"{"error_code":40403,"message":"a 500 with that code"}"#,
            "HTTP 500",
        ),
        (502, "", "HTTP 502"),
        (503, "", "HTTP 503"),
        (504, "", "gave up waiting"),
        (301, "", "redirects, which are not followed"),
        (200, "<html>Welcome to the proxy</html>", "not a registry's"),
        (200, "", "not a registry's"),
        (
            200,
            r#"{"message":"a JSON object without a schema"}"#,
            "not a registry's",
        ),
        (200, r#"["schema"]"#, "not a registry's"),
    ];
    for (status, body, expect) in unavailable {
        let server = Scripted::start(
            status,
            &[("location", "http://127.0.0.1:1/elsewhere")],
            body,
        );
        match runtime().block_on(server.client().schema_by_id(5)) {
            Err(RegistryError::Unavailable {
                message,
                retry_after: None,
            }) => {
                assert!(message.contains(expect), "{status} {body}: {message}");
            }
            other => panic!("{status} {body}: {other:?}"),
        }
        assert_eq!(
            server.requests.load(Ordering::SeqCst),
            1,
            "no redirect is followed, nothing is repeated"
        );
    }
    let unknown = Scripted::start(
        404,
        &[],
        r#"{"error_code":40403,"message":"Schema not found"}"#,
    );
    assert_eq!(
        runtime().block_on(unknown.client().schema_by_id(5)),
        Err(RegistryError::UnknownId(5))
    );
}

#[test]
fn retry_after_comes_through() {
    let server = Scripted::start(429, &[("retry-after", "17")], "");
    let error = runtime()
        .block_on(server.client().schema_by_id(5))
        .expect_err("429");
    let expect = Some(Duration::from_secs(17));
    assert!(
        matches!(error, RegistryError::Unavailable { retry_after, .. } if retry_after == expect),
        "{error:?}"
    );
}

#[test]
fn the_calls_of_both_clients_fail_alike() {
    let server = Scripted::start(503, &[], "");
    let client = server.client();
    runtime().block_on(async {
        let unavailable = |error: RegistryError| matches!(error, RegistryError::Unavailable { .. });
        assert!(unavailable(
            client.version("s", None).await.expect_err("503")
        ));
        assert!(unavailable(
            client.find("s", ORDER, &[]).await.expect_err("503")
        ));
        assert!(unavailable(
            client.register("s", ORDER, &[]).await.expect_err("503")
        ));
        assert!(unavailable(
            client
                .check_compatible("s", ORDER, &[])
                .await
                .expect_err("503")
        ));
        assert!(unavailable(
            client.compatibility("s").await.expect_err("503")
        ));
        assert!(unavailable(
            client
                .set_compatibility("s", "FULL")
                .await
                .expect_err("503")
        ));
        assert!(unavailable(client.ping().await.expect_err("503")));
    });
}

#[test]
fn null_lists_are_empty_and_other_kinds_are_named() {
    for (body, kind) in [
        (
            r#"{"schema":"\"string\"","references":null,"metadata":null}"#,
            SchemaKind::Avro,
        ),
        (r#"{"schema":"{}","schemaType":"JSON"}"#, SchemaKind::Json),
        (
            r#"{"schema":"syntax","schemaType":"PROTOBUF","references":[]}"#,
            SchemaKind::Protobuf,
        ),
        (r#"{"schema":"x","schemaType":"THRIFT"}"#, SchemaKind::Other),
    ] {
        let fetched = runtime()
            .block_on(Scripted::start(200, &[], body).client().schema_by_id(5))
            .expect("a schema");
        assert_eq!((fetched.kind, fetched.references), (kind, vec![]));
    }
}

#[test]
fn a_registry_that_answers_in_circles_ends() {
    let body = r#"{"id":1,"version":1,"subject":"a","schema":"\"string\"",
        "references":[{"name":"b","subject":"b","version":1},{"name":"a","subject":"a","version":1}]}"#;
    let server = Scripted::start(200, &[], body);
    let fetched = runtime()
        .block_on(server.client().schema_by_id(1))
        .expect("ends");
    assert_eq!(fetched.references, ["\"string\""]);
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
}

#[test]
fn a_reference_that_is_not_there_is_an_outage() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let client = client(&registry.config());
    let reference = Reference {
        name: "Gone".to_owned(),
        subject: "gone".to_owned(),
        version: 1,
    };
    runtime().block_on(async {
        let refused = client.register("s", ORDER, &[reference]).await;
        assert!(
            matches!(refused, Err(RegistryError::Refused { status: 422, .. })),
            "{refused:?}"
        );
    });
    // One server for both calls: it knows the id and nothing else.
    let body =
        r#"{"schema":"\"string\"","references":[{"name":"Gone","subject":"gone","version":3}]}"#;
    let routes = Router::new()
        .route("/schemas/ids/1", axum::routing::get(async move || body))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                r#"{"error_code":40401,"message":"Subject not found"}"#,
            )
        });
    let runtime = runtime();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    runtime.spawn(async move { axum::serve(listener, routes).await });
    match runtime.block_on(self::client(&plain(&url)).schema_by_id(1)) {
        Err(RegistryError::Unavailable { message, .. }) => {
            assert!(message.contains(r#"subject "gone" version 3"#), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn silence_and_absence_are_outages() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let mut config = registry.config();
    config.timeout = Duration::from_millis(200);
    let client = client(&config);
    let message = || match runtime().block_on(client.schema_by_id(1)) {
        Err(RegistryError::Unavailable { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    registry.set_fault(Fault::Hang);
    assert!(message().contains("timed out"), "{}", message());
    registry.stop();
    assert!(message().contains("refused"), "{}", message());
    assert!(message().contains(&registry.url()), "the address is named");
}

// Who asks.

#[test]
fn credentials_are_sent_on_every_call_and_a_base_path_is_kept() {
    let basic = |password: &str| RegistryAuth::Basic {
        username: "gate".to_owned(),
        password: Secret::new(password),
    };
    let bearer = |token: &str| RegistryAuth::Bearer {
        token: Secret::new(token),
    };
    for (right, wrong) in [
        (basic("s3:cret"), basic("guess")),
        (bearer("abc.def"), bearer("xyz")),
    ] {
        let options = Options {
            auth: right,
            base_path: "/apis/ccompat/v7".to_owned(),
        };
        let registry = EmbeddedRegistry::start_with(options).expect("starts");
        runtime().block_on(async {
            let client = client(&registry.config());
            client.ping().await.expect("over reqwest");
            client.set_compatibility("s", "FULL").await.expect("over reqwest");
            let id = client.register("s", ORDER, &[]).await.expect("over the crate's client");
            assert!(client.schema_by_id(id).await.is_ok());
            for auth in [wrong, RegistryAuth::None] {
                let stranger = self::client(&Registry { auth, ..registry.config() });
                for refused in [stranger.ping().await, stranger.schema_by_id(id).await.map(drop)] {
                    let error = refused.expect_err("refused");
                    assert!(matches!(&error, RegistryError::Unavailable { message, .. } if message.contains("401")), "{error:?}");
                    assert!(!format!("{error:?}").contains("guess"), "no credentials in messages");
                }
            }
        });
    }
}

#[test]
fn an_authority_of_ones_own_is_trusted_only_when_named() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let certified =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let identity =
        tokio_native_tls::native_tls::Identity::from_pkcs8(cert.as_bytes(), key.as_bytes())
            .expect("PEM");
    let acceptor = tokio_native_tls::native_tls::TlsAcceptor::new(identity).expect("an acceptor");
    let acceptor = tokio_native_tls::TlsAcceptor::from(acceptor);
    let runtime = runtime();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .expect("a port");
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().expect("bound").port()
    );
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us ends the handshake: the next one is served.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = [0; 4096];
                let _read = stream.read(&mut request).await;
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n[\"AVRO\"]";
                let _written = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let (cert, key) = (file("cert.pem", &cert), file("key.pem", &key));
    let mut config = plain(&url);
    let refused = runtime
        .block_on(client(&config).ping())
        .expect_err("nobody vouches for it");
    assert!(refused.to_string().contains("certificate"), "{refused}");
    config.tls.ca = Some(cert.clone());
    runtime.block_on(client(&config).ping()).expect("trusted");
    config.tls = RegistryTls {
        cert: Some(cert),
        key: Some(key),
        ..config.tls
    };
    runtime
        .block_on(client(&config).ping())
        .expect("with a certificate of its own");
    config.tls.ca = Some(file("empty.pem", "no certificate"));
    assert!(RegistryClient::new(&config).is_err());
}

// The cache.

struct Cached {
    registry: EmbeddedRegistry,
    cache: SchemaCache,
    runtime: Runtime,
}

fn cached(settings: CacheSettings) -> Cached {
    let (registry, runtime) = (EmbeddedRegistry::start().expect("starts"), runtime());
    let mut config = registry.config();
    config.timeout = Duration::from_millis(500);
    let cache = SchemaCache::new(client(&config), runtime.handle().clone(), settings);
    Cached {
        registry,
        cache,
        runtime,
    }
}

impl Cached {
    fn register(&self, subject: &str, text: &str) -> u32 {
        let client = client(&self.registry.config());
        self.runtime
            .block_on(client.register(subject, text, &[]))
            .expect("registers")
    }

    fn settled(&self, id: u32) -> Answer {
        self.cache.wait(id, DEADLINE)
    }
}

#[test]
fn ten_thousand_questions_from_eight_threads_are_one_request() {
    let cached = cached(CacheSettings::default());
    let known = cached.register("s", ORDER);
    let asked = 77;
    cached
        .registry
        .set_fault(Fault::Delay(Duration::from_millis(100)));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1250 {
                    let answer = cached.cache.get(asked);
                    assert!(
                        matches!(answer, Answer::Pending | Answer::Unknown),
                        "{answer:?}"
                    );
                }
                assert_eq!(cached.settled(asked), Answer::Unknown);
                assert!(matches!(cached.settled(known), Answer::Ready(_)));
            });
        }
    });
    assert_eq!(
        cached.registry.requests(&format!("/schemas/ids/{asked}")),
        1
    );
    assert_eq!(
        cached.registry.requests(&format!("/schemas/ids/{known}")),
        1
    );
    let stats = cached.cache.stats();
    assert_eq!((stats.fetches, stats.failures, stats.entries), (2, 0, 2));
    assert!(stats.hits + stats.misses >= 10_000, "{stats:?}");
}

#[test]
fn an_outage_is_never_an_answer_about_the_id_and_passes() {
    for fault in [
        Fault::Status(500, None),
        Fault::Status(401, None),
        Fault::Status(404, None),
        Fault::Status(408, None),
        Fault::Status(429, None),
        Fault::Garbage,
        Fault::Redirect,
        Fault::Hang,
    ] {
        let cached = cached(CacheSettings::default());
        let id = cached.register("s", ORDER);
        cached.registry.set_fault(fault.clone());
        match cached.settled(id) {
            Answer::Unavailable { retry_at, .. } => {
                assert!(retry_at <= Instant::now() + Duration::from_secs(10))
            }
            other => panic!("{fault:?}: {other:?}"),
        }
        assert!(
            matches!(cached.cache.registry_state(), RegistryState::Down { .. }),
            "{fault:?}"
        );
        assert_eq!(
            cached.cache.stats().entries,
            0,
            "{fault:?}: a failure is not kept"
        );
        cached.registry.set_fault(Fault::None);
        wait_until("the registry is back", || {
            matches!(cached.cache.get(id), Answer::Ready(_))
        });
        assert_eq!(cached.cache.registry_state(), RegistryState::Up);
    }
}

#[test]
fn a_registry_that_nobody_asks_any_more_is_found_to_be_back() {
    let cached = cached(CacheSettings {
        probe_after: Duration::from_millis(50),
        ..CacheSettings::default()
    });
    let id = cached.register("s", ORDER);
    cached.registry.set_fault(Fault::Status(503, None));
    assert!(matches!(cached.settled(id), Answer::Unavailable { .. }));
    let is_up = || cached.cache.registry_state() == RegistryState::Up;
    cached.cache.probe();
    assert!(!is_up());
    cached.registry.set_fault(Fault::None);
    wait_until("a probe has found it", || {
        cached.cache.probe();
        is_up()
    });
    assert_eq!(cached.cache.stats().fetches, 1, "no record has asked again");
}

#[test]
fn a_registry_that_stops_and_starts_again_loses_nothing() {
    let cached = cached(CacheSettings::default());
    let (before, after) = (
        cached.register("a", ORDER),
        cached.register("b", r#""string""#),
    );
    assert!(matches!(cached.settled(before), Answer::Ready(_)));
    cached.registry.stop();
    assert!(
        matches!(cached.cache.get(before), Answer::Ready(_)),
        "what is known stays known"
    );
    let answer = cached.settled(after);
    assert!(matches!(&answer, Answer::Unavailable { .. }), "{answer:?}");
    cached.registry.restart().expect("the same port");
    wait_until("the registry is back", || {
        matches!(cached.cache.get(after), Answer::Ready(_))
    });
}

#[test]
fn a_registry_that_is_down_is_not_hammered() {
    let cached = cached(CacheSettings::default());
    cached.registry.set_fault(Fault::Status(503, None));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, stop) = (&cached.cache, &stop);
            scope.spawn(move || {
                let mut id = thread;
                while !stop.load(Ordering::Relaxed) {
                    cache.get(id);
                    id += 4;
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
        std::thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
    });
    let requests = cached.registry.requests("/schemas/ids/");
    // At most what was under way at first, then one at 0.2, 0.6 and 1.4 s.
    assert!((2..=16 + 3).contains(&requests), "{requests} requests");
}

#[test]
fn retry_after_sets_the_pause() {
    let cached = cached(CacheSettings::default());
    let asked = Instant::now();
    cached
        .registry
        .set_fault(Fault::Status(429, Some(Duration::from_secs(40))));
    match cached.settled(1) {
        Answer::Unavailable { retry_at, .. } => {
            assert!(
                retry_at >= asked + Duration::from_secs(40),
                "{:?}",
                retry_at - asked
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_id_is_asked_again_after_its_time() {
    let ttl = Duration::from_millis(300);
    let cached = cached(CacheSettings {
        unknown_ttl: ttl,
        ..CacheSettings::default()
    });
    assert_eq!(cached.settled(1), Answer::Unknown);
    let told = Instant::now();
    assert_eq!(cached.register("s", ORDER), 1);
    wait_until("the id is known", || {
        matches!(cached.cache.get(1), Answer::Ready(_))
    });
    assert!(
        told.elapsed() >= ttl - Duration::from_millis(50),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(cached.registry.requests("/schemas/ids/1"), 2);
}

#[test]
fn the_cache_keeps_its_bound() {
    let cached = cached(CacheSettings {
        capacity: 3,
        ..CacheSettings::default()
    });
    let kinds = ["int", "long", "string", "bytes", "boolean"];
    let ids = kinds.map(|kind| cached.register(kind, &format!("{kind:?}")));
    for id in ids {
        assert!(matches!(cached.settled(id), Answer::Ready(_)));
    }
    let stats = cached.cache.stats();
    assert_eq!((stats.entries, stats.evictions), (3, 2));
    assert!(
        matches!(cached.cache.get(ids[4]), Answer::Ready(_)),
        "the newest stays"
    );
    assert_eq!(
        cached.cache.get(ids[0]),
        Answer::Pending,
        "the oldest is gone"
    );
}

#[test]
fn a_runtime_that_is_gone_leaves_nothing_pending() {
    let Cached {
        registry,
        cache,
        runtime,
    } = cached(CacheSettings::default());
    drop(runtime);
    assert!(matches!(
        cache.wait(1, DEADLINE),
        Answer::Unavailable { .. }
    ));
    assert_eq!(registry.requests("/schemas/ids/"), 0);
}

// The command.

fn run(args: &RegisterArgs) -> (String, String, String) {
    let (mut out, mut log) = (Vec::new(), Vec::new());
    let code = driftgate::cli::schema::register(args, None, &mut out, &mut log).expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (format!("{code:?}"), text(out), text(log))
}

fn code(number: u8) -> String {
    format!("{:?}", std::process::ExitCode::from(number))
}

fn args(dir: &Path, url: &str) -> RegisterArgs {
    RegisterArgs {
        files: Vec::new(),
        dir: Some(dir.to_path_buf()),
        config: None,
        registry: Some(url.to_owned()),
        dry_run: false,
        output: Output::Table,
    }
}

#[test]
fn the_command_tells_results_and_exits_by_them() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let dir = order_files("x");
    let mut args = args(dir.path(), &registry.url());

    let (exit, out, log) = run(&args);
    assert_eq!((exit, log), (code(0), String::new()));
    let expect = "\
SUBJECT    RESULT              ID  VERSION  COMPATIBILITY
x-money    registered           1        1  -
x-line     registered           2        1  -
    refers to nx.Money (x-money version 1)
x-a-order  registered           3        1  BACKWARD -> BACKWARD_TRANSITIVE
    refers to nx.Line (x-line version 1)
    refers to nx.Money (x-money version 1)
";
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    assert_eq!(lines(&out), lines(expect));

    args.output = Output::Json;
    let (exit, out, _) = run(&args);
    let outcomes: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(exit, code(0));
    assert_eq!(outcomes[0]["action"], "exists");
    assert_eq!(outcomes[2]["references"][1]["subject"], "x-money");

    let money = dir.path().join("x-money.avsc");
    let text = std::fs::read_to_string(&money).expect("readable");
    std::fs::write(&money, text.replace("long", "string")).expect("written");
    args.output = Output::Table;
    let (exit, out, _) = run(&args);
    assert_eq!(exit, code(1));
    assert!(
        out.contains("incompatible") && out.contains("cannot read data"),
        "{out}"
    );

    registry.stop();
    let (exit, out, log) = run(&args);
    assert_eq!((exit, out.as_str()), (code(3), ""));
    assert!(
        log.contains(&registry.url()) && log.contains("3 of 3 files were not reached"),
        "{log}"
    );

    std::fs::write(&money, "{").expect("written");
    let (exit, _, log) = run(&args);
    assert_eq!(exit, code(2));
    assert!(log.contains("x-money.avsc:1:"), "{log}");
    assert!(log.contains("not JSON"), "{log}");
}
