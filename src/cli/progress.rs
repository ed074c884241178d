//! How far a command is: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

/// The pause between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A line about the work, for people. If stderr is gone, nobody is left to tell.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Rows and bytes that are done, out of how much work.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    started: Instant,
    last_line: Instant,
    rows: u64,
    bytes: u64,
}

impl Progress {
    /// Starts at nothing done. `what` is what is counted; `total` is in whatever unit [`Progress::advance`] gets as `position`.
    pub fn start(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
            let template = match total {
                Some(_) => "{wide_bar:.cyan/dim} {percent:>3}%  {msg}  ETA {eta}",
                None => "{spinner} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self { bar, what, started: now, last_line: now, rows: 0, bytes: 0 }
    }

    /// The end of the work became known.
    pub fn set_total(&self, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
        }
    }

    /// `rows` more rows of `bytes` bytes are done, and the work has come to `position`.
    pub fn advance(&mut self, rows: u64, bytes: u64, position: u64) {
        self.rows += rows;
        self.bytes += bytes;
        match &self.bar {
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(self.summary());
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                say(&self.summary());
            }
            None => {}
        }
    }

    /// Removes the bar, and says what was done.
    pub fn finish(self) -> String {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let elapsed = self.started.elapsed();
        let precise = format!("{:.1} s", elapsed.as_secs_f64());
        let time =
            if elapsed < Duration::from_secs(120) { precise } else { HumanDuration(elapsed).to_string() };
        format!("{} in {time}", self.summary())
    }

    fn summary(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let rate = self.rows as f64 / seconds;
        let (rows, rate) = (HumanCount(self.rows), HumanCount(rate as u64));
        match self.bytes {
            0 => format!("{rows} {}, {rate}/s", self.what),
            bytes => format!("{rows} {} ({}), {rate}/s", self.what, HumanBytes(bytes)),
        }
    }
}
