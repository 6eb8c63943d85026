//! Standard output: tables for people, one JSON object per line for programs. Rows are written page by page, so that a long
//! listing needs little memory.

use std::borrow::Cow;
use std::io::{BufWriter, ErrorKind, Stdout, Write};

use serde::Serialize;

use crate::failure::Failure;

/// The longest text in a table, in characters: longer texts are shortened. JSON has the whole texts.
const LONGEST_CELL: usize = 120;

/// A row of a listing.
pub(crate) trait Row: Serialize {
    /// The heading of each column.
    const HEADINGS: &'static [&'static str];

    /// The text of each column.
    fn cells(&self) -> Vec<String>;
}

/// Standard output of one command.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    is_json: bool,
    is_closed: bool,
    /// For each column its width, and whether it has numbers: determined by the first page.
    columns: Option<Vec<(usize, bool)>>,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self { out: BufWriter::new(std::io::stdout()), is_json, is_closed: false, columns: None }
    }

    /// Whether the reader has closed the pipe. Then later rows are dropped, without an error.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Writes rows. The first call of a table writes its headings too.
    pub(crate) fn rows<R: Row>(&mut self, rows: &[R]) -> Result<(), Failure> {
        let written = if self.is_json { self.lines(rows) } else { self.table(rows) };
        match written.and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    fn lines<R: Row>(&mut self, rows: &[R]) -> std::io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        for row in rows {
            writeln!(self.out, "{}", escaped(&serde_json::to_string(row)?))?;
        }
        Ok(())
    }

    fn table<R: Row>(&mut self, rows: &[R]) -> std::io::Result<()> {
        if self.is_closed || rows.is_empty() {
            return Ok(());
        }
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| row.cells().iter().map(|cell| printable(cell)).collect()).collect();
        let is_first = self.columns.is_none();
        let columns = self.columns.get_or_insert_with(|| columns(R::HEADINGS, &cells)).clone();
        if is_first {
            let headings: Vec<String> = R::HEADINGS.iter().map(|heading| (*heading).to_owned()).collect();
            write_row(&mut self.out, &headings, &columns)?;
        }
        cells.iter().try_for_each(|cells| write_row(&mut self.out, cells, &columns))
    }
}

/// Whether a character changes how a terminal shows the text around it: control characters, and those that separate lines, have no
/// width or reverse the direction.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// JSON with the characters escaped that may steer a terminal: JSON may contain those above 0x7f as they are.
fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return json.into();
    }
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if steers(character) {
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

fn columns(headings: &[&str], rows: &[Vec<String>]) -> Vec<(usize, bool)> {
    let column = |(index, heading): (usize, &&str)| {
        let cells = || rows.iter().filter_map(|row| row.get(index));
        let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0).max(heading.len());
        let is_number = cells().all(|cell| !cell.is_empty() && cell.bytes().all(|digit| digit.is_ascii_digit()));
        (width, is_number)
    };
    headings.iter().enumerate().map(column).collect()
}

fn write_row(out: &mut impl Write, cells: &[String], columns: &[(usize, bool)]) -> std::io::Result<()> {
    let mut line = String::new();
    for (cell, (width, is_number)) in cells.iter().zip(columns) {
        let width = *width;
        line.push_str(&if *is_number { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") });
    }
    writeln!(out, "{}", line.trim_end())
}

/// The text on one line, with characters escaped that may steer a terminal, shortened to [`LONGEST_CELL`].
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST_CELL {
            shown.push('…');
            break;
        }
        if steers(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{columns, escaped, printable, write_row};

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("paid\u{202e}on\u{2066}\u{2028}é"), "paid\\u{202e}on\\u{2066}\\u{2028}é");
        assert_eq!(printable(&"x".repeat(200)).chars().count(), 121);
    }

    #[test]
    fn a_line_of_json_cannot_steer_the_terminal() {
        let text = "a\u{9b}2Jb\u{7f}\n\u{202e}";
        let json = serde_json::to_string(text).unwrap();
        assert_eq!(escaped(&json), "\"a\\u009b2Jb\\u007f\\n\\u202e\"");
        assert_eq!(serde_json::from_str::<String>(&escaped(&json)).unwrap(), text);
    }

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let rows = vec![vec!["mails".to_owned(), "7".to_owned()], vec!["m".to_owned(), "1000".to_owned()]];
        let columns = columns(&["QUEUE", "READY"], &rows);
        let mut out = Vec::new();
        rows.iter().for_each(|row| write_row(&mut out, row, &columns).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), "mails      7\nm       1000\n");
    }
}
