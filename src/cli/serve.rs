//! `quiver serve`

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use clap::Args;
use tokio::net::TcpListener;

use super::{
    ConfigOptions, Failure, block_on, node,
    node::{Access, Node},
    print,
    signals::{Signals, Stop},
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

SIGTERM: readiness says no, while requests are served on (server.drain_delay), so that load balancers
notice; then no connection is accepted and open requests are finished (server.shutdown_grace).
SIGINT (Ctrl-C): the same without the delay. A second signal ends the process at once. Nothing
acknowledged is ever lost, not even by SIGKILL.";

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
            let signals =
                Signals::watch().map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
            let server = tokio::select! {
                server = Server::start(&loaded) => server?,
                // Before there are requests one signal is enough.
                () = signals.reached(Stop::Draining) => return Ok(()),
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
        let (version, address, location) =
            (env!("CARGO_PKG_VERSION"), reachable(self.address), &self.location);
        let key =
            if config.auth.keys.is_empty() { "" } else { " -H \"Authorization: Bearer $QUIVER_API_KEY\"" };
        format!(
            "Quiver {version}\n  listening  http://{address} (documentation at /docs)\n  data       {location}\n  \
             try        curl -s http://{address}/v1/namespaces/demo/vectors{key} -H 'Content-Type: application/json' \
             -d '{{\"vectors\":[{{\"id\":\"a\",\"values\":[0.1,0.9]}}]}}'\n"
        )
    }

    async fn run(self, config: &Config, signals: Signals) -> Result<(), Failure> {
        tracing::info!(address = %self.address, store = self.location, "serving");
        let drain = async {
            signals.reached(Stop::Draining).await;
            self.state.start_draining();
            let (delay, grace) = (config.server.drain_delay, config.server.shutdown_grace);
            tracing::info!(?delay, "not ready any more; serving on until balancers have noticed");
            // It is over when the delay is, or as soon as a signal asks for more.
            let _ = tokio::time::timeout(delay, signals.reached(Stop::Closing)).await;
            tracing::info!(?grace, "finishing open requests");
        };
        tokio::spawn(self.engine.clone().unload_in_background());
        if config.garbage.background {
            tokio::spawn(self.engine.collect_in_background());
        }
        let router = api::router(Arc::clone(&self.state));
        match server::serve(self.listener, router, &config.server, drain, signals.reached(Stop::Now)).await {
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

/// A listening address as a client on this machine writes it.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}
