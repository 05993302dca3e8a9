//! The copy of what is remembered of a partition that is on this machine's disk: what is to be written, on a thread of its own, and
//! which files count. What cannot be written stays in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::disk::folder::Claim;
use super::disk::manifest::{self, Manifest};
use super::disk::run::{self, Run, RunOf};
use super::noted::{Once, Value, Version};
use super::seen::Group;

/// How long nothing is written after a write has failed.
const AGAIN: Duration = Duration::from_secs(30);
/// How long a write may take that has to be over: a disk that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) seen: Vec<Group<Once>>,
    pub(super) newest: Vec<Group<Version>>,
    /// What is said of it, once it is there; `None`: a restart is to know nothing of it.
    pub(super) manifest: Option<Manifest>,
}

/// What was written, to be read from.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) seen: Vec<Run<Once>>,
    pub(super) newest: Vec<Run<Version>>,
}

/// What has become of a job.
#[derive(Debug)]
struct Done {
    written: Result<Written, String>,
    /// Files that nothing needs any more, and that are still there.
    trash: Vec<u64>,
    /// Files that only the manifest needs.
    copies: Vec<RunOf>,
}

/// See the module.
#[derive(Debug)]
pub struct Local {
    claim: Claim,
    /// The number of the next file.
    pub(super) next: u64,
    /// Files that nothing in memory needs any more. They are there until a manifest is that does not name them: a restart
    /// before that goes on from the one before.
    trash: Vec<u64>,
    /// Files that the manifest names and that are not read from, since what is in them is in memory as well.
    copies: Vec<RunOf>,
    job: Option<Receiver<Done>>,
    /// Until when nothing is tried, since the last write has failed.
    again: Option<Instant>,
}

impl Local {
    /// In that folder, with whatever is there.
    pub(super) fn new(claim: Claim) -> Local {
        Local {
            claim,
            // What an owner before is still writing, without knowing that it is none any more, has other numbers.
            next: SmallRng::from_os_rng().random::<u64>() >> 1,
            trash: Vec::new(),
            copies: Vec::new(),
            job: None,
            again: None,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        self.claim.path()
    }

    /// The manifest that is there, once nothing is written any more. Files that it does not name are removed. The error says why
    /// what is there is of no use.
    pub(super) fn open(&mut self) -> Result<Option<Manifest>, String> {
        self.end_job();
        self.trash.clear();
        self.copies.clear();
        let manifest = Manifest::read(self.folder())?;
        let numbers = manifest.iter().flat_map(Manifest::runs).map(|run| run.file);
        let names: Vec<String> = numbers.map(run::name).collect();
        let keeps = |name: &str| {
            name == manifest::NAME && manifest.is_some() || names.iter().any(|one| one == name)
        };
        let swept = self.claim.sweep(keeps);
        swept.map_err(|error| format!("{}: {error}", self.folder().display()))?;
        Ok(manifest)
    }

    /// Files of the manifest that was loaded which are not read from.
    pub(super) fn are_copies(&mut self, runs: impl Iterator<Item = RunOf>) {
        self.copies.extend(runs);
    }

    /// Throws away all that is there. What cannot be removed counts for nothing either.
    pub(super) fn wipe(&mut self) -> Result<(), String> {
        self.end_job();
        self.trash.clear();
        self.copies.clear();
        // Before the files: one without the other would be a broken one.
        let removed = Manifest::remove(self.folder()).and_then(|()| self.claim.sweep(|_| false));
        removed.map_err(|error| format!("{}: {error}", self.folder().display()))
    }

    /// Waits for what is being written, whatever becomes of it.
    fn end_job(&mut self) {
        if let Some(job) = self.job.take() {
            drop(job.recv_timeout(PATIENCE));
        }
    }

    /// Whether something is being written.
    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// Whether a write that has failed is not tried again yet.
    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| now < again)
    }

    /// Nothing needs these files any more.
    pub(super) fn discard(&mut self, files: Vec<u64>) {
        self.trash.extend(files);
    }

    /// Begins to write.
    pub(super) fn begin(&mut self, job: Job) {
        let (send, receive) = sync_channel(1);
        let (folder, trash) = self.hand_over(&job);
        self.job = Some(receive);
        let copies = self.copies.clone();
        let spawned = std::thread::Builder::new()
            .name("state-disk".into())
            .spawn(move || send_done(&send, job.run(&folder, trash, copies)));
        // Its end of the channel is gone with the thread, which says that it has failed.
        drop(spawned);
    }

    /// Writes, and waits for that.
    pub(super) fn write(&mut self, job: Job) -> Result<Written, String> {
        let (folder, trash) = self.hand_over(&job);
        let done = job.run(&folder, trash, self.copies.clone());
        self.done(done, None)
    }

    fn hand_over(&mut self, job: &Job) -> (PathBuf, Vec<u64>) {
        let mut trash = std::mem::take(&mut self.trash);
        if job.manifest.is_some() {
            // The next one names others.
            trash.extend(self.copies.drain(..).map(|of| of.file));
        }
        (self.folder().to_owned(), trash)
    }

    /// What has become of the job, if it has come to its end. With `patience` that is waited for.
    pub(super) fn poll(&mut self, now: Instant, waits: bool) -> Option<Result<Written, String>> {
        let job = self.job.as_ref()?;
        let done = match waits {
            true => job.recv_timeout(PATIENCE).map_err(|error| match error {
                RecvTimeoutError::Timeout => "the disk does not answer",
                RecvTimeoutError::Disconnected => "the thread has ended",
            }),
            false => match job.try_recv() {
                Ok(done) => Ok(done),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err("the thread has ended"),
            },
        };
        self.job = None;
        Some(match done {
            Ok(done) => self.done(done, Some(now)),
            Err(why) => {
                self.again = Some(now + AGAIN);
                Err(format!("{}: {why}", self.folder().display()))
            }
        })
    }

    fn done(&mut self, done: Done, now: Option<Instant>) -> Result<Written, String> {
        self.trash.extend(done.trash);
        self.copies = done.copies;
        self.again = match done.written {
            Ok(_) => None,
            Err(_) => now.map(|now| now + AGAIN),
        };
        done.written
    }

    /// How many files are not read from.
    #[cfg(test)]
    pub(super) fn copies(&self) -> usize {
        self.copies.len()
    }

    /// Bytes of the files that are not read from.
    pub(super) fn bytes(&self) -> u64 {
        self.copies.iter().map(|of| of.bytes).sum()
    }
}

