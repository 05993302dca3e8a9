//! The program as a stranger meets it: help, exit codes, and what each message says when something is wrong. Runs the
//! binary; a broker or registry that is away is a port that nobody listens on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::ingest::topics::admin::TopicAdmin;
use tempfile::TempDir;

/// Nobody listens there, and no connection can be made to it by chance: it takes root to bind it.
const AWAY: &str = "127.0.0.1:1";

/// Runs the program in a folder, with an environment that says nothing of brokers, registries and logs.
fn driftgate(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
    command
        .args(line.split_whitespace())
        .current_dir(folder)
        .env("KAFKA_BOOTSTRAP_SERVERS", AWAY)
        .env("SCHEMA_REGISTRY_URL", format!("http://{AWAY}"))
        .env("NO_COLOR", "1");
    for name in ["RUST_LOG", "DRIFTGATE_LOG_FORMAT", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with what `init` writes.
fn started() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = driftgate(folder.path(), "init");
    assert_eq!(output.status.code(), Some(0));
    folder
}

/// How a command ends, and each part of what it says on stderr.
fn check(folder: &Path, line: &str, exit: i32, says: &[&str]) {
    let output = driftgate(folder, line);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{line}\n{said}");
    for part in says {
        assert!(said.contains(part), "{line}: {part:?} is not in\n{said}");
    }
    assert!(!said.contains("panicked"), "{line}\n{said}");
}

/// The same, in a fresh folder in which a part of a file has been replaced.
fn check_edited(file: &str, old: &str, new: &str, line: &str, exit: i32, says: &[&str]) {
    let folder = started();
    let path = folder.path().join(file);
    let before = std::fs::read_to_string(&path).unwrap();
    assert!(before.contains(old), "{file} has no {old:?}");
    std::fs::write(&path, before.replacen(old, new, 1)).unwrap();
    check(folder.path(), line, exit, says);
}

const COMMANDS: &[&str] = &[
    "",
    "run",
    "check",
    "demo",
    "test",
    "try",
    "init",
    "explain",
    "dlq list",
    "dlq stats",
    "dlq show",
    "dlq redrive",
    "audit",
    "compare",
    "drift baseline",
    "drift diff",
    "drift show",
    "bench",
    "schema register",
    "schema check",
    "schema diff",
    "produce",
    "alert test",
    "functions",
    "pause",
    "resume",
    "completions",
    "version",
];

#[test]
fn every_command_has_help_with_an_example_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    for &command in COMMANDS {
        let output = driftgate(folder.path(), &format!("{command} --help"));
        assert_eq!(output.status.code(), Some(0), "{command}");
        let help = text(&output.stdout);
        assert!(
            help.contains("Example"),
            "{command} shows no example\n{help}"
        );
        assert!(help.contains("Exit codes: 0 "), "{command}\n{help}");
        let name = match command {
            "" => "driftgate".to_owned(),
            command => command.replace(' ', "_"),
        };
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
    for group in ["alert", "dlq", "drift", "schema"] {
        let help = text(&driftgate(folder.path(), &format!("{group} --help")).stdout);
        assert!(help.contains("Example"), "{group} shows no example\n{help}");
    }
}

#[test]
fn every_command_is_in_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&driftgate(folder.path(), "--help").stdout);
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut known: Vec<&str> = COMMANDS
        .iter()
        .filter_map(|c| c.split(' ').next())
        .collect();
    known.retain(|name| !name.is_empty());
    known.dedup();
    known.push("help");
    assert_eq!(
        listed,
        [
            "run",
            "check",
            "demo",
            "test",
            "try",
            "init",
            "explain",
            "dlq",
            "audit",
            "compare",
            "drift",
            "bench",
            "schema",
            "produce",
            "alert",
            "functions",
            "pause",
            "resume",
            "completions",
            "version",
            "help"
        ]
    );
    assert_eq!(known, listed);
}

#[test]
fn the_version_names_librdkafka() {
    let folder = tempfile::tempdir().unwrap();
    let output = driftgate(folder.path(), "version");
    let version = text(&output.stdout);
    let expect = format!("driftgate {} (librdkafka 2.", env!("CARGO_PKG_VERSION"));
    assert!(version.starts_with(&expect), "{version}");
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "")
    );
}

