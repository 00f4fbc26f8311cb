//! ELF files made by hand: only what a loader reads before it looks for libraries.

use std::collections::BTreeMap;

/// `e_machine` of x86-64 and of 64-bit Arm.
pub(crate) const X86_64: u16 = 62;
pub(crate) const AARCH64: u16 = 183;

/// What a file says about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub(crate) machine: u16,
    pub(crate) soname: Option<&'static str>,
    pub(crate) needed: Vec<&'static str>,
    pub(crate) runpath: Option<&'static str>,
    /// Versions by the library they are expected in.
    pub(crate) requires: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) defines: Vec<&'static str>,
}

impl Program {
    pub(crate) fn new(needed: &[&'static str]) -> Self {
        Self {
            machine: X86_64,
            needed: needed.to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn soname(mut self, name: &'static str) -> Self {
        self.soname = Some(name);
        self
    }

    pub(crate) fn runpath(mut self, path: &'static str) -> Self {
        self.runpath = Some(path);
        self
    }

    pub(crate) fn machine(mut self, machine: u16) -> Self {
        self.machine = machine;
        self
    }

    pub(crate) fn requires(mut self, library: &'static str, versions: &[&'static str]) -> Self {
        self.requires.push((library, versions.to_vec()));
        self
    }

    pub(crate) fn defines(mut self, versions: &[&'static str]) -> Self {
        self.defines = versions.to_vec();
        self
    }

    /// A 64-bit little-endian shared object without section headers.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut strings = Strings(vec![0], BTreeMap::new());
        let mut dynamic: Vec<(u64, u64)> = Vec::new();
        for name in &self.needed {
            dynamic.push((1, strings.add(name)));
        }
        dynamic.extend(self.soname.map(|name| (14, strings.add(name))));
        dynamic.extend(self.runpath.map(|path| (29, strings.add(path))));
        let verneed = self.verneed(&mut strings);
        let verdef = self.verdef(&mut strings);
        let strtab: u64 = 64 + 2 * 56;
        let at_verneed = strtab + strings.0.len() as u64;
        let at_verdef = at_verneed + verneed.len() as u64;
        let at_dynamic = at_verdef + verdef.len() as u64;
        dynamic.push((5, strtab));
        dynamic.push((10, strings.0.len() as u64));
        if !self.requires.is_empty() {
            dynamic.push((0x6fff_fffe, at_verneed));
            dynamic.push((0x6fff_ffff, self.requires.len() as u64));
        }
        if !self.defines.is_empty() {
            dynamic.push((0x6fff_fffc, at_verdef));
            dynamic.push((0x6fff_fffd, self.defines.len() as u64));
        }
        dynamic.push((0, 0));
        let size = at_dynamic + 16 * dynamic.len() as u64;
        let mut out = self.header();
        segment(&mut out, 1, 0, size);
        segment(&mut out, 2, at_dynamic, 16 * dynamic.len() as u64);
        out.extend(&strings.0);
        out.extend(verneed);
        out.extend(verdef);
        for (tag, value) in dynamic {
            out.extend(tag.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        assert_eq!(out.len() as u64, size);
        out
    }

    fn header(&self) -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        out.extend(3_u16.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out.extend(64_u64.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        for half in [64_u16, 56, 2, 0, 0, 0] {
            out.extend(half.to_le_bytes());
        }
        out
    }

    fn verneed(&self, strings: &mut Strings) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (library, versions)) in self.requires.iter().enumerate() {
            let last = number + 1 == self.requires.len();
            let size = 16 + 16 * versions.len();
            out.extend(1_u16.to_le_bytes());
            out.extend(u16::try_from(versions.len()).unwrap().to_le_bytes());
            let next = if last { 0 } else { size };
            for word in [strings.add(library), 16, next as u64] {
                out.extend(u32::try_from(word).unwrap().to_le_bytes());
            }
            for (number, version) in versions.iter().enumerate() {
                let next = if number + 1 == versions.len() {
                    0_u32
                } else {
                    16
                };
                out.extend(0_u32.to_le_bytes());
                out.extend([0; 4]);
                out.extend(u32::try_from(strings.add(version)).unwrap().to_le_bytes());
                out.extend(next.to_le_bytes());
            }
        }
        out
    }

    fn verdef(&self, strings: &mut Strings) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, version) in self.defines.iter().enumerate() {
            let next = if number + 1 == self.defines.len() {
                0_u32
            } else {
                28
            };
            for half in [1_u16, 0, 0, 1] {
                out.extend(half.to_le_bytes());
            }
            for word in [0, 20, next, u32::try_from(strings.add(version)).unwrap(), 0] {
                out.extend(word.to_le_bytes());
            }
        }
        out
    }
}

fn segment(out: &mut Vec<u8>, kind: u32, at: u64, size: u64) {
    out.extend(kind.to_le_bytes());
    out.extend(4_u32.to_le_bytes());
    for word in [at, at, at, size, size, 8] {
        out.extend(word.to_le_bytes());
    }
}

struct Strings(Vec<u8>, BTreeMap<String, u64>);

impl Strings {
    fn add(&mut self, text: &str) -> u64 {
        if let Some(at) = self.1.get(text) {
            return *at;
        }
        let at = self.0.len() as u64;
        self.0.extend(text.as_bytes());
        self.0.push(0);
        self.1.insert(text.to_owned(), at);
        at
    }
}

/// A tar with these files and links (targets beginning with `->`), uncompressed.
pub(crate) fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        if let Some(target) = bytes.strip_prefix(b"->") {
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Symlink);
            let target = std::str::from_utf8(target).unwrap();
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            header.set_size(bytes.len() as u64);
            builder
                .append_data(&mut header, path, bytes.as_slice())
                .unwrap();
        }
    }
    builder.into_inner().unwrap()
}

/// gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A `.deb` around a data archive with this name.
pub(crate) fn deb(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    let members = [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar", b"x"),
        (name, data),
    ];
    for (name, bytes) in members {
        out.extend(
            format!(
                "{name:16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                100_644,
                bytes.len()
            )
            .bytes(),
        );
        out.extend(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    out
}
