//! The admin server: metrics for Prometheus, health for the orchestrator, the state of this instance for a person. It
//! reads [`Metrics`] and [`Health`], and changes nothing of its own: an operator's order goes to the control topic, as it
//! does from the command line. It runs on the async runtime and never meets a worker's thread.

mod flow;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::model::Secret;
use crate::control::desk::Desk;
use crate::error::FatalError;
use crate::health::Health;
use crate::metrics::Metrics;

/// How long requests under way may go on after shutdown began; a client that reads slowly must not hold the process.
const DRAIN: Duration = Duration::from_secs(2);

const INDEX: &str = concat!(
    "driftgate ",
    env!("CARGO_PKG_VERSION"),
    "

/metrics  Prometheus metrics
/status   what this instance does: workers, paused partitions, dependencies (JSON)
/readyz   200 when this instance takes its share of the records, else 503 and why not
/healthz  200 when it is alive, 503 when a restart would help; how each dependency stands
/api/drift  the values of records against their baselines: windows, figures, what drifts (JSON)

POST /api/pause and /api/resume take a JSON object: pipeline, topic and partition (both or none), by, reason
"
);

#[derive(Clone)]
struct Shared {
    token: Option<Arc<Secret>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    desk: Arc<Desk>,
    drift: Report,
}

/// What is answered under a path that others know of.
pub type Report = Arc<dyn Fn() -> Value + Send + Sync>;

/// Binds `listen` and serves until `shutdown`. Port 0 takes a free port; the address returned is the real one.
///
/// With a token, all but `/healthz` and `/readyz` ask for it: an orchestrator's probes carry none, and they tell no
/// more than that something is wrong and where.
///
/// # Errors
/// [`FatalError::Start`] if the address cannot be bound.
pub async fn serve(
    listen: SocketAddr,
    token: Option<Secret>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    (desk, drift): (Desk, Report),
    shutdown: CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>), FatalError> {
    let cannot_bind = |error: io::Error| FatalError::Start(bind_message(listen, &error));
    let listener = TcpListener::bind(listen).await.map_err(cannot_bind)?;
    let address = listener.local_addr().map_err(cannot_bind)?;
    let router = router(Shared {
        token: token.map(Arc::new),
        metrics,
        health,
        desk: Arc::new(desk),
        drift,
    });
    let server = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let task = tokio::spawn(async move {
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            ended = server => {
                if let Err(error) = ended {
                    tracing::error!(%address, error = %error, "the admin server ended");
                }
            }
            () = overdue => {}
        }
    });
    Ok((address, task))
}

fn bind_message(listen: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the admin address {listen} is taken by another process: set `admin.listen` to a free one, or to `off`"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "the admin address {listen} is not one of this machine's: set `admin.listen` to one that is, such as 127.0.0.1:{}",
            listen.port()
        ),
        _ => format!(
            "the admin server could not listen on {listen}: {error}; set `admin.listen` to another address, or to `off`"
        ),
    }
}

fn router(shared: Shared) -> Router {
    let guarded = Router::new()
        .route("/", get(async || INDEX))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/api/drift", get(drift))
        .route("/api/pause", post(flow::pause))
        .route("/api/resume", post(flow::resume))
        .route_layer(middleware::from_fn_with_state(shared.clone(), guard));
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .with_state(shared)
}

async fn guard(
    State(shared): State<Shared>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    match &shared.token {
        Some(token) if !token::admits(&headers, token) => (
            StatusCode::UNAUTHORIZED,
            [(WWW_AUTHENTICATE, "Bearer realm=\"driftgate\"")],
            "the token of `admin.token` is needed: Authorization: Bearer …\n",
        )
            .into_response(),
        _ => next.run(request).await,
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    shared.metrics.observe_health(&shared.health);
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], shared.metrics.render())
}

async fn status(State(shared): State<Shared>) -> Json<Value> {
    Json(shared.health.report())
}

async fn drift(State(shared): State<Shared>) -> Json<Value> {
    Json((shared.drift)())
}

async fn healthz(State(shared): State<Shared>) -> impl IntoResponse {
    let liveness = shared.health.liveness();
    let word = if liveness.alive { "ok" } else { "unhealthy" };
    let dependencies = shared.health.dependency_report();
    let body = json!({ "status": word, "reasons": liveness.reasons, "dependencies": dependencies });
    (ok_or_unavailable(liveness.alive), Json(body))
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let readiness = shared.health.readiness();
    let word = if readiness.ready {
        "ready"
    } else {
        "not ready"
    };
    let mut body = json!({ "status": word, "reasons": readiness.reasons });
    if !readiness.degraded.is_empty() {
        body["degraded"] = json!(readiness.degraded);
    }
    (ok_or_unavailable(readiness.ready), Json(body))
}

fn ok_or_unavailable(ok: bool) -> StatusCode {
    if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests;
