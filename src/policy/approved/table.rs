//! The rows of a list: CSV with whatever columns an agency's export has, or TOML.

use crate::base::text::{escaped, percent_decoded};
use crate::base::time::Timestamp;
use crate::eco;
use crate::manifest::ManifestError;
use crate::manifest::table::{Found, Source, Table, place};
use crate::policy::PolicyError;

/// Most rows of a list.
const MOST_ROWS: usize = 500_000;
/// Longest cell that is kept, in bytes.
const MOST_CELL: usize = 400;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: u64,
    /// Key of its ecosystem, if it names one.
    pub(super) ecosystem: Option<&'static str>,
    pub(super) name: String,
    /// Versions as they are written; `None` where the list has no column for them.
    pub(super) versions: Option<String>,
    pub(super) id: String,
    pub(super) expires: Option<Timestamp>,
    /// Why it approves nothing, whatever else it says.
    pub(super) refusal: Option<&'static str>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Purl,
    Name,
    Versions,
    Ecosystem,
    Id,
    Expires,
    Status,
}

/// What columns are called, in lower case with single spaces. Earlier ones win where several are there.
const COLUMNS: &[(Column, &[&str])] = &[
    (Column::Purl, &["purl", "package url"]),
    (
        Column::Name,
        &[
            "name",
            "package",
            "package name",
            "component",
            "component name",
            "software",
            "software name",
            "product",
            "product name",
            "title",
            "application",
        ],
    ),
    (
        Column::Versions,
        &[
            "version range",
            "versions",
            "approved versions",
            "approved version",
            "version",
            "range",
            "version number",
        ],
    ),
    (
        Column::Ecosystem,
        &[
            "ecosystem",
            "package manager",
            "package type",
            "type",
            "registry",
        ],
    ),
    (
        Column::Id,
        &[
            "approval id",
            "approval",
            "approval number",
            "id",
            "request id",
            "request number",
            "request",
            "ticket",
            "reference",
            "tracking number",
        ],
    ),
    (
        Column::Expires,
        &[
            "expires",
            "expiration",
            "expiration date",
            "expiry",
            "expiry date",
            "valid until",
            "approved until",
        ],
    ),
    (
        Column::Status,
        &["status", "approval status", "decision", "state"],
    ),
];

/// What ecosystems are called, in lower case, letters and digits only.
const ECOSYSTEMS: &[(&str, &[&str])] = &[
    ("npm", &["npm", "node", "nodejs", "javascript"]),
    ("pypi", &["pypi", "python", "pip"]),
    ("debian", &["debian", "deb", "apt", "dpkg"]),
    ("cargo", &["cargo", "crates", "cratesio", "rust", "crate"]),
    ("file", &["file", "generic"]),
];

/// Reads CSV: the separator is the comma, semicolon or tab that its first line has most of.
pub(super) fn csv(file: &str, bytes: &[u8]) -> Result<Vec<Row>, PolicyError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |sign: &u8| first.split(|b| b == sign).count();
    let separator = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|sign| (count(sign), *sign == b','));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let fail = |line: u64, reason: String| ManifestError::Syntax {
        reason,
        place: crate::base::fault::Place {
            file: escaped(file),
            line: usize::try_from(line).unwrap_or(usize::MAX),
            column: 1,
        },
    };
    let header = reader.byte_headers();
    let header = header.map_err(|bad| fail(1, escaped(&bad.to_string())))?;
    let titles: Vec<String> = header.iter().map(title).collect();
    let columns = Columns::of(&titles);
    if columns
        .at(Column::Name)
        .or(columns.at(Column::Purl))
        .is_none()
    {
        let reason = "the first line has no column of names (`name`, `package`, `software`, …)";
        return Err(fail(1, reason.to_owned()).into());
    }
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        let line = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
        let record = record.map_err(|bad| fail(line(bad.position()), escaped(&bad.to_string())))?;
        let line = line(record.position());
        if rows.len() >= MOST_ROWS {
            return Err(fail(line, format!("more than {MOST_ROWS} rows")).into());
        }
        let cell = |column| columns.at(column).map(|at| text(record.get(at)));
        if record.iter().any(|cell| !cell.is_empty()) {
            rows.push(row_of(line, &cell));
        }
    }
    Ok(rows)
}

/// A cell as text: what a spreadsheet must not take for a formula has a quote in front.
fn text(cell: Option<&[u8]>) -> String {
    let text = String::from_utf8_lossy(cell.unwrap_or_default());
    let text = text.trim();
    let quoted = text.strip_prefix('\'');
    let text = quoted
        .filter(|t| t.starts_with(['=', '+', '-', '@']))
        .unwrap_or(text);
    if text.len() > MOST_CELL {
        return "?".to_owned();
    }
    text.to_owned()
}

