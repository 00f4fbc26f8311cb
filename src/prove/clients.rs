//! What the real clients are asked to do: one shell script for each step, from the published pins and bootstrap.

use crate::base::package::EcosystemId;
use crate::eco::EcoError;
use crate::eco::{npm, pypi};
use crate::lock::LockedPackage;
use crate::prove::sandbox::Sandbox;
use crate::prove::{Request, crates, debian, files, sandbox};

/// The address that the repository is served at inside.
pub(super) const BASE: &str = "http://127.0.0.1:28080";
/// Exit code of a step that cannot be tried here; its last line says why.
pub(super) const SKIPPED: i32 = 77;

/// What every script begins with. No file may become larger than 8 GiB.
const PRELUDE: &str = r#"set -eu
umask 022
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
    /// Why it is not tried, if so.
    pub(super) left_out: Option<LeftOut>,
    /// What it does; another step that does the same, and passed, makes it dispensable.
    pub(super) alternative: Option<String>,
    /// The root that it installs as root of many accounts, and that checks run in then.
    pub(super) root: Option<String>,
}

/// Why a step is not tried.
#[derive(Debug)]
pub(super) enum LeftOut {
    /// The manifest gives the reason: the proof is whole without it.
    OnPurpose(String),
    /// It is not.
    Else(String),
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
pub(super) fn tasks(request: &Request<'_>, sandbox: &Sandbox) -> Result<Tasks, EcoError> {
    let mut planner = Planner {
        request,
        no_root: sandbox.no_root().map(str::to_owned),
        ids: sandbox.ids(),
        pins: format!("{BASE}/pins/{}/{}", request.channel, request.serial),
        tasks: Vec::new(),
        files: Vec::new(),
        path: vec![format!("{}/.local/bin", sandbox::HOME)],
    };
    let here =
        |package: &LockedPackage| package.is_carried() && package.platforms.contains(&request.host);
    let mut wanted = |id: &EcosystemId| {
        if !request.lock.of(id).any(here) {
            return false;
        }
        let asked = request.only.is_empty() || request.only.contains(id);
        let left_out = match request.without.get(id.as_str()) {
            Some(reason) => LeftOut::OnPurpose(format!("[proof] leaves it out: {reason}")),
            None if asked => return true,
            None => LeftOut::Else("--only does not name it".to_owned()),
        };
        planner.leave_out(id, left_out);
        false
    };
    let [npm, pypi, debian, cargo, file] = [
        EcosystemId::npm(),
        EcosystemId::pypi(),
        EcosystemId::debian(),
        EcosystemId::cargo(),
        EcosystemId::file(),
    ]
    .map(|id| wanted(&id));
    if npm {
        planner.npm();
    }
    if pypi {
        planner.pypi();
    }
    if debian {
        debian::plan(&mut planner)?;
    }
    if cargo {
        crates::plan(&mut planner)?;
    }
    if file {
        files::plan(&mut planner);
    }
    let usual = ["/tools/rust/bin", "/usr/local/bin", "/usr/bin", "/bin"];
    planner.path.extend(usual.map(str::to_owned));
    Ok(Tasks {
        list: planner.tasks,
        path: planner.path.join(":"),
        files: planner.files,
    })
}

/// The steps while they are put together.
pub(super) struct Planner<'a> {
    pub(super) request: &'a Request<'a>,
    /// Why no root can be installed here, if so.
    pub(super) no_root: Option<String>,
    /// User and group of the steps.
    pub(super) ids: (u32, u32),
    /// Address of the bundle's pins.
    pub(super) pins: String,
    pub(super) tasks: Vec<Task>,
    pub(super) path: Vec<String>,
    pub(super) files: Vec<(String, String)>,
}

impl Planner<'_> {
    /// A step of the unprivileged account.
    pub(super) fn task(ecosystem: EcosystemId, name: String, script: &str) -> Task {
        Task {
            name,
            ecosystem,
            script: format!("{PRELUDE}{script}"),
            left_out: None,
            alternative: None,
            root: None,
        }
    }

    fn leave_out(&mut self, id: &EcosystemId, left_out: LeftOut) {
        let task = Self::task(id.clone(), format!("{id}: nothing"), "");
        self.tasks.push(Task {
            left_out: Some(left_out),
            ..task
        });
    }

    pub(super) fn add(&mut self, ecosystem: EcosystemId, name: String, script: &str) {
        let task = Self::task(ecosystem, name, script);
        self.tasks.push(task);
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
                    task.alternative = Some(folder.clone());
                }
            }
        }
    }
}
