//! Steps that make several outputs of a record, send them to topics of their own and give them keys, headers and timestamps,
//! in whole instances: on the embedded broker and registry, and on a real Kafka with real registries.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use driftgate::config;
use driftgate::config::model::Config;
use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::encode::encode;
use driftgate::contract::json::{from_json, to_json};
use driftgate::contract::schema::Schema;
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::instance::Instance;
use rdkafka::ClientConfig;
use serde_json::{Value as Json, json};
use support::job::{self, LIMIT, PARTITIONS, beds_with, payment};
use support::topics::{self, Read, Write};
use support::{Bed, Reply, ScriptedServer, http, live, unique, wait};
use tokio_util::sync::CancellationToken;

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"placed","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"address","type":{"type":"record","name":"Address","fields":[
        {"name":"country","type":"string"},{"name":"zip","type":["null","string"],"default":null}]}},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[
        {"name":"sku","type":"string"},{"name":"quantity","type":"string"}]}}}]}"#;

/// The pipeline's own sink.
const LINE: &str = r#"{"type":"record","name":"Line","namespace":"shop","fields":[
    {"name":"id","type":"long"},{"name":"pieces","type":"long"},
    {"name":"item","type":{"type":"record","name":"Item","fields":[
        {"name":"sku","type":"string"},{"name":"quantity","type":"int"}]}}]}"#;

const BULK: &str = r#"{"type":"record","name":"Bulk","namespace":"shop","fields":[
    {"name":"item","type":{"type":"record","name":"Item","fields":[{"name":"quantity","type":"int"}]}},
    {"name":"id","type":"long"}]}"#;

const ABROAD: &str = r#"{"type":"record","name":"Abroad","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"address","type":{"type":"record","name":"Address","fields":[{"name":"country","type":"string"}]}}]}"#;

const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"}]}"#;

/// A pipeline of a test's own: its folder, topics and group.
struct Lab {
    folder: tempfile::TempDir,
    client: ClientConfig,
    source: String,
    sink: String,
    group: String,
    dlq: String,
    /// Registry id of the writer schema.
    schema: u32,
    config: Config,
}

impl Lab {
    /// `steps` and `rules` are YAML; `{sink}` in `steps` is the sink's topic.
    fn new(
        bed: &Bed,
        embedded: Option<&EmbeddedBroker>,
        files: &[(&str, &str)],
        steps: &str,
        rules: &str,
    ) -> Lab {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, sink, group) = (unique("orders"), unique("lines"), unique("gate"));
        let (bootstrap, registry) = (&bed.bootstrap, &bed.registry_url);
        let steps = steps.replace("{sink}", &sink);
        let text = format!(
            r#"
kafka: {{ bootstrap_servers: "{bootstrap}" }}
registry: {{ url: "{registry}" }}
admin: {{ listen: off }}
pipelines:
  orders:
    owner: {{ team: shop }}
    group: {group}
    provenance: header
    source: {{ topics: [{source}] }}
    contract: {{ schema: order.avsc, rules: order.rules.yaml }}
    transform:
{steps}
    sink: {{ topic: {sink}, schema: line.avsc, auto_register: true }}
    failure: {{ retry: {{ tiers: [1s] }} }}
"#
        );
        let own = [
            ("driftgate.yaml", text.as_str()),
            ("order.avsc", ORDER),
            ("order.rules.yaml", rules),
        ];
        for (name, text) in own.iter().chain(files) {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let loaded = config::load(&folder.path().join("driftgate.yaml"), &|_| None);
        let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
        match embedded {
            Some(broker) => broker
                .create_topics(&config.pipelines[0], PARTITIONS)
                .expect("topics"),
            None => topics::create(&bed.client(), &source, PARTITIONS, &[]),
        }
        let url = format!("{registry}/subjects/{source}-value/versions");
        let (status, body) = http::post(url, json!({ "schema": ORDER }))
            .send()
            .expect("the registry answers");
        assert_eq!(status, 200, "{body}");
        let answer: Json = serde_json::from_str(&body).expect("JSON");
        Lab {
            client: bed.client(),
            dlq: config.pipelines[0].dead_letter_topic(&source),
            schema: u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id"),
            folder,
            source,
            sink,
            group,
            config,
        }
    }

