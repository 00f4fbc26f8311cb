//! From system calls to holes, flows, ports and folders written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::prove::trace::{self, Call};
use crate::trust::proof::{Flow, Hole, HoleKind, Port};

/// Most entries of each kind that are kept of one step.
const MOST: usize = 500;
/// Longest text of an entry, in bytes.
const LONGEST: usize = 512;
/// Most processes and sockets that are told apart.
const MOST_KNOWN: usize = 100_000;
/// The last program on the way into the namespaces.
const LAST: &str = "timeout";
/// Folders below the home that are told apart.
const DEPTH: usize = 2;

/// Parts of paths under which programs keep what they download when they first run.
const DOWNLOADS: &[&str] = &[
    "/.cache/camoufox",
    "/.cache/electron",
    "/.cache/huggingface",
    "/.cache/ms-playwright",
    "/.cache/node-gyp",
    "/.cache/prisma",
    "/.cache/puppeteer",
    "/.cache/selenium",
    "/.cache/torch",
    "/.cache/whisper",
    "/.ollama/models",
    "/ms-playwright/",
    "/nltk_data",
    "/tiktoken_cache",
    "/data-gym-cache",
    "/chrome-linux/chrome",
    "/chrome-headless-shell",
];
/// Ends of names of models.
const MODELS: &[&str] = &[".gguf", ".ggml", ".onnx", ".safetensors", ".tflite"];

/// Calls that only ask whether something is there or allowed.
const PROBES: &[&str] = &["stat", "lstat", "newfstatat", "statx"];
/// And those of them that are so rare that installs are watched for them, too.
const ACCESS: &[&str] = &["access", "faccessat", "faccessat2"];
/// Calls about files; the first path is what counts.
const FILES: &[&str] = &[
    "chmod",
    "chown",
    "creat",
    "execve",
    "execveat",
    "fchmodat",
    "fchownat",
    "lchown",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "open",
    "openat",
    "openat2",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "symlink",
    "symlinkat",
    "truncate",
    "unlink",
    "unlinkat",
];
/// Calls about sockets.
const SOCKETS: &[&str] = &["bind", "connect", "listen", "sendmmsg", "sendmsg", "sendto"];
/// What makes a ring, through which files are opened and sockets are connected without any of those calls.
const RING: &str = "io_uring_setup";

/// The calls that are recorded of an install, as `strace -e trace=` takes them.
pub(super) fn install_calls() -> String {
    let all = SOCKETS.iter().chain(FILES).chain(ACCESS).chain([&RING]);
    all.copied().collect::<Vec<_>>().join(",")
}

/// And of a check, where looking for a file that is not there counts, too.
pub(super) fn check_calls() -> String {
    format!("{},{}", install_calls(), PROBES.join(","))
}

/// What was seen of one step.
#[derive(Debug, Default)]
pub(super) struct Observer {
    home: String,
    /// Whether the step itself has begun: what enters the namespaces before it does not count.
    begun: bool,
    /// What each process runs, as far as it was seen to start it.
    programs: BTreeMap<u32, String>,
    /// Where sockets are bound.
    bound: BTreeMap<String, SocketAddr>,
    holes: BTreeMap<(HoleKind, String, String), u64>,
    flows: BTreeSet<(String, String)>,
    ports: BTreeSet<(String, String)>,
    writes: BTreeSet<String>,
}

/// The same, for a proof.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) holes: Vec<Hole>,
    pub(super) flows: Vec<Flow>,
    pub(super) ports: Vec<Port>,
    pub(super) writes: Vec<String>,
}

impl Observer {
    /// Of a step whose home is this folder.
    pub(super) fn new(home: &str) -> Self {
        Self {
            home: home.to_owned(),
            ..Self::default()
        }
    }

