//! A page for people to read and to print, before it is HTML or Markdown: sections of facts, tables, pictures and lists. Both forms are made
//! of the same page, so that they say the same. Every text is foreign until it is written.

pub mod chart;
pub mod html;
pub mod markdown;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// One line below the title.
    pub subtitle: String,
    /// Its sections, in order.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its anchor: lower-case letters.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is in it.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A paragraph that nobody should miss.
    Notice(Tone, String),
    /// Names with values.
    Facts(Vec<(&'static str, String)>),
    /// A table.
    Table(Table),
    /// A picture as SVG, which was made here, and what it shows.
    Picture(String, String),
}

/// A table as a part of a section.
pub fn table(
    caption: &str,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    file: Option<&'static str>,
) -> Block {
    Block::Table(Table {
        caption: caption.to_owned(),
        columns,
        rows,
        file,
    })
}

/// How a notice is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Somebody should look at it.
    Look,
    /// It stops somebody.
    Bad,
}

impl Tone {
    /// In a word, since nobody should have to tell colours apart.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "OK",
            Self::Look => "Look",
            Self::Bad => "Attention",
        }
    }

    /// As a class of the style sheet.
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Look => "look",
            Self::Bad => "bad",
        }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it lists.
    pub caption: String,
    /// Its titles.
    pub columns: &'static [&'static str],
    /// Its rows.
    pub rows: Vec<Vec<String>>,
    /// The file with every row, where the page shows only the first ones.
    pub file: Option<&'static str>,
}

/// Most rows of a table on a page; a file has the others.
const MOST_ROWS: usize = 60;

impl Table {
    /// The rows that a page shows, and how many it does not.
    fn shown(&self) -> (&[Vec<String>], usize) {
        let most = if self.file.is_some() {
            MOST_ROWS
        } else {
            self.rows.len()
        };
        let count = self.rows.len().min(most);
        (
            self.rows.get(..count).unwrap_or_default(),
            self.rows.len() - count,
        )
    }
}
