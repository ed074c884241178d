//! HTTP/1.1 on one kept-alive connection, no more of it than a load needs: requests are bytes that
//! were made beforehand, answers must be successes and state their length.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A server that is silent for this long has failed.
const SILENCE: Duration = Duration::from_secs(60);

/// The bytes of a request that posts this JSON.
pub fn request(host: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A connection that carries one request at a time.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self { stream, received: Vec::with_capacity(1 << 16) })
    }

    /// Sends a request and returns the body of its answer; an error if that is not a success.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(request)?;
        self.received.clear();
        let (header, length) = self.header()?;
        while self.received.len() < header + length {
            self.receive()?;
        }
        let body = &self.received[header..];
        if self.received.get(9) != Some(&b'2') {
            let status = String::from_utf8_lossy(&self.received[..header]);
            let status = status.lines().next().unwrap_or_default();
            return Err(io::Error::other(format!("{status}: {}", String::from_utf8_lossy(body))));
        }
        Ok(body)
    }

    /// Reads the whole header; returns its length and that of the body.
    fn header(&mut self) -> io::Result<(usize, usize)> {
        loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let length = content_length(&self.received[..end]);
                let missing = || io::Error::other("an answer without Content-Length");
                return Ok((end + 4, length.ok_or_else(missing)?));
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; 1 << 14];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
        }
    }
}

fn content_length(header: &[u8]) -> Option<usize> {
    let header = std::str::from_utf8(header).ok()?;
    let mut fields = header.lines().filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.trim().parse().ok()
}
