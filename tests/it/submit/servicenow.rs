//! ServiceNow: the contract of the Table API and the Attachment API.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Field, TOKEN, answer, desk, expected, is_note, receipt, states, submit, target};
use crate::loopback::{Asked, Reply, Server};

const CHANGE: &str = "9d385017c611228701d22104cc95c371";

#[derive(Default)]
struct State {
    attached: Vec<Field>,
    notes: Vec<String>,
    /// Extensions that it does not take, and how it says so.
    barred: Vec<(&'static str, u16)>,
}

/// Change CHG0030001.
fn service_now(state: &Arc<Mutex<State>>) -> Server {
    let state = state.clone();
    Server::new(move |asked: &Asked| {
        let mut state = state.lock().unwrap();
        if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            let error = json!({"message": "User Not Authenticated", "detail": "Required to provide Auth information"});
            return answer(401, &json!({"error": error, "status": "failure"}));
        }
        assert_eq!(asked.header("accept"), Some("application/json"));
        let (path, query) = target(asked);
        let row = format!("/api/now/table/change_request/{CHANGE}");
        match (asked.method.as_str(), path.as_str()) {
            ("GET", "/api/now/table/change_request") => {
                let found = query["sysparm_query"] == "number=CHG0030001";
                let row = json!({"sys_id": CHANGE, "number": "CHG0030001"});
                answer(
                    200,
                    &json!({"result": if found { vec![row] } else { vec![] }}),
                )
            }
            ("GET", "/api/now/attachment") => {
                let of = format!("table_name=change_request^table_sys_id={CHANGE}");
                assert_eq!(query["sysparm_query"], of);
                let listed: Vec<Value> = state.attached.iter().enumerate().map(described).collect();
                answer(200, &json!({"result": listed}))
            }
            ("POST", "/api/now/attachment/file") => {
                assert_eq!(
                    (query["table_name"].as_str(), query["table_sys_id"].as_str()),
                    ("change_request", CHANGE)
                );
                attach(&mut state, &query["file_name"], asked)
            }
            ("GET", path) if path == row => {
                assert_eq!(query["sysparm_display_value"], "true");
                answer(
                    200,
                    &json!({"result": {"work_notes": state.notes.join("\n\n")}}),
                )
            }
            ("PATCH", path) if path == row => {
                let document: Value = serde_json::from_slice(&asked.body).unwrap();
                state
                    .notes
                    .push(document["work_notes"].as_str().unwrap().to_owned());
                answer(200, &json!({"result": {"sys_id": CHANGE}}))
            }
            other => panic!("{other:?}"),
        }
    })
}

fn described((at, field): (usize, &Field)) -> Value {
    json!({
        "sys_id": format!("{at:032x}"), "file_name": field.file,
        "size_bytes": field.bytes.len().to_string(), "content_type": field.media,
    })
}

fn attach(state: &mut State, name: &str, asked: &Asked) -> Reply {
    if let Some((_, status)) = state.barred.iter().find(|(end, _)| name.ends_with(end)) {
        let error = json!({"message": "File type is not allowed\u{7}", "detail": null});
        return answer(*status, &json!({"error": error, "status": "failure"}));
    }
    let field = Field {
        name: String::new(),
        file: Some(name.to_owned()),
        media: asked.header("content-type").map(str::to_owned),
        bytes: asked.body.clone(),
    };
    let described = described((state.attached.len(), &field));
    state.attached.push(field);
    answer(201, &json!({"result": described}))
}

fn words(server: &Server) -> String {
    format!(
        "packet --to servicenow --url {} --ticket CHG0030001",
        server.url()
    )
}

fn attached(state: &Arc<Mutex<State>>) -> Vec<(String, Option<String>, Vec<u8>)> {
    let state = state.lock().unwrap();
    let attached = state.attached.iter();
    attached
        .map(|f| (f.file.clone().unwrap(), f.media.clone(), f.bytes.clone()))
        .collect()
}

#[test]
fn a_change_gets_each_file_as_the_body_of_one_call() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let server = service_now(&state);
    submit(&desk, &words(&server)).ok();
    let media = ["application/zip", "application/json", "text/markdown"];
    let expected: Vec<_> = expected(&desk)
        .into_iter()
        .zip(media)
        .map(|((name, bytes), media)| (name, Some(media.to_owned()), bytes))
        .collect();
    assert_eq!(attached(&state), expected);
    is_note(&desk, &state.lock().unwrap().notes[0]);
    submit(&desk, &words(&server))
        .ok()
        .says(&["3 there already"]);
    assert_eq!(
        (attached(&state).len(), state.lock().unwrap().notes.len()),
        (3, 1)
    );
    let kept = receipt(&desk, "packet.servicenow-CHG0030001.receipt.json");
    assert_eq!(kept["files"][2]["sent"]["remote_id"], format!("{:032x}", 2));
    submit(&desk, &words(&server).replace("CHG0030001", "CHG0030002"))
        .refused(1, "submit-no-ticket");
    submit(
        &desk,
        &words(&server).replace("CHG0030001", "CHG1^active=true"),
    )
    .refused(2, "the number of a change");
}

#[test]
fn a_type_that_is_not_allowed_goes_as_text() {
    for status in [400, 403, 415] {
        let desk = desk();
        let state = Arc::<Mutex<State>>::default();
        state.lock().unwrap().barred = vec![(".json", status), (".md", status)];
        let server = service_now(&state);
        submit(&desk, &words(&server)).ok();
        let names = expected(&desk);
        let text = |at: usize| {
            (
                format!("{}.txt", names[at].0),
                Some("text/plain".to_owned()),
                names[at].1.clone(),
            )
        };
        let zip = (
            names[0].0.clone(),
            Some("application/zip".to_owned()),
            names[0].1.clone(),
        );
        assert_eq!(attached(&state), [zip, text(1), text(2)]);
        let kept = receipt(&desk, "packet.servicenow-CHG0030001.receipt.json");
        assert_eq!(kept["files"][1]["name"], format!("{}.txt", names[1].0));
        assert_eq!(kept["complete"], true);
        submit(&desk, &words(&server))
            .ok()
            .says(&["3 there already"]);
        assert_eq!(attached(&state).len(), 3);
    }
}

#[test]
fn what_is_taken_under_no_name_is_named() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    state.lock().unwrap().barred = vec![(".zip", 413), (".md", 403), (".md.txt", 403)];
    let server = service_now(&state);
    let names = expected(&desk);
    submit(&desk, &words(&server))
        .refused(1, "submit-barred")
        .says(&[&names[0].0, "413", "File type is not allowed\\u{7}"]);
    let kept = receipt(&desk, "packet.servicenow-CHG0030001.receipt.json");
    assert_eq!(states(&kept), ["failed", "sent", "failed"]);
    assert_eq!(attached(&state).len(), 1);
    state.lock().unwrap().barred.clear();
    submit(&desk, &words(&server)).ok();
    assert_eq!(attached(&state).len(), 3);
}
