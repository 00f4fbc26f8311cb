//! Feeds one reader of `stage::fuzz::TARGETS` with what libFuzzer makes up. Which one, the variable `STAGE_FUZZ` says.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static READER: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("STAGE_FUZZ").unwrap_or_default();
    let found = stage::fuzz::TARGETS.iter().find(|(name, _)| *name == wanted);
    match found {
        Some((_, reader)) => *reader,
        None => {
            let names: Vec<&str> = stage::fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("set STAGE_FUZZ to one of: {}", names.join(" "));
            std::process::exit(2);
        }
    }
});

fuzz_target!(|bytes: &[u8]| READER(bytes));
