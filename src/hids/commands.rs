//! The links that npm makes to commands, as bin-links makes them: `.bin/NAME` beside a package for each of its commands whose
//! file is there. Of two packages that have a command of one name, the first one wins.

use std::collections::BTreeMap;

/// A command of a package at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// The link to it.
    pub(super) link: String,
    /// Where the link leads, as it says.
    pub(super) target: String,
    /// Its file.
    pub(super) file: String,
}

/// The commands of a package at `place`, a path that ends with `node_modules/NAME`.
pub(super) fn of_package(place: &str, bin: &BTreeMap<String, String>) -> Vec<Command> {
    const MODULES: &str = "node_modules/";
    let Some(cut) = place.rfind(MODULES) else {
        return Vec::new();
    };
    let (level, name) = place.split_at(cut + MODULES.len());
    let mut out: Vec<Command> = Vec::new();
    for (command, file) in bin {
        let (command, file) = (rooted(&command.replace(':', "/")), rooted(file));
        let command = command.rsplit('/').next().unwrap_or_default();
        if command.is_empty() || file.is_empty() {
            continue;
        }
        out.push(Command {
            link: format!("{level}.bin/{command}"),
            target: format!("../{name}/{file}"),
            file: format!("{place}/{file}"),
        });
    }
    out
}

/// A path in a folder that nothing leads out of, without segments that say nothing.
fn rooted(text: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

/// The order in which npm links packages: by depth, then by their paths as people sort them.
pub(super) fn order(place: &str) -> (usize, Vec<u32>, String) {
    // Marks before digits before letters, and letters of both cases as one.
    const MARKS: &str = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";
    let rank = |c: char| match MARKS.find(c) {
        Some(at) => u32::try_from(at).unwrap_or_default(),
        None => 0x100 + u32::from(c.to_ascii_lowercase()),
    };
    let depth = place.matches("node_modules/").count();
    (depth, place.chars().map(rank).collect(), place.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Command, of_package, order};

    #[test]
    fn commands_are_linked_beside_their_package() {
        let bin = |name: &str, file: &str| BTreeMap::from([(name.to_owned(), file.to_owned())]);
        let shown = |place: &str, name: &str, file: &str| {
            let commands = of_package(place, &bin(name, file));
            let shown = commands.into_iter().map(|command| {
                let Command { link, target, file } = command;
                format!("{link} {target} {file}")
            });
            shown.collect::<Vec<String>>().join("\n")
        };
        assert_eq!(
            shown("/p/node_modules/@s/a", "x", "./bin/x.js"),
            "/p/node_modules/.bin/x ../@s/a/bin/x.js /p/node_modules/@s/a/bin/x.js"
        );
        assert_eq!(
            shown("/p/node_modules/a/node_modules/b", "../q/y", "/../y.js"),
            "/p/node_modules/a/node_modules/.bin/y ../b/y.js /p/node_modules/a/node_modules/b/y.js"
        );
        assert_eq!(shown("/p/node_modules/a", "..", "x"), "");
        assert_eq!(shown("/p/node_modules/a", "x", "."), "");
        let mut places = ["n/b", "n/a1", "n/@s/z", "n/a-b", "n/A0", "n/ab"];
        places.sort_by_key(|place| order(place));
        assert_eq!(places, ["n/@s/z", "n/a-b", "n/A0", "n/a1", "n/ab", "n/b"]);
    }
}
