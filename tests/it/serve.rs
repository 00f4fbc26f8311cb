//! `stage repo serve` against odd, slow and hostile clients.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::packages::Folder;
use crate::served::{Served, split};

fn repository(folder: &Folder, generation: u32, text: &str) {
    let root = folder.join(format!("gen/{generation}"));
    std::fs::create_dir_all(root.join("files/docs")).unwrap();
    std::fs::create_dir_all(root.join("npm/@a/b")).unwrap();
    std::fs::write(root.join("files/docs/a.bin"), text.repeat(1000)).unwrap();
    std::fs::write(root.join("npm/@a/b/index.html"), "{}").unwrap();
    std::fs::write(
        root.join("repository.json"),
        "{\"base_url\":\"http://x.example\"}",
    )
    .unwrap();
    let next = folder.join("next");
    std::os::unix::fs::symlink(format!("gen/{generation}"), &next).unwrap();
    std::fs::rename(next, folder.join("current")).unwrap();
}

#[test]
fn only_published_files_and_only_reading() {
    let folder = Folder::new("serve-read");
    repository(&folder, 1, "one");
    std::fs::write(folder.join("secret"), "secret").unwrap();
    let served = Served::start(&folder.0, 8);
    assert_eq!(served.get("/files/docs/a.bin").2.len(), 3000);
    for (path, status) in [
        ("/npm/@a%2fb", 200),
        ("/npm/@a/b", 200),
        ("/npm/@a", 404),
        ("/../secret", 400),
        ("/%2e%2e/secret", 400),
        ("/files/%2e%2e/%2e%2e/%2e%2e/secret", 400),
        ("/files/docs/a.bin%00", 400),
        ("/", 404),
        ("/files/", 404),
    ] {
        assert_eq!(served.get(path).0, status, "{path}");
    }
    let head =
        served.raw(b"HEAD /files/docs/a.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let (status, head, body) = split(&head);
    assert!(status == 200 && body.is_empty() && head.contains("Content-Length: 3000"));
    let part = b"GET /files/docs/a.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=2998-\r\nConnection: close\r\n\r\n";
    let (status, head, body) = split(&served.raw(part));
    assert_eq!((status, body.as_slice()), (206, &b"ne"[..]));
    assert!(head.contains("Content-Range: bytes 2998-2999/3000"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(split(&served.raw(request.as_bytes())).0, 405);
    }
    assert_eq!(split(&served.raw(b"nonsense\r\n\r\n")).0, 400);
    assert_eq!(
        split(&served.raw(&[b"GET /".to_vec(), vec![b'a'; 20_000]].concat())).0,
        400
    );
}

#[test]
fn a_switch_shows_at_once_and_readers_keep_what_they_began() {
    let folder = Folder::new("serve-switch");
    repository(&folder, 1, "one");
    let served = Served::start(&folder.0, 8);
    let mut stream = served.connect();
    let request = b"GET /files/docs/a.bin HTTP/1.1\r\nHost: h\r\n\r\n";
    let read = |stream: &mut std::net::TcpStream| {
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("\r\n\r\n")
            || !answer.ends_with(b"e\n") && answer.len() < 3000
        {
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0);
            answer.extend_from_slice(&piece[..count]);
        }
        split(&answer).2
    };
    stream.write_all(request).unwrap();
    assert!(read(&mut stream).starts_with(b"one"));
    repository(&folder, 2, "two");
    stream.write_all(request).unwrap();
    assert!(read(&mut stream).starts_with(b"two"));
}

#[test]
fn slow_clients_do_not_keep_others_out() {
    let folder = Folder::new("serve-slow");
    repository(&folder, 1, &"x".repeat(20_000));
    let served = Served::start(&folder.0, 256);
    let mut slow = Vec::new();
    for number in 0..64 {
        let mut stream = served.connect();
        // Half never finish asking, half never read the answer.
        let request: &[u8] = if number % 2 == 0 {
            b"GET /files/docs/a.bin HT"
        } else {
            b"GET /files/docs/a.bin HTTP/1.1\r\nHost: h\r\n\r\n"
        };
        stream.write_all(request).unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(served.get("/npm/@a%2fb").0, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(slow);
}

#[test]
fn it_ends_when_told_and_says_why_it_cannot_start() {
    let folder = Folder::new("serve-end");
    repository(&folder, 1, "one");
    let served = Served::start(&folder.0, 8);
    let taken = Command::new(env!("CARGO_BIN_EXE_stage"))
        .args(["repo", "serve", "--listen", &served.address, "--repo"])
        .arg(&folder.0)
        .output()
        .unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("serve-listen"));
    let pid = served.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(!served.wait().success());
}
