//! Where rows come from: a file or stdin, compressed with gzip or not. Output: decompressed bytes. Knows nothing of
//! rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Failure;
use crate::config::fault::cannot;

const BUFFER: usize = 256 * 1024;
const GZIP: [u8; 2] = [0x1F, 0x8B];
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Decompressed bytes of an input.
pub type Bytes = Box<dyn BufRead>;

/// An input that is being read.
pub struct Input {
    /// Its name in messages.
    pub name: String,
    /// Its size as stored, where there is one: what [`Input::wrap`]'s reader will be asked for.
    pub size: Option<u64>,
    raw: Box<dyn Read>,
}

impl Input {
    /// Opens a file, or stdin for `-`.
    pub fn open(path: &Path) -> Result<Input, Failure> {
        if path == Path::new("-") {
            return Ok(Input::of("stdin", io::stdin()));
        }
        let name = path.display().to_string();
        let fail = |error: io::Error| Failure::asked(format!("{name}: {}", cannot("read", &error)));
        let file = File::open(path).map_err(fail)?;
        let facts = file.metadata().map_err(fail)?;
        if facts.is_dir() {
            return Err(Failure::asked(format!("{name}: is a folder")));
        }
        let size = facts.is_file().then_some(facts.len());
        let raw = Box::new(file);
        Ok(Input { name, size, raw })
    }

    /// An input from memory or any other reader.
    pub fn of(name: &str, raw: impl Read + 'static) -> Input {
        Input {
            name: name.to_owned(),
            size: None,
            raw: Box::new(raw),
        }
    }

    /// Puts a reader around the stored bytes: a progress bar.
    #[must_use]
    pub fn wrap<R: Read + 'static>(mut self, around: impl FnOnce(Box<dyn Read>) -> R) -> Input {
        self.raw = Box::new(around(self.raw));
        self
    }

    /// The bytes, decompressed, without a byte order mark. Gzip is known by its first bytes, not by the file's name, so
    /// that it works on stdin too.
    pub fn bytes(self) -> Result<Bytes, Failure> {
        let name = self.name;
        let fail = |error: io::Error| Failure::Unreachable(format!("{name}: {error}"));
        let stored = start(self.raw).map_err(fail)?;
        let (first, stored) = stored;
        let gzip = first.starts_with(&GZIP);
        let stored = BufReader::with_capacity(BUFFER, io::Cursor::new(first).chain(stored));
        if gzip {
            return without_mark(MultiGzDecoder::new(stored)).map_err(fail);
        }
        without_mark(stored).map_err(fail)
    }
}

/// The first three bytes, fewer if there are no more, and the rest.
fn start<R: Read>(mut from: R) -> io::Result<(Vec<u8>, R)> {
    let mut first = Vec::with_capacity(BYTE_ORDER_MARK.len());
    from.by_ref()
        .take(BYTE_ORDER_MARK.len() as u64)
        .read_to_end(&mut first)?;
    Ok((first, from))
}

fn without_mark(from: impl Read + 'static) -> io::Result<Bytes> {
    let (mut first, from) = start(from)?;
    if first == BYTE_ORDER_MARK {
        first.clear();
    }
    Ok(Box::new(BufReader::with_capacity(
        BUFFER,
        io::Cursor::new(first).chain(from),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn check(stored: Vec<u8>, expect: &[u8]) {
        let mut found = Vec::new();
        let input = Input::of("test", io::Cursor::new(stored));
        let mut bytes = input.bytes().expect("bytes");
        bytes.read_to_end(&mut found).expect("read");
        assert_eq!(found, expect);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_a_mark_is_taken_off() {
        check(b"a,b\n".to_vec(), b"a,b\n");
        check(b"".to_vec(), b"");
        check(b"a".to_vec(), b"a");
        check(gzip(b"a,b\n"), b"a,b\n");
        // Two members one after the other, as `cat a.gz b.gz` makes.
        check([gzip(b"a,b\n"), gzip(b"1,2\n")].concat(), b"a,b\n1,2\n");
        check(b"\xEF\xBB\xBFa,b\n".to_vec(), b"a,b\n");
        check(gzip(b"\xEF\xBB\xBFa"), b"a");
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let error = Input::open(Path::new("/nowhere/rows.csv")).err();
        let error = error.expect("refused").to_string();
        assert!(error.starts_with("/nowhere/rows.csv: "), "{error}");
        let error = Input::open(Path::new("/")).err().expect("refused");
        assert_eq!(error, Failure::asked("/: is a folder"));
    }
}
