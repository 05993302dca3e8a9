//! `ownership`: no source sets what another one owns, in whole instances.

mod support;

use support::live::{Job, LIMIT, Live, Shape, both, id};
use support::topics::{self, Read, Write};
use support::{live, unique};

const SCHEMA: &str = r#"{"type":"record","name":"Customer","fields":[
    {"name":"id","type":"long"},
    {"name":"email","type":["null","string"],"default":null},
    {"name":"phone","type":["null","string"],"default":null},
    {"name":"note","type":["null","string"],"default":null}]}"#;

const RULES: &str = "fields:
  email: { owner: crm, tags: [PII] }
  phone: { owner: crm, on_foreign: ignore }
  note: { owner: crm, on_foreign: flag }
";

/// Who an address is must stand nowhere but in the records.
const EMAIL: &str = "ada.lovelace@example.org";

fn shape(shop: &str) -> Shape {
    Shape {
        partitions: 1,
        beside: Some(shop.to_owned()),
        ownership: Some(format!("{{ names: {{ SOURCE: crm, {shop}: shop }} }}")),
        schema: SCHEMA,
        rules: RULES,
        retry: "{ tiers: [1s] }",
        ..Shape::default()
    }
}

fn customer(job: &Job, id: u8, fields: [Option<&str>; 3]) -> Write {
    let mut value = vec![0];
    value.extend(job.schema.to_be_bytes());
    value.push(id * 2);
    for field in fields {
        match field {
            None => value.push(0),
            Some(text) => {
                value.extend([2, u8::try_from(text.len() * 2).expect("short")]);
                value.extend(text.as_bytes());
            }
        }
    }
    Write::new(format!("c-{id}"), value)
}

/// What stands behind frame and id, as the fields of [`customer`].
fn fields(read: &Read) -> [Option<String>; 3] {
    let value = read.value.as_deref().expect("a value");
    let mut rest = &value[6..];
    [(); 3].map(|()| {
        let (branch, behind) = rest.split_first().expect("a branch");
        rest = behind;
        (*branch == 2).then(|| {
            let (length, behind) = rest.split_first().expect("a length");
            let (text, behind) = behind.split_at(usize::from(length / 2));
            rest = behind;
            String::from_utf8(text.to_vec()).expect("text")
        })
    })
}

fn of(read: &[Read], wanted: i64) -> &Read {
    let mut read = read.iter().filter(|read| id(read) == wanted);
    let found = read.next().unwrap_or_else(|| panic!("no {wanted}"));
    assert!(read.next().is_none(), "{wanted} is there twice");
    found
}

fn counted(live: &Live, field: &str, then: &str) -> f64 {
    let field = format!("field=\"{field}\"");
    let then = format!("then=\"{then}\"");
    let labels = [field.as_str(), "source=\"shop\"", &then];
    live.metric("driftgate_foreign_fields_total", &labels)
}

#[test]
fn each_verdict_on_a_source_that_sets_what_it_does_not_own() {
    both(|bed, embedded| {
        let shop = unique("shop");
        let job = Job::new(bed, embedded, shape(&shop));
        let all = [Some(EMAIL), Some("123"), Some("kind")];
        let none = [None; 3];
        topics::produce(&job.client, &job.source, &[customer(&job, 1, all)]);
        let writes = [
            customer(&job, 2, none),
            customer(&job, 3, all),
            customer(&job, 4, [None, Some("123"), None]),
            customer(&job, 5, [None, Some("456"), Some("kind")]),
            // A tombstone sets nothing.
            Write {
                value: None,
                ..customer(&job, 6, none)
            },
        ];
        topics::produce(&job.client, &shop, &writes);
        let dlq = job.config.pipelines[0].dead_letter_topic(&shop);
        job.live(embedded, |live| {
            live.eventually("all of them", || {
                (job.committed(&job.source), job.committed(&shop)) == (1, 5)
            });
            live.eventually("they are counted", || {
                let counts = [
                    counted(live, "email", "reject"),
                    counted(live, "phone", "ignore"),
                    counted(live, "note", "flag"),
                ];
                counts == [1.0, 2.0, 1.0]
            });
            let whole = live.metric("driftgate_foreign_fields_total", &[]);
            assert_eq!(whole, 4.0);
        });
        let read = topics::consume_all(&job.client, &job.sink);
        let (tombstones, read): (Vec<Read>, Vec<Read>) =
            read.into_iter().partition(|read| read.value.is_none());
        assert_eq!(tombstones.len(), 1);
        assert_eq!(read.len(), 4);
        let texts = |fields: [Option<&str>; 3]| fields.map(|field| field.map(str::to_owned));
        assert_eq!(fields(of(&read, 1)), texts(all));
        assert_eq!(fields(of(&read, 2)), texts(none));
        assert_eq!(fields(of(&read, 4)), texts(none));
        assert_eq!(fields(of(&read, 5)), texts([None, None, Some("kind")]));
        for (of_id, flag) in [(1, None), (2, None), (4, None), (5, Some("note"))] {
            assert_eq!(
                of(&read, of_id).header("driftgate.foreign"),
                flag,
                "{of_id}"
            );
        }
        let dead = topics::consume_all(&job.client, &dlq);
        assert_eq!(dead.len(), 1);
        let dead = of(&dead, 3);
        assert_eq!(dead.header("driftgate.reason"), Some("foreign_field"));
        assert_eq!(dead.header("driftgate.path"), Some("email"));
        let error = dead.header("driftgate.error").expect("it says why");
        assert!(
            error.contains("`crm` owns this field, and the event is from `shop`"),
            "{error}"
        );
        assert!(!error.contains(EMAIL), "{error}");
        // As it came.
        assert_eq!(fields(dead), texts(all));
        if embedded.is_none() {
            commands_tell(&job, &shop);
        }
    });
}

