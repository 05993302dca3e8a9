//! What `dedup` costs with many keys: a partition whose window is full, whose parts expire, and of whose records one of a hundred is
//! a copy. Each record is asked about as often as a worker asks, and committed with ten thousand others; every answer is
//! compared. Prints time and memory of a record, and with a disk what a restart takes.
//!
//! `cargo bench --bench state -- [memory|disk] [KEYS] [FOLDER]`, 50 million on disk if nothing is said; the folder should not be in
//! memory. Takes some minutes and, on disk, 3 GB.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark prints what it has measured"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use driftgate::state::block::Names;
use driftgate::state::digest::Digest;
use driftgate::state::disk::folder::StateDir;
use driftgate::state::disk::manifest::Anchor;
use driftgate::state::memory::{Memory, Notes, Part};
use driftgate::state::noted::{Note, Noted, Once};
use driftgate::state::seen::{Room, Window};

/// Records of a commit.
const COMMIT: u64 = 10_000;
/// One of so many is a copy.
const COPIES: u64 = 100;

/// A hash without its costs, of which a key has 16 bytes as well.
fn mixed(mut number: u64) -> u64 {
    number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn digest(key: u64) -> Digest {
    let halves = [mixed(key), mixed(key ^ 0x5555_5555_5555_5555)];
    let mut bytes = [0; Digest::LEN];
    bytes[..8].copy_from_slice(&halves[0].to_le_bytes());
    bytes[8..].copy_from_slice(&halves[1].to_le_bytes());
    Digest::from_bytes(bytes)
}

/// A partition.
struct Run {
    memory: Memory,
    names: Names,
    notes: Notes,
    /// The next offset of the source, and of the state topic.
    next: u64,
    offset: i64,
    /// Copies that were found.
    copies: u64,
}

impl Run {
    /// Takes so many records. `keys` are in the window for sure.
    fn take(&mut self, records: u64, keys: u64) {
        for _ in 0..records / COMMIT {
            for _ in 0..COMMIT {
                let offset = self.next;
                self.next += 1;
                self.memory.comes_to(offset as i64, i64::MAX);
                let seen = self.memory.seen.as_ref().expect("it is kept");
                // A record's offset says which key it has, so that nothing has to be remembered of it here.
                let before = mixed(offset) % keys.max(1);
                let older = self.next.saturating_sub(COMMIT + 1 + before);
                let is_copy = offset % COPIES == COPIES - 1 && older > 0 && keys > 0;
                let of = if is_copy {
                    older - older % COPIES
                } else {
                    offset
                };
                let digest = digest(of);
                for _ in 0..2 {
                    let found = seen.find(digest).map(|(position, _)| position);
                    assert_eq!(found, is_copy.then_some(of as i64), "record {offset}");
                }
                if is_copy {
                    self.copies += 1;
                    continue;
                }
                let value = Once;
                let position = offset as i64;
                let note = Note {
                    digest,
                    position,
                    value,
                };
                let noted = self.notes.seen.as_mut().expect("it is kept");
                noted.note(position, note);
            }
            let batch = self.notes.take_below(self.next as i64);
            let (blocks, records) = self.memory.write(&batch, &mut self.names);
            self.memory.add(&blocks);
            let last = records.iter().rfind(|(_, value)| value.is_some());
            let last = last.map(|(key, _)| key.clone());
            self.offset += records.len() as i64;
            if let Some(key) = last.and_then(|key| key.try_into().ok()) {
                let offset = self.offset;
                self.memory.reaches(Anchor { offset, key });
            }
            let settled = self.memory.settle(Instant::now());
            settled.expect("the disk takes it");
        }
    }
}

/// CPU time of the process, all threads.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A line of the process's status, in MiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    number.unwrap_or_default() >> 10
}

fn memory(dir: Option<&std::sync::Arc<StateDir>>, keys: u64) -> Memory {
    let window = Window {
        time: None,
        keys: keys as usize,
    };
    let room = dir.map(|_| Room::USUAL);
    let claim = dir.map(|dir| dir.claim("orders.state", 0).expect("a folder"));
    Memory::of(Some(Part { window, room }), None, claim)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let is_disk = args.first().is_none_or(|kind| *kind != "memory");
    let keys = args.get(1).and_then(|keys| keys.parse().ok());
    let keys: u64 = keys.unwrap_or(50_000_000);
    let folder = args.get(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let home = tempfile::tempdir_in(folder).expect("a folder");
    let dir = is_disk.then(|| StateDir::open(home.path()).expect("it is free"));
    let mut run = Run {
        memory: memory(dir.as_ref(), keys),
        names: Names::new(1),
        notes: Notes {
            seen: Some(Noted::default()),
            newest: None,
        },
        next: 0,
        offset: 0,
        copies: 0,
    };
    // With nothing on disk from before, all that there is has been read.
    run.memory.load().expect("nothing is there");
    run.memory.is_restored();
    let report = |what: &str, records: u64, begun: Instant, before: Duration, run: &Run| {
        let per = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
        println!(
            "{what}: {records} records, {:.3} µs each, {:.3} µs of CPU; {} keys, {} copies found; {} MiB, at most {} MiB; {} MiB on disk",
            per(begun.elapsed()),
            per(cpu().saturating_sub(before)),
            run.memory
                .seen
                .as_ref()
                .map_or(0, driftgate::state::seen::Seen::len),
            run.copies,
            status("VmRSS"),
            status("VmHWM"),
            run.memory.disk_bytes().unwrap_or_default() >> 20,
        );
    };
    let records = keys + keys / 8;
    let (begun, before) = (Instant::now(), cpu());
    run.take(records, 0);
    report("filled", records, begun, before, &run);
    let records = keys / 2;
    let (begun, before) = (Instant::now(), cpu());
    run.take(records, keys / 10 * 9);
    report("steady", records, begun, before, &run);
    let Some(dir) = dir else { return };
    let begun = Instant::now();
    run.memory.put_away(begun).expect("the disk takes it");
    println!("given up in {:.2?}", begun.elapsed());
    run.memory = Memory::default();
    let begun = Instant::now();
    run.memory = memory(Some(&dir), keys);
    run.memory.load().expect("it is what was written");
    run.memory.is_restored();
    assert!(run.memory.anchor().is_some(), "it goes on from its files");
    println!("taken up again in {:.2?}", begun.elapsed());
    let records = keys / 20;
    let (begun, before) = (Instant::now(), cpu());
    run.take(records, keys / 10 * 9);
    report("and on", records, begun, before, &run);
}
