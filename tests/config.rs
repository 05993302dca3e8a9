//! The configuration from outside: what loads, what is refused and where, what is printed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use driftgate::cli::{flow, init};
use driftgate::config::model::*;
use driftgate::config::{self, Loaded, diagnose, fault::Fault, rules};
use proptest::prelude::*;

/// The least that loads; `{}` marks where tables put their lines.
const MINIMAL: &str = "\
pipelines:
  p:
    owner: { team: t }
    source: { topics: [orders] }
    contract: { subject: orders-value }
    sink: { topic: out, subject: out-value }
";

fn vars(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("broker:9092".to_owned()),
        "COUNT" => Some("3".to_owned()),
        "WORD" => Some("many".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn load(text: &str) -> Result<Loaded, Vec<Fault>> {
    config::load_text(text, "driftgate.yaml", Path::new("no-such-folder"), &vars)
}

fn loaded(text: &str) -> Loaded {
    load(text).unwrap_or_else(|faults| panic!("{}\n{text}", diagnose::render(&faults, false)))
}

/// (line, column, offending text, part of the message or hint)
type Expected<'a> = (usize, usize, &'a str, &'a str);

fn compare(text: &str, faults: &[Fault], expect: &[Expected<'_>]) {
    let rendered = diagnose::render(faults, false);
    assert_eq!(faults.len(), expect.len(), "{text}\n{rendered}");
    for (fault, (line, column, offending, message)) in faults.iter().zip(expect) {
        let place = (fault.place.line, fault.place.column, fault.text.as_str());
        assert_eq!(place, (*line, *column, *offending), "{text}\n{rendered}");
        let said = format!(
            "{} | {}",
            fault.message,
            fault.hint.as_deref().unwrap_or_default()
        );
        assert!(said.contains(message), "{said:?} lacks {message:?}");
        assert_eq!(fault.place.file, "driftgate.yaml");
    }
}

fn check(text: &str, expect: &[Expected<'_>]) {
    let faults = load(text).err().unwrap_or_default();
    compare(text, &faults, expect);
}

/// The minimal file with lines put before `pipelines` (line 1).
fn check_top(lines: &str, expect: &[Expected<'_>]) {
    check(&format!("{lines}\n{MINIMAL}"), expect);
}

/// The minimal file with lines put at the end of the pipeline (line 7, four blanks in).
fn check_pipeline(lines: &str, expect: &[Expected<'_>]) {
    check(&format!("{MINIMAL}    {lines}\n"), expect);
}

#[test]
fn defaults() {
    let Loaded {
        config, warnings, ..
    } = loaded(MINIMAL);
    assert_eq!(warnings, []);
    assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
    assert!(config.kafka.properties.is_empty());
    assert_eq!(config.registry.url, "http://localhost:8081");
    assert_eq!(config.registry.timeout, Duration::from_secs(5));
    assert_eq!(config.registry.cache_dir, None);
    assert_eq!(config.admin.listen, Some("127.0.0.1:9600".parse().unwrap()));
    assert_eq!(config.memory_limit, 256 << 20);
    assert_eq!(config.shutdown_grace, Duration::from_secs(25));
    let [pipeline] = &config.pipelines[..] else {
        panic!("one pipeline")
    };
    assert_eq!(pipeline.group, "p");
    assert_eq!(pipeline.workers, 1);
    assert_eq!(pipeline.delivery, Delivery::AtLeastOnce);
    assert_eq!(pipeline.provenance, Provenance::Ledger);
    assert!(pipeline.create_topics);
    assert_eq!(
        pipeline.contract.schema,
        SchemaSource::Subject {
            subject: "orders-value".to_owned(),
            version: None
        }
    );
    assert!(!pipeline.sink.auto_register);
    assert_eq!(
        pipeline.failure.tiers,
        [5, 60, 600].map(Duration::from_secs)
    );
    assert_eq!(pipeline.failure.jitter, 0.2);
    assert_eq!(pipeline.failure.budget, Duration::from_secs(86_400));
    assert_eq!(pipeline.failure.dead_letter.retention, None);
    assert_eq!(pipeline.dead_letter_topic("orders"), "orders.p.dlq");
}

#[test]
fn values_reach_the_model() {
    let text = format!(
        "kafka: {{ bootstrap_servers: '${{HOST}}', properties: {{ linger.ms: 20 }}, group_instance_id: i }}
registry: {{ url: 'http://u%40x:p%2Fw@localhost:8081/', timeout: 1s500ms, cache_dir: kept }}
admin: {{ listen: off, token: '' }}
memory_limit: 1GiB
{MINIMAL}    workers: ${{COUNT}}
    provenance: header
    create_topics: false
    transform:
      - set: {{ a: \"'EUR'\", b: 5 }}
      - filter: a != 'x'
      - mask: {{ field: m, with: fixed, value: gone }}
      - rename: {{ c: d }}
      - drop: [e, f]
      - cast: {{ g: \"decimal(12,2)\" }}
      - lookup: {{ into: h, url: \"http://crm/{{id}}?k=1\", type: ../Cargo.toml, on_missing: null }}
    failure: {{ retry: {{ tiers: [], jitter: 0%, ordering: none }}, dead_letter: {{ topic: graves, headers: [] }} }}
"
    );
    let text = text.replace("token: ''", "token: '${EMPTY:-}'");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let loaded = config::load_text(&text, "driftgate.yaml", &base, &vars)
        .unwrap_or_else(|faults| panic!("{}", diagnose::render(&faults, false)));
    let config = loaded.config;
    assert_eq!(config.kafka.bootstrap_servers, "broker:9092");
    assert_eq!(config.kafka.properties["linger.ms"].expose(), "20");
    assert_eq!(config.registry.url, "http://localhost:8081");
    let RegistryAuth::Basic { username, password } = &config.registry.auth else {
        panic!("basic")
    };
    assert_eq!((username.as_str(), password.expose()), ("u@x", "p/w"));
    assert_eq!(config.registry.timeout, Duration::from_millis(1500));
    assert_eq!(config.registry.cache_dir, Some(base.join("kept")));
    assert_eq!(config.admin.listen, None);
    assert!(config.admin.token.is_none());
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.workers, 3);
    assert_eq!(pipeline.provenance, Provenance::Header);
    assert!(!pipeline.create_topics);
    assert!(pipeline.failure.tiers.is_empty());
    assert_eq!(pipeline.failure.jitter, 0.0);
    assert_eq!(pipeline.dead_letter_topic("orders"), "graves");
    let [
        Step::Set(set),
        Step::Filter(filter),
        Step::Mask { with, .. },
        Step::Rename(_),
        Step::Drop(drop),
        Step::Cast(cast),
        Step::Lookup(lookup),
    ] = &pipeline.transform[..]
    else {
        panic!("{:?}", pipeline.transform)
    };
    assert_eq!(set[0].1.value, "'EUR'");
    // Behind the quote: an offset into the expression is an offset from here.
    assert_eq!((set[0].1.place.line, set[0].1.place.column), (15, 20));
    assert_eq!(set[1].1.value, "5");
    assert_eq!(
        (filter.value.as_str(), filter.place.column),
        ("a != 'x'", 17)
    );
    assert_eq!(with, &Mask::Fixed("gone".to_owned()));
    assert_eq!(drop.len(), 2);
    assert_eq!(cast[0].1.value, "decimal(12,2)");
    assert_eq!(lookup.on_missing, OnMissing::Null);
    let LookupSource::Http(http) = &lookup.from else {
        panic!("a URL")
    };
    assert_eq!(http.timeout, Duration::from_secs(2));
    assert_eq!((http.concurrency, http.limit, http.cache), (16, None, None));
    assert_eq!(lookup.on_null, None);
    assert_eq!(lookup.answer, base.join("../Cargo.toml"));
    for (written, expect) in [
        ("null", OnMissing::Null),
        ("'null'", OnMissing::Null),
        ("'${EMPTY:-}'", OnMissing::DeadLetter),
        ("", OnMissing::DeadLetter),
    ] {
        let text = text.replace("on_missing: null", &format!("on_missing: {written}"));
        let config = config::load_text(&text, "driftgate.yaml", &base, &vars)
            .unwrap()
            .config;
        let Some(Step::Lookup(lookup)) = config.pipelines[0].transform.last() else {
            panic!("a lookup")
        };
        assert_eq!(lookup.on_missing, expect, "{written:?}");
    }
    assert!(!format!("{lookup:?}").contains("k=1"));
}

#[test]
fn lookups_reach_the_model() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let load = |keys: &str| {
        let text = format!(
            "{MINIMAL}    transform:\n      - lookup: {{ into: c, type: Cargo.toml, {keys} }}\n"
        );
        let loaded = config::load_text(&text, "driftgate.yaml", base, &vars)
            .unwrap_or_else(|faults| panic!("{keys}: {}", diagnose::render(&faults, false)));
        match loaded
            .config
            .pipelines
            .into_iter()
            .next()
            .unwrap()
            .transform
            .remove(0)
        {
            Step::Lookup(lookup) => *lookup,
            other => panic!("{other:?}"),
        }
    };
    let lookup = load(
        "url: 'http://crm/{id}', limit: 3000/m, cache: 10m, concurrency: 4, on_null: missing, \
         on_missing: default, default: '{\"name\": \"?\"}', headers: { Authorization: '${HOST}' }",
    );
    let LookupSource::Http(http) = &lookup.from else {
        panic!("a URL")
    };
    assert_eq!(http.limit.unwrap().per_second(), 50.0);
    let cache = http.cache.unwrap();
    assert_eq!((cache.ttl, cache.max), (Duration::from_secs(600), 64 << 20));
    assert_eq!(http.concurrency, 4);
    assert_eq!(
        http.headers,
        [("authorization".to_owned(), Secret::new("broker:9092"))]
    );
    assert_eq!(lookup.on_null, Some(OnNull::Missing));
    let OnMissing::Default(default) = &lookup.on_missing else {
        panic!("a default")
    };
    assert_eq!(default.value, r#"{"name": "?"}"#);
    let lookup = load("url: 'http://crm/{id}', cache: { ttl: 1h, max: 1MiB }");
    let LookupSource::Http(http) = &lookup.from else {
        panic!("a URL")
    };
    let cache = http.cache.unwrap();
    assert_eq!((cache.ttl, cache.max), (Duration::from_secs(3600), 1 << 20));
    let lookup = load("topic: customers, key: id, max: 1GiB");
    let LookupSource::Topic(topic) = &lookup.from else {
        panic!("a topic")
    };
    assert_eq!(
        (topic.topic.as_str(), topic.key.value.as_str()),
        ("customers", "id")
    );
    assert_eq!(topic.max, 1 << 30);
}

#[test]
fn faults_of_lookups() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (keys, text, message) in [
        ("key: id", "", "needs a `url` or a `topic`"),
        ("url: 'http://a/', topic: t, key: id", "", "not both"),
        ("topic: t", "topic", "needs `key`"),
        (
            "topic: t, key: id, limit: 5/s",
            "limit",
            "belongs to a lookup with `url`",
        ),
        (
            "topic: t, key: id, headers: { a: CANARY }",
            "headers",
            "belongs to a lookup with `url`",
        ),
        (
            "url: 'http://a/', max: 1MiB",
            "max",
            "belongs to a lookup with `topic`",
        ),
        ("url: 'http://a/', limit: 50", "50", "not a rate"),
        ("url: 'http://a/', limit: 50/d", "50/d", "not a rate"),
        ("url: 'http://a/', limit: 0/s", "0/s", "would never ask"),
        ("url: 'http://a/', limit: -1/s", "-1/s", "not a rate"),
        ("url: 'http://a/', cache: 10", "10", "needs a unit"),
        ("url: 'http://a/', cache: 30d", "30d", "at most 7d"),
        (
            "url: 'http://a/', cache: { max: 1MiB }",
            "cache",
            "`ttl` is missing",
        ),
        (
            "url: 'http://a/', cache: { ttl: 1m, size: 1MiB }",
            "size",
            "unknown key",
        ),
        ("url: 'http://a/', cache: [1m]", "", "is a list"),
        ("url: 'http://a/', concurrency: 0", "0", "from 1 to 1000"),
        (
            "url: 'http://a/', on_missing: default",
            "on_missing",
            "needs `default`",
        ),
        (
            "url: 'http://a/', default: '{}'",
            "default",
            "belongs to `on_missing: default`",
        ),
        (
            "url: 'http://a/', on_null: null_it",
            "null_it",
            "expected dead_letter or missing",
        ),
        ("url: 'http://u:CANARY@a/'", "", "credentials in the URL"),
        (
            "url: 'http://a/', headers: { 'x y': CANARY }",
            "",
            "not a header's name and value",
        ),
        (
            "url: 'http://a/', headers: { Host: CANARY }",
            "host",
            "set by the request itself",
        ),
        (
            "url: 'http://a/', headers: { A: \"CAN\\nARY\" }",
            "a",
            "visible ASCII",
        ),
        (
            "url: 'http://a/', headers: { A: CANARY, a: CANARY }",
            "a",
            "stands here twice",
        ),
    ] {
        let text_of_file = format!(
            "{MINIMAL}    transform:\n      - lookup: {{ into: c, type: Cargo.toml, {keys} }}\n"
        );
        let faults =
            config::load_text(&text_of_file, "driftgate.yaml", base, &vars).expect_err(keys);
        let rendered = diagnose::render(&faults, false);
        assert!(
            faults
                .iter()
                .any(|fault| fault.text == text && fault.message.contains(message)),
            "{keys}: {rendered}"
        );
        assert!(!rendered.contains("CANARY"), "{rendered}");
    }
}

#[test]
fn faults_of_kinds_at_their_places() {
    for (lines, expect) in [
        (
            "memory_limit: 256",
            (1, 15, "256", "256MiB, if mebibytes are meant"),
        ),
        ("memory_limit: 1MiB", (1, 15, "1MiB", "at least 16MiB")),
        (
            "shutdown_grace: 25",
            (1, 17, "25", "25s, if seconds are meant"),
        ),
        ("shutdown_grace: 0s", (1, 17, "0s", "at least 1s")),
        (
            "shutdown_grace: soon",
            (1, 17, "soon", "500ms, 5s, 1m, 2h, 7d, 1h30m"),
        ),
        (
            "shutdown_grace: [5s]",
            (1, 17, "", "is a list; expected a duration"),
        ),
        ("kafka: localhost", (1, 8, "", "expected a mapping")),
        ("kafka:\n  bootstrap_servers: ''", (2, 22, "''", "empty")),
        (
            "admin: { listen: ':9600' }",
            (1, 18, "':9600'", "0.0.0.0:9600 is all addresses"),
        ),
        (
            "admin: { listen: '0.0.0.0:9600' }",
            (1, 18, "'0.0.0.0:9600'", "needs `admin.token`"),
        ),
        (
            "registry: { url: 'kafka:9092' }",
            (1, 18, "'kafka:9092'", "not an HTTP URL"),
        ),
        (
            "registry: { auth: { basic: { username: u } } }",
            (1, 21, "basic", "`password` is missing in `basic`"),
        ),
        (
            "registry: { auth: { tls: { ca: none.pem } } }",
            (1, 32, "none.pem", "there is no file"),
        ),
        ("registry: { cache_dir: [a] }", (1, 24, "", "a text")),
    ] {
        // `missing` points at a mapping's key; the key is not the offending text.
        let expect = if expect.3.contains("missing in") {
            (expect.0, expect.1, "basic", expect.3)
        } else {
            expect
        };
        check_top(lines, &[expect]);
    }
    for (lines, expect) in [
        ("workers: 0", (7, 14, "0", "from 1 to 256")),
        ("workers: ${WORD}", (7, 14, "${WORD}", "it holds `many`")),
        ("create_topics: yes", (7, 20, "yes", "write true")),
        (
            "delivery: exactly_one",
            (7, 15, "exactly_one", "did you mean exactly_once?"),
        ),
        (
            "transaction: { interval: 100ms }",
            (
                7,
                5,
                "transaction",
                "no transactions with `delivery: at_least_once`",
            ),
        ),
        (
            "delivery: exactly_once\n    transaction: { interval: 2s, timeout: 6s }",
            (8, 30, "2s", "more than a fifth of `timeout`"),
        ),
        (
            "delivery: exactly_once\n    transaction: { timeout: 15m }",
            (8, 29, "15m", "at most 2m"),
        ),
        (
            "delivery: exactly_once\n    transaction: { records: 0 }",
            (8, 29, "0", "from 1 to 1000000"),
        ),
        (
            "provenance: heder",
            (7, 17, "heder", "did you mean header?"),
        ),
        ("group: a b", (7, 12, "a b", "' ' is not legal")),
        (
            "failure: { retry: { tiers: [500ms] } }",
            (7, 33, "500ms", "at least 1s"),
        ),
        (
            "failure: { retry: { tiers: [5s, 1s] } }",
            (7, 37, "1s", "rising order"),
        ),
        (
            "failure: { retry: { tiers: 5s } }",
            (7, 32, "5s", "write [5s] for a list of one"),
        ),
        (
            "failure: { retry: { jitter: 0.2 } }",
            (7, 33, "0.2", "write 20%"),
        ),
        (
            "failure: { retry: { jitter: 101% } }",
            (7, 33, "101%", "at most 100%"),
        ),
        (
            "failure: { retry: { ordering: per-key } }",
            (7, 35, "per-key", "did you mean per_key?"),
        ),
        (
            "failure: { dead_letter: { pause_above: 20% } }",
            (7, 44, "20%", "write both: 20%/1m"),
        ),
        (
            "failure: { dead_letter: { pause_above: 20%/1 } }",
            (7, 44, "20%/1", "1s, if seconds are meant"),
        ),
        (
            "failure: { dead_letter: { pause_above: { window: 1m } } }",
            (7, 31, "pause_above", "`ratio` is missing"),
        ),
        (
            "failure: { dead_letter: { pause_above: { ratio: 20%, at_least: 0 } } }",
            (7, 68, "0", "from 1 to 1000000"),
        ),
        (
            "failure: { dead_letter: { pause_above: 100%/1m } }",
            (7, 44, "100%/1m", "never exceeded"),
        ),
        (
            "failure: { dead_letter: { topic: orders.p.ledger } }",
            (7, 38, "orders.p.ledger", "own ledger"),
        ),
        (
            "failure: { retry: { tiers: [5s] }, dead_letter: { topic: orders.p.retry.3 } }",
            (7, 62, "orders.p.retry.3", "is a retry topic of"),
        ),
        (
            "failure: { dead_letter: { pause_after: 0 } }",
            (7, 44, "0", "from 1 to 1000000"),
        ),
        (
            "failure: { dead_letter: { headers: [sprin] } }",
            (7, 41, "sprin", "expected connect, spring or streams"),
        ),
        (
            "failure: { dead_letter: { headers: [spring, spring] } }",
            (7, 49, "spring", "stands there twice"),
        ),
        ("alerts: [ { webhook: x } ]", (7, 26, "", "not a URL")),
        (
            "dedup: { key: a }",
            (7, 5, "dedup", "how long a key is remembered"),
        ),
        (
            "dedup: { key: a, by: content, window: 1h }",
            (7, 22, "by", "both say"),
        ),
        (
            "dedup: { partitioned_by: dedup_key, window: 1h }",
            (7, 14, "partitioned_by", "there is no `key`"),
        ),
        (
            "dedup: { window: 1h, max_keys: 7 }",
            (7, 36, "7", "from 8 to 1000000000"),
        ),
        ("stale: { key: a }", (7, 5, "stale", "`by` is missing")),
        (
            "stale: { by: a, then: topic }",
            (7, 27, "topic", "`then: topic` needs a `topic`"),
        ),
        (
            "stale: { by: a, topic: b }",
            (7, 28, "b", "nothing is written to this topic"),
        ),
        (
            "stale: { by: a, then: topic, topic: orders }",
            (7, 41, "orders", "source"),
        ),
        (
            "stale: { by: a, partitioned_by: stale_key }",
            (7, 21, "partitioned_by", "there is no `key`"),
        ),
        (
            "stale: { by: a, reorder: { wait: 1s } }\n    failure: { retry: { ordering: per_key } }",
            (7, 21, "reorder", "keeps the order of the source"),
        ),
        (
            "stale: { by: a, reorder: {} }",
            (7, 21, "reorder", "`wait` is missing"),
        ),
        ("dedup: { window: 1h, then: pass }", (7, 32, "pass", "drop")),
        (
            "ownership: { names: { ordres: crm } }",
            (7, 27, "ordres", "did you mean `orders`?"),
        ),
        (
            "ownership: { by: header }",
            (7, 22, "header", "expected topic"),
        ),
        ("ownership: { by: {} }", (7, 18, "by", "`by` says nothing")),
        (
            "ownership: { by: { header: h, field: f } }",
            (7, 35, "field", "both say by what a source is told"),
        ),
        (
            "ownership: { by: { topic: a } }",
            (7, 24, "topic", "unknown key"),
        ),
        (
            "ownership: { then: drop }",
            (7, 24, "drop", "reject, ignore or flag"),
        ),
        (
            "dedup: { window: 1h, store: disk }",
            (7, 33, "disk", "`store: disk` needs a `state_dir`"),
        ),
        (
            "stale: { by: a, store: disk }",
            (7, 28, "disk", "`store: disk` needs a `state_dir`"),
        ),
        (
            "transform: [ { explode: x } ]",
            (7, 29, "", "expected a mapping"),
        ),
        (
            "transform: [ { maks: x } ]",
            (7, 20, "maks", "did you mean `mask`?"),
        ),
        (
            "transform: [ { drop: [a], filter: b } ]",
            (7, 31, "filter", "begin a new item"),
        ),
        ("transform: [ { drop: [] } ]", (7, 20, "drop", "no field")),
        (
            "transform: [ { set: { a: } } ]",
            (7, 27, "a", "nothing stands behind `a`"),
        ),
        (
            "transform: [ { mask: { field: a, with: hmac } } ]",
            (7, 44, "hmac", "needs `secret`"),
        ),
        (
            "transform: [ { mask: { field: a, with: last4, value: b } } ]",
            (7, 51, "value", "belongs to `with: fixed`"),
        ),
        (
            "tiers: [5s]",
            (
                7,
                5,
                "tiers",
                "there is `pipelines.<pipeline>.failure.retry.tiers`",
            ),
        ),
    ] {
        check_pipeline(lines, &[expect]);
    }
    let tiers = vec!["1s"; 17].join(", ");
    check_pipeline(
        &format!("failure: {{ retry: {{ tiers: [{tiers}] }} }}"),
        &[(7, 32, "", "at most 16")],
    );
}

#[test]
fn what_is_remembered_is_on_disk_where_that_is_said() {
    let with = |dedup: &str| {
        let text = format!("state_dir: kept/here\n{MINIMAL}    dedup: {{ window: 1h{dedup} }}\n");
        loaded(&text).config
    };
    let config = with(", store: disk");
    let folder = config.state_dir.as_deref().expect("it is said");
    assert!(folder.ends_with("kept/here"), "{folder:?}");
    assert!(config.pipelines[0].is_on_disk());
    assert!(!with("").pipelines[0].is_on_disk());
}

/// Copies wait for each other by the record's key then. And who names a key is asked why copies come to one partition.
#[test]
fn what_dedup_needs_of_the_order_and_of_producers() {
    let ordered = "    failure: { retry: { tiers: [1s], ordering: per_key } }\n";
    let with = |dedup: &str, more: &str| {
        let text = format!("{MINIMAL}    dedup: {{ {dedup} }}\n{more}");
        config::load_text(&text, "driftgate.yaml", Path::new(""), &|_| None)
    };
    let asserted = "key: a, partitioned_by: dedup_key, window: 1h";
    let faults = with(asserted, ordered).expect_err("no such order");
    assert!(
        faults[0]
            .message
            .contains("wait for each other by the record's key"),
        "{faults:?}"
    );
    with(asserted, "").expect("without an order");
    for (dedup, asks) in [
        ("key: a, window: 1h", true),
        ("key: a, partitioned_by: record_key, window: 1h", false),
        ("window: 1h", false),
        ("by: content, max_keys: 1000", false),
    ] {
        let loaded = with(dedup, ordered).expect("it fits");
        let mut advice = loaded.advice.iter();
        let found = advice.any(|one| one.message.contains("the same record key as well"));
        assert_eq!(found, asks, "{dedup}");
        let bounds = "failure: { retry: { tiers: [1s], max_parked_keys: 9 } }";
        let loaded = with(dedup, &format!("    {bounds}\n")).expect("it fits");
        let told: Vec<_> = loaded.warnings.iter().map(|one| &one.message).collect();
        assert!(
            !told.iter().any(|one| one.contains("no effect")),
            "{told:?}"
        );
        let order = loaded.config.pipelines[0].order().expect("copies wait");
        assert_eq!(order.per_key.max_keys, 9);
    }
}

#[test]
fn empty_keys_are_fine() {
    loaded(&format!(
        "registry: {{ cache_dir: null, auth: {{}} }}\n{MINIMAL}    alerts: []\n    transform: []\n    failure: {{ dead_letter: {{ headers: [] }} }}\n"
    ));
}

#[test]
fn faults_of_names_and_interpolation() {
    check_top(
        "regsitry: {}",
        &[(1, 1, "regsitry", "did you mean `registry`?")],
    );
    check_top(
        "kafka: { bootstrap.servers: x }",
        &[(
            1,
            10,
            "bootstrap.servers",
            "did you mean `bootstrap_servers`?",
        )],
    );
    check_top(
        "kafka: {}\nkafka: {}",
        &[(2, 1, "kafka", "on line 1 already")],
    );
    check_top(
        "kafka: { bootstrap_servers: 'a,${NONE}' }",
        &[(1, 32, "${NONE}", "NONE is not set")],
    );
    check_top(
        "kafka: { bootstrap_servers: '${file:/no/such}' }",
        &[(1, 30, "${file:/no/such}", "cannot read /no/such")],
    );
    check_top(
        "kafka: { properties: { group.id: x, acks: 1, sasl.mecanism: PLAIN } }",
        &[
            (1, 24, "group.id", "use `group` of the pipeline"),
            (1, 37, "acks", "is refused: "),
            (1, 46, "sasl.mecanism", "did you mean `sasl.mechanism`?"),
        ],
    );
    check_top(
        "kafka: { properties: { message.max.bytes: 4MB } }",
        &[(
            1,
            24,
            "message.max.bytes",
            "a number of bytes from 1000 to 1000000000",
        )],
    );
    check("", &[(0, 0, "", "holds nothing")]);
    check("# nothing\n", &[(0, 0, "", "holds nothing")]);
    check(
        "- a\n",
        &[(1, 1, "", "the file is a list; expected a mapping")],
    );
    check("kafka: {}\n", &[(1, 1, "", "`pipelines` is missing")]);
    check(
        "pipelines: {}\n",
        &[(1, 12, "", "no pipeline is named here")],
    );
    check("pipelines:\n", &[(1, 1, "pipelines", "is empty")]);
    check(
        &MINIMAL.replace("  p:", "  Shop:"),
        &[(2, 3, "Shop", "not a pipeline's name")],
    );
    check(
        "pipelines:\n  p:\n",
        &[
            (2, 3, "p", "`source` is missing"),
            (2, 3, "p", "`contract` is missing"),
            (2, 3, "p", "`sink` is missing"),
        ],
    );
}

#[test]
fn faults_of_topics() {
    let two = |first: &str, second: &str| {
        format!("{MINIMAL}{first}  q:\n    owner: {{ team: t }}\n{second}")
    };
    check(
        &MINIMAL.replace("[orders]", "[orders, 'orders']"),
        &[(4, 32, "'orders'", "read twice")],
    );
    check(
        &MINIMAL.replace("[orders]", "[a/b]"),
        &[(4, 24, "a/b", "'/' is not legal")],
    );
    check(
        &MINIMAL.replace("[orders]", "[]"),
        &[(4, 15, "topics", "no topic")],
    );
    check(
        &MINIMAL.replace("topic: out", "topic: orders"),
        &[(6, 20, "orders", "read what it writes")],
    );
    let long = "x".repeat(240);
    check(
        &MINIMAL.replace("[orders]", &format!("[{long}]")),
        &[(4, 24, &long[..80], "250 characters")],
    );
    check(
        &two(
            "",
            "    group: p\n    source: { topics: [orders] }\n    contract: { subject: s }\n    sink: { topic: o2, subject: s }\n",
        ),
        &[(10, 24, "orders", "same group `p`")],
    );
    check(
        &two(
            "",
            "    source: { topics: [orders.p.retry.2] }\n    contract: { subject: s }\n    sink: { topic: o2, subject: s }\n",
        ),
        &[(
            4,
            24,
            "orders",
            "its retry topic `orders.p.retry.2` is a source of the pipeline `q`",
        )],
    );
    check(
        &two(
            "",
            "    source: { topics: [b] }\n    contract: { subject: s }\n    sink: { topic: orders.p.dlq, subject: s }\n",
        ),
        &[(
            4,
            24,
            "orders",
            "its dead-letter topic `orders.p.dlq` is the sink of the pipeline `q`",
        )],
    );
    check_pipeline(
        "failure: { dead_letter: { topic: out } }",
        &[(7, 38, "out", "the dead-letter topic `out` is the sink")],
    );
    check_pipeline(
        "failure: { dead_letter: { topic: orders.p.retry.1 } }",
        &[(7, 38, "orders.p.retry.1", "a retry topic of `orders`")],
    );
    // Different groups on one topic, a shared dead-letter topic and a chain of pipelines are legal.
    loaded(&two(
        "    failure: { dead_letter: { topic: graves } }\n",
        "    source: { topics: [orders, out] }\n    contract: { subject: s }\n    sink: { topic: o2, subject: s }\n    failure: { dead_letter: { topic: graves } }\n",
    ));
}

#[test]
fn faults_of_contracts() {
    let contract = |text: &str| MINIMAL.replace("{ subject: orders-value }", text);
    check(&contract("{}"), &[(5, 5, "contract", "has no schema")]);
    check(
        &contract("{ subject: s, at: 0 }"),
        &[(5, 33, "0", "latest or a version number")],
    );
    check(
        &contract("{ schema: a.avsc }"),
        &[(5, 25, "a.avsc", "there is no file")],
    );
    check(
        &contract("{ subject: s, rules: r.yaml }"),
        &[(5, 36, "r.yaml", "there is no file")],
    );
    check(
        &contract("{ subject: s, drift: { removed: stop } }"),
        &[(5, 47, "stop", "")],
    );
    check(
        &contract("{ subject: s, key: k.avsc }"),
        &[(5, 34, "", "expected a mapping")],
    );
    check(
        &contract("{ subject: s, key: { required: true } }"),
        &[(5, 29, "key", "`key` has no schema")],
    );
    check(
        &contract("{ subject: s, key: { subject: k, schema: k.avsc } }"),
        &[
            (5, 36, "subject", "exclude each other"),
            (5, 56, "k.avsc", "there is no file"),
        ],
    );
    check(
        &MINIMAL.replace("subject: out-value", "subject: s, auto_register: true"),
        &[(6, 37, "auto_register", "no `schema` file")],
    );
}

#[test]
fn steps_before_the_rules_stand_first() {
    let loaded = loaded(&format!(
        "{MINIMAL}    transform:
      - cast: {{ a: string }}
        before: rules
      - before: rules
        map_values: {{ field: b, values: {{ 3: Shipped, true: 4 }}, otherwise: null }}
      - filter: c
      - map_values: {{ field: b, values: {{ x: y }} }}
"
    ));
    let pipeline = &loaded.config.pipelines[0];
    let [Step::Cast(_), Step::MapValues(table)] = pipeline.prepare.as_slice() else {
        panic!("{:?}", pipeline.prepare);
    };
    let values = table.values.iter();
    let values: Vec<_> = values
        .map(|(from, to)| (&*from.value, &*to.value))
        .collect();
    assert_eq!(values, [("3", "Shipped"), ("true", "4")]);
    assert_eq!(table.otherwise, Otherwise::Null);
    let [Step::Filter(_), Step::MapValues(table)] = pipeline.transform.as_slice() else {
        panic!("{:?}", pipeline.transform);
    };
    assert_eq!(table.otherwise, Otherwise::DeadLetter);
    let shown = config::redacted(&loaded.config);
    assert!(shown.contains("transform.2 = map_values b by 2 values, otherwise null before rules"));

    let steps = |steps: &str| format!("transform: [ {steps} ]");
    check_pipeline(
        &steps("{ filter: a }, { filter: b, before: rules }"),
        &[(7, 46, "before", "stands behind one after them")],
    );
    check_pipeline(
        &steps("{ before: rules }"),
        &[(7, 18, "before", "here is none")],
    );
    check_pipeline(
        &steps("{ filter: a, before: sink }"),
        &[(7, 39, "sink", "rules")],
    );
    check_pipeline(
        &steps("{ drop: [a], filter: b, before: rules }"),
        &[(7, 31, "filter", "second step")],
    );
}

#[test]
fn a_syntax_error_at_the_end_hides_nothing_before_it() {
    let text = format!("memory_limit: 7\nusl: x\n{MINIMAL}    group: \"open\n");
    let faults = load(&text).unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| fault.place.line).collect();
    assert_eq!(&found[..2], [1, 2]);
    assert!(
        faults[2].message.starts_with("not YAML: "),
        "{}",
        faults[2].message
    );
    assert_eq!(
        faults.len(),
        3,
        "nothing is called missing that may stand further down"
    );
}

#[test]
fn a_fault_in_the_last_line_and_one_in_the_first_are_both_told() {
    let text = format!("memory_limit: 7\n{MINIMAL}    workers: none\n");
    check(
        &text,
        &[(1, 15, "7", "unit"), (8, 14, "none", "whole number")],
    );
}

#[test]
fn warnings() {
    for (lines, line, message) in [
        (
            "registry: { auth: { bearer: { token: abc } } }",
            1,
            "a secret in plain text",
        ),
        (
            "kafka: { properties: { sasl.mechanism: PLAIN } }",
            1,
            "no effect without `security.protocol: SASL_SSL`",
        ),
        (
            "registry: { url: 'http://r.example', auth: { bearer: { token: '${WORD}' } } }",
            1,
            "unencrypted",
        ),
    ] {
        let warnings = loaded(&format!("{lines}\n{MINIMAL}")).warnings;
        assert_eq!(
            warnings.len(),
            1,
            "{}",
            diagnose::render_warnings(&warnings, false)
        );
        assert_eq!(warnings[0].place.line, line);
        assert!(
            warnings[0].message.contains(message),
            "{}",
            warnings[0].message
        );
    }
    let warnings = loaded(&MINIMAL.replace("    owner: { team: t }\n", "")).warnings;
    assert!(warnings[0].message.contains("has no owner"));
}

const MANY_FAULTS: &str = r##"kafka:
  bootstrap_servers: ${KAFKA_SERVERS}
  properties:
    enable.auto.commit: true
    security.protocl: SSL
registry:
  url: ftp://registry
  auth: { basic: { username: u, pasword: hunter2 } }
admin: { listen: 0.0.0.0:9600 }
memory_limit: 256mib
shutdown_grace: 25
pipelines:
  Orders:
    owner: { team: shop }
    workers: 0
    transaction: { interval: 50ms }
    source: { topics: [orders, orders] }
    contract: { schema: schemas/orders-value.avsc }
    dedup: { key: order_id, window: 24h }
    transform:
      - maks: { field: email, with: sha256 }
      - mask: { field: email, with: hmac }
    sink: { topic: orders, subject: s }
    failure:
      retry: { tiers: [1m, 5s], jitter: 120% }
      retry: {}
"##;

#[test]
fn many_faults_rendered() {
    let faults = load(MANY_FAULTS).unwrap_err();
    let text = diagnose::render(&faults, false);
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!("many_faults", text);
}

#[test]
fn rules_files() {
    let load = |text: &str| rules::load_text(text, "driftgate.yaml", Path::new(""), &vars);
    let (file, warnings) = load(include_str!("../src/cli/init/orders-value.rules.yaml")).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(file.compatibility.as_deref(), Some("BACKWARD_TRANSITIVE"));
    assert_eq!(file.rules.len(), 5);
    let Check::Field { field, constraint } = &file.rules[1].check else {
        panic!("a field rule")
    };
    assert_eq!((field.value.as_str(), field.place.line), ("amount", 9));
    assert_eq!(
        constraint,
        &Constraint::Range {
            min: Some("0.01".to_owned()),
            max: None
        }
    );
    assert_eq!(file.rules[4].on_fail, OnFail::Warn);
    assert_eq!(file.fields["email"].tags, ["PII"]);
    assert_eq!(file.fields["email"].place.line, 16);

    for (rule, expect) in [
        (
            "name: r, field: a",
            (1, 21, "field", "says nothing of its field"),
        ),
        ("name: r", (1, 10, "", "checks nothing")),
        ("field: a, required: true", (1, 10, "", "`name` is missing")),
        (
            "name: r, expr: a, field: b",
            (1, 30, "field", "exclude each other"),
        ),
        (
            "name: r, expr: a, required: true",
            (1, 30, "required", "make it two rules"),
        ),
        (
            "name: r, field: a, required: true, one_of: [x]",
            (1, 47, "one_of", "make it two rules"),
        ),
        (
            "name: r, field: a, required: false",
            (1, 31, "required", "checks nothing"),
        ),
        (
            "name: r, field: a, range: {}",
            (1, 31, "range", "without bounds"),
        ),
        (
            "name: r, field: a, range: { min: 10, max: 9.5 }",
            (1, 31, "range", "no value passes"),
        ),
        (
            "name: r, field: a, range: { min: 1e3 }",
            (1, 45, "1e3", "expected a number"),
        ),
        (
            "name: r, field: a, one_of: []",
            (1, 31, "one_of", "no value passes"),
        ),
        (
            "name: r, field: a, pattern: '[a-'",
            (1, 40, "'[a-'", "unclosed character class"),
        ),
        (
            "name: r, field: a, length: { min: 3, max: 2 }",
            (1, 31, "length", "no value passes"),
        ),
        (
            "name: r, field: a, required: true, on_fail: halt",
            (1, 56, "halt", "dead_letter or warn"),
        ),
    ] {
        let text = format!("rules: [ {{ {rule} }} ]");
        let faults = load(&text).unwrap_err();
        compare(&text, &faults, &[expect]);
    }
    let twice = "rules:\n  - { name: a, expr: x }\n  - { name: a, expr: y }\n";
    compare(
        twice,
        &load(twice).unwrap_err(),
        &[(3, 13, "a", "a second rule named `a`")],
    );
    let free = "fields: { email: { on_foreign: flag } }\n";
    compare(
        free,
        &load(free).unwrap_err(),
        &[(1, 20, "on_foreign", "`email` has no owner")],
    );
    let level = "compatibility: BACKWARDS\n";
    compare(
        level,
        &load(level).unwrap_err(),
        &[(1, 16, "BACKWARDS", "did you mean BACKWARD?")],
    );
}

#[test]
fn faults_of_a_rules_file_come_with_the_configurations() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("r.yaml"),
        "rules:\n  - { name: a, exp: x }\n",
    )
    .unwrap();
    let path = folder.path().join("driftgate.yaml");
    let text = MINIMAL.replace("orders-value }", "orders-value, rules: r.yaml }");
    std::fs::write(&path, format!("memory_limit: 7\n{text}")).unwrap();
    let faults = config::load(&path, &vars).unwrap_err();
    let rendered = diagnose::render(&faults, false);
    assert!(rendered.contains("driftgate.yaml:1:15: "), "{rendered}");
    assert!(
        rendered.contains("r.yaml:2:16: unknown key `exp`"),
        "{rendered}"
    );
    assert!(rendered.contains("- { name: a, exp: x }"), "{rendered}");
}

/// A secret in every place that takes one; none may come out anywhere.
#[test]
fn no_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "CANARY-file\n").unwrap();
    std::fs::write(folder.path().join("a.avsc"), "{}").unwrap();
    let vars = |name: &str| Some(format!("CANARY-{name}"));
    let text = r#"
kafka:
  properties:
    security.protocol: SASL_SSL
    sasl.username: visible
    sasl.password: CANARY-1
    sasl.oauthbearer.config: CANARY-2
    ssl.key.password: "${file:secret}"
    ssl.key.pem: |
      -----BEGIN
      CANARY-3
    ssl.keystore.password: ${ENV}
registry:
  url: https://user:CANARY-5@registry:8081/
admin: { listen: 0.0.0.0:9600, token: CANARY-7 }
pipelines:
  p:
    owner: { team: t }
    source: { topics: [a] }
    contract: { schema: a.avsc }
    transform:
      - mask: { field: email, with: hmac, secret: CANARY-8 }
      - lookup: { into: c, url: "http://crm/{id}?api_key=CANARY-9", type: a.avsc, headers: { Authorization: "Bearer CANARY-B", X-Key: CANARY-C } }
    secrets:
      mail: CANARY-D
      other: "${file:secret}"
    sink: { topic: b, schema: a.avsc }
"#;
    let loaded = config::load_text(text, "driftgate.yaml", folder.path(), &vars)
        .unwrap_or_else(|faults| panic!("{}", diagnose::render(&faults, false)));
    let basic = text
        .replace("https://user:CANARY-5@registry", "http://registry")
        .replace(
            "registry:\n",
            "registry:\n  auth: { basic: { username: visible, password: CANARY-A } }\n",
        );
    let bearer = basic.replace(
        "basic: { username: visible, password: CANARY-A }",
        "bearer: { token: \"${file:secret}\" }",
    );
    let (basic, bearer) = (
        config::load_text(&basic, "driftgate.yaml", folder.path(), &vars).unwrap(),
        config::load_text(&bearer, "driftgate.yaml", folder.path(), &vars).unwrap(),
    );
    for loaded in [loaded, basic, bearer] {
        let redacted = config::redacted(&loaded.config);
        assert!(
            redacted.contains("kafka.properties.sasl.username = visible"),
            "{redacted}"
        );
        assert!(
            redacted.contains("kafka.properties.sasl.password = [redacted]"),
            "{redacted}"
        );
        let warnings = diagnose::render_warnings(&loaded.warnings, false);
        let debug = format!("{loaded:?}");
        let flow = format!(
            "{}{}{}",
            flow::table(&loaded.config),
            flow::mermaid(&loaded.config),
            flow::json(&loaded.config)
        );
        for text in [redacted, warnings, debug, flow] {
            assert!(!text.contains("CANARY"), "{text}");
        }
    }

    // Every line of the file broken in turn, in every way that a slip of the pen breaks a line.
    let flow = text.replace(
        "secrets:\n      mail: CANARY-D\n      other: \"${file:secret}\"\n",
        "secrets: { mail: CANARY-D, other: \"${file:secret}\" }\n",
    );
    assert_ne!(flow, text);
    for text in [text, &flow] {
        no_slip_prints_a_secret(text, folder.path(), &vars);
    }
}

fn no_slip_prints_a_secret(text: &str, folder: &Path, vars: &dyn Fn(&str) -> Option<String>) {
    let lines: Vec<&str> = text.lines().collect();
    for index in 0..lines.len() {
        let line = lines[index];
        let mut slips = vec![
            line.replacen("password", "pasword", 1)
                .replacen("secret", "sceret", 1)
                .replacen("token", "tokn", 1),
            line.replacen("  ", "   ", 1),
            line.replacen(" }", "", 1),
            line.replacen("https://user", "htps://user", 1),
            line.replacen(":8081/", ":8081/?token=CANARY-6", 1),
            line.replacen("http", "htp", 1),
            line.replacen("admin: {", "admin: { lsiten: x,", 1),
            format!("\t{line}"),
            format!("{line}\n{line}"),
            line.replace("- ", ""),
            line.replace("    ", ""),
        ];
        for (at, _) in line.match_indices(": ") {
            for slip in [" ", ":", ": [", ": \"", ": {x: ", ":\n", "= "] {
                slips.push(format!("{}{slip}{}", &line[..at], &line[at + 2..]));
            }
        }
        for slip in slips {
            let mut broken = lines.clone();
            broken[index] = &slip;
            let broken = broken.join("\n");
            if let Err(faults) = config::load_text(&broken, "driftgate.yaml", folder, vars) {
                let rendered = diagnose::render(&faults, true);
                assert!(!rendered.contains("CANARY"), "{broken}\n{rendered}");
                assert!(
                    !format!("{faults:?}").contains("CANARY"),
                    "{broken}\n{faults:?}"
                );
            }
        }
    }
}

#[test]
fn init_writes_what_loads_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new");
    init::run(init::InitArgs {
        dir: dir.clone(),
        force: false,
    })
    .unwrap();
    let path = dir.join("driftgate.yaml");
    let loaded = config::load(&path, &|_| None)
        .unwrap_or_else(|faults| panic!("{}", diagnose::render(&faults, false)));
    assert_eq!(diagnose::render_warnings(&loaded.warnings, false), "");
    assert_eq!(loaded.rules.len(), 1);
    assert_eq!(loaded.config.pipelines[0].transform.len(), 5);
    for name in ["orders-value.avsc", "orders.clean-value.avsc"] {
        let text = std::fs::read_to_string(dir.join("schemas").join(name)).unwrap();
        apache_avro::Schema::parse_str(&text).unwrap();
    }

    std::fs::write(&path, "mine").unwrap();
    let refused = init::run(init::InitArgs {
        dir: dir.clone(),
        force: false,
    })
    .unwrap();
    assert_eq!(
        format!("{refused:?}"),
        format!("{:?}", std::process::ExitCode::from(2))
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    init::run(init::InitArgs { dir, force: true }).unwrap();
    assert_ne!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn limits_are_written_short_or_long() {
    let check = |lines: &str, above: Option<(f64, u64, u64)>, after: Option<u64>| {
        let config = loaded(&format!("{MINIMAL}    {lines}\n")).config;
        let dead_letter = &config.pipelines[0].failure.dead_letter;
        let limit = dead_letter.pause_above.map(|limit| {
            let window = limit.window.as_secs();
            (limit.ratio, window, limit.at_least)
        });
        assert_eq!((limit, dead_letter.pause_after), (above, after), "{lines}");
        // Quarantine's is there without a word.
        let quarantine = config.pipelines[0].contract.quarantine_above;
        let quarantine = (quarantine.ratio, quarantine.window.as_secs());
        assert_eq!(quarantine, (0.5, 60), "{lines}");
    };
    check("workers: 1", None, None);
    let short = "failure: { dead_letter: { pause_above: 20%/5m, pause_after: 100 } }";
    check(short, Some((0.2, 300, 20)), Some(100));
    let long = "failure: { dead_letter: { pause_above: { ratio: 1%, at_least: 500 } } }";
    check(long, Some((0.01, 60, 500)), None);
    let all = "failure: { dead_letter: { pause_above: { ratio: 5%, window: 1h, at_least: 1 } } }";
    check(all, Some((0.05, 3600, 1)), None);
}

/// The example of the design page: every key is known.
#[test]
fn every_key_of_the_full_example_is_known() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    for name in [
        "orders-value.avsc",
        "orders-clean-value.avsc",
        "customer.avsc",
    ] {
        std::fs::write(folder.path().join("schemas").join(name), "{}").unwrap();
    }
    std::fs::write(
        folder.path().join("schemas/orders-value.rules.yaml"),
        FULL_RULES,
    )
    .unwrap();
    let vars = |name: &str| (name == "ALERT_URL").then(|| "http://alerts".to_owned());
    let text = FULL.replace("${file:/run/secrets/mask}", "x");
    let loaded = config::load_text(&text, "driftgate.yaml", folder.path(), &vars);
    let loaded = loaded.unwrap_or_else(|faults| panic!("{}", diagnose::render(&faults, false)));
    let pipeline = &loaded.config.pipelines[0];
    assert!(pipeline.dedup.is_some() && pipeline.stale.is_some());
}

const FULL: &str = r##"
kafka:
  bootstrap_servers: ${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}
  properties: {}
registry:
  url: ${SCHEMA_REGISTRY_URL:-http://localhost:8081}
  auth: {}
  cache_dir: null
admin: { listen: 127.0.0.1:9600 }
memory_limit: 256MiB
shutdown_grace: 25s
pipelines:
  clean-orders:
    owner: { team: order-platform, contact: "#orders-oncall" }
    group: orders-gate
    workers: 2
    delivery: at_least_once
    provenance: ledger
    source: { topics: [orders] }
    contract:
      schema: schemas/orders-value.avsc
      rules: schemas/orders-value.rules.yaml
      drift: { added_optional: allow, removed: quarantine, type_changed: quarantine, unit_changed: halt, unknown_subject: warn }
    dedup: { key: order_id, window: 24h }
    stale: { key: order_id, by: updated_at, then: drop }
    transform:
      - set: { currency: "currency.upperAscii()" }
      - filter: "currency != 'TEST'"
      - mask: { field: email, with: hmac, secret: "${file:/run/secrets/mask}" }
      - rename: { note: comment }
      - lookup: { into: customer, url: "http://crm/customers/{customer_id}", type: schemas/customer.avsc, timeout: 2s, limit: 50/s, cache: 10m }
      - drop: [tags]
    sink: { topic: orders.clean, schema: schemas/orders-clean-value.avsc }
    failure:
      retry: { tiers: [5s, 1m, 10m], jitter: 20%, ordering: none }
      dead_letter: { pause_above: 20%/1m, headers: [] }
    alerts: [ { webhook: "${ALERT_URL}" } ]
"##;

const FULL_RULES: &str = r##"
owner: { team: shop, contact: "#shop" }
compatibility: BACKWARD_TRANSITIVE
rules:
  - { name: positive-amount, expr: "amount > decimal('0')", on_fail: dead_letter }
  - { name: known-currency, field: currency, one_of: [EUR, USD, GBP] }
fields:
  email: { tags: [PII], owner: crm, doc: "lower case" }
"##;

#[test]
fn the_flow_is_printed() {
    let text = format!(
        "{MINIMAL}  q:\n    owner: {{ team: b, contact: \"#b\" }}\n    group: g2\n    source: {{ topics: [out] }}\n    contract: {{ subject: out-value, at: 3 }}\n    sink: {{ topic: end, subject: s }}\n    failure: {{ retry: {{ tiers: [90s], jitter: 0% }} }}\n"
    );
    let config = loaded(&text).config;
    insta::assert_snapshot!("flow_table", flow::table(&config));
    insta::assert_snapshot!("flow_mermaid", flow::mermaid(&config));
    let json = flow::json(&config);
    assert_eq!(json["pipelines"][1]["retry"][0]["delay_ms"], 90_000);
    assert_eq!(json["pipelines"][0]["dead_letter"][0], "orders.p.dlq");
}

#[test]
fn exactly_once_reaches_the_model_and_names_its_transactional_ids() {
    let pipeline = |keys: &str| {
        let text = format!(
            "{MINIMAL}  q:\n    owner: {{ team: b, contact: \"#b\" }}\n    group: g2\n    {keys}\n    source: {{ topics: [out] }}\n    contract: {{ subject: out-value, at: 3 }}\n    sink: {{ topic: end, subject: s }}\n"
        );
        loaded(&text).config
    };
    let of = |interval, records, timeout| {
        Delivery::ExactlyOnce(Transaction {
            interval: Duration::from_millis(interval),
            records,
            timeout: Duration::from_secs(timeout),
        })
    };
    let config = pipeline("delivery: exactly_once");
    assert_eq!(config.pipelines[1].delivery, of(100, 100_000, 15));
    assert!(flow::table(&config).contains("g2-*"));
    let json = flow::json(&config);
    assert_eq!(json["pipelines"][1]["transactional_ids"], "g2-");
    assert!(json["pipelines"][0]["transactional_ids"].is_null());
    let keys =
        "delivery: exactly_once\n    transaction: { interval: 20ms, records: 5, timeout: 1m }";
    assert_eq!(pipeline(keys).pipelines[1].delivery, of(20, 5, 60));
}

/// With `DRIFTGATE_UPDATE_DOCS` set, writes the files instead.
#[test]
fn the_generated_pages_are_current() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let schema = |value| format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
    for (name, text) in [
        ("configuration.md", config::reference()),
        (
            "driftgate.schema.json",
            schema(config::schema::json_schema()),
        ),
        (
            "rules.schema.json",
            schema(config::schema::rules_json_schema()),
        ),
    ] {
        let path = docs.join(name);
        if std::env::var_os("DRIFTGATE_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "docs/{name} is out of date: run DRIFTGATE_UPDATE_DOCS=1 cargo test --test config"
        );
    }
}

#[test]
fn the_json_schema_refuses_what_the_program_refuses() {
    let schema = config::schema::json_schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["additionalProperties"], false);
    let pipeline = &schema["properties"]["pipelines"]["additionalProperties"];
    assert_eq!(
        pipeline["required"],
        serde_json::json!(["source", "contract", "sink"])
    );
    assert_eq!(pipeline["properties"]["workers"]["default"], 1);
    assert_eq!(
        pipeline["properties"]["stale"]["anyOf"][0]["required"],
        serde_json::json!(["by"])
    );
}

fn is_sound(faults: &[Fault]) -> bool {
    !diagnose::render(faults, true).is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        if let Err(faults) = load(&text) {
            prop_assert!(is_sound(&faults));
        }
    }

    #[test]
    fn no_yaml_like_text_panics(text in "[a-z:\\-\\[\\]{},#&*!|>'\"%@`$ \n\t0-9ä\r]{0,120}") {
        if let Err(faults) = load(&text) {
            prop_assert!(is_sound(&faults));
        }
        if let Err(faults) = rules::load_text(&text, "r", Path::new(""), &vars) {
            prop_assert!(is_sound(&faults));
        }
    }

    #[test]
    fn no_mutation_panics(
        which in 0usize..3,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, "[\\PC\n\t]{0,3}"), 1..6),
    ) {
        let mut chars: Vec<char> = [FULL, MANY_FAULTS, FULL_RULES][which].chars().collect();
        for (at, action, text) in edits {
            let at = at.index(chars.len());
            match action {
                0 => { chars.splice(at..at, text.chars()); }
                1 => { chars.remove(at); }
                2 => { let end = (at + 20).min(chars.len()); chars.drain(at..end); }
                _ => { chars.truncate(at + 1); }
            }
            prop_assume!(!chars.is_empty());
        }
        let text: String = chars.into_iter().collect();
        for faults in [load(&text).err(), rules::load_text(&text, "r", Path::new(""), &vars).err()].into_iter().flatten() {
            prop_assert!(is_sound(&faults));
        }
    }
}

/// The minimal file with steps; they begin on line 8, each one behind `      - `.
fn steps(text: &str) -> String {
    let steps: String = text.lines().map(|line| format!("      {line}\n")).collect();
    format!("{MINIMAL}    transform:\n{steps}")
}

#[test]
fn steps_that_move_fields_and_make_records_reach_the_model() {
    let text = steps(
        "- move: { a.b: c.d }
- keep: [a, c]
- default: { a: \"'x'\" }
- flatten: { field: customer, prefix: '' }
- flatten: { field: home }
- nest: { into: address, fields: [street, city] }
- explode: { field: items, into: item }
- explode: { field: tags }
- header: { kind: \"'order'\", trace: null }
- key: item.sku
- key: null
- timestamp: at
- route:
    - { when: big, topic: large, subject: large-value, at: 3 }
    - { when: odd, topic: other }
    - { else: true }",
    );
    let text = text.replace("      - move", "      - before: rules\n        move");
    let pipeline = loaded(&text).config.pipelines.remove(0);
    let pair = |(name, value): &(Placed<String>, Placed<String>)| {
        format!("{}={}", name.value, value.value)
    };
    let list = |fields: &[Placed<String>]| {
        let names: Vec<_> = fields.iter().map(|field| field.value.as_str()).collect();
        names.join(" ")
    };
    let found = |step: &Step| match step {
        Step::Move(entries) | Step::Default(entries) => pair(&entries[0]),
        Step::Keep(fields) => list(fields),
        Step::Flatten {
            field,
            prefix,
            separator,
        } => format!("{} {prefix:?} {separator}", field.value),
        Step::Nest { into, fields } => format!("{}: {}", into.value, list(fields)),
        Step::Explode { field, into } => {
            let into = into.as_ref().map(|into| into.value.as_str());
            format!("{} {into:?}", field.value)
        }
        Step::Header(entries) => {
            let entries = entries.iter().map(|(name, value)| {
                let value = value.as_ref().map(|value| value.value.as_str());
                format!("{}={value:?}", name.value)
            });
            entries.collect::<Vec<_>>().join(" ")
        }
        Step::Key(text) | Step::Timestamp(text) => text.value.clone(),
        Step::Route(arms) => {
            let arms = arms.iter().map(|arm| {
                let when = arm.when.as_ref().map(|when| when.value.as_str());
                format!("{when:?} {} {}", arm.sink.topic, arm.sink.subject)
            });
            arms.collect::<Vec<_>>().join(" | ")
        }
        other => panic!("{other:?}"),
    };
    let before: Vec<_> = pipeline.prepare.iter().map(found).collect();
    assert_eq!(before, ["a.b=c.d"]);
    let after: Vec<_> = pipeline.transform.iter().map(found).collect();
    assert_eq!(
        after,
        [
            "a c",
            "a='x'",
            "customer Some(\"\") _",
            "home None _",
            "address: street city",
            "items Some(\"item\")",
            "tags None",
            "kind=Some(\"'order'\") trace=None",
            "item.sku",
            "null",
            "at",
            "Some(\"big\") large large-value | Some(\"odd\") other out-value | None out out-value",
        ]
    );
    let sinks = pipeline.sinks();
    let topics: Vec<_> = sinks.iter().map(|sink| sink.topic.as_str()).collect();
    assert_eq!(
        topics,
        ["out", "large", "other"],
        "each once, the pipeline's own first"
    );
    let Some(Step::Route(arms)) = pipeline.transform.last() else {
        panic!("a route")
    };
    let indexes: Vec<_> = arms
        .iter()
        .map(|arm| pipeline.sink_index(&arm.sink))
        .collect();
    assert_eq!(indexes, [Some(1), Some(2), Some(0)]);
    let SchemaSource::Subject { version, .. } = &sinks[1].schema else {
        panic!("a subject")
    };
    assert_eq!(*version, Some(3));
}

#[test]
fn secrets_reach_the_model() {
    let text = format!("{MINIMAL}    secrets: {{ mail: '${{WORD}}', other: x }}\n");
    let loaded = loaded(&text);
    let secrets = &loaded.config.pipelines[0].secrets;
    let names: Vec<_> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (names, secrets[0].1.expose()),
        (vec!["mail", "other"], "many")
    );
    assert!(!format!("{:?}", loaded.config).contains("many"));
    check_pipeline(
        "secrets: { 'a b': x }",
        &[(7, 16, "", "not a secret's name")],
    );
    check_pipeline("secrets: {}", &[(7, 14, "", "no secret is named here")]);
    check_pipeline(
        "secrets: [CANARY]",
        &[(7, 14, "", "is a list; expected a mapping")],
    );
}

#[test]
fn faults_of_steps_that_move_fields_and_make_records() {
    for (text, expect) in [
        ("- keep: []", vec![(8, 9, "keep", "no field is named here")]),
        ("- move: {}", vec![(8, 15, "", "no field is named here")]),
        (
            "- flatten: { field: a, prefix: a_, separator: '-' }",
            vec![(8, 42, "separator", "keep one of them")],
        ),
        (
            "- nest: { into: a, fields: [] }",
            vec![(8, 9, "nest", "no field is named here")],
        ),
        (
            "- nest: { into: a }",
            vec![(8, 9, "nest", "`fields` is missing in `nest`")],
        ),
        (
            "- explode: { into: a }",
            vec![(8, 9, "explode", "`field` is missing in `explode`")],
        ),
        (
            "- header: { driftgate.index: a, __value_schema_id: b, c: }",
            vec![
                (8, 19, "driftgate.index", "Driftgate's own"),
                (8, 39, "__value_schema_id", "names the schema"),
                (8, 61, "c", "nothing stands behind `c`"),
            ],
        ),
        ("- key:", vec![(8, 9, "key", "the step `key` is empty")]),
        (
            "- timestamp: null",
            vec![(8, 9, "timestamp", "the step `timestamp` is empty")],
        ),
        (
            "- { before: rules, key: a }",
            vec![(8, 11, "before", "take `before` out")],
        ),
        (
            "- { before: rules, explode: { field: a } }",
            vec![(8, 11, "before", "`explode` is about what is emitted")],
        ),
        (
            "- { before: rules, nest: { into: a, fields: [b] } }",
            vec![],
        ),
        (
            "- route: [ { when: a } ]",
            vec![(8, 9, "route", "`route` has no `else`")],
        ),
        (
            "- route: []",
            vec![(8, 9, "route", "`route` has no `else`")],
        ),
        (
            "- route: [ { topic: x }, { else: true } ]",
            vec![(8, 18, "", "an arm without a condition")],
        ),
        (
            "- route: [ { else: true }, { when: a } ]",
            vec![(8, 20, "else", "put it at the end")],
        ),
        (
            "- route: [ { when: a, else: true } ]",
            vec![(8, 20, "when", "exclude each other")],
        ),
        (
            "- route: [ { when: a }, { else: false } ]",
            vec![
                (8, 9, "route", "`route` has no `else`"),
                (8, 33, "else", "`true` or not there"),
            ],
        ),
        (
            "- route: [ { when: a, topic: orders }, { else: true } ]",
            vec![(8, 36, "orders", "it would read what it writes")],
        ),
        (
            "- route: [ { when: a, topic: orders.p.dlq }, { else: true } ]",
            vec![(4, 24, "orders", "is the sink of the pipeline `p`")],
        ),
        (
            "- route: [ { else: true } ]\n- drop: [a]",
            vec![(9, 9, "", "`route` is the last step")],
        ),
    ] {
        check(&steps(text), &expect);
    }
}

#[test]
fn faults_of_retries() {
    let check = |retry: &str, expect: Expected<'_>| {
        check_pipeline(&format!("failure: {{ retry: {{ {retry} }} }}"), &[expect]);
    };
    for (retry, expect) in [
        (
            "reasons: { lookup_unavailble: retry }",
            (
                7,
                36,
                "lookup_unavailble",
                "did you mean lookup_unavailable?",
            ),
        ),
        (
            "reasons: { whim: retry }",
            (7, 36, "whim", "one of: unframed, unframed_json"),
        ),
        (
            "reasons: { registry_unavailable: dead_letter }",
            (7, 36, "registry_unavailable", "its partition pauses"),
        ),
        (
            "reasons: { drift_halted: retry }",
            (
                7,
                36,
                "drift_halted",
                "no outage becomes a heap of dead letters",
            ),
        ),
        (
            "reasons: { lookup_unavailable: dead_letter }",
            (
                7,
                36,
                "lookup_unavailable",
                "an outage is no dead letter at once",
            ),
        ),
        (
            "reasons: { parked: retry }",
            (7, 36, "parked", "no failure"),
        ),
        (
            "reasons: { predecessor_dead_lettered: retry }",
            (7, 36, "predecessor_dead_lettered", "on_dead"),
        ),
        (
            "reasons: { rule_violation: never }",
            (7, 52, "never", "expected retry or dead_letter"),
        ),
        (
            "reasons: { rule_violation: { tiers: [7s] } }",
            (7, 62, "7s", "they are: 5s, 1m, 10m"),
        ),
        (
            "reasons: { rule_violation: { tiers: [1m, 5s] } }",
            (7, 66, "5s", "at least as long as the one before"),
        ),
        (
            "reasons: { rule_violation: { tiers: [] } }",
            (7, 54, "tiers", "no tier is named here"),
        ),
        (
            "reasons: { rule_violation: { fate: dead_letter, attempts: 3 } }",
            (7, 73, "attempts", "has no effect on a dead letter"),
        ),
        (
            "tiers: [], reasons: { rule_violation: retry }",
            (7, 47, "rule_violation", "there is no tier"),
        ),
        (
            "tiers: [], ordering: per_key",
            (7, 46, "per_key", "needs a retry tier"),
        ),
        ("attempts: 1", (7, 35, "1", "from 2 to")),
    ] {
        check(retry, expect);
    }
}

#[test]
fn retries_reach_the_model() {
    use driftgate::config::model::{OnDead, Override, PerKey};
    use driftgate::error::Reason;
    let retry = "tiers: [1s, 1m, 1h], attempts: 9, ordering: per_key, on_dead: park, max_parked_keys: 7, \
                 reasons: { lookup_not_found: retry, rule_violation: { tiers: [1s, 1h], attempts: 3 }, unknown_schema: dead_letter }";
    let text = format!("{MINIMAL}    failure: {{ retry: {{ {retry} }} }}\n");
    let loaded = loaded(&text);
    let failure = &loaded.config.pipelines[0].failure;
    assert_eq!(failure.attempts, Some(9));
    let per_key = PerKey {
        on_dead: OnDead::Park,
        max_keys: 7,
        max_records: 100_000,
    };
    assert_eq!(failure.per_key, Some(per_key));
    let changed = |retry, tiers: &[usize], attempts| Override {
        retry,
        tiers: tiers.to_vec(),
        attempts,
    };
    let expect = [
        (Reason::LookupNotFound, changed(true, &[], None)),
        (Reason::RuleViolation, changed(true, &[0, 2], Some(3))),
        (Reason::UnknownSchema, changed(false, &[], None)),
    ];
    assert_eq!(failure.reasons, expect);
    // What has no effect is warned of.
    let text = format!("{MINIMAL}    failure: {{ retry: {{ on_dead: park }} }}\n");
    let warnings = load(&text).expect("no fault").warnings;
    let said = |word: &str| warnings.iter().any(|fault| fault.message.contains(word));
    assert!(
        said("`on_dead` has no effect without `ordering: per_key`"),
        "{warnings:?}"
    );
    let text = format!("{MINIMAL}    failure: {{ retry: {{ tiers: [1h], budget: 10m }} }}\n");
    let warnings = load(&text).expect("no fault").warnings;
    let said = |word: &str| warnings.iter().any(|fault| fault.message.contains(word));
    assert!(
        said("`budget` ends before the first wait of 1h"),
        "{warnings:?}"
    );
}
