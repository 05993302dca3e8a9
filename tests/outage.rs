//! `registry.cache_dir`: a restart while the registry is down flows for what was known and pauses for the rest; what
//! the registry says later wins. On the embedded registry and on the real ones, each behind a proxy that cuts it off.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use driftgate::config;
use driftgate::config::model::{Config, Registry, RegistryAuth, RegistryTls};
use driftgate::contract::cache::{Answer, CacheSettings, RegistryState, SchemaCache};
use driftgate::contract::registry::{RegistryClient, RegistryError};
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::instance::Instance;
use support::topics::{self, Write};
use support::{Bed, Environment, Proxy, eventually, http, unique};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);
const SCHEMA: &str =
    r#"{"type":"record","name":"Payment","fields":[{"name":"id","type":"string"}]}"#;
const NEXT: &str = r#"{"type":"record","name":"Payment","fields":[{"name":"id","type":"string"},
    {"name":"note","type":["null","string"],"default":null}]}"#;

/// A registry behind a proxy, with its address as clients see it.
fn behind(proxy: &Proxy, url: &str) -> String {
    let rest = url.strip_prefix("http://").expect("a plain URL");
    let (address, path) = match rest.split_once('/') {
        Some((address, path)) => (address, format!("/{path}")),
        None => (rest, String::new()),
    };
    proxy.forward_to(address);
    proxy.pass();
    format!("http://{}{path}", proxy.address())
}

