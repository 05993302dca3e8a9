//! One HTTP request, for tests that are not asynchronous themselves (and may run inside a runtime all the same).

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// A request that is being put together.
pub struct Request {
    method: reqwest::Method,
    url: String,
    body: Option<serde_json::Value>,
    basic: Option<(String, String)>,
    ca: Option<Vec<u8>>,
}

/// `GET url`
pub fn get(url: impl Into<String>) -> Request {
    Request::new(reqwest::Method::GET, url)
}

/// `POST url` with a JSON body.
pub fn post(url: impl Into<String>, body: serde_json::Value) -> Request {
    let mut request = Request::new(reqwest::Method::POST, url);
    request.body = Some(body);
    request
}

/// `PUT url` with a JSON body.
pub fn put(url: impl Into<String>, body: serde_json::Value) -> Request {
    let mut request = Request::new(reqwest::Method::PUT, url);
    request.body = Some(body);
    request
}

/// Without an authority of its own. Making a client reads all that the machine trusts, which takes 20 ms of the processor:
/// too much for every look at a metric.
static COMMON: OnceLock<reqwest::Client> = OnceLock::new();

/// Keeps no connection, since each request has a runtime of its own.
fn client(trusted: Option<reqwest::Certificate>) -> Result<reqwest::Client, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(10));
    match trusted {
        Some(certificate) => client.add_root_certificate(certificate).build(),
        None => client.build(),
    }
}

impl Request {
    fn new(method: reqwest::Method, url: impl Into<String>) -> Request {
        Request {
            method,
            url: url.into(),
            body: None,
            basic: None,
            ca: None,
        }
    }

    /// Adds basic authentication.
    #[must_use]
    pub fn basic(mut self, username: &str, password: &str) -> Request {
        self.basic = Some((username.to_owned(), password.to_owned()));
        self
    }

    /// Trusts the authority in this PEM file.
    #[must_use]
    pub fn ca(mut self, file: &Path) -> Request {
        self.ca = Some(std::fs::read(file).expect("the certificate that the test made"));
        self
    }

    /// The status and the body as text; an error when there was no answer within ten seconds.
    pub fn send(self) -> Result<(u16, String), reqwest::Error> {
        let exchange = async move {
            let client = match self.ca {
                Some(pem) => client(Some(reqwest::Certificate::from_pem(&pem)?))?,
                None => COMMON
                    .get_or_init(|| client(None).expect("it builds"))
                    .clone(),
            };
            let mut request = client.request(self.method, self.url);
            if let Some((username, password)) = self.basic {
                request = request.basic_auth(username, Some(password));
            }
            if let Some(body) = self.body {
                request = request.json(&body);
            }
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        };
        // A runtime cannot be entered twice on one thread, and the caller may be in one.
        std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(exchange)
        })
        .join()
        .expect("the request does not panic")
    }
}