    fn framed(&self, order: &Json) -> Vec<u8> {
        let schema = Schema::parse(ORDER, &[]).expect("a schema");
        let value = from_json(&schema, schema.root, order).expect("the test's order fits");
        let mut bytes = vec![0];
        bytes.extend(self.schema.to_be_bytes());
        encode(&schema, &value, &mut bytes).expect("it fits");
        bytes
    }

    /// Runs an instance on this thread until so many source records are committed, and nothing waits in the retry topic;
    /// its metrics then.
    fn run(&self, embedded: Option<&EmbeddedBroker>, records: i64) -> String {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let shutdown = CancellationToken::new();
        let instance = Instance::new(shutdown.clone());
        let retry = self.config.pipelines[0].retry_topic(&self.source, 1);
        let committed = |topic: &str| -> i64 {
            let offsets = topics::committed(&self.client, &self.group, topic);
            offsets.iter().flatten().map(|(offset, _)| offset).sum()
        };
        let finished = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let _end = shutdown.clone().drop_guard();
                wait::within(LIMIT, || {
                    let done = committed(&self.source) == records
                        && committed(&retry) == job::count(&self.client, &retry);
                    (done || shutdown.is_cancelled()).then(|| instance.metrics.render())
                })
            });
            let result = runtime.block_on(instance.run(&self.config, &|_| None, embedded));
            result.expect("the instance ends well");
            watch.join().expect("the broker answers")
        });
        finished.unwrap_or_else(|| panic!("not done within {LIMIT:?}"))
    }
}

/// Where a record was in the source topic; its outputs say so.
fn origin(read: &Read) -> String {
    read.header("driftgate.source")
        .expect("a source")
        .to_owned()
}

/// Index and count, as an output carries them.
fn part(read: &Read) -> (usize, usize) {
    let number = |name| read.header(name).and_then(|text| text.parse().ok());
    (
        number("driftgate.index").expect("an index"),
        number("driftgate.count").expect("a count"),
    )
}

fn decoded(schema: &str, read: &Read) -> Json {
    let schema = Schema::parse(schema, &[]).expect("a schema");
    let value = read.value.as_deref().expect("a value");
    let value = decode(&schema, &value[5..], &Limits::default()).expect("the sink's schema");
    to_json(&schema, schema.root, &value)
}

// ---- explode, route, header, key, timestamp

/// What an order of that number has, and what is to become of it.
struct Case {
    id: i64,
    country: &'static str,
    /// Article and quantity.
    items: Vec<(String, String)>,
    /// The reason and path of its dead letter.
    refused: Option<(&'static str, &'static str)>,
}

const ORDERS: i64 = 60;

impl Case {
    fn of(id: i64) -> Case {
        let count = if id == 33 { 6 } else { id % 5 };
        let quantity = |at: i64| match at {
            1 if id % 4 == 0 => "0".to_owned(),
            1 if id % 10 == 7 => "many".to_owned(),
            at => (id * 10 + at).to_string(),
        };
        let items: Vec<_> = (0..count)
            .map(|at| (format!("sku {}", (id + at) % 17), quantity(at)))
            .collect();
        let country = match (id % 11, id % 2) {
            (10, _) => "xx",
            (_, 0) => "de",
            _ => "ch",
        };
        let refused = match id {
            _ if country == "xx" => Some(("rule_violation", "address.country")),
            33 => Some(("rule_violation", "pieces")),
            _ if id % 10 == 7 => Some(("transform_failed", "item.quantity")),
            _ => None,
        };
        Case {
            id,
            country,
            items,
            refused,
        }
    }

