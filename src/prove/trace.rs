//! What `strace` writes, line by line. The programs under it are not trusted: every text is theirs, a line that is not
//! exactly of the form is skipped, and everything is bounded.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

/// Longest line that is read, in bytes; of a longer one, the rest is skipped and the line with it.
const LONGEST: u64 = 64 << 10;
/// Most calls that may be going on at a time.
const MOST_OPEN: usize = 4096;

/// One call that returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call<'a> {
    /// Number of the process or thread.
    pub(super) pid: u32,
    /// What the kernel calls it; empty when it is not said.
    pub(super) name: &'a str,
    /// The call.
    pub(super) kind: &'a str,
    /// Its arguments, as written.
    pub(super) arguments: &'a str,
    /// The error, such as `ENOENT`; `None` when it worked.
    pub(super) error: Option<&'a str>,
}

/// Reads a trace; returns how many bytes there were.
pub(super) fn read(
    mut reader: impl BufRead,
    most: u64,
    see: &mut dyn FnMut(&Call<'_>),
) -> io::Result<u64> {
    let (mut total, mut line) = (0, Vec::new());
    let mut open: BTreeMap<u32, String> = BTreeMap::new();
    loop {
        line.clear();
        let length = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        total += length as u64;
        if length == 0 || total > most {
            return Ok(total);
        }
        if line.pop() != Some(b'\n') {
            total += skip_line(&mut reader)?;
            continue;
        }
        let Ok(text) = std::str::from_utf8(&line) else {
            continue;
        };
        if let Some(whole) = joined(text, &mut open)
            && let Some(call) = parse(&whole)
        {
            see(&call);
        }
    }
}

/// Skips the rest of a line.
fn skip_line(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let (length, done) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        skipped += length as u64;
        if done {
            return Ok(skipped);
        }
    }
}

const UNFINISHED: &str = " <unfinished ...>";

/// A whole line; of a call that is written in two pieces, with the second.
fn joined(text: &str, open: &mut BTreeMap<u32, String>) -> Option<String> {
    let (pid, _name, rest) = head(text)?;
    if let Some(first) = text.strip_suffix(UNFINISHED) {
        if open.len() < MOST_OPEN {
            open.insert(pid, first.to_owned());
        }
        return None;
    }
    let Some(resumed) = rest.strip_prefix("<... ") else {
        return Some(text.to_owned());
    };
    let (call, end) = resumed.split_once(" resumed>")?;
    let first = open.remove(&pid)?;
    let same = head(&first)?.2.split_once('(')?.0 == call;
    same.then(|| first + end)
}

/// `PID<name> rest`, or `PID rest`.
fn head(text: &str) -> Option<(u32, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (pid, rest) = text.split_at_checked(digits)?;
    let (name, rest) = match rest.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?,
        None => ("", rest),
    };
    let rest = rest.strip_prefix(' ')?.trim_start_matches(' ');
    Some((pid.parse().ok()?, name, rest))
}

/// Reads a line about a call that returned.
fn parse(text: &str) -> Option<Call<'_>> {
    let (pid, name, rest) = head(text)?;
    let (call, rest) = rest.split_once('(')?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if call.is_empty() || !call.bytes().all(is_word) {
        return None;
    }
    let end = closing(rest)?;
    let (arguments, rest) = rest.split_at_checked(end)?;
    let result = rest
        .strip_prefix(')')?
        .trim_start_matches(' ')
        .strip_prefix("= ")?;
    let error = if let Some(error) = result.strip_prefix("-1 ") {
        Some(error.split(' ').next().filter(|word| is_error(word))?)
    } else {
        result.bytes().next().filter(u8::is_ascii_digit)?;
        None
    };
    Some(Call {
        pid,
        name,
        kind: call,
        arguments,
        error,
    })
}

fn is_error(word: &str) -> bool {
    word.starts_with('E')
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Where the parenthesis that is open closes.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..) {
        let length = piece(rest)?;
        match rest.bytes().next()? {
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => return Some(at),
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += length;
    }
    None
}

/// Bytes of what stands first: a text in quotes, the path of a descriptor, or one character.
fn piece(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    match first {
        '"' => Some(quoted(text)?.1),
        '<' => Some(text.find('>')? + 1),
        other => Some(other.len_utf8()),
    }
}

