//! The order in which npm sorts names and paths: `localeCompare` of English, for the characters that names may have.

/// Punctuation in collation order, before digits and letters.
const PUNCTUATION: &[u8] = b"_-!.'()@*/~";

/// A key that sorts texts as npm does: first by letters without case, then lower case before upper case.
pub(crate) fn key(text: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(text.len() * 2 + 1);
    key.extend(text.bytes().map(primary));
    key.push(0);
    key.extend(text.bytes().map(|b| u8::from(b.is_ascii_uppercase())));
    key
}

fn primary(byte: u8) -> u8 {
    let place = PUNCTUATION.iter().position(|p| *p == byte);
    match place.and_then(|p| u8::try_from(p).ok()) {
        Some(place) => place + 1,
        None if byte.is_ascii_digit() => byte,
        None if byte.is_ascii_alphabetic() => byte.to_ascii_lowercase(),
        None => byte | 0x80,
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn sorts_as_english_collation() {
        let mut found: Vec<char> = "zZ9aB0A-~b/@._!'()*".chars().collect();
        found.sort_by_cached_key(|c| key(&c.to_string()));
        assert_eq!(found.iter().collect::<String>(), "_-!.'()@*/~09aAbBzZ");
        for (less, more) in [
            ("Aa", "ab"),
            ("a", "A"),
            ("aB", "Ab"),
            ("a-b", "ab"),
            ("a-b", "a/b"),
            ("a", "ab"),
        ] {
            let (less, more) = (key(less), key(more));
            assert!(less == more.clone().min(less.clone()) && less != more);
        }
    }
}
