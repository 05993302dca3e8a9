use super::*;
use crate::config::model::{Config, Kafka, Registry, RegistryAuth, RegistryTls};
use crate::health::{Dependency, PauseEntry, PauseReason};
use tokio::io::AsyncWriteExt;

struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    client: reqwest::Client,
}

/// For no pipeline at all.
fn desk() -> Desk {
    Desk::new(&Config {
        kafka: Kafka {
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            properties: Default::default(),
            group_instance_id: None,
        },
        registry: Registry {
            url: String::new(),
            auth: RegistryAuth::None,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::ZERO,
        },
        admin: crate::config::model::Admin {
            listen: None,
            token: None,
            public_url: None,
        },
        memory_limit: 0,
        state_dir: None,
        shutdown_grace: Duration::ZERO,
        pipelines: Vec::new(),
    })
}

fn drift() -> Report {
    Arc::new(|| json!({ "pipelines": [] }))
}

async fn served(token: Option<&str>) -> Served {
    let metrics = Metrics::new();
    let health = Health::new();
    let shutdown = CancellationToken::new();
    let (address, task) = serve(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        token.map(Secret::new),
        Arc::clone(&metrics),
        Arc::clone(&health),
        (desk(), drift()),
        shutdown.clone(),
    )
    .await
    .expect("a free port");
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client");
    Served {
        address,
        task,
        shutdown,
        metrics,
        health,
        client,
    }
}

impl Served {
    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut request = self.client.get(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.text().await.expect("a body"))
    }

    async fn get_json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path, None).await;
        (status, serde_json::from_str(&body).expect("JSON"))
    }
}

#[tokio::test]
async fn readyz_follows_the_instance_through_its_life() {
    let served = served(None).await;
    let health = &served.health;
    let check = async |expect_status: u16, expect: Value| {
        assert_eq!(served.get_json("/readyz").await, (expect_status, expect));
    };
    health.start_up("checking topics");
    check(
        503,
        json!({ "status": "not ready", "reasons": ["starting: checking topics"] }),
    )
    .await;
    health.worker_alive("gate", 0);
    health.worker_joined("gate", 0);
    health.set_running();
    check(200, json!({ "status": "ready", "reasons": [] })).await;

    health.pause(PauseEntry {
        pipeline: "gate".into(),
        topic: "orders".into(),
        partition: 0,
        reason: PauseReason::RegistryUnavailable,
        detail: "timed out".into(),
        since: 0,
        until: None,
    });
    let paused = "gate: orders[0] paused, registry_unavailable: timed out";
    check(503, json!({ "status": "not ready", "reasons": [paused] })).await;
    let (status, report) = served.get_json("/status").await;
    assert_eq!(status, 200);
    assert_eq!(report["paused"][0]["since"], "1970-01-01T00:00:00Z");

    health.resume("gate", "orders", 0);
    check(200, json!({ "status": "ready", "reasons": [] })).await;
    health.shutting_down();
    check(
        503,
        json!({ "status": "not ready", "reasons": ["shutting down"] }),
    )
    .await;
}

#[tokio::test]
async fn healthz_fails_only_when_a_restart_would_help() {
    let served = served(None).await;
    let check = async |status: u16, reasons: Value, dependencies: Value| {
        let word = if status == 200 { "ok" } else { "unhealthy" };
        let body = json!({ "status": word, "reasons": reasons, "dependencies": dependencies });
        assert_eq!(served.get_json("/healthz").await, (status, body));
    };
    check(200, json!([]), json!([])).await;
    served
        .health
        .dependency(Dependency::Broker, Err("all brokers down".into()));
    served.health.dependency(Dependency::Registry, Ok(()));
    let dependencies = json!([
        { "name": "broker", "up": false, "for_seconds": 0, "error": "all brokers down" },
        { "name": "registry", "up": true, "for_seconds": 0, "error": null },
    ]);
    check(200, json!([]), dependencies.clone()).await;
    served
        .health
        .worker_ended("gate", 2, Err("panicked".into()));
    let dead = json!(["worker 2 of gate ended: panicked"]);
    check(503, dead, dependencies).await;
}

#[tokio::test]
async fn metrics_are_scraped_with_the_health_of_the_moment() {
    let served = served(None).await;
    served.metrics.partition("gate", "orders", 0).emitted(3);
    served
        .health
        .dependency(Dependency::Registry, Err("timed out".into()));
    let response = served
        .client
        .get(format!("http://{}/metrics", served.address))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let page = response.text().await.expect("a body");
    assert!(page.contains(
        r#"driftgate_records_total{outcome="emitted",partition="0",pipeline="gate",topic="orders"} 3"#
    ));
    assert!(page.contains("driftgate_dependency_up{dependency=\"registry\"} 0\n"));

    served.health.dependency(Dependency::Registry, Ok(()));
    let (_, page) = served.get("/metrics", None).await;
    assert!(page.contains("driftgate_dependency_up{dependency=\"registry\"} 1\n"));
}

