//! Dependency-Track: the contract of its API, version 1.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{TOKEN, answer, desk, expected, files, form, receipt, submit, target, write_packet};
use crate::loopback::{Asked, Reply, Server};
use crate::schemas::assert_valid;

const UUID: &str = "6fb1820f-5280-4577-ac51-40124aabe307";
const JOB: &str = "a1b2c3d4-0000-4000-8000-1234567890ab";

#[derive(Default)]
struct State {
    /// Fields of each form: name to text; the SBOM's bytes under `bom`.
    forms: Vec<BTreeMap<String, Vec<u8>>>,
    /// How often it is still reading.
    busy: usize,
    /// What it answers to an upload instead.
    instead: Vec<Reply>,
}

fn track(state: &Arc<Mutex<State>>) -> Server {
    let state = state.clone();
    Server::new(move |asked: &Asked| {
        let mut state = state.lock().unwrap();
        assert_eq!(asked.header("authorization"), None);
        if asked.header("x-api-key") != Some(TOKEN) {
            return Reply::status(401);
        }
        match (asked.method.as_str(), target(asked).0.as_str()) {
            ("POST", "/api/v1/bom") => {
                if let Some(reply) = state.instead.pop() {
                    return reply;
                }
                let fields = form(asked).into_iter();
                state
                    .forms
                    .push(fields.map(|field| (field.name, field.bytes)).collect());
                answer(200, &json!({"token": JOB}))
            }
            ("GET", path) if path == format!("/api/v1/event/token/{JOB}") => {
                let processing = state.busy > 0;
                state.busy = state.busy.saturating_sub(1);
                answer(200, &json!({"processing": processing}))
            }
            _ => Reply::status(404),
        }
    })
}

fn words(server: &Server, project: &str) -> String {
    format!(
        "packet --to dependency-track --url {} --ticket {project}",
        server.url()
    )
}

#[test]
fn a_project_gets_the_sbom_and_it_is_waited_for() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    state.lock().unwrap().busy = 2;
    let server = track(&state);
    let named = format!(
        "{} --auto-create --format json",
        words(&server, "claws@2026.9")
    );
    let report = submit(&desk, &named).ok().json();
    assert_valid("submit-report.json", &report);
    let kept = receipt(&desk, "packet.dependency-track-claws@2026.9.receipt.json");
    assert_eq!(
        (&kept["complete"], &kept["files"][0]["sent"]["remote_id"]),
        (&json!(true), &json!(JOB))
    );
    submit(&desk, &named).ok();
    submit(&desk, &words(&server, UUID)).ok();
    let state = state.lock().unwrap();
    let text = |at: usize, name: &str| String::from_utf8(state.forms[at][name].clone()).unwrap();
    assert_eq!(state.forms.len(), 2, "once for each project");
    assert_eq!(
        (
            text(0, "projectName"),
            text(0, "projectVersion"),
            text(0, "autoCreate")
        ),
        ("claws".to_owned(), "2026.9".to_owned(), "true".to_owned())
    );
    assert_eq!(text(1, "project"), UUID);
    assert_eq!(state.forms[1].len(), 2);
    for form in &state.forms {
        assert_eq!(form["bom"], expected(&desk)[1].1);
    }
    let polls = server
        .asked()
        .iter()
        .filter(|asked| asked.method == "GET")
        .count();
    assert_eq!(polls, 3 + 1);
}

#[test]
fn what_is_not_read_in_time_is_asked_for_again_and_not_sent_again() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    state.lock().unwrap().busy = 2;
    let server = track(&state);
    let impatient = format!("{} --wait 0", words(&server, UUID));
    let name = format!("packet.dependency-track-{UUID}.receipt.json");
    submit(&desk, &impatient).refused(1, "submit-pending");
    let kept = receipt(&desk, &name);
    assert_eq!(
        (&kept["complete"], &kept["files"][0]["sent"]["state"]),
        (&json!(false), &json!("sent"))
    );
    submit(&desk, &words(&server, UUID)).ok();
    assert_eq!(receipt(&desk, &name)["complete"], true);
    assert_eq!(state.lock().unwrap().forms.len(), 1);
}

#[test]
fn what_it_says_of_a_bad_sbom_is_shown_and_cannot_speak_to_the_terminal() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let problem = json!({
        "status": 400, "title": "The uploaded BOM is invalid",
        "detail": format!("Schema \u{1b}[2J\u{202e} validation failed for {TOKEN}"),
    });
    let invalid = || answer(400, &problem).with("Content-Type", "application/problem+json");
    let server = track(&state);
    state.lock().unwrap().instead = vec![invalid()];
    submit(&desk, &words(&server, UUID))
        .refused(1, "submit-refused")
        .says(&[
            "The uploaded BOM is invalid: Schema \\u{1b}[2J\\u{202e} validation failed for ***",
        ]);
    state.lock().unwrap().instead = vec![Reply::status(404)];
    submit(&desk, &words(&server, UUID)).refused(1, "submit-no-ticket");
    state.lock().unwrap().instead = vec![answer(403, &Value::Null)];
    submit(&desk, &words(&server, UUID)).refused(1, "the token may not do this");
    // The answer was lost: the same SBOM once more changes nothing.
    state.lock().unwrap().instead = vec![Reply {
        gone: true,
        ..Reply::default()
    }];
    submit(&desk, &words(&server, UUID)).ok();
}

#[test]
fn a_packet_without_sbom_is_not_for_it() {
    let desk = desk();
    let server = track(&Arc::default());
    let mut plain = files();
    plain.remove("sbom/bundle.cdx.json");
    write_packet(&desk, "plain", &plain);
    let words = words(&server, UUID).replace("packet ", "plain ");
    submit(&desk, &words).refused(2, "submit-no-sbom");
    submit(&desk, &format!("{words} --dry-run")).refused(2, "submit-no-sbom");
    submit(&desk, &self::words(&server, "name-only")).refused(2, "NAME@VERSION");
    assert!(server.asked().is_empty());
}
