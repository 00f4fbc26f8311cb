//! Jira: the contract of REST API v2 (Data Center) and v3 (Cloud).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    Field, Mishap, TOKEN, answer, desk, expected, form, is_note, receipt, states, submit, target,
};
use crate::loopback::{Asked, Reply, Server};

#[derive(Default)]
struct State {
    attached: Vec<Field>,
    comments: Vec<Value>,
    mishaps: Vec<Mishap>,
    /// Largest file that it takes.
    limit: Option<usize>,
}

/// Issue CHG-42, for whoever shows this.
fn jira(state: &Arc<Mutex<State>>, version: &'static str, authorization: String) -> Server {
    let state = state.clone();
    Server::new(move |asked: &Asked| {
        let mut state = state.lock().unwrap();
        if asked.header("authorization") != Some(&authorization) {
            return answer(
                401,
                &json!({"errorMessages": ["You are not authenticated"]}),
            );
        }
        let (path, query) = target(asked);
        let issue = format!("/rest/api/{version}/issue/CHG-42");
        let Some(below) = path.strip_prefix(&issue) else {
            let errors = json!({"errorMessages": ["Issue does not exist"], "errors": {}});
            return answer(404, &errors);
        };
        match (asked.method.as_str(), below) {
            ("GET", "") => {
                assert_eq!(query["fields"], "attachment");
                let attached = state.attached.iter().enumerate();
                let listed: Vec<Value> = attached.map(|(at, field)| described(at, field)).collect();
                answer(
                    200,
                    &json!({"id": "10042", "key": "CHG-42", "fields": {"attachment": listed}}),
                )
            }
            ("POST", "/attachments") => attach(&mut state, asked),
            ("GET", "/comment") => {
                assert_eq!(query["orderBy"], "-created");
                answer(
                    200,
                    &json!({"comments": state.comments, "total": state.comments.len()}),
                )
            }
            ("POST", "/comment") => comment(&mut state, asked),
            other => panic!("{other:?}"),
        }
    })
}

fn described(at: usize, field: &Field) -> Value {
    json!({"id": (at + 500).to_string(), "filename": field.file, "size": field.bytes.len()})
}

fn attach(state: &mut State, asked: &Asked) -> Reply {
    // Without it the request is taken for a forged one (XSRF).
    assert_eq!(asked.header("x-atlassian-token"), Some("no-check"));
    let mishap = state.mishaps.pop();
    match mishap {
        Some(Mishap::LostCall) => {
            return Reply {
                gone: true,
                ..Reply::default()
            };
        }
        Some(Mishap::Status(status)) => {
            return answer(status, &json!({"errorMessages": ["no"]})).with("Retry-After", "1");
        }
        Some(Mishap::LostAnswer) | None => {}
    }
    let [field] = form(asked).try_into().unwrap();
    assert_eq!(field.name, "file");
    if state.limit.is_some_and(|limit| field.bytes.len() > limit) {
        return answer(
            413,
            &json!({"errorMessages": ["The attachment is too large"]}),
        );
    }
    let described = described(state.attached.len(), &field);
    state.attached.push(field);
    if mishap == Some(Mishap::LostAnswer) {
        return Reply {
            gone: true,
            ..Reply::default()
        };
    }
    answer(200, &json!([described]))
}

fn comment(state: &mut State, asked: &Asked) -> Reply {
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let mut document: Value = serde_json::from_slice(&asked.body).unwrap();
    let body = document["body"].take();
    state.comments.push(json!({"id": "900", "body": body}));
    answer(201, &json!({"id": "900"}))
}

fn words(server: &Server) -> String {
    format!("packet --to jira --url {} --ticket CHG-42", server.url())
}

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

fn posts(server: &Server) -> usize {
    let asked = server.asked();
    asked.iter().filter(|asked| asked.method == "POST").count()
}

#[test]
fn data_center_gets_files_and_a_comment_of_plain_text() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let server = jira(&state, "2", bearer());
    submit(&desk, &words(&server)).ok();
    let kept = receipt(&desk, "packet.jira-CHG-42.receipt.json");
    assert_eq!(
        (states(&kept), &kept["complete"]),
        (vec!["sent"; 3], &json!(true))
    );
    assert_eq!(kept["files"][1]["sent"]["remote_id"], "501");
    assert_eq!(kept["note"]["remote_id"], "900");
    {
        let state = state.lock().unwrap();
        let attached = state.attached.iter();
        let attached: Vec<_> = attached
            .map(|f| (f.file.clone().unwrap(), f.bytes.clone()))
            .collect();
        assert_eq!(attached, expected(&desk));
        let body = state.comments[0]["body"].as_str().unwrap();
        is_note(&desk, body);
        assert!(
            body.starts_with("{noformat}\n") && body.ends_with("\n{noformat}"),
            "{body}"
        );
    }
    submit(&desk, &words(&server))
        .ok()
        .says(&["3 there already"]);
    assert_eq!(posts(&server), 4, "three files and a comment, once");
}

