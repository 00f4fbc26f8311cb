//! Debian and Ubuntu archives made in the test: real `.deb` files, indexes by digest, releases signed with keys of our
//! own, served on the loopback.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use stage::base::digest::Digest;
use stage::base::time::Timestamp;
use stage::eco::debian::release::write_date;
use stage::openpgp::make::RepositoryKey;

use crate::loopback::{Reply, Server};

/// How the members of a `.deb` and the indexes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let mut writer =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }
}

/// One binary package.
#[derive(Debug, Clone)]
pub(crate) struct Deb {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) arch: &'static str,
    /// Further fields of its control file and index entry.
    fields: String,
    /// Fields of its index entry only.
    index: String,
    packing: Packing,
    /// Files that it installs, beside the one that says its version.
    installs: Vec<(String, Vec<u8>)>,
    /// Maintainer scripts.
    scripts: Vec<(&'static str, &'static str)>,
}

impl Deb {
    pub(crate) fn new(name: &'static str, version: &'static str, arch: &'static str) -> Self {
        Self {
            name,
            version,
            arch,
            fields: String::new(),
            index: String::new(),
            packing: Packing::Gzip,
            installs: Vec::new(),
            scripts: Vec::new(),
        }
    }

    pub(crate) fn installs(mut self, path: impl Into<String>, bytes: Vec<u8>) -> Self {
        self.installs.push((path.into(), bytes));
        self
    }

    /// A maintainer script, such as `postinst`.
    pub(crate) fn script(mut self, name: &'static str, text: &'static str) -> Self {
        self.scripts.push((name, text));
        self
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields = format!("{}{name}: {value}\n", self.fields);
        self
    }

    pub(crate) fn listed(mut self, name: &str, value: &str) -> Self {
        self.index = format!("{}{name}: {value}\n", self.index);
        self
    }

    pub(crate) fn zstd(mut self) -> Self {
        self.packing = Packing::Zstd;
        self
    }

    fn control(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: T <t@debs.example>\nPriority: optional\n{}Description: \
             test of {}\n longer text: with a colon\n",
            self.name, self.version, self.arch, self.fields, self.name
        )
    }

    /// The bytes of the file: an `ar` archive of three members.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let about = self.control();
        let scripts = self.scripts.iter();
        let scripts: Vec<(String, &str)> = scripts.map(|(n, t)| (format!("./{n}"), *t)).collect();
        let mut control = vec![("./control", about.as_bytes())];
        control.extend(scripts.iter().map(|(p, t)| (p.as_str(), t.as_bytes())));
        let control = tarball(&control);
        let path = format!("./usr/share/{}/version", self.name);
        let mut files = vec![(path.as_str(), self.version.as_bytes())];
        let more = self.installs.iter();
        files.extend(more.map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
        let data = tarball(&files);
        let suffix = self.packing.suffix();
        let mut out = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary".to_owned(), b"2.0\n".to_vec()),
            (format!("control.tar.{suffix}"), self.packing.pack(&control)),
            (format!("data.tar.{suffix}"), self.packing.pack(&data)),
        ] {
            writeln!(
                out,
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
                0,
                0,
                0,
                100_644,
                bytes.len()
            )
            .unwrap();
            out.extend(&bytes);
            if bytes.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    pub(crate) fn path(&self, component: &str) -> String {
        let plain = self
            .version
            .split_once(':')
            .map_or(self.version, |(_, v)| v);
        format!(
            "pool/{component}/{}/{}/{}_{plain}_{}.deb",
            &self.name[..1],
            self.name,
            self.name,
            self.arch
        )
    }

    fn entry(&self, component: &str) -> String {
        let bytes = self.pack();
        let control = self.control();
        let (head, description) = control.split_once("Description:").unwrap();
        format!(
            "{head}Filename: {}\nSize: {}\nSHA256: {}\n{}Description:{description}\n",
            self.path(component),
            bytes.len(),
            Digest::of(&bytes).hex(),
            self.index,
        )
    }
}

fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut made: Vec<String> = Vec::new();
    for (path, bytes) in files {
        let mut parent = String::new();
        for part in Path::new(path).parent().unwrap().components() {
            parent = format!("{parent}{}/", part.as_os_str().to_string_lossy());
            if made.contains(&parent) {
                continue;
            }
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(0o755);
            set_path(&mut header, &parent);
            header.set_cksum();
            tar.append(&header, &[][..]).unwrap();
            made.push(parent.clone());
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        let runs = path.contains("bin/") || path.contains("/ld-") || path.ends_with("inst");
        header.set_mode(if runs { 0o755 } else { 0o644 });
        set_path(&mut header, path);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// `./` stays, which the library would take away.
fn set_path(header: &mut tar::Header, path: &str) {
    let name = &mut header.as_gnu_mut().unwrap().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
}

/// One suite.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// Fields of its release beside those that all have.
    pub(crate) fields: String,
    pub(crate) date: Timestamp,
    pub(crate) components: Vec<(&'static str, Vec<Deb>)>,
    pub(crate) packing: Packing,
    /// Whether `all` has indexes of its own.
    pub(crate) all_apart: bool,
}

impl Suite {
    pub(crate) fn new(name: &'static str, codename: &str) -> Self {
        Self {
            name,
            fields: format!("Suite: {name}\nCodename: {codename}\nAcquire-By-Hash: yes\n"),
            date: "2026-02-01T00:00:00Z".parse().unwrap(),
            components: Vec::new(),
            packing: Packing::Gzip,
            all_apart: false,
        }
    }

    pub(crate) fn with(mut self, component: &'static str, debs: &[Deb]) -> Self {
        self.components.push((component, debs.to_vec()));
        self
    }

    pub(crate) fn zstd(mut self) -> Self {
        self.packing = Packing::Zstd;
        self
    }

    /// The text of its release and the files that it lists.
    fn files(&self) -> (String, BTreeMap<String, Vec<u8>>) {
        let mut listed = BTreeMap::new();
        let archs: &[&str] = if self.all_apart {
            &["amd64", "arm64", "all"]
        } else {
            &["amd64", "arm64"]
        };
        for (component, debs) in &self.components {
            for arch in archs {
                let here = |deb: &&Deb| deb.arch == *arch || (deb.arch == "all" && !self.all_apart);
                let index: String = debs
                    .iter()
                    .filter(here)
                    .map(|d| d.entry(component))
                    .collect();
                let path = format!("{component}/binary-{arch}/Packages");
                let packed = self.packing.pack(index.as_bytes());
                listed.insert(format!("{path}.{}", self.packing.suffix()), packed);
                listed.insert(path, index.into_bytes());
            }
        }
        let components: Vec<&str> = self.components.iter().map(|(name, _)| *name).collect();
        let mut text = format!(
            "Origin: Test\n{}Date: {}\nArchitectures: {}\nComponents: {}\nSHA256:\n",
            self.fields,
            write_date(self.date),
            archs.join(" "),
            components.join(" ")
        );
        for (path, bytes) in &listed {
            let sum = Digest::of(bytes).hex();
            text = format!(
                "{text} {sum} {} {path}
",
                bytes.len()
            );
        }
        (text, listed)
    }

    /// Every file of it, signed with `key`.
    pub(crate) fn publish(&self, key: &RepositoryKey) -> BTreeMap<String, Vec<u8>> {
        let (text, listed) = self.files();
        let root = format!("dists/{}", self.name);
        let mut out = BTreeMap::new();
        let signed = key.sign_cleartext(&text, self.date).unwrap();
        let detached = key.sign_detached(text.as_bytes(), self.date).unwrap();
        out.insert(format!("{root}/InRelease"), signed.into_bytes());
        out.insert(format!("{root}/Release.gpg"), detached.into_bytes());
        out.insert(format!("{root}/Release"), text.into_bytes());
        for (path, bytes) in listed {
            let folder = path.rsplit_once('/').unwrap().0;
            let by_hash = format!(
                "{root}/{folder}/by-hash/SHA256/{}",
                Digest::of(&bytes).hex()
            );
            out.insert(by_hash, bytes.clone());
            out.insert(format!("{root}/{path}"), bytes);
        }
        for (component, debs) in &self.components {
            out.extend(debs.iter().map(|deb| (deb.path(component), deb.pack())));
        }
        out
    }
}

/// A key that is older than everything it signs.
pub(crate) fn key(seed: u8) -> RepositoryKey {
    let made = "2026-01-01T00:00:00Z".parse().unwrap();
    RepositoryKey::from_seed([seed; 32], made, "archive").unwrap()
}

/// Content of a file that the server fails at.
pub(crate) const BROKEN: &[u8] = b"500";

/// Served files, which a test may change while they are served.
pub(crate) struct Archive {
    pub(crate) files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) server: Server,
}

impl Archive {
    pub(crate) fn new(suites: &[Suite], key: &RepositoryKey) -> Self {
        let files = Arc::new(Mutex::new(BTreeMap::new()));
        let served = files.clone();
        let server = Server::new(move |asked| {
            let served = served.lock().unwrap();
            let found: Option<&Vec<u8>> = served.get(asked.target.trim_start_matches('/'));
            match found {
                None => Reply::status(404),
                Some(bytes) if bytes == BROKEN => Reply::status(500),
                Some(bytes) => Reply::ok(bytes.clone()),
            }
        });
        let archive = Self { files, server };
        archive.publish(suites, key);
        archive
    }

    /// Shows these suites and nothing else.
    pub(crate) fn publish(&self, suites: &[Suite], key: &RepositoryKey) {
        let all = suites.iter().flat_map(|suite| suite.publish(key)).collect();
        *self.files.lock().unwrap() = all;
    }

    /// Changes one file.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.lock().unwrap().get_mut(path).unwrap());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path).unwrap();
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.server.asked().into_iter().map(|a| a.target).collect()
    }
}

/// The real apt-get with everything of its own below `root`.
pub(crate) fn apt_get(root: &Path, sources: &Path) -> Command {
    for folder in [
        "state/lists/partial",
        "cache/archives/partial",
        "etc/preferences.d",
    ] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let status = root.join("status");
    if !status.exists() {
        std::fs::write(&status, "").unwrap();
    }
    let mut command = Command::new("apt-get");
    let shown = |path: &Path| path.to_str().unwrap().to_owned();
    for option in [
        format!("Dir::State={}", shown(&root.join("state"))),
        format!("Dir::State::status={}", shown(&status)),
        format!("Dir::Cache={}", shown(&root.join("cache"))),
        format!("Dir::Etc::SourceList={}", shown(sources)),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::Trusted=/dev/null".to_owned(),
        "Dir::Etc::TrustedParts=/dev/null".to_owned(),
        format!(
            "Dir::Etc::PreferencesParts={}",
            shown(&root.join("etc/preferences.d"))
        ),
        "APT::Architecture=amd64".to_owned(),
        "APT::Architectures::=amd64".to_owned(),
        "APT::Sandbox::User=".to_owned(),
        "Debug::NoLocking=1".to_owned(),
        "Acquire::http::Proxy=false".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ] {
        command.args(["-o", &option]);
    }
    command
        .arg("-y")
        .env("APT_CONFIG", "/dev/null")
        .env("LC_ALL", "C");
    command
}
