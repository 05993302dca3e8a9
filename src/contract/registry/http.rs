//! HTTP beneath the registry's calls: the client as configured, what is sent in paths and bodies, and answers as a
//! [`Failure`] before anyone knows what was asked.

use std::error::Error as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Extensions;
use http::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Identity, Request, Response};
use reqwest_middleware::Next;
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::RawError;
use url::Url;

use super::RegistryError;
use crate::config::model::{Registry, RegistryAuth, RegistryTls, Secret};

pub(super) const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// An error answer is a line of JSON; what is longer is a proxy's page.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// Of a registry's own words in a message of ours.
const MAX_ERROR_TEXT: usize = 2048;

/// What became of one request, before anyone knows what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    #[error("HTTP {status}")]
    Answered {
        status: u16,
        code: Option<u32>,
        message: String,
        retry_after: Option<Duration>,
    },
    #[error("{0}")]
    Unanswered(String),
}

/// The base URL without a trailing slash or credentials, and the authentication; credentials in the URL count as basic
/// ones, and no message ever shows them.
pub(super) fn address(registry: &Registry) -> Result<(String, RegistryAuth), String> {
    let mut url =
        Url::parse(&registry.url).map_err(|error| format!("the URL does not parse: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("the URL is to begin with http:// or https:// and name a host".to_owned());
    }
    let mut auth = registry.auth.clone();
    if !url.username().is_empty() || url.password().is_some() {
        if matches!(auth, RegistryAuth::None) {
            auth = RegistryAuth::Basic {
                username: decoded(url.username()),
                password: Secret::new(decoded(url.password().unwrap_or_default())),
            };
        }
        let stripped = url.set_username("").and_then(|()| url.set_password(None));
        stripped.map_err(|()| "the URL's credentials cannot be read".to_owned())?;
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok((url.as_str().trim_end_matches('/').to_owned(), auth))
}

fn decoded(text: &str) -> String {
    let bare = text.replace('+', "%2B");
    let pair = format!("x={bare}");
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// TLS with the machine's certificates alone. To read those takes some 50 ms, and a client has two of these: so they are read
/// once for all. `None`: each client tries for itself, and says what is wrong.
static CONNECTOR: LazyLock<Option<native_tls::TlsConnector>> =
    LazyLock::new(|| native_tls::TlsConnector::new().ok());

pub(super) fn http_client(tls: &RegistryTls) -> Result<reqwest::ClientBuilder, String> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let bad =
        |path: &Path, error: reqwest::Error| format!("{}: {}", path.display(), causes(&error));
    // A redirect is not followed: it would take the credentials to another host, or turn a POST into a GET.
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if (&tls.ca, &tls.cert, &tls.key) == (&None, &None, &None)
        && let Some(connector) = &*CONNECTOR
    {
        builder = builder.tls_backend_preconfigured(connector.clone());
    }
    if let Some(path) = &tls.ca {
        let authorities =
            Certificate::from_pem_bundle(&read(path)?).map_err(|error| bad(path, error))?;
        if authorities.is_empty() {
            return Err(format!(
                "{}: holds no certificate in PEM form",
                path.display()
            ));
        }
        builder = builder.tls_certs_merge(authorities);
    }
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let identity = Identity::from_pkcs8_pem(&read(cert)?, &read(key)?)
                .map_err(|error| bad(cert, error))?;
            builder = builder.identity(identity);
        }
        (None, None) => {}
        _ => {
            return Err(
                "a client certificate needs both auth.tls.cert and auth.tls.key".to_owned(),
            );
        }
    }
    Ok(builder)
}

/// Sees every request and answer of both clients: asks for the registry's media type, and turns whatever is not a
/// success into a [`Failure`] while its status, error code and `Retry-After` are still there.
pub(super) fn observe<'a>(
    mut request: Request,
    extensions: &'a mut Extensions,
    next: Next<'a>,
) -> BoxFuture<'a, reqwest_middleware::Result<Response>> {
    async move {
        let accept = request.headers_mut().entry(ACCEPT);
        accept.or_insert(HeaderValue::from_static(MEDIA_TYPE));
        let mut response = match next.run(request, extensions).await {
            Ok(response) => response,
            Err(error) => return Err(reqwest_middleware::Error::middleware(unanswered(error))),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        while body.len() < MAX_ERROR_BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // The status is known; a body that breaks off only loses its words.
                Ok(None) | Err(_) => break,
            }
        }
        let told = serde_json::from_slice::<RawError>(&body).ok();
        let message = match &told {
            Some(told) => told.message.chars().take(MAX_ERROR_TEXT).collect(),
            None => status
                .canonical_reason()
                .unwrap_or("no reason given")
                .to_owned(),
        };
        Err(reqwest_middleware::Error::middleware(Failure::Answered {
            status: status.as_u16(),
            code: told.map(|told| told.error_code),
            message,
            retry_after,
        }))
    }
    .boxed()
}