#[tokio::test]
async fn the_token_guards_all_but_the_probes() {
    let served = served(Some("s3cret")).await;
    served.health.set_running();
    for path in ["/", "/metrics", "/status"] {
        assert_eq!(served.get(path, None).await.0, 401, "{path}");
        assert_eq!(served.get(path, Some("wrong")).await.0, 401, "{path}");
        assert_eq!(served.get(path, Some("s3cret")).await.0, 200, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(served.get(path, None).await.0, 200, "{path}");
    }
    let (_, refusal) = served.get("/metrics", Some("wrong")).await;
    assert!(!refusal.contains("s3cret"));
}

#[tokio::test]
async fn orders_are_refused_with_what_is_wrong_about_them() {
    let (open, guarded) = (served(None).await, served(Some("s3cret")).await);
    let post = async |served: &Served, path: &str, token: Option<&str>, host: &str, body: &str| {
        let url = format!("http://{}{path}", served.address);
        let mut request = served.client.post(url).body(body.to_owned());
        request = request.header(CONTENT_TYPE, "application/json");
        if !host.is_empty() {
            request = request.header("host", host);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.text().await.expect("a body"))
    };
    let asked = r#"{"pipeline":"orders"}"#;
    for path in ["/api/pause", "/api/resume"] {
        assert_eq!(post(&guarded, path, None, "", asked).await.0, 401);
        let (status, body) = post(&guarded, path, Some("s3cret"), "gate.example", asked).await;
        assert_eq!(status, 404, "{body}");
        assert!(body.contains("there is no pipeline orders"), "{body}");
        assert_eq!(post(&open, path, None, "", asked).await.0, 404);
        let (status, body) = post(&open, path, None, "evil.example", asked).await;
        assert_eq!(status, 403, "{body}");
        for wrong in ["", "{}", r#"{"pipeline":"orders","partitions":1}"#] {
            let (status, body) = post(&open, path, None, "", wrong).await;
            assert_eq!(status, 400, "{wrong}: {body}");
        }
        assert_eq!(open.get(path, None).await.0, 405, "an order is no question");
    }
}

#[tokio::test]
async fn the_index_names_every_page_and_there_is_no_other() {
    let served = served(None).await;
    let (status, index) = served.get("/", None).await;
    assert_eq!(status, 200);
    let pages: Vec<&str> = index
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.starts_with('/'))
        .collect();
    assert_eq!(
        pages,
        ["/metrics", "/status", "/readyz", "/healthz", "/api/drift"]
    );
    for page in pages {
        assert_ne!(served.get(page, None).await.0, 404, "{page}");
    }
    assert_eq!(served.get("/console", None).await.0, 404);
    let url = format!("http://{}/metrics", served.address);
    let posted = served.client.post(url).send().await.expect("an answer");
    assert_eq!(posted.status(), 405);
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let first = served(None).await;
    let second = serve(
        first.address,
        None,
        Metrics::new(),
        Health::new(),
        (desk(), drift()),
        CancellationToken::new(),
    )
    .await;
    let FatalError::Start(message) = second.expect_err("the port is taken") else {
        panic!("a fault at start is FatalError::Start");
    };
    assert_eq!(
        message,
        format!(
            "the admin address {} is taken by another process: set `admin.listen` to a free one, or to `off`",
            first.address
        )
    );
}

#[tokio::test]
async fn shutdown_ends_the_server_even_under_a_client_that_never_finishes() {
    let served = served(None).await;
    let mut slow = tokio::net::TcpStream::connect(served.address)
        .await
        .expect("a connection");
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n")
        .await
        .expect("half a request");
    assert_eq!(served.get("/healthz", None).await.0, 200);
    served.shutdown.cancel();
    tokio::time::timeout(DRAIN + Duration::from_secs(8), served.task)
        .await
        .expect("ends within the drain time")
        .expect("no panic");
}

#[tokio::test]
async fn what_is_known_of_values_is_told_to_who_has_the_token() {
    let served = served(Some("secret")).await;
    assert_eq!(served.get("/api/drift", None).await.0, 401);
    let (status, body) = served.get("/api/drift", Some("secret")).await;
    assert_eq!((status, body.as_str()), (200, r#"{"pipelines":[]}"#));
}
