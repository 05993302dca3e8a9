//! A pipeline over SASL_SSL with ACLs on the broker, and over TLS with basic authentication on the registry: with no more
//! rights than it needs, with a wrong password, and with a right that is missing. The certificates are the test's own.

mod support;

use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use support::acl::Right;
use support::job::{PARTITIONS, SCHEMA, count, find, payment, wait_for_count};
use support::topics::{self, Write};
use support::{Job, RealKafka, Registry, Runner, SecureKafka, Shape, wait};

struct Place {
    kafka: SecureKafka,
    registry: Registry,
    secrets: tempfile::TempDir,
    admin: ClientConfig,
}

#[test]
fn over_sasl_ssl_with_acls_and_a_registry_that_asks_who_it_is() {
    let (Some(kafka), Some(registry)) = (RealKafka::sasl_ssl(), Registry::axonops_secure()) else {
        return;
    };
    let place = Place {
        admin: kafka.client(&kafka.admin),
        kafka,
        registry,
        secrets: tempfile::tempdir().expect("a folder"),
    };
    // One broker and one registry; these share nothing else.
    std::thread::scope(|scope| {
        scope.spawn(|| the_least_rights_are_enough(&place));
        scope.spawn(|| a_missing_right_on_the_sink_pauses(&place));
        scope.spawn(|| {
            a_missing_right_on_the_dead_letter_topic_pauses(&place, "dlq", AT_LEAST_ONCE)
        });
        scope.spawn(|| {
            // Small ones, so that those of the other partition are in the same.
            let delivery = "delivery: exactly_once\n    transaction: { records: 20 }";
            a_missing_right_on_the_dead_letter_topic_pauses(&place, "dlq-once", delivery)
        });
        scope.spawn(|| a_wrong_password_is_told(&place));
        scope.spawn(|| transactions_need_rights_to_their_ids(&place));
        scope.spawn(|| a_topic_that_may_not_be_seen_is_not_called_missing(&place));
        scope.spawn(|| commands_name_the_right_to_the_group_that_they_lack(&place));
        scope.spawn(|| {
            a_right_that_is_late_or_gone_for_a_moment_is_waited_for(&place, AT_LEAST_ONCE)
        });
        scope.spawn(|| {
            a_right_that_is_late_or_gone_for_a_moment_is_waited_for(&place, EXACTLY_ONCE)
        });
    });
    // Nobody else may log in meanwhile.
    a_password_that_is_taken_away_is_waited_for(&place);
}

impl Place {
    /// A file with a secret, as an orchestrator mounts it.
    fn secret(&self, name: &str, secret: &str) -> String {
        let file = self.secrets.path().join(name);
        std::fs::write(&file, format!("{secret}\n")).expect("the test's own folder");
        format!("${{file:{}}}", file.display())
    }

    /// A job that logs in with these passwords.
    fn job(&self, name: &str, kafka_password: &str, registry_password: &str) -> Job {
        let shape = Shape::default();
        self.job_of(shape, name, kafka_password, registry_password)
    }

    fn job_of(
        &self,
        shape: Shape,
        name: &str,
        kafka_password: &str,
        registry_password: &str,
    ) -> Job {
        let mut properties = self.kafka.properties(&self.kafka.app);
        for (property, value) in &mut properties {
            if property == "sasl.password" {
                *value = self.secret(&format!("{name}-kafka"), kafka_password);
            }
        }
        let security = self.registry.security().expect("a secure registry");
        let password = self.secret(&format!("{name}-registry"), registry_password);
        let (user, ca) = (&security.login.username, security.certificates.ca.display());
        let shape = Shape {
            properties,
            registry_auth: format!(
                "{{ basic: {{ username: {user}, password: \"{password}\" }}, tls: {{ ca: \"{ca}\" }} }}"
            ),
            tiers: "[1s]".into(),
            ..shape
        };
        Job::new(&self.kafka.bootstrap(), &self.registry.url(), &shape)
    }

    fn right_job(&self, name: &str) -> Job {
        let security = self.registry.security().expect("a secure registry");
        self.job(name, &self.kafka.app.password, &security.login.password)
    }

    /// What every job needs: to read the source and to be in its group, to write what it makes, to read its retries. And
    /// these.
    fn allow(&self, job: &Job, more: &[Right]) {
        let control = format!("{}.control", job.group);
        let mut rights = vec![
            Right::topic(&job.source, &["Read"]),
            Right::group(&job.group),
            Right::topic(&job.retry(1), &["Read", "Write", "Create"]),
            Right::topic(&control, &["Read", "Create"]),
            Right::topic(&job.ledger(), &["Write", "Create"]),
        ];
        rights.extend_from_slice(more);
        self.kafka.allow(&rights);
    }

