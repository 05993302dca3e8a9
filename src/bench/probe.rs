//! What another process uses, as the kernel tells it: processor time and wake-ups of each of its threads, and its memory.
//! Nobody is asked who would have to wake up for an answer. Linux alone has these files; elsewhere there is no answer.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a thread has used since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// Processor time.
    pub cpu: Duration,
    /// How often it went to sleep by itself: as often it was woken.
    pub waits: u64,
}

/// The threads of a process, by their number.
pub type Threads = BTreeMap<u32, Thread>;

/// The threads of a process; `None` where the kernel does not tell.
pub fn threads(process: u32) -> Option<Threads> {
    let mut all = Threads::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let path = entry.ok()?.path();
        let read = |file: &str| std::fs::read_to_string(path.join(file));
        let number = path.file_name()?.to_str()?.parse().ok()?;
        // One that has ended since the folder was read is none.
        let (Ok(name), Ok(times), Ok(status)) = (read("comm"), read("schedstat"), read("status"))
        else {
            continue;
        };
        let nanos = times.split(' ').next()?.trim().parse().ok()?;
        let thread = Thread {
            name: name.trim().to_owned(),
            cpu: Duration::from_nanos(nanos),
            waits: field(&status, "voluntary_ctxt_switches:").unwrap_or(0),
        };
        all.insert(number, thread);
    }
    Some(all)
}

/// Memory of a process, in bytes: what is resident now, and the most that ever was.
pub fn memory(process: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = |name| field(&status, name);
    Some((kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What threads of one name used in a window.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Share {
    /// Their name. A number behind it, as of librdkafka's brokers, is left out.
    pub name: String,
    /// How many there are.
    pub threads: usize,
    /// Processor time, in percent of one core.
    pub cpu_percent: f64,
    /// Wake-ups in a second.
    pub wakes_per_second: f64,
}

/// What each kind of thread used between two looks, the most expensive first. Threads that came since began at nothing.
pub fn shares(before: &Threads, after: &Threads, window: Duration) -> Vec<Share> {
    let mut kinds: BTreeMap<&str, (usize, Duration, u64)> = BTreeMap::new();
    for (number, thread) in after {
        let (cpu, waits) = match before.get(number) {
            Some(before) => (before.cpu, before.waits),
            None => (Duration::ZERO, 0),
        };
        let name = thread.name.trim_end_matches(|of: char| of.is_ascii_digit());
        let kind = kinds.entry(name).or_default();
        kind.0 += 1;
        kind.1 += thread.cpu.saturating_sub(cpu);
        kind.2 += thread.waits.saturating_sub(waits);
    }
    let seconds = window.as_secs_f64().max(1e-9);
    let share = |(name, (threads, cpu, waits)): (&str, (usize, Duration, u64))| Share {
        name: name.trim_end_matches('-').to_owned(),
        threads,
        cpu_percent: 100.0 * cpu.as_secs_f64() / seconds,
        wakes_per_second: waits as f64 / seconds,
    };
    let mut all: Vec<Share> = kinds.into_iter().map(share).collect();
    all.sort_by(|one, other| other.cpu_percent.total_cmp(&one.cpu_percent));
    all
}

/// Processor time of all threads together.
pub fn cpu(threads: &Threads) -> Duration {
    threads.values().map(|thread| thread.cpu).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(name: &str, millis: u64, waits: u64) -> Thread {
        Thread {
            name: name.to_owned(),
            cpu: Duration::from_millis(millis),
            waits,
        }
    }

    #[test]
    fn threads_of_one_kind_are_one_share_and_new_ones_begin_at_nothing() {
        let before = Threads::from([
            (1, thread("driftgate", 100, 5)),
            (2, thread("rdk:broker1", 10, 10)),
        ]);
        let after = Threads::from([
            (1, thread("driftgate", 100, 5)),
            (2, thread("rdk:broker1", 30, 30)),
            (3, thread("rdk:broker2", 20, 20)),
        ]);
        let shares = shares(&before, &after, Duration::from_secs(2));
        assert_eq!(shares[0].name, "rdk:broker");
        assert_eq!((shares[0].threads, shares[0].wakes_per_second), (2, 20.0));
        assert!((shares[0].cpu_percent - 2.0).abs() < 1e-9);
        assert_eq!(
            (shares[1].cpu_percent, shares[1].wakes_per_second),
            (0.0, 0.0)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_threads_that_work_and_memory() {
        let process = std::process::id();
        let first = threads(process).expect("threads");
        let mut sum = 0u64;
        while cpu(&threads(process).expect("threads")) < cpu(&first) + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let (now, peak) = memory(process).expect("memory");
        assert!(now > 0 && peak >= now, "{now} {peak} {sum}");
        assert_eq!(threads(u32::MAX), None);
    }
}
