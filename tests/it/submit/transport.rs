//! How a service is reached: tokens, certificates, proxies, dry runs; and bodies on their way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use stage::base::progress::{Progress, Unit};
use stage::net::HttpUpstream;
use stage::net::settings::Settings;
use stage::net::upload::{Call, Verb};

use super::{TOKEN, answer, desk, files, form, submit, submit_by, write_packet, write_secret};
use crate::loopback::{Asked, Authority, Proxy, Reply, Server, dead_port};
use crate::net::Folder;
use crate::schemas::assert_valid;

const UUID: &str = "6fb1820f-5280-4577-ac51-40124aabe307";

/// Takes an SBOM and has read it at once.
fn track(asked: &Asked) -> Reply {
    assert_eq!(asked.header("x-api-key"), Some(TOKEN));
    if asked.method == "POST" {
        assert_eq!(form(asked).len(), 2);
        return answer(200, &json!({"token": UUID}));
    }
    answer(200, &json!({"processing": false}))
}

fn words(url: &str) -> String {
    format!("packet --to dependency-track --url {url} --ticket {UUID}")
}

#[test]
fn a_private_ca_a_proxy_and_a_client_certificate_lead_there() {
    let authority = Authority::new();
    let plain = Server::tls(authority.config(), track);
    let strict = Server::tls(authority.config_for_clients(), track);
    let desk = desk();
    desk.write("root.pem", &authority.root_pem);
    write_secret(&desk, "client.pem", &authority.client_pem);
    let unknown = words(&plain.url());
    submit(&desk, &unknown).refused(1, "no certification authority");
    assert!(plain.asked().is_empty(), "the token was shown to nobody");
    submit(&desk, &format!("{unknown} --ca root.pem")).ok();

    let proxy = Proxy::new();
    let through = format!(
        "--proxy http://u:S3CR3T@127.0.0.1:{} --ca root.pem",
        proxy.port
    );
    std::fs::remove_file(desk.path(&format!("packet.dependency-track-{UUID}.receipt.json")))
        .unwrap();
    submit(&desk, &format!("{unknown} {through}")).ok();
    assert!(proxy.seen().iter().all(|asked| asked.method == "CONNECT"));
    assert!(!proxy.seen().is_empty());
    for asked in proxy.seen() {
        assert_eq!(asked.header("x-api-key"), None);
    }

    let strict = format!(
        "{} --ca root.pem --receipt strict.json",
        words(&strict.url())
    );
    submit(&desk, &strict).refused(1, "submit-failed");
    submit(&desk, &format!("{strict} --client-cert client.pem")).ok();
    std::os::unix::fs::symlink(desk.path("client.pem"), desk.path("link.pem")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(desk.path("client.pem"), mode).unwrap();
    let open = format!("{strict} --client-cert link.pem");
    submit(&desk, &open).refused(5, "cli-secret-readable");
}

#[test]
fn a_token_comes_from_a_file_of_its_owner_or_the_environment_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = desk();
    let server = Server::new(track);
    let words = words(&server.url());
    for (mode, code) in [(0o604, 5), (0o602, 5), (0o644, 5), (0o640, 0), (0o400, 0)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(desk.path("token"), mode).unwrap();
        let ran = submit(&desk, &words);
        assert_eq!(ran.code, code, "{}", ran.stderr);
    }
    let by_variable = |token: &'static str| {
        let line = format!("submit {words} --receipt env.json -vv");
        let mut command = desk.command(env!("CARGO_BIN_EXE_stage"), &line);
        command.env("STAGE_SUBMIT_TOKEN", token);
        crate::desk::ran(command)
    };
    let told = by_variable(TOKEN).ok();
    assert!(
        told.stderr.contains("POST <http://127.0.0.1"),
        "{}",
        told.stderr
    );
    assert!(!told.stderr.contains(TOKEN));
    let before = server.asked().len();
    by_variable("").refused(2, "there is no token");
    by_variable("two\nlines").refused(2, "not one line");
    write_secret(&desk, "token", "\n");
    submit(&desk, &words).refused(2, "the token is empty");
    submit(&desk, &words.replace("--to", "--token-file none --to")).refused(2, "");
    assert_eq!(server.asked().len(), before);
}

#[test]
fn an_address_is_https_and_holds_no_secret() {
    let desk = desk();
    let refused = |url: &str, word: &str| {
        let ran = submit(&desk, &words(url)).refused(2, word);
        assert!(!ran.stderr.contains("S3CR3T"), "{}", ran.stderr);
    };
    refused("http://track.agency.example", "could read the token");
    refused(
        "https://svc:S3CR3T@track.agency.example",
        "holds a user name or a password",
    );
    refused(
        "https://track.agency.example/?token=S3CR3T",
        "is not an http or https URL",
    );
    refused("ftp://track.agency.example", "is not an http or https URL");
    let dead = format!("http://127.0.0.1:{}", dead_port());
    submit(&desk, &words(&dead)).refused(1, "refused");
    submit(&desk, &format!("{} --offline", words(&dead))).refused(1, "may not be used");
}