#[test]
fn completions_parse() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = driftgate(folder.path(), &format!("completions {shell}"));
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        for command in ["produce", "register", "--offline"] {
            let name = command.trim_start_matches('-');
            assert!(script.contains(name), "{shell} does not know {command}");
        }
        let path = folder.path().join(shell);
        std::fs::write(&path, script).unwrap();
        // Those that are on this machine say whether it is their language.
        let parser = match shell {
            "bash" | "zsh" => Command::new(shell).arg("-n").arg(&path).output(),
            "fish" => Command::new(shell).arg("--no-execute").arg(&path).output(),
            _ => continue,
        };
        if let Ok(parsed) = parser {
            assert!(parsed.status.success(), "{shell}: {}", text(&parsed.stderr));
        }
    }
}

#[test]
fn wrong_usage_is_two() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(&str, &[&str]); 13] = [
        ("", &["Usage: driftgate", "Commands:"]),
        ("chek", &["unrecognized subcommand 'chek'", "'check'"]),
        ("check --offlin", &["'--offlin'", "'--offline'"]),
        ("run --nope", &["unexpected argument '--nope'"]),
        ("run -c", &["a value is required for '--config <CONFIG>'"]),
        (
            "check --output xml",
            &["[possible values: table, json, mermaid]"],
        ),
        ("demo --duration 5s", &["--duration: 15s or more"]),
        (
            "demo --duration 20",
            &["a duration needs a unit (20s, if seconds are meant)"],
        ),
        ("demo --rate 0", &["0 is not in 1..=1000"]),
        ("completions", &["<SHELL>"]),
        (
            "completions tcsh",
            &["possible values: bash, elvish, fish, powershell, zsh"],
        ),
        ("produce a.csv --topic t", &["--schema <AVSC>"]),
        (
            "--log-level x=y=z version",
            &["--log-level `x=y=z` is neither a level"],
        ),
    ];
    for (line, says) in rows {
        check(folder.path(), line, 2, says);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(&str, i32, &[&str]); 9] = [
        (
            "run",
            2,
            &["driftgate.yaml: there is no such file", "`driftgate init`"],
        ),
        (
            "check --offline",
            2,
            &["driftgate.yaml: there is no such file"],
        ),
        (
            "check -c other.yaml",
            2,
            &["other.yaml: there is no such file"],
        ),
        (
            "schema register",
            2,
            &["schemas: there is no such file or folder", "--dir"],
        ),
        (
            "schema register --dir x",
            2,
            &["x: there is no such file or folder"],
        ),
        (
            "schema register x.avsc",
            2,
            &["x.avsc: there is no such file"],
        ),
        (
            "schema register -c x.yaml",
            2,
            &["x.yaml: there is no such file"],
        ),
        (
            "produce --schema s.avsc --topic t x.csv",
            2,
            &["x.csv: there is no such file", "nothing was sent"],
        ),
        (
            "produce --schema s.avsc --topic t -c x.yaml x.csv",
            2,
            &["x.yaml: there is no such file"],
        ),
    ];
    for (line, exit, says) in rows {
        check(folder.path(), line, exit, says);
    }
}

