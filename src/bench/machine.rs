//! What the benchmark ran on, as far as somebody has to know who compares figures: no names, no paths.

use serde::Serialize;

/// A machine and what ran on it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's model, as the kernel names it.
    pub cpu: String,
    /// Its cores, as far as this process may use them.
    pub cores: usize,
    /// Memory, in GiB.
    pub memory_gib: f64,
    /// The system, such as `linux x86_64`.
    pub system: String,
    /// Driftgate's version.
    pub driftgate: String,
    /// How it was built: `release` or `debug`, which says nothing of its speed.
    pub build: String,
    /// librdkafka's version.
    pub librdkafka: String,
    /// The broker, as the caller names it.
    pub broker: Option<String>,
}

impl Machine {
    /// This one, of that system.
    pub fn look(system: String, broker: Option<String>) -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.strip_suffix("kB")?.trim().parse::<f64>().ok());
        let build = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        Machine {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib.unwrap_or(0.0) / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            system,
            driftgate: env!("CARGO_PKG_VERSION").to_owned(),
            build: build.to_owned(),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            broker,
        }
    }

    /// In words, with the day.
    pub fn sentence(&self, date: &str) -> String {
        let Machine {
            cpu,
            cores,
            memory_gib,
            system,
            driftgate,
            librdkafka,
            broker,
            ..
        } = self;
        let broker = broker.as_deref().unwrap_or("a broker that was not named");
        format!(
            "Run on {date}: {cpu}, {cores} cores, {memory_gib} GiB, {system}; Driftgate {driftgate}, librdkafka {librdkafka}, {broker} on the same machine."
        )
    }
}
