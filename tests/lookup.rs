//! Lookups against a server that answers by a script: order, cache, breaker, `Retry-After`, what is whose fault. And in
//! whole instances on a real Kafka: a limit that two of them share, and a table kept from a topic.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftgate::config::{self, model::Secret, model::Step};
use driftgate::contract::cache::{CacheSettings, SchemaCache};
use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::registry::RegistryClient;
use driftgate::contract::schema::Schema;
use driftgate::error::{Reason, RecordError};
use driftgate::health::Dependency;
use driftgate::lookup::{Around, Lookups, Question};
use driftgate::transform::Transform;
use support::eventually;
use support::job::LIMIT;
use support::lookup::{Reply, ScriptedServer};
use tokio::runtime::Runtime;

const EVENT: &str = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"}]}"#;
const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"}]}"#;

/// The lookups of one pipeline, as an instance has them.
struct Asking {
    lookups: Lookups,
    around: Around,
    _runtime: Runtime,
}

/// Lookups by the keys that stand behind `into`, `url` and `type`.
fn asking(server: &ScriptedServer, keys: &str) -> Asking {
    asking_with(server, keys, &[])
}

fn asking_with(server: &ScriptedServer, keys: &str, properties: &[(&str, &str)]) -> Asking {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("e.avsc", EVENT), ("customer.avsc", CUSTOMER)] {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let text = format!(
        "registry: {{ url: \"http://127.0.0.1:1\" }}
pipelines:
  p:
    owner: {{ team: t }}
    source: {{ topics: [a] }}
    contract: {{ schema: e.avsc }}
    transform:
      - lookup: {{ into: customer, url: \"{}/{{id}}\", type: customer.avsc{keys} }}
    sink: {{ topic: b, schema: e.avsc }}
",
        server.url()
    );
    let loaded = config::load_text(&text, "driftgate.yaml", folder.path(), &|_| None);
    let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
    let steps: &[Step] = &config.pipelines[0].transform;
    let parse = |text| Schema::parse(text, &[]).expect("a schema");
    let transform = Transform::compile(steps, &parse(EVENT), &|_| Ok(parse(CUSTOMER)));
    let transform = transform.expect("compiles");
    let runtime = Runtime::new().expect("a runtime");
    let client = RegistryClient::new(&config.registry).expect("a client");
    let handle = runtime.handle().clone();
    let schemas = SchemaCache::new(client, handle.clone(), CacheSettings::default());
    let kafka = properties.iter();
    let kafka = kafka.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let around = Around::tool("p", kafka.collect(), Arc::new(schemas), handle);
    Asking {
        lookups: Lookups::start(transform.lookups(), &around).expect("starts"),
        around,
        _runtime: runtime,
    }
}

impl Asking {
    /// The names in the answers to these paths, `None` for null.
    fn ask(&self, base: &str, ids: &[u32]) -> Vec<Result<Option<String>, RecordError>> {
        let questions: Vec<Question> = ids
            .iter()
            .map(|id| Question {
                lookup: 0,
                what: format!("{base}/{id}"),
            })
            .collect();
        let answers = self.lookups.ask(&questions).into_iter();
        let name = |bytes: Arc<[u8]>| {
            let value = decode(&self.lookups.specs()[0].answer, &bytes, &Limits::default())
                .expect("a customer");
            format!("{value:?}")
        };
        answers.map(|answer| Ok(answer?.map(name))).collect()
    }

    fn one(&self, server: &ScriptedServer, id: u32) -> Result<Option<String>, RecordError> {
        self.ask(&server.url(), &[id]).remove(0)
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.around.metrics.render();
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

fn id(path: &str) -> u32 {
    path.trim_start_matches('/').parse().expect("a number")
}

#[test]
fn answers_come_in_the_order_of_the_batch_and_only_so_many_at_once() {
    let server = ScriptedServer::start(|asked| {
        let id = id(&asked.path);
        // The first take the longest.
        let delay = Duration::from_millis(u64::from(60_u32.saturating_sub(id * 3)));
        match id % 5 {
            4 => Reply::status(404),
            _ => Reply::customer(&format!("customer-{id}")),
        }
        .after(delay)
    });
    let asking = asking(&server, ", concurrency: 3, on_missing: null");
    let ids: Vec<u32> = (0..40).collect();
    let answers = asking.ask(&server.url(), &ids);
    for (id, answer) in ids.iter().zip(answers) {
        let answer = answer.expect("answers");
        match id % 5 {
            4 => assert_eq!(answer, None),
            _ => assert!(
                answer
                    .expect("there")
                    .contains(&format!("\"customer-{id}\""))
            ),
        }
    }
    assert_eq!(server.most_at_once(), 3);
    assert_eq!(asking.metric("driftgate_lookup_requests_total"), 40.0);
}

#[test]
fn a_cached_answer_is_asked_for_once_by_however_many_at_a_time() {
    let server = ScriptedServer::start(|asked| match id(&asked.path) {
        0 => Reply::status(404).after(Duration::from_millis(100)),
        id => Reply::customer(&id.to_string()).after(Duration::from_millis(100)),
    });
    let asking = asking(&server, ", cache: 1h, on_missing: null");
    let ids = [0, 1, 0, 1, 1, 0];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for answer in asking.ask(&server.url(), &ids) {
                    answer.expect("answers");
                }
            });
        }
    });
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    assert_eq!(asking.one(&server, 0), Ok(None));
    assert_eq!(
        server.asked().len(),
        2,
        "a 404 is kept where it leaves null"
    );
    assert_eq!(asking.metric("driftgate_lookup_cache_misses_total"), 2.0);
    assert_eq!(asking.metric("driftgate_lookup_cache_hits_total"), 23.0);
}