fn registry(url: &str, cache_dir: Option<&Path>) -> Registry {
    Registry {
        url: url.to_owned(),
        auth: RegistryAuth::None,
        tls: RegistryTls::default(),
        timeout: Duration::from_secs(2),
        cache_dir: cache_dir.map(Path::to_path_buf),
    }
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

fn lasting(url: &str, folder: &Path) -> RegistryClient {
    RegistryClient::lasting(&registry(url, Some(folder))).expect("a client")
}

fn cache(client: &RegistryClient, runtime: &Runtime) -> SchemaCache {
    let settings = CacheSettings {
        subjects: true,
        ..CacheSettings::default()
    };
    SchemaCache::new(client.clone(), runtime.handle().clone(), settings)
}

/// The answer for an id once it is one.
fn settled(cache: &SchemaCache, id: u32) -> Answer {
    cache.wait(id, LIMIT)
}

/// The embedded registry and the real ones.
fn on_each(test: impl Fn(&str)) {
    let embedded = EmbeddedRegistry::start().expect("starts");
    let real = Bed::real().into_iter().map(|bed| bed.registry_url);
    for url in [embedded.url()].into_iter().chain(real) {
        eprintln!("on {url}");
        test(&url);
    }
}

#[test]
fn known_ids_and_versions_outlive_a_restart_and_unknown_ones_do_not() {
    on_each(|url| {
        let (proxy, folder) = (Proxy::start(), tempfile::tempdir().expect("a folder"));
        let (url, runtime) = (behind(&proxy, url), runtime());
        let subject = format!("{}-value", unique("outage"));
        // Schemas that no other test registers: under which subjects an id is known would change meanwhile.
        let own = unique("Payment").replace('-', "_");
        let (schema, next) = (
            SCHEMA.replace("Payment", &own),
            NEXT.replace("Payment", &own),
        );
        let plain = RegistryClient::new(&registry(&url, Some(folder.path()))).expect("a client");
        let register = |text: &str| {
            let registered = runtime.block_on(plain.register(&subject, text, &[]));
            registered.expect("registers")
        };
        let known = register(&schema);
        let version = {
            let client = lasting(&url, folder.path());
            let answer = settled(&cache(&client, &runtime), known);
            assert!(matches!(answer, Answer::Ready(_)), "{answer:?}");
            let found = runtime.block_on(client.find(&subject, &schema, &[]));
            assert!(
                matches!(&found, Ok(Some(version)) if version.id == known),
                "{found:?}"
            );
            runtime
                .block_on(client.version(&subject, None))
                .expect("the latest")
        };
        let later = register(&next);

        proxy.refuse();
        let client = lasting(&url, folder.path());
        let restarted = cache(&client, &runtime);
        let Answer::Ready(kept) = settled(&restarted, known) else {
            panic!("known before the restart");
        };
        assert_eq!(kept.text, version.fetched.text);
        let subjects = kept.subjects.as_deref().unwrap_or_default();
        assert!(subjects.contains(&subject), "{subjects:?}");
        let unknown = settled(&restarted, later);
        assert!(matches!(unknown, Answer::Unavailable { .. }), "{unknown:?}");
        assert!(matches!(
            restarted.registry_state(),
            RegistryState::Down { .. }
        ));
        let again = runtime.block_on(client.version(&subject, None));
        assert_eq!(again.as_ref(), Ok(&version), "the last known latest");
        let found = runtime.block_on(client.find(&subject, &schema, &[]));
        assert!(
            matches!(&found, Ok(Some(found)) if found.id == known),
            "{found:?}"
        );
        let never = runtime.block_on(client.find(&subject, &next, &[]));
        assert!(
            matches!(never, Err(RegistryError::Unavailable { .. })),
            "{never:?}"
        );
        // A client that reviews or changes the registry never answers from the disk.
        let plainly = runtime.block_on(plain.version(&subject, None));
        assert!(
            matches!(plainly, Err(RegistryError::Unavailable { .. })),
            "{plainly:?}"
        );

        proxy.pass();
        eventually(LIMIT, "the registry is back", || {
            matches!(restarted.get(later), Answer::Ready(_))
        });
        eventually(LIMIT, "what was kept is confirmed", || {
            restarted.registry_state() == RegistryState::Up
        });
        assert_eq!(restarted.replaced(), 0, "it was as it had been kept");
        let latest = runtime
            .block_on(client.version(&subject, None))
            .expect("the latest");
        assert_eq!(latest.id, later, "what the registry says later wins");
    });
}

#[test]
fn what_the_registry_has_otherwise_replaces_what_was_kept() {
    let (old, new) = (
        EmbeddedRegistry::start().expect("starts"),
        EmbeddedRegistry::start().expect("starts"),
    );
    let (proxy, folder, runtime) = (
        Proxy::start(),
        tempfile::tempdir().expect("a folder"),
        runtime(),
    );
    let url = behind(&proxy, &old.url());
    let client = lasting(&url, folder.path());
    for (registry, texts) in [(&old, [SCHEMA, NEXT]), (&new, [NEXT, ""])] {
        let direct = RegistryClient::new(&registry.config()).expect("a client");
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let id = runtime.block_on(direct.register("s", text, &[]));
            id.expect("registers");
        }
    }
    let before = cache(&client, &runtime);
    assert!(matches!(settled(&before, 1), Answer::Ready(_)));
    assert!(matches!(settled(&before, 2), Answer::Ready(_)));

    proxy.refuse();
    let restarted = cache(&client, &runtime);
    for id in [1, 2] {
        assert!(
            matches!(settled(&restarted, id), Answer::Ready(_)),
            "{id} was kept"
        );
    }
    // Another registry behind the same address: id 1 is another schema there, id 2 none.
    behind(&proxy, &new.url());
    eventually(LIMIT, "both were replaced", || restarted.replaced() == 2);
    let Answer::Ready(schema) = restarted.get(1) else {
        panic!("the registry has an id 1");
    };
    assert!(schema.text.contains("note"), "{}", schema.text);
    assert_eq!(restarted.get(2), Answer::Unknown);
    // Neither is what was kept on the disk any more.
    proxy.refuse();
    let restarted = cache(&client, &runtime);
    let Answer::Ready(schema) = settled(&restarted, 1) else {
        panic!("kept anew");
    };
    assert!(schema.text.contains("note"), "{}", schema.text);
    assert!(matches!(settled(&restarted, 2), Answer::Unavailable { .. }));
}