    fn placed(&self) -> i64 {
        1_700_000_000_000 + self.id
    }

    fn order(&self) -> Json {
        let items = self.items.iter();
        let items = items.map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity}));
        let placed = jiff::Timestamp::from_millisecond(self.placed()).expect("a time");
        json!({
            "id": self.id, "placed": placed.to_string(),
            "address": {"country": self.country, "zip": null},
            "items": items.collect::<Vec<_>>(),
        })
    }

    /// Article and output of each element that no filter took: the arm, and the value there.
    fn outputs(&self) -> Vec<(String, usize, Json)> {
        if self.refused.is_some() {
            return Vec::new();
        }
        let kept = self.items.iter().filter(|(_, quantity)| quantity != "0");
        kept.map(|(sku, quantity)| {
            let quantity: i64 = quantity.parse().expect("a number");
            let (id, pieces) = (self.id, self.items.len());
            let (arm, value) = match (quantity >= 300, self.country) {
                (true, _) => (1, json!({"item": {"quantity": quantity}, "id": id})),
                (false, "ch") => (2, json!({"id": id, "address": {"country": "CH"}})),
                _ => (
                    0,
                    json!({"id": id, "pieces": pieces, "item": {"sku": sku, "quantity": quantity}}),
                ),
            };
            (sku.clone(), arm, value)
        })
        .collect()
    }
}

const STEPS: &str = r#"
      - before: rules
        set: { address.country: "upper(address.country)", pieces: "size(items)" }
      - explode: { field: items, into: item }
      - cast: { item.quantity: int }
      - filter: "item.quantity != 0"
      - header: { sku: "item.sku", internal: null }
      - key: "item.sku"
      - timestamp: placed
      - route:
          - { when: "item.quantity >= 300", topic: "{sink}.bulk", schema: bulk.avsc }
          - { when: "address.country == 'CH'", topic: "{sink}.abroad", schema: abroad.avsc }
          - { else: true }"#;

const RULES: &str = "rules:
  - { name: known-country, field: address.country, one_of: [DE, CH] }
  - { name: few-pieces, field: pieces, range: { max: 5 } }
";

const FILES: [(&str, &str); 3] = [
    ("line.avsc", LINE),
    ("bulk.avsc", BULK),
    ("abroad.avsc", ABROAD),
];

