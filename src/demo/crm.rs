//! The demo's lookup server: a real one on loopback, which stops listening and comes back on the same port.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Json;
use axum::extract::Path;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The server.
pub struct Crm {
    address: SocketAddr,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Crm {
    /// Starts it on a free port.
    pub async fn start() -> anyhow::Result<Crm> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("a port for the CRM server")?;
        let address = listener.local_addr()?;
        Ok(Crm {
            address,
            serving: Mutex::new(Some(serve(listener))),
        })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening and drops every connection.
    pub async fn down(&self) {
        if let Some(task) = self.serving.lock().await.take() {
            task.abort();
            // An abort is the expected end; waiting for it frees the port.
            drop(task.await);
        }
    }

    /// Listens again, if it does not.
    pub async fn up(&self) -> anyhow::Result<()> {
        let mut serving = self.serving.lock().await;
        if serving.is_none() {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(self.address).context("the CRM server's port")?;
            *serving = Some(serve(socket.listen(128)?));
        }
        Ok(())
    }
}

fn serve(listener: TcpListener) -> JoinHandle<()> {
    tokio::spawn(async move {
        let routes = axum::Router::new().route("/customers/{id}", get(customer));
        // Each connection is a child of this task's accept loop and is closed by its client when it goes away.
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::warn!("CRM server: {error}");
        }
    })
}

async fn customer(Path(id): Path<i64>) -> Json<Value> {
    let segment =
        ["consumer", "business", "public"][usize::try_from(id.rem_euclid(3)).unwrap_or(0)];
    Json(json!({ "name": format!("Customer {id}"), "segment": segment, "internal": true }))
}