/// A registry that takes connections and does not answer is an outage too, after one time-out.
#[test]
fn a_registry_that_hangs_is_stood_in_for() {
    let (registry, runtime) = (EmbeddedRegistry::start().expect("starts"), runtime());
    let (proxy, folder) = (Proxy::start(), tempfile::tempdir().expect("a folder"));
    let url = behind(&proxy, &registry.url());
    let client = lasting(&url, folder.path());
    for id in 1..=20 {
        let text = format!(r#"{{"type":"fixed","name":"F","size":{id}}}"#);
        let registered = runtime.block_on(client.register(&format!("s{id}"), &text, &[]));
        assert_eq!(registered, Ok(id));
        assert!(matches!(
            settled(&cache(&client, &runtime), id),
            Answer::Ready(_)
        ));
    }
    proxy.hold();
    let restarted = cache(&client, &runtime);
    let began = Instant::now();
    for id in 1..=20 {
        assert!(matches!(settled(&restarted, id), Answer::Ready(_)), "{id}");
    }
    // Not one time-out of 2 s for each.
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

struct Job {
    folder: tempfile::TempDir,
    source: String,
    group: String,
    config: Config,
}

fn job(bed: &Bed, registry: &str, admin: &str) -> Job {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, group) = (unique("payments"), unique("gate"));
    let bootstrap = &bed.bootstrap;
    let text = format!(
        r#"
# The embedded broker notices only by this time that the first instance has left.
kafka: {{ bootstrap_servers: "{bootstrap}", properties: {{ session.timeout.ms: 6000 }} }}
registry: {{ url: "{registry}", cache_dir: kept, timeout: 1s }}
admin: {{ listen: "{admin}" }}
shutdown_grace: 10s
pipelines:
  payments:
    group: {group}
    source: {{ topics: [{source}] }}
    contract: {{ subject: {source}-value }}
    sink: {{ topic: "{source}.clean", schema: payment.avsc, auto_register: true }}
"#
    );
    let path = folder.path().join("driftgate.yaml");
    std::fs::write(&path, text).expect("a file");
    std::fs::write(folder.path().join("payment.avsc"), SCHEMA).expect("a file");
    let loaded = config::load(&path, &|_| None).unwrap_or_else(|faults| panic!("{faults:#?}"));
    Job {
        folder,
        source,
        group,
        config: loaded.config,
    }
}

fn run_until(job: &Job, embedded: Option<&EmbeddedBroker>, done: impl Fn() -> bool + Send + Sync) {
    let runtime = runtime();
    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let finished = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = shutdown.clone().drop_guard();
            support::wait::within(LIMIT, || shutdown.is_cancelled() || done())
        });
        let result = runtime.block_on(instance.run(&job.config, &|_| None, embedded));
        result.expect("the instance ends well");
        watch.join().expect("the broker answers")
    });
    assert!(finished.is_some(), "not done within {LIMIT:?}");
}

#[test]
fn an_instance_restarts_in_an_outage_and_waits_only_where_it_must() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    restart(&bed, Some(&broker));
    support::bed::each(Bed::real(), |bed| restart(bed, None));
}

