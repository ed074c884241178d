//! A body that counts its bytes and tells when it is done.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

/// Passes `body` on unchanged.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    bytes: Counter,
    _done: Option<oneshot::Sender<()>>,
}

impl TrackedBody {
    /// Counts every byte that passes.
    pub fn new(body: Body, bytes: Counter) -> Self {
        Self { body, bytes, _done: None }
    }

    /// Drops `done` together with the body.
    pub fn until(self, done: oneshot::Sender<()>) -> Self {
        Self { _done: Some(done), ..self }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let poll = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &poll
            && let Some(data) = frame.data_ref()
        {
            self.bytes.inc_by(data.len() as u64);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
