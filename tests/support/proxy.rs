//! A TCP proxy that fails on command, in front of a broker or a registry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{eventually, ports};

/// What the proxy does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Passes them on, each chunk after this delay.
    Pass(Duration),
    /// Keeps connections open and passes nothing on: a network that drops packets.
    Hold,
    /// Does not listen: connections are refused, and those that were open are cut.
    Refuse,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    target: Option<SocketAddr>,
    /// Connections opened under another number are cut.
    generation: u64,
}

/// A proxy on a port that it keeps. Dropping it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    listening: watch::Receiver<bool>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// A proxy in front of `target` (`host:port` with an IP address).
    pub fn to(target: &str) -> Proxy {
        let proxy = Proxy::start();
        proxy.forward_to(target);
        proxy
    }

    /// A proxy whose target is told later: for a broker that must know the address it is to advertise before it starts.
    pub fn start() -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime");
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let (state, _) = watch::channel(State {
            mode: Mode::Pass(Duration::ZERO),
            target: None,
            generation: 0,
        });
        let state = Arc::new(state);
        let (tell, listening) = watch::channel(false);
        runtime.spawn(listen(address, state.subscribe(), tell));
        let proxy = Proxy {
            address,
            state,
            listening,
            runtime: Some(runtime),
        };
        proxy.wait_until_listening(true);
        proxy
    }

    /// Where clients connect to.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets the target.
    pub fn forward_to(&self, target: &str) {
        let target = target.parse().expect("an IP address and a port");
        self.state.send_modify(|state| state.target = Some(target));
    }

    /// Cuts every open connection; new ones are served.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Cuts every open connection and refuses new ones, until [`pass`](Self::pass).
    pub fn refuse(&self) {
        self.set(Mode::Refuse);
        self.wait_until_listening(false);
    }

    /// Passes nothing on any more, with connections left open, until [`pass`](Self::pass).
    pub fn hold(&self) {
        self.set(Mode::Hold);
    }

    /// Delays every chunk of bytes, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.set(Mode::Pass(delay));
    }

    /// Works as if it were not there.
    pub fn pass(&self) {
        self.set(Mode::Pass(Duration::ZERO));
        self.wait_until_listening(true);
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            if mode == Mode::Refuse {
                state.generation += 1;
            }
        });
    }

    fn wait_until_listening(&self, wanted: bool) {
        eventually(
            Duration::from_secs(10),
            "the proxy listens, or does not",
            || *self.listening.borrow() == wanted,
        );
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime waits for its tasks, which is not allowed inside another runtime.
            runtime.shutdown_background();
        }
    }
}

async fn listen(address: SocketAddr, mut state: watch::Receiver<State>, tell: watch::Sender<bool>) {
    let connections = state.clone();
    loop {
        let refusing = |state: &State| state.mode == Mode::Refuse;
        if state.wait_for(|state| !refusing(state)).await.is_err() {
            return;
        }
        let Ok(listener) = TcpListener::bind(address).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        tell.send_replace(true);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((client, _)) = accepted {
                        tokio::spawn(serve(client, connections.clone()));
                    }
                }
                stop = async { state.wait_for(refusing).await.map(|_| ()) } => {
                    if stop.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
        drop(listener);
        tell.send_replace(false);
    }
}

/// One connection, until either side ends it or it is cut.
async fn serve(client: TcpStream, mut state: watch::Receiver<State>) {
    let State {
        generation, target, ..
    } = *state.borrow();
    let Some(target) = target else { return };
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let up = pump(client_in, server_out, state.clone());
    let down = pump(server_in, client_out, state.clone());
    // Dropping the streams closes both ends.
    tokio::select! {
        () = async { tokio::join!(up, down); } => {}
        _ = state.wait_for(|now| now.generation != generation) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let delay = match state.wait_for(|state| state.mode != Mode::Hold).await {
            Ok(now) => match now.mode {
                Mode::Pass(delay) => delay,
                Mode::Hold | Mode::Refuse => return,
            },
            Err(_) => return,
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // The other direction may still have something to say; an error would mean that it is closed already.
    to.shutdown().await.ok();
}
