//! `driftgate drift show`: what running instances know of values, asked of their admin servers.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{Refusal, print};
use crate::cli::{COULD_NOT_RUN, FINDINGS, Output, USAGE, load_config};
use crate::config::model::{Admin, named};

/// How long an instance may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `drift show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// One pipeline alone
    pipeline: Option<String>,
    /// The configuration file, for the address of the admin server and its token
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// Admin servers of instances, such as http://gate-1:9600 [default: `admin.listen` of the configuration]
    #[arg(long, value_name = "URL")]
    instance: Vec<String>,
    /// One topic alone
    #[arg(long)]
    topic: Option<String>,
    /// Fields that drift alone
    #[arg(long)]
    drifting: bool,
    /// Form of the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Shows it.
pub(super) fn run(args: &ShowArgs) -> Result<anyhow::Result<ExitCode>, Refusal> {
    let config = load_config(&args.config).map_err(|error| (format!("{error:#}"), USAGE))?;
    if let Some(name) = &args.pipeline {
        let pipeline = named(&config.pipelines, name).map_err(|text| (text, USAGE))?;
        if pipeline.contract.baseline.is_none() {
            let text = format!("{name} has no `contract.baseline`: nothing is compared");
            return Err((text, USAGE));
        }
    }
    let instances = instances(args, &config.admin).map_err(|text| (text, USAGE))?;
    let runtime = crate::cli::runtime().map_err(|error| (error.to_string(), COULD_NOT_RUN))?;
    let mut found = Vec::new();
    for instance in instances {
        let asked = ask(&instance, &config.admin);
        let report = runtime.block_on(asked)?;
        found.push((instance, report));
    }
    let shown = chosen(&found, args);
    let text = match args.output {
        Output::Json => format!("{:#}\n", json!({ "instances": shown })),
        Output::Table => table(&shown),
    };
    let drifts = shown.iter().any(drifts);
    Ok(print(&text).map(|()| match drifts {
        true => ExitCode::from(FINDINGS),
        false => ExitCode::SUCCESS,
    }))
}

fn instances(args: &ShowArgs, admin: &Admin) -> Result<Vec<String>, String> {
    if !args.instance.is_empty() {
        let bare = args.instance.iter();
        return Ok(bare
            .map(|url| url.trim_end_matches('/').to_owned())
            .collect());
    }
    match admin.listen {
        Some(mut address) if address.port() != 0 => {
            if address.ip().is_unspecified() {
                address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            Ok(vec![format!("http://{address}")])
        }
        _ => Err(
            "`admin.listen` of the configuration is no address: name the instances with --instance"
                .to_owned(),
        ),
    }
}

async fn ask(instance: &str, admin: &Admin) -> Result<Value, Refusal> {
    let failed = |error: &dyn std::fmt::Display| (format!("{instance}: {error}"), COULD_NOT_RUN);
    let client = Client::builder().timeout(PATIENCE).build();
    let client = client.map_err(|error| failed(&error))?;
    let mut request = client.get(format!("{instance}/api/drift"));
    if let Some(token) = &admin.token {
        request = request.bearer_auth(token.expose());
    }
    let answer = request.send().await;
    let answer = answer.map_err(|error| failed(&crate::cli::drift::cause(&error)))?;
    match answer.status() {
        StatusCode::OK => answer.json().await.map_err(|error| failed(&error)),
        StatusCode::UNAUTHORIZED => Err((
            format!("{instance}: the token of `admin.token` is another one there"),
            USAGE,
        )),
        status => Err(failed(&format!(
            "it answers {status}: is it an instance of this version?"
        ))),
    }
}

/// What is asked for, of each instance.
fn chosen(found: &[(String, Value)], args: &ShowArgs) -> Vec<Value> {
    let is = |value: &Value, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| value.as_str() == Some(wanted))
    };
    let mut shown = Vec::new();
    for (instance, report) in found {
        let pipelines = list(&report["pipelines"]).iter();
        let pipelines = pipelines.filter(|one| is(&one["pipeline"], &args.pipeline));
        let pipelines = pipelines.cloned().map(|mut pipeline| {
            if let Some(topics) = pipeline["topics"].as_array_mut() {
                topics.retain(|topic| is(&topic["topic"], &args.topic));
                for topic in topics {
                    if let Some(fields) = topic["fields"].as_array_mut() {
                        fields.retain(|field| !args.drifting || !field["drifts"].is_null());
                    }
                }
            }
            pipeline
        });
        let pipelines: Vec<Value> = pipelines.collect();
        shown.push(json!({ "instance": instance, "pipelines": pipelines }));
    }
    shown
}