#[test]
fn a_cache_forgets_in_time_and_for_want_of_room_and_keeps_no_failure() {
    let fails = Arc::new(AtomicBool::new(true));
    let server = ScriptedServer::start({
        let fails = Arc::clone(&fails);
        move |asked| match (fails.load(Ordering::SeqCst), id(&asked.path)) {
            (true, 1) => Reply::status(503),
            (true, 2) => Reply::status(401),
            (_, 3) => Reply::status(404),
            (_, id) => Reply::customer(&id.to_string()),
        }
    });
    let asking_small = asking(&server, ", cache: { ttl: 300ms, max: 4KiB }");
    for (id, reason) in [
        (1, Reason::LookupUnavailable),
        (2, Reason::LookupMisconfigured),
        (3, Reason::LookupNotFound),
    ] {
        let error = asking_small.one(&server, id).expect_err("fails");
        assert_eq!(error.reason, reason);
    }
    fails.store(false, Ordering::SeqCst);
    for id in [1, 2] {
        assert!(asking_small.one(&server, id).expect("works now").is_some());
    }
    let before = server.asked().len();
    assert_eq!(
        asking_small.one(&server, 3).expect_err("404").reason,
        Reason::LookupNotFound
    );
    assert_eq!(server.asked().len(), before + 1, "it is asked again");
    let before = server.asked().len();
    eventually(LIMIT, "the answer is too old", || {
        asking_small.one(&server, 1).expect("answers");
        server.asked().len() > before
    });

    let asking_full = asking(&server, ", cache: { ttl: 1h, max: 4KiB }");
    let ids: Vec<u32> = (10..210).collect();
    for answer in asking_full.ask(&server.url(), &ids) {
        answer.expect("answers");
    }
    eventually(LIMIT, "answers go to make room", || {
        asking_full.one(&server, 10).expect("answers");
        asking_full.metric("driftgate_lookup_cache_evictions_total") > 0.0
            && asking_full.metric("driftgate_lookup_cache_bytes") <= 4096.0
    });
}

#[test]
fn a_server_that_fails_is_left_alone_and_asked_by_one_to_see() {
    let fails = Arc::new(AtomicBool::new(true));
    let server = ScriptedServer::start({
        let fails = Arc::clone(&fails);
        move |asked| match fails.load(Ordering::SeqCst) {
            true => Reply::status(500),
            false => Reply::customer(&asked.path),
        }
    });
    let asking = asking(&server, ", concurrency: 4");
    let ids: Vec<u32> = (0..200).collect();
    let answers = asking.ask(&server.url(), &ids);
    for answer in &answers {
        let error = answer.as_ref().expect_err("all fail");
        assert_eq!(error.reason, Reason::LookupUnavailable);
    }
    let asked = server.asked().len();
    assert!((10..=14).contains(&asked), "{asked} requests");
    let told = answers[199].as_ref().expect_err("not asked");
    assert!(told.message.contains("requests in a row failed"), "{told}");
    assert!(told.retry_after.is_some());
    let host = server.url().replace("http://", "");
    let down = vec![(Dependency::Lookup(host.clone()), false)];
    assert_eq!(asking.around.health.dependencies(), down);
    assert_eq!(asking.metric("driftgate_lookup_breaker_state"), 2.0);
    let readiness = asking.around.health.readiness();
    assert!(readiness.reasons.iter().all(|why| !why.contains(&host)));
    assert!(
        readiness.degraded[0].contains("failures in a row"),
        "{readiness:?}"
    );
    let shown = asking.around.health.report()["dependencies"].to_string();
    assert!(shown.contains("answered 500"), "{shown}");

    // Still down: each probe is one request.
    eventually(LIMIT, "a probe", || {
        asking.ask(&server.url(), &ids);
        server.asked().len() > asked
    });
    assert_eq!(server.asked().len(), asked + 1);
    fails.store(false, Ordering::SeqCst);
    eventually(LIMIT, "all is well again", || {
        asking.ask(&server.url(), &ids).iter().all(Result::is_ok)
    });
    let up = vec![(Dependency::Lookup(host), true)];
    assert_eq!(asking.around.health.dependencies(), up);
    assert_eq!(asking.metric("driftgate_lookup_breaker_state"), 0.0);
}

