//! A part of something that can be read anywhere, as if it were all there is.

use std::io::{self, Read, Seek, SeekFrom};

/// `length` bytes from `start` on.
#[derive(Debug)]
pub struct Section<R> {
    inner: R,
    start: u64,
    length: u64,
    at: u64,
}

impl<R: Seek> Section<R> {
    /// The part of `inner` that begins at `start`.
    pub fn new(mut inner: R, start: u64, length: u64) -> io::Result<Self> {
        inner.seek(SeekFrom::Start(start))?;
        Ok(Self {
            inner,
            start,
            length,
            at: 0,
        })
    }
}

impl<R: Read> Read for Section<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at);
        let count = (&mut self.inner).take(left).read(buf)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Section<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        let at = match pos {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let place = at.and_then(|at| Some((at, self.start.checked_add(at)?)));
        let (at, absolute) = place.ok_or(io::ErrorKind::InvalidInput)?;
        self.inner.seek(SeekFrom::Start(absolute))?;
        self.at = at;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _, Seek as _, SeekFrom};

    use super::Section;

    #[test]
    fn nothing_outside_of_it_is_read() {
        let mut part = Section::new(Cursor::new(b"before|inside|after"), 7, 6).unwrap();
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert_eq!(part.seek(SeekFrom::End(-4)).unwrap(), 2);
        text.clear();
        part.read_to_string(&mut text).unwrap();
        assert_eq!(text, "side");
        part.seek(SeekFrom::Current(-7)).unwrap_err();
        assert_eq!(part.seek(SeekFrom::Start(50)).unwrap(), 50);
        assert_eq!(part.read(&mut [0; 4]).unwrap(), 0);
    }
}
