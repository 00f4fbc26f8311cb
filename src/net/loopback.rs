//! One question over plain HTTP on the loopback, for checks of programs that run there.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use crate::base::check;

#[expect(
    clippy::disallowed_types,
    reason = "this module opens client sockets, this one to the loopback only"
)]
type Stream = std::net::TcpStream;

/// How long a program may take to accept a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest status line, in bytes.
const LONGEST: u64 = 4096;

/// The status that an address on the loopback answers with.
pub fn status(address: &str) -> io::Result<u16> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let url = Url::parse(address)
        .ok()
        .filter(|_| check::is_loopback(address))
        .ok_or_else(|| bad("not a plain HTTP address on the loopback"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let sockets = match url.host() {
        Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
        _ => vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ],
    };
    let mut last = bad("no address");
    for socket in sockets {
        match ask(socket, &url) {
            Ok(status) => return Ok(status),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask(socket: SocketAddr, url: &Url) -> io::Result<u16> {
    let mut stream = Stream::connect_timeout(&socket, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let query = url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let request = format!(
        "GET {}{query} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path(),
        url.authority()
    );
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream)
        .take(LONGEST)
        .read_until(b'\n', &mut line)?;
    parse(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP status line"))
}

/// The status of a status line.
fn parse(line: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (version, rest) = text.trim_end_matches('\r').split_once(' ')?;
    let status = rest.split(' ').next()?;
    let right = version.starts_with("HTTP/1.") && status.len() == 3;
    status.parse().ok().filter(|_| right)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_a_whole_status_line_has_a_status() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(parse(b"HTTP/1.0 404\n"), Some(404));
        for bad in [
            &b"HTTP/1.1 200 OK"[..],
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 2000\r\n",
            b"\n",
            b"\xff 200\n",
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
