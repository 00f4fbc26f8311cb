//! A text that is made line by line.

/// Lines, each with its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Lines(String);

impl Lines {
    /// None yet.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Adds a line, or several with their ends between them.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    /// Adds each line.
    pub fn lines<T: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = T>) {
        for line in lines {
            self.line(line);
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// The text with the ends of lines that Windows knows.
    pub fn into_windows_text(self) -> String {
        self.0.replace('\n', "\r\n")
    }
}
