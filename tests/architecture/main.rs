//! Who may know what: the layering that ARCHITECTURE.md draws, held against the paths that the code of `src/` names.
//!
//! A module is known by its path (`contract::registry::http`), what it names by the path that the compiler would see
//! (`crate::config::model::Kafka`, `std::fs::read`). The rules are the tables of `rules.rs`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod reader;
mod rules;

use std::fmt;
use std::path::{Path, PathBuf};

use reader::{Named, Reader, UNSAFE};
use rules::{EXEMPT, IMPURE, MAY_NAME, PURE, WALLS};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    named: Named,
    why: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named {
            module,
            what,
            place,
        } = &self.named;
        let Breach { why, .. } = self;
        write!(f, "{place}: {module} names {what}: {why}")
    }
}

/// Whether a path is `of` or below it.
fn below(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn breaches(all: &[Named]) -> Vec<Breach> {
    let mut found = Vec::new();
    for named in all {
        for why in [wall(named), layer(named), impurity(named)]
            .into_iter()
            .flatten()
        {
            let named = named.clone();
            found.push(Breach { named, why });
        }
    }
    found
}

fn wall(named: &Named) -> Option<String> {
    let wall = WALLS
        .iter()
        .filter(|wall| below(&named.what, wall.what))
        .max_by_key(|wall| wall.what.len())?;
    let inside = wall.only.iter().any(|only| below(&named.module, only));
    (!inside).then(|| format!("only {} may: {}", wall.only.join(", "), wall.why))
}

fn layer(named: &Named) -> Option<String> {
    let target = named.what.strip_prefix("crate::")?;
    let room = |path: &str| path.split("::").next().unwrap_or_default().to_owned();
    // `lib.rs` names the rooms, and that is what it is for.
    if named.module == "lib" || room(target) == room(&named.module) {
        return None;
    }
    let mut allowed = MAY_NAME
        .iter()
        .filter(|(module, _)| below(&named.module, module))
        .flat_map(|(_, targets)| *targets);
    (!allowed.any(|allowed| below(target, allowed))).then(|| {
        format!(
            "{} may not know it (the table MAY_NAME)",
            room(&named.module)
        )
    })
}

fn impurity(named: &Named) -> Option<String> {
    let pure = PURE.iter().find(|pure| below(&named.module, pure))?;
    let impure = IMPURE.iter().find(|impure| below(&named.what, impure))?;
    // Error codes are data.
    let exempt = below(&named.what, "rdkafka::types")
        || EXEMPT
            .iter()
            .any(|(module, what, _)| below(&named.module, module) && below(&named.what, what));
    (!exempt)
        .then(|| format!("{pure} is pure: it takes what {impure} would give it as an argument"))
}

/// Permissions that nobody uses: they would let something back in unseen.
fn unused(all: &[Named]) -> Vec<String> {
    let used = |module: &str, what: &str| {
        all.iter()
            .any(|named| below(&named.module, module) && below(&named.what, what))
    };
    let mut unused = Vec::new();
    for wall in WALLS {
        let idle = wall.only.iter().filter(|only| !used(only, wall.what));
        unused.extend(idle.map(|only| format!("{only} does not name {}", wall.what)));
    }
    for (module, targets) in MAY_NAME {
        let idle = targets
            .iter()
            .filter(|target| !used(module, &format!("crate::{target}")));
        unused.extend(idle.map(|target| format!("{module} does not name {target}")));
    }
    for (module, what, _) in EXEMPT {
        if !used(module, what) {
            unused.push(format!("{module} does not name {what}"));
        }
    }
    for pure in PURE {
        if !all.iter().any(|named| below(&named.module, pure)) {
            unused.push(format!("there is no module {pure}"));
        }
    }
    unused
}

fn the_tree() -> Reader {
    let mut reader = Reader::of(|path| std::fs::read_to_string(path).ok());
    let src = PathBuf::from("src");
    reader.file(&src.join("lib.rs"), &[], &src);
    reader.file(&src.join("main.rs"), &[], &src);
    reader.file(&src.join("passthrough/main.rs"), &[], &src);
    reader
}

fn of_the_tree() -> Vec<Named> {
    the_tree().named.into_iter().collect()
}

#[test]
fn no_module_knows_more_than_it_may() {
    let named = of_the_tree();
    // A reader that reads nothing would find nothing.
    assert!(named.len() > 2_000, "only {} paths read", named.len());
    let breaches = breaches(&named);
    let lines: Vec<_> = breaches.iter().map(Breach::to_string).collect();
    assert!(breaches.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn every_permission_is_used() {
    let unused = unused(&of_the_tree());
    assert!(unused.is_empty(), "take them out:\n{}\n", unused.join("\n"));
}

#[test]
fn every_source_file_is_read() {
    fn files(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => files(&path, out),
                Some(extension) if extension == "rs" => out.push(path),
                _ => {}
            }
        }
    }
    let mut all = Vec::new();
    files(Path::new("src"), &mut all);
    let tree = the_tree();
    let missed: Vec<_> = all
        .iter()
        .filter(|path| !tree.read.contains(*path) && !tree.is_test(path))
        .collect();
    assert!(missed.is_empty(), "not read: {missed:?}");
    assert!(tree.is_test(Path::new("src/expr/tests.rs")));
}

/// What a tree of small files breaks: the place of each, and what is named there.
fn check(files: &'static [(&'static str, &'static str)], expect: &[(&str, &str)]) {
    let open = move |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let mut reader = Reader::of(open);
    reader.file(Path::new("lib.rs"), &[], Path::new(""));
    let named: Vec<Named> = reader.named.into_iter().collect();
    let found = breaches(&named);
    let mut found: Vec<(&str, &str)> = found
        .iter()
        .map(|breach| (breach.named.place.as_str(), breach.named.what.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, expect, "{files:?}");
}

#[test]
fn a_planted_breach_is_found() {
    // A stage that looks sideways: by `use`, written out, by `super`, by a renamed module, in a macro.
    check(
        &[
            ("lib.rs", "mod transform;"),
            (
                "transform/mod.rs",
                "use crate::{emit, config::model::Step};\nmod drop;",
            ),
            (
                "transform/drop.rs",
                "use super::super::failure as fate;\n\
                 fn f() { crate::ingest::offsets::go(); }\n\
                 fn g() { fate::x(); }\n\
                 fn h() { println!(\"{}\", crate::worker::RUNS); }",
            ),
        ],
        &[
            ("transform/drop.rs:1", "crate::failure"),
            ("transform/drop.rs:2", "crate::ingest::offsets::go"),
            ("transform/drop.rs:3", "crate::failure::x"),
            ("transform/drop.rs:4", "crate::worker::RUNS"),
            ("transform/mod.rs:1", "crate::emit"),
        ],
    );
    // Crates behind a wall; the longest wall that fits is the one that counts.
    check(
        &[
            ("lib.rs", "mod worker; mod emit { use rdkafka::Message; }"),
            (
                "worker.rs",
                "use rdkafka::{consumer::BaseConsumer, types::RDKafkaErrorCode};\n\
                 type R = anyhow::Result<()>;\n\
                 fn f() { let g = prometheus::Gauge::new(); }",
            ),
        ],
        &[
            ("lib.rs:1", "rdkafka::Message"),
            ("lib.rs:1", "rdkafka::Message"),
            ("worker.rs:1", "rdkafka::consumer::BaseConsumer"),
            ("worker.rs:2", "anyhow::Result"),
            ("worker.rs:3", "prometheus::Gauge::new"),
        ],
    );
    // A clock and a file in a pure module; taking an Instant is no clock.
    check(
        &[
            ("lib.rs", "mod failure;"),
            (
                "failure.rs",
                "use std::time::Instant;\n\
                 fn due(now: Instant) {}\n\
                 fn f() { due(Instant::now()); }\n\
                 fn g() { std::fs::read(\"x\"); }\n\
                 fn h() { tracing::info!(\"said\"); }",
            ),
        ],
        &[
            ("failure.rs:3", "std::time::Instant::now"),
            ("failure.rs:4", "std::fs::read"),
            ("failure.rs:5", "tracing::info"),
        ],
    );
    check(
        &[
            ("lib.rs", "mod worker; mod native;"),
            (
                "worker.rs",
                "fn f() { unsafe { g() } }\nunsafe fn g() {}\nunsafe impl Send for X {}\nextern \"C\" { fn h(); }",
            ),
            ("native.rs", "fn f() { unsafe { g() } }"),
        ],
        &[
            ("worker.rs:1", UNSAFE),
            ("worker.rs:2", UNSAFE),
            ("worker.rs:3", UNSAFE),
            ("worker.rs:4", UNSAFE),
        ],
    );
}

#[test]
fn what_is_allowed_is_not_a_breach() {
    check(
        &[
            (
                "lib.rs",
                "mod pipeline; mod transform; mod expr; mod cli; mod words;",
            ),
            (
                "pipeline.rs",
                "use crate::{contract, transform}; use super::failure::classify;",
            ),
            (
                "transform.rs",
                "mod client; #[cfg(test)] mod tests { use crate::worker; use rdkafka::Message; }\n\
                 #[cfg(all(test, unix))] fn t() { crate::worker::go(); }",
            ),
            ("transform/client.rs", "use super::shape; use self::shape;"),
            ("expr.rs", "use crate::contract::schema::Schema;"),
            (
                "cli.rs",
                "use anyhow::Context; fn f() { std::process::exit(1) }",
            ),
            (
                "words.rs",
                "//! `crate::worker`\nconst X: &str = \"crate::worker\";",
            ),
        ],
        &[],
    );
    // `not(test)` is code.
    check(
        &[
            ("lib.rs", "mod emit;"),
            ("emit.rs", "#[cfg(not(test))] use crate::worker;"),
        ],
        &[("emit.rs:1", "crate::worker")],
    );
}
