//! What a part of the benchmark came to, apart from the comparison of `report`: figures with their bounds first, then
//! tables, as a table, as JSON and as a section of the page. Pure.

use serde::Serialize;

use super::ground::Place;
use super::machine::Machine;
use super::text::{columns, line, markdown};

/// Which part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Workers, partitions, instances.
    Scale,
    /// 1,000 partitions, 100 topics, 10,000 schema ids.
    Wide,
    /// Ten times the rate for a while.
    Burst,
    /// A long backlog, and a long time.
    Soak,
    /// Nothing to do.
    Idle,
    /// From the process's start to its first record.
    Start,
}

impl Part {
    /// All, in the order of the page.
    pub const ALL: [Part; 6] = [
        Part::Scale,
        Part::Wide,
        Part::Burst,
        Part::Soak,
        Part::Idle,
        Part::Start,
    ];

    /// Its name, as in `driftgate bench NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Scale => "scale",
            Part::Wide => "wide",
            Part::Burst => "burst",
            Part::Soak => "soak",
            Part::Idle => "idle",
            Part::Start => "start",
        }
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Part::Scale => "Workers, partitions, instances",
            Part::Wide => "Many partitions, topics and schemas",
            Part::Burst => "A burst",
            Part::Soak => "A backlog, and a long time",
            Part::Idle => "Nothing to do",
            Part::Start => "Start",
        }
    }
}

/// A figure, and the most that it may be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name in the JSON.
    #[serde(skip)]
    pub key: &'static str,
    /// What it is, with its unit.
    pub what: String,
    /// `None` where it could not be measured.
    pub measured: Option<f64>,
    /// What it must not exceed; `None` where it is only reported.
    pub at_most: Option<f64>,
}

impl Figure {
    /// One with a bound.
    pub fn bound(key: &'static str, what: &str, measured: f64, at_most: f64) -> Figure {
        Figure {
            at_most: Some(at_most),
            ..Figure::reported(key, what, measured)
        }
    }

    /// One that is only reported.
    pub fn reported(key: &'static str, what: &str, measured: f64) -> Figure {
        Figure {
            key,
            what: what.to_owned(),
            measured: measured.is_finite().then(|| (measured * 1e4).round() / 1e4),
            at_most: None,
        }
    }

    /// Whether it holds; `None` where there is nothing to hold.
    pub fn holds(&self) -> Option<bool> {
        Some(self.measured? <= self.at_most?)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The names of its columns.
    pub head: Vec<&'static str>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

/// What a part came to.
#[derive(Debug, Clone)]
pub struct Section {
    /// Which part.
    pub part: Part,
    /// Whether every output is right.
    pub verified: bool,
    /// What is wrong with outputs.
    pub findings: Vec<String>,
    /// Figures, the ratios first.
    pub figures: Vec<Figure>,
    /// Tables.
    pub tables: Vec<Table>,
    /// How it was measured.
    pub method: String,
    /// All that was measured, for the JSON.
    pub raw: serde_json::Value,
}

/// Where and when a part ran.
#[derive(Debug, Clone, Serialize)]
pub struct Circumstances {
    /// Day of the run.
    pub date: String,
    /// What it ran on.
    pub machine: Machine,
    /// Seed of the input.
    pub seed: u64,
    /// The command, without where the broker is.
    pub command: String,
}

impl Circumstances {
    /// Of this machine, whose system is this.
    pub fn look(place: &Place, system: String, date: String, command: String) -> Circumstances {
        Circumstances {
            date,
            machine: Machine::look(system, place.broker_name.clone()),
            seed: place.seed,
            command,
        }
    }
}

impl Section {
    /// Whether nothing exceeds its bound and every output is right.
    pub fn holds(&self) -> bool {
        self.verified
            && self
                .figures
                .iter()
                .all(|figure| figure.holds() != Some(false))
    }

    fn warnings(&self, around: &Circumstances) -> Vec<&'static str> {
        let not_verified =
            "NOT VERIFIED: the outputs are not what they must be, and the figures say nothing.";
        let debug = "A debug build: its figures say nothing. Use a release build.";
        let mut all = Vec::new();
        all.extend((!self.verified).then_some(not_verified));
        all.extend((around.machine.build == "debug").then_some(debug));
        all
    }

    fn figure_rows(&self) -> Vec<Vec<String>> {
        let row = |figure: &Figure| {
            let none = || "not measured".to_owned();
            vec![
                figure.what.clone(),
                figure.measured.map_or_else(none, short),
                figure
                    .at_most
                    .map_or("reported".to_owned(), |bound| format!("≤ {bound}")),
                match figure.holds() {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "",
                }
                .to_owned(),
            ]
        };
        self.figures.iter().map(row).collect()
    }

    fn all_tables(&self) -> Vec<Table> {
        let figures = Table {
            head: vec!["", "measured", "must be", "holds"],
            rows: self.figure_rows(),
        };
        let mut all = vec![figures];
        all.extend(self.tables.iter().cloned());
        all
    }

    /// For a person.
    pub fn table(&self, around: &Circumstances) -> String {
        let mut out = String::new();
        for warning in self.warnings(around) {
            line(&mut out, &format!("{warning}\n"));
        }
        for table in self.all_tables() {
            let head = table.head.iter().map(|cell| (*cell).to_owned()).collect();
            columns(&mut out, std::iter::once(head).chain(table.rows));
            out.push('\n');
        }
        line(&mut out, &self.method);
        for finding in &self.findings {
            line(&mut out, finding);
        }
        out
    }

    /// As one object.
    pub fn json(&self, around: &Circumstances) -> serde_json::Value {
        let figures: serde_json::Map<String, serde_json::Value> = self
            .figures
            .iter()
            .map(|figure| {
                let value = serde_json::json!({
                    "what": figure.what,
                    "measured": figure.measured,
                    "at_most": figure.at_most,
                    "holds": figure.holds(),
                });
                (figure.key.to_owned(), value)
            })
            .collect();
        serde_json::json!({
            "part": self.part,
            "figures": figures,
            "holds": self.holds(),
            "verified": self.verified,
            "findings": self.findings,
            "date": around.date,
            "machine": around.machine,
            "seed": around.seed,
            "command": around.command,
            "raw": self.raw,
        })
    }

    /// As a section of the page.
    pub fn markdown(&self, around: &Circumstances) -> String {
        let mut out = String::new();
        line(&mut out, &format!("## {}\n", self.part.title()));
        for warning in self.warnings(around) {
            line(&mut out, &format!("**{warning}**\n"));
        }
        for table in self.all_tables() {
            markdown(&mut out, &table.head, &table.rows);
            out.push('\n');
        }
        let (machine, date, command) = (&around.machine, &around.date, &around.command);
        line(
            &mut out,
            &format!(
                "{}\n\n{}\n\n    {command}",
                self.method,
                machine.sentence(date)
            ),
        );
        out
    }
}

/// With as many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Bytes as MB of a million bytes.
pub fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e5).round() / 10.0
}

