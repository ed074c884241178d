//! Child processes that never outlive the test process, however it ends.
//!
//! Dropping a [`Process`] kills it. If the test process itself is killed, the kernel kills the
//! child (`setpriv --pdeathsig`, where there is such a program). That signal is tied to the thread
//! that started the child, and tests run on threads that end, so one thread that lives as long as
//! the process starts them all.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    thread,
};

use tempfile::TempDir;

/// A running program, its output in a file. Dropped = killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with both outputs going to the file `log` (appended).
    pub fn start(name: &str, command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let mut command = mortal(command);
        command.stdin(Stdio::null()).stderr(output.try_clone().expect("a second handle")).stdout(output);
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of its output, for the message of a failed test.
    pub fn output(&self) -> String {
        let output = fs::read(&self.log).unwrap_or_default();
        let tail = &output[output.len().saturating_sub(4000)..];
        format!("--- end of the output of {} ---\n{}", self.name, String::from_utf8_lossy(tail))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A temporary directory in the build folder, gone when dropped. What killed test processes left
/// behind is swept by the next one.
pub fn temporary_dir() -> TempDir {
    static SWEPT: OnceLock<()> = OnceLock::new();
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    SWEPT.get_or_init(|| sweep(parent));
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(parent)
        .expect("a temporary directory")
}

const PREFIX: &str = "test-";

fn sweep(parent: &Path) {
    // Only where /proc tells which processes live.
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{owner}")).exists() {
            // Another test process may be sweeping it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The same command, killed by the kernel when its starter dies.
fn mortal(command: Command) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let present = *SETPRIV.get_or_init(|| {
        let help = Command::new("setpriv").arg("--help").output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--pdeathsig"))
    });
    if !present {
        return command;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

type Request = (Command, mpsc::Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in requests {
                // The caller waits for this reply; it is gone only if it panicked.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = mpsc::channel();
    starter.send((command, reply)).expect("the starter thread never ends");
    answer.recv().expect("the starter thread answers")
}
