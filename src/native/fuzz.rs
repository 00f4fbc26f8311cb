//! Entry point for fuzzing the ELF reader; see `crate::fuzz`.

/// A shared object or program.
pub(crate) fn elf(bytes: &[u8]) {
    let _elf = super::elf::read(bytes);
}
