//! One ELF file: which machine and C library it is for, what it needs, what it provides. Only program headers, the
//! dynamic section and the version tables are read (ELF gABI, "Dynamic Section"; LSB, "Symbol Versioning"); section
//! headers, which a stripped file may lack, are not. Every offset of the file is checked before it is used.

use std::collections::{BTreeMap, BTreeSet};

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::Elf as Parts;
use goblin::elf::dynamic::{self, Dynamic};
use goblin::elf::header::{
    ELFCLASS64, ELFDATA2LSB, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, Header,
};
use goblin::elf::program_header::{PT_INTERP, ProgramHeader};

use crate::base::platform::Platform;

/// Longest name of a library, version or path that is believed, in bytes.
const MAX_NAME: usize = 4096;
/// Most libraries, and most versions, that one file may name.
const MAX_NAMES: usize = 10_000;
/// Most program headers: the field is 16 bits wide, and real files have about a dozen.
const MAX_HEADERS: usize = 1024;
/// `EI_OSABI` of System V and of GNU/Linux.
const LINUX_ABIS: [u8; 2] = [0, 3];

/// The C library that a file was linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// GNU libc.
    Glibc,
    /// musl.
    Musl,
    /// Another system's.
    Foreign,
    /// None that it would name.
    Any,
}

/// What a dynamically linked file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    /// The platform whose loader takes it; `None` = none that `stage` knows.
    pub(super) platform: Option<Platform>,
    /// Its C library.
    pub(super) flavour: Flavour,
    /// `DT_SONAME`.
    pub(super) soname: Option<String>,
    /// `DT_NEEDED`, in order.
    pub(super) needed: Vec<String>,
    /// Folders of `DT_RUNPATH`, else of `DT_RPATH`.
    pub(super) search: Vec<String>,
    /// Symbol versions that it requires, by the library it expects them in.
    pub(super) requires: BTreeMap<String, BTreeSet<String>>,
    /// Symbol versions that it defines.
    pub(super) defines: BTreeSet<String>,
}

/// Reads a whole file. `None` when there is nothing to load: an object file, a static program.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Elf>, goblin::error::Error> {
    let header = Parts::parse_header(bytes)?;
    if !matches!(header.e_type, ET_DYN | ET_EXEC) {
        return Ok(None);
    }
    let ctx = context(&header);
    let count = usize::from(header.e_phnum).min(MAX_HEADERS);
    let offset = usize::try_from(header.e_phoff).unwrap_or(usize::MAX);
    if offset > bytes.len() {
        return Err(goblin::error::Error::Malformed(
            "the program headers lie outside the file".to_owned(),
        ));
    }
    let segments = ProgramHeader::parse(bytes, offset, count, ctx)?;
    let Some(dynamic) = Dynamic::parse(bytes, &segments, ctx)? else {
        return Ok(None);
    };
    let strings = bytes.get(dynamic.info.strtab..).unwrap_or_default();
    let strings = strings.get(..dynamic.info.strsz).unwrap_or(strings);
    let tables = Tables {
        bytes,
        strings,
        little: ctx.is_little_endian(),
    };
    let of = |tag: u64| -> Vec<String> {
        let entries = dynamic.dyns.iter().filter(|entry| entry.d_tag == tag);
        let named = entries.filter_map(|entry| tables.string(entry.d_val));
        named.take(MAX_NAMES).collect()
    };
    let value = |tag: u64| {
        let mut entries = dynamic.dyns.iter();
        entries.find(|entry| entry.d_tag == tag).map(|e| e.d_val)
    };
    let mut search = of(dynamic::DT_RUNPATH);
    if search.is_empty() {
        search = of(dynamic::DT_RPATH);
    }
    let requires = match value(dynamic::DT_VERNEED) {
        Some(_) => tables.requires(dynamic.info.verneed),
        None => BTreeMap::new(),
    };
    let defines = match value(dynamic::DT_VERDEF) {
        Some(_) => tables.defines(dynamic.info.verdef),
        None => BTreeSet::new(),
    };
    let needed = of(dynamic::DT_NEEDED);
    let loader = interpreter(bytes, &segments);
    Ok(Some(Elf {
        platform: platform(&header),
        flavour: flavour(&header, &needed, loader.as_deref(), &requires),
        soname: of(dynamic::DT_SONAME).into_iter().next(),
        search: search
            .iter()
            .flat_map(|path| path.split(':'))
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        needed,
        requires,
        defines,
    }))
}