/// Whether a field drifts that the baseline does not let be.
fn drifts(instance: &Value) -> bool {
    let pipelines = list(&instance["pipelines"]).iter();
    let topics = pipelines.flat_map(|pipeline| list(&pipeline["topics"]));
    let mut fields = topics.flat_map(|topic| list(&topic["fields"]));
    fields.any(|field| !field["drifts"].is_null() && field["then"] != "allow")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn table(instances: &[Value]) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _infallible = write(&mut out, instances);
    out
}

fn write(out: &mut String, instances: &[Value]) -> std::fmt::Result {
    let mut any = false;
    for instance in instances {
        for pipeline in list(&instance["pipelines"]) {
            for topic in list(&pipeline["topics"]) {
                if std::mem::replace(&mut any, true) {
                    writeln!(out)?;
                }
                head(out, instance, pipeline, topic)?;
                let rows: Vec<[String; 7]> = list(&topic["fields"]).iter().map(row).collect();
                write_rows(out, &rows)?;
            }
        }
    }
    if !any {
        writeln!(
            out,
            "no values have been looked at yet: a pipeline needs `contract.baseline`, and records"
        )?;
    }
    Ok(())
}

fn head(out: &mut String, instance: &Value, pipeline: &Value, topic: &Value) -> std::fmt::Result {
    let (records, windows) = (&topic["records"], &topic["windows"]);
    write!(
        out,
        "{}, {} on {}, schema {}: ",
        text(&pipeline["pipeline"]),
        text(&topic["topic"]),
        text(&instance["instance"]),
        topic["schema_id"]
    )?;
    match windows.as_u64() {
        Some(0) | None => writeln!(out, "{records} records, and no window yet"),
        _ => writeln!(
            out,
            "{records} records from {} to {}, window {windows}",
            text(&topic["from"]),
            text(&topic["until"])
        ),
    }
}

const HEAD: [&str; 7] = ["FIELD", "THEN", "NULLS", "NOW", "TOP", "WINDOWS", "DRIFT"];

fn row(field: &Value) -> [String; 7] {
    let percent = |part: &Value| {
        part.as_f64()
            .map_or_else(String::new, |part| format!("{}%", short(part * 100.0)))
    };
    let now = match (field["figure"].as_str(), field["found"].as_f64()) {
        (Some(name), Some(found)) => format!("{name} {}", short(found)),
        _ => String::new(),
    };
    let top = &field["top"];
    let top = match top["value"].as_str() {
        Some(value) => format!("{} {}", shortened(value), percent(&top["part"])),
        None => String::new(),
    };
    let past = &field["past"];
    let figures: Vec<Option<f64>> = list(&past["figures"]).iter().map(Value::as_f64).collect();
    let nulls: Vec<Option<f64>> = list(&past["nulls"]).iter().map(Value::as_f64).collect();
    let line = match figures.iter().any(Option::is_some) {
        true => sparkline(&figures),
        false => sparkline(&nulls),
    };
    let tests = list(&field["drifts"]["tests"]).iter();
    let tests = tests.map(|test| {
        let number = |name: &str| short(test[name].as_f64().unwrap_or_default());
        format!(
            "{} {} > {}: {}",
            text(&test["test"]),
            number("found"),
            number("limit"),
            text(&test["what"])
        )
    });
    let drift: Vec<String> = tests.collect();
    [
        text(&field["field"]).to_owned(),
        text(&field["then"]).to_owned(),
        percent(&field["nulls"]),
        now,
        top,
        line,
        drift.join("; "),
    ]
}