#[test]
fn nobody_asks_a_server_before_the_time_that_it_names() {
    let server = ScriptedServer::start(|asked| match id(&asked.path) {
        7 => Reply::status(429).header("retry-after", 40),
        id => Reply::customer(&id.to_string()),
    });
    let asking = asking(&server, ", concurrency: 1");
    let answers = asking.ask(&server.url(), &[1, 7, 2, 3]);
    assert!(answers[0].is_ok());
    for answer in &answers[1..] {
        let error = answer.as_ref().expect_err("not now");
        assert_eq!(error.reason, Reason::LookupUnavailable);
        let wait = error.retry_after.expect("it is known");
        assert!(
            wait > Duration::from_secs(20) && wait <= Duration::from_secs(40),
            "{wait:?}"
        );
    }
    assert_eq!(server.asked().len(), 2);
    let not_asked =
        "driftgate_lookup_not_asked_total{lookup=\"customer\",pipeline=\"p\",why=\"retry_after\"}";
    assert_eq!(asking.metric(not_asked), 2.0);
}

#[test]
fn what_the_service_gets_wrong_is_its_fault_and_no_secret_travels_on() {
    let other = ScriptedServer::start(|_| Reply::customer("elsewhere"));
    let elsewhere = other.url();
    let server = ScriptedServer::start(move |asked| match id(&asked.path) {
        0 => Reply::status(302).header("location", &elsewhere),
        1 => Reply::status(401),
        2 => Reply::status(403),
        3 => Reply {
            body: r#"{"name": 3}"#.to_owned(),
            ..Reply::customer("")
        },
        4 => Reply {
            body: "<html>".to_owned(),
            ..Reply::customer("")
        },
        5 => Reply {
            body: String::new(),
            ..Reply::customer("")
        },
        6 => Reply {
            body: "[".repeat(100_000),
            ..Reply::customer("")
        },
        _ => Reply::customer("Ada"),
    });
    let asking = asking(&server, ", headers: { Authorization: \"Bearer CANARY\" }");
    for answer in asking.ask(&server.url(), &[0, 1, 2, 3, 4, 5, 6]) {
        let error = answer.expect_err("its fault");
        assert_eq!(error.reason, Reason::LookupMisconfigured, "{error}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
    assert!(asking.one(&server, 7).expect("answers").is_some());
    assert!(other.asked().is_empty());
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some("Bearer CANARY"))
    );
    let spec = format!("{:?} {:?}", asking.lookups.specs(), Secret::new("CANARY"));
    assert!(!spec.contains("CANARY"), "{spec}");
}

#[test]
fn a_flood_of_slow_answers_ends_within_the_patience_of_the_batch() {
    let delay = Duration::from_millis(400);
    let server = ScriptedServer::start(move |_| Reply::customer("Ada").after(delay));
    // A quarter of it is two seconds.
    let properties = [("max.poll.interval.ms", "8000")];
    let asking = asking_with(&server, ", concurrency: 2, timeout: 1s", &properties);
    let ids: Vec<u32> = (0..200).collect();
    let begun = Instant::now();
    let answers = asking.ask(&server.url(), &ids);
    assert!(begun.elapsed() < Duration::from_secs(8));
    let asked = server.asked().len();
    assert!(asked < 20, "{asked}");
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answered > 2, "{answered}");
    let last = answers[199].as_ref().expect_err("not asked");
    assert_eq!(last.reason, Reason::LookupUnavailable);
    assert!(last.message.contains("took too long"), "{last}");
}

#[test]
fn a_limit_is_never_passed_and_what_it_has_no_room_for_waits_elsewhere() {
    let server = ScriptedServer::start(|_| Reply::customer("Ada"));
    let properties = [("max.poll.interval.ms", "12000")];
    let asking = asking_with(&server, ", limit: 20/s", &properties);
    // At most three seconds of it: sixty.
    let ids: Vec<u32> = (0..200).collect();
    let answers = asking.ask(&server.url(), &ids);
    let asked: Vec<Instant> = server.asked().iter().map(|asked| asked.at).collect();
    assert!((20..=61).contains(&asked.len()), "{}", asked.len());
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        asked.len()
    );
    for first in 0..asked.len() {
        let within = asked[first..].iter();
        let within =
            within.take_while(|at| at.duration_since(asked[first]) < Duration::from_secs(1));
        // One at each edge, and a request may be late where the one behind it is not.
        assert!(within.count() <= 22);
    }
    let turned_away = answers.iter().filter_map(|answer| answer.as_ref().err());
    let reasons: BTreeSet<_> = turned_away.map(|error| error.reason).collect();
    assert_eq!(reasons, BTreeSet::from([Reason::LookupUnavailable]));
    assert_eq!(
        asking.lookups.batch(1000, 200, 2),
        10,
        "a batch is what the limit has room for"
    );
}
