//! Request Tracker 5: answers are those that a real one gave (`scripts/rt-check` asks it).

use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{
    Field, Mishap, TOKEN, answer, desk, expected, form, is_note, receipt, states, submit, target,
};
use crate::loopback::{Asked, Reply, Server};
use crate::schemas::assert_valid;

#[derive(Default)]
pub(super) struct State {
    attached: Vec<Field>,
    pub(super) comments: Vec<Value>,
    mishaps: Vec<Mishap>,
    /// Whether it keeps other bytes than it got.
    damages: bool,
}

/// Ticket 42 in a Request Tracker below `/rt`.
pub(super) fn tracker(state: &Arc<Mutex<State>>, authorization: String) -> Server {
    let state = state.clone();
    Server::new(move |asked: &Asked| {
        let mut state = state.lock().unwrap();
        if asked.header("authorization") != Some(&authorization) {
            return answer(401, &json!({"message": "Unauthorized"}));
        }
        assert_eq!(asked.header("accept"), Some("application/json"));
        let (path, query) = target(asked);
        let below = path.strip_prefix("/rt/REST/2.0/").unwrap().to_owned();
        match (asked.method.as_str(), below.as_str()) {
            ("GET", "ticket/42") => answer(200, &json!({"id": 42, "Subject": "carry"})),
            ("GET", "ticket/42/attachments") => list(&state, &query["page"], &query["per_page"]),
            ("POST", "ticket/42/comment") => comment(&mut state, asked),
            ("GET", _) if below.starts_with("attachment/") => {
                let id: usize = below["attachment/".len()..].parse().unwrap();
                let content = BASE64.encode(&state.attached[id - 100].bytes);
                let lines: Vec<&str> = content
                    .as_bytes()
                    .chunks(76)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                answer(
                    200,
                    &json!({"id": id, "Content": format!("{}\n", lines.join("\n"))}),
                )
            }
            _ => answer(404, &json!({"message": "Not Found"})),
        }
    })
}

/// Two on a page, although more are asked for, as its administrator may set it.
fn list(state: &State, page: &str, per_page: &str) -> Reply {
    assert_eq!(per_page, "100");
    let page: usize = page.parse().unwrap();
    let mut items = vec![json!({"id": "1", "type": "attachment", "Filename": ""})];
    items.extend(state.attached.iter().enumerate().map(|(at, field)| {
        json!({"id": (at + 100).to_string(), "type": "attachment", "Filename": field.file})
    }));
    let pages = items.len().div_ceil(2);
    let items: Vec<&Value> = items.iter().skip(2 * (page - 1)).take(2).collect();
    answer(
        200,
        &json!({"items": items, "page": page, "pages": pages, "count": items.len()}),
    )
}

fn comment(state: &mut State, asked: &Asked) -> Reply {
    let mishap = state.mishaps.pop();
    let gone = Reply {
        gone: true,
        ..Reply::default()
    };
    match mishap {
        Some(Mishap::LostCall) => return gone,
        Some(Mishap::Status(status)) => return answer(status, &json!({"message": "no"})),
        Some(Mishap::LostAnswer) | None => {}
    }
    for mut field in form(asked) {
        match field.name.as_str() {
            "JSON" => {
                assert_eq!(field.media.as_deref(), Some("application/json"));
                state
                    .comments
                    .push(serde_json::from_slice(&field.bytes).unwrap());
            }
            "Attachments" => {
                if state.damages {
                    field.bytes.push(b'\n');
                }
                state.attached.push(field);
            }
            other => panic!("{other}"),
        }
    }
    if mishap == Some(Mishap::LostAnswer) {
        return gone;
    }
    answer(201, &json!(["Comments added"])).with("Location", "/REST/2.0/transaction/34")
}

fn words(server: &Server) -> String {
    format!("packet --to rt --url {}rt --ticket 42", server.url())
}