/// One sign for each window, from the least to the greatest of them; the same everywhere is the lowest line.
fn sparkline(figures: &[Option<f64>]) -> String {
    const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || figures.iter().flatten().copied();
    let (least, most) = (
        known().fold(f64::INFINITY, f64::min),
        known().fold(f64::NEG_INFINITY, f64::max),
    );
    let sign = |figure: &Option<f64>| match figure {
        None => ' ',
        Some(_) if most <= least => SIGNS[0],
        Some(figure) => {
            let step = (figure - least) / (most - least) * 7.0;
            let place = (0..SIGNS.len()).find(|place| step <= *place as f64 + 0.5);
            SIGNS[place.unwrap_or(SIGNS.len() - 1)]
        }
    };
    figures.iter().map(sign).collect()
}

fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{number:.2e}"),
        size if size >= 100.0 || number.fract() == 0.0 => format!("{number:.0}"),
        size if size >= 1.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}

fn shortened(value: &str) -> String {
    let printable: String = value.chars().filter(|c| !c.is_control()).collect();
    match printable.char_indices().nth(16) {
        Some((end, _)) => format!("{}…", &printable[..end]),
        None => printable,
    }
}

fn write_rows(out: &mut String, rows: &[[String; 7]]) -> std::fmt::Result {
    let head = HEAD.map(str::to_owned);
    let lines: Vec<&[String; 7]> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    for line in lines {
        let mut text = String::from("  ");
        for (cell, width) in line.iter().zip(&widths) {
            write!(text, "{cell:<width$}  ")?;
        }
        text.push_str(&line[6]);
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, drifts: Value) -> Value {
        json!({
            "field": name, "then": "warn", "nulls": 0.015, "figure": "median", "found": 61.25,
            "top": { "value": "Shipped and on its way", "part": 0.25 }, "drifts": drifts,
            "past": { "nulls": [0.0, 0.01], "figures": [10.0, null, 20.0, 13.0] },
        })
    }

    fn report(fields: &[Value]) -> Vec<(String, Value)> {
        let topic = json!({
            "topic": "orders", "schema_id": 7, "windows": 4, "records": 2000, "from": "A", "until": "B", "fields": fields,
        });
        let pipeline = json!({ "pipeline": "clean", "topics": [topic] });
        vec![("http://gate".to_owned(), json!({ "pipelines": [pipeline] }))]
    }

    fn args(drifting: bool) -> ShowArgs {
        ShowArgs {
            pipeline: None,
            config: PathBuf::new(),
            instance: Vec::new(),
            topic: None,
            drifting,
            output: Output::Table,
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_field_with_its_last_windows() {
        let test = json!({ "test": "numbers", "found": 0.97, "limit": 0.21, "what": "the median is 6100" });
        let drifted = field("amount", json!({ "tests": [test] }));
        let found = report(&[drifted, field("status", Value::Null)]);
        let shown = chosen(&found, &args(false));
        let expect = "\
clean, orders on http://gate, schema 7: 2000 records from A to B, window 4
  FIELD   THEN  NULLS  NOW          TOP                    WINDOWS  DRIFT
  amount  warn  1.5%   median 61.2  Shipped and on i… 25%  ▁ █▃     numbers 0.970 > 0.210: the median is 6100
  status  warn  1.5%   median 61.2  Shipped and on i… 25%  ▁ █▃
";
        assert_eq!(table(&shown), expect);
        assert!(drifts(&shown[0]));
        let shown = chosen(&found, &args(true));
        assert!(!table(&shown).contains("status") && table(&shown).contains("amount"));
        let quiet = chosen(&report(&[field("status", Value::Null)]), &args(true));
        assert!(!drifts(&quiet[0]));
    }

    #[test]
    fn sparklines_go_from_the_least_to_the_greatest() {
        let line = |figures: &[f64]| {
            let figures: Vec<Option<f64>> = figures.iter().copied().map(Some).collect();
            sparkline(&figures)
        };
        assert_eq!(line(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), "▁▂▃▄▅▆▇█");
        assert_eq!(line(&[5.0, 5.0]), "▁▁");
        assert_eq!(line(&[-1e9, 1e9, f64::MAX]), "▁▁█");
        assert_eq!(line(&[]), "");
    }
}