#[test]
fn every_element_goes_to_the_topic_with_the_schema_key_and_time_that_the_steps_say() {
    beds_with(|bed, embedded| {
        let lab = Lab::new(bed, embedded, &FILES, STEPS, RULES);
        let cases: Vec<Case> = (0..ORDERS).map(Case::of).collect();
        let writes = cases.iter().map(|case| {
            let write = Write::new(format!("{}", case.id), lab.framed(&case.order()));
            write
                .header("sku", "replaced")
                .header("internal", "taken away")
                .header("trace", format!("t-{}", case.id))
        });
        topics::produce(&lab.client, &lab.source, &writes.collect::<Vec<_>>());
        let metrics = lab.run(embedded, ORDERS);

        let arms = [
            (lab.sink.clone(), LINE),
            (format!("{}.bulk", lab.sink), BULK),
            (format!("{}.abroad", lab.sink), ABROAD),
        ];
        let read: Vec<Vec<Read>> = arms
            .iter()
            .map(|(topic, _)| topics::consume_all(&lab.client, topic))
            .collect();
        // What arrived, by the order: where, and with which index.
        let mut sets: BTreeMap<String, Vec<(usize, usize, usize, Json)>> = BTreeMap::new();
        for (arm, (topic, schema)) in arms.iter().enumerate() {
            let url = format!(
                "{}/subjects/{topic}-value/versions/latest",
                bed.registry_url
            );
            let (status, body) = http::get(url).send().expect("the registry answers");
            assert_eq!(status, 200, "{topic} is registered: {body}");
            let answer: Json = serde_json::from_str(&body).expect("JSON");
            let id = u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id");
            assert_eq!(topics::partitions(&lab.client, topic), PARTITIONS);
            assert!(!read[arm].is_empty(), "{topic}");
            for read in &read[arm] {
                let value = read.value.as_deref().expect("a value");
                assert_eq!(
                    value[..5],
                    [&[0][..], &id.to_be_bytes()].concat(),
                    "{topic}"
                );
                let (index, count) = part(read);
                let trace = read.header("trace").expect("the source's own header");
                let entry = sets.entry(trace.to_owned()).or_default();
                entry.push((index, count, arm, decoded(schema, read)));
            }
        }
        for case in &cases {
            let mut found = sets.remove(&format!("t-{}", case.id)).unwrap_or_default();
            found.sort_by_key(|(index, ..)| *index);
            let expected = case.outputs();
            let count = expected.len();
            let expected = expected.into_iter().enumerate();
            let expected: Vec<_> = expected
                .map(|(index, (_, arm, value))| (index, count, arm, value))
                .collect();
            assert_eq!(found, expected, "order {}", case.id);
        }

        let mut partitions: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for read in read.iter().flatten() {
            let id: i64 = read.header("trace").expect("a header")[2..]
                .parse()
                .expect("a number");
            let (case, (index, _)) = (Case::of(id), part(read));
            let sku = case.outputs()[index].0.clone();
            assert_eq!(read.key.as_deref(), Some(sku.as_bytes()));
            assert_eq!(read.header("sku"), Some(sku.as_str()));
            assert_eq!((read.count("sku"), read.count("internal")), (1, 0));
            assert_eq!(read.timestamp, Some(case.placed()));
            let before = partitions.insert(sku.into_bytes(), read.partition);
            assert!(before.is_none_or(|before| before == read.partition));
        }
        assert!(partitions.len() > 10);
        // Where another producer of the same partitioner puts records of these keys.
        let probe = unique("probe");
        match embedded {
            Some(broker) => broker.create_topic(&probe, PARTITIONS).expect("a topic"),
            None => topics::create(&lab.client, &probe, PARTITIONS, &[]),
        }
        let keys = partitions.keys();
        let keys = keys.map(|key| Write::new(key.clone(), b"x".to_vec()));
        topics::produce(&lab.client, &probe, &keys.collect::<Vec<_>>());
        for read in topics::consume_all(&lab.client, &probe) {
            let key = read.key.clone().expect("a key");
            assert_eq!(
                partitions[&key], read.partition,
                "partitioned by the new key"
            );
        }

        // One dead letter for each order that was refused, as it came.
        let letters = topics::consume_all(&lab.client, &lab.dlq);
        let refused: Vec<&Case> = cases.iter().filter(|case| case.refused.is_some()).collect();
        assert_eq!(letters.len(), refused.len());
        for case in &refused {
            let letter = job::find(&letters, &lab.framed(&case.order()));
            let why = (
                letter.header("driftgate.reason").unwrap_or_default(),
                letter.header("driftgate.path").unwrap_or_default(),
            );
            assert_eq!(Some(why), case.refused, "order {}", case.id);
            assert_eq!(letter.header("driftgate.index"), None);
            assert_eq!(letter.header("sku"), Some("replaced"), "the source's own");
        }

        let outputs: usize = cases.iter().map(|case| case.outputs().len()).sum();
        let empty = cases
            .iter()
            .filter(|case| case.refused.is_none() && case.outputs().is_empty());
        let counted = |family, label: &str| live::sum(&metrics, family, &[label]) as usize;
        assert_eq!(counted("driftgate_outputs_total", ""), outputs);
        assert_eq!(
            counted("driftgate_records_total", "\"filtered\""),
            empty.clone().count()
        );
        assert_eq!(
            counted("driftgate_records_total", "\"emitted\""),
            cases.len() - refused.len() - empty.count()
        );
        assert_eq!(counted("driftgate_records_total", ""), cases.len());
    });
}

