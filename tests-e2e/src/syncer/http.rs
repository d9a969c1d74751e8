//! One HTTP/1.1 request and its answer: all that the tests need, without a client library.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// The syncer answers at once, unless it is frozen or asked to wait for news.
const TIMEOUT: Duration = Duration::from_secs(35);

/// A loopback connection is made at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The body, which must be text.
    pub body: String,
}

/// `GET path` of `host:port`.
pub fn get(address: &str, path: &str) -> Result<HttpResponse> {
    let exchange = || -> std::io::Result<Vec<u8>> {
        let resolved =
            address.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let mut stream = TcpStream::connect_timeout(&resolved, CONNECT_TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        // The server closes after the answer, as it was asked to.
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = exchange().with_context(|| format!("failed to GET http://{address}{path}"))?;
    parse(&bytes).with_context(|| format!("GET http://{address}{path} answered no HTTP"))
}

fn parse(bytes: &[u8]) -> Result<HttpResponse> {
    let (head, body) = split_at(bytes, b"\r\n\r\n").context("the head has no end")?;
    let head = std::str::from_utf8(head).context("the head is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .context("the first line has no status code")?;
    let mut length = None;
    let mut is_chunked = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().context("the length is no number")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = value.eq_ignore_ascii_case("chunked");
        }
    }
    let body = match length {
        _ if is_chunked => unchunk(body)?,
        Some(length) => match body.get(..length) {
            Some(body) => body.to_vec(),
            None => bail!("{} of {length} bytes came", body.len()),
        },
        None => body.to_vec(),
    };
    Ok(HttpResponse { status, body: String::from_utf8(body).context("the body is no text")? })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, after) = split_at(rest, b"\r\n").context("a chunk has no size")?;
        let size = std::str::from_utf8(size).context("a chunk's size is no text")?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk's size is no number")?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(after.get(..size).context("a chunk is cut short")?);
        rest = after.get(size + 2..).context("a chunk has no end")?;
    }
}

fn split_at<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_cut_by_its_length() {
        let response = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}!").unwrap();
        assert_eq!(response, HttpResponse { status: 200, body: "{}".to_string() });
    }

    #[test]
    fn chunks_are_joined() {
        let text = b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
        let response = parse(text).unwrap();
        assert_eq!(response, HttpResponse { status: 503, body: "abcd".to_string() });
    }

    #[test]
    fn cut_answer_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}").is_err());
        assert!(parse(b"HTTP/1.1 200").is_err());
    }
}
