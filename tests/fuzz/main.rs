//! The fuzz targets on stable Rust: the kept inputs, and changes of them by a seed. `make soak` runs them for minutes;
//! `cargo fuzz run TARGET tests/fuzz/corpus/TARGET` in `fuzz/` is guided by coverage and needs a nightly compiler.

mod targets;

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// No input may take more than this at once. The largest that is tried has some kilobytes.
const MEMORY: u64 = 64 * 1024 * 1024;

fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).expect("a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("readable"))
        .collect()
}

/// One to eight small changes: what fuzzers do to an input.
fn changed(rng: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..=input.len());
        match rng.random_range(0..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            1 if at < input.len() => {
                input[at] = [0, 1, 2, 0x7F, 0x80, 0xFF][rng.random_range(0..6)]
            }
            2 => input.insert(at, rng.random()),
            3 if at < input.len() => {
                input.remove(at);
            }
            4 => input.truncate(at),
            5 => {
                let other = corpus.choose(rng).map_or(&[][..], Vec::as_slice);
                let from = rng.random_range(0..=other.len());
                let part = &other[from..(from + rng.random_range(0..=32)).min(other.len())];
                input.splice(at..at, part.iter().copied());
            }
            // A huge count or length.
            _ => {
                let number = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
                input.splice(at..at, number);
            }
        }
    }
    input
}

#[test]
fn no_input_panics_hangs_or_takes_much_memory() {
    let soak = std::env::var_os("DRIFTGATE_TEST_SOAK").is_some();
    let seed = match soak {
        true => StdRng::from_os_rng().random(),
        false => 20_261_121,
    };
    eprintln!("seed {seed}");
    for (name, target, tries) in targets::TARGETS {
        let corpus = kept(name);
        assert!(corpus.len() >= 3, "{name} has a corpus");
        let mut rng = StdRng::seed_from_u64(seed);
        let until = Instant::now() + Duration::from_secs(if soak { 200 } else { 0 });
        let mut tried = 0;
        while tried < tries || Instant::now() < until {
            let input = match corpus.get(tried) {
                Some(input) => input.clone(),
                None => changed(&mut rng, &corpus),
            };
            let begun = Instant::now();
            let held = std::panic::catch_unwind(|| {
                allocation_counter::measure(|| target(&input)).bytes_max
            });
            let taken = begun.elapsed();
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            let held = held.unwrap_or_else(|_| panic!("{name} panics on {hex}"));
            assert!(held <= MEMORY, "{name} takes {held} bytes on {hex}");
            // A hang, not a measurement: a hundred times what the worst input takes here.
            assert!(
                taken < Duration::from_secs(20),
                "{name} takes {taken:?} on {hex}"
            );
            tried += 1;
        }
        eprintln!("{name}: {tried} inputs");
    }
}