/// The text in quotes that stands first, decoded, and how many bytes it takes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let (mut out, mut at) = (Vec::new(), 1);
    let bytes = text.as_bytes();
    loop {
        match *bytes.get(at)? {
            b'"' => return Some((String::from_utf8_lossy(&out).into_owned(), at + 1)),
            b'\\' => {
                let (byte, length) = escape(bytes.get(at + 1..)?)?;
                out.push(byte);
                at += 1 + length;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// A byte after a backslash, and how many bytes it takes.
fn escape(bytes: &[u8]) -> Option<(u8, usize)> {
    let first = *bytes.first()?;
    let simple = match first {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'0'..=b'7' => {
            let digits = bytes
                .iter()
                .take(3)
                .take_while(|b| (b'0'..=b'7').contains(b));
            let (mut value, mut length) = (0_u32, 0);
            for digit in digits {
                value = value * 8 + u32::from(digit - b'0');
                length += 1;
            }
            return Some((u8::try_from(value).ok()?, length));
        }
        other => other,
    };
    Some((simple, 1))
}

/// The path that a call is about: its first argument, or its second below the folder that the first one is.
pub(super) fn path(arguments: &str) -> Option<String> {
    if arguments.starts_with('"') {
        return Some(quoted(arguments)?.0);
    }
    let (folder, rest) = arguments.split_once('<')?;
    let is_folder = folder == "AT_FDCWD" || folder.bytes().all(|b| b.is_ascii_digit());
    let (folder, rest) = rest.split_once('>').filter(|_| is_folder)?;
    let rest = rest.strip_prefix(", ")?;
    if !rest.starts_with('"') {
        return None;
    }
    let path = quoted(rest)?.0;
    if path.starts_with('/') || path.is_empty() {
        return Some(path);
    }
    Some(format!("{}/{path}", folder.trim_end_matches('/')))
}

/// The socket that a call is about, by a name that no other one has.
pub(super) fn socket(arguments: &str) -> Option<&str> {
    let (number, rest) = arguments.split_once('<')?;
    let (name, _) = rest.split_once('>')?;
    number.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{Call, path, read};

    fn calls(text: &[u8]) -> Vec<(u32, String, String, String, Option<String>)> {
        let mut out = Vec::new();
        let mut see = |c: &Call<'_>| {
            out.push((
                c.pid,
                c.name.to_owned(),
                c.kind.to_owned(),
                c.arguments.to_owned(),
                c.error.map(str::to_owned),
            ));
        };
        read(text, 1 << 30, &mut see).unwrap();
        out
    }

    #[test]
    fn calls_are_read_with_what_they_are_about() {
        let text = br#"12<sh> mkdir("/opt/xx", 0777)   = -1 EACCES (Permission denied)
12<sh> openat(AT_FDCWD</home/a>, "x) = 3\"\303\244", O_RDONLY) = 3</home/a = -1 E>
13<node> connect(20<socket:[7]>, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("203.0.113.7")}, 16 <unfinished ...>
12<sh> --- SIGCHLD {si_signo=SIGCHLD} ---
12<sh> +++ exited with 0 +++
13<node> <... connect resumed>) = -1 ENETUNREACH (Network is unreachable)
14 listen(3<socket:[8]>, 511) = 0
"#;
        let found = calls(text);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0].4.as_deref(), Some("EACCES"));
        assert_eq!(path(&found[0].3).unwrap(), "/opt/xx");
        assert_eq!(path(&found[1].3).unwrap(), "/home/a/x) = 3\"\u{e4}");
        assert_eq!(found[1].4, None);
        assert_eq!(
            (found[2].0, found[2].1.as_str(), found[2].2.as_str()),
            (13, "node", "connect")
        );
        assert_eq!(found[2].4.as_deref(), Some("ENETUNREACH"));
        assert_eq!(super::socket(&found[3].3), Some("socket:[8]"));
    }

    #[test]
    fn what_is_not_of_the_form_is_skipped() {
        for bad in [
            "x<sh> open(\"a\") = 3",
            "1<sh> open(\"a = 3",
            "1<sh> open(\"a\") = ?",
            "1<sh> open(\"a\") = -1 what",
            "1<sh> open(\"a\"]) = 3",
            "1<sh> OPEN(\"a\") = 3",
            "1<sh> <... open resumed>) = 3",
            "99999999999<sh> open(\"a\") = 3",
            "1<sh> open(\"\\9",
            "",
        ] {
            assert!(calls(format!("{bad}\n").as_bytes()).is_empty(), "{bad}");
        }
        let long = format!(
            "1<a> open(\"{}\") = 3\n2<b> open(\"b\") = 3\n",
            "x".repeat(100_000)
        );
        assert_eq!(calls(long.as_bytes())[0].0, 2);
        assert!(calls(b"1<a> open(\"a\") = 3").is_empty(), "no end of line");
        let mut bytes = b"1<a> open(\"".to_vec();
        bytes.extend([0xff, b'\n']);
        assert!(calls(&bytes).is_empty());
    }
}
