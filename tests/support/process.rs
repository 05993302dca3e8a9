//! Server processes that never outlive the test program.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::within;

/// The program under test: the one that was built with the tests, or the one that `DRIFTGATE_TEST_PROGRAM` names, such as
/// an optimised one.
pub fn program() -> PathBuf {
    std::env::var_os("DRIFTGATE_TEST_PROGRAM")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_driftgate").into())
        .into()
}

/// Whether the program under test is an optimised one. One that was named is taken for that.
pub fn is_optimised() -> bool {
    std::env::var_os("DRIFTGATE_TEST_PROGRAM").is_some() || !cfg!(debug_assertions)
}

/// A running server and its log. Dropping it kills it by its process id.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `program`; both its streams go to the file `log`, which is appended to.
    pub fn start<I, S>(
        program: &Path,
        arguments: I,
        environment: &[(&str, String)],
        log: &Path,
    ) -> Server
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file in the test's own folder");
        let mut line: Vec<OsString> = Vec::new();
        if *HAS_SETPRIV {
            line.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        line.push(program.into());
        line.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle of the log"))
            .stderr(out);
        let child = spawn(command)
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Server {
            child,
            log: log.to_owned(),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal. After SIGSTOP it stands still when this returns: a thread on another processor may answer one more
    /// request otherwise.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a child of ours that was not waited for");
        if signal == Signal::STOP {
            let stands = within(Duration::from_secs(10), || {
                self.stands_still().then_some(())
            });
            stands.expect("it stands still");
        }
    }

    /// Whether all of its threads are stopped; yes where the system does not tell.
    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id()));
        let mut threads = threads.into_iter().flatten().flatten();
        threads.all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // Behind the name, which stands in brackets and may hold anything.
            stat.rsplit_once(") ")
                .is_none_or(|(_, state)| state.starts_with(['T', 'X', 'Z']))
        })
    }

    /// How it ended, waiting up to `deadline` for that.
    pub fn ended(&mut self, deadline: Duration) -> Option<ExitStatus> {
        within(deadline, || {
            self.child
                .try_wait()
                .expect("a child of ours can be waited for")
        })
    }

    /// SIGTERM, and waits for its end; panics with the end of its log if that takes longer than `deadline`.
    pub fn stop(mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        match self.ended(deadline) {
            Some(status) => status,
            None => panic!("still runs {deadline:?} after SIGTERM:\n{}", self.tail()),
        }
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(self) {
        drop(self);
    }

    /// The most memory that it has ever had resident, in bytes; 0 where the system does not tell.
    pub fn peak_memory(&self) -> u64 {
        let file = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(file).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok())
            .map_or(0, |kib: u64| kib * 1024)
    }

    /// How long its threads have been on a processor; nothing where the system does not tell.
    pub fn processor_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id()));
        let of_thread = |thread: std::fs::DirEntry| -> Option<u64> {
            let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse().ok()
        };
        let nanos = threads.into_iter().flatten().flatten();
        Duration::from_nanos(nanos.filter_map(of_thread).sum())
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.runs() {
            // Works on a stopped process (SIGSTOP) too. An error would mean that it has just ended.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// util-linux's setpriv lets the kernel kill a server when the test program is killed and nothing of ours runs any more.
static HAS_SETPRIV: LazyLock<bool> = LazyLock::new(|| {
    Command::new("setpriv")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
});

type Spawned = std::io::Result<Child>;
type Order = (Command, SyncSender<Spawned>);

/// Spawns on a thread that lives as long as the program. The kernel's parent-death signal means the parent *thread*, and
/// a test's own thread ends with that test, while a server in a `static` is to serve the next one too.
fn spawn(command: Command) -> Spawned {
    static ORDERS: LazyLock<Mutex<SyncSender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = sync_channel::<Order>(1);
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    reply.send(command.spawn()).ok();
                }
            })
            .expect("a thread");
        Mutex::new(orders)
    });
    let (reply, answer) = sync_channel(1);
    ORDERS
        .lock()
        .expect("nothing panics while it is held")
        .send((command, reply))
        .expect("the spawner lives for ever");
    answer.recv().expect("the spawner answers")
}
