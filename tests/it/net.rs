//! The network client against servers that behave badly.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stage::base::fault::Fault as _;
use stage::fs;
use stage::net::proxy::ProxyRules;
use stage::net::settings::{Credential, Secret, Settings};
use stage::net::{HttpUpstream, NetError};
use stage::upstream::{Request, Upstream as _, UpstreamError, Want};

use crate::loopback::{Asked, Authority, Proxy, Reply, Server, dead_port};

/// An empty folder that is removed again.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stage-it-{name}-{}", std::process::id()));
        fs::remove_tree(&path).unwrap();
        fs::create_dir_all(&path, 0o755).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_tree(&self.0).unwrap();
    }
}

pub(crate) fn settings(folder: &Folder, base: &str) -> Settings {
    let mut settings = Settings::new(folder.0.clone());
    settings.set_upstream("npm", base).unwrap();
    settings.timing.backoff = Duration::from_millis(5);
    settings.timing.retry_after = Duration::from_millis(400);
    settings.timing.connect = Duration::from_secs(3);
    settings
}

fn request(path: &str) -> Request {
    Request {
        upstream: "npm".to_owned(),
        path: path.to_owned(),
        accept: Some("application/json"),
        limit: 10_000,
        want: Want::Document,
        link: None,
    }
}

fn ask(settings: &Settings, request: &Request) -> Result<Vec<u8>, UpstreamError> {
    let mut upstream = HttpUpstream::new(settings.clone()).unwrap();
    upstream.submit(request.clone());
    let (answered, result) = upstream.next_answer().unwrap();
    assert_eq!(answered, *request);
    assert!(upstream.next_answer().is_none());
    result.map(|content| content.into_bytes().unwrap())
}

fn reason(result: Result<Vec<u8>, UpstreamError>) -> String {
    result.unwrap_err().to_string()
}

/// The first answers in order, then the last one for ever.
fn script(replies: Vec<Reply>) -> impl Fn(&Asked) -> Reply + Send + Sync {
    let next = AtomicUsize::new(0);
    move |_asked| {
        let at = next.fetch_add(1, Ordering::SeqCst);
        replies[at.min(replies.len() - 1)].clone()
    }
}

#[test]
fn trouble_that_passes_is_waited_for_and_other_trouble_is_not() {
    let folder = Folder::new("retry");
    let cut = Reply {
        cut: Some(2),
        ..Reply::ok("whole")
    };
    let cases = [
        (vec![Reply::status(503), Reply::ok("x")], Ok("x"), 2),
        (
            vec![Reply::status(408), Reply::status(500), Reply::ok("x")],
            Ok("x"),
            3,
        ),
        (vec![cut.clone(), Reply::ok("whole")], Ok("whole"), 2),
        (
            vec![cut],
            Err("end of file before message length reached"),
            4,
        ),
        (vec![Reply::status(502)], Err("the server answered 502"), 4),
        (vec![Reply::status(404)], Err("does not exist"), 1),
        (vec![Reply::status(410)], Err("does not exist"), 1),
        (
            vec![Reply::status(401)],
            Err("no credential is configured"),
            1,
        ),
        (vec![Reply::status(400)], Err("the server answered 400"), 1),
    ];
    for (replies, expected, requests) in cases {
        let server = Server::new(script(replies));
        let result = ask(&settings(&folder, &server.url()), &request("a"));
        match expected {
            Ok(body) => assert_eq!(result.unwrap(), body.as_bytes()),
            Err(text) => {
                let found = reason(result);
                assert!(found.contains(text), "{found}");
            }
        }
        assert_eq!(server.asked().len(), requests, "{expected:?}");
    }
}

#[test]
fn retry_after_is_honoured_up_to_a_limit() {
    let folder = Folder::new("retry-after");
    for (after, least, most) in [("0", 0, 300), ("3600", 400, 3000)] {
        let busy = Reply::status(429).with("Retry-After", after);
        let server = Server::new(script(vec![busy, Reply::ok("x")]));
        let started = Instant::now();
        ask(&settings(&folder, &server.url()), &request("a")).unwrap();
        let took = started.elapsed().as_millis();
        assert!((least..most).contains(&took), "{after}: {took} ms");
    }
}