pub(super) fn failure_of(error: &SRCError) -> Failure {
    let source = error.source().and_then(|source| source.downcast_ref());
    match source {
        Some(reqwest_middleware::Error::Middleware(inner)) => match inner.downcast_ref::<Failure>()
        {
            Some(failure) => failure.clone(),
            None => Failure::Unanswered(inner.to_string()),
        },
        // The answer was a success and its body is not what it should be. Its own words would only repeat the URL.
        _ => Failure::Unanswered(format!("the answer is not a registry's: {}", error.error)),
    }
}

pub(super) fn typed(error: reqwest_middleware::Error) -> Failure {
    match error {
        reqwest_middleware::Error::Middleware(inner) => match inner.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(other) => Failure::Unanswered(other.to_string()),
        },
        other => unanswered(other),
    }
}

pub(super) fn unanswered(error: reqwest_middleware::Error) -> Failure {
    let timed_out = error.is_timeout();
    let text = causes(&error.without_url());
    Failure::Unanswered(if timed_out {
        format!("timed out: {text}")
    } else {
        text
    })
}

/// An error and its causes, on one line: reqwest's own text stops at "error sending request".
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// `Retry-After`: seconds, or a date, which is counted from the answer's own `Date`, so that clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let now = date(headers.get(http::header::DATE)?.to_str().ok()?)?;
    let wait = date(text)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

/// JSON without the white space between its tokens, all else untouched. Apicurio compares texts: a file that was only
/// formatted anew would be another version there.
pub(super) fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        let kept = in_string || !c.is_ascii_whitespace();
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && *c == '\\' && !escaped;
        kept
    };
    json.chars().filter(keep).collect()
}

/// A subject as one segment of a path. Only what would break the path is escaped: not every registry decodes escapes
/// (AxonOps does not), and `:` or `@` need none.
pub(super) fn encoded(subject: &str) -> Result<String, RegistryError> {
    if matches!(subject, "" | "." | "..") {
        return Err(RegistryError::Refused {
            status: 422,
            message: format!("{subject:?} cannot be a subject"),
        });
    }
    let mut path = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b'%' | b'/' | b'?' | b'#' | b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|'
            | b'}' => {
                path.push_str(&format!("%{byte:02X}"));
            }
            0x21..=0x7e => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_keep_what_a_path_can_carry() {
        for (subject, expect) in [
            ("orders-value", "orders-value"),
            (":.ctx:orders.v1", ":.ctx:orders.v1"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("50% off é", "50%25%20off%20%C3%A9"),
        ] {
            assert_eq!(encoded(subject).as_deref(), Ok(expect));
        }
        for impossible in ["", ".", ".."] {
            assert!(matches!(
                encoded(impossible),
                Err(RegistryError::Refused { .. })
            ));
        }
    }

    #[test]
    fn compacting_touches_nothing_inside_strings() {
        for (json, expect) in [
            (" { \"a\" :\n [ 1.0 , 2 ] }\n", r#"{"a":[1.0,2]}"#),
            (
                r#"{ "doc": "two  words, a \" and a \\", "x": 1 }"#,
                r#"{"doc":"two  words, a \" and a \\","x":1}"#,
            ),
        ] {
            assert_eq!(compact(json), expect);
        }
    }

    fn settings(url: &str, auth: RegistryAuth) -> Registry {
        Registry {
            url: url.to_owned(),
            auth,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn credentials_in_the_url_are_used_and_never_shown() {
        let registry = settings(
            "https://me:p%40ss+1@host:8081/apis/ccompat/v7/",
            RegistryAuth::None,
        );
        let (base, auth) = address(&registry).expect("a good URL");
        assert_eq!(base, "https://host:8081/apis/ccompat/v7");
        match auth {
            RegistryAuth::Basic { username, password } => {
                assert_eq!((username.as_str(), password.expose()), ("me", "p@ss+1"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let parse = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header value"));
            let date = "Wed, 21 Oct 2026 07:28:00 GMT";
            headers.insert(http::header::DATE, date.parse().expect("a header value"));
            retry_after(&headers)
        };
        assert_eq!(parse("7"), Some(Duration::from_secs(7)));
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(
            parse("Wed, 21 Oct 2026 07:28:09 GMT"),
            Some(Duration::from_secs(9))
        );
        assert_eq!(parse("soon"), None);
    }
}
