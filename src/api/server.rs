//! The connections under the routes: accepting, protocols, time limits, and an orderly end.
//!
//! A router knows requests; most of what goes wrong with clients happens before there is one (a
//! header that never ends) or after (a response that nobody reads). Both are bounded here
//! ([`timed`]), so that a client can hold a connection only as long as it gets on.
//!
//! Invariant: once draining has begun no new connection is accepted, every request whose header
//! had arrived is answered if it finishes within the grace, and nothing outlives the call.

mod timed;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower::ServiceExt;

use self::timed::{Activity, CountedBody, Limits, TimedIo};
use crate::config::ServerConfig;

/// Bytes of a request's header, and of what is buffered while reading.
const MAX_HEADER_BYTES: u32 = 128 * 1024;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// How often a quiet HTTP/2 peer is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// A pause after an error that says the process is out of something (file descriptors above all).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request was answered.
    Drained,
    /// Connections were cut: the grace was over, or `abort` said so.
    Cut {
        /// How many.
        connections: usize,
    },
}

/// Serves `router` on `listener` until `drain` completes; then finishes open requests for at most
/// `config.shutdown_grace`, or until `abort` completes.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &ServerConfig,
    drain: impl Future<Output = ()>,
    abort: impl Future<Output = ()>,
) -> Ended {
    let slots = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
    let total = slots.available_permits();
    let graceful = GracefulShutdown::new();
    // Closed when this function returns, whichever way: connections end with it.
    let (alive, cut) = watch::channel(());
    let connection = Connection { router, limits: Limits::of(config), builder: builder() };
    let connection = Arc::new(connection);

    tokio::pin!(drain);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, accept(&listener).await))
        };
        let (slot, (stream, peer)) = tokio::select! {
            biased;
            () = &mut drain => break,
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                None => break,
            },
        };
        let (connection, watcher, mut cut) = (Arc::clone(&connection), graceful.watcher(), cut.clone());
        tokio::spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = connection.serve(stream, peer, watcher) => {}
                _ = cut.changed() => {}
            }
        });
    }
    drop(listener);
    let ended = tokio::select! {
        biased;
        () = graceful.shutdown() => Ended::Drained,
        () = tokio::time::sleep(config.shutdown_grace) => Ended::Cut { connections: total - slots.available_permits() },
        () = abort => Ended::Cut { connections: total - slots.available_permits() },
    };
    drop(alive);
    ended
}

/// The next connection. Errors of one connection concern nobody else; running out of file
/// descriptors passes when connections end.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Idle time and the time for a header are two limits, which hyper does not tell apart.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES as usize)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .adaptive_window(true)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

/// What connections have in common.
struct Connection {
    router: Router,
    limits: Limits,
    builder: Builder<TokioExecutor>,
}

impl Connection {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Without it a small response waits for the acknowledgement of the one before: 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY");
        }
        let activity = Arc::new(Activity::default());
        let io = TokioIo::new(TimedIo::new(stream, Arc::clone(&activity), self.limits));
        let service = service_fn(|mut request: Request<Incoming>| {
            let open = Activity::begin(&activity);
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = self.router.clone().oneshot(request);
            async move {
                let response = response.await?;
                Ok::<_, Infallible>(response.map(|body| CountedBody::new(body, open)))
            }
        });
        if let Err(error) = watcher.watch(self.builder.serve_connection(io, service)).await {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}