/// `check` says which arm's schema the output does not fit, at the arm's line.
#[test]
fn check_names_the_arm_whose_schema_does_not_fit() {
    beds_with(|bed, embedded| {
        let wrong = ABROAD.replace(
            r#""string"}]"#,
            r#""string"},{"name":"city","type":"string"}]"#,
        );
        assert_ne!(wrong, ABROAD);
        let files = [FILES[0], FILES[1], ("abroad.avsc", wrong.as_str())];
        let lab = Lab::new(bed, embedded, &files, STEPS, RULES);
        let file = lab.folder.path().join("driftgate.yaml");
        let text = std::fs::read_to_string(&file).expect("the file");
        let arm = text.lines().position(|line| line.contains("abroad.avsc"));
        let line = arm.expect("the arm is there") + 1;
        for offline in [true, false] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
            command.arg("check").args(offline.then_some("--offline"));
            let output = command
                .arg("-c")
                .arg(&file)
                .output()
                .expect("the program runs");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(&format!("driftgate.yaml:{line}:")), "{said}");
            assert!(
                said.contains("`address.city`") && said.contains("abroad"),
                "{said}"
            );
            assert!(said.contains("1 fault"), "the other arms fit: {said}");
        }
    });
}

/// More outputs of one record than the producer's queue holds at once.
#[test]
fn a_record_with_more_outputs_than_the_queue_holds_arrives_whole() {
    const ELEMENTS: usize = 150_000;
    let Some(bed) = live::real() else { return };
    let steps = r#"
      - explode: { field: items, into: item }
      - set: { item.quantity: "'1'", pieces: 1 }
      - cast: { item.quantity: int }"#;
    let lab = Lab::new(&bed, None, &FILES[..1], steps, "rules: []\n");
    let order = |id: i64, elements: usize| {
        let items = vec![json!({"sku": "", "quantity": ""}); elements];
        let address = json!({"country": "", "zip": null});
        let order =
            json!({"id": id, "placed": "2024-01-01T00:00:00Z", "address": address, "items": items});
        Write::new("key", lab.framed(&order)).to(0)
    };
    let writes = [order(0, ELEMENTS), order(1, 1)];
    topics::produce(&lab.client, &lab.source, &writes);
    lab.run(None, 2);
    let read = topics::consume_all(&lab.client, &lab.sink);
    let indices: BTreeSet<(usize, usize)> = read.iter().map(part).collect();
    assert_eq!(indices.len(), ELEMENTS + 1, "every one is there");
    assert_eq!(read.len(), ELEMENTS + 1, "none of them twice");
    assert_eq!(job::count(&lab.client, &lab.dlq), 0);
}

// ---- lookups and retries

