//! The Debian solver: small archives, one rule each.

use stage::eco::debian::pool::{Pool, Pull, Source};
use stage::eco::debian::solve::{self, SolveRequest, Wish};
use stage::eco::debian::status;

/// Solves the cases of the file that `STAGE_DEBIAN_CASES` names and writes the answers beside it, as `.answers`: the
/// part of `scripts/compare-debian` that is ours.
#[test]
#[ignore = "needs the indexes of real archives"]
fn cases_of_the_comparison() {
    let Ok(path) = std::env::var("STAGE_DEBIAN_CASES") else {
        eprintln!("STAGE_DEBIAN_CASES is not set: nothing is compared");
        return;
    };
    let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut answers = Vec::new();
    let mut last: Option<(String, Pool)> = None;
    for case in cases.as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let key = format!("{} {}", case["indexes"], text("arch"));
        if last.as_ref().is_none_or(|(known, _)| *known != key) {
            let started = std::time::Instant::now();
            let mut pool = Pool::new(&text("arch"));
            for index in case["indexes"].as_array().unwrap() {
                let source = Source {
                    name: index.as_str().unwrap().to_owned(),
                    pull: Pull::Automatic,
                };
                let bytes = std::fs::read(index.as_str().unwrap()).unwrap();
                pool.add_index(source, bytes).unwrap();
            }
            eprintln!(
                "{key}: {} candidates in {:?}",
                pool.len(),
                started.elapsed()
            );
            last = Some((key, pool));
        }
        let mut pool = last.as_ref().unwrap().1.clone();
        if !text("status").is_empty() {
            let status = status::parse(&std::fs::read(text("status")).unwrap()).unwrap();
            pool.add_status(&status).unwrap();
        }
        let wishes = case["wishes"].as_array().unwrap().iter();
        let request = SolveRequest {
            wishes: wishes
                .map(|w| Wish::parse(w.as_str().unwrap()).unwrap())
                .collect(),
            recommends: case["recommends"].as_bool().unwrap(),
            essential: case["essential"].as_bool().unwrap(),
            ..SolveRequest::default()
        };
        let started = std::time::Instant::now();
        let answer = match solve::solve(&pool, &request) {
            Ok(selection) => {
                let title = |chosen: &solve::Chosen| {
                    let candidate = pool.candidate(chosen.candidate).unwrap();
                    format!("{}={}", candidate.name(), candidate.version())
                };
                let all: Vec<String> = selection.chosen.iter().map(title).collect();
                serde_json::json!({ "chosen": all, "held": selection.held })
            }
            Err(error) => serde_json::json!({ "error": format!("{error}: {error:?}") }),
        };
        eprintln!("{} in {:?}", case["wishes"], started.elapsed());
        answers.push(answer);
    }
    let out = serde_json::to_vec_pretty(&answers).unwrap();
    std::fs::write(format!("{path}.answers"), out).unwrap();
}
