//! The status line: one line every ten seconds for whoever watches a terminal. It says the same as the metrics, for
//! eyes; machines read `/metrics`.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Readiness};
use crate::metrics::{Metrics, Totals};
use crate::telemetry::LogFormat;
use crate::words::grouped;

/// Often enough to watch, seldom enough to scroll by.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// Prints the line on stderr until `shutdown`; `None` where nobody is to see it.
pub fn spawn(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    format: LogFormat,
    shutdown: CancellationToken,
) -> Option<JoinHandle<()>> {
    is_wanted(stderr().is_terminal(), format).then(|| {
        let print = |line: &str| eprintln!("{line}");
        tokio::spawn(run(metrics, health, shutdown, INTERVAL, print))
    })
}

/// Only on a terminal, and never between lines of JSON: who asked for those reads them with a program.
fn is_wanted(terminal: bool, format: LogFormat) -> bool {
    terminal && format == LogFormat::Text
}

async fn run(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
    interval: Duration,
    mut print: impl FnMut(&str),
) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    // A late tick is no reason for two lines at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = (Instant::now(), metrics.totals());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let after = (Instant::now(), metrics.totals());
        let elapsed = after.0.duration_since(before.0);
        print(&line(&before.1, &after.1, elapsed, &health.readiness()));
        before = after;
    }
}

/// The line: rates since `prev`, then how much waits, then whether all is well. Outcomes at zero, other than emitted,
/// are left out.
pub fn line(prev: &Totals, now: &Totals, elapsed: Duration, readiness: &Readiness) -> String {
    let per_second = |before: u64, after: u64| {
        rate(after.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001))
    };
    let mut line = format!(
        "{} read/s, {} emitted/s",
        per_second(prev.read, now.read),
        per_second(prev.emitted, now.emitted)
    );
    let others = [
        ("filtered", prev.filtered, now.filtered),
        ("duplicate", prev.duplicate, now.duplicate),
        ("stale", prev.stale, now.stale),
        ("retried", prev.retried, now.retried),
        ("dead-lettered", prev.dead_lettered, now.dead_lettered),
    ];
    for (outcome, before, after) in others {
        if after > before {
            append(
                &mut line,
                format_args!(", {} {outcome}/s", per_second(before, after)),
            );
        }
    }
    append(
        &mut line,
        format_args!(
            " · lag {} · in flight {} · retries pending {}",
            grouped(now.lag),
            grouped(now.in_flight),
            grouped(now.retries_pending)
        ),
    );
    if readiness.paused > 0 {
        let paused = grouped(readiness.paused as u64);
        append(&mut line, format_args!(" · {paused} paused"));
    }
    match readiness.reasons.as_slice() {
        [] => line.push_str(" · ready"),
        [reason] => append(&mut line, format_args!(" · not ready: {reason}")),
        [reason, more @ ..] => {
            let more = more.len();
            append(
                &mut line,
                format_args!(" · not ready: {reason} (and {more} more)"),
            );
        }
    }
    // What a dependency answered may hold a line break.
    line.replace(['\n', '\r'], " ")
}

fn append(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text)
        .expect("writing to a string does not fail");
}

/// Whole numbers from ten on; below, one decimal; and never zero for something that happened.
fn rate(per_second: f64) -> String {
    if per_second >= 10.0 {
        grouped(per_second.round() as u64)
    } else if per_second > 0.0 && per_second < 0.05 {
        "<0.1".to_owned()
    } else if per_second == 0.0 {
        "0".to_owned()
    } else {
        format!("{per_second:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let check = |per_second: f64, expect: &str| assert_eq!(rate(per_second), expect);
        check(0.0, "0");
        check(0.01, "<0.1");
        check(0.25, "0.2");
        check(9.96, "10.0");
        check(12_345.6, "12,346");
    }

    #[test]
    fn only_for_eyes() {
        let wanted = [true, false].map(|terminal| {
            [LogFormat::Text, LogFormat::Json].map(|format| is_wanted(terminal, format))
        });
        assert_eq!(wanted, [[true, false], [false, false]]);
    }

    #[test]
    fn lines() {
        let ready = Readiness {
            ready: true,
            ..Readiness::default()
        };
        let check = |prev: Totals, now: Totals, readiness: &Readiness, expect: &str| {
            assert_eq!(
                line(&prev, &now, Duration::from_secs(10), readiness),
                expect
            );
        };
        let none = Totals::default();
        check(
            none,
            none,
            &ready,
            "0 read/s, 0 emitted/s · lag 0 · in flight 0 · retries pending 0 · ready",
        );
        let prev = Totals {
            read: 1_000,
            emitted: 1_000,
            dead_lettered: 4,
            ..none
        };
        let now = Totals {
            read: 124_450,
            emitted: 124_400,
            filtered: 2,
            retried: 21,
            dead_lettered: 4,
            in_flight: 23,
            lag: 5_120,
            retries_pending: 21,
            ..none
        };
        check(
            prev,
            now,
            &ready,
            "12,345 read/s, 12,340 emitted/s, 0.2 filtered/s, 2.1 retried/s · lag 5,120 · in flight 23 · retries pending 21 · ready",
        );
        let paused = Readiness {
            ready: false,
            reasons: vec!["registry is unavailable:\ntimed out".into(), "other".into()],
            degraded: Vec::new(),
            paused: 4,
        };
        check(
            now,
            now,
            &paused,
            "0 read/s, 0 emitted/s · lag 5,120 · in flight 23 · retries pending 21 · 4 paused · not ready: registry is unavailable: timed out (and 1 more)",
        );
    }

    #[test]
    fn no_time_is_no_division_by_zero() {
        let now = Totals {
            read: 1,
            ..Totals::default()
        };
        let line = line(
            &Totals::default(),
            &now,
            Duration::ZERO,
            &Readiness::default(),
        );
        assert!(line.starts_with("1,000 read/s"), "{line}");
    }

    #[tokio::test]
    async fn the_task_tells_what_changed_and_ends_at_shutdown() {
        let metrics = Metrics::new();
        let health = Health::new();
        let shutdown = CancellationToken::new();
        let (sender, mut lines) = tokio::sync::mpsc::channel(1000);
        let task = tokio::spawn(run(
            Arc::clone(&metrics),
            Arc::clone(&health),
            shutdown.clone(),
            Duration::from_millis(5),
            move |line| sender.try_send(line.to_owned()).expect("the test listens"),
        ));
        let handles = metrics.partition("gate", "orders", 0);
        handles.set_lag(7);
        let deadline = Duration::from_secs(10);
        let seen = tokio::time::timeout(deadline, async {
            while let Some(line) = lines.recv().await {
                if line.contains("lag 7 ") {
                    return line;
                }
            }
            panic!("the task ended");
        })
        .await
        .expect("a line in time");
        assert!(seen.ends_with("not ready: starting: starting"), "{seen}");
        shutdown.cancel();
        tokio::time::timeout(deadline, task)
            .await
            .expect("ends at shutdown")
            .expect("no panic");
    }
}