#[test]
fn a_file_that_is_no_configuration_says_what_it_is() {
    let folder = started();
    let rows: [(&[u8], &[&str]); 11] = [
        (b"", &["the file holds nothing", "`driftgate init`"]),
        (b"# later\n", &["the file holds nothing"]),
        (
            b"kafka: {}\nx: \xff\n",
            &["not UTF-8 text, from line 2 on", "save it as UTF-8"],
        ),
        (b"- a\n", &["1:1: the file is a list; expected a mapping"]),
        (b"text\n", &["1:1: the file: expected a mapping"]),
        (
            b"kafka:\n\tbootstrap_servers: x\n",
            &["d.yaml:2:", "YAML is indented with spaces"],
        ),
        (b"a: 1\n---\nb: 2\n", &["d.yaml:2:1: a second document"]),
        (
            b"kafka: \"x\n",
            &["d.yaml:1:8: not YAML", "unexpected end of stream"],
        ),
        (
            b"kafak: {}\n",
            &["d.yaml:1:1: unknown key `kafak`", "did you mean `kafka`?"],
        ),
        (
            b"kafka: {}\nkafka: {}\n",
            &["d.yaml:2:1: `kafka` stands here twice", "line 1"],
        ),
        (
            b"kafka: &a {}\nregistry: *a\n",
            &["d.yaml:2:11: YAML aliases are not supported"],
        ),
    ];
    for (content, says) in rows {
        std::fs::write(folder.path().join("d.yaml"), content).unwrap();
        for line in ["check --offline -c d.yaml", "run -c d.yaml"] {
            check(folder.path(), line, 2, says);
        }
    }
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    check(
        folder.path(),
        "check -c sub",
        2,
        &["sub: this is a folder, not a file"],
    );
    check(
        folder.path(),
        "check -c .",
        2,
        &["did you mean ./driftgate.yaml?"],
    );
}

#[test]
fn what_init_writes_is_accepted_and_each_slip_in_it_is_shown_at_its_place() {
    let folder = started();
    check(folder.path(), "check --offline", 0, &["check: ok"]);
    check(
        folder.path(),
        "init",
        2,
        &["driftgate.yaml exists", "--force"],
    );
    check(folder.path(), "init --force", 0, &[]);

    const CONFIG: &str = "driftgate.yaml";
    const SCHEMA: &str = "schemas/orders-value.avsc";
    const RULES: &str = "schemas/orders-value.rules.yaml";
    const SINK: &str = "schemas/orders.clean-value.avsc";
    let filter = "- filter: \"currency != 'TEST'\"            # keeps what is true";
    let rows: [(&str, &str, &str, &[&str]); 27] = [
        (
            CONFIG,
            "workers: 1",
            "workers: many",
            &["`workers`: expected a whole number", "^^^^"],
        ),
        (
            CONFIG,
            "25s",
            "25",
            &["a duration needs a unit", "25s, if seconds are meant"],
        ),
        (
            CONFIG,
            "256MiB",
            "256 potatoes",
            &["unknown unit", "KiB, MiB"],
        ),
        (
            CONFIG,
            "jitter: 20%",
            "jitter: 0.2",
            &["not a ratio", "write 20%"],
        ),
        (
            CONFIG,
            "${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}",
            "${NOT_SET}",
            &["variable NOT_SET is not set", "${NOT_SET:-…}"],
        ),
        (
            CONFIG,
            "${SCHEMA_REGISTRY_URL:-http://localhost:8081}",
            "localhost:8081",
            &["`url`: not an HTTP URL", "http://host:port/path"],
        ),
        (
            CONFIG,
            "schema: schemas/orders-value",
            "schema: schemas/order-value",
            &[
                "there is no file schemas/order-value.avsc",
                "did you mean orders-value.avsc?",
            ],
        ),
        (
            CONFIG,
            "drop: [tags]",
            "drop: [tag]",
            &["no field `tag`", "did you mean `tags`?"],
        ),
        (
            CONFIG,
            "- drop:",
            "- dropp:",
            &["unknown key `dropp`", "did you mean `drop`?"],
        ),
        (
            CONFIG,
            "currency != 'TEST'",
            "curency != 'TEST'",
            &[" | - filter: \"curency != ", "did you mean `currency`?"],
        ),
        (
            CONFIG,
            "currency != 'TEST'",
            "currency != 3",
            &["string and long cannot be compared", "quote the number"],
        ),
        (
            CONFIG,
            filter,
            "- filter: |\n          currency != 'X'\n            && quantity > 'x'",
            &[" | && quantity > 'x'\n   |               ^^^"],
        ),
        (
            CONFIG,
            filter,
            "- filter: >-\n          currency != 'X'\n          && quantity > 'x'",
            &[" | && quantity > 'x'\n   |               ^^^"],
        ),
        (
            CONFIG,
            filter,
            "- filter: |\n          quantity > 0 # none",
            &["this is not CEL", "`#` begins no comment"],
        ),
        (
            RULES,
            "field: currency",
            "field: curency",
            &["orders-value.rules.yaml:", "did you mean `currency`?"],
        ),
        (
            RULES,
            "quantity <= 10000",
            "quantty <= 10000",
            &["no field `quantty`", "^^^^^^^"],
        ),
        (
            RULES,
            "- { name: known-currency, field:",
            "- { name: known-currency, fiield:",
            &["unknown key `fiield`"],
        ),
        (
            SCHEMA,
            "\"type\": \"int\"",
            "\"type\": \"integer\"",
            &[
                "orders-value.avsc:",
                "type shop.integer is defined neither",
                "^^^^^^^^^",
                "null, boolean, int",
            ],
        ),
        (
            SCHEMA,
            "\"type\": \"int\"",
            "\"type\": \"Sting\"",
            &["did you mean \"string\"?"],
        ),
        (
            SCHEMA,
            "\"type\": \"int\"",
            "\"type\": \"int\",,",
            &["orders-value.avsc:", "not JSON", " | "],
        ),
        (
            SCHEMA,
            "\"type\": \"record\"",
            "\"type\": \"recrod\"",
            &["did you mean \"record\"?"],
        ),
        (
            SINK,
            "\"name\": \"channel\"",
            "\"name\": \"chanel\"",
            &["driftgate.yaml:", "`chanel` does not fit the sink"],
        ),
        (
            CONFIG,
            "group: orders-gate",
            "group: orders-gate\n    grop: x",
            &["unknown key `grop`"],
        ),
        (
            CONFIG,
            "    alerts: []",
            "    alerts: [ { webhook: http://a, when: \"kind == 'dirft'\" } ]",
            &["driftgate.yaml:66:", "^^^^^^^", "did you mean"],
        ),
        (
            CONFIG,
            "    alerts: []",
            "    alerts: [ { webhook: http://a, when: \"cuont > 1\" } ]",
            &["driftgate.yaml:66:", "^^^^^", "`count`"],
        ),
        (
            CONFIG,
            "    alerts: []",
            "    alerts: [ { webhook: http://a, when: count } ]",
            &["driftgate.yaml:66:", "^^^^^", "true or false"],
        ),
        (
            CONFIG,
            "delivery: at_least_once",
            "delivery: exactly_once\n    transaction: { intervall: 1s }",
            &["unknown key `intervall`"],
        ),
    ];
    for (file, old, new, says) in rows {
        check_edited(file, old, new, "check --offline", 2, says);
        // `run` refuses the same, before it asks anybody.
        check_edited(file, old, new, "run", 2, says);
    }
}

