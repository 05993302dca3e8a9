//! `state_dir`: the folder of an instance, with one for each partition of a state topic. One process has it at a time, and within
//! that one owner a partition's folder.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Locked for as long as it is open, by whichever way the process ends.
    _lock: File,
    claimed: Mutex<HashSet<PathBuf>>,
}

impl StateDir {
    /// Makes the folder if need be, for this user alone, and locks it. The error says why that cannot be.
    pub fn open(path: &Path) -> Result<Arc<StateDir>, String> {
        let fail = |error: io::Error| format!("{}: {error}", path.display());
        make(path).map_err(fail)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Arc::new(StateDir {
                path: path.to_owned(),
                _lock: lock,
                claimed: Mutex::default(),
            })),
            Err(TryLockError::WouldBlock) => Err(format!(
                "{}: another process has it: each instance needs a folder of its own",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// A folder for what is remembered of a partition. Where an owner that does not know yet that it is none any more has the
    /// one that is meant, it is another one.
    pub fn claim(self: &Arc<StateDir>, topic: &str, partition: i32) -> io::Result<Claim> {
        let of_topic = self.path.join(topic);
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = of_topic.join(partition.to_string());
        let others = (1_u32..).map(|number| of_topic.join(format!("{partition}.{number}")));
        let mut free = std::iter::once(first).chain(others);
        let path = free.find(|path| !claimed.contains(path));
        let path = path.ok_or(io::ErrorKind::ResourceBusy)?;
        make(&path)?;
        claimed.insert(path.clone());
        Ok(Claim {
            dir: Arc::clone(self),
            path,
        })
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A folder that one owner has, until this is dropped.
#[derive(Debug)]
pub struct Claim {
    dir: Arc<StateDir>,
    path: PathBuf,
}

impl Claim {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes every file in it that `keeps` does not want, by its name. What cannot be removed is left.
    pub fn sweep(&self, keeps: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(&keeps) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = self
            .dir
            .claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        claimed.remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_do_not_have_it_at_a_time() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("of").join("state");
        let dir = StateDir::open(&path).expect("it is free");
        let second = StateDir::open(&path).expect_err("it is taken");
        assert!(second.contains("another process has it"), "{second}");
        let one = dir.claim("orders.g.state", 3).expect("a folder");
        let other = dir.claim("orders.g.state", 3).expect("a folder");
        assert_eq!(one.path(), path.join("orders.g.state/3"));
        assert_eq!(other.path(), path.join("orders.g.state/3.1"));
        drop(one);
        let again = dir.claim("orders.g.state", 3).expect("a folder");
        assert_eq!(again.path(), path.join("orders.g.state/3"));
        drop((dir, other, again));
        StateDir::open(&path).expect("it is free again");
    }
}
