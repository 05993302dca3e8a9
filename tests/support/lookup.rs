//! A lookup's server that fails on command.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Whether the customer of that id is told now; asked for each request.
type Script = dyn Fn(i64) -> bool + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: AtomicUsize,
}

/// Serves on a free port, on a thread of its own.
fn serve(name: &str, routes: axum::Router) -> (SocketAddr, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr().expect("its address");
    runtime.spawn(async move { axum::serve(listener, routes).await });
    (address, runtime)
}

/// A server on a free port. Dropping it cuts everything.
pub struct LookupServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl LookupServer {
    /// Answers `GET /<id>` with a customer where `script` says so, and with 503 where it does not.
    pub fn start(script: impl Fn(i64) -> bool + Send + Sync + 'static) -> LookupServer {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: AtomicUsize::new(0),
        });
        let routes = axum::Router::new()
            .route("/{id}", get(answer))
            .with_state(Arc::clone(&shared));
        let (address, runtime) = serve("lookup", routes);
        LookupServer {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for LookupServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<i64>,
) -> (StatusCode, Json<Value>) {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    match (shared.script)(id) {
        true => (
            StatusCode::OK,
            Json(json!({ "name": format!("Customer {id}") })),
        ),
        false => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({}))),
    }
}

/// A request as the scripted server got it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The body.
    pub body: String,
}

/// What the scripted server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
    /// How long it takes.
    pub delay: Duration,
}

impl Reply {
    /// A customer of that name.
    pub fn customer(name: &str) -> Reply {
        Reply {
            status: 200,
            headers: Vec::new(),
            body: json!({ "name": name }).to_string(),
            delay: Duration::ZERO,
        }
    }

    /// A status alone.
    pub fn status(status: u16) -> Reply {
        Reply {
            status,
            body: "{}".to_owned(),
            ..Reply::customer("")
        }
    }

    /// The same, with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Reply {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The same, after a while.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

struct Scripted {
    answers: Box<Answers>,
    asked: Mutex<Vec<Asked>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// A server on a free port that answers each request as a script says, and notes all of them.
pub struct ScriptedServer {
    address: SocketAddr,
    script: Arc<Scripted>,
    runtime: Option<Runtime>,
}

impl ScriptedServer {
    /// Starts it. `answers` is asked once for each request.
    pub fn start(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> ScriptedServer {
        let script = Arc::new(Scripted {
            answers: Box::new(answers),
            asked: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let routes = axum::Router::new()
            .fallback(scripted)
            .with_state(Arc::clone(&script));
        let (address, runtime) = serve("scripted", routes);
        ScriptedServer {
            address,
            script,
            runtime: Some(runtime),
        }
    }

    /// Base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in the order in which they came.
    pub fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().expect("no panic").clone()
    }

    /// How many requests there were at once, at most.
    pub fn most_at_once(&self) -> usize {
        self.script.most.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn scripted(State(script): State<Arc<Scripted>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let header = parts.headers.get("authorization");
    let body = axum::body::to_bytes(body, 1 << 20).await;
    let body = body.expect("a small body").to_vec();
    let asked = Asked {
        at: Instant::now(),
        path: parts.uri.to_string(),
        authorization: header.map(|value| value.to_str().expect("text").to_owned()),
        body: String::from_utf8(body).expect("text"),
    };
    script.asked.lock().expect("no panic").push(asked.clone());
    let now = script.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    script.most.fetch_max(now, Ordering::SeqCst);
    let reply = (script.answers)(&asked);
    tokio::time::sleep(reply.delay).await;
    script.under_way.fetch_sub(1, Ordering::SeqCst);
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).expect("a response")
}
