//! HTTP to [`Store`] calls: paths, query parameters, faults, authentication. Knows no rule of a registry.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{Refusal, Submitted};
use super::{Fault, NO_PANIC, Shared};

type Answer = Result<Json<Value>, Refusal>;
type Registry = State<Arc<Shared>>;

/// The query parameters that mean something here; a registry ignores the others.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    deleted: bool,
    permanent: bool,
    verbose: bool,
    default_to_global: bool,
}

#[derive(Debug, Deserialize)]
struct Level {
    compatibility: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "error_code": self.code, "message": self.message });
        (status, Json(body)).into_response()
    }
}

pub(super) fn router(shared: Arc<Shared>, base_path: &str) -> Router {
    let routes = Router::new()
        .route("/", get(async || Json(json!({}))))
        .route(
            "/schemas/types",
            get(async || Json(json!(["AVRO", "JSON", "PROTOBUF"]))),
        )
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/versions", get(versions_of_id))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(find).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(version).delete(delete_version),
        )
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(referenced_by),
        )
        .route(
            "/compatibility/subjects/{subject}/versions",
            post(check_all),
        )
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(check),
        )
        .route("/config", get(global_level).put(set_global_level))
        .route("/config/{subject}", get(level).put(set_level))
        .fallback(async || Refusal::new(404, 404, "HTTP 404 Not Found"))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            stand_in_front,
        ))
        .with_state(shared);
    match base_path {
        "" => routes,
        path => Router::new().nest(path, routes),
    }
}

/// Counts, then does what the fault says, then asks for credentials.
async fn stand_in_front(State(shared): Registry, request: Request, next: Next) -> Response {
    shared.count(request.uri().path());
    let fault = shared.fault.lock().expect(NO_PANIC).clone();
    match fault {
        Fault::None => {}
        Fault::Delay(delay) => tokio::time::sleep(delay).await,
        Fault::Hang => std::future::pending().await,
        Fault::Status(status, retry_after) => {
            let refusal = Refusal::new(status, u32::from(status), "as the test asked");
            let mut response = refusal.into_response();
            if let Some(wait) = retry_after {
                let seconds = HeaderValue::from(wait.as_secs());
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            return response;
        }
        Fault::Garbage => {
            let page = "<html><body>Welcome to the proxy</body></html>";
            return ([(CONTENT_TYPE, "text/html")], page).into_response();
        }
        Fault::Redirect => {
            return (
                StatusCode::FOUND,
                [(LOCATION, "/schemas/types")],
                Body::empty(),
            )
                .into_response();
        }
    }
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    if shared.authorization.as_deref().map(str::as_bytes) != given && shared.authorization.is_some()
    {
        let mut response = Refusal::new(401, 40101, "Unauthorized").into_response();
        let scheme = HeaderValue::from_static("Basic realm=\"registry\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        return response;
    }
    next.run(request).await
}

fn submitted(body: &Bytes) -> Result<Submitted, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(422, 42201, format!("Invalid request: {error}")))
}

/// `latest` or a number from 1.
fn number(version: &str) -> Result<Option<u32>, Refusal> {
    match version {
        "latest" | "-1" => Ok(None),
        text => match text.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Refusal::new(
                422,
                42202,
                format!("The specified version '{text}' is not a valid version id"),
            )),
        },
    }
}

async fn schema_by_id(State(shared): Registry, Path(id): Path<u32>) -> Answer {
    shared.store().schema(id).map(Json)
}

async fn versions_of_id(State(shared): Registry, Path(id): Path<u32>) -> Answer {
    shared.store().versions_of_id(id).map(Json)
}

async fn subjects(State(shared): Registry, Query(query): Query<Parameters>) -> Json<Value> {
    Json(shared.store().subjects(query.deleted))
}

async fn find(State(shared): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    shared.store().find(&subject, &submitted(&body)?).map(Json)
}

async fn delete_subject(
    State(shared): Registry,
    Path(subject): Path<String>,
    Query(query): Query<Parameters>,
) -> Answer {
    shared
        .store()
        .delete_subject(&subject, query.permanent)
        .map(Json)
}

async fn versions(
    State(shared): Registry,
    Path(subject): Path<String>,
    Query(query): Query<Parameters>,
) -> Answer {
    shared.store().versions(&subject, query.deleted).map(Json)
}

async fn register(State(shared): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    shared
        .store()
        .register(&subject, submitted(&body)?)
        .map(Json)
}

async fn version(
    State(shared): Registry,
    Path((subject, version)): Path<(String, String)>,
    Query(query): Query<Parameters>,
) -> Answer {
    shared
        .store()
        .version(&subject, number(&version)?, query.deleted)
        .map(Json)
}

async fn delete_version(
    State(shared): Registry,
    Path((subject, version)): Path<(String, String)>,
    Query(query): Query<Parameters>,
) -> Answer {
    shared
        .store()
        .delete_version(&subject, number(&version)?, query.permanent)
        .map(Json)
}

async fn referenced_by(
    State(shared): Registry,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    shared
        .store()
        .referenced_by(&subject, number(&version)?)
        .map(Json)
}

async fn check_all(
    State(shared): Registry,
    Path(subject): Path<String>,
    Query(query): Query<Parameters>,
    body: Bytes,
) -> Answer {
    let reasons = shared.store().check(&subject, &submitted(&body)?)?;
    Ok(verdict(reasons, query.verbose))
}

async fn check(
    State(shared): Registry,
    Path((subject, version)): Path<(String, String)>,
    Query(query): Query<Parameters>,
    body: Bytes,
) -> Answer {
    let reasons = shared
        .store()
        .check_against(&subject, number(&version)?, &submitted(&body)?)?;
    Ok(verdict(reasons, query.verbose))
}

fn verdict(reasons: Vec<String>, verbose: bool) -> Json<Value> {
    let mut verdict = json!({ "is_compatible": reasons.is_empty() });
    if verbose {
        verdict["messages"] = json!(reasons);
    }
    Json(verdict)
}

async fn global_level(State(shared): Registry) -> Json<Value> {
    Json(json!({ "compatibilityLevel": shared.store().global_level().as_str() }))
}

async fn set_global_level(State(shared): Registry, Json(level): Json<Level>) -> Answer {
    shared
        .store()
        .set_level(None, &level.compatibility)
        .map(Json)
}

async fn level(
    State(shared): Registry,
    Path(subject): Path<String>,
    Query(query): Query<Parameters>,
) -> Answer {
    shared
        .store()
        .level(&subject, query.default_to_global)
        .map(Json)
}

async fn set_level(State(shared): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    let level: Level = serde_json::from_slice(&body).map_err(|error| {
        Refusal::new(422, 42203, format!("Invalid compatibility level: {error}"))
    })?;
    shared
        .store()
        .set_level(Some(&subject), &level.compatibility)
        .map(Json)
}
