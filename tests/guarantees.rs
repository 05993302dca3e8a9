//! The page of guarantees names tests: each of them exists, and what is not held names one or says that there is none.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/guarantees.md")).expect("the page");
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_below(&root.join(folder), &mut known);
    }
    let mut named = 0;
    let mut missing = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let shown_by = row.trim_end_matches('|').rsplit('|').next();
        let names: Vec<&str> = shown_by
            .expect("a last column")
            .split('`')
            .skip(1)
            .step_by(2)
            .collect();
        assert!(
            !names.is_empty() || row.contains("shown by"),
            "names no test: {row}"
        );
        named += names.len();
        missing.extend(names.into_iter().filter(|name| !known.contains(*name)));
    }
    let mut exceptions = 0;
    for text in page
        .split("\n\n")
        .filter(|text| text.starts_with("Not held:"))
    {
        let quoted = text.split('`').skip(1).step_by(2);
        let names: Vec<&str> = quoted.filter(|word| is_name(word)).collect();
        assert!(
            !names.is_empty() || text.contains("(no test)"),
            "names no test: {text}"
        );
        exceptions += 1;
        missing.extend(names.into_iter().filter(|name| !known.contains(*name)));
    }
    assert!(exceptions >= 4, "{exceptions}");
    assert!(missing.is_empty(), "there are no such tests: {missing:#?}");
    assert!(named > 40, "{named}");
}

/// Whether it is the name of a test, and not a key or a value of the configuration: those have fewer words.
fn is_name(word: &str) -> bool {
    let is_plain = word
        .chars()
        .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_');
    is_plain && word.matches('_').count() >= 3
}

/// The names of the functions that are marked as tests.
fn tests_below(folder: &Path, known: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_below(&path, known);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if !line.contains("#[test]") {
                    continue;
                }
                let function = std::iter::once(line)
                    .chain(lines.by_ref().take(6))
                    .find_map(|line| line.strip_prefix("fn "));
                let name = function.and_then(|rest| rest.split('(').next());
                known.extend(name.map(str::to_owned));
            }
        }
    }
}
