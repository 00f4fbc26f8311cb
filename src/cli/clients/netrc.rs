//! `~/.netrc`, or the file that `NETRC` names: user names and passwords by host, which pip, uv and curl read too. They
//! are shown only to hosts that the configuration names, and over http only where it says http.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::text::quoted;
use crate::cli::ui::Failure;
use crate::cli::{Context, UsageError};
use crate::fs;
use crate::net::settings::{Credential, Settings, root_of};

/// Largest file, in bytes.
const LIMIT: u64 = 1 << 20;

/// Adds a credential for each configured address whose host stands in the file, unless it has one.
pub(super) fn apply(ctx: &Context, settings: &mut Settings) -> Result<(), Failure> {
    let named = ctx.env("NETRC").map(PathBuf::from);
    let home = || Some(PathBuf::from(ctx.env("HOME")?).join(".netrc"));
    let Some(path) = named.or_else(home) else {
        return Ok(());
    };
    let Some(bytes) = fs::read_optional(&path, LIMIT)? else {
        return Ok(());
    };
    let text = String::from_utf8(bytes).map_err(|_bytes| {
        let path = quoted(&path.to_string_lossy());
        UsageError::new(format!("{path} is not UTF-8"))
    })?;
    let logins = parse(&text);
    // A login is for its host, whichever path is asked for there.
    for address in settings
        .addresses()
        .iter()
        .chain(&settings.files())
        .map(root_of)
    {
        let host = address.host_str().unwrap_or_default();
        if let Some((login, password)) = logins.get(host)
            && !settings.has_credential(&address)
        {
            settings.add_credential(&address, Credential::basic(login, password));
        }
    }
    Ok(())
}

/// Login and password by machine; of a machine that stands twice, the first. `default` is not taken: it would show a
/// password to any host. Macros are skipped.
pub(super) fn parse(text: &str) -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    let mut machine: Option<String> = None;
    let (mut login, mut password) = (String::new(), None);
    let mut keep =
        |machine: &mut Option<String>, login: &mut String, secret: &mut Option<String>| {
            if let (Some(machine), Some(secret)) = (machine.take(), secret.take()) {
                found
                    .entry(machine)
                    .or_insert((std::mem::take(login), secret));
            }
            login.clear();
        };
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" => {
                keep(&mut machine, &mut login, &mut password);
                machine = words.next();
            }
            "default" => keep(&mut machine, &mut login, &mut password),
            "login" => login = words.next().unwrap_or_default(),
            "password" => password = words.next(),
            "account" => drop(words.next()),
            _ => {}
        }
    }
    keep(&mut machine, &mut login, &mut password);
    found
}

/// The words of the text without comments and macros; a word may stand in double quotes.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        if line.trim_start().starts_with("macdef") {
            // A macro ends with an empty line.
            for line in lines.by_ref() {
                if line.trim().is_empty() {
                    break;
                }
            }
            continue;
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let (word, after) = match rest.strip_prefix('"').and_then(|r| r.split_once('"')) {
                Some(quoted) => quoted,
                None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            };
            out.push(word.to_owned());
            rest = after.trim_start();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn machines_have_their_first_password_and_nobody_the_default() {
        let text = "# x\nmachine a.example login me password \"p w\"\nmachine b.example\n  login you\n  account z\n  \
                    password s3cret\nmacdef init\nmachine evil.example password x\n\nmachine a.example password other\n\
                    default login any password thing\nmachine nobody.example login only\n";
        let found: Vec<_> = parse(text).into_iter().collect();
        let login = |m: &str, l: &str, p: &str| (m.to_owned(), (l.to_owned(), p.to_owned()));
        assert_eq!(
            found,
            [
                login("a.example", "me", "p w"),
                login("b.example", "you", "s3cret")
            ]
        );
    }
}
