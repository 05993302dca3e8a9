//! Compatibility: our verdicts beside those of real registries, and the commands `schema check` and `schema diff`.
//!
//! docs/compatibility.md lists every pair on which somebody disagrees, and this test holds the list to what the servers
//! say: a disagreement that is new fails it, and so does one that has gone.

mod support;

#[path = "compat/cases.rs"]
mod cases;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use driftgate::cli::Output;
use driftgate::cli::schema::{CheckArgs, DiffArgs};
use driftgate::config::model::{Registry, RegistryAuth, RegistryTls};
use driftgate::contract::compat::{self, By, Direction, Earlier, Level, Verdict};
use driftgate::contract::registry::{RegistryClient, RegistryError};
use driftgate::contract::schema::Schema;
use driftgate::embedded::registry::EmbeddedRegistry;

use support::{Environment, unique};

fn client(url: &str) -> RegistryClient {
    let registry = Registry {
        url: url.to_owned(),
        auth: RegistryAuth::None,
        tls: RegistryTls::default(),
        cache_dir: None,
        timeout: std::time::Duration::from_secs(10),
    };
    RegistryClient::new(&registry).expect("a client")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn schema(text: &str) -> Schema {
    Schema::parse(text, &[]).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn verdict(level: Level, new: &str, earlier: &[String]) -> Verdict {
    let schemas: Vec<Schema> = earlier.iter().map(|text| schema(text)).collect();
    let earlier = schemas.iter().map(|schema| Earlier { label: "", schema });
    compat::check(level, &schema(new), &earlier.collect::<Vec<_>>())
}

#[test]
fn the_table_holds() {
    for case in cases::pairs() {
        let full = verdict(Level::Full, &case.new, std::slice::from_ref(&case.old));
        let mut found: Vec<_> = full
            .findings()
            .map(|(_, _, found)| match (found.direction, found.by) {
                (Direction::Backward, By::Specification) => "bs",
                (Direction::Backward, By::Meaning) => "bm",
                (Direction::Forward, By::Specification) => "fs",
                (Direction::Forward, By::Meaning) => "fm",
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        // Where a direction breaks by the specification, that it breaks by meaning too is beside the point.
        let all = found.clone();
        found.retain(|f| !f.ends_with('m') || !all.contains(&f.replace('m', "s").as_str()));
        assert_eq!(found.join(" "), case.expect, "{}", case.name);
    }
    for history in cases::histories() {
        let earlier: Vec<_> = history
            .earlier
            .iter()
            .map(|(text, _)| text.clone())
            .collect();
        let breaks: Vec<_> = Level::ALL
            .into_iter()
            .filter(|level| !verdict(*level, &history.new, &earlier).is_compatible())
            .map(Level::word)
            .collect();
        assert_eq!(breaks, history.breaks, "{}", history.name);
    }
    assert!(cases::pairs().len() >= 60);
}

/// What somebody says to a pair at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Passes,
    Breaks,
    /// Breaks, and nobody but us sees it, since the specification lets it pass.
    BreaksByMeaning,
    /// The schema is not taken at all.
    Refuses,
}

impl Say {
    fn word(self) -> &'static str {
        match self {
            Say::Passes => "passes",
            Say::Breaks => "breaks",
            Say::BreaksByMeaning => "breaks, by meaning",
            Say::Refuses => "refuses the schema",
        }
    }
}

fn ours(level: Level, new: &str, earlier: &[String]) -> Say {
    let verdict = verdict(level, new, earlier);
    match (verdict.is_compatible(), verdict.passes_specification()) {
        (true, _) => Say::Passes,
        (false, true) => Say::BreaksByMeaning,
        (false, false) => Say::Breaks,
    }
}

/// What a registry says at each level, with `earlier` registered, each at the level given with it.
async fn theirs(
    client: &RegistryClient,
    earlier: &[(String, &str)],
    new: &str,
    levels: &[Level],
) -> Vec<Say> {
    let subject = unique("compat");
    for (text, level) in earlier {
        let registered = async {
            // A subject has no level of its own before its first version.
            if client.versions(&subject).await.is_ok() {
                client.set_compatibility(&subject, level).await?;
            }
            client.register(&subject, text, &[]).await
        };
        match registered.await {
            Ok(_) => {}
            Err(RegistryError::Refused { .. }) => return vec![Say::Refuses; levels.len()],
            Err(error) => panic!("{}: {error}: {text}", client.url()),
        }
    }
    let mut said = Vec::new();
    for level in levels {
        let set = client.set_compatibility(&subject, level.word()).await;
        set.unwrap_or_else(|error| panic!("{}: {level}: {error}", client.url()));
        said.push(match client.check_compatible(&subject, new, &[]).await {
            Ok(reasons) if reasons.is_empty() => Say::Passes,
            Ok(_) => Say::Breaks,
            Err(RegistryError::Refused { .. }) => Say::Refuses,
            Err(error) => panic!("{}: {error}: {new}", client.url()),
        });
    }
    said
}

/// One line of the list: case and level → what each says, ours first, and the note.
type Lines = BTreeMap<(usize, usize), (String, Vec<Say>, &'static str)>;

fn listed(name: &str, level: Level, said: &[Say], registries: &[&str], note: &str) -> String {
    let by_specification = match said[0] {
        Say::BreaksByMeaning => Say::Passes,
        other => other,
    };
    let names = ["Driftgate"].iter().chain(registries);
    let right: Vec<_> = (names.zip(said))
        .filter(|(_, say)| **say == by_specification)
        .map(|(name, _)| *name)
        .collect();
    let all_of_them = said[1..].iter().all(|say| *say == by_specification);
    let note = match note {
        cases::TEXT => note,
        _ if all_of_them => cases::MEANING,
        note => note,
    };
    let words: Vec<_> = said.iter().map(|say| say.word()).collect();
    format!(
        "| {name} | {level} | {} | {} | {note} |",
        words.join(" | "),
        right.join(", "),
    )
}

const DOC: &str = "docs/compatibility.md";
const BEGIN: &str = "<!-- disagreements: begin -->\n";
const END: &str = "<!-- disagreements: end -->\n";

#[test]
fn every_disagreement_with_the_real_registries_is_listed() {
    let beds = support::Bed::real();
    let registries: Vec<(&str, RegistryClient)> = beds
        .iter()
        .filter_map(|bed| match bed.environment {
            Environment::KafkaAndAxonOps => Some(("AxonOps", client(&bed.registry_url))),
            Environment::KafkaAndApicurio => Some(("Apicurio", client(&bed.registry_url))),
            Environment::Embedded => None,
        })
        .collect();
    if registries.len() < 2 {
        return support::skip("the list of disagreements needs both real registries");
    }
    let names: Vec<&str> = registries.iter().map(|(name, _)| *name).collect();

    let mut lines: Lines = BTreeMap::new();
    let mut compare =
        |row: usize, name: &str, earlier: &[(String, &str)], new: &str, note, levels: &[Level]| {
            let texts: Vec<String> = earlier.iter().map(|(text, _)| text.clone()).collect();
            let all: Vec<Vec<Say>> = registries
                .iter()
                .map(|(_, client)| block_on(theirs(client, earlier, new, levels)))
                .collect();
            for (column, level) in levels.iter().enumerate() {
                let mut said = vec![ours(*level, new, &texts)];
                said.extend(all.iter().map(|said| said[column]));
                if said.iter().any(|say| *say != said[0]) {
                    lines.insert((row, column), (name.to_owned(), said, note));
                }
            }
        };
    // With one earlier version the transitive levels are the plain ones, and FULL is both directions.
    let plain = [Level::Backward, Level::Forward, Level::Full];
    let pairs = cases::pairs();
    for (row, case) in pairs.iter().enumerate() {
        let earlier = [(case.old.clone(), "BACKWARD")];
        compare(row, case.name, &earlier, &case.new, case.note, &plain);
    }
    for (row, history) in cases::histories().iter().enumerate() {
        let row = pairs.len() + row;
        compare(
            row,
            history.name,
            &history.earlier,
            &history.new,
            history.note,
            &Level::ALL,
        );
    }

    let mut expect = format!(
        "| what changes | level | Driftgate | {} | right by the specification | why |\n|---|---|---|---|---|---|---|\n",
        names.join(" | ")
    );
    for ((row, column), (name, said, note)) in &lines {
        let level = match row < &pairs.len() {
            true => plain[*column],
            false => Level::ALL[*column],
        };
        // FULL says nothing new where it is what the two directions say.
        let implied = |who: usize| {
            let side = |column| match lines.get(&(*row, column)) {
                Some((_, said, _)) => said[who],
                None => ours(
                    plain[column],
                    &pairs[*row].new,
                    std::slice::from_ref(&pairs[*row].old),
                ),
            };
            let sides = [side(0), side(1)];
            match sides.iter().all(|say| *say == Say::Passes) {
                true => said[who] == Say::Passes,
                false => said[who] != Say::Passes,
            }
        };
        if level == Level::Full && row < &pairs.len() && (0..said.len()).all(implied) {
            continue;
        }
        let note = match level {
            Level::None => cases::NOTHING_ASKED,
            level if row >= &pairs.len() && !level.is_transitive() => cases::LAST_ONLY,
            _ => note,
        };
        let line = listed(name, level, said, &names, note);
        expect.push_str(&line);
        expect.push('\n');
    }

    let bare = expect.lines().filter(|line| line.ends_with("|  |"));
    let bare: Vec<_> = bare.collect();
    assert!(bare.is_empty(), "nothing says why: {bare:#?}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOC);
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the list begins");
    let (list, after) = rest.split_once(END).expect("where the list ends");
    if std::env::var_os("DRIFTGATE_UPDATE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{expect}{END}{after}");
        std::fs::write(&path, page).expect("written");
        return;
    }
    assert_eq!(
        list, expect,
        "the list of {DOC} is not what the registries say (left: the page); DRIFTGATE_UPDATE_DOCS=1 writes it anew"
    );
}

// The commands.

const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"id","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"shop.Item","fields":[
        {"name":"sku","type":"string"},{"name":"price","type":"long"}]}}}]}"#;

