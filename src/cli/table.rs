//! Tables for people: lists of objects, and the details of one.

use serde_json::Value;

/// One column, and how an object's cell of it reads.
pub struct Column {
    title: &'static str,
    align: Align,
    cell: fn(&Value) -> String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

pub const fn left(title: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { title, align: Align::Left, cell }
}

/// For counters and sizes.
pub const fn right(title: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { title, align: Align::Right, cell }
}

/// Aligned columns, two spaces between, titles on top; nothing at the end of a line. It is printed in
/// parts, so that a list of any length needs the memory of a part; a later part is never narrower than
/// the one before.
pub struct Table<'a> {
    columns: &'a [Column],
    /// Empty before the first part.
    widths: Vec<usize>,
}

impl<'a> Table<'a> {
    pub fn new(columns: &'a [Column]) -> Self {
        Self { columns, widths: Vec::new() }
    }

    /// The lines of these objects, below the titles if they are the first. Control characters in
    /// cells are not printed.
    pub fn part(&mut self, objects: &[Value]) -> String {
        let mut rows: Vec<Vec<String>> = Vec::with_capacity(objects.len() + 1);
        if self.widths.is_empty() {
            self.widths = vec![0; self.columns.len()];
            rows.push(self.columns.iter().map(|column| column.title.to_owned()).collect());
        }
        rows.extend(
            objects.iter().map(|object| self.columns.iter().map(|column| printable(&(column.cell)(object))).collect()),
        );
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows.iter().map(|row| self.line(row)).collect()
    }

    fn line(&self, row: &[String]) -> String {
        let cells = self.columns.iter().zip(&self.widths).zip(row).map(|((column, &width), cell)| match column.align {
            Align::Left => format!("{cell:width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    }
}

/// One line for each value of an object that is not empty, the values below each other.
pub fn details(object: &Value, values: &[Column]) -> String {
    let width = values.iter().map(|value| value.title.chars().count()).max().unwrap_or(0);
    let lines = values.iter().map(|value| (value.title, printable(&(value.cell)(object))));
    lines.filter(|(_, cell)| !cell.is_empty()).map(|(title, cell)| format!("{title:width$}  {cell}\n")).collect()
}

/// Texts from the wire do not steer the terminal.
fn printable(cell: &str) -> String {
    cell.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::shown::text;

    static COLUMNS: &[Column] = &[
        left("ID", |row| text(row, "id")),
        left("NAME", |row| text(row, "name")),
        right("USES", |row| text(row, "uses")),
    ];

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(COLUMNS);
        let rows =
            [json!({ "id": "7", "name": "Zürich", "uses": "10" }), json!({ "id": "1234", "name": "HQ", "uses": "5" })];
        assert_eq!(table.part(&rows), "ID    NAME    USES\n7     Zürich    10\n1234  HQ         5\n");
        assert_eq!(table.part(&[json!({ "id": "8" })]), "8\n", "a later part has no titles");
        assert_eq!(table.part(&[json!({ "id": "8", "uses": "1" })]), "8                1\n");
    }

    #[test]
    fn an_empty_table_is_its_titles() {
        assert_eq!(Table::new(COLUMNS).part(&[]), "ID  NAME  USES\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let row = json!({ "id": "a\u{1b}[2J\nb" });
        assert_eq!(Table::new(&COLUMNS[..1]).part(std::slice::from_ref(&row)), "ID\na[2Jb\n");
        assert_eq!(details(&row, &COLUMNS[..1]), "ID  a[2Jb\n");
    }

    #[test]
    fn details_leave_out_what_is_empty() {
        assert_eq!(details(&json!({ "id": "7", "uses": "1" }), COLUMNS), "ID    7\nUSES  1\n");
    }
}