#[test]
fn a_ticket_gets_the_packet_once_and_it_is_read_back() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let server = tracker(&state, format!("token {TOKEN}"));
    let report = submit(&desk, &format!("{} --format json", words(&server)))
        .ok()
        .json();
    assert_valid("submit-report.json", &report);
    assert_eq!(report["complete"], true);
    let kept = receipt(&desk, "packet.rt-42.receipt.json");
    assert_eq!(states(&kept), ["sent"; 3]);
    assert_eq!(kept["note"]["state"], "sent");
    let ids: Vec<_> = kept["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            (
                file["sent"]["remote_id"].as_str().unwrap(),
                file["read_back"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(ids, [("100", true), ("101", true), ("102", true)]);
    {
        let state = state.lock().unwrap();
        let attached = state.attached.iter();
        let attached: Vec<_> = attached
            .map(|f| (f.file.clone().unwrap(), f.bytes.clone()))
            .collect();
        assert_eq!(attached, expected(&desk));
        assert_eq!(state.comments.len(), 1, "one comment");
        assert_eq!(state.comments[0]["ContentType"], "text/plain");
        is_note(&desk, state.comments[0]["Content"].as_str().unwrap());
    }
    // Again, and again without the receipt: what is there is looked at and not sent.
    submit(&desk, &words(&server))
        .ok()
        .says(&["Sent 0 files", "3 there already"]);
    assert_eq!(
        states(&receipt(&desk, "packet.rt-42.receipt.json")),
        ["sent"; 3],
        "as it was"
    );
    std::fs::remove_file(desk.path("packet.rt-42.receipt.json")).unwrap();
    submit(&desk, &words(&server)).ok();
    assert_eq!(
        states(&receipt(&desk, "packet.rt-42.receipt.json")),
        ["there"; 3]
    );
    let posts = server
        .asked()
        .iter()
        .filter(|asked| asked.method == "POST")
        .count();
    assert_eq!(posts, 1);
    // The zip file alone is a packet as well.
    submit(&desk, &words(&server).replace("packet ", "packet.zip "))
        .ok()
        .says(&["3 there already"]);
}

#[test]
fn what_may_have_arrived_is_looked_for_before_it_is_sent_again() {
    for (mishaps, posts) in [
        (vec![Mishap::LostAnswer], 1),
        (vec![Mishap::LostCall], 2),
        (vec![Mishap::Status(500), Mishap::LostCall], 3),
    ] {
        let desk = desk();
        let state = Arc::<Mutex<State>>::default();
        state.lock().unwrap().mishaps = mishaps;
        let server = tracker(&state, format!("token {TOKEN}"));
        submit(&desk, &words(&server)).ok();
        let count = server
            .asked()
            .iter()
            .filter(|asked| asked.method == "POST")
            .count();
        assert_eq!(count, posts);
        assert_eq!(state.lock().unwrap().attached.len(), 3, "nothing twice");
    }
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    state.lock().unwrap().mishaps = vec![Mishap::Status(500); 3];
    let server = tracker(&state, format!("token {TOKEN}"));
    submit(&desk, &words(&server)).refused(1, "submit-failed");
    let kept = receipt(&desk, "packet.rt-42.receipt.json");
    assert_eq!(
        (states(&kept), &kept["complete"]),
        (vec!["waiting"; 3], &json!(false))
    );
    submit(&desk, &words(&server)).ok();
    assert_eq!(
        receipt(&desk, "packet.rt-42.receipt.json")["complete"],
        true
    );
}

#[test]
fn what_comes_back_must_be_what_was_sent() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    state.lock().unwrap().damages = true;
    let server = tracker(&state, format!("token {TOKEN}"));
    submit(&desk, &words(&server)).refused(1, "submit-differs");
    let kept = receipt(&desk, "packet.rt-42.receipt.json");
    assert_eq!(states(&kept)[0], "failed");
    assert_eq!(kept["complete"], false);
    submit(&desk, &words(&server)).refused(1, "submit-differs");
}

#[test]
fn tokens_tickets_and_users_are_told_apart() {
    let desk = desk();
    let state = Arc::<Mutex<State>>::default();
    let basic = format!("Basic {}", BASE64.encode(format!("svc:{TOKEN}").as_bytes()));
    let server = tracker(&state, basic);
    submit(&desk, &words(&server))
        .refused(1, "does not accept the token")
        .says(&["Unauthorized"]);
    let user = format!("{} --user svc", words(&server));
    submit(&desk, &user.replace("--ticket 42", "--ticket 43")).refused(1, "there is no \"43\"");
    submit(&desk, &user).ok();
    submit(&desk, &user.replace("--ticket 42", "--ticket ../1")).refused(2, "is not the number");
}
