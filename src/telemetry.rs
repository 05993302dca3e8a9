//! Logs: on stderr, as text for a person or as one JSON object a line with flat fields for a collector. Results of
//! commands go to stdout and never pass here.

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::FatalError;

/// `--log-format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For a person; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up logging for the process; call it once, before anything logs. `level` is a level (`info`), which means
/// ours and, of libraries, warnings; or directives as `RUST_LOG` takes them, which wins over it when set.
///
/// # Errors
/// [`FatalError::Start`] if `level` or `RUST_LOG` does not parse, or logging was set up before.
pub fn init(format: LogFormat, level: &str) -> Result<(), FatalError> {
    let rust_log = std::env::var("RUST_LOG").ok();
    let filter = filter(level, rust_log.as_deref())?;
    // This also takes in what libraries say through the `log` crate.
    subscriber(format, filter, coloured(), stderr)
        .try_init()
        .map_err(|error| FatalError::Start(format!("logging could not be set up: {error}")))
}

/// Whether stderr is a terminal that shows colours, and nobody has forbidden them with `NO_COLOR`.
pub fn coloured() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(level: &str, rust_log: Option<&str>) -> Result<EnvFilter, FatalError> {
    let (origin, directives) = match rust_log.map(str::trim) {
        Some(directives) if !directives.is_empty() => ("RUST_LOG", directives.to_owned()),
        _ => ("--log-level", directives(level)),
    };
    EnvFilter::try_new(&directives).map_err(|error| {
        FatalError::Start(format!(
            "{origin} `{directives}` is neither a level (error, warn, info, debug, trace, off) nor a list of directives such as `warn,driftgate=debug`: {error}"
        ))
    })
}

/// A bare level speaks of Driftgate: `debug` should not bring every HTTP frame along.
fn directives(level: &str) -> String {
    match level.trim().parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::WARN => format!("warn,driftgate={level}"),
        Ok(level) => level.to_string(),
        Err(_) => level.to_owned(),
    }
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer);
    match format {
        LogFormat::Text => Box::new(builder.with_target(false).finish()),
        LogFormat::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        ),
    }
}

/// Runs `act` and returns what it logged, one JSON object a line. For tests of modules that log.
#[cfg(test)]
pub(crate) fn captured(act: impl FnOnce()) -> Vec<serde_json::Value> {
    tests::capture(LogFormat::Json, "trace", act)
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is one JSON object"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn capture(format: LogFormat, level: &str, act: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = filter(level, None).expect("a level");
        let subscriber = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, act);
        let bytes = buffer.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text = capture(LogFormat::Json, "info", || {
            let span = tracing::info_span!("batch", worker = 3);
            let _entered = span.enter();
            tracing::warn!(
                pipeline = "gate",
                partition = 2,
                missing = None::<u32>,
                "first\nfailure \"x\""
            );
            tracing::info!("second");
        });
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["message"], "first\nfailure \"x\"");
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["pipeline"], "gate");
        assert_eq!(lines[0]["partition"], 2);
        let object = lines[0].as_object().expect("an object");
        let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "level",
                "message",
                "partition",
                "pipeline",
                "target",
                "timestamp"
            ]
        );
    }

    #[test]
    fn text_is_for_a_person() {
        let text = capture(LogFormat::Text, "info", || {
            tracing::info!(pipeline = "gate", "joined");
        });
        assert!(text.ends_with(" INFO joined pipeline=\"gate\"\n"), "{text}");
    }

    #[test]
    fn a_bare_level_is_about_driftgate() {
        let check = |level: &str, expect: &[&str]| {
            let text = capture(LogFormat::Json, level, || {
                tracing::debug!(target: "driftgate::worker", "our debug");
                tracing::info!(target: "driftgate", "our info");
                tracing::error!(target: "driftgate", "our error");
                tracing::info!(target: "hyper", "library info");
                tracing::warn!(target: "librdkafka", "library warning");
            });
            let told: Vec<String> = text
                .lines()
                .map(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    line["message"].as_str().expect("text").to_owned()
                })
                .collect();
            assert_eq!(told, expect, "{level}");
        };
        check("info", &["our info", "our error", "library warning"]);
        check(
            "DEBUG",
            &["our debug", "our info", "our error", "library warning"],
        );
        check("warn", &["our error", "library warning"]);
        check("error", &["our error"]);
        check("off", &[]);
        check("hyper=info", &["library info"]);
    }

    #[test]
    fn rust_log_wins_and_faults_name_their_origin() {
        let of =
            |level: &str, rust_log: Option<&str>| filter(level, rust_log).map(|f| f.to_string());
        assert_eq!(
            of("info", Some("hyper=trace")).expect("valid"),
            "hyper=trace"
        );
        assert_eq!(of("error", Some("  ")).expect("valid"), "error");
        let fault = of("info", Some("driftgate=loud")).expect_err("no such level");
        assert!(
            fault
                .to_string()
                .starts_with("RUST_LOG `driftgate=loud` is neither"),
            "{fault}"
        );
        let fault = of("driftgate=loud", None).expect_err("no such level");
        assert!(
            fault
                .to_string()
                .starts_with("--log-level `driftgate=loud` is neither"),
            "{fault}"
        );
    }
}