fn context(header: &Header) -> Ctx {
    let [.., class, data] = header
        .e_ident
        .first_chunk::<6>()
        .copied()
        .unwrap_or_default();
    let container = if class == ELFCLASS64 {
        Container::Big
    } else {
        Container::Little
    };
    let endian = if data == ELFDATA2LSB {
        Endian::Little
    } else {
        Endian::Big
    };
    Ctx::new(container, endian)
}

fn platform(header: &Header) -> Option<Platform> {
    let little_64 = context(header) == Ctx::new(Container::Big, Endian::Little);
    match header.e_machine {
        EM_X86_64 if little_64 => Some(Platform::LinuxAmd64),
        EM_AARCH64 if little_64 => Some(Platform::LinuxArm64),
        _ => None,
    }
}

/// The program that a program asks to be loaded by.
fn interpreter(bytes: &[u8], segments: &[ProgramHeader]) -> Option<String> {
    let segment = segments.iter().find(|s| s.p_type == PT_INTERP)?;
    let start = usize::try_from(segment.p_offset).ok()?;
    until_zero(bytes.get(start..)?)
}

fn flavour(
    header: &Header,
    needed: &[String],
    loader: Option<&str>,
    requires: &BTreeMap<String, BTreeSet<String>>,
) -> Flavour {
    let abi = header.e_ident.get(7).copied().unwrap_or_default();
    if !LINUX_ABIS.contains(&abi) {
        return Flavour::Foreign;
    }
    let loader = loader.and_then(|path| path.rsplit('/').next());
    let names = needed.iter().map(String::as_str).chain(loader);
    let mut found = Flavour::Any;
    for name in names {
        if name == "libc.so.6" || name.starts_with("ld-linux") {
            found = Flavour::Glibc;
        } else if name.starts_with("libc.musl-") || name.starts_with("ld-musl-") {
            return Flavour::Musl;
        } else if name == "libc.so" || name.starts_with("libc.so.") || name.starts_with("linker") {
            // Android's, a BSD's; musl's own compiler wrapper links so too, with its loader's name beside it.
            found = Flavour::Foreign;
        }
    }
    let mut versions = requires.values().flatten();
    if found == Flavour::Any && versions.any(|version| version.starts_with("GLIBC_")) {
        return Flavour::Glibc;
    }
    found
}

/// The text up to the first zero byte.
fn until_zero(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().take(MAX_NAME).position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// The file with its string table.
struct Tables<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    little: bool,
}

impl Tables<'_> {
    fn string(&self, at: u64) -> Option<String> {
        until_zero(self.strings.get(usize::try_from(at).ok()?..)?)
    }

    fn half(&self, at: u64) -> Option<u16> {
        let at = usize::try_from(at).ok()?;
        let bytes = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn word(&self, at: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        let word = if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        Some(u64::from(word))
    }

    /// Places of the entries of a chain that begins at `start`, each of which says at `next` how far the next one is.
    fn chain(&self, start: u64, next: u64) -> impl Iterator<Item = u64> {
        let follow = move |at: &u64| {
            let step = self.word(at.checked_add(next)?)?;
            (step > 0).then(|| at.checked_add(step)).flatten()
        };
        std::iter::successors(Some(start), follow).take(MAX_NAMES)
    }

    /// `Elf64_Verneed` {version, cnt: half; file, aux, next: word} with `Elf64_Vernaux` {hash: word; flags, other:
    /// half; name, next: word}. Both are the same in 32-bit files. Weak requirements do not count.
    fn requires(&self, start: u64) -> BTreeMap<String, BTreeSet<String>> {
        const WEAK: u16 = 2;
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut names = 0;
        for at in self.chain(start, 12) {
            let library = self.word(at + 4).and_then(|name| self.string(name));
            let (Some(library), Some(first)) = (library, self.word(at + 8)) else {
                break;
            };
            let versions = found.entry(library).or_default();
            for at in self.chain(at.saturating_add(first), 12) {
                names += 1;
                if names > MAX_NAMES {
                    return found;
                }
                if self
                    .half(at.saturating_add(4))
                    .is_some_and(|flags| flags & WEAK == 0)
                {
                    let name = self.word(at.saturating_add(8));
                    versions.extend(name.and_then(|name| self.string(name)));
                }
            }
        }
        found
    }

    /// `Elf64_Verdef` {version, flags, ndx, cnt: half; hash, aux, next: word}; the first `Elf64_Verdaux` {name, next:
    /// word} of each is its name.
    fn defines(&self, start: u64) -> BTreeSet<String> {
        let name = |at: u64| {
            let aux = at.checked_add(self.word(at.checked_add(12)?)?)?;
            self.string(self.word(aux)?)
        };
        self.chain(start, 16).filter_map(name).collect()
    }
}
