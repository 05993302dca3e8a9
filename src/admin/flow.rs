//! Orders of operators over HTTP: the same records of the control topic that `driftgate pause` and `driftgate resume` write,
//! so that any instance takes them for all.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use crate::control::desk::{Desk, DeskError, Target};

/// Who asks, where the request does not say.
const SOMEBODY: &str = "the admin API";

type Asked = Result<Json<Target>, JsonRejection>;

pub(super) async fn pause(
    State(shared): State<Shared>,
    headers: HeaderMap,
    asked: Asked,
) -> Response {
    act(shared, &headers, asked, |desk, target| {
        desk.pause(target)?;
        Ok(json!({ "status": "asked to pause", "pipeline": target.pipeline }))
    })
    .await
}

pub(super) async fn resume(
    State(shared): State<Shared>,
    headers: HeaderMap,
    asked: Asked,
) -> Response {
    act(shared, &headers, asked, |desk, target| {
        let found = desk.resume(target)?;
        Ok(json!({
            "status": "asked to resume",
            "pipeline": target.pipeline,
            "paused": found.paused,
        }))
    })
    .await
}

/// Desks block, so a thread of its own is asked.
async fn act(
    shared: Shared,
    headers: &HeaderMap,
    asked: Asked,
    order: impl FnOnce(&Desk, &Target) -> Result<Value, DeskError> + Send + 'static,
) -> Response {
    if shared.token.is_none() && !is_meant_for_us(headers) {
        let text = "ask by address or as localhost, or set `admin.token`";
        return fault(StatusCode::FORBIDDEN, text);
    }
    let mut target = match asked {
        Ok(Json(target)) => target,
        Err(rejection) => return fault(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    if target.by.is_empty() {
        target.by = SOMEBODY.to_owned();
    }
    let desk = Arc::clone(&shared.desk);
    let done = tokio::task::spawn_blocking(move || order(&desk, &target)).await;
    match done {
        // It is written; the instances that own the partitions act on it within a moment.
        Ok(Ok(body)) => (StatusCode::ACCEPTED, Json(body)).into_response(),
        Ok(Err(DeskError::Unknown(text))) => fault(StatusCode::NOT_FOUND, &text),
        Ok(Err(DeskError::Broker(text))) => fault(StatusCode::SERVICE_UNAVAILABLE, &text),
        Err(error) => fault(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn fault(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

/// Without a token a page in the browser of somebody on this machine must not give orders. It cannot from another origin,
/// since a JSON body has to be allowed first; nor, by this, under a name of its own that was made to point here.
fn is_meant_for_us(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_addresses_and_localhost_are_us() {
        let check = |host: &'static str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_meant_for_us(&headers), expect, "{host}");
        };
        check("localhost:9600", true);
        check("localhost", true);
        check("127.0.0.1:9600", true);
        check("10.1.2.3", true);
        check("[::1]:9600", true);
        check("evil.example:9600", false);
        check("localhost.evil.example", false);
        check("", false);
        assert!(!is_meant_for_us(&HeaderMap::new()));
    }
}