#[test]
fn schema_files_that_are_none_are_refused_without_a_panic() {
    let circle = [
        (
            "orders-value.avsc",
            r#"{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}"#,
        ),
        (
            "b.avsc",
            r#"{"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]}]}"#,
        ),
    ];
    let rows: [(&[(&str, &str)], &str); 5] = [
        (
            &[("orders-value.avsc", "")],
            "the file holds nothing; expected an Avro schema",
        ),
        (
            &[("orders-value.avsc", "\"string\"")],
            "steps change fields, and this schema has none: it is string",
        ),
        (&[("orders-value.avsc", "[]")], "orders-value.avsc"),
        (&[("orders-value.avsc", "{}")], "orders-value.avsc"),
        (
            &circle,
            "refers to itself: orders-value -> b -> orders-value",
        ),
    ];
    for (files, says) in rows {
        let folder = started();
        for (name, content) in files {
            std::fs::write(folder.path().join("schemas").join(name), content).unwrap();
        }
        check(folder.path(), "check --offline", 2, &[says]);
        check(folder.path(), "run", 2, &[says]);
    }
    let folder = started();
    let schema = folder.path().join("schemas/orders-value.avsc");
    std::fs::write(&schema, b"\"\xff\"").unwrap();
    check(folder.path(), "check --offline", 2, &["not UTF-8 text"]);
    std::fs::remove_file(&schema).unwrap();
    std::fs::create_dir(&schema).unwrap();
    check(folder.path(), "check --offline", 2, &["is a folder"]);
}