#[test]
fn cloud_gets_a_comment_as_a_document() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let basic = data_encoding::BASE64.encode(format!("svc@agency.example:{TOKEN}").as_bytes());
    let server = jira(&state, "3", format!("Basic {basic}"));
    let cloud = format!("{} --jira-api 3 --user svc@agency.example", words(&server));
    submit(&desk, &cloud).ok();
    let state = state.lock().unwrap();
    let document = &state.comments[0]["body"];
    assert_eq!(
        (&document["type"], &document["version"]),
        (&json!("doc"), &json!(1))
    );
    let paragraphs = document["content"].as_array().unwrap().iter();
    let lines: Vec<&str> = paragraphs
        .map(|paragraph| {
            assert_eq!(paragraph["type"], "paragraph");
            assert_eq!(paragraph["content"][0]["type"], "text");
            paragraph["content"][0]["text"].as_str().unwrap()
        })
        .collect();
    is_note(&desk, &lines.join("\n"));
}

#[test]
fn a_server_in_trouble_gets_nothing_twice() {
    for (mishaps, attempts) in [
        (vec![Mishap::LostAnswer], 3),
        (vec![Mishap::LostCall], 4),
        (vec![Mishap::Status(500)], 4),
        (
            vec![Mishap::LostAnswer, Mishap::LostCall, Mishap::Status(502)],
            5,
        ),
    ] {
        let desk = desk();
        let state = Arc::<Mutex<State>>::default();
        state.lock().unwrap().mishaps.clone_from(&mishaps);
        let server = jira(&state, "2", bearer());
        submit(&desk, &words(&server)).ok();
        let names: Vec<_> = state
            .lock()
            .unwrap()
            .attached
            .iter()
            .map(|f| f.file.clone().unwrap())
            .collect();
        assert_eq!(names.len(), 3, "{mishaps:?}: {names:?}");
        assert_eq!(posts(&server), attempts + 1, "{mishaps:?}");
        assert_eq!(
            receipt(&desk, "packet.jira-CHG-42.receipt.json")["complete"],
            true
        );
    }
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    for status in [429, 503] {
        let desk = desk();
        let state = Arc::<Mutex<State>>::default();
        state.lock().unwrap().mishaps = vec![Mishap::Status(status)];
        let server = jira(&state, "2", bearer());
        let started = Instant::now();
        submit(&desk, &words(&server)).ok();
        assert!(
            started.elapsed() >= Duration::from_secs(1),
            "Retry-After: 1"
        );
        let lists = server
            .asked()
            .iter()
            .filter(|asked| asked.method == "GET")
            .count();
        assert_eq!(lists, 3, "nobody had to look whether it arrived");
    }
}

#[test]
fn what_is_too_large_is_named_and_the_rest_is_sent() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let largest = expected(&desk)[0].1.len();
    state.lock().unwrap().limit = Some(largest - 1);
    let server = jira(&state, "2", bearer());
    let name = expected(&desk)[0].0.clone();
    submit(&desk, &words(&server))
        .refused(1, "submit-barred")
        .says(&[&name, "413", "The attachment is too large"]);
    let kept = receipt(&desk, "packet.jira-CHG-42.receipt.json");
    assert_eq!(states(&kept), ["failed", "sent", "sent"]);
    assert_eq!(
        (&kept["complete"], &kept["note"]["state"]),
        (&json!(false), &json!("waiting"))
    );
    assert!(
        state.lock().unwrap().comments.is_empty(),
        "the note says that everything is there"
    );
    state.lock().unwrap().limit = None;
    submit(&desk, &words(&server))
        .ok()
        .says(&["Sent 1 file ", "2 there already"]);
    let kept = receipt(&desk, "packet.jira-CHG-42.receipt.json");
    assert_eq!(
        (states(&kept), &kept["complete"]),
        (vec!["sent"; 3], &json!(true))
    );
    assert_eq!(state.lock().unwrap().comments.len(), 1);
}

#[test]
fn an_attachment_that_only_looks_like_it_is_no_reason_not_to_send() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    state.lock().unwrap().attached = vec![Field {
        name: "file".to_owned(),
        file: Some(expected(&desk)[0].0.clone()),
        media: None,
        bytes: b"cut short".to_vec(),
    }];
    let server = jira(&state, "2", bearer());
    submit(&desk, &words(&server)).ok();
    assert_eq!(state.lock().unwrap().attached.len(), 4);
    submit(&desk, &words(&server).replace("CHG-42", "CHG-43")).refused(1, "submit-no-ticket");
    for bad in ["chg-42", "CHG-", "CHG-42/comment", "CHG-4\u{202e}2"] {
        let words = words(&server).replace("CHG-42", bad);
        submit(&desk, &words).refused(2, "is not an issue of Jira");
    }
}
