//! HTTP/1.1 (RFC 9112), as much as a read-only server of files needs: request heads of limited size, no request bodies,
//! persistent connections, one byte range.

use std::io::{self, BufReader, Read as _, Write as _};

use crate::serve::site::{Answer, Body, Site};

#[expect(
    clippy::disallowed_types,
    reason = "this module is the one that listens"
)]
type Stream = std::net::TcpStream;

/// Longest request head in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Most bytes read after a refusal.
const MAX_DRAIN: u64 = 1 << 20;
/// Most requests on one connection.
const MAX_REQUESTS: u32 = 10_000;
/// Bytes sent at a time.
const CHUNK: usize = 256 << 10;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whether only the head is wanted.
    pub head: bool,
    /// The path as sent, without query.
    pub path: String,
    /// The `Host` header, when it is a host with an optional port.
    pub host: Option<String>,
    /// The `Accept` headers, joined; empty when there is none.
    pub accept: String,
    /// The `Range` header's one range, first and last byte; `(None, Some(n))` are the last n bytes.
    pub range: Option<(Option<u64>, Option<u64>)>,
    /// Whether the connection goes on.
    pub keep: bool,
}

/// A request that gets an error for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub u16);

/// One client.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<Stream>,
}

impl Connection {
    /// On an accepted stream with time-outs set.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Answers requests until the client or an error ends it. Errors of the connection have nobody to be told to.
    pub fn run(mut self, site: &Site) {
        for _request in 0..MAX_REQUESTS {
            match self.one(site) {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Whether the connection goes on.
    fn one(&mut self, site: &Site) -> io::Result<bool> {
        let Some(head) = read_head(&mut self.stream)? else {
            return Ok(false);
        };
        let request = match parse(&head) {
            Ok(request) => request,
            Err(Refusal(status)) => {
                self.send(Answer::error(status, false), false, false, None)?;
                self.drain()?;
                return Ok(false);
            }
        };
        let address = self.stream.get_ref().local_addr()?.to_string();
        let host = request.host.as_deref().unwrap_or(&address);
        let answer = site.answer(&request.path, host, &request.accept);
        self.send(answer, request.head, request.keep, request.range)?;
        Ok(request.keep)
    }

    /// Reads on for a moment after a refusal, so that closing does not take the answer away from the client (RFC 9112
    /// §9.6).
    fn drain(&mut self) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
        io::copy(&mut stream.take(MAX_DRAIN), &mut io::sink())?;
        Ok(())
    }

    fn send(
        &mut self,
        answer: Answer,
        head_only: bool,
        keep: bool,
        range: Option<(Option<u64>, Option<u64>)>,
    ) -> io::Result<()> {
        let size = answer.body.size();
        let part = match range {
            Some(range) if answer.status == 200 => Some(slice(range, size)),
            _ => None,
        };
        let (status, from, length) = match part {
            None => (answer.status, 0, size),
            Some(Some((from, length))) => (206, from, length),
            Some(None) => (416, 0, 0),
        };
        let more = match status {
            206 => format!(
                "Content-Range: bytes {from}-{}/{size}\r\n",
                from + length - 1
            ),
            416 => format!("Content-Range: bytes */{size}\r\n"),
            405 => "Allow: GET, HEAD\r\n".to_owned(),
            301 => format!(
                "Location: {}\r\n",
                answer.location.as_deref().unwrap_or("/")
            ),
            _ => String::new(),
        };
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nVary: Accept\r\nConnection: {}\r\n{more}\r\n",
            reason(status),
            answer.kind,
            if keep { "keep-alive" } else { "close" }
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        if !head_only && length > 0 {
            copy(answer.body, from, length, stream)?;
        }
        stream.flush()
    }
}

/// Sends `length` bytes from `from` on. Every piece has the stream's time-out to itself.
fn copy(body: Body, from: u64, length: u64, stream: &mut Stream) -> io::Result<()> {
    let cut = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    match body {
        Body::Bytes(bytes) => {
            let end = cut(from.saturating_add(length));
            stream.write_all(bytes.get(cut(from)..end).unwrap_or_default())
        }
        Body::File { mut file, .. } => {
            io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
            let mut buffer = vec![0; CHUNK.min(cut(length))];
            let mut left = length;
            while left > 0 {
                let want = cut(left).min(buffer.len());
                let Some(piece) = buffer.get_mut(..want) else {
                    break;
                };
                file.read_exact(piece)?;
                stream.write_all(piece)?;
                left -= want as u64;
            }
            Ok(())
        }
    }
}

/// First byte and length of a range of `size` bytes (RFC 9110 §14.1.2); `None` when there is no such part.
fn slice(range: (Option<u64>, Option<u64>), size: u64) -> Option<(u64, u64)> {
    let (from, to) = match range {
        (Some(from), Some(to)) => (from, to.min(size.checked_sub(1)?)),
        (Some(from), None) => (from, size.checked_sub(1)?),
        (None, Some(last)) => (size.saturating_sub(last), size.checked_sub(1)?),
        (None, None) => return None,
    };
    (from <= to).then(|| (from, to - from + 1))
}

/// The bytes up to and including the empty line; `None` when the client closed before it sent any.
fn read_head<R: io::BufRead>(stream: &mut R) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        let room = (MAX_HEAD - before) as u64;
        let read = io::BufRead::read_until(&mut stream.by_ref().take(room), b'\n', &mut head)?;
        if read == 0 && before == 0 {
            return Ok(None);
        }
        if !head.ends_with(b"\n") {
            // Cut off, or too long: what came is refused as a whole.
            return Ok(Some(Vec::new()));
        }
        let line = head.get(before..).unwrap_or_default();
        if matches!(line, b"\r\n" | b"\n") {
            if before > 0 {
                return Ok(Some(head));
            }
            // An empty line before the request is ignored (RFC 9112 §2.2).
            head.clear();
        }
    }
}

