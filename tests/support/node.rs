//! A node that ends and comes back at the same address.

use super::{
    ports,
    program::{Server, Workdir},
};

/// One `quiver serve` after another, at one address, in one directory, with the same settings.
pub struct Node {
    workdir: Workdir,
    address: String,
    environment: Vec<(String, String)>,
    server: Option<Server>,
}

impl Node {
    /// Starts a node with these settings, as `QUIVER_…` variables.
    pub fn start(environment: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let [port] = ports::free();
        let address = format!("127.0.0.1:{port}");
        let mut environment: Vec<_> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        environment.push(("QUIVER_SERVER__LISTEN".into(), address.clone()));
        let mut node = Self { workdir: Workdir::new(), address, environment, server: None };
        node.start_again();
        node
    }

    /// Starts it at its address, after it ended.
    pub fn start_again(&mut self) {
        let mut command = self.workdir.command(&["serve"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // The one before ends first: it has the address.
        self.server = None;
        self.server = Some(Server::start(&self.workdir, command));
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// The process.
    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("it was started")
    }

    /// `IP:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://IP:PORT/path`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its working directory.
    pub fn workdir(&self) -> &Workdir {
        &self.workdir
    }
}
