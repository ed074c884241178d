//! `serve`: what it says, whom it lets in, how it ends.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::shared::program::{BOUND, Workdir, until};

#[test]
fn the_banner_tells_what_to_know_and_its_curl_line_works() {
    let workdir = Workdir::new();
    let server = workdir.serve(&[]);
    let output = server.output();
    let data = workdir.path("data");
    assert!(output.contains(&format!("fs at {}", data.display())), "{output}");
    let line = output.lines().find_map(|line| line.trim().strip_prefix("try ")).unwrap();
    let answer = Command::new("sh").args(["-c", line.trim()]).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["upserted_count"], 1, "{answer}");
    assert_eq!(server.curl("/health/ready", &[]).0, 200);
}

#[test]
fn addresses_that_others_reach_need_a_key_or_insecure() {
    let workdir = Workdir::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        workdir
            .run(&["serve", "--listen", address])
            .fails(2, &["refusing to listen", "keygen", "--insecure"]);
    }
    let _server = crate::shared::program::Server::start(
        &workdir,
        workdir.command(&["serve", "--listen", "0.0.0.0:0", "--insecure"]),
    );
    workdir.write("keys.toml", workdir.run(&["keygen"]).ok().stdout);
    let _server = crate::shared::program::Server::start(
        &workdir,
        workdir.command(&["serve", "--listen", "0.0.0.0:0", "--config", "keys.toml"]),
    );
}

#[test]
fn keys_decide_who_gets_in_and_stay_out_of_the_logs() {
    let workdir = Workdir::new();
    let made = workdir.run(&["keygen", "--scope", "read"]).ok().stdout;
    let key =
        made.lines().find_map(|line| line.strip_prefix("# ").filter(|key| key.starts_with("qv_"))).unwrap();
    workdir.write("keys.toml", &made);
    let server = workdir.serve(&["--config", "keys.toml", "--log-filter", "debug", "--log-format", "json"]);
    let authorization = format!("Authorization: Bearer {key}");
    assert_eq!(server.curl("/v1/namespaces", &[]).0, 401);
    assert_eq!(server.curl("/v1/namespaces", &["-H", "Authorization: Bearer qv_wrong"]).0, 401);
    assert_eq!(server.curl("/v1/namespaces", &["-H", &authorization]).0, 200);
    let body = r#"{"name": "n", "dimension": 2}"#;
    let post = ["-H", &authorization, "-H", "Content-Type: application/json", "-d", body];
    assert_eq!(server.curl("/v1/namespaces", &post).0, 403);
    let output = server.output();
    assert!(output.contains("$QUIVER_API_KEY"), "the curl line shows where the key goes: {output}");
    assert!(!output.contains(key) && !output.contains("qv_wrong"), "{output}");
    let line = output.lines().find(|line| line.starts_with('{')).unwrap();
    serde_json::from_str::<serde_json::Value>(line).unwrap();
}

#[test]
fn what_cannot_start_says_why() {
    let workdir = Workdir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    workdir.run(&["serve", "--listen", &address]).fails(1, &["cannot listen on", &address, "--listen"]);
    let file = workdir.write("file", "not a directory");
    workdir.run(&["serve", "--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()]).fails(1, &["file"]);
    workdir.run(&["serve", "--log-filter", "quiver=loud"]).fails(2, &["telemetry.filter"]);
}

/// A request whose body is not complete yet.
fn half_a_request(address: &str) -> (TcpStream, &'static str) {
    let (first, second) = (r#"{"vectors":[{"id":"late","#, r#""values":[1,2]}]}"#);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let head = format!(
        "POST /v1/namespaces/n/vectors HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{first}",
        first.len() + second.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    (stream, second)
}

#[test]
fn sigterm_finishes_open_requests_and_nothing_else() {
    for signal in ["TERM", "INT"] {
        let workdir = Workdir::new();
        let mut server = workdir.serve(&["--set", "server.drain_delay=300ms"]);
        let (mut stream, rest) = half_a_request(&server.address);
        server.signal(signal);
        until("the port closes", || TcpStream::connect(&server.address).is_err().then_some(()));
        stream.write_all(rest.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"upserted_count\":1"), "{answer}");
        assert_eq!(server.exit_code(), 0, "{}", server.output());
        assert_eq!(
            workdir.rows("n"),
            [json!({"id": "late", "values": [1.0, 2.0]})],
            "what was acknowledged is there"
        );
    }
}

#[test]
fn a_second_signal_and_the_grace_end_it_at_once() {
    let workdir = Workdir::new();
    let mut server = workdir.serve(&["--set", "server.drain_delay=0s"]);
    let (_stream, _) = half_a_request(&server.address);
    server.signal("TERM");
    until("the port closes", || TcpStream::connect(&server.address).is_err().then_some(()));
    let start = Instant::now();
    server.signal("TERM");
    assert_eq!(server.exit_code(), 1);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(server.output().contains("1 connections cut off"), "{}", server.output());

    let mut server =
        workdir.serve(&["--set", "server.drain_delay=0s", "--set", "server.shutdown_grace=300ms"]);
    let (_stream, _) = half_a_request(&server.address);
    let start = Instant::now();
    server.signal("TERM");
    assert_eq!(server.exit_code(), 1);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Status and header of a GET, and whether the server keeps the connection open.
fn get(address: &str, path: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
    let mut answer = vec![0; 16 * 1024];
    let read = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8(answer[..read].to_vec()).unwrap().to_lowercase();
    let closes = answer.contains("connection: close");
    if closes {
        stream.read_to_end(&mut Vec::new()).expect("the end of the connection");
    }
    (answer.lines().next().unwrap().to_owned(), !closes)
}

#[test]
fn a_node_serves_on_while_balancers_notice_that_it_is_not_ready() {
    let workdir = Workdir::new();
    let mut server = workdir.serve(&["--set", "server.drain_delay=5m"]);
    assert_eq!(get(&server.address, "/health/ready"), ("http/1.1 200 ok".into(), true));
    server.signal("TERM");
    let unready = ("http/1.1 503 service unavailable".to_owned(), false);
    until("readiness says no", || (get(&server.address, "/health/ready") == unready).then_some(()));
    // New connections get answers, and each is told to come back elsewhere.
    assert_eq!(get(&server.address, "/v1/namespaces"), ("http/1.1 200 ok".into(), false));
    assert_eq!(get(&server.address, "/health/live"), ("http/1.1 200 ok".into(), false));
    server.post("/v1/namespaces/n/vectors", &json!({"vectors": [{"id": "a", "values": [1, 2]}]}));
    // Somebody cannot wait.
    server.signal("TERM");
    assert_eq!(server.exit_code(), 0, "{}", server.output());
}

#[test]
fn an_interrupt_has_no_balancer_to_wait_for() {
    let workdir = Workdir::new();
    let mut server = workdir.serve(&["--set", "server.drain_delay=5m"]);
    server.signal("INT");
    assert_eq!(server.exit_code(), 0, "{}", server.output());
}

#[test]
fn data_is_there_after_sigkill() {
    let workdir = Workdir::new();
    let server = workdir.serve(&[]);
    server.post("/v1/namespaces/n/vectors", &json!({"vectors": [{"id": "a", "values": [1, 2]}]}));
    drop(server);
    let server = workdir.serve(&[]);
    let found = server.post("/v1/namespaces/n/query", &json!({"vector": [1, 2], "top_k": 5}));
    assert_eq!(found["results"][0]["id"], "a", "{found}");
}
