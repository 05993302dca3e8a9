//! Rejected rows, written where a person can correct them. Input: rows as they stood and what is wrong with each.
//! Output: a table with three columns in front, which `produce` takes back as it is; or JSON lines that hold the row as
//! text.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use csv::ByteRecord;
use serde_json::json;

use super::rows::{REJECT_COLUMNS, Raw};
use super::{BadRow, Failure};

/// A file of rejected rows. Without any it is removed again.
pub struct Rejects {
    path: PathBuf,
    delimiter: u8,
    out: BufWriter<File>,
    any: bool,
}

impl Rejects {
    /// Makes the file. One that exists is left alone: it may hold corrections, or be the input itself.
    pub fn create(
        path: &Path,
        delimiter: u8,
        header: Option<&ByteRecord>,
    ) -> Result<Rejects, Failure> {
        let file = File::options().write(true).create_new(true).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::asked(format!(
                "{}: exists; name another file for rejected rows",
                path.display()
            )),
            _ => Failure::asked(format!("{}: {error}", path.display())),
        })?;
        let mut rejects = Rejects {
            path: path.to_owned(),
            delimiter,
            out: BufWriter::new(file),
            any: false,
        };
        if let Some(header) = header {
            // A header of a file that was rejected and corrected has the three already.
            let columns = header.iter().filter(|cell| !is_ours(cell));
            let ours = REJECT_COLUMNS.iter().map(|column| column.as_bytes());
            rejects
                .cells(ours.chain(columns))
                .map_err(|error| rejects.fail(&error))?;
        }
        Ok(rejects)
    }

    /// Adds a row.
    pub fn add(
        &mut self,
        bad: &BadRow,
        raw: Raw<'_>,
        header: Option<&ByteRecord>,
    ) -> Result<(), Failure> {
        self.any = true;
        let written = match raw {
            Raw::Cells(cells) => {
                let line = bad.line.to_string();
                let ours = [line.as_bytes(), bad.path.as_bytes(), bad.message.as_bytes()];
                let kept = cells.iter().enumerate().filter(|(index, _)| {
                    let name = header.and_then(|header| header.get(*index));
                    !name.is_some_and(is_ours)
                });
                self.cells(ours.into_iter().chain(kept.map(|(_, cell)| cell)))
            }
            Raw::Line(line) => self.line(bad, line),
        };
        written.map_err(|error| self.fail(&error))
    }

    /// Writes out what is buffered; removes the file if no row was added.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| self.fail(&error))?;
        if !self.any {
            fs::remove_file(&self.path).map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    fn cells<'c>(&mut self, cells: impl Iterator<Item = &'c [u8]>) -> io::Result<()> {
        // Rows of any number of cells: what is wrong with a row may be just that.
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.delimiter)
            .flexible(true)
            .from_writer(&mut self.out);
        writer.write_record(cells)?;
        writer.flush()
    }

    fn line(&mut self, bad: &BadRow, line: &[u8]) -> io::Result<()> {
        let mut entry = json!({ "line": bad.line, "path": bad.path, "reason": bad.message });
        match std::str::from_utf8(line) {
            Ok(text) => entry["row"] = text.into(),
            Err(_) => entry["row_base64"] = STANDARD.encode(line).into(),
        }
        writeln!(self.out, "{entry}")
    }

    fn fail(&self, error: &io::Error) -> Failure {
        Failure::Unreachable(format!("{}: {error}", self.path.display()))
    }
}

fn is_ours(column: &[u8]) -> bool {
    REJECT_COLUMNS.iter().any(|ours| ours.as_bytes() == column)
}