/// A title in lower case, its words with single spaces.
fn title(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell)
        .to_lowercase()
        .replace("(s)", "s");
    let words = text.split(|c: char| c.is_whitespace() || "_-()#".contains(c));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Where each column is.
struct Columns(Vec<(Column, usize)>);

impl Columns {
    fn of(titles: &[String]) -> Self {
        let find = |names: &[&str]| {
            let mut names = names.iter();
            names.find_map(|name| titles.iter().position(|title| title == name))
        };
        let found = COLUMNS.iter();
        Self(
            found
                .filter_map(|(column, names)| Some((*column, find(names)?)))
                .collect(),
        )
    }

    fn at(&self, column: Column) -> Option<usize> {
        let found = self.0.iter().find(|(known, _)| *known == column);
        found.map(|(_, at)| *at)
    }
}

/// What the cells of a line say.
fn row_of(line: u64, cell: &dyn Fn(Column) -> Option<String>) -> Row {
    let filled = |column| cell(column).filter(|text| !text.is_empty());
    let mut row = Row {
        line,
        ecosystem: None,
        name: filled(Column::Name).unwrap_or_default(),
        versions: cell(Column::Versions),
        id: filled(Column::Id).unwrap_or_default(),
        expires: None,
        refusal: None,
    };
    if let Some(key) = filled(Column::Ecosystem) {
        row.ecosystem = ecosystem(&key);
        if row.ecosystem.is_none() {
            row.refusal = Some("its ecosystem is none that stage knows");
        }
    }
    match filled(Column::Purl).map(|text| purl(&text)) {
        None => {}
        Some(None) => row.refusal = Some("its package URL cannot be read"),
        Some(Some((key, name, version))) => {
            row.ecosystem = Some(key);
            row.name = name;
            row.versions = version.or(row.versions);
        }
    }
    if let Some(text) = filled(Column::Expires) {
        match day(&text) {
            Some(at) => row.expires = Some(at),
            None => row.refusal = Some("its expiry cannot be read"),
        }
    }
    if filled(Column::Status).is_some_and(|status| !is_approved(&status)) {
        row.refusal = Some("its status is not approved");
    }
    row
}

fn ecosystem(text: &str) -> Option<&'static str> {
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    let text: String = letters.flat_map(char::to_lowercase).collect();
    let found = ECOSYSTEMS
        .iter()
        .find(|(_, names)| names.contains(&text.as_str()));
    found.map(|(key, _)| *key)
}

/// Whether a word of the status column means that it is approved, and not that it was, or will be.
fn is_approved(status: &str) -> bool {
    let status = status.to_lowercase();
    let mut words = status.split(|c: char| !c.is_alphanumeric());
    matches!(
        words.next(),
        Some("approved" | "accepted" | "active" | "authorized" | "allowed" | "yes" | "true")
    )
}

/// `pkg:npm/%40scope/name@1.2.3`: key, name and version.
fn purl(text: &str) -> Option<(&'static str, String, Option<String>)> {
    let path = text.strip_prefix("pkg:")?.split(['?', '#']).next()?;
    let (kind, rest) = path.split_once('/')?;
    let key = ecosystem(kind)?;
    let (name, version) = match rest.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() && !name.ends_with('/') => (name, Some(version)),
        _ => (rest, None),
    };
    let name = percent_decoded(name)?;
    // The first segment of a Debian package is the distribution.
    let name = match (key, name.split_once('/')) {
        ("debian", Some((_, name))) => name.to_owned(),
        _ => name,
    };
    let version = match version {
        Some(text) => Some(percent_decoded(text)?),
        None => None,
    };
    Some((key, name, version))
}

/// The end of a day such as 2027-06-30 or 06/30/2027, or a time.
fn day(text: &str) -> Option<Timestamp> {
    let iso = match text.split('/').collect::<Vec<_>>().as_slice() {
        [month, day, year] if year.len() == 4 => format!("{year}-{month:0>2}-{day:0>2}"),
        _ => text.to_owned(),
    };
    let day = Timestamp::from_rfc3339(&format!("{iso}T00:00:00Z")).ok();
    let end = day.map(|day| day.plus_seconds(86_400));
    end.or_else(|| Timestamp::from_rfc3339(&iso).ok())
}

/// Reads `[[approved]]` tables.
pub(super) fn toml(file: &str, bytes: &[u8]) -> Result<Vec<Row>, PolicyError> {
    let file = escaped(file);
    let text = std::str::from_utf8(bytes).map_err(|bad| ManifestError::Syntax {
        reason: "not UTF-8".to_owned(),
        place: place(&file, &String::from_utf8_lossy(bytes), bad.valid_up_to()),
    })?;
    let mut top = Source::new(&file, text).top_named("the list")?;
    let tables = match top.take("approved") {
        None => Vec::new(),
        Some(found) => found.tables("[[approved]]")?,
    };
    top.finish()?;
    let rows: Result<Vec<Row>, ManifestError> = tables.into_iter().map(row).collect();
    Ok(rows?)
}