#[test]
fn a_dry_run_shows_everything_and_contacts_nobody() {
    let desk = desk();
    let url = format!("http://127.0.0.1:{}/base/", dead_port());
    let cases = [
        (
            "rt --ticket 42",
            6,
            "POST /base/REST/2.0/ticket/42/comment",
            "Authorization: token ***",
        ),
        (
            "jira --ticket CHG-42",
            7,
            "POST /base/rest/api/2/issue/CHG-42/attachments",
            "Authorization: Bearer ***",
        ),
        (
            "jira --jira-api 3 --user me --ticket CHG-42",
            7,
            "POST /base/rest/api/3/issue/CHG-42/comment",
            "Authorization: Basic ***",
        ),
        (
            "servicenow --ticket CHG1",
            7,
            "PATCH /base/api/now/table/change_request/SYS_ID",
            "Authorization: Bearer ***",
        ),
        (
            "dependency-track --ticket a@1",
            2,
            "POST /base/api/v1/bom",
            "X-Api-Key: ***",
        ),
    ];
    for (system, count, call, secret) in cases {
        let words = format!("packet --url {url} --dry-run --to {system}");
        let report = submit(&desk, &format!("{words} --format json")).ok().json();
        assert_valid("submit-report.json", &report);
        let requests = report["requests"].as_array().unwrap();
        assert_eq!(requests.len(), count, "{system}");
        let (method, path) = call.split_once(' ').unwrap();
        let found = requests.iter().find(|request| {
            let at = url::Url::parse(request["url"].as_str().unwrap()).unwrap();
            request["method"] == method && at.path() == path
        });
        let found = found.unwrap_or_else(|| panic!("{call} not in {report:#}"));
        assert!(
            found["headers"]
                .as_array()
                .unwrap()
                .contains(&json!(secret)),
            "{found}"
        );
        assert!(found["size"].as_u64().unwrap() > 50);
        // No token is needed to look.
        let line = format!("submit {words}");
        crate::desk::ran(desk.command(env!("CARGO_BIN_EXE_stage"), &line))
            .ok()
            .says(&[method, secret]);
    }
    let names = std::fs::read_dir(desk.path("")).unwrap();
    let receipts = names.filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("receipt")
    });
    assert_eq!(receipts.count(), 0);
}

#[test]
fn large_files_arrive_whole() {
    let desk = desk();
    let mut large = files();
    let noise: Vec<u8> = (0..1_500_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    large.insert("sbom/bundle.cdx.json".to_owned(), noise.clone());
    write_packet(&desk, "large", &large);
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = got.clone();
    let authority = Authority::new();
    let server = Server::tls(authority.config(), move |asked: &Asked| {
        if asked.method == "POST" {
            kept.lock().unwrap().clone_from(&form(asked)[1].bytes);
        }
        track(asked)
    });
    desk.write("root.pem", &authority.root_pem);
    let words = words(&server.url()).replace("packet ", "large ");
    submit_by(&desk, &format!("{words} --ca root.pem"), |_| ())
        .ok()
        .says(&["Sending the SBOM (6."]);
    assert!(*got.lock().unwrap() == noise);
}

#[derive(Default)]
struct Counted(AtomicUsize);

impl Progress for Counted {
    fn begin(&self, _what: &str, _total: u64, _unit: Unit) {}
    fn advance(&self, by: u64) {
        self.0
            .fetch_add(usize::try_from(by).unwrap(), Ordering::SeqCst);
    }
    fn total(&self, _total: u64) {}
    fn end(&self) {}
}

#[test]
fn an_answer_may_take_longer_than_a_pause_in_one_and_not_forever() {
    let folder = Folder::new("upload");
    let delay = Arc::new(AtomicUsize::new(300));
    let slow = delay.clone();
    let server = Server::new(move |_: &Asked| Reply {
        delay: slow.load(Ordering::SeqCst) as u64,
        ..Reply::ok("{}")
    });
    let mut settings = Settings::new(folder.0.clone());
    settings.uploads = true;
    settings.timing.stall = Duration::from_millis(100);
    settings.timing.backoff = Duration::from_millis(5);
    let upstream = HttpUpstream::new(settings).unwrap();
    let call = Call {
        verb: Verb::Post,
        url: server.url().parse().unwrap(),
        headers: vec![("X-Test", "yes".to_owned())],
        body: vec![vec![7_u8; 300_000].into(), vec![8_u8; 1].into()],
        limit: 10,
        pause: Duration::ZERO,
    };
    let counted = Counted::default();
    let reply = upstream.exchange(call.clone(), &counted).unwrap();
    assert_eq!((reply.status, reply.body), (200, b"{}".to_vec()));
    assert_eq!(
        counted.0.load(Ordering::SeqCst),
        300_001,
        "all of it was told"
    );
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.header("x-test"), asked.header("content-length")),
        (Some("yes"), Some("300001"))
    );
    assert_eq!((asked.body[299_999], asked.body[300_000]), (7, 8));
    delay.store(2_500, Ordering::SeqCst);
    let unanswered = upstream.exchange(call.clone(), &counted).unwrap_err();
    assert!(
        unanswered.arrived && unanswered.reason.contains("nothing came for"),
        "{unanswered:?}"
    );
    assert_eq!(
        server.asked().len(),
        2,
        "what may have arrived is not repeated"
    );
    let report: Value = json!({"x": "y".repeat(20)});
    let talkative = Server::new(move |_: &Asked| answer(200, &report));
    let call = Call {
        url: talkative.url().parse().unwrap(),
        ..call
    };
    let unanswered = upstream.exchange(call, &counted).unwrap_err();
    assert!(
        unanswered.reason.contains("more than the allowed 10 bytes"),
        "{unanswered:?}"
    );
}