fn restart(bed: &Bed, embedded: Option<&EmbeddedBroker>) {
    let (proxy, runtime) = (Proxy::start(), runtime());
    let url = behind(&proxy, &bed.registry_url);
    let job = job(bed, &url, "off");
    let (client, source) = (bed.client(), job.source.as_str());
    match embedded {
        Some(broker) => broker
            .create_topics(&job.config.pipelines[0], 4)
            .expect("topics"),
        None => {
            topics::create(&client, source, 4, &[]);
            topics::create(&client, &format!("{source}.clean"), 4, &[]);
        }
    }
    let direct = RegistryClient::new(&registry(&bed.registry_url, None)).expect("a client");
    let register = |text: &str| {
        let registered = runtime.block_on(direct.register(&format!("{source}-value"), text, &[]));
        registered.expect("registers")
    };
    let payment = |id: u32, partition: i32, rest: &[u8]| {
        let value = [&[0][..], &id.to_be_bytes(), &[2, b'x'], rest].concat();
        Write::new("k", value).to(partition)
    };
    let sink = format!("{source}.clean");
    let count = |topic: &str| -> i64 {
        let ends = topics::watermarks(&client, topic);
        ends.iter().map(|(_, end)| end).sum()
    };
    let known = register(SCHEMA);
    topics::produce(&client, source, &[payment(known, 0, &[])]);
    run_until(&job, embedded, || count(&sink) >= 1);
    let later = register(NEXT);

    proxy.refuse();
    let (first, second) = (payment(known, 0, &[]), payment(known, 2, &[]));
    topics::produce(&client, source, &[first, payment(later, 1, &[0]), second]);
    run_until(&job, embedded, || {
        // Two flow though nobody answers; the third waits, and passes once somebody does.
        if count(&sink) == 3 {
            proxy.pass();
        }
        count(&sink) >= 4
    });
    let dead = format!("{source}.{}.dlq", job.group);
    assert_eq!((count(&dead), count(&sink)), (0, 4));
    drop(job.folder);
}

/// Without anything kept, a start waits for the registry, says so, and goes on by itself.
#[test]
fn a_start_waits_for_a_registry_that_is_down_and_says_so() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    waits(&bed, Some(&broker));
    support::bed::each(Bed::real(), |bed| waits(bed, None));
}

fn waits(bed: &Bed, embedded: Option<&EmbeddedBroker>) {
    let (proxy, runtime) = (Proxy::start(), runtime());
    let url = behind(&proxy, &bed.registry_url);
    let admin = format!("127.0.0.1:{}", support::ports::free());
    let job = job(bed, &url, &admin);
    let (client, source) = (bed.client(), job.source.as_str());
    match embedded {
        Some(broker) => broker
            .create_topics(&job.config.pipelines[0], 4)
            .expect("topics"),
        None => {
            topics::create(&client, source, 4, &[]);
            topics::create(&client, &format!("{source}.clean"), 4, &[]);
        }
    }
    let direct = RegistryClient::new(&registry(&bed.registry_url, None)).expect("a client");
    let registered = runtime.block_on(direct.register(&format!("{source}-value"), SCHEMA, &[]));
    let id = registered.expect("registers");
    let value = [&[0][..], &id.to_be_bytes(), &[2, b'x']].concat();
    topics::produce(&client, source, &[Write::new("k", value)]);
    proxy.refuse();
    let said = std::sync::atomic::AtomicBool::new(false);
    run_until(&job, embedded, || {
        use std::sync::atomic::Ordering::Relaxed;
        if !said.load(Relaxed)
            && let Ok((503, text)) = http::get(format!("http://{admin}/readyz")).send()
            && text.contains("registry")
        {
            let alive = http::get(format!("http://{admin}/healthz")).send();
            assert!(matches!(alive, Ok((200, _))), "{alive:?}");
            said.store(true, Relaxed);
            proxy.pass();
        }
        let ends = topics::watermarks(&client, &format!("{source}.clean"));
        ends.iter().map(|(_, end)| end).sum::<i64>() == 1
    });
    assert!(said.into_inner(), "it was not ready, and said why");
}

#[test]
fn a_slow_registry_is_waited_for_and_one_too_slow_is_an_outage() {
    on_each(|url| {
        let (proxy, runtime) = (Proxy::start(), runtime());
        let url = behind(&proxy, url);
        let client = RegistryClient::new(&registry(&url, None)).expect("a client");
        let subject = format!("{}-value", unique("slow"));
        let registered = runtime.block_on(client.register(&subject, SCHEMA, &[]));
        let id = registered.expect("registers");
        proxy.delay(Duration::from_millis(100));
        let slow = cache(&client, &runtime);
        assert!(matches!(settled(&slow, id), Answer::Ready(_)));
        proxy.delay(Duration::from_secs(5));
        let outage = settled(&cache(&client, &runtime), id);
        assert!(
            matches!(&outage, Answer::Unavailable { message, .. } if message.contains("timed out")),
            "{outage:?}"
        );
    });
}
