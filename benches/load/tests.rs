//! The client against a server that echoes.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{connection::request, drive::Load};

/// Answers on a connection with the body that it was sent, in two pieces; 500 for `fail`.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = if body == b"fail" { "500 Internal Server Error" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n")?;
        stream.flush()?;
        stream.write_all(b"\r\n")?;
        stream.write_all(&body)?;
    }
}

/// The address of a server whose connections echo until they are closed.
fn server() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| echo(stream));
        }
    });
    Ok(address)
}

fn load<'a>(address: &'a str, bodies: &[String]) -> Load<'a> {
    Load {
        address,
        requests: bodies.iter().map(|body| request(address, "/", body.as_bytes())).collect(),
        clients: 3,
        time: Duration::ZERO,
        at_most: Duration::from_secs(60),
        interval: None,
    }
}

#[test]
fn every_body_is_sent_and_its_answer_kept_in_its_place() -> io::Result<()> {
    let address = server()?;
    let bodies: Vec<String> = (0..100).map(|number| format!("{{\"number\":{number}}}")).collect();
    let load = load(&address, &bodies);
    load.warm_up(5)?;
    for interval in [None, Some(Duration::from_micros(50))] {
        let run = Load { interval, requests: load.requests.clone(), ..load }.run()?;
        let answers: Vec<_> =
            run.answers.into_iter().map(|answer| String::from_utf8(answer).unwrap()).collect();
        assert_eq!(answers, bodies);
        assert_eq!(run.latencies.len(), bodies.len());
    }
    Ok(())
}

#[test]
fn bodies_are_sent_again_until_the_time_is_up() -> io::Result<()> {
    let address = server()?;
    let time = Duration::from_millis(50);
    let run = Load { time, ..load(&address, &["{}".to_owned()]) }.run()?;
    assert!(run.time >= time);
    assert!(run.latencies.len() > 1);
    Ok(())
}

#[test]
fn nothing_is_sent_past_the_end() -> io::Result<()> {
    let address = server()?;
    let run = Load { at_most: Duration::ZERO, ..load(&address, &["{}".to_owned()]) }.run()?;
    assert_eq!(run.answers, [b""]);
    Ok(())
}

#[test]
fn a_failure_ends_the_run_and_is_named() -> io::Result<()> {
    let address = server()?;
    let failure = load(&address, &["{}".to_owned(), "fail".to_owned()]).run().unwrap_err();
    assert!(failure.to_string().contains("500 Internal Server Error: fail"), "{failure}");
    Ok(())
}