fn send_done(send: &SyncSender<Done>, done: Done) {
    // Who has given the partition up does not ask any more.
    drop(send.try_send(done));
}

impl Job {
    fn run(self, folder: &Path, trash: Vec<u64>, mut copies: Vec<RunOf>) -> Done {
        let Job {
            seen,
            newest,
            manifest,
        } = self;
        let mut all = Vec::new();
        let written = write(folder, seen, &mut copies, &mut all).and_then(|seen| {
            let newest = write(folder, newest, &mut copies, &mut all)?;
            Ok(Written { seen, newest })
        });
        let written = written.and_then(|written| {
            if let Some(manifest) = &manifest {
                let result = manifest.write(folder);
                result.map_err(|error| format!("{}: {error}", folder.display()))?;
            }
            Ok(written)
        });
        let fails = written.is_err();
        let mut trash = trash;
        if fails {
            // What is there gives way to what is to be written next: a full disk stays full otherwise.
            trash.extend(all);
            trash.extend(copies.drain(..).map(|of| of.file));
        }
        let may_go = match fails {
            true => Manifest::remove(folder).is_ok(),
            false => manifest.is_some(),
        };
        if may_go {
            for file in trash.drain(..) {
                // One that is left is swept at the next start.
                drop(fs::remove_file(run::path(folder, file)));
            }
        }
        Done {
            written,
            trash,
            copies,
        }
    }
}

fn write<V: Value>(
    folder: &Path,
    groups: Vec<Group<V>>,
    copies: &mut Vec<RunOf>,
    all: &mut Vec<u64>,
) -> Result<Vec<Run<V>>, String> {
    let mut runs = Vec::new();
    for mut group in groups {
        let RunOf { file, part, .. } = group.of;
        group.entries.sort_unstable_by_key(|(digest, _)| *digest);
        all.push(file);
        let run = Run::write(folder, file, part, &group.entries);
        let run = run.map_err(|error| format!("{}: {error}", folder.display()))?;
        match group.is_copy {
            true => copies.push(group.of),
            false => runs.push(run),
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests;