/// A lookup on each side of `explode`. Each question of a record is asked once, what was counted before the answers is not
/// counted again, and a record whose lookup fails comes back from its retry tier with all of its outputs.
#[test]
fn lookups_in_front_of_and_behind_explode_ask_once_and_retry_as_a_whole() {
    beds_with(|bed, embedded| {
        let seen = Mutex::new(HashSet::new());
        // The first question for the second article of every sixth order fails.
        let server = ScriptedServer::start(move |asked| {
            let path = asked.path.clone();
            let fails = path
                .strip_prefix("/stock/")
                .and_then(|sku| sku.strip_suffix("-1"))
                .and_then(|id| id.parse::<i64>().ok())
                .is_some_and(|id| id % 6 == 0);
            let mut seen = seen.lock().expect("no panic while it is held");
            match fails && seen.insert(path.clone()) {
                true => Reply::status(503),
                false => Reply::customer(&path),
            }
        });
        let url = server.url();
        let steps = format!(
            r#"
      - lookup: {{ into: buyer, url: "{url}/buyer/{{id}}", type: customer.avsc, timeout: 2s }}
      - explode: {{ field: items, into: item }}
      - lookup: {{ into: stock, url: "{url}/stock/{{item.sku}}", type: customer.avsc, timeout: 2s }}
      - set: {{ item.sku: "buyer.name + ' ' + stock.name", item.quantity: "'1'", pieces: 1 }}
      - cast: {{ item.quantity: int }}"#
        );
        let rules = "rules:\n  - { name: small, expr: 'size(items) < 3', on_fail: warn }\n";
        let files = [("line.avsc", LINE), ("customer.avsc", CUSTOMER)];
        let lab = Lab::new(bed, embedded, &files, &steps, rules);
        // The last article of an order is its first one again.
        let skus = |id: i64| -> Vec<String> {
            let mut skus: Vec<_> = (0..id % 4).map(|at| format!("{id}-{at}")).collect();
            skus.extend(skus.first().cloned());
            skus
        };
        let order = |id: i64| {
            let items = skus(id).into_iter();
            let items = items.map(|sku| json!({"sku": sku, "quantity": ""}));
            json!({"id": id, "placed": "2024-01-01T00:00:00Z", "address": {"country": "de", "zip": null},
                "items": items.collect::<Vec<_>>()})
        };
        let retried = |id: i64| id % 6 == 0 && id % 4 >= 2;
        let writes = (0..ORDERS).map(|id| Write::new(format!("{id}"), lab.framed(&order(id))));
        topics::produce(&lab.client, &lab.source, &writes.collect::<Vec<_>>());
        let metrics = lab.run(embedded, ORDERS);

        let mut sets: BTreeMap<i64, Vec<(usize, usize, String)>> = BTreeMap::new();
        let mut origins: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for read in topics::consume_all(&lab.client, &lab.sink) {
            let value = decoded(LINE, &read);
            let id = value["id"].as_i64().expect("a number");
            let (index, count) = part(&read);
            let sku = value["item"]["sku"].as_str().expect("a text").to_owned();
            sets.entry(id).or_default().push((index, count, sku));
            origins.entry(id).or_default().insert(origin(&read));
        }
        for id in 0..ORDERS {
            let skus = skus(id).into_iter().enumerate();
            let count = skus.len();
            let expected =
                skus.map(|(index, sku)| (index, count, format!("/buyer/{id} /stock/{sku}")));
            let mut found = sets.remove(&id).unwrap_or_default();
            found.sort();
            assert_eq!(
                found,
                expected.collect::<Vec<_>>(),
                "order {id}, each output once"
            );
            assert!(origins.get(&id).is_none_or(|origins| origins.len() == 1));
        }
        assert_eq!(job::count(&lab.client, &lab.dlq), 0);
        let retries: Vec<i64> = (0..ORDERS).filter(|id| retried(*id)).collect();
        let retry = lab.config.pipelines[0].retry_topic(&lab.source, 1);
        assert_eq!(job::count(&lab.client, &retry), retries.len() as i64);
        assert!(retries.len() > 3);

        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for question in server.asked() {
            *asked.entry(question.path).or_default() += 1;
        }
        for id in 0..ORDERS {
            let times = 1 + usize::from(retried(id));
            let skus: BTreeSet<_> = skus(id).into_iter().collect();
            assert_eq!(asked.remove(&format!("/buyer/{id}")), Some(times));
            for sku in skus {
                assert_eq!(asked.remove(&format!("/stock/{sku}")), Some(times), "{sku}");
            }
        }
        assert!(asked.is_empty(), "{asked:?}");
        // Once for each reading, however often a reading goes on with answers.
        let warned = (0..ORDERS).filter(|id| skus(*id).len() >= 3);
        let warned: usize = warned.map(|id| 1 + usize::from(retried(id))).sum();
        let counted = live::sum(&metrics, "driftgate_rule_warnings_total", &[]);
        assert_eq!(counted as usize, warned);
        let read = live::sum(&metrics, "driftgate_records_total", &[]) as i64;
        assert_eq!(read, ORDERS + retries.len() as i64);
    });
}

