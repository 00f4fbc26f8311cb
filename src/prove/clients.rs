//! What the real clients are asked to do: one shell script for each step, from the published pins and bootstrap.

use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::cargo::records as crates;
use crate::eco::debian::records as debs;
use crate::eco::{cargo, debian, npm, pypi};
use crate::lock::LockedPackage;
use crate::prove::{Request, sandbox};

/// The address that the repository is served at inside.
pub(super) const BASE: &str = "http://127.0.0.1:28080";
/// Exit code of a step that cannot be tried here; its last line says why.
pub(super) const SKIPPED: i32 = 77;

/// What every script begins with. No file may become larger than 8 GiB.
const PRELUDE: &str = r#"set -eu
ulimit -f 16777216
fetch() {
    if command -v curl > /dev/null; then curl -fsS -o "$2" "$1"; else wget -q -O "$2" "$1"; fi
}
skip() { echo "$*"; exit 77; }
"#;

/// One step of a client.
#[derive(Debug)]
pub(super) struct Task {
    /// What people call it.
    pub(super) name: String,
    /// Whose it is.
    pub(super) ecosystem: EcosystemId,
    /// What `sh` runs.
    pub(super) script: String,
    /// Whether another step of the same kind, which passed, makes it dispensable.
    pub(super) alternative: bool,
}

/// The steps of a bundle, and the search path that they leave.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) list: Vec<Task>,
    pub(super) path: String,
    /// Files that they need, with their names below `/stage`.
    pub(super) files: Vec<(String, String)>,
}

/// The steps for what the bundle carries for this host.
pub(super) fn tasks(request: &Request<'_>) -> Result<Tasks, EcoError> {
    let mut planner = Planner {
        request,
        pins: format!("{BASE}/pins/{}/{}", request.channel, request.serial),
        tasks: Vec::new(),
        files: Vec::new(),
        path: vec![format!("{}/.local/bin", sandbox::HOME)],
    };
    let here =
        |package: &LockedPackage| package.is_carried() && package.platforms.contains(&request.host);
    let wanted = |id: &EcosystemId| {
        let asked = request.only.is_empty() || request.only.contains(id);
        asked && request.lock.of(id).any(here)
    };
    if wanted(&EcosystemId::npm()) {
        planner.npm();
    }
    if wanted(&EcosystemId::pypi()) {
        planner.pypi();
    }
    if wanted(&EcosystemId::debian()) {
        planner.debian()?;
    }
    if wanted(&EcosystemId::cargo()) {
        planner.cargo()?;
    }
    let usual = ["/tools/rust/bin", "/usr/local/bin", "/usr/bin", "/bin"];
    planner.path.extend(usual.map(str::to_owned));
    Ok(Tasks {
        list: planner.tasks,
        path: planner.path.join(":"),
        files: planner.files,
    })
}

struct Planner<'a> {
    request: &'a Request<'a>,
    pins: String,
    tasks: Vec<Task>,
    path: Vec<String>,
    files: Vec<(String, String)>,
}