    /// Takes in one call.
    pub(super) fn see(&mut self, call: &Call<'_>) {
        if call.kind == "execve" || call.kind == "execveat" {
            self.started(call);
        }
        if !self.begun {
            return;
        }
        if call.kind == RING {
            // The tracer refuses it; one that was made all the same hides what its program does.
            if call.error.is_none() {
                let program = self.program(call);
                self.hole(HoleKind::Unobserved, "io_uring", program);
            }
        } else if SOCKETS.contains(&call.kind) {
            self.socket(call);
        } else {
            self.file(call);
        }
    }

    /// Takes in a name that was asked for.
    pub(super) fn asked(&mut self, name: &str) {
        self.hole(HoleKind::Name, name, String::new());
    }

    /// Takes in that something looked for a module that is not installed.
    pub(super) fn module(&mut self, name: &str) {
        self.hole(HoleKind::Missing, &format!("module {name}"), String::new());
    }

    /// What was seen during `during`.
    pub(super) fn finish(self, during: &str) -> Seen {
        let during = || cut(during);
        let hole = |((kind, what, program), times)| Hole {
            kind,
            what,
            program,
            during: during(),
            times,
        };
        let flow = |(program, to)| Flow {
            program,
            to,
            during: during(),
        };
        let port = |(address, program)| Port {
            address,
            program,
            during: during(),
        };
        Seen {
            holes: self.holes.into_iter().map(hole).collect(),
            flows: self.flows.into_iter().map(flow).collect(),
            ports: self.ports.into_iter().map(port).collect(),
            writes: self.writes.into_iter().collect(),
        }
    }

    fn started(&mut self, call: &Call<'_>) {
        let path = trace::path(call.arguments).filter(|_| call.error.is_none());
        let name = path.as_deref().and_then(|path| Path::new(path).file_name());
        if let Some(name) = name
            && self.programs.len() < MOST_KNOWN
        {
            self.begun |= name == LAST;
            self.programs.insert(call.pid, cut(&name.to_string_lossy()));
        }
    }

    fn program(&self, call: &Call<'_>) -> String {
        let known = self.programs.get(&call.pid);
        known.cloned().unwrap_or_else(|| cut(call.name))
    }

    fn hole(&mut self, kind: HoleKind, what: &str, program: String) {
        let key = (kind, cut(what), program);
        let room = self.holes.len() < MOST;
        match self.holes.get_mut(&key) {
            Some(times) => *times += 1,
            None if room => {
                self.holes.insert(key, 1);
            }
            None => {}
        }
    }

    fn socket(&mut self, call: &Call<'_>) {
        let name = trace::socket(call.arguments).unwrap_or_default().to_owned();
        let program = self.program(call);
        if call.kind == "listen" {
            if let Some(address) = self.bound.get(&name).filter(|_| call.error.is_none())
                && self.ports.len() < MOST
            {
                self.ports.insert((address.to_string(), program));
            }
            return;
        }
        for address in addresses(call.arguments) {
            if call.kind == "bind" {
                if refused(call) {
                    let what = format!("listen on {address}");
                    self.hole(HoleKind::Denied, &what, program.clone());
                } else if call.error.is_none() && self.bound.len() < MOST_KNOWN {
                    self.bound.insert(name.clone(), address);
                }
            } else if !is_near(address.ip()) {
                self.hole(HoleKind::Connect, &address.to_string(), program.clone());
            } else if address.port() != 53 && self.flows.len() < MOST {
                // Questions about names are told by the one who answers them.
                self.flows.insert((program.clone(), address.to_string()));
            }
        }
    }

    fn file(&mut self, call: &Call<'_>) {
        let Some(path) = trace::path(call.arguments) else {
            return;
        };
        if path.starts_with("/proc/") || path.starts_with("/sys/") || path.starts_with("/dev/") {
            return;
        }
        let probe = is_probe(call.kind);
        match call.error {
            Some("ENOENT") if is_download(&path) => {
                let (what, program) = (self.shown(&path), self.program(call));
                self.hole(HoleKind::Missing, &what, program);
            }
            Some(_) if refused(call) && !probe => {
                let what = format!("{} {}", verb(call), self.shown(&path));
                let program = self.program(call);
                self.hole(HoleKind::Denied, &what, program);
            }
            None if verb(call) == "write" && self.writes.len() < MOST => {
                let folder = match call.kind {
                    "mkdir" | "mkdirat" => Path::new(&path),
                    _ => Path::new(&path).parent().unwrap_or(Path::new("/")),
                };
                let folder = self.shallow(&folder.to_string_lossy());
                self.writes.insert(folder);
            }
            Some(_) | None => {}
        }
    }

