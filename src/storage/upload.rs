//! A blob that is written piece by piece in bounded memory.
//!
//! What fits into one part is one ordinary put, retries included. Anything larger goes to a
//! temporary file (fs) or is sent in parts (remote stores); the memory backend gathers it, since it
//! would lie in memory anyway.
//!
//! Invariant: nothing is visible under the key before [`Upload::finish`] makes it so in one step; an
//! upload that failed or was dropped leaves nothing that a reader or a listing sees.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::sync::Mutex;

use super::{
    Key, Operation, Result, Store,
    backend::Context,
    error::{Failure, StoreErrorKind},
    files::Staged,
    layers::{Call, Pulse},
    parts::{InParts, UPLOAD_PART},
};

/// A blob on its way to a key; see [`Store::upload`].
pub struct Upload {
    store: Store,
    key: Key,
    /// What is not sent yet; at most one part, except on the memory backend.
    pending: BytesMut,
    /// Where parts went so far. An attempt that outlives its timeout shares it.
    sink: Arc<Mutex<Option<Sink>>>,
    state: State,
    pulse: Pulse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing left this process.
    Gathering,
    /// Parts were sent.
    Begun,
    /// A part was not taken.
    Failed,
}

/// Where the parts of an upload go.
pub(super) enum Sink {
    File(Staged),
    Parts(InParts),
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("key", &self.key).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Upload {
    pub(super) fn new(store: Store, key: Key) -> Self {
        let pulse = Pulse::default();
        Self { store, key, pending: BytesMut::new(), sink: Arc::default(), state: State::Gathering, pulse }
    }

    /// Adds a piece of any length at the end. It is copied, and sent when a part is full.
    ///
    /// After an error the upload is lost: nothing becomes visible, whatever is called next.
    pub async fn write(&mut self, mut piece: Bytes) -> Result<()> {
        self.check()?;
        let part = if self.store.backend.is_memory() { usize::MAX } else { UPLOAD_PART };
        while !piece.is_empty() {
            if self.pending.len() >= part {
                self.send().await?;
            }
            let taken = piece.split_to(piece.len().min(part - self.pending.len()));
            self.pending.extend_from_slice(&taken);
        }
        Ok(())
    }

    /// Makes the object visible, replacing any there was. [`StoreErrorKind::Unknown`]: it may be
    /// visible, whole; with any other error it is not.
    pub async fn finish(mut self) -> Result<()> {
        self.check()?;
        let rest = self.pending.split().freeze();
        if self.state == State::Gathering {
            return self.store.put(&self.key, rest).await;
        }
        let (sink, pulse) = (self.sink.clone(), self.pulse.clone());
        self.step(rest.len(), async move {
            let Some(sink) = sink.lock().await.take() else { return Err(lost()) };
            let sink = sink.append(rest).await?;
            pulse.beat();
            sink.publish().await
        })
        .await
    }

    fn check(&self) -> Result<()> {
        match self.state {
            State::Gathering | State::Begun => Ok(()),
            State::Failed => Err(lost().attach(Operation::Upload, self.key.shared())),
        }
    }

    /// Sends what was gathered as one part.
    async fn send(&mut self) -> Result<()> {
        let part = self.pending.split().freeze();
        // Until it is known to be sent, also if this future is dropped.
        let begun = std::mem::replace(&mut self.state, State::Failed) == State::Begun;
        let (store, key, sink, cx) =
            (self.store.clone(), self.key.clone(), self.sink.clone(), self.context());
        self.step(part.len(), async move {
            let mut place = sink.lock().await;
            let open = match place.take() {
                Some(open) => open,
                None if begun => return Err(lost()),
                None => store.backend.begin_upload(&cx, key).await?,
            };
            *place = Some(open.append(part).await?);
            Ok(())
        })
        .await?;
        self.state = State::Begun;
        Ok(())
    }

    async fn step<F>(&self, bytes: usize, work: F) -> Result<()>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let call = Call { operation: Operation::Upload, key: self.key.shared(), bytes: bytes as u64 };
        self.store.layers.attempt(call, &self.pulse, work).await
    }

    fn context(&self) -> Context {
        let metrics = self.store.layers.metrics().clone();
        Context { operation: Operation::Upload, metrics, pulse: self.pulse.clone() }
    }
}

impl Sink {
    /// Adds a part. A sink that failed is given up.
    async fn append(self, part: Bytes) -> Result<Self, Failure> {
        match self {
            Self::File(mut staged) => {
                blocking(move || staged.append(&part).map(|()| Self::File(staged))).await
            }
            Self::Parts(mut parts) => match parts.append(part).await {
                Ok(()) => Ok(Self::Parts(parts)),
                Err(failure) => {
                    parts.abort().await;
                    Err(failure)
                }
            },
        }
    }

    async fn publish(self) -> Result<(), Failure> {
        match self {
            Self::File(staged) => blocking(move || staged.publish()).await,
            Self::Parts(parts) => parts.publish().await,
        }
    }
}

async fn blocking<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Failure::no_answer(Operation::Upload, error.to_string())))
}

fn lost() -> Failure {
    Failure::new(StoreErrorKind::Refused, "the upload failed before; nothing was written")
}