#[test]
fn what_cannot_be_reached_is_three_and_named() {
    let folder = started();
    let rows = r#"{"order_id":"1","customer_id":"c","status":"Paid","quantity":1,"amount":"1.00","currency":"EUR","email":null,"note":null,"tags":[],"updated_at":"2026-01-02T03:04:05Z"}"#;
    std::fs::write(folder.path().join("rows.jsonl"), rows).unwrap();
    let produce = "produce --schema schemas/orders-value.avsc --topic orders";
    check(
        folder.path(),
        "check",
        3,
        &[
            "not checked: ",
            AWAY,
            "registry http://127.0.0.1:1",
            "could not be reached",
        ],
    );
    check(
        folder.path(),
        "schema register",
        3,
        &[
            "registry http://127.0.0.1:1",
            "2 of 2 files were not reached",
        ],
    );
    check(
        folder.path(),
        &format!("{produce} rows.jsonl"),
        3,
        &[AWAY, "could not be reached", "nothing was sent"],
    );
    check(
        folder.path(),
        &format!("{produce} --dry-run rows.jsonl"),
        0,
        &[],
    );
    check(
        folder.path(),
        "produce --subject orders-value --topic orders rows.jsonl",
        3,
        &["registry http://127.0.0.1:1"],
    );
    // Each waits for its answer, so all of them at once.
    std::thread::scope(|scope| {
        for line in [
            "pause clean-orders",
            "dlq show 0@0",
            "explain --topic orders --partition 0 --offset 0",
        ] {
            let folder = folder.path();
            scope.spawn(move || check(folder, line, 3, &[AWAY, "could not be reached"]));
        }
    });
    check(
        folder.path(),
        "alert test --pipeline clean-order",
        2,
        &["there is no pipeline clean-order; the configuration has clean-orders"],
    );
    // A folder stands where a file is to be written.
    std::fs::write(folder.path().join("taken"), "").unwrap();
    check(folder.path(), "init taken", 3, &["taken"]);
}

#[test]
fn rows_that_are_wrong_are_findings_and_a_wrong_question_is_usage() {
    let folder = started();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("bad.jsonl"), "{\"order_id\": 1}\nnot json\n[1]\n").unwrap();
    std::fs::write(at("utf8.jsonl"), b"\xff\xfe\n").unwrap();
    std::fs::write(at("bad.csv"), "order_id,nope\n1,2\n").unwrap();
    std::fs::write(at("empty.csv"), "").unwrap();
    std::fs::write(at("cut.jsonl.gz"), b"\x1f\x8b\x08cut").unwrap();
    let rows: [(&str, i32, &[&str]); 9] = [
        (
            "bad.jsonl",
            1,
            &[
                "bad.jsonl:1: order_id: expected string, found a number",
                "bad.jsonl:2: expected JSON",
                "bad.jsonl:3: expected record shop.Order",
            ],
        ),
        ("utf8.jsonl", 1, &["utf8.jsonl:1: expected UTF-8 text"]),
        (
            "bad.csv",
            2,
            &[
                "column \"nope\" is no field of Order; did you mean \"note\"?",
                "no column \"status\"",
                "nothing was sent",
            ],
        ),
        ("empty.csv", 2, &["is empty; expected a header line"]),
        ("cut.jsonl.gz", 3, &["cut.jsonl.gz: unexpected end of file"]),
        ("driftgate.yaml", 2, &["say --csv or --jsonl"]),
        ("schemas --csv", 2, &["schemas: is a folder"]),
        (
            "--key ordr_id bad.jsonl",
            2,
            &["no field \"ordr_id\"", "\"order_id\""],
        ),
        (
            "--timestamp currency bad.jsonl",
            2,
            &["--timestamp currency: expected a timestamp"],
        ),
    ];
    for (arguments, exit, says) in rows {
        let line = format!(
            "produce --schema schemas/orders-value.avsc --topic orders --dry-run {arguments}"
        );
        check(folder.path(), &line, exit, says);
    }
}