/// The value in the middle; 0 for none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        even if even.is_multiple_of(2) => f64::midpoint(values[even / 2 - 1], values[even / 2]),
        odd => values[odd / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Circumstances {
        Circumstances {
            date: "2026-01-01".into(),
            machine: Machine {
                cpu: "a processor".into(),
                cores: 2,
                memory_gib: 8.0,
                system: "linux x86_64".into(),
                driftgate: "1".into(),
                build: "release".into(),
                librdkafka: "2".into(),
                broker: None,
            },
            seed: 7,
            command: "driftgate bench idle".into(),
        }
    }

    fn section() -> Section {
        Section {
            part: Part::Idle,
            verified: true,
            findings: Vec::new(),
            figures: vec![
                Figure::bound("cpu_percent", "CPU, percent of a core", 0.31234, 0.5),
                Figure::reported("memory_mb", "memory, MB", 23.46),
                Figure::reported("wakes", "wake-ups a second", f64::NAN),
            ],
            tables: vec![Table {
                head: vec!["threads", "CPU %"],
                rows: vec![vec!["main".into(), "0.1".into()]],
            }],
            method: "One instance.".into(),
            raw: serde_json::json!({"a": 1}),
        }
    }

    #[test]
    fn figures_come_first_and_say_what_they_may_be() {
        insta::assert_snapshot!("table", section().table(&around()));
        insta::assert_snapshot!("page", section().markdown(&around()));
        let json = section().json(&around());
        assert_eq!(json["figures"]["cpu_percent"]["measured"], 0.3123);
        assert_eq!(json["figures"]["cpu_percent"]["holds"], true);
        assert_eq!(
            json["figures"]["wakes"]["measured"],
            serde_json::Value::Null
        );
        assert_eq!(
            (&json["part"], &json["holds"]),
            (&"idle".into(), &true.into())
        );
    }

    #[test]
    fn what_exceeds_its_bound_or_does_not_verify_does_not_hold() {
        let mut above = section();
        above.figures[0].measured = Some(0.6);
        assert!(!above.holds());
        assert!(above.table(&around()).contains("no"));
        let mut wrong = section();
        (wrong.verified, wrong.findings) = (false, vec!["t-0@7 is there twice".into()]);
        assert!(!wrong.holds());
        let text = wrong.table(&around());
        assert!(
            text.contains("NOT VERIFIED") && text.contains("t-0@7"),
            "{text}"
        );
        assert!(section().holds());
    }

    #[test]
    fn the_middle_of_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
