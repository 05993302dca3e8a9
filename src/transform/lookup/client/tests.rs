//! The client against a real server on loopback that answers as each path says.

use super::*;
use crate::config::model::{Lookup, LookupSource, OnMissing, Secret, Step};
use crate::contract::json::to_json;
use crate::expr::testing::{place, placed, schema};
use crate::transform::testing::Trial;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap as Headers, Response as Answer, header};
use axum::routing::get;
use std::net::SocketAddr;
use std::time::Instant;

async fn answer(Path(what): Path<String>, headers: Headers) -> Answer<Body> {
    let respond = |status: u16, body: &'static str| {
        let response = Answer::builder().status(status).body(Body::from(body));
        response.expect("a response")
    };
    let ada = r#"{"name": "Ada", "age": 36, "surplus": {"a": [1]}}"#;
    match what.as_str() {
        "good" => {
            assert_eq!(headers[header::ACCEPT], "application/json");
            assert_eq!(headers[header::AUTHORIZATION], "Bearer CANARY");
            respond(200, ada)
        }
        "shape" => respond(200, r#"{"name": "Ada", "age": "secret"}"#),
        "half" => respond(200, r#"{"name": "Ada""#),
        "binary" => Answer::new(Body::from(vec![0xff, 0xfe])),
        "empty" => respond(204, ""),
        "slow" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            respond(200, ada)
        }
        "big" => Answer::new(Body::from(vec![b' '; MAX_BODY + 1])),
        "endless" => {
            let chunks = futures::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(vec![b' '; 64 * 1024])
            });
            Answer::new(Body::from_stream(chunks))
        }
        "stalled" => {
            let first = futures::stream::once(async { Ok::<_, std::convert::Infallible>("{") });
            let never = futures::StreamExt::chain(first, futures::stream::pending());
            Answer::new(Body::from_stream(never))
        }
        "moved" => {
            let mut response = respond(302, "");
            let target = "/good".parse().expect("a header");
            response.headers_mut().insert(header::LOCATION, target);
            response
        }
        "seconds" | "date" | "nonsense" => {
            let mut response = respond(429, "");
            let wait = match what.as_str() {
                "seconds" => "7",
                "date" => "Sun, 06 Nov 1994 08:50:37 GMT",
                _ => "soon",
            };
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, wait.parse().expect("a header"));
            let date = "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a header");
            headers.insert(header::DATE, date);
            response
        }
        status => respond(status.parse().expect("a status"), "{}"),
    }
}

