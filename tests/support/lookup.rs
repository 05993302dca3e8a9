//! A lookup's server that fails on command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
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

/// A server on a free port. Dropping it cuts everything.
pub struct LookupServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl LookupServer {
    /// Answers `GET /<id>` with a customer where `script` says so, and with 503 where it does not.
    pub fn start(script: impl Fn(i64) -> bool + Send + Sync + 'static) -> LookupServer {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lookup")
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: AtomicUsize::new(0),
        });
        let routes = axum::Router::new()
            .route("/{id}", get(answer))
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, routes).await });
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