#[test]
fn a_warning_is_called_one_and_refuses_nothing() {
    let default = "${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}";
    check_edited(
        "driftgate.yaml",
        default,
        "broker",
        "check --offline",
        0,
        &[
            "warning: `broker` has no port, so it is 9092",
            "write broker:9092",
            "1 warning\n",
            "check: ok",
        ],
    );
    for wrong in ["broker:port", "broker:0", "broker:70000", "[::1]:x"] {
        let says = [&format!("`{wrong}` has no port between"), "1 fault\n"];
        check_edited(
            "driftgate.yaml",
            default,
            &format!("\"{wrong}\""),
            "run",
            2,
            &says,
        );
    }
    for right in ["broker:1,other:2", "[::1]:9092", "PLAINTEXT://broker:9092"] {
        let folder = started();
        let path = folder.path().join("driftgate.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen(default, &format!("\"{right}\""), 1)).unwrap();
        let output = driftgate(folder.path(), "check --offline");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), OFFLINE_OK));
    }
}

/// `init` writes a limit. Who leaves it out is told so, and may.
#[test]
fn a_pipeline_without_a_limit_to_its_dead_letters_is_told() {
    let note = "note: pipeline clean-orders: nothing stops a flood of dead letters";
    let limit = "dead_letter: { pause_above: 20%/1m }";
    for (written, expected) in [
        ("dead_letter: {}", true),
        (limit, false),
        ("dead_letter: { pause_after: 100 }", false),
    ] {
        let folder = started();
        let path = folder.path().join("driftgate.yaml");
        let file = std::fs::read_to_string(&path).unwrap();
        assert!(file.contains(limit));
        std::fs::write(&path, file.replacen(limit, written, 1)).unwrap();
        let output = driftgate(folder.path(), "check --offline");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains(note), expected, "{written}: {said}");
    }
}

/// What an offline check says that finds nothing.
const OFFLINE_OK: &str =
    "note: --offline: rules that the registry keeps with a subject are not looked at\ncheck: ok\n";

#[test]
fn a_secret_is_never_printed() {
    const SECRET: &str = "geheim42";
    let folder = started();
    let path = folder.path().join("driftgate.yaml");
    let plain = std::fs::read_to_string(&path).unwrap();
    let secret = format!(
        "  url: http://me:{SECRET}@{AWAY}/x\n  auth: {{ basic: {{ username: me, password: \"{SECRET}\" }} }}"
    );
    let with_auth = plain.replacen(
        "  url: ${SCHEMA_REGISTRY_URL:-http://localhost:8081}",
        &secret,
        1,
    );
    assert_ne!(with_auth, plain);
    // As it is, with a fault on the secret's own line, and with broken YAML behind it.
    let broken = with_auth.replacen("username: me", "user: me", 1);
    let cut = format!("{with_auth}\nx: \"\n");
    for config in [with_auth, broken, cut] {
        std::fs::write(&path, config).unwrap();
        for line in [
            "check",
            "check --offline",
            "check --output json",
            "schema register -c driftgate.yaml",
            "produce -c driftgate.yaml --subject s --topic t rows.jsonl",
        ] {
            let output = driftgate(folder.path(), line);
            let said = text(&output.stdout) + &text(&output.stderr);
            assert!(!said.contains(SECRET), "{line}\n{said}");
            assert!(!said.contains("panicked"), "{line}\n{said}");
        }
    }
}

#[test]
fn the_embedded_broker_is_not_asked_what_it_never_answers() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("orders", 3).unwrap();
    let properties = [("bootstrap.servers".to_owned(), broker.bootstrap_servers())];
    let patience = Duration::from_secs(60);
    let admin = TopicAdmin::new(&properties.into_iter().collect(), patience).unwrap();
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let known = runtime
        .block_on(admin.known(&["orders".to_owned()]))
        .unwrap();
    assert_eq!(known["orders"].partitions, 3);
    assert_eq!(known["orders"].max_message_bytes, None);
    assert!(began.elapsed() < patience / 2, "{:?}", began.elapsed());
}