    /// A path as people know it: the home is `~`.
    fn shown(&self, path: &str) -> String {
        match path.strip_prefix(&self.home) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
            _ => path.to_owned(),
        }
    }

    /// A folder: below the home no deeper than tells what it is for, elsewhere whole, for it is held against declared ones.
    fn shallow(&self, folder: &str) -> String {
        let shown = self.shown(folder);
        if !shown.starts_with('~') {
            return cut(&shown);
        }
        let parts: Vec<&str> = shown.split('/').take(DEPTH + 1).collect();
        cut(&parts.join("/"))
    }
}

/// The start of a text that is kept.
fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn refused(call: &Call<'_>) -> bool {
    matches!(call.error, Some("EACCES" | "EPERM" | "EROFS"))
}

/// Whether a call only asks.
fn is_probe(call: &str) -> bool {
    PROBES.contains(&call) || ACCESS.contains(&call)
}

/// What a call about a file does, in one word.
fn verb(call: &Call<'_>) -> &'static str {
    match call.kind {
        "execve" | "execveat" => "run",
        "open" | "openat" | "openat2" => {
            let flags = call
                .arguments
                .rsplit_once("\", ")
                .map_or("", |(_, flags)| flags);
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"];
            if writes.iter().any(|flag| flags.contains(flag)) {
                "write"
            } else {
                "read"
            }
        }
        "chmod" | "fchmodat" => "set the mode of",
        "chown" | "lchown" | "fchownat" => "set the owner of",
        "rmdir" | "unlink" | "unlinkat" => "remove",
        call if is_probe(call) => "look at",
        _ => "write",
    }
}

fn is_download(path: &str) -> bool {
    DOWNLOADS.iter().any(|part| path.contains(part)) || MODELS.iter().any(|end| path.ends_with(end))
}

/// Whether an address is on this host: the loopback, or "any", which is taken for it.
fn is_near(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// The addresses of the internet in arguments.
fn addresses(arguments: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for (at, word) in arguments.match_indices("{sa_family=AF_INET") {
        let rest = arguments.get(at + word.len()..).unwrap_or_default();
        found.extend(address(rest));
    }
    found
}

/// `, sin_port=htons(443), sin_addr=inet_addr("203.0.113.7")}`, or likewise of version 6.
fn address(rest: &str) -> Option<SocketAddr> {
    let (head, rest) = rest.split_once("_port=htons(")?;
    let (port, rest) = rest.split_once(')')?;
    let ip = match head {
        ", sin" => rest.strip_prefix(", sin_addr=inet_addr(\"")?,
        "6, sin6" => rest.split_once("inet_pton(AF_INET6, \"")?.1,
        _ => return None,
    };
    let ip: IpAddr = ip.split_once('"')?.0.parse().ok()?;
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::Observer;
    use crate::prove::trace;
    use crate::trust::proof::HoleKind;

    const TRACE: &str = r#"7<x> connect(20<socket:[1]>, {sa_family=AF_INET, sin_port=htons(444), sin_addr=inet_addr("203.0.113.7")}, 16) = -1 ENETUNREACH (Network is unreachable)
7<x> execve("/usr/bin/timeout", ["timeout"], 0x1 /* 3 vars */) = 0
7<sh> execve("/opt/n/bin/node", ["node"], 0x1 /* 3 vars */) = 0
7<sh> connect(20<socket:[1]>, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("203.0.113.7")}, 16) = -1 ENETUNREACH (Network is unreachable)
7<sh> connect(20<socket:[1]>, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("203.0.113.7")}, 16) = -1 ENETUNREACH (Network is unreachable)
7<sh> connect(21<socket:[2]>, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH (Network is unreachable)
7<sh> connect(22<socket:[3]>, {sa_family=AF_INET6, sin6_port=htons(8080), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::ffff:127.0.0.1", &sin6_addr), sin6_scope_id=0}, 28) = 0
7<sh> connect(22<socket:[3]>, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
7<sh> connect(23<socket:[4]>, {sa_family=AF_UNIX, sun_path="/{sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr(\"203.0.113.9\")}"}, 110) = -1 ENOENT (No such file or directory)
7<sh> sendto(24<socket:[5]>, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(5353), sin_addr=inet_addr("224.0.0.251")}, 16) = -1 ENETUNREACH (Network is unreachable)
8<worker> bind(18<socket:[9]>, {sa_family=AF_INET, sin_port=htons(18789), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
8<worker> listen(18<socket:[9]>, 511) = 0
8<worker> bind(19<socket:[10]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("0.0.0.0")}, 16) = -1 EACCES (Permission denied)
8<worker> access("/home/p/.cache/ms-playwright/chromium-1/x", F_OK) = -1 ENOENT (No such file or directory)
8<worker> access("/usr/lib", W_OK) = -1 EACCES (Permission denied)
8<worker> openat(AT_FDCWD</home/p/app>, "data/a/b/c/d.txt", O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = 3</home/p/app/data/a/b/c/d.txt>
8<worker> openat(AT_FDCWD</home/p/app>, "x", O_RDONLY) = 3</home/p/app/x>
8<worker> mkdir("/var/tmp/other/deep", 0777) = 0
8<worker> mkdir("/opt/x", 0777) = -1 EROFS (Read-only file system)
8<worker> openat(AT_FDCWD</>, "/etc/shadow", O_RDONLY) = -1 EACCES (Permission denied)
8<worker> io_uring_setup(64, {flags=0, sq_thread_cpu=0, sq_thread_idle=0}) = -1 ENOSYS (Function not implemented) (INJECTED)
9<other> io_uring_setup(64, {flags=0, sq_off={head=0, tail=4}, cq_off={head=8, tail=12}}) = 4<anon_inode:[io_uring]>
"#;

    #[test]
    fn calls_become_holes_flows_ports_and_folders() {
        let mut observer = Observer::new("/home/p");
        trace::read(TRACE.as_bytes(), 1 << 30, &mut |call| observer.see(call)).unwrap();
        observer.asked("www.example");
        let seen = observer.finish("demo");
        let holes: Vec<_> = seen
            .holes
            .iter()
            .map(|h| (h.kind, h.what.as_str(), h.program.as_str(), h.times))
            .collect();
        assert_eq!(
            holes,
            [
                (HoleKind::Connect, "203.0.113.7:443", "node", 2),
                (HoleKind::Connect, "224.0.0.251:5353", "node", 1),
                (HoleKind::Connect, "[2001:db8::1]:443", "node", 1),
                (HoleKind::Name, "www.example", "", 1),
                (
                    HoleKind::Missing,
                    "~/.cache/ms-playwright/chromium-1/x",
                    "worker",
                    1
                ),
                (HoleKind::Denied, "listen on 0.0.0.0:80", "worker", 1),
                (HoleKind::Denied, "read /etc/shadow", "worker", 1),
                (HoleKind::Denied, "write /opt/x", "worker", 1),
                (HoleKind::Unobserved, "io_uring", "other", 1),
            ]
        );
        assert_eq!(seen.flows.len(), 1);
        assert_eq!(seen.flows[0].to, "[::ffff:127.0.0.1]:8080");
        assert_eq!(
            (seen.ports.len(), seen.ports[0].address.as_str()),
            (1, "127.0.0.1:18789")
        );
        assert_eq!(seen.writes, ["/var/tmp/other/deep", "~/app/data"]);
    }
}
