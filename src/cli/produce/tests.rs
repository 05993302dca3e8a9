use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: ProduceArgs,
}

fn parse(line: &str) -> Result<ProduceArgs, String> {
    let words = ["produce"].into_iter().chain(line.split_whitespace());
    let parsed = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(parsed.args)
}

fn args(line: &str) -> ProduceArgs {
    parse(line).expect("arguments")
}

#[test]
fn the_format_is_known_by_the_name_or_said() {
    let check = |line: &str, expect: Result<Format, &str>| {
        let found = format(&args(&format!("--schema s.avsc --topic t {line}")));
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{line}"),
            (Err(found), Err(part)) => assert!(found.to_string().contains(part), "{line}: {found}"),
            (found, expect) => panic!("{line}: {found:?}, expected {expect:?}"),
        }
    };
    let csv = |delimiter, nulls: &[&str]| Format::Csv {
        delimiter,
        nulls: nulls.iter().map(|text| (*text).to_owned()).collect(),
    };
    check("a.csv", Ok(csv(b',', &[])));
    check("A.CSV.GZ", Ok(csv(b',', &[])));
    check("a.tsv", Ok(csv(b'\t', &[])));
    check(
        "--delimiter ; --null-as NA --null-as - a.csv",
        Ok(csv(b';', &["NA", "-"])),
    );
    check("--csv --delimiter tab -", Ok(csv(b'\t', &[])));
    check("a.jsonl.gz", Ok(Format::JsonLines));
    check("--jsonl a.csv", Ok(Format::JsonLines));
    check("-", Err("say --csv or --jsonl"));
    check("a.txt", Err("a.txt: its name does not tell"));
    check("--null-as NA a.jsonl", Err("are about tables"));
}

#[test]
fn the_schema_is_a_file_or_a_subject() {
    let file = |subject: &str| {
        Ok(Source::File {
            path: "s.avsc".into(),
            subject: subject.to_owned(),
        })
    };
    let registered = |subject: &str, version| {
        Ok(Source::Subject {
            subject: subject.to_owned(),
            version,
        })
    };
    let found = |line: &str| source(&args(&format!("--topic t {line} a.csv")));
    assert_eq!(found("--schema s.avsc"), file("t-value"));
    assert_eq!(found("--schema s.avsc --subject other"), file("other"));
    assert!(found("--schema s.avsc --subject other@2").is_err());
    assert_eq!(found("--subject s@3"), registered("s", Some(3)));
    assert_eq!(found("--subject s@latest"), registered("s", None));
    assert_eq!(found("--subject s"), registered("s", None));
    assert_eq!(found("--subject a@b"), registered("a@b", None));
}

#[test]
fn wrong_arguments_are_refused() {
    for (line, part) in [
        ("--topic t a.csv", "--schema"),
        ("--schema s.avsc a.csv", "--topic"),
        ("--subject s --no-register --topic t a.csv", "--schema"),
        (
            "--schema s --topic t --csv --jsonl a",
            "cannot be used with",
        ),
        ("--schema s --topic t --rate fast a.csv", "500/s"),
        (
            "--schema s --topic t --delimiter ab a.csv",
            "one ASCII character",
        ),
        ("--schema s --topic t --create-topic 0 a.csv", "0 is not in"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(part), "{line}: {error}");
    }
}
