//! `health`: what a container's health check is told.

use crate::shared::{
    ports,
    program::{Server, Workdir, until},
};

#[test]
fn it_asks_the_server_of_the_same_configuration() {
    let workdir = Workdir::new();
    let [port] = ports::free();
    let listen = format!("server.listen=0.0.0.0:{port}");
    let setting = ["--set", &listen, "--set", "server.insecure=true", "--set", "server.drain_delay=5m"];
    let health = |more: &[&str]| workdir.run(&[&["health"], more, &setting[..]].concat());
    health(&[]).fails(1, &["/health/ready", "refused"]);
    health(&["--live"]).fails(1, &["/health/live", "refused"]);

    let server = Server::start(&workdir, workdir.command(&[&["serve"], &setting[..]].concat()));
    assert!(health(&[]).ok().stdout.contains("\"ready\":true"));
    assert!(health(&["--live"]).ok().stdout.contains("healthy"));

    server.signal("TERM");
    until("it is not ready", || (health(&[]).code == 1).then_some(()));
    health(&[]).fails(1, &["503", "draining: this node is shutting down"]);
    health(&["--live"]).ok();
}
