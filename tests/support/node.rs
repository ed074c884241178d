//! A node that ends and comes back at the same address.

use super::{
    ports,
    program::{Done, Server, Workdir},
};

/// One `quiver serve` after another, at one address, in one directory, with the same settings.
pub struct Node {
    workdir: Workdir,
    address: String,
    environment: Vec<(String, String)>,
    server: Option<Server>,
}

impl Node {
    /// A node with these settings, as `QUIVER_…` variables. It is not started.
    pub fn new(environment: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let [port] = ports::free();
        let address = format!("127.0.0.1:{port}");
        let mut environment: Vec<_> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        environment.push(("QUIVER_SERVER__LISTEN".into(), address.clone()));
        Self { workdir: Workdir::new(), address, environment, server: None }
    }

    /// Starts it at its address. If it runs, it is killed first.
    pub fn start(&mut self) {
        self.try_start().unwrap_or_else(|output| panic!("{output}"));
    }

    /// The same; what it said, if it ended instead of serving.
    pub fn try_start(&mut self) -> Result<(), String> {
        let mut command = self.workdir.command(&["serve"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // The one before ends first: it has the address.
        self.server = None;
        self.server = Some(Server::try_start(&self.workdir, command)?);
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Another command with its settings.
    pub fn run(&self, arguments: &[&str]) -> Done {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.workdir.run_with(&environment, arguments)
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