/// What people ask, of the same records.
fn commands_tell(job: &Job, shop: &str) {
    let tell = |arguments: &[&str], name: &str| {
        let mut runs = job.start_with(arguments, name);
        let ended = runs.ended(LIMIT).expect("it ends");
        let log = job.log(name);
        assert!(ended.success(), "{log}");
        log
    };
    for command in ["audit", "check"] {
        let log = tell(&[command], command);
        if command == "check" {
            for said in ["owner of email", "set by crm alone", "dead letter"] {
                assert!(log.contains(said), "{log}");
            }
        }
    }
    let explain = |offset: &str| {
        let place = ["--topic", shop, "--partition", "0", "--offset", offset];
        tell(
            &[&["explain"], &place[..]].concat(),
            &format!("explain-{offset}"),
        )
    };
    let rejected = explain("1");
    assert!(
        rejected.contains("foreign_field: email: `crm` owns"),
        "{rejected}"
    );
    assert!(!rejected.contains(EMAIL), "{rejected}");
    let flagged = explain("3");
    for said in [
        "phone was left out, since crm owns it",
        "note was flagged, since crm owns it",
    ] {
        assert!(flagged.contains(said), "{flagged}");
    }
}

/// What comes back is of the source that it came from at first, and is judged by what the contract says then.
#[test]
fn what_is_sent_back_is_still_of_its_source() {
    let Some(bed) = live::real() else { return };
    for delivery in [
        "delivery: at_least_once",
        "delivery: exactly_once\n    transaction: { timeout: 5s }",
    ] {
        let shop = unique("shop");
        let job = Job::new(
            &bed,
            None,
            Shape {
                delivery,
                ..shape(&shop)
            },
        );
        let set = [Some(EMAIL), None, None];
        topics::produce(&job.client, &shop, &[customer(&job, 1, set)]);
        let dlq = job.config.pipelines[0].dead_letter_topic(&shop);
        let retry = job.config.pipelines[0].retry_topic(&shop, 1);
        let redrive = |name: &str| {
            let mut redrive = job.start_with(&["dlq", "redrive"], name);
            let ended = redrive.ended(LIMIT).expect("it ends");
            assert!(ended.success(), "{}", job.log(name));
        };
        let dead = || topics::consume_all(&job.client, &dlq).len();
        job.live(None, |live| {
            live.eventually("it is a dead letter", || dead() == 1);
            live.eventually("it is settled", || job.committed(&shop) == 1);
            redrive("first");
            live.eventually("it is one again", || dead() == 2);
            live.eventually("that is settled", || job.committed(&retry) >= 1);
        });
        assert_eq!(topics::consume_all(&job.client, &job.sink).len(), 0);
        let rules = RULES.replace(
            "email: { owner: crm,",
            "email: { owner: crm, on_foreign: flag,",
        );
        assert_ne!(rules, RULES);
        std::fs::write(job.folder.path().join("parcel.rules.yaml"), rules).expect("a file");
        redrive("second");
        job.live(None, |live| {
            live.eventually("it is through", || {
                topics::consume_all(&job.client, &job.sink).len() == 1
            });
        });
        let read = topics::consume_all(&job.client, &job.sink);
        assert_eq!(read[0].header("driftgate.foreign"), Some("email"));
        assert_eq!(fields(&read[0])[0].as_deref(), Some(EMAIL));
        assert_eq!(dead(), 2);
    }
}