/// Reads a request head.
fn parse(head: &[u8]) -> Result<Request, Refusal> {
    let text = std::str::from_utf8(head).map_err(|_bad| Refusal(400))?;
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next())
    else {
        return Err(Refusal(400));
    };
    let http11 = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(Refusal(505)),
    };
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Refusal(405)),
    };
    let mut request = Request {
        head: head_only,
        path: path_of(target)?,
        host: None,
        accept: String::new(),
        range: None,
        keep: http11,
    };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(Refusal(400))?;
        header(&name.to_ascii_lowercase(), value.trim(), &mut request)?;
    }
    Ok(request)
}

/// The path of a request target, in origin or absolute form.
fn path_of(target: &str) -> Result<String, Refusal> {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or(path);
    if path.starts_with('/') {
        Ok(path.to_owned())
    } else {
        Err(Refusal(400))
    }
}

fn header(name: &str, value: &str, request: &mut Request) -> Result<(), Refusal> {
    match name {
        "host" => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
            if value.is_empty() || value.len() > 255 || !value.bytes().all(plain) {
                return Err(Refusal(400));
            }
            request.host = Some(value.to_owned());
        }
        "connection" => {
            for word in value.split(',').map(|w| w.trim().to_ascii_lowercase()) {
                match word.as_str() {
                    "close" => request.keep = false,
                    "keep-alive" => request.keep = true,
                    _ => {}
                }
            }
        }
        "accept" if request.accept.is_empty() => value.clone_into(&mut request.accept),
        "accept" => request.accept.extend([",", value]),
        "content-length" if value != "0" => return Err(Refusal(413)),
        "transfer-encoding" => return Err(Refusal(413)),
        "range" => request.range = range_of(value),
        _ => {}
    }
    Ok(())
}

/// One byte range; several, or anything unusual, is as if none was asked for (RFC 9110 §14.2).
fn range_of(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        if text.is_empty() {
            Some(None)
        } else {
            text.parse().ok().map(Some)
        }
    };
    let range = (number(from.trim())?, number(to.trim())?);
    let backwards = matches!(range, (Some(from), Some(to)) if from > to);
    (range != (None, None) && !backwards).then_some(range)
}

/// The standard phrase of a status.
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, parse, range_of, read_head, slice};

    #[test]
    fn requests_are_read_and_odd_ones_refused() {
        let request = parse(
            b"GET /npm/@a%2fb?x=1 HTTP/1.1\r\nHost: h:1\r\nRANGE: bytes=5-\r\nConnection: close\r\nAccept: a\r\naccept: b;q=0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(request.path, "/npm/@a%2fb");
        assert_eq!(request.host.as_deref(), Some("h:1"));
        assert_eq!(request.range, Some((Some(5), None)));
        assert_eq!(request.accept, "a,b;q=0");
        assert!(!request.keep && !request.head);
        let absolute = parse(b"HEAD http://h/x HTTP/1.0\r\n\r\n").unwrap();
        assert!(absolute.head && absolute.path == "/x" && !absolute.keep);
        for (head, status) in [
            (&b""[..], 400),
            (b"GET /\r\n\r\n", 400),
            (b"GET x HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1 x\r\n\r\n", 400),
            (b"GET / HTTP/2\r\n\r\n", 505),
            (b"POST / HTTP/1.1\r\n\r\n", 405),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: h/<script>\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 413),
            (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
            (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        ] {
            assert_eq!(parse(head), Err(Refusal(status)), "{head:?}");
        }
    }

    #[test]
    fn heads_have_a_limit_and_pipelined_requests_stay_apart() {
        let mut two = &b"\r\nGET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"[..];
        assert!(parse(&read_head(&mut two).unwrap().unwrap()).unwrap().path == "/");
        assert!(parse(&read_head(&mut two).unwrap().unwrap()).unwrap().path == "/2");
        assert!(read_head(&mut two).unwrap().is_none());
        let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 20_000]].concat();
        assert!(read_head(&mut long.as_slice()).unwrap().unwrap().is_empty());
    }

    #[test]
    fn ranges() {
        assert_eq!(slice(range_of("bytes=0-3").unwrap(), 10), Some((0, 4)));
        assert_eq!(slice(range_of("bytes=5-").unwrap(), 10), Some((5, 5)));
        assert_eq!(slice(range_of("bytes=-3").unwrap(), 10), Some((7, 3)));
        assert_eq!(slice(range_of("bytes=-30").unwrap(), 10), Some((0, 10)));
        assert_eq!(slice(range_of("bytes=10-").unwrap(), 10), None);
        assert_eq!(slice(range_of("bytes=0-").unwrap(), 0), None);
        for ignored in [
            "bytes=1-2,4-5",
            "bytes=-",
            "bytes=5-1",
            "lines=1-2",
            "bytes=a-b",
        ] {
            assert_eq!(range_of(ignored), None, "{ignored}");
        }
    }
}