// ---- a kill

/// An instance is killed while records are being taken apart. The next one makes every output that is missing, and repeats
/// none of a record below what was committed.
#[test]
fn a_kill_amid_exploded_records_loses_nothing_and_repeats_only_what_was_not_committed() {
    const PARTS: usize = 3;
    let Some(bed) = live::real() else { return };
    let client = bed.client();
    let shape = job::Shape {
        steps: Some(
            "      - set: { parts: \"[1, 2, 3]\" }\n      - explode: { field: parts, into: part }\n      \
             - header: { part: \"string(part)\" }\n"
                .to_owned(),
        ),
        ..job::Shape::quick()
    };
    let job = job::Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = job::register(&bed, &job.source);
    let committed = || {
        let offsets = topics::committed(&client, &job.group, &job.source).into_iter();
        offsets
            .map(|found| found.map_or(0, |(offset, _)| offset))
            .collect::<Vec<i64>>()
    };
    // Records are written for as long as it takes, some thousands ahead of the outputs, so that the kill is amid them.
    let (written, enough) = (AtomicI64::new(0), AtomicBool::new(false));
    let mut first = job.start("first");
    let below = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !enough.load(Relaxed) {
                let next = written.load(Relaxed);
                let writes = (next..next + 500)
                    .map(|id| Write::new(format!("{id}"), payment(schema, id, "EUR")));
                topics::produce(&client, &job.source, &writes.collect::<Vec<_>>());
                written.store(next + 500, Relaxed);
                let ahead = wait::within(LIMIT, || {
                    let emitted = job::count(&client, &job.sink) / PARTS as i64;
                    enough.load(Relaxed) || emitted + 4_000 > next
                });
                assert!(ahead.is_some(), "no outputs come");
            }
        });
        support::eventually(LIMIT, "outputs of records that are not committed", || {
            let committed: i64 = committed().iter().sum();
            committed > 0 && job::count(&client, &job.sink) > committed * PARTS as i64
        });
        first.kill();
        enough.store(true, Relaxed);
        let below = committed();
        writer.join().expect("all is written");
        below
    });
    let records = written.load(Relaxed);
    assert!(below.iter().sum::<i64>() < records, "killed too late");

    let mut second = job.start("second");
    let outcomes = job.settled(&client, &job.source);
    assert_eq!(outcomes["emitted"], records);
    second.stop();
    // Where each record was, and how often each of its parts is there.
    let mut found: BTreeMap<(i32, i64), BTreeMap<String, usize>> = BTreeMap::new();
    for read in topics::consume_all(&client, &job.sink) {
        let origin = origin(&read);
        let (topic, offset) = origin.rsplit_once('@').expect("an offset");
        let (_, partition) = topic.rsplit_once('-').expect("a partition");
        let position = (
            partition.parse().expect("a partition"),
            offset.parse().expect("an offset"),
        );
        let number = read.header("part").expect("a part").to_owned();
        let (index, count) = part(&read);
        assert_eq!((format!("{}", index + 1), count), (number.clone(), PARTS));
        *found
            .entry(position)
            .or_default()
            .entry(number)
            .or_default() += 1;
    }
    assert_eq!(found.len() as i64, records);
    let mut repeats = 0;
    for ((partition, offset), parts) in &found {
        assert_eq!(parts.len(), PARTS, "{partition}@{offset}");
        let most = parts.values().max().copied().expect("three parts");
        let committed = *offset < below[usize::try_from(*partition).expect("a partition")];
        assert!(
            most <= if committed { 1 } else { 2 },
            "{partition}@{offset}: {parts:?}"
        );
        repeats += parts.values().sum::<usize>() - PARTS;
    }
    let total = job::count(&client, &job.sink);
    assert_eq!(total, records * PARTS as i64 + repeats as i64);
    assert_eq!(job::count(&client, &job.dlq()), 0);
}
