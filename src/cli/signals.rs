//! SIGTERM and SIGINT, as steps towards the end of the process.

use std::io;

use tokio::sync::watch;

/// How far the end is. Each step includes the ones before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// No signal came.
    #[default]
    No,
    /// Somebody should take over: leave balancers time to notice.
    Draining,
    /// Finish what is open. A person at a terminal has no balancer to wait for.
    Closing,
    /// At once.
    Now,
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Terminate,
    Interrupt,
}

impl Stop {
    /// The step after a signal.
    fn after(self, signal: Signal) -> Self {
        match (self, signal) {
            (Self::No, Signal::Terminate) => Self::Draining,
            (Self::No, Signal::Interrupt) => Self::Closing,
            (Self::Draining | Self::Closing | Self::Now, _) => Self::Now,
        }
    }
}

/// What the signals received so far ask for.
#[derive(Debug, Clone)]
pub(super) struct Signals(watch::Receiver<Stop>);

impl Signals {
    /// Watches for signals from now on.
    pub fn watch() -> io::Result<Self> {
        let (sender, receiver) = watch::channel(Stop::default());
        let mut source = Source::new()?;
        tokio::spawn(async move {
            while let Some(signal) = source.next().await {
                sender.send_modify(|stop| *stop = stop.after(signal));
            }
        });
        Ok(Self(receiver))
    }

    /// Completes when this step is reached; never, if no signal can come.
    pub async fn reached(&self, step: Stop) {
        if self.0.clone().wait_for(|stop| *stop >= step).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
struct Source {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one; none if there will be none.
    async fn next(&mut self) -> Option<Signal> {
        tokio::select! {
            signal = self.terminate.recv() => signal.map(|()| Signal::Terminate),
            signal = self.interrupt.recv() => signal.map(|()| Signal::Interrupt),
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one; none if there will be none.
    async fn next(&mut self) -> Option<Signal> {
        tokio::signal::ctrl_c().await.is_ok().then_some(Signal::Interrupt)
    }
}