impl Planner<'_> {
    fn add(&mut self, ecosystem: EcosystemId, name: String, script: &str) {
        self.tasks.push(Task {
            name,
            ecosystem,
            script: format!("{PRELUDE}{script}"),
            alternative: false,
        });
    }

    /// Node.js and npm from the bootstrap, or this host's where none are staged; then `npm ci` of every install.
    fn npm(&mut self) {
        let npm = EcosystemId::npm();
        let node = format!(
            "node-{}-{}",
            self.request.host.node_os(),
            self.request.host.node_cpu()
        );
        let carried = |name: &str| {
            self.request
                .lock
                .of(&npm)
                .any(|p| p.name == name && p.is_carried())
        };
        let staged = carried(&node) && carried("npm");
        let source = if staged { "staged" } else { "host" };
        let get = format!("fetch {BASE}/bootstrap/node.sh node.sh\nsh node.sh\n");
        let script = format!(
            "{}command -v node > /dev/null || {{ echo 'there is no Node.js: stage it, or install it here'; exit 1; }}\n\
             command -v npm > /dev/null || {{ echo 'there is no npm: stage it, or install it here'; exit 1; }}\n\
             echo \"client node $(node --version) {source}\"\necho \"client npm $(npm --version) {source}\"\n",
            if staged { get.as_str() } else { "" },
        );
        self.add(
            npm.clone(),
            format!("npm: Node.js and npm ({source})"),
            &script,
        );
        let installs = npm::pins::installs(self.request.lock);
        for install in &installs {
            let folder = match installs.len() {
                1 => "npm".to_owned(),
                _ => format!("npm/{install}"),
            };
            let pins = &self.pins;
            let script = format!(
                "mkdir -p {folder}\ncd {folder}\nfor file in package.json package-lock.json; do fetch {pins}/{folder}/$file $file; done\n\
                 npm ci --no-audit --no-fund\n"
            );
            self.path
                .push(format!("{}/{folder}/node_modules/.bin", sandbox::HOME));
            self.add(npm.clone(), format!("npm: npm ci of {folder}"), &script);
        }
    }

    /// An environment by pip and one by uv for every install; what cannot be tried here does not count if the other can.
    fn pypi(&mut self) {
        let pypi = EcosystemId::pypi();
        let wanted = self
            .request
            .lock
            .target
            .python
            .as_deref()
            .unwrap_or_default();
        let minor: Vec<&str> = wanted.split('.').take(2).collect();
        let minor = minor.join(".");
        let python = self.request.python.as_deref().unwrap_or("python3");
        let check = format!(
            "python={python}\n\
             [ -n '{minor}' ] && [ $python = python3 ] && command -v python{minor} > /dev/null && python=python{minor}\n\
             version=$($python -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])')\n\
             [ -z '{minor}' ] || [ $version = '{minor}' ] || \
             {{ echo \"the lock is for Python {minor} and this is $version: give --python\"; exit 1; }}\n\
             echo \"client python $($python -c 'import platform; print(platform.python_version())') host\"\n"
        );
        let folders = pypi::pins::folders(self.request.lock);
        let here = folders
            .into_iter()
            .filter(|((_, platform), _)| *platform == self.request.host);
        for (number, (_, folder)) in here.enumerate() {
            let fetch = format!(
                "fetch {}/{folder}/requirements.txt requirements-{number}.txt\n",
                self.pins
            );
            let pip = format!(
                "{check}venv=$HOME/venv-{number}\n\
                 if fetch {BASE}/bootstrap/python.sh python.sh 2> /dev/null; then\n    VENV=$venv PYTHON=$python sh python.sh\n\
                 else\n    $python -m venv \"$venv\" || skip 'this Python has no ensurepip, and pip is not staged'\nfi\n\
                 echo \"client pip $(\"$venv/bin/python\" -m pip --version | cut -d ' ' -f 2) staged-or-host\"\n\
                 {fetch}\"$venv/bin/python\" -m pip install --disable-pip-version-check --require-hashes -r requirements-{number}.txt\n"
            );
            let uv = format!(
                "{check}command -v uv > /dev/null || PATH=$PATH:/tools\n\
                 command -v uv > /dev/null || skip 'there is no uv here'\n\
                 echo \"client uv $(uv --version | cut -d ' ' -f 2) host\"\n\
                 {fetch}uv venv --python \"$(command -v $python)\" --no-python-downloads \"$HOME/uv-{number}\"\n\
                 VIRTUAL_ENV=$HOME/uv-{number} uv pip install --require-hashes -r requirements-{number}.txt\n"
            );
            for (client, folder_name, script) in [("pip", "venv", pip), ("uv", "uv", uv)] {
                self.path
                    .push(format!("{}/{folder_name}-{number}/bin", sandbox::HOME));
                self.add(
                    pypi.clone(),
                    format!("pypi: {client} install of {folder}"),
                    &script,
                );
                if let Some(task) = self.tasks.last_mut() {
                    task.alternative = true;
                }
            }
        }
    }

    /// `apt-get` with folders of its own: update, and the download of what is pinned, which it resolves from the published
    /// index against what the target is assumed to have. Where nothing is assumed, the packages are unpacked, too.
    fn debian(&mut self) -> Result<(), EcoError> {
        let debian = EcosystemId::debian();
        let Some(bytes) = self.request.records.get(&debian) else {
            return Ok(());
        };
        let records = debs::parse(bytes)?;
        let platform = self.request.host.as_str().replace('/', "-");
        let arch = platform.rsplit('-').next().unwrap_or_default().to_owned();
        let files = debian::pins::files(&records);
        for (number, install) in &records.installs {
            let list = match records.installs.len() {
                1 => format!("{platform}/packages.txt"),
                _ => format!("{number}/{platform}/packages.txt"),
            };
            if !files.iter().any(|(path, _)| *path == list) {
                continue;
            }
            let pins = &self.pins;
            let script = format!(
                "{}cp /stage/status-{number} status\nfetch {pins}/debian/{list} packages.txt\n\
                 apt-get -q update\napt-get -q install --download-only --yes --no-install-recommends $(cat packages.txt)\n",
                apt_folders(*number, &arch),
            );
            let status = status(&install.status, &arch);
            self.files.push((format!("status-{number}"), status));
            let name = format!(
                "debian: apt-get update and install --download-only ({})",
                install.baseline
            );
            self.add(debian.clone(), name, &script);
            if install.status.is_empty() {
                let script = format!(
                    "cd $HOME/apt-{number}\nmkdir root\nfor deb in cache/archives/*.deb; do dpkg-deb -x \"$deb\" root; done\n\
                     ls cache/archives | grep -c '\\.deb$'\n"
                );
                self.add(
                    debian.clone(),
                    "debian: unpack into a scratch root".to_owned(),
                    &script,
                );
            }
        }
        Ok(())
    }

    /// `cargo install` of every crate that was asked for; without a toolchain it is not tried.
    fn cargo(&mut self) -> Result<(), EcoError> {
        let cargo = EcosystemId::cargo();
        let Some(bytes) = self.request.records.get(&cargo) else {
            return Ok(());
        };
        let records = crates::parse(bytes)?;
        for lockfile in &records.lockfiles {
            let Some(of) = &lockfile.of else {
                let script = "skip 'the lock file of a workspace says nothing about its sources: build it in [[prove]]'\n";
                self.add(cargo.clone(), "cargo: a lock file".to_owned(), script);
                continue;
            };
            if !cargo::is_name(&of.name) {
                continue;
            }
            let script = format!(
                "command -v cargo > /dev/null || skip 'there is no cargo here'\n\
                 command -v cc > /dev/null || skip 'there is no linker (cc) here'\n\
                 echo \"client cargo $(cargo --version | cut -d ' ' -f 2) host\"\n\
                 cargo install --locked --root \"$HOME/.local\" {}@{}\n",
                of.name, of.version
            );
            self.add(
                cargo.clone(),
                format!("cargo: cargo install {}@{}", of.name, of.version),
                &script,
            );
        }
        Ok(())
    }
}