    fn no_secret_in(&self, runner: &Runner, others: &[&str]) {
        let log = runner.log();
        let security = self.registry.security().expect("a secure registry");
        let secrets = [
            self.kafka.app.password.as_str(),
            self.kafka.admin.password.as_str(),
            &security.login.password,
        ];
        assert!(!log.is_empty());
        for secret in secrets.iter().chain(others) {
            assert!(!log.contains(secret), "a password is in the log");
        }
    }

    fn register(&self, job: &Job) -> u32 {
        topics::create(&self.admin, &job.source, PARTITIONS, &[]);
        self.registry
            .register(&format!("{}-value", job.source), SCHEMA)
    }
}

fn the_least_rights_are_enough(place: &Place) {
    let job = place.right_job("least");
    let schema = place.register(&job);
    let written = [&job.sink, &job.dlq()].map(|topic| Right::topic(topic, &["Write", "Create"]));
    place.allow(&job, &written);
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    let mut writes: Vec<_> = (0..100)
        .map(|n| Write::new(format!("{n}"), payment(schema, n, "EUR")))
        .collect();
    let poison = b"not Avro".to_vec();
    let unknown = payment(1_999_999_999, 7, "EUR");
    writes.push(Write::new("poison", poison.clone()));
    writes.push(Write::new("unknown", unknown.clone()));
    topics::produce(&place.admin, &job.source, &writes);
    assert_eq!(job.wait_for_all(&place.admin, 100), 100);
    wait_for_count(&place.admin, &job.dlq(), 2);
    job.settled(&place.admin, &job.source);
    // The unknown id went through the retry topic, which was written, read and committed.
    assert_eq!(job.settled(&place.admin, &job.retry(1))["dead_lettered"], 1);
    runner.stop();
    let dead = topics::consume_all(&place.admin, &job.dlq());
    assert_eq!(dead.len(), 2);
    let reason = |value: &[u8]| find(&dead, value).header("driftgate.reason");
    assert_eq!(reason(&poison), Some("unframed"));
    assert_eq!(reason(&unknown), Some("unknown_schema"));
    the_dead_letters_go_back(place, &job);
    for (topic, partitions) in [(job.sink.clone(), PARTITIONS), (job.dlq(), PARTITIONS)] {
        assert_eq!(topics::partitions(&place.admin, &topic), partitions);
    }
    place.no_secret_in(&runner, &[]);
}