/// A server on a free port, which ends with the test's runtime.
async fn serve() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let address = listener.local_addr().expect("has an address");
    let app = axum::Router::new().route("/{what}", get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn client(address: SocketAddr, timeout: Duration) -> LookupClient {
    let event =
        schema(r#"{"type":"record","name":"E","fields":[{"name":"what","type":"string"}]}"#);
    let customer = r#"{"type":"record","name":"C","fields":[
        {"name":"name","type":"string"},{"name":"age","type":"int"}]}"#;
    let http = HttpLookup {
        url: placed(&format!("http://{address}/{{what}}")),
        timeout,
        headers: vec![("authorization".to_owned(), Secret::new("Bearer CANARY"))],
        concurrency: 16,
        limit: None,
        cache: None,
    };
    assert!(!format!("{http:?}").contains("CANARY"));
    let steps = [Step::Lookup(Box::new(Lookup {
        into: placed("customer"),
        from: LookupSource::Http(http.clone()),
        answer: "c.avsc".into(),
        answer_place: place(),
        on_missing: OnMissing::Null,
        on_null: None,
    }))];
    let transform = Trial::compile(&steps, &event, &|_| Ok(schema(customer))).expect("compiles");
    let client = LookupClient::new(Arc::clone(&transform.lookups()[0]), &http);
    let client = client.expect("a client");
    assert!(!format!("{client:?}").contains("CANARY"));
    client
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_good_answer_becomes_a_value() {
    let address = serve().await;
    let client = client(address, PATIENT);
    let value = client.fetch(&format!("http://{address}/good")).await;
    let bytes = value.expect("answers").expect("is there");
    let limits = crate::contract::decode::Limits::default();
    let value = crate::contract::decode::decode(&client.spec.answer, &bytes, &limits);
    let value = value.expect("a value");
    let json = to_json(&client.spec.answer, client.spec.answer.root, &value);
    assert_eq!(json, serde_json::json!({"name": "Ada", "age": 36}));
    let missing = client.fetch(&format!("http://{address}/404")).await;
    assert_eq!(missing, Ok(None));
}

#[tokio::test]
async fn every_failure_has_its_reason() {
    use Reason::{LookupMisconfigured, LookupUnavailable};
    let address = serve().await;
    let client = client(address, PATIENT);
    for (what, reason, message) in [
        ("500", LookupUnavailable, "answered 500"),
        ("503", LookupUnavailable, "answered 503"),
        ("408", LookupUnavailable, "answered 408"),
        ("429", LookupUnavailable, "answered 429"),
        ("400", LookupMisconfigured, "answered 400"),
        ("401", LookupMisconfigured, "not let in"),
        ("403", LookupMisconfigured, "not let in"),
        ("410", LookupMisconfigured, "answered 410"),
        ("moved", LookupMisconfigured, "redirects are not followed"),
        ("empty", LookupMisconfigured, "answered 204"),
        ("shape", LookupMisconfigured, "not of its declared type"),
        ("half", LookupMisconfigured, "not of its declared type"),
        ("binary", LookupMisconfigured, "not UTF-8"),
        ("big", LookupMisconfigured, "larger than 1 MiB"),
        ("endless", LookupMisconfigured, "larger than 1 MiB"),
    ] {
        let error = client.fetch(&format!("http://{address}/{what}")).await;
        let error = error.expect_err(what);
        assert_eq!(error.reason, reason, "{what}: {error}");
        assert!(error.message.contains(message), "{what}: {error}");
        assert!(error.message.contains("lookup into customer"), "{error}");
        // Neither the filled-in part of the URL nor what was answered.
        assert!(!error.message.contains(&format!("/{what}")), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.retry_after, None, "{what}");
    }
    let error = client.fetch(&format!("http://{address}/shape")).await;
    assert_eq!(error.expect_err("shape").path, "customer.age");
}

#[tokio::test]
async fn retry_after_is_taken_in_both_forms() {
    let address = serve().await;
    let client = client(address, PATIENT);
    for (what, seconds) in [("seconds", Some(7)), ("date", Some(60)), ("nonsense", None)] {
        let error = client.fetch(&format!("http://{address}/{what}")).await;
        let error = error.expect_err(what);
        assert_eq!(error.reason, Reason::LookupUnavailable);
        assert_eq!(
            error.retry_after,
            seconds.map(Duration::from_secs),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_time_out_covers_the_body_too() {
    let address = serve().await;
    let client = client(address, Duration::from_millis(200));
    for what in ["slow", "stalled"] {
        let begun = Instant::now();
        let error = client.fetch(&format!("http://{address}/{what}")).await;
        let error = error.expect_err(what);
        assert_eq!(error.reason, Reason::LookupUnavailable, "{what}: {error}");
        assert!(
            error.message.contains("no answer within 200ms"),
            "{what}: {error}"
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{what}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    // A port that was free a moment ago, and that nothing listens on now.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let address = listener.local_addr().expect("has an address");
    std::mem::drop(listener);
    let client = client(address, PATIENT);
    let error = client.fetch(&format!("http://{address}/good")).await;
    let error = error.expect_err("nobody listens");
    assert_eq!(error.reason, Reason::LookupUnavailable);
    assert!(error.message.contains("could not connect"), "{error}");
}
