//! HAProxy with the configuration that `docker/compose.yml` mounts, unchanged: what differs between a
//! machine and another is in its environment.

use std::{net::TcpStream, path::Path, process::Command};

use tempfile::TempDir;

use super::{
    ports,
    process::{Process, temporary_dir},
    program::until,
    servers::installed,
};

/// A running balancer. Dropped = killed.
#[derive(Debug)]
pub struct Balancer {
    _process: Process,
    _dir: TempDir,
    port: u16,
}

impl Balancer {
    /// Balances the nodes at these addresses.
    pub fn start(nodes: [&str; 3]) -> Self {
        let dir = temporary_dir();
        let [port] = ports::free();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/haproxy.cfg");
        let mut command = Command::new(installed(".deps/haproxy/haproxy"));
        command.arg("-db").arg("-f").arg(file).env("LISTEN", format!("127.0.0.1:{port}"));
        for (number, address) in (1..).zip(nodes) {
            command.env(format!("NODE_{number}"), address);
        }
        let mut process = Process::start("HAProxy", command, &dir.path().join("log"));
        until("the balancer listens", || {
            assert!(process.exited().is_none(), "{}", process.output());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { _process: process, _dir: dir, port }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