/// Runs a command on the job's configuration: exit code, stdout, stderr.
fn ask(job: &Job, command: &[&str]) -> (Option<i32>, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(["--log-level", "error"])
        .args(command)
        .arg("-c")
        .arg(job.folder.path().join("driftgate.yaml"))
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// With the rights that docs/dead-letters.md lists for it, on top of the pipeline's.
fn the_dead_letters_go_back(place: &Place, job: &Job) {
    let dlq = |command: &[&str]| {
        let (code, printed, told) = ask(job, &[&["dlq"], command, &["--output", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&printed).unwrap_or_default();
        (code, json, told)
    };
    let (code, _, told) = dlq(&["list"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("authorization failed"), "{told}");
    place.kafka.allow(&[Right::topic(&job.dlq(), &["Read"])]);
    let (code, list, told) = dlq(&["list"]);
    assert_eq!((code, &list["matched"]), (Some(0), &2.into()), "{told}");
    let (code, _, told) = dlq(&["redrive"]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("authorization failed"), "{told}");
    let progress = format!("{}.redrive", job.group);
    place.kafka.allow(&[Right::group(&progress).prefixed()]);
    let before = count(&place.admin, &job.retry(1));
    let (code, summary, told) = dlq(&["redrive"]);
    assert_eq!((code, &summary["redriven"]), (Some(0), &2.into()), "{told}");
    assert_eq!(count(&place.admin, &job.retry(1)), before + 2);
}

/// What a pause says: the broker's words, and what to do.
const MAY_NOT_WRITE: &str = "Topic authorization failed): grant this user Write on it";

fn a_missing_right_on_the_sink_pauses(place: &Place) {
    let job = place.right_job("sink");
    let schema = place.register(&job);
    topics::create(&place.admin, &job.sink, PARTITIONS, &[]);
    let (sink, dlq) = (&job.sink, job.dlq());
    place.allow(
        &job,
        &[
            Right::topic(sink, &["Describe"]),
            Right::topic(&dlq, &["Write", "Create"]),
        ],
    );
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    let writes: Vec<_> = (0..50)
        .map(|n| Write::new(format!("{n}"), payment(schema, n, "EUR")))
        .collect();
    topics::produce(&place.admin, &job.source, &writes);
    runner.wait_ready(503, &["broker_refused", &job.sink, MAY_NOT_WRITE]);
    wait::throughout(Duration::from_secs(3), Duration::from_millis(500), || {
        assert!(runner.runs(), "it waits and does not end");
        let topics = [job.sink.clone(), job.dlq(), job.retry(1)];
        let written: i64 = topics.iter().map(|topic| count(&place.admin, topic)).sum();
        assert_eq!(written, 0);
        let committed = topics::committed(&place.admin, &job.group, &job.source);
        assert!(
            committed.iter().flatten().all(|(offset, _)| *offset == 0),
            "{committed:?}"
        );
    });
    let warned = |line: &&str| line.contains("partition paused") && line.contains(&job.sink);
    assert!(runner.log().lines().find(warned).is_some());

    place.kafka.allow(&[Right::topic(sink, &["Write"])]);
    job.wait_for_all(&place.admin, 50);
    job.settled(&place.admin, &job.source);
    runner.wait_ready(200, &[]);
    runner.stop();
    assert_eq!(count(&place.admin, &job.dlq()), 0);
    place.no_secret_in(&runner, &[]);
}

/// What a broker says to who may not write to a topic.
const REFUSED: &str = "Topic authorization failed";

/// Poison that cannot be put aside: its partition waits in front of it, the others go on, and nothing is passed over.
fn a_missing_right_on_the_dead_letter_topic_pauses(place: &Place, name: &str, delivery: &str) {
    let security = place.registry.security().expect("a secure registry");
    // One worker: what is refused of one partition is in the same producer as all the others.
    let shape = Shape {
        delivery: delivery.to_owned(),
        workers: 1,
        ..Shape::quick()
    };
    let passwords = (&place.kafka.app.password, &security.login.password);
    let job = place.job_of(shape, name, passwords.0, passwords.1);
    let schema = place.register(&job);
    topics::create(&place.admin, &job.dlq(), PARTITIONS, &[]);
    place.allow(
        &job,
        &[
            Right::topic(&job.sink, &["Write", "Create"]),
            Right::topic(&job.dlq(), &["Describe"]),
            Right::transactions(&format!("{}-", job.group)).prefixed(),
        ],
    );
    let good = |n: i64| Write::new(format!("{n}"), payment(schema, n, "EUR"));
    let poison = b"not Avro".to_vec();
    // Much of the other partition is on its way, to all partitions of the sink, whenever the dead letter is refused.
    let mut writes = vec![
        good(0).to(0),
        Write::new("poison", poison.clone()).to(0),
        good(1).to(0),
    ];
    let mut others = 200;
    writes.extend((2..2 + others).map(|n| good(n).to(1)));
    topics::produce(&place.admin, &job.source, &writes);
    let mut runner = job.start("gate");
    runner.wait_ready(
        503,
        &[
            "dead_letter_refused",
            &job.dlq(),
            REFUSED,
            ": grant this user Write on it",
        ],
    );
    let committed = || {
        let committed = topics::committed(&place.admin, &job.group, &job.source);
        let of = |number: usize| committed[number].as_ref().map_or(0, |(offset, _)| *offset);
        (of(0), of(1))
    };
    wait::throughout(Duration::from_secs(8), Duration::from_millis(20), || {
        assert!(runner.runs(), "it waits and does not end");
        assert_eq!(count(&place.admin, &job.dlq()), 0);
        assert!(committed().0 <= 1, "nothing is passed over");
        // It is told until it has got through, and nobody else is blamed.
        let told = runner.wait_ready(503, &["dead_letter_refused", &job.dlq()]);
        assert_eq!(told.matches(REFUSED).count(), 1, "{told}");
        let more: Vec<_> = (2 + others..42 + others).map(|n| good(n).to(1)).collect();
        topics::produce(&place.admin, &job.source, &more);
        others += 40;
    });
    wait::eventually(Duration::from_secs(60), "the others are through", || {
        committed().1 == others
    });
    runner.wait_ready(503, &["dead_letter_refused", &job.dlq()]);
    let paused = |line: &&str| line.contains("partition paused") && line.contains(REFUSED);
    let log = runner.log();
    for line in log.lines().filter(paused) {
        assert!(line.contains(&job.dlq()), "{line}");
        assert!(line.contains("dead_letter_refused"), "{line}");
    }

    place.kafka.allow(&[Right::topic(&job.dlq(), &["Write"])]);
    let all = 2 + others;
    job.wait_for_all(&place.admin, usize::try_from(all).expect("few"));
    let totals = job.settled(&place.admin, &job.source);
    assert_eq!((totals["emitted"], totals["dead_lettered"]), (all, 1));
    runner.wait_ready(200, &[]);
    runner.stop();
    let dead = topics::consume_all(&place.admin, &job.dlq());
    assert_eq!(
        find(&dead, &poison).header("driftgate.source.offset"),
        Some("1")
    );
    place.no_secret_in(&runner, &[]);
}

/// Under exactly_once the ids are named when a right to them is missing, and a sink without a right pauses as it does
/// otherwise.
fn transactions_need_rights_to_their_ids(place: &Place) {
    let security = place.registry.security().expect("a secure registry");
    let shape = Shape {
        delivery: "delivery: exactly_once".into(),
        workers: 1,
        ..Shape::default()
    };
    let passwords = (&place.kafka.app.password, &security.login.password);
    let job = place.job_of(shape, "transactions", passwords.0, passwords.1);
    let schema = place.register(&job);
    topics::create(&place.admin, &job.sink, PARTITIONS, &[]);
    place.allow(
        &job,
        &[
            Right::topic(&job.sink, &["Describe"]),
            Right::topic(&job.dlq(), &["Write", "Create"]),
        ],
    );
    let mut barred = job.start("barred");
    assert_eq!(barred.ended(), Some(3), "{}", barred.log());
    let prefix = format!("{}-", job.group);
    for says in [
        "Write and Describe on the transactional ids",
        prefix.as_str(),
    ] {
        assert!(barred.log().contains(says), "{says}: {}", barred.log());
    }

    let ids = Right::transactions(&prefix).prefixed();
    place.kafka.allow(&[ids]);
    let writes: Vec<_> = (0..50)
        .map(|n| Write::new(format!("{n}"), payment(schema, n, "EUR")))
        .collect();
    topics::produce(&place.admin, &job.source, &writes);
    let mut runner = job.start("gate");
    let hint = "grant this user Write on it";
    let reasons = ["broker_refused", "Topic authorization failed", hint];
    runner.wait_ready(503, &reasons);
    assert!(runner.runs(), "it waits and does not end");
    place.kafka.allow(&[Right::topic(&job.sink, &["Write"])]);
    assert_eq!(job.wait_for_all(&place.admin, 50), 50);
    job.settled(&place.admin, &job.source);
    runner.wait_ready(200, &[]);
    runner.stop();
    place.no_secret_in(&runner, &[]);
}

const AT_LEAST_ONCE: &str = "delivery: at_least_once";
const EXACTLY_ONCE: &str = "delivery: exactly_once\n    transaction: { timeout: 5s }";

/// The right to the group comes late; then it and the right to read the source are taken away for a moment. The instance says
/// so and goes on, without a loss.
fn a_right_that_is_late_or_gone_for_a_moment_is_waited_for(place: &Place, delivery: &str) {
    let security = place.registry.security().expect("a secure registry");
    let shape = Shape {
        delivery: delivery.to_owned(),
        ..Shape::quick()
    };
    let passwords = (&place.kafka.app.password, &security.login.password);
    let name = if delivery == EXACTLY_ONCE {
        "once"
    } else {
        "rights"
    };
    let job = place.job_of(shape, name, passwords.0, passwords.1);
    let schema = place.register(&job);
    let written = [&job.sink, &job.dlq()].map(|topic| Right::topic(topic, &["Write", "Create"]));
    let ids = Right::transactions(&format!("{}-", job.group)).prefixed();
    place.allow(&job, &[written.as_slice(), &[ids]].concat());
    let group = Right::group(&job.group);
    place.kafka.withdraw(std::slice::from_ref(&group));
    let mut runner = job.start("gate");
    runner.wait_ready(503, &["Group authorization failed"]);
    place.kafka.allow(std::slice::from_ref(&group));
    runner.wait_ready(200, &[]);
    let mut written = 0;
    let mut write = || {
        let writes: Vec<_> = (written..written + 50)
            .map(|n| Write::new(format!("{n}"), payment(schema, n, "EUR")))
            .collect();
        topics::produce(&place.admin, &job.source, &writes);
        written += 50;
        usize::try_from(written).expect("few")
    };
    job.wait_for_all(&place.admin, write());
    for (right, says) in [
        (group, "Group authorization failed"),
        (Right::topic(&job.source, &["Read"]), job.source.as_str()),
    ] {
        place.kafka.withdraw(std::slice::from_ref(&right));
        let records = write();
        runner.wait_ready(503, &[says]);
        assert!(runner.runs(), "it waits and does not end");
        place.kafka.allow(std::slice::from_ref(&right));
        job.wait_for_all(&place.admin, records);
        runner.wait_ready(200, &[]);
    }
    let totals = job.settled(&place.admin, &job.source);
    assert_eq!(totals["emitted"], written);
    runner.stop();
    if delivery == EXACTLY_ONCE {
        let (positions, copies) = job.arrived(&place.admin);
        assert_eq!((positions.len(), copies), (150, 150), "each once");
    }
    place.no_secret_in(&runner, &[]);
}

/// The sink is there, and the principal has no right to it: `check` does not say that it is missing, and `run` says what the
/// broker answered. The settings of topics need a right of their own, and without it that is said.
fn a_topic_that_may_not_be_seen_is_not_called_missing(place: &Place) {
    let job = place.right_job("unseen");
    place.register(&job);
    topics::create(&place.admin, &job.sink, PARTITIONS, &[]);
    let dlq = Right::topic(&job.dlq(), &["Write", "Create"]);
    place.allow(&job, &[dlq]);
    let unseen = format!("topic {} does not exist, or no right to see it", job.sink);
    let unread = format!("the settings of {} cannot be read", job.source);
    let (code, _, told) = ask(&job, &["check"]);
    assert_eq!(code, Some(0), "{told}");
    for says in [unseen.as_str(), &unread, "DescribeConfigs", "Not checked: "] {
        assert!(told.contains(says), "{says}: {told}");
    }
    assert!(!told.contains("will be created"), "{told}");

    let ends = |name: &str, expect: i32, says: &[&str]| {
        let mut runner = job.start(name);
        let code = runner.ended();
        let log = runner.log();
        assert_eq!(code, Some(expect), "{log}");
        for says in says {
            assert!(log.contains(says), "{says}: {log}");
        }
        log
    };
    let refused = format!("topic {} could not be created", job.sink);
    let log = ends(
        "neither",
        2,
        &[&refused, "authorization failed", "(Describe)", "(Create,"],
    );
    assert!(log.contains(&unread), "{log}");
    place.kafka.allow(&[Right::topic(&job.sink, &["Create"])]);
    let there = format!("topic {} is there", job.sink);
    let created = |line: &str| line.contains("topic created") && line.contains(&job.sink);
    let log = ends("create", 3, &[&there, "already exists", "(Describe)"]);
    assert!(!log.lines().any(created), "{log}");

    place.kafka.allow(&[Right::topic(&job.sink, &["Write"])]);
    let control = format!("{}.control", job.group);
    let all = [
        &job.source,
        &job.sink,
        &job.dlq(),
        &job.retry(1),
        &job.ledger(),
        &control,
    ];
    let settings = all.map(|topic| Right::topic(topic, &["DescribeConfigs"]));
    place.kafka.allow(&settings);
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    runner.stop();
    let (code, _, told) = ask(&job, &["check"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("cannot be read"), "{told}");
    assert!(!told.contains("does not exist"), "{told}");
}

/// Who may do all but ask what the group has committed.
fn commands_name_the_right_to_the_group_that_they_lack(place: &Place) {
    let job = place.right_job("nogroup");
    place.register(&job);
    let written = [&job.sink, &job.dlq()].map(|topic| Right::topic(topic, &["Write", "Create"]));
    place.allow(&job, &written);
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    runner.stop();
    place.kafka.withdraw(&[Right::group(&job.group)]);
    let read = [&job.sink, &job.dlq(), &job.ledger()].map(|topic| Right::topic(topic, &["Read"]));
    place.kafka.allow(&read);
    for command in [&["resume", "payments"][..], &["audit"]] {
        let (code, _, told) = ask(&job, command);
        assert_eq!(code, Some(3), "{told}");
        for says in ["Group authorization failed", "Describe", &job.group] {
            assert!(told.contains(says), "{says}: {told}");
        }
    }
}

/// Somebody takes the password away while records flow. Logins end after ten seconds; then the instance is let in no more,
/// says so, and goes on when it is: nothing is lost.
fn a_password_that_is_taken_away_is_waited_for(place: &Place) {
    let security = place.registry.security().expect("a secure registry");
    let mut jobs =
        [(AT_LEAST_ONCE, "revoked"), (EXACTLY_ONCE, "revoked-once")].map(|(delivery, name)| {
            let shape = Shape {
                delivery: delivery.to_owned(),
                ..Shape::quick()
            };
            let passwords = (&place.kafka.app.password, &security.login.password);
            let job = place.job_of(shape, name, passwords.0, passwords.1);
            let schema = place.register(&job);
            let written =
                [&job.sink, &job.dlq()].map(|topic| Right::topic(topic, &["Write", "Create"]));
            let ids = Right::transactions(&format!("{}-", job.group)).prefixed();
            place.allow(&job, &[written.as_slice(), &[ids]].concat());
            let runner = job.start("gate");
            (job, runner, schema)
        });
    let write = |job: &Job, schema: u32, from: i64| {
        let writes: Vec<_> = (from..from + 50)
            .map(|n| Write::new(format!("{n}"), payment(schema, n, "EUR")))
            .collect();
        topics::produce(&place.admin, &job.source, &writes);
    };
    for (job, runner, schema) in &mut jobs {
        runner.wait_ready(200, &[]);
        write(job, *schema, 0);
        job.wait_for_all(&place.admin, 50);
    }
    place.kafka.set_app_password(false);
    for (job, runner, schema) in &mut jobs {
        write(job, *schema, 50);
        runner.wait_ready(503, &["Authentication failed"]);
        write(job, *schema, 100);
    }
    wait::throughout(Duration::from_secs(3), Duration::from_millis(500), || {
        let all = jobs.iter_mut().all(|(_, runner, _)| runner.runs());
        assert!(all, "they wait and do not end");
    });
    place.kafka.set_app_password(true);
    for (job, runner, _) in &mut jobs {
        one_line(
            runner,
            "asks again until it does not",
            "Authentication failed",
        );
        job.wait_for_all(&place.admin, 150);
        runner.wait_ready(200, &[]);
        let totals = job.settled(&place.admin, &job.source);
        assert_eq!((totals["emitted"], totals["dead_lettered"]), (150, 0));
        runner.stop();
        assert_eq!(count(&place.admin, &job.dlq()), 0);
        place.no_secret_in(runner, &[]);
    }
    let (positions, copies) = jobs[1].0.arrived(&place.admin);
    assert_eq!((positions.len(), copies), (150, 150), "each once");
}

/// It waits, since logins may reach a broker late, and says what it waits for.
fn a_wrong_password_is_told(place: &Place) {
    let security = place.registry.security().expect("a secure registry");
    let wrong = "wrong-e4b1c5";
    let job = place.job("kafka", wrong, &security.login.password);
    place.register(&job);
    let mut runner = job.start("broker");
    runner.wait_ready(503, &["broker is unavailable", "Authentication failed"]);
    assert!(runner.runs());
    one_line(&runner, "waiting for the broker", "Authentication failed");
    runner.stop();
    place.no_secret_in(&runner, &[wrong]);
    // As `check` tells it, which does not wait.
    let file = job.folder.path().join("driftgate.yaml");
    let checked = std::process::Command::new(Path::new(env!("CARGO_BIN_EXE_driftgate")))
        .args(["check", "-c", file.to_str().expect("text")])
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(3), "{told}");
    assert!(told.contains("Authentication failed"), "{told}");
    assert!(!told.contains(wrong), "{told}");

    let job = place.job("registry", &place.kafka.app.password, wrong);
    place.register(&job);
    let mut runner = job.start("registry");
    runner.wait_ready(503, &["registry is unavailable", "401"]);
    one_line(&runner, "waiting for the registry", "401");
    runner.stop();
    place.no_secret_in(&runner, &[wrong]);
}

#[track_caller]
fn one_line(runner: &Runner, what: &str, why: &str) {
    let log = runner.log();
    let told = |line: &str| line.contains(what) && line.contains(why);
    assert!(
        log.lines().any(told),
        "no line says {what} and {why}:\n{log}"
    );
}
