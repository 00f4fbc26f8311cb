//! Code of a crate that runs where it is built, as its `Cargo.toml` says it (The Cargo Book, "Build Scripts" and
//! "Procedural Macros").

/// The build script of a crate whose manifest names none.
pub const DEFAULT: &str = "build.rs";

/// What of a crate the compiler and cargo run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Built {
    /// Its build scripts.
    pub scripts: Vec<String>,
    /// Whether it is a procedural macro.
    pub is_macro: bool,
}

/// Reads a `Cargo.toml`; `None` where it is none. `has_default` says whether there is a `build.rs` beside it.
pub fn read(cargo_toml: &[u8], has_default: bool) -> Option<Built> {
    let table: toml::Table = std::str::from_utf8(cargo_toml).ok()?.parse().ok()?;
    let package = table.get("package").or_else(|| table.get("project"))?;
    let default = || vec![DEFAULT.to_owned()];
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    let scripts = match package.as_table()?.get("build") {
        Some(toml::Value::Boolean(false)) => Vec::new(),
        Some(toml::Value::Boolean(true)) => default(),
        Some(toml::Value::Array(names)) => names.iter().filter_map(text).collect(),
        Some(name) => vec![text(name)?],
        None if has_default => default(),
        None => Vec::new(),
    };
    let lib = table.get("lib").and_then(toml::Value::as_table);
    let says = |key: &str| lib.and_then(|lib| lib.get(key)?.as_bool()) == Some(true);
    let kinds = ["crate-type", "crate_type"];
    let kinds = kinds.iter().filter_map(|key| lib?.get(*key)?.as_array());
    let is_kind = kinds
        .flatten()
        .any(|kind| kind.as_str() == Some("proc-macro"));
    Some(Built {
        scripts,
        is_macro: says("proc-macro") || says("proc_macro") || is_kind,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn scripts_are_those_that_cargo_runs() {
        for (manifest, has_default, scripts) in [
            ("", false, &[][..]),
            ("", true, &["build.rs"]),
            ("build = false", true, &[]),
            ("build = true", false, &["build.rs"]),
            ("build = \"tools/b.rs\"", false, &["tools/b.rs"]),
            ("build = [\"a.rs\", \"b.rs\"]", true, &["a.rs", "b.rs"]),
        ] {
            let text = format!("[package]\nname = \"a\"\n{manifest}\n");
            let built = read(text.as_bytes(), has_default).unwrap();
            assert_eq!(built.scripts, scripts, "{manifest}");
            assert!(!built.is_macro, "{manifest}");
        }
        for bad in ["", "[package", "package = 1", "[package]\nbuild = 7"] {
            assert_eq!(read(bad.as_bytes(), true), None, "{bad}");
        }
    }

    #[test]
    fn macros_are_found_in_every_spelling() {
        for (lib, is_macro) in [
            ("proc-macro = true", true),
            ("proc_macro = true", true),
            ("crate-type = [\"proc-macro\"]", true),
            ("proc-macro = false", false),
            ("crate-type = [\"cdylib\"]", false),
        ] {
            let text = format!("[package]\nname = \"a\"\n[lib]\n{lib}\n");
            let built = read(text.as_bytes(), false).unwrap();
            assert_eq!(built.is_macro, is_macro, "{lib}");
        }
    }
}
