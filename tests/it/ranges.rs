//! Parts of files: what the network client asks for, what it believes, what it keeps.

use stage::base::fault::Fault as _;
use stage::net::HttpUpstream;
use stage::net::settings::Settings;
use stage::upstream::{Content, Part, Request, Upstream as _, UpstreamError, Want};

use crate::loopback::{Asked, Reply, Server};
use crate::net::{Folder, settings};

const SIZE: usize = 200;

fn file() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at).unwrap()).collect()
}

/// Offset, bytes and size of the file.
fn ask(settings: &Settings, part: Part) -> Result<(u64, Vec<u8>, u64), UpstreamError> {
    let mut upstream = HttpUpstream::new(settings.clone()).unwrap();
    upstream.submit(Request {
        upstream: "npm".to_owned(),
        path: "x.whl".to_owned(),
        accept: None,
        limit: 100,
        want: Want::Part(part),
        link: None,
    });
    match upstream.next_answer().unwrap().1? {
        Content::Part {
            bytes,
            first,
            total,
        } => Ok((first, bytes, total)),
        other => panic!("{other:?}"),
    }
}

/// What an honest server sends (RFC 9110 §14).
fn sent(asked: &Asked) -> Reply {
    let range = asked
        .header("range")
        .unwrap()
        .strip_prefix("bytes=")
        .unwrap();
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    let (from, to) = range.split_once('-').unwrap();
    let (first, last) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Err(_), Ok(length)) => (SIZE.saturating_sub(length), SIZE - 1),
        (Ok(first), Ok(last)) => (first, last.min(SIZE - 1)),
        _ => panic!("{range}"),
    };
    if first > last {
        return Reply::status(416);
    }
    Reply {
        status: 206,
        ..Reply::ok(file()[first..=last].to_vec())
    }
    .with("Content-Range", format!("bytes {first}-{last}/{SIZE}"))
}

#[test]
fn parts_come_from_the_server_once_and_then_from_the_cache() {
    let folder = Folder::new("ranges");
    let server = Server::new(sent);
    let settings = settings(&folder, &server.url());
    for _ in 0..2 {
        let end = ask(&settings, Part::Last(20)).unwrap();
        assert_eq!(end, (180, file()[180..].to_vec(), 200));
        let middle = Part::From {
            first: 50,
            length: 10,
        };
        let found = ask(&settings, middle).unwrap();
        assert_eq!(found, (50, file()[50..60].to_vec(), 200));
        let rest = Part::From {
            first: 195,
            length: 50,
        };
        assert_eq!(ask(&settings, rest).unwrap().1, file()[195..].to_vec());
    }
    assert_eq!(server.asked().len(), 3);
    let mut offline = settings;
    offline.offline = true;
    assert_eq!(ask(&offline, Part::Last(20)).unwrap().0, 180);
    let other = ask(&offline, Part::Last(21)).unwrap_err();
    assert_eq!(other.code().name, "upstream-offline");
}

#[test]
fn servers_without_parts_are_not_listened_to() {
    for status in [200, 416] {
        let folder = Folder::new(&format!("ranges-{status}"));
        let server = Server::new(move |_asked| Reply {
            status,
            ..Reply::ok(vec![0; 90])
        });
        let error = ask(&settings(&folder, &server.url()), Part::Last(20)).unwrap_err();
        assert_eq!(error.code().name, "upstream-no-ranges", "{status}: {error}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn another_part_than_asked_for_is_refused() {
    let bytes = |count: usize| Reply {
        status: 206,
        ..Reply::ok(vec![7; count])
    };
    let cases = [
        bytes(20),
        bytes(20).with("Content-Range", "bytes 0-19/200"),
        bytes(20).with("Content-Range", "bytes 180-199/*"),
        bytes(20).with("Content-Range", "bytes 199-180/200"),
        bytes(20).with("Content-Range", format!("bytes 180-{}/{0}", u64::MAX)),
        bytes(19).with("Content-Range", "bytes 180-199/200"),
        bytes(150).with("Content-Range", "bytes 180-199/200"),
        bytes(20)
            .with("Content-Range", "bytes 180-199/200")
            .with("Content-Encoding", "gzip"),
    ];
    for (number, reply) in cases.into_iter().enumerate() {
        let folder = Folder::new(&format!("ranges-other-{number}"));
        let server = Server::new(move |_asked| reply.clone());
        let error = ask(&settings(&folder, &server.url()), Part::Last(20)).unwrap_err();
        assert_eq!(error.code().name, "upstream-failed", "{number}: {error}");
        assert_eq!(server.asked().len(), 1, "{number}");
    }
}
