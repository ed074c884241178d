//! `quiver serve`

use std::{net::SocketAddr, sync::Arc};

use clap::Args;
use tokio::{net::TcpListener, sync::watch};

use super::{
    ConfigOptions, Failure, block_on, node,
    node::{Access, Node},
    print,
};
use crate::{
    api::{
        self, AppState,
        server::{self, Ended},
    },
    config::{Config, Loaded},
    engine::Engine,
};

const AFTER: &str = "\x1b[1;4mExamples:\x1b[0m
  quiver serve                                  127.0.0.1:7700, data in ./data
  quiver serve --data /var/lib/quiver --listen 0.0.0.0:7700     (needs a key: see `quiver keygen`)
  quiver serve --config config/s3.toml          a bucket; any number of nodes may serve the same one

SIGTERM or SIGINT: readiness says no, open requests are finished (server.shutdown_grace), then the
process ends. A second signal ends it at once. Nothing acknowledged is ever lost, not even by SIGKILL.";

/// Serves the HTTP API.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Serve {
    /// Address to listen on (server.listen) [default: 127.0.0.1:7700]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Serve a non-loopback address although no API key is configured (server.insecure)
    #[arg(long)]
    insecure: bool,
}

impl Serve {
    pub fn run(&self, options: &ConfigOptions) -> Result<(), Failure> {
        let mut flags = Vec::new();
        flags.extend(self.listen.clone().map(|text| ("server.listen", text, "--listen")));
        if self.insecure {
            flags.push(("server.insecure", "true".to_owned(), "--insecure"));
        }
        let loaded = options.load(&flags)?;
        check_bind(&loaded.config)?;
        node::start_logging(&loaded, "info")?;
        block_on(async {
            let signals = watch_signals()?;
            let server = tokio::select! {
                server = Server::start(&loaded) => server?,
                // Before there are requests one signal is enough.
                () = received(signals.clone(), 1) => return Ok(()),
            };
            print(&server.banner(&loaded.config))?;
            server.run(&loaded.config, signals).await
        })
    }
}

/// Data that anyone in the network may read and delete must be a decision.
fn check_bind(config: &Config) -> Result<(), Failure> {
    let listen = config.server.listen;
    if listen.ip().to_canonical().is_loopback() || !config.auth.keys.is_empty() || config.server.insecure {
        return Ok(());
    }
    let message =
        format!("refusing to listen on {listen}, which other machines can reach, without an API key");
    Err(Failure::usage(message).hint(
        "`quiver keygen` makes a key and its configuration; or pass --insecure where a proxy authenticates",
    ))
}

/// A server that is bound, with a store that works.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
    location: String,
    engine: Engine,
    state: Arc<AppState>,
}

impl Server {
    async fn start(loaded: &Loaded) -> Result<Self, Failure> {
        // First, since it is the quickest to fail.
        let listen = loaded.config.server.listen;
        let cannot_listen = |error| {
            Failure::new(format!("cannot listen on {listen}: {error}"))
                .hint("pass another address with --listen IP:PORT")
        };
        let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let node = Node::open(loaded, Access::Write).await?;
        let location = node.store.location();
        let engine = node.engine.clone();
        let state = AppState::new(node.engine, &loaded.config, node.metrics, node.clock)?;
        Ok(Self { listener, address, location, engine, state: Arc::new(state) })
    }

    /// What to know and to try first.
    fn banner(&self, config: &Config) -> String {
        let (version, address, location) = (env!("CARGO_PKG_VERSION"), self.reachable(), &self.location);
        let key =
            if config.auth.keys.is_empty() { "" } else { " -H \"Authorization: Bearer $QUIVER_API_KEY\"" };
        format!(
            "Quiver {version}\n  listening  http://{address} (documentation at /docs)\n  data       {location}\n  \
             try        curl -s http://{address}/v1/namespaces/demo/vectors{key} -H 'Content-Type: application/json' \
             -d '{{\"vectors\":[{{\"id\":\"a\",\"values\":[0.1,0.9]}}]}}'\n"
        )
    }

    /// The address as a client on this machine writes it.
    fn reachable(&self) -> SocketAddr {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        address
    }

    async fn run(self, config: &Config, signals: watch::Receiver<u32>) -> Result<(), Failure> {
        tracing::info!(address = %self.address, store = self.location, "serving");
        let drain = async {
            received(signals.clone(), 1).await;
            tracing::info!(grace = ?config.server.shutdown_grace, "finishing open requests");
            self.state.start_draining();
        };
        tokio::spawn(self.engine.clone().unload_in_background());
        if config.garbage.background {
            tokio::spawn(self.engine.collect_in_background());
        }
        let router = api::router(Arc::clone(&self.state));
        match server::serve(self.listener, router, &config.server, drain, received(signals.clone(), 2)).await
        {
            Ended::Drained => {
                tracing::info!("stopped");
                Ok(())
            }
            Ended::Cut { connections } => {
                tracing::warn!(connections, "stopped before every request was answered");
                Err(Failure::new(format!("stopped with {connections} connections cut off")))
            }
        }
    }
}

/// Completes when `count` signals were received; never, if none can be.
async fn received(mut signals: watch::Receiver<u32>, count: u32) {
    if signals.wait_for(|received| *received >= count).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Counts SIGTERM and SIGINT from now on.
fn watch_signals() -> Result<watch::Receiver<u32>, Failure> {
    let (sender, receiver) = watch::channel(0);
    let mut signals =
        Signals::new().map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
    tokio::spawn(async move {
        while signals.next().await {
            sender.send_modify(|received| *received += 1);
        }
    });
    Ok(receiver)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; false if there will be none.
    async fn next(&mut self) -> bool {
        tokio::select! {
            signal = self.terminate.recv() => signal.is_some(),
            signal = self.interrupt.recv() => signal.is_some(),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one; false if there will be none.
    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
