//! Core metadata out of a wheel of which only some bytes are here: a zip archive has its directory at the end, so a few
//! parts of the file do.

use std::io::{self, Read, Seek, SeekFrom};

use zip::ZipArchive;

use crate::base::limits::Limited;
use crate::base::text::visible;
use crate::eco::pypi::metadata::MAX_TEXT;
use crate::eco::pypi::name::{Name, normalized};
use crate::upstream::Part;

/// Largest part that is asked for after the first, in bytes.
const MAX_PART: u64 = 4 << 20;
/// Smallest part worth a request.
const MIN_PART: u64 = 32 << 10;
/// Most parts of one file before it is fetched whole.
const MAX_PARTS: usize = 6;

/// A file of which some parts are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sparse {
    total: u64,
    parts: Vec<(u64, Vec<u8>)>,
    at: u64,
    missing: Option<u64>,
}

/// What came of looking.
#[derive(Debug)]
pub(crate) enum Look {
    /// The metadata.
    Found(String),
    /// This part is needed too.
    Missing(Part),
    /// Too many parts: the file is needed whole.
    Whole,
}

impl Sparse {
    /// Adds a part; the size of the file must not change.
    pub(crate) fn add(&mut self, first: u64, bytes: Vec<u8>, total: u64) -> Result<(), String> {
        let known = self.total == total || self.parts.is_empty();
        if !known || bytes.is_empty() {
            return Err("its server changes its size".to_owned());
        }
        self.total = total;
        self.parts.push((first, bytes));
        Ok(())
    }

    /// Looks for the metadata of `name`.
    pub(crate) fn metadata(&mut self, name: &Name) -> Result<Look, String> {
        self.missing = None;
        self.at = 0;
        match metadata(&mut *self, name) {
            Ok(text) => Ok(Look::Found(text)),
            Err(reason) => match self.missing {
                None => Err(reason),
                Some(_) if self.parts.len() >= MAX_PARTS => Ok(Look::Whole),
                Some(first) => Ok(Look::Missing(self.part_from(first))),
            },
        }
    }

    /// From a missing byte up to what is known.
    fn part_from(&self, first: u64) -> Part {
        let next = self.parts.iter().map(|(start, _)| *start);
        let next = next.filter(|start| *start > first).min();
        let gap = next.unwrap_or(self.total).saturating_sub(first);
        let length = if gap <= MAX_PART { gap } else { MIN_PART };
        Part::From {
            first,
            length: length.max(1),
        }
    }
}

impl Read for Sparse {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.total || buf.is_empty() {
            return Ok(0);
        }
        let found = self.parts.iter().find_map(|(first, bytes)| {
            let offset = usize::try_from(self.at.checked_sub(*first)?).ok()?;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        });
        let Some(rest) = found else {
            self.missing = Some(self.at);
            return Err(io::Error::other("this part of the file is not here"));
        };
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.total.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// The text of `METADATA` in a wheel of `name` (PyPA "Binary distribution format", "The .dist-info directory").
pub(crate) fn metadata<R: Read + Seek>(wheel: R, name: &Name) -> Result<String, String> {
    let mut archive = ZipArchive::new(wheel).map_err(|e| visible(&e.to_string()))?;
    let of_project = |path: &&str| {
        let folder = path.strip_suffix(".dist-info/METADATA");
        let project = folder.and_then(|f| Some(f.rsplit_once('-')?.0));
        project.is_some_and(|p| !p.contains('/') && normalized(p) == name.as_str())
    };
    let found: Vec<String> = archive
        .file_names()
        .filter(of_project)
        .map(str::to_owned)
        .collect();
    let [path] = found.as_slice() else {
        return Err(format!("it has {} METADATA files of {name}", found.len()));
    };
    let entry = archive.by_name(path).map_err(|e| visible(&e.to_string()))?;
    let mut text = String::new();
    let read = Limited::new(entry, MAX_TEXT as u64).read_to_string(&mut text);
    read.map_err(|e| visible(&e.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Look, Sparse};
    use crate::upstream::Part;

    fn wheel(metadata: &str, others: usize) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let mut put = |path: &str, bytes: &[u8]| {
            zip.start_file(path, stored).unwrap();
            zip.write_all(bytes).unwrap();
        };
        put("a_b-1.0.dist-info/METADATA", metadata.as_bytes());
        for number in 0..others {
            put(&format!("a_b/{number}.py"), &[b'x'; 5_000]);
        }
        put("a_b/vendor/c-1.dist-info/METADATA", b"Name: c\n");
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn metadata_is_found_with_a_few_parts() {
        let name = "a-b".parse().unwrap();
        for (others, tail) in [(0, 10_000), (2_000, 65_536), (2_000, 300_000), (40, 100)] {
            let file = wheel("Name: a_b\nVersion: 1.0\n", others);
            let mut sparse = Sparse::default();
            let total = file.len() as u64;
            let first = file.len().saturating_sub(tail);
            sparse
                .add(first as u64, file[first..].to_vec(), total)
                .unwrap();
            let mut asked = 0;
            let text = loop {
                match sparse.metadata(&name).unwrap() {
                    Look::Found(text) => break text,
                    Look::Missing(Part::From { first, length }) => {
                        asked += 1;
                        let from = usize::try_from(first).unwrap();
                        let to = (from + usize::try_from(length).unwrap()).min(file.len());
                        sparse.add(first, file[from..to].to_vec(), total).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(text, "Name: a_b\nVersion: 1.0\n");
            assert!(asked <= 4, "{asked} parts");
        }
    }

    #[test]
    fn what_is_no_wheel_of_the_project_is_refused() {
        let file = wheel("Name: a_b\nVersion: 1.0\n", 1);
        let whole = |bytes: &[u8]| {
            let mut sparse = Sparse::default();
            sparse.add(0, bytes.to_vec(), bytes.len() as u64).unwrap();
            sparse
        };
        whole(&file)
            .metadata(&"other".parse().unwrap())
            .unwrap_err();
        whole(&file[..file.len() - 30])
            .metadata(&"a-b".parse().unwrap())
            .unwrap_err();
        let mut changing = whole(&file);
        changing.add(0, vec![1], 7).unwrap_err();
    }
}
