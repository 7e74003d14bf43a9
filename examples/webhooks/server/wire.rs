//! HTTP/1.1 on one connection, as much of it as this server needs: requests with a Content-Length,
//! and short answers.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use socket2::SockRef;

const HEAD_BYTES_MAX: usize = 64 * 1024;

pub struct Request {
    pub key: String,
    pub line: u64,
    pub body: Vec<u8>,
}

struct Head {
    bytes: usize,
    key: String,
    line: u64,
    body_bytes: usize,
}

pub struct Wire {
    stream: TcpStream,
    /// What has been read and not yet taken as a request.
    buffer: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next request, or `None` when the client has closed the connection.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some(head) = parse(&self.buffer)? {
                while self.buffer.len() - head.bytes < head.body_bytes {
                    if !self.fill()? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                let rest = self.buffer.split_off(head.bytes + head.body_bytes);
                let body = self.buffer.split_off(head.bytes);
                self.buffer = rest;
                return Ok(Some(Request { key: head.key, line: head.line, body }));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    pub fn answer(&mut self, code: u16, headers: &str) -> io::Result<()> {
        let body = format!("{{\"status\":{code}}}");
        let head = format!("HTTP/1.1 {code} -\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        self.stream.write_all((head + &body).as_bytes())
    }

    /// Ends the connection with a RST: a linger time of zero throws away what is unsent instead of
    /// closing in order.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO))
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }
}

fn parse(buffer: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(bytes) = request.parse(buffer).map_err(io::Error::other)? else {
        return if buffer.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(io::Error::other("a head without an end")) };
    };
    let value = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let number = |name: &str| value(name).and_then(|text| text.parse::<usize>().ok());
    let head = (value("Idempotency-Key"), number("X-Event-Line"), number("Content-Length"));
    let (Some(key), Some(line), Some(body_bytes)) = head else {
        return Err(io::Error::other("not a request of this example"));
    };
    Ok(Some(Head { bytes, key: key.to_owned(), line: line as u64, body_bytes }))
}
