//! What this process has used of the machine, as the kernel tells it.

use std::mem::MaybeUninit;
use std::time::Duration;

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all its threads, in user and system mode.
    pub cpu: Duration,
    /// The most memory that it had resident at any time, in bytes.
    pub peak_memory: u64,
}

/// Of this process.
pub fn usage() -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the structure, all of whose fields are integers: zeros are valid, should it refuse.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    Usage {
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_memory: peak_of_status().unwrap_or_else(|| peak_of(usage.ru_maxrss)),
    }
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ from system to system"
)]
fn duration(time: libc::timeval) -> Duration {
    let micros = (time.tv_sec as i64) * 1_000_000 + time.tv_usec as i64;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Linux counts what the parent had before `exec` into `ru_maxrss`, and not into this.
fn peak_of_status() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn peak_of(maxrss: libc::c_long) -> u64 {
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    u64::try_from(maxrss).unwrap_or(0) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_are_counted() {
        let before = usage();
        let mut sum = 0u64;
        while usage().cpu < before.cpu + Duration::from_millis(20) {
            for number in 0..100_000u64 {
                sum = std::hint::black_box(sum.wrapping_add(number * number));
            }
        }
        let large = std::hint::black_box(vec![sum as u8 | 1; 64 << 20]);
        let after = usage();
        assert!(after.cpu >= before.cpu + Duration::from_millis(20));
        assert!(after.peak_memory >= large.len() as u64, "{after:?}");
    }
}
