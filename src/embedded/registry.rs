//! A schema registry in memory, on loopback, that speaks the REST calls of Confluent's. Input: HTTP. Output: what a
//! registry answers, or the [`Fault`] that a test asked for. Forgets everything when it is dropped; `stop` and
//! `restart` keep it, as a registry's storage outlives its process.

mod compatibility;
mod routes;
mod store;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use tokio::sync::oneshot;

use crate::config::model::{Registry, RegistryAuth, RegistryTls};
use store::Store;

/// What the registry does instead of answering.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing: it answers.
    #[default]
    None,
    /// This status, with a JSON error body, and `Retry-After` where one is given (whole seconds).
    Status(u16, Option<Duration>),
    /// The right answer, this much later.
    Delay(Duration),
    /// 200 with a page of HTML, as from a proxy in between.
    Garbage,
    /// 302 to another path.
    Redirect,
    /// The connection is taken and nothing comes.
    Hang,
}

/// How the embedded registry is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// What every request has to carry.
    pub auth: RegistryAuth,
    /// A path in front of every call, as `/apis/ccompat/v7`; empty for none.
    pub base_path: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            auth: RegistryAuth::None,
            base_path: String::new(),
        }
    }
}

/// The registry. It runs on a thread of its own until it is stopped or dropped.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    address: SocketAddr,
    options: Options,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What the routes see.
#[derive(Debug, Default)]
struct Shared {
    store: Mutex<Store>,
    fault: Mutex<Fault>,
    requests: Mutex<BTreeMap<String, u64>>,
    /// The `Authorization` header that is asked for.
    authorization: Option<String>,
}

/// Distinct paths that are counted one by one; beyond them only those already seen.
const MAX_COUNTED_PATHS: usize = 100_000;
const NO_PANIC: &str = "no code panics while it holds the registry's state";

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect(NO_PANIC)
    }

    fn count(&self, path: &str) {
        let mut requests = self.requests.lock().expect(NO_PANIC);
        if requests.len() < MAX_COUNTED_PATHS || requests.contains_key(path) {
            *requests.entry(path.to_owned()).or_default() += 1;
        }
    }
}

impl EmbeddedRegistry {
    /// Starts an empty registry without authentication on a free port.
    pub fn start() -> io::Result<EmbeddedRegistry> {
        EmbeddedRegistry::start_with(Options::default())
    }

    /// Starts an empty registry on a free port.
    pub fn start_with(options: Options) -> io::Result<EmbeddedRegistry> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let authorization = match &options.auth {
            RegistryAuth::None => None,
            RegistryAuth::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
                Some(format!("Basic {encoded}"))
            }
            RegistryAuth::Bearer { token } => Some(format!("Bearer {}", token.expose())),
        };
        let shared = Arc::new(Shared {
            authorization,
            ..Shared::default()
        });
        let running = serve(listener, Arc::clone(&shared), &options.base_path)?;
        Ok(EmbeddedRegistry {
            address,
            options,
            shared,
            running: Mutex::new(Some(running)),
        })
    }

    /// Its base URL, the base path included.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.options.base_path)
    }

    /// A configuration that reaches it: its URL, its credentials, a short time-out.
    pub fn config(&self) -> Registry {
        Registry {
            url: self.url(),
            auth: self.options.auth.clone(),
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// Stops listening and cuts every connection. What is registered stays.
    pub fn stop(&self) {
        let running = self.running.lock().expect(NO_PANIC).take();
        if let Some(Running { stop, thread }) = running {
            // An error on either means that the thread has already ended.
            stop.send(()).ok();
            thread.join().ok();
        }
    }

    /// Listens again on the same port, with what was registered before. Does nothing if it runs.
    pub fn restart(&self) -> io::Result<()> {
        let mut running = self.running.lock().expect(NO_PANIC);
        if running.is_none() {
            let listener = TcpListener::bind(self.address)?;
            *running = Some(serve(
                listener,
                Arc::clone(&self.shared),
                &self.options.base_path,
            )?);
        }
        Ok(())
    }

    /// What it does from the next request on.
    pub fn set_fault(&self, fault: Fault) {
        *self.shared.fault.lock().expect(NO_PANIC) = fault;
    }

    /// How many requests it has had whose path (without the base path) begins with `prefix`.
    pub fn requests(&self, prefix: &str) -> u64 {
        let requests = self.shared.requests.lock().expect(NO_PANIC);
        let matching = requests.iter().filter(|(path, _)| path.starts_with(prefix));
        matching.map(|(_, count)| count).sum()
    }
}

impl Drop for EmbeddedRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves on a thread with a runtime of its own: when that runtime goes, so do all connections, which is what an
/// outage looks like to a client that keeps them open.
fn serve(listener: TcpListener, shared: Arc<Shared>, base_path: &str) -> io::Result<Running> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let routes = routes::router(shared, base_path);
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("embedded-registry".to_owned());
    let thread = thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                ended = axum::serve(listener, routes) => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the embedded registry ended");
                    }
                }
                // Asked to stop, or the registry was dropped.
                _ = stopped => {}
            }
        });
    })?;
    Ok(Running { stop, thread })
}
