//! Time limits of one connection.
//!
//! | state | limit |
//! |---|---|
//! | connected, or a header has begun | `header_read_timeout` until it is complete |
//! | between requests | `keep_alive_timeout` |
//! | a request is worked on | none here: its own deadlines apply |
//! | a response is not taken | `write_timeout` without progress |
//!
//! The limits sit between the socket and the protocol, because from there all of them look the
//! same for HTTP/1 and HTTP/2, and because even the choice between the two waits for bytes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::task::AtomicWaker;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::config::ServerConfig;

/// What an HTTP/2 client sends first.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    header: Duration,
    idle: Duration,
    write: Duration,
}

impl Limits {
    pub fn of(config: &ServerConfig) -> Self {
        Self {
            header: config.header_read_timeout,
            idle: config.keep_alive_timeout,
            write: config.write_timeout,
        }
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    started: AtomicU64,
    open: AtomicUsize,
    /// Whoever reads the connection. Hyper, once told that there is nothing to read, waits for bytes
    /// only; without a call when a request ends, the time of the next wait would never begin.
    reader: AtomicWaker,
}

/// A request that is worked on; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Activity {
    pub fn begin(this: &Arc<Self>) -> Open {
        this.open.fetch_add(1, Ordering::AcqRel);
        this.started.fetch_add(1, Ordering::AcqRel);
        Open(Arc::clone(this))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.reader.wake();
    }
}

/// A response body that keeps its request open until it is sent or dropped.
#[derive(Debug)]
pub(super) struct CountedBody<B> {
    body: B,
    _open: Open,
}

impl<B> CountedBody<B> {
    pub fn new(body: B, open: Open) -> Self {
        Self { body, _open: open }
    }
}

impl<B: Body + Unpin> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is waited for when no request is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// A header of which the connection owes every byte in time.
    Header,
    /// The first byte of the next request.
    NextRequest,
}

/// A connection that fails with [`io::ErrorKind::TimedOut`] when it passes a limit.
#[derive(Debug)]
pub(super) struct TimedIo<T> {
    io: T,
    activity: Arc<Activity>,
    limits: Limits,
    waiting: Waiting,
    seen: u64,
    preface: usize,
    is_http2: bool,
    read_deadline: Pin<Box<Sleep>>,
    write_deadline: Option<Pin<Box<Sleep>>>,
}

impl<T> TimedIo<T> {
    pub fn new(io: T, activity: Arc<Activity>, limits: Limits) -> Self {
        Self {
            io,
            activity,
            waiting: Waiting::Header,
            seen: 0,
            preface: 0,
            is_http2: false,
            read_deadline: Box::pin(tokio::time::sleep(limits.header)),
            write_deadline: None,
            limits,
        }
    }

    fn wait_for(&mut self, waiting: Waiting) {
        self.waiting = waiting;
        let limit = match waiting {
            Waiting::Header => self.limits.header,
            Waiting::NextRequest => self.limits.idle,
        };
        self.read_deadline.as_mut().reset(Instant::now() + limit);
    }

    fn request_is_open(&self) -> bool {
        self.activity.open.load(Ordering::Acquire) > 0
    }

    /// Notices that requests were answered since the last look, and says whether one is open. One look
    /// at each number, `started` first: requests it counts that are not open have ended.
    fn observe_requests(&mut self) -> bool {
        let started = self.activity.started.load(Ordering::Acquire);
        let open = self.request_is_open();
        if started != self.seen && !open {
            self.seen = started;
            self.wait_for(Waiting::NextRequest);
        }
        open
    }

    fn observe_bytes(&mut self, bytes: &[u8]) {
        if !self.is_http2 && self.preface < HTTP2_PREFACE.len() {
            let matching =
                bytes.iter().zip(&HTTP2_PREFACE[self.preface..]).take_while(|(a, b)| a == b).count();
            self.preface += matching;
            if self.preface == HTTP2_PREFACE.len() {
                self.is_http2 = true;
                self.wait_for(Waiting::NextRequest);
            } else if matching < bytes.len() {
                // HTTP/1: never look again.
                self.preface = usize::MAX;
            }
        }
        // On HTTP/2 any byte may be a ping, which must not start the clock of a header.
        if !self.is_http2 && self.waiting == Waiting::NextRequest && !self.request_is_open() {
            self.wait_for(Waiting::Header);
        }
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.observe_requests();
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(cx, buf) {
            this.observe_bytes(&buf.filled()[before..]);
            return Poll::Ready(read);
        }
        // Before the look, so that an end after it is not missed.
        this.activity.reader.register(cx.waker());
        if !this.observe_requests() {
            ready!(this.read_deadline.as_mut().poll(cx));
            return Poll::Ready(Err(timed_out(match this.waiting {
                Waiting::Header => "the request header did not arrive in time",
                Waiting::NextRequest => "idle for too long",
            })));
        }
        Poll::Pending
    }
}

impl<T: AsyncWrite + Unpin> TimedIo<T> {
    /// Passes a write on, or fails once writes have been stuck for too long.
    fn progress<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let limit = self.limits.write;
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(timed_out("the client does not take its response")))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.progress(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.progress(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.io).poll_shutdown(cx);
        this.progress(cx, shut)
    }
}
