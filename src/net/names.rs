//! A name server for a namespace without a network: it knows no name, and says which ones were asked for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

#[expect(
    clippy::disallowed_types,
    reason = "the questions of resolvers are datagrams; this is the one place that answers any"
)]
type Socket = std::net::UdpSocket;

/// Largest question that is read, in bytes.
const LARGEST: usize = 1500;
/// Bytes of the header of a message.
const HEADER: usize = 12;
/// Longest name, as text.
const LONGEST: usize = 255;
/// "This is an answer, and there is no such name", with recursion asked for and available.
const NO_SUCH_NAME: [u8; 2] = [0x81, 0x83];

/// Answers on the loopback until it fails; `asked` gets every name that a question was about.
pub fn serve(asked: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let socket = Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)))?;
    let mut buffer = [0; LARGEST];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        let question = buffer.get(..length).unwrap_or_default();
        let Some((name, end)) = name(question) else {
            continue;
        };
        asked(&name)?;
        // Who is gone by now asks again.
        if socket.send_to(&answer(question, end), from).is_err() {}
    }
}

/// The name of the first question, and where the question ends. `None`: it is not one.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let is_question = message.get(2)? & 0x80 == 0;
    if !is_question || message.get(4..6)? == [0, 0] {
        return None;
    }
    let (mut at, mut name) = (HEADER, String::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if length > 63 || name.len() + length > LONGEST {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = message.get(at..at + length)?;
        name.extend(
            label
                .iter()
                .flat_map(|byte| byte.escape_ascii())
                .map(char::from),
        );
        at += length;
    }
    message.get(at..at + 4)?;
    Some((name, at + 4))
}

/// The answer to a question that ends there.
fn answer(question: &[u8], end: usize) -> Vec<u8> {
    let mut out = question.get(..end).unwrap_or_default().to_vec();
    let counts = [0, 1, 0, 0, 0, 0, 0, 0];
    for (to, from) in out
        .iter_mut()
        .skip(2)
        .zip(NO_SUCH_NAME.iter().chain(&counts))
    {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{answer, name};

    const QUESTION: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03www\x07example\x00\x00\x01\x00\x01more";

    #[test]
    fn a_question_is_read_and_answered_with_no_such_name() {
        let (asked, end) = name(QUESTION).unwrap();
        assert_eq!(asked, "www.example");
        let answer = answer(QUESTION, end);
        assert_eq!(
            answer,
            b"\x12\x34\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01"
        );
        assert!(name(&answer).is_none());
        for end in 0..QUESTION.len() - 4 {
            assert!(name(&QUESTION[..end]).is_none(), "{end}");
        }
        let mut bad = QUESTION.to_vec();
        bad[12] = 0xc0;
        assert!(name(&bad).is_none());
        bad[12] = 3;
        bad[13] = 0x1b;
        assert_eq!(name(&bad).unwrap().0, "\\x1bww.example");
    }
}
