//! Requests on several connections at once, as fast as they go (closed loop) or at a rate.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::connection::Connection;

/// What is to be sent, and how.
pub struct Load<'a> {
    pub address: &'a str,
    pub requests: Vec<Vec<u8>>,
    pub clients: usize,
    /// How long, but until every request was sent once.
    pub time: Duration,
    /// How long at most.
    pub at_most: Duration,
    /// From one request to the next; none: as soon as a connection is idle.
    pub interval: Option<Duration>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Run {
    pub time: Duration,
    pub latencies: Vec<Duration>,
    /// The first answer to each request; empty where there is none.
    pub answers: Vec<Vec<u8>>,
}

/// What one client measured, and the answers that it got first.
type Share = (Vec<Duration>, Vec<(usize, Vec<u8>)>);

impl Load<'_> {
    /// Sends so many requests on a connection of their own.
    pub fn warm_up(&self, count: usize) -> io::Result<()> {
        let mut connection = Connection::open(self.address)?;
        for request in self.requests.iter().cycle().take(count) {
            connection.exchange(request)?;
        }
        Ok(())
    }

    pub fn run(&self) -> io::Result<Run> {
        // Connections exist before the clock starts.
        let connections: Vec<_> =
            (0..self.clients).map(|_| Connection::open(self.address)).collect::<io::Result<_>>()?;
        let (next, start) = (AtomicUsize::new(0), Instant::now());
        let shares: Vec<io::Result<Share>> = thread::scope(|scope| {
            let start_client = |connection| scope.spawn(|| self.client(connection, &next, start));
            let clients: Vec<_> = connections.into_iter().map(start_client).collect();
            let ended = |client: thread::ScopedJoinHandle<'_, _>| {
                client.join().unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            };
            clients.into_iter().map(ended).collect()
        });
        let mut run = Run { time: start.elapsed(), ..Run::default() };
        run.answers.resize(self.requests.len(), Vec::new());
        for share in shares {
            let (latencies, answers) = share?;
            run.latencies.extend(latencies);
            for (number, answer) in answers {
                run.answers[number] = answer;
            }
        }
        Ok(run)
    }

    fn client(&self, mut connection: Connection, next: &AtomicUsize, start: Instant) -> io::Result<Share> {
        let (mut latencies, mut answers) = (Vec::new(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let begun = self.turn(number, start);
            let elapsed = begun - start;
            let first = number < self.requests.len();
            if elapsed >= self.at_most || (elapsed >= self.time && !first) {
                return Ok((latencies, answers));
            }
            let answer = connection.exchange(&self.requests[number % self.requests.len()])?;
            latencies.push(begun.elapsed());
            if first {
                answers.push((number, answer.to_vec()));
            }
        }
    }

    /// Waits for a request's turn; returns when its latency begins. That is when it was due, if the
    /// connection was late, and otherwise when it woke up, because the operating system wakes late.
    fn turn(&self, number: usize, start: Instant) -> Instant {
        let Some(interval) = self.interval else { return Instant::now() };
        let due = start + interval.mul_f64(number as f64);
        let early = due.saturating_duration_since(Instant::now());
        if early.is_zero() {
            return due;
        }
        thread::sleep(early);
        Instant::now()
    }
}
