//! Resolves crates with this host's registry, for `scripts/compare-cargo`, which holds the result against cargo's own.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use stage::base::package::EcosystemId;
use stage::base::progress::NoProgress;
use stage::eco::cargo::{INDEX_CONFIG, UPSTREAM, index};
use stage::net::HttpUpstream;
use stage::net::roots::HostRoots;
use stage::net::settings::Settings;
use stage::resolve::{self, Input};
use stage::upstream::{Request, Upstream as _, Want};

use crate::crates::request;

/// Settings for the index at `address`, with what the index says about downloads.
fn connect(address: &str, cache: PathBuf) -> HttpUpstream {
    let mut settings = Settings::new(cache);
    let roots = HostRoots {
        file: std::env::var_os("SSL_CERT_FILE").map(PathBuf::from),
        folders: std::env::var("SSL_CERT_DIR").ok(),
    };
    settings.roots = roots.load().unwrap();
    let rules = stage::net::proxy::ProxyRules::from_variables(&|name| std::env::var(name).ok());
    settings.set_proxy(rules.unwrap());
    settings.set_upstream(UPSTREAM, address).unwrap();
    let mut upstream = HttpUpstream::new(settings).unwrap();
    upstream.submit(Request {
        upstream: UPSTREAM.to_owned(),
        path: INDEX_CONFIG.to_owned(),
        accept: None,
        limit: 1 << 20,
        want: Want::Document,
    });
    let (_, answer) = upstream.next_answer().unwrap();
    let template = index::download_template(&answer.unwrap().into_bytes().unwrap()).unwrap();
    upstream
        .settings()
        .set_downloads(UPSTREAM, &template)
        .unwrap();
    upstream
}

#[test]
#[ignore = "asks this host's registry; scripts/compare-cargo runs it"]
fn resolves_with_this_host_s_registry() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let default = tame_index::CRATES_IO_HTTP_INDEX
        .trim_start_matches("sparse+")
        .to_owned();
    let address = std::env::var("COMPARE_INDEX").unwrap_or(default);
    let out = PathBuf::from(variable("COMPARE_OUT"));
    let mut upstream = connect(&address, out.with_extension("cache"));
    let request = request(&[&variable("COMPARE_SPEC")]);
    let started = Instant::now();
    let input = Input {
        target: request.target.clone(),
        exclude_newer: None,
        installs: vec![(EcosystemId::cargo(), request)],
    };
    let closure =
        resolve::run(&input, None, &mut upstream, &NoProgress).map_err(|e| e.into_fault());
    let closure = closure.unwrap();
    let crates = closure.lock.packages.iter().map(
        |p| json!({"file": p.artifacts[0].file, "sha256": p.artifacts[0].checksum.to_string()}),
    );
    let findings: Vec<String> = closure
        .findings
        .iter()
        .map(|f| {
            format!(
                "{} {} {}: {}",
                f.severity, f.code.name, f.subject, f.message
            )
        })
        .collect();
    let crates: Vec<_> = crates.collect();
    let report =
        json!({"seconds": started.elapsed().as_secs_f64(), "crates": crates, "findings": findings});
    std::fs::write(out, report.to_string()).unwrap();
}
