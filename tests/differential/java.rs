//! Java's Avro: tests/oracle/Oracle.java, compiled once and run as a program that answers over its streams.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::skip::{java, real_part};

/// What Java made of a datum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Bytes of the reader's schema, and how many of the datum it read.
    Read(Vec<u8>, usize),
    Refused(Kind, String),
}

/// How Java refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Schema,
    Resolve,
    Data,
    Limit,
    Stack,
    Memory,
    /// An index out of bounds, a failed cast: a refusal, though not a considered one.
    Unexpected,
    /// It read a value that it cannot write.
    Write,
}

pub(crate) struct Oracle {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

/// A request: schemas and data.
pub(crate) type Question<'a> = (&'a str, &'a str, Vec<&'a [u8]>);

const SOURCE: &str = include_str!("../oracle/Oracle.java");

/// Compiles the oracle, if there are jars; a skip otherwise.
pub(crate) fn prepare() -> Option<PathBuf> {
    let libs = real_part("avro")?.join("libs");
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let classes = target.join(format!("oracle-{:016x}", hasher.finish()));
    if !classes.exists() {
        // In a folder of its own and then moved, so that two test programs do not meet in it.
        let fresh = tempfile::tempdir_in(target).expect("a folder in target");
        let made = fresh.path().join("classes");
        // The Eclipse compiler is a jar, so a plain Java runtime will do.
        let status = Command::new(java())
            .arg("-cp")
            .arg(libs.join("*"))
            .arg("org.eclipse.jdt.internal.compiler.batch.Main")
            .args(["-17", "-nowarn", "-encoding", "UTF-8", "-cp"])
            .arg(class_path(&libs))
            .arg("-d")
            .arg(&made)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/Oracle.java"))
            .status()
            .expect("Java runs");
        assert!(
            status.success(),
            "tests/oracle/Oracle.java does not compile"
        );
        if let Err(error) = std::fs::rename(&made, &classes) {
            assert!(classes.exists(), "cannot move the classes: {error}");
        }
    }
    Some(classes)
}

fn class_path(libs: &Path) -> String {
    let jars = std::fs::read_dir(libs).expect("the folder of jars");
    let path = |jar: std::io::Result<std::fs::DirEntry>| jar.expect("an entry").path();
    let jars: Vec<_> = jars.map(|jar| path(jar).display().to_string()).collect();
    jars.join(":")
}

impl Oracle {
    pub(crate) fn start(classes: &Path) -> Oracle {
        let libs = real_part("avro").expect("prepared").join("libs");
        let mut child = Command::new(java())
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!(
                "-Dorg.apache.avro.limits.collectionItems.maxLength={}",
                super::model::JAVA_ITEMS
            ))
            .arg("-Dorg.apache.avro.limits.bytes.maxLength=1048576")
            .arg("-Dorg.apache.avro.limits.string.maxLength=1048576")
            .arg("-cp")
            .arg(format!("{}:{}/*", classes.display(), libs.display()))
            .arg("Oracle")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Java starts");
        let input = BufWriter::new(child.stdin.take().expect("piped"));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Oracle {
            child,
            input: Some(input),
            output,
        }
    }

    /// Sends a request. The answers are fetched apart, so that we can do our part meanwhile.
    pub(crate) fn ask(&mut self, pairs: &[Question<'_>]) {
        let input = self.input.as_mut().expect("open until dropped");
        let length = |n: usize| u32::try_from(n).expect("small").to_be_bytes();
        let mut send = |bytes: &[u8]| input.write_all(bytes).expect("Java reads");
        send(&length(pairs.len()));
        for (writer, reader, data) in pairs {
            for text in [writer, reader] {
                send(&length(text.len()));
                send(text.as_bytes());
            }
            send(&length(data.len()));
            for datum in data {
                send(&length(datum.len()));
                send(datum);
            }
        }
        input.flush().expect("Java reads");
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut head = [0; 9];
        self.output.read_exact(&mut head).expect("Java answers");
        let number = |at: usize| {
            let bytes: [u8; 4] = head[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes) as usize
        };
        let mut bytes = vec![0; number(5)];
        self.output.read_exact(&mut bytes).expect("Java answers");
        let kind = match head[0] {
            0 => return Answer::Read(bytes, number(1)),
            1 => Kind::Schema,
            2 => Kind::Resolve,
            3 => Kind::Data,
            4 => Kind::Limit,
            5 => Kind::Stack,
            6 => Kind::Memory,
            7 => Kind::Unexpected,
            8 => Kind::Write,
            other => panic!("verdict {other}"),
        };
        Answer::Refused(kind, String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.input.take());
        if std::thread::panicking() {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}