fn row(mut table: Table<'_>) -> Result<Row, ManifestError> {
    let line = u64::try_from(table.place().line).unwrap_or_default();
    let name = table.require("name")?.string()?;
    let ecosystem = match table.take("ecosystem") {
        None => None,
        Some(found) => {
            let keys: Vec<&str> = eco::ALL.iter().map(|e| e.key()).collect();
            let fail = found.error(format!("one of {}", keys.join(", ")));
            Some(ecosystem(found.text()?).ok_or(fail)?)
        }
    };
    let text = |found: Option<Found<'_>>| found.map(Found::string).transpose();
    let versions = text(table.take("version"))?;
    let id = text(table.take("id"))?.unwrap_or_default();
    let expires = match table.take("expires") {
        None => None,
        Some(found) => {
            let fail = found.error("a day such as 2027-06-30");
            Some(day(&found.time_text()?).ok_or(fail)?)
        }
    };
    table.finish()?;
    Ok(Row {
        refusal: None,
        line,
        ecosystem,
        name,
        versions,
        id,
        expires,
    })
}

#[cfg(test)]
mod tests {
    use super::super::ApprovedList;
    use crate::base::time::Timestamp;

    fn list(text: &str) -> ApprovedList {
        ApprovedList::parse("approved.csv", text.as_bytes(), false).unwrap()
    }

    fn is_approved(list: &ApprovedList, id: &str, name: &str, version: &str) -> bool {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let found = list.approval(&id.parse().unwrap(), name, version, now);
        found.is_some()
    }

    #[test]
    fn exports_work_as_they_are() {
        for text in [
            "name,version range,approval id\nleft-pad,1.x,APR-1\n",
            "\u{feff}Software Name;Approved Version(s);Request #\n\"left-pad\";\"1.x\";APR-1\n",
            "Ticket\tPackage_Name\tVersions\tEcosystem\r\nAPR-1\tleft-pad\t1.x\tJavaScript\r\n",
            "id,purl\nAPR-1,pkg:npm/left-pad@1.3.0\n",
            "ID,Component,Version,Status,Expiration Date\nAPR-1,left-pad,1.x,Approved with conditions,12/31/2026\n",
        ] {
            let list = list(text);
            assert!(is_approved(&list, "npm", "left-pad", "1.3.0"), "{text}");
            assert!(!is_approved(&list, "npm", "left-pad", "2.0.0"), "{text}");
            let row = list.of_name(&"npm".parse().unwrap(), "left-pad").next();
            assert_eq!(row.unwrap().id, "APR-1", "{text}");
        }
    }

    #[test]
    fn what_is_not_approved_or_cannot_be_read_approves_nothing_and_is_counted() {
        let list = list(
            "ecosystem,name,version,id,status,expires\n\
             npm,denied,1.0.0,A,Denied,\n\
             npm,not-yet,1.0.0,A,Not approved,\n\
             npm,gone,1.0.0,A,approved,2026-11-01\n\
             npm,odd-day,1.0.0,A,approved,soon\n\
             npm,empty,,A,approved,\n\
             npm,words,see notes,A,approved,\n\
             windows,paint,1.0.0,A,approved,\n\
             npm,'@acme/a,1.0.0,A,approved,2026-12-01\n\
             ,Some Desktop Program,1.0,A,approved,\n",
        );
        for name in [
            "denied", "not-yet", "gone", "odd-day", "empty", "words", "paint",
        ] {
            assert!(!is_approved(&list, "npm", name, "1.0.0"), "{name}");
        }
        assert!(is_approved(&list, "npm", "@acme/a", "1.0.0"));
        assert_eq!((list.len(), list.unread().len()), (2, 7));
        assert_eq!(list.unread()[0].line, 2);
    }

    #[test]
    fn lists_without_names_and_wrong_toml_are_errors() {
        let parse = |text: &str, toml| ApprovedList::parse("x", text.as_bytes(), toml);
        for (text, toml) in [
            ("", false),
            ("version,id\n1,2\n", false),
            ("[[approved]]\nversion = \"1\"\n", true),
            ("[[approved]]\nname = \"a\"\nverson = \"1\"\n", true),
            ("[[approved]]\nname = \"a\"\necosystem = \"nmp\"\n", true),
            ("[[approved]\n", true),
        ] {
            let error = parse(text, toml).unwrap_err();
            assert!(!error.to_string().is_empty(), "{text}");
        }
        let text = "[[approved]]\nname = \"left-pad\"\necosystem = \"npm\"\nversion = \"^1.2\"\nid = \"APR-1\"\n";
        let list = parse(text, true).unwrap();
        assert!(is_approved(&list, "npm", "left-pad", "1.3.0"));
        assert!(!is_approved(&list, "pypi", "left-pad", "1.3.0"));
    }
}
