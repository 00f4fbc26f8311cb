//! What an apt repository is made of, as text: `Packages` and `Release` (DebianRepository/Format). Nothing of an
//! upstream's index entry is left out; only `Filename` is changed, where the file lies elsewhere here.

use crate::base::digest::Digest;
use crate::base::time::Timestamp;
use crate::eco::debian::release::write_date;

/// An index entry with the path that its file has here, and an empty line after it.
pub(crate) fn entry(stanza: &str, path: &str) -> String {
    let mut out = String::with_capacity(stanza.len() + 2);
    for line in stanza.lines() {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("Filename") && !line.starts_with([' ', '\t']) {
            out.push_str("Filename: ");
            out.push_str(path);
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

/// `text` as gzip, without a time in it: the same text gives the same bytes.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    // Writing into memory does not fail.
    let written = writer.write_all(text);
    written.and_then(|()| writer.finish()).unwrap_or_default()
}

/// The text of a `Release` without its date, which only publishing knows. `files` are paths below the release.
pub(crate) fn release<'a>(
    suite: &str,
    architectures: &[&str],
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> String {
    let mut text = format!(
        "Origin: stage\nLabel: stage\nSuite: {suite}\nCodename: {suite}\nArchitectures: {}\nComponents: main\n\
         Description: Debian packages of channel {suite}\nAcquire-By-Hash: yes\n\
         No-Support-for-Architecture-all: Packages\nSHA256:\n",
        architectures.join(" ")
    );
    for (path, bytes) in files {
        let line = format!(" {} {} {path}\n", Digest::of(bytes).hex(), bytes.len());
        text.push_str(&line);
    }
    text
}

/// A release with its date.
pub(crate) fn dated(release: &str, date: Timestamp) -> String {
    let line = format!("Date: {}\nArchitectures:", write_date(date));
    release.replacen("Architectures:", &line, 1)
}

#[cfg(test)]
mod tests {
    use super::{dated, entry, release};
    use crate::eco::debian::release::parse;

    #[test]
    fn entries_are_kept_whole_but_for_their_path() {
        let stanza = "Package: a\nFilename: ./a_1_all.deb\nDescription: x\n Filename: not a field\n .\nX-Other: y";
        let expected = "Package: a\nFilename: pool/a_1_all.deb\nDescription: x\n Filename: not a field\n .\nX-Other: y\n\n";
        assert_eq!(entry(stanza, "pool/a_1_all.deb"), expected);
        let whole = "Package: a\nFilename: pool/a.deb";
        assert_eq!(entry(whole, "pool/a.deb"), format!("{whole}\n\n"));
    }

    #[test]
    fn releases_are_hash_size_path_and_read_back() {
        let files = [("main/binary-amd64/Packages", b"x".as_slice())];
        let text = dated(
            &release("claw", &["amd64"], files.into_iter()),
            "2026-11-25T03:00:00Z".parse().unwrap(),
        );
        let read = parse(&text).unwrap();
        assert_eq!(read.date.to_string(), "2026-11-25T03:00:00Z");
        assert!(read.is("claw") && read.by_hash && read.all_in_each);
        assert_eq!(read.files["main/binary-amd64/Packages"].1, 1);
        let sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert!(text.ends_with(&format!("SHA256:\n {sum} 1 main/binary-amd64/Packages\n")));
    }
}