/// Folders and configuration of an apt that has nothing to do with this host's.
fn apt_folders(number: u32, arch: &str) -> String {
    format!(
        r#"command -v apt-get > /dev/null || skip 'there is no apt-get here'
echo "client apt $(apt-get --version | head -n 1 | cut -d ' ' -f 2) host"
dir=$HOME/apt-{number}
mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/etc/sources.list.d" "$dir/log"
cd "$dir"
cp "$HOME/.config/stage/stage.sources" etc/sources.list.d/
cat > apt.conf <<END
Dir "$dir";
Dir::State "state";
Dir::State::status "$dir/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Etc::sourcelist "none";
Dir::Etc::sourceparts "sources.list.d";
Dir::Log "log";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
END
export APT_CONFIG="$dir/apt.conf"
"#
    )
}

/// What the target has, as dpkg writes it down: the stanzas that the lock was made with.
fn status(stanzas: &str, arch: &str) -> String {
    let mut text = String::new();
    for stanza in stanzas.split("\n\n").filter(|s| !s.trim().is_empty()) {
        let stanza = stanza.trim_matches('\n');
        text.push_str(stanza);
        let usual = [
            ("Status:", "install ok installed"),
            ("Architecture:", arch),
            ("Maintainer:", "-"),
            ("Description:", "-"),
        ];
        for (field, value) in usual {
            if !stanza.lines().any(|line| line.starts_with(field)) {
                text.extend(["\n", field, " ", value]);
            }
        }
        text.push_str("\n\n");
    }
    text
}