fn changed() -> String {
    ORDER
        .replace("\"scale\":2", "\"scale\":4")
        .replace("timestamp-millis", "timestamp-micros")
        .replace("\"price\",\"type\":\"long\"", "\"price\",\"type\":\"int\"")
        .replace(
            "{\"name\":\"id\",\"type\":\"string\"},",
            "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null},",
        )
}

fn harmless() -> String {
    ORDER.replace(
        "{\"name\":\"id\",\"type\":\"string\"},",
        "{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null},",
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Paths of the folder out of an output.
    fn without(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn check_args(files: Vec<PathBuf>, url: Option<String>) -> CheckArgs {
    CheckArgs {
        files,
        dir: None,
        config: None,
        registry: url,
        against: Vec::new(),
        level: None,
        output: Output::Table,
    }
}

fn check(args: &CheckArgs) -> (u8, String, String) {
    let (mut out, mut log) = (Vec::new(), Vec::new());
    let exit = driftgate::cli::schema::check(args, None, &mut out, &mut log).expect("runs");
    outputs(exit, out, log)
}

fn diff(old: &str, new: &str, url: Option<&str>, output: Output) -> (u8, String, String) {
    let args = DiffArgs {
        old: old.to_owned(),
        new: new.to_owned(),
        config: None,
        registry: url.map(str::to_owned),
        output,
    };
    let (mut out, mut log) = (Vec::new(), Vec::new());
    let exit = driftgate::cli::schema::diff(&args, None, &mut out, &mut log).expect("runs");
    outputs(exit, out, log)
}

fn outputs(exit: std::process::ExitCode, out: Vec<u8>, log: Vec<u8>) -> (u8, String, String) {
    let number =
        (0..4).find(|n| format!("{:?}", std::process::ExitCode::from(*n)) == format!("{exit:?}"));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (number.expect("an exit code of ours"), text(out), text(log))
}

#[test]
fn check_holds_files_to_the_versions_of_the_registry() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let folder = Folder::new();
    let client = client(&registry.url());
    block_on(async {
        client
            .register("orders-value", ORDER, &[])
            .await
            .expect("version 1");
        client
            .register("orders-value", &harmless(), &[])
            .await
            .expect("version 2");
    });
    let file = folder.file("orders-value.avsc", &changed());
    let new = folder.file("refunds-value.avsc", ORDER);
    let mut args = check_args(vec![file.clone(), new.clone()], Some(registry.url()));

    let (exit, out, log) = check(&args);
    assert_eq!((exit, log.as_str()), (1, ""));
    insta::assert_snapshot!("check_table", folder.without(&out));

    folder.file(
        "orders-value.rules.yaml",
        "compatibility: FULL_TRANSITIVE\n",
    );
    let (_, out, _) = check(&args);
    assert!(out.contains("FULL_TRANSITIVE, rules file"), "{out}");
    assert!(
        out.contains("since version 1 ") && out.contains("since version 2 "),
        "{out}"
    );
    args.level = Some(Level::None);
    let (exit, out, _) = check(&args);
    assert_eq!(exit, 0);
    assert!(out.contains("NONE, as asked: compatible"), "{out}");

    args.level = None;
    folder.file("orders-value.rules.yaml", "compatibility: BACKWARD\n");
    folder.file("orders-value.avsc", &harmless());
    let (exit, out, _) = check(&args);
    assert_eq!(exit, 0);
    assert!(out.contains("since version 2 (id 2): no change"), "{out}");

    registry.stop();
    let (exit, out, log) = check(&args);
    assert_eq!((exit, out.as_str()), (3, ""));
    assert!(log.contains("2 of 2 files were not reached"), "{log}");
    folder.file("orders-value.avsc", "{");
    assert_eq!(check(&args).0, 2);
}

#[test]
fn check_needs_no_registry_for_files() {
    let folder = Folder::new();
    let old = folder.file("old.avsc", ORDER);
    let new = folder.file("orders-value.avsc", &changed());
    // Nothing listens there: a question would end with 3.
    let mut args = check_args(vec![new.clone()], Some("http://127.0.0.1:1".to_owned()));
    args.against = vec![old.display().to_string()];
    args.output = Output::Json;
    let (exit, out, log) = check(&args);
    assert_eq!((exit, log.as_str()), (1, ""));
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json[0]["level"], "BACKWARD");
    assert_eq!(json[0]["level_from"], "default");
    assert_eq!(json[0]["compatible"], false);
    let findings = json[0]["findings"].as_array().expect("a list");
    let found: Vec<_> = (findings.iter())
        .map(|f| {
            format!(
                "{} {}",
                f["path"].as_str().expect("path"),
                f["by"].as_str().expect("by")
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "amount specification",
            "at meaning",
            "items[].price specification"
        ]
    );

    args.files = vec![old.clone()];
    assert_eq!(check(&args).0, 0, "against itself");
    args.files.push(new);
    assert_eq!(check(&args).0, 2, "two files");
    args.files = vec![old];
    args.against = vec![folder.0.path().join("none.avsc").display().to_string()];
    let (exit, _, log) = check(&args);
    assert_eq!(exit, 2);
    assert!(log.contains("none.avsc"), "{log}");
}

#[test]
fn check_sees_through_references_to_a_changed_definition() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let folder = Folder::new();
    let order =
        r#"{"type":"record","name":"shop.Order","fields":[{"name":"total","type":"shop.Money"}]}"#;
    let money = |of: &str| {
        format!(
            r#"{{"type":"record","name":"shop.Money","fields":[{{"name":"cents","type":"{of}"}}]}}"#
        )
    };
    let file = folder.file("orders-value.avsc", order);
    folder.file("money.avsc", &money("long"));
    let register = driftgate::cli::schema::RegisterArgs {
        files: vec![file.clone()],
        dir: None,
        config: None,
        registry: Some(registry.url()),
        dry_run: false,
        output: Output::Table,
    };
    driftgate::cli::schema::register(&register, None, &mut Vec::new(), &mut Vec::new())
        .expect("runs");

    let args = check_args(vec![file], Some(registry.url()));
    assert_eq!(check(&args).0, 0);
    // The order's own text stays as it was.
    folder.file("money.avsc", &money("int"));
    let (exit, out, _) = check(&args);
    assert_eq!(exit, 1);
    assert!(
        out.contains("total.cents  type demoted: long -> int"),
        "{out}"
    );
}

#[test]
fn diff_takes_files_versions_and_ids() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let folder = Folder::new();
    let client = client(&registry.url());
    block_on(async {
        client
            .register("orders-value", ORDER, &[])
            .await
            .expect("version 1");
        client
            .register("orders-value", &harmless(), &[])
            .await
            .expect("version 2");
    });
    let old = folder.file("old.avsc", ORDER).display().to_string();
    let new = folder.file("new.avsc", &changed()).display().to_string();
    let url = registry.url();
    let url = Some(url.as_str());

    let (exit, out, log) = diff(&old, &new, None, Output::Table);
    assert_eq!((exit, log.as_str()), (0, ""));
    insta::assert_snapshot!("diff_table", folder.without(&out));
    let (_, out, _) = diff(&old, &new, None, Output::Json);
    insta::assert_snapshot!("diff_json", folder.without(&out));

    let (exit, out, _) = diff("orders-value@1", "orders-value@latest", url, Output::Table);
    assert_eq!(exit, 0);
    assert!(
        out.starts_with("orders-value@1 (id 1) -> orders-value@2 (id 2)\n"),
        "{out}"
    );
    assert!(
        out.ends_with("  backward: compatible, forward: compatible\n"),
        "{out}"
    );
    let (_, out, _) = diff("1", &old, url, Output::Table);
    assert!(
        out.contains("id 1 -> ") && out.ends_with("  no change\n"),
        "{out}"
    );
    assert_eq!(diff("99", &old, url, Output::Table).0, 2);
    assert_eq!(diff("orders-value@9", &old, url, Output::Table).0, 2);
    assert_eq!(diff("nothing@1", &old, url, Output::Table).0, 2);
    registry.stop();
    assert_eq!(diff("1", &old, url, Output::Table).0, 3);
    assert_eq!(diff(&old, &new, url, Output::Table).0, 0, "files alone");
}

#[test]
fn help_has_an_example() {
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    #[command(name = "driftgate schema", max_term_width = 100)]
    struct Cli {
        #[command(subcommand)]
        command: driftgate::cli::schema::SchemaCommand,
    }
    for (name, command) in [("check_help", "check"), ("diff_help", "diff")] {
        let help = Cli::try_parse_from(["driftgate schema", command, "--help"]).expect_err("help");
        insta::assert_snapshot!(name, help.to_string());
    }
}
