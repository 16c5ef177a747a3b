//! Parses the CSV file of links: which user gets which externalId.
//!
//! Headings are case-insensitive, and match with or without `_`, `-` and spaces. Other columns are ignored. A malformed
//! line gives an error for that line, not for the whole file.

use csv::{Position, ReaderBuilder, StringRecord, Trim};

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The line number, starting at 1.
    pub number: u64,
    /// The user, as named in the file.
    pub user: String,
    /// The externalId, or why the line has none.
    pub external_id: Result<String, &'static str>,
}

/// The indices of the columns.
struct Columns {
    user_name: Option<usize>,
    email: Option<usize>,
    external_id: usize,
}

/// Parses the file. The separator is a comma, or a semicolon if the headings contain no comma.
///
/// # Errors
/// If a required column is missing.
pub fn read(bytes: &[u8]) -> Result<Vec<Line>, String> {
    let headings = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter = if headings.contains(&b';') && !headings.contains(&b',') { b';' } else { b',' };
    let mut reader =
        ReaderBuilder::new().trim(Trim::All).flexible(true).delimiter(delimiter).from_reader(bytes);
    let missing = || "the first line must have the columns userName (or email) and externalId".to_owned();
    let columns = reader.headers().ok().and_then(Columns::of).ok_or_else(missing)?;
    let mut lines = Lines { bytes, counted: 0, number: 1 };
    let read = reader.records().map(|record| match record {
        Ok(record) => columns.line(lines.number_at(record.position()), &record),
        Err(error) => Line {
            number: lines.number_at(error.position()),
            user: String::new(),
            external_id: Err("the line is not UTF-8"),
        },
    });
    Ok(read.collect())
}

/// Counts the lines of the file. (The reader's own line number is too low after CRLF line endings and empty lines.)
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    number: u64,
}

impl Lines<'_> {
    /// The number of the line on which the record at this position, or after the line breaks there, begins. Positions
    /// must not decrease.
    fn number_at(&mut self, position: Option<&Position>) -> u64 {
        let at = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or_default();
        let row = self.bytes.iter().skip(at).position(|byte| !b"\r\n".contains(byte)).unwrap_or_default();
        let between = self.bytes.get(self.counted..at + row).unwrap_or_default();
        self.number += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted = self.counted.max(at + row);
        self.number
    }
}

impl Columns {
    fn of(headings: &StringRecord) -> Option<Self> {
        let plain = |heading: &str| {
            heading.trim_start_matches('\u{feff}').replace(['_', '-', ' '], "").to_ascii_lowercase()
        };
        let at = |name: &str| headings.iter().position(|heading| plain(heading) == name);
        let (user_name, email) = (at("username"), at("email"));
        user_name.or(email)?;
        Some(Self { user_name, email, external_id: at("externalid")? })
    }

    fn line(&self, number: u64, record: &StringRecord) -> Line {
        let cell = |column: Option<usize>| {
            column.and_then(|column| record.get(column)).filter(|cell| !cell.is_empty())
        };
        let user = cell(self.user_name).or_else(|| cell(self.email));
        let external_id = match (user, cell(Some(self.external_id))) {
            (None, _) => Err("userName is empty"),
            (_, None) => Err("externalId is empty"),
            (_, Some(external_id)) => Ok(external_id.to_owned()),
        };
        Line { number, user: user.unwrap_or_default().to_owned(), external_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_csv_variants_are_parsed() {
        let line = |number, user: &str, external_id: Result<&str, &'static str>| Line {
            number,
            user: user.to_owned(),
            external_id: external_id.map(str::to_owned),
        };
        for (file, lines) in [
            (&b"userName,externalId\nada,00u1\n"[..], vec![line(2, "ada", Ok("00u1"))]),
            (b"\xef\xbb\xbfUSERNAME;External ID\r\nada ; 00u1\r\n", vec![line(2, "ada", Ok("00u1"))]),
            (
                b"Name,email,user_name,external_id\n\"A\nB\",a@x.example,ada,00u1\nC,c@x.example,,00u2\n",
                vec![line(2, "ada", Ok("00u1")), line(4, "c@x.example", Ok("00u2"))],
            ),
            (
                b"email,externalId\nada\n\n,00u2\nbob,00u3,more\n\xff,00u4\ncy,00u5",
                vec![
                    line(2, "ada", Err("externalId is empty")),
                    line(4, "", Err("userName is empty")),
                    line(5, "bob", Ok("00u3")),
                    line(6, "", Err("the line is not UTF-8")),
                    line(7, "cy", Ok("00u5")),
                ],
            ),
        ] {
            assert_eq!(read(file).unwrap(), lines, "{}", String::from_utf8_lossy(file));
        }
        for file in [&b""[..], b"\n", b"userName,id\n", b"externalId\n00u1\n", b"\xff,externalId\n"] {
            assert!(read(file).unwrap_err().contains("externalId"), "{}", String::from_utf8_lossy(file));
        }
    }
}
