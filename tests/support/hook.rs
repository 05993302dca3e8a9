//! A webhook that keeps what it is told, behind a proxy: it can be slow, refuse, hang and be down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use driftgate::config::model::{Alert, AlertFormat, AlertKind, Secret};
use driftgate::config::units::parse_rate;
use serde_json::Value as Json;

use super::{Proxy, Reply, ScriptedServer};

/// What no log may show.
pub const TOKEN: &str = "s3cret-of-the-webhook";

/// A webhook.
pub struct Hook {
    server: ScriptedServer,
    reply: Arc<Mutex<Reply>>,
    taken: Arc<Mutex<Vec<Json>>>,
    /// In front of it.
    pub proxy: Proxy,
}

impl Hook {
    /// One that takes everything.
    pub fn start() -> Hook {
        let reply = Arc::new(Mutex::new(Reply::status(200)));
        let taken: Arc<Mutex<Vec<Json>>> = Arc::default();
        let (answer, keep) = (Arc::clone(&reply), Arc::clone(&taken));
        let server = ScriptedServer::start(move |asked| {
            let reply = answer.lock().expect("no panic").clone();
            if reply.status == 200 {
                let body = serde_json::from_str(&asked.body).expect("JSON");
                keep.lock().expect("no panic").push(body);
            }
            reply
        });
        let proxy = Proxy::to(server.url().trim_start_matches("http://"));
        Hook {
            server,
            reply,
            taken,
            proxy,
        }
    }

    /// Where it is, with a secret.
    pub fn url(&self) -> String {
        format!("http://{}/hook?token={TOKEN}", self.proxy.address())
    }

    /// An entry of `alerts` that tells it what lasts a second, in our JSON.
    pub fn alert(&self) -> Alert {
        Alert {
            webhook: Secret::new(self.url()),
            format: AlertFormat::Json,
            kinds: AlertKind::ALL.to_vec(),
            when: None,
            after: Duration::from_secs(1),
            dead_letters_above: parse_rate("10/m").expect("a rate"),
            remind_every: None,
        }
    }

    /// What it answers from now on.
    pub fn answers(&self, reply: Reply) {
        *self.reply.lock().expect("no panic") = reply;
    }

    /// What it has taken, in order.
    pub fn taken(&self) -> Vec<Json> {
        self.taken.lock().expect("no panic").clone()
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.server.asked().len()
    }

    /// `state kind` of what it has taken.
    pub fn states(&self) -> Vec<String> {
        let taken = self.taken();
        let word = |json: &Json| json.as_str().expect("a word").to_owned();
        taken
            .iter()
            .map(|told| format!("{} {}", word(&told["state"]), word(&told["kind"])))
            .collect()
    }

    /// The first that it has taken of that state and kind.
    pub fn find(&self, state: &str, kind: &str) -> Option<Json> {
        let taken = self.taken().into_iter();
        let mut found = taken.filter(|told| told["state"] == state && told["kind"] == kind);
        found.next()
    }
}
