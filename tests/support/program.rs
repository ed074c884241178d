//! Running the binary, alone and as a server.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, temporary_dir};

/// Nothing in these tests takes longer than this, unless it is broken.
pub const BOUND: Duration = Duration::from_secs(30);

/// A working directory of its own, and the binary in it.
pub struct Workdir {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// It failed with this code, and says all of this on stderr.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        // Log lines may come before it.
        assert!(self.stderr.lines().any(|line| line.starts_with("error: ")), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {}", self.stderr);
        }
        self
    }
}

impl Workdir {
    pub fn new() -> Self {
        Self { folder: temporary_dir() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// The binary with these arguments, in an environment without settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quiver"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("QUIVER_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        done(self.command(arguments).output().unwrap())
    }

    pub fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Done {
        done(self.command(arguments).envs(environment.iter().copied()).output().unwrap())
    }

    /// A server on a free port, on the data of this directory.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        let all: Vec<_> = ["serve", "--listen", "127.0.0.1:0"].iter().chain(arguments).copied().collect();
        Server::start(self, self.command(&all))
    }

    /// The rows of an exported namespace, one JSON value a row.
    pub fn rows(&self, namespace: &str) -> Vec<Value> {
        let exported = self.run(&["export", namespace]).ok().stdout;
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn done(output: Output) -> Done {
    Done {
        code: output.status.code().expect("killed by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `quiver serve`.
pub struct Server {
    process: Process,
    log: PathBuf,
    pub address: String,
}

impl Server {
    pub fn start(workdir: &Workdir, command: Command) -> Self {
        Self::try_start(workdir, command).unwrap_or_else(|output| panic!("{output}"))
    }

    /// A server that listens, or what it said before it ended.
    pub fn try_start(workdir: &Workdir, command: Command) -> Result<Self, String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let log =
            workdir.path(&format!("serve-{}.log", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        let mut process = Process::start("quiver serve", command, &log);
        let address = until("the server listens", || {
            if process.exited().is_some() {
                return Some(Err(process.output()));
            }
            let output = std::fs::read_to_string(&log).unwrap_or_default();
            // The whole banner, so that the rest of it can be read as well.
            output.contains("  try  ").then_some(())?;
            Some(Ok(output.split_once("listening  http://")?.1.split_whitespace().next()?.to_owned()))
        })?;
        Ok(Self { process, log, address })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The body of a GET, whatever it is.
    pub fn text(&self, path: &str) -> String {
        let curl = Command::new("curl").args(["-s", "--max-time", "20", &self.url(path)]).output().unwrap();
        String::from_utf8(curl.stdout).unwrap()
    }

    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Its exit code, once it ends by itself.
    pub fn exit_code(&mut self) -> i32 {
        let process = &mut self.process;
        until("the server ends", || process.exited()).code().expect("killed by a signal")
    }

    /// Status and body of a request, sent with curl.
    pub fn curl(&self, path: &str, arguments: &[&str]) -> (u16, Value) {
        self.curl_with(path, arguments, "")
    }

    /// The answer to a JSON POST.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let arguments = ["-H", "Content-Type: application/json", "--data-binary", "@-"];
        let (status, answer) = self.curl_with(path, &arguments, &body.to_string());
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    }

    /// The input is curl's stdin, which may be longer than an argument.
    fn curl_with(&self, path: &str, arguments: &[&str], input: &str) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "20", "-w", "\n%{http_code}", &self.url(path)]).args(arguments);
        let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // A curl that reads no input may be gone already; what it answered says the rest.
        let _ = curl.stdin.take().unwrap().write_all(input.as_bytes());
        let output = String::from_utf8(curl.wait_with_output().unwrap().stdout).unwrap();
        let (body, status) = output.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

/// Waits until `what` gives something.
pub fn until<T>(name: &str, what: impl FnMut() -> Option<T>) -> T {
    until_within(BOUND, name, what)
}

/// Waits so long at most until `what` gives something.
pub fn until_within<T>(bound: Duration, name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < bound, "not in {bound:?}: {name}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Names in a directory, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
