//! A client that loads an HTTP server: `cargo run --release -p quiver-load -- --help`.
//!
//! It sends bodies that were made beforehand, one a line of a file, on kept-alive connections, each
//! with a thread of its own, and reads of an answer only where it ends. So it takes little of the
//! processor that it shares with the server, and any server that speaks HTTP/1.1 is loaded alike.
//! The answers are written to a file, in the order of the bodies, for others to judge.

mod connection;
mod drive;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use drive::{Load, Run};

/// Loads an HTTP server with the bodies in a file and prints rates and latencies as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the server listens, such as 127.0.0.1:7700.
    address: String,
    /// The path that the bodies are posted to.
    path: String,
    /// A file with one JSON body a line.
    bodies: PathBuf,
    /// Connections; each sends its next request when it has the answer to the one before.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// Seconds of load. Bodies are sent again from the first when they run out, and every one is
    /// sent once even if that takes longer.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds after which it ends in any case.
    #[arg(long, default_value_t = 60.0)]
    at_most: f64,
    /// Requests a second, evenly spaced, instead of as many as the connections carry. A request
    /// that finds no connection idle waits, and its wait counts.
    #[arg(long)]
    rate: Option<f64>,
    /// Requests before the clock starts.
    #[arg(long, default_value_t = 200)]
    warm_up: usize,
    /// Where to write the first answer to each body, one a line; an empty line where there is none.
    #[arg(long)]
    answers: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let bodies = fs::read(&arguments.bodies)?;
    let bodies = bodies.split(|byte| *byte == b'\n').filter(|body| !body.is_empty());
    let load = Load {
        address: &arguments.address,
        requests: bodies.map(|body| connection::request(&arguments.address, &arguments.path, body)).collect(),
        clients: arguments.clients,
        time: Duration::from_secs_f64(arguments.seconds),
        at_most: Duration::from_secs_f64(arguments.at_most),
        interval: arguments.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
    };
    load.warm_up(arguments.warm_up)?;
    let mut run = load.run()?;
    if let Some(path) = arguments.answers {
        write_lines(&path, &run.answers)?;
    }
    println!("{}", report(&mut run));
    Ok(())
}

/// What the run measured, as JSON. Latencies are of the request on its connection, in milliseconds.
fn report(run: &mut Run) -> String {
    run.latencies.sort_unstable();
    let requests = run.latencies.len();
    let millis = |share: f64| {
        let index = (share * requests.saturating_sub(1) as f64).round() as usize;
        run.latencies.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let seconds = run.time.as_secs_f64();
    format!(
        r#"{{"requests":{requests},"seconds":{seconds},"per_second":{},"p50_ms":{},"p99_ms":{},"max_ms":{}}}"#,
        requests as f64 / seconds,
        millis(0.5),
        millis(0.99),
        millis(1.0),
    )
}

fn write_lines(path: &PathBuf, answers: &[Vec<u8>]) -> io::Result<()> {
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    for answer in answers {
        file.write_all(answer)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