#[test]
fn bodies_are_bounded_as_sent_and_as_decoded() {
    let folder = Folder::new("large");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 100_000]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 10_000);
    for reply in [
        Reply::ok(vec![1; 10_001]),
        Reply::ok(bomb).with("Content-Encoding", "gzip"),
    ] {
        let server = Server::new(script(vec![reply]));
        let found = reason(ask(&settings(&folder, &server.url()), &request("a")));
        assert!(
            found.contains("more than the allowed 10000 bytes"),
            "{found}"
        );
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn credentials_stay_with_their_host_across_redirects() {
    let folder = Folder::new("redirect");
    let other = Server::new(script(vec![Reply::ok("there")]));
    let target = format!("{}x?signature=S3CR3T", other.url());
    let server = Server::new(move |asked: &Asked| match asked.target.as_str() {
        "/away" => Reply::status(302).with("Location", target.clone()),
        "/here" => Reply::status(307).with("Location", "/again"),
        "/again" => Reply::ok("here"),
        _ => Reply::status(302).with("Location", "/loop"),
    });
    let mut settings = settings(&folder, &server.url());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    settings.log = Some(Arc::new(move |line| {
        log.lock().unwrap().push(line.to_owned());
    }));
    let prefix = server.url().parse().unwrap();
    settings.add_credential(&prefix, Credential::Bearer(Secret::new("T0KEN")));
    // Even if the other host had a credential of its own: a redirect does not make us show it.
    let away = other.url().parse().unwrap();
    settings.add_credential(&away, Credential::Bearer(Secret::new("0THER")));
    assert_eq!(ask(&settings, &request("away")).unwrap(), b"there");
    assert_eq!(ask(&settings, &request("here")).unwrap(), b"here");
    assert!(reason(ask(&settings, &request("loop"))).contains("more than 5 redirects"));
    assert!(
        server
            .asked()
            .iter()
            .all(|a| a.header("authorization") == Some("Bearer T0KEN"))
    );
    assert_eq!(other.asked()[0].header("authorization"), None);
    assert_eq!(other.asked().len(), 1);
    let lines = lines.lock().unwrap().join("\n");
    assert!(
        lines.contains(&format!("GET <{}x?***> 200", other.url())),
        "{lines}"
    );
    assert!(
        !lines.contains("S3CR3T") && !lines.contains("T0KEN"),
        "{lines}"
    );

    settings.allow_hosts = Some(BTreeSet::from([format!("127.0.0.1:{}", server.port)]));
    let found = reason(ask(&settings, &request("away")));
    assert!(
        found.contains(&format!("host 127.0.0.1:{} is not one of", other.port)),
        "{found}"
    );
    assert_eq!(other.asked().len(), 1);
}

#[test]
fn only_the_configured_authority_is_believed_and_https_does_not_become_http() {
    let folder = Folder::new("tls");
    let plain = Server::new(script(vec![Reply::ok("plain")]));
    let target = plain.url();
    let authority = Authority::new();
    let server = Server::tls(authority.config(), move |asked: &Asked| {
        match asked.target.as_str() {
            "/down" => Reply::status(301).with("Location", target.clone()),
            _ => Reply::ok("secure"),
        }
    });
    let mut settings = settings(&folder, &server.url());
    for roots in [Vec::new(), vec![Authority::new().root]] {
        settings.roots = roots;
        let found = reason(ask(&settings, &request("x")));
        assert!(
            found.contains("no certification authority that is configured here"),
            "{found}"
        );
    }
    settings.roots = vec![authority.root.clone()];
    assert_eq!(ask(&settings, &request("x")).unwrap(), b"secure");
    let found = reason(ask(&settings, &request("down")));
    assert!(found.contains("redirect from https to http"), "{found}");
    assert_eq!(plain.asked().len(), 0);
}

#[test]
fn a_client_certificate_is_shown_to_its_address_only() {
    let folder = Folder::new("client-certificate");
    let authority = Authority::new();
    let server = Server::tls(authority.config_for_clients(), |_asked: &Asked| {
        Reply::ok("known")
    });
    let mut settings = settings(&folder, &server.url());
    settings.timing.connect = Duration::from_secs(1);
    settings.roots = vec![authority.root.clone()];
    ask(&settings, &request("x")).unwrap_err();
    let pem = || Secret::new(authority.client_pem.clone());
    let other = "https://localhost:1/".parse().unwrap();
    settings.add_client_certificate(&other, pem());
    ask(&settings, &request("x")).unwrap_err();
    settings.add_client_certificate(&server.url().parse().unwrap(), pem());
    assert_eq!(ask(&settings, &request("x")).unwrap(), b"known");
    settings.add_client_certificate(&other, Secret::new("no PEM".to_owned()));
    let refused = HttpUpstream::new(settings).unwrap_err();
    assert_eq!(refused.code().name, "upstream-roots");
}

#[test]
fn what_is_kept_is_revalidated_or_used_and_damage_is_repaired() {
    let folder = Folder::new("cache");
    let server = Server::new(|asked: &Asked| match asked.header("if-none-match") {
        Some("\"1\"") => Reply::status(304),
        _ => Reply::ok("content").with("ETag", "\"1\""),
    });
    let mut settings = settings(&folder, &server.url());
    let fixed = Request {
        want: Want::Immutable,
        ..request("b")
    };
    for _ in 0..3 {
        assert_eq!(ask(&settings, &request("a")).unwrap(), b"content");
        assert_eq!(ask(&settings, &fixed).unwrap(), b"content");
    }
    let conditions: Vec<_> = server
        .asked()
        .iter()
        .map(|a| (a.target.clone(), a.header("if-none-match").is_some()))
        .collect();
    let expected = [("/a", false), ("/b", false), ("/a", true), ("/a", true)];
    assert_eq!(
        conditions,
        expected.map(|(path, sent)| (path.to_owned(), sent))
    );

    let (files, _) = fs::walk(&folder.0.join("http")).unwrap();
    assert_eq!(files.len(), 2);
    for file in files {
        let path = folder.0.join("http").join(file);
        let mut bytes = fs::read(&path, 10_000).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write_atomic(&path, &bytes, 0o600).unwrap();
    }
    assert_eq!(ask(&settings, &request("a")).unwrap(), b"content");
    assert_eq!(server.asked().last().unwrap().header("if-none-match"), None);

    settings.offline = true;
    let before = server.asked().len();
    assert_eq!(ask(&settings, &request("a")).unwrap(), b"content");
    let missing = ask(&settings, &request("c")).unwrap_err();
    let expected = format!(
        "<{}c> is not in the cache, and the network may not be used",
        server.url()
    );
    assert_eq!(missing.to_string(), expected);
    assert_eq!(server.asked().len(), before);
}

#[test]
fn the_secret_of_a_proxy_is_shown_to_the_proxy_alone() {
    let folder = Folder::new("proxy");
    let proxy = Proxy::new();
    let plain = Server::new(script(vec![Reply::ok("plain")]));
    let authority = Authority::new();
    let secure = Server::tls(authority.config(), script(vec![Reply::ok("secure")]));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let make = |base: &str, user: &str| {
        let mut settings = settings(&folder, base);
        let rules = ProxyRules::fixed(&format!("http://{user}@127.0.0.1:{}", proxy.port), None);
        settings.set_proxy(rules.unwrap());
        settings.roots = vec![authority.root.clone()];
        let log = lines.clone();
        settings.log = Some(Arc::new(move |line| {
            log.lock().unwrap().push(line.to_owned());
        }));
        settings
    };
    let mut printed = String::new();
    for (server, body) in [(&plain, "plain"), (&secure, "secure")] {
        let mut upstream = HttpUpstream::new(make(&server.url(), "u:S3CR3T")).unwrap();
        upstream
            .preflight(&[server.url().parse().unwrap()])
            .unwrap();
        upstream.submit(request("x"));
        let content = upstream.next_answer().unwrap().1.unwrap();
        assert_eq!(content.into_bytes().unwrap(), body.as_bytes());
        let egress = upstream.egress();
        let text = egress[0].to_string();
        assert_eq!(egress.len(), 1);
        assert!(
            text.ends_with(&format!(" via 127.0.0.1:{}", proxy.port)),
            "{text}"
        );
        printed.extend([format!("{upstream:?} {egress:?} "), text]);
    }
    assert!(proxy.seen().iter().any(|a| a.method == "CONNECT"));
    assert!(
        proxy
            .seen()
            .iter()
            .any(|a| a.target.starts_with("http://127.0.0.1"))
    );
    for asked in plain.asked().iter().chain(&secure.asked()) {
        assert_eq!(asked.header("proxy-authorization"), None);
    }
    for server in [&plain, &secure] {
        let settings = make(&server.url(), "u:WR0NGPASS");
        printed.push_str(&reason(ask(&settings, &request("y"))));
        let upstream = HttpUpstream::new(settings).unwrap();
        let error = upstream
            .preflight(&[server.url().parse().unwrap()])
            .unwrap_err();
        printed.extend([error.to_string(), format!("{error:?}")]);
    }
    printed.push_str(&lines.lock().unwrap().join("\n"));
    assert!(
        printed.contains(&format!("through proxy 127.0.0.1:{}", proxy.port)),
        "{printed}"
    );
    for secret in ["S3CR3T", "WR0NG", "dTpTM0NSM1Q"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn every_host_that_cannot_be_reached_is_named_at_once() {
    let folder = Folder::new("preflight");
    let server = Server::new(script(vec![Reply::status(404)]));
    let authority = Authority::new();
    let secure = Server::tls(authority.config(), script(vec![Reply::ok("")]));
    let upstream = HttpUpstream::new(settings(&folder, &server.url())).unwrap();
    let dead = dead_port();
    let urls = [
        server.url(),
        format!("http://127.0.0.1:{dead}/a"),
        format!("http://127.0.0.1:{dead}/b"),
        "http://stage-test.invalid/".to_owned(),
        secure.url(),
    ];
    let urls: Vec<_> = urls.iter().map(|url| url.parse().unwrap()).collect();
    let NetError::Unreachable { hosts } = upstream.preflight(&urls).unwrap_err() else {
        panic!("another error");
    };
    let named: Vec<_> = hosts.iter().map(|h| (h.host.as_str(), h.port)).collect();
    assert_eq!(
        named,
        [
            ("127.0.0.1", dead),
            ("localhost", secure.port),
            ("stage-test.invalid", 80)
        ]
    );
    assert!(hosts[0].reason.contains("refused"), "{}", hosts[0].reason);
    assert!(
        hosts[1].reason.contains("no certification authority"),
        "{}",
        hosts[1].reason
    );
    assert!(upstream.preflight(&urls[..1]).is_ok_and(|()| true));
}

#[test]
fn no_more_requests_at_a_time_than_allowed() {
    let folder = Folder::new("bound");
    let server = Server::new(|_: &Asked| Reply {
        delay: 30,
        ..Reply::ok("x")
    });
    let mut settings = settings(&folder, &server.url());
    settings.jobs = 3;
    let mut upstream = HttpUpstream::new(settings).unwrap();
    for number in 0..20 {
        upstream.submit(request(&number.to_string()));
    }
    let mut answers = 0;
    while let Some((_, answer)) = upstream.next_answer() {
        assert_eq!(answer.unwrap().into_bytes().unwrap(), b"x");
        answers += 1;
    }
    assert_eq!((answers, server.most()), (20, 3));
}

#[test]
fn a_stream_that_breaks_off_goes_on_where_it_stopped() {
    let folder = Folder::new("stream");
    let content: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    for tag in [Some("\"v1\""), None] {
        let whole = content.clone();
        let count = AtomicUsize::new(0);
        let server = Server::new(move |asked: &Asked| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            let range = asked.header("range").and_then(|r| r.strip_prefix("bytes="));
            let from: Option<usize> = range.map(|r| r.trim_end_matches('-').parse().unwrap());
            let reply = match from {
                Some(from) => {
                    assert_eq!(asked.header("if-range"), tag);
                    let end = whole.len();
                    let range = format!("bytes {from}-{}/{end}", end - 1);
                    Reply {
                        status: 206,
                        ..Reply::ok(&whole[from..])
                    }
                    .with("Content-Range", range)
                }
                None => Reply::ok(whole.clone()),
            };
            let reply = Reply {
                cut: first.then_some(70_000),
                ..reply
            };
            tag.map_or(reply.clone(), |tag| reply.with("ETag", tag))
        });
        let upstream = HttpUpstream::new(settings(&folder, &server.url())).unwrap();
        let downloader = upstream.downloader();
        let url = downloader.locate(&request("big")).unwrap();
        let mut body = downloader.open(&url, 1_000_000, None, false).unwrap();
        assert_eq!(body.size, Some(200_000));
        let mut read = Vec::new();
        body.read_to_end(&mut read).unwrap();
        assert!(read == content, "{} bytes", read.len());
        assert_eq!(server.asked().len(), 2);
        assert_eq!(server.asked()[1].header("range").is_some(), tag.is_some());
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let folder = Folder::new("stall");
    let server = Server::new(|_: &Asked| Reply {
        delay: 2000,
        ..Reply::ok("x")
    });
    let mut settings = settings(&folder, &server.url());
    settings.timing.stall = Duration::from_millis(100);
    let started = Instant::now();
    assert!(reason(ask(&settings, &request("x"))).contains("nothing came for"));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_registry_that_hangs_is_asked_once_and_its_mirror_from_then_on() {
    let folder = Folder::new("mirror-hang");
    let slow = Server::new(|_| {
        let mut reply = Reply::ok("slow");
        reply.delay = 10_000;
        reply
    });
    let mirror = Server::new(|_| Reply::ok("mirror"));
    let mut settings = settings(&folder, &slow.url());
    settings.timing.stall = Duration::from_millis(100);
    settings.add_mirror("npm", &mirror.url()).unwrap();
    let mut upstream = HttpUpstream::new(settings).unwrap();
    for path in ["one", "two", "three"] {
        upstream.submit(request(path));
        let (_, answer) = upstream.next_answer().unwrap();
        assert_eq!(answer.unwrap().into_bytes().unwrap(), b"mirror");
    }
    assert_eq!(slow.asked().len(), 1);
    assert_eq!(mirror.asked().len(), 3);
    // A document that is not there is an answer, which the mirror does not change.
    let absent = Server::new(|_| Reply::status(404));
    let folder = Folder::new("mirror-absent");
    let mut settings = self::settings(&folder, &absent.url());
    settings.add_mirror("npm", &mirror.url()).unwrap();
    let missing = ask(&settings, &request("one")).unwrap_err();
    assert!(
        matches!(missing, UpstreamError::NotFound { .. }),
        "{missing}"
    );
}
