//! Documents that lie beside a bundle and have its name with an ending: approvals, the proof.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::fault::Fault;
use crate::fs;

/// A kind of document.
pub(crate) struct Beside {
    /// What its name adds to the bundle's.
    pub(crate) suffix: &'static str,
    /// Most bytes of one that is not refused.
    pub(crate) limit: u64,
    /// What is said where it is no regular file.
    pub(crate) irregular: fn() -> Box<dyn Fault>,
}

impl Beside {
    /// The file beside a bundle or a head.
    pub(crate) fn path(&self, bundle: &Path) -> PathBuf {
        let mut name = bundle.as_os_str().to_owned();
        name.push(self.suffix);
        PathBuf::from(name)
    }

    /// What came with a bundle: the file that was named, else the one beside; `None` when there is none.
    pub(crate) fn load(
        &self,
        named: Option<&Path>,
        bundle: &Path,
    ) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
        match named {
            Some(file) => self.read(file).map(Some),
            None if bundle == Path::new("-") => Ok(None),
            None => self.read_beside(bundle),
        }
    }

    /// Reads the file beside; `None` when there is none.
    pub(crate) fn read_beside(&self, bundle: &Path) -> Result<Option<Vec<u8>>, Box<dyn Fault>> {
        let file = self.path(bundle);
        if !fs::exists(&file) {
            return Ok(None);
        }
        self.read(&file).map(Some)
    }

    /// Too long a file is read far enough to be refused.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Box<dyn Fault>> {
        if !fs::metadata(path)?.is_file() {
            return Err((self.irregular)());
        }
        let mut bytes = Vec::new();
        fs::open(path)?
            .take(self.limit + 1)
            .read_to_end(&mut bytes)
            .map_err(fs::context("read", path))?;
        Ok(bytes)
    }
}
