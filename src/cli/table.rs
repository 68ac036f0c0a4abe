//! Tables for people.

use std::fmt;

/// Columns aligned at the left, two spaces between, titles on top; nothing at the end of a line.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self { rows: vec![titles.map(str::to_owned).to_vec()] }
    }

    /// Cells in the order of the titles. Control characters in them are not printed.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.rows[0].len());
        let printable = |cell: String| cell.chars().filter(|c| !c.is_control()).collect();
        self.rows.push(cells.map(printable).to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width_of = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.rows[0].len()).map(width_of).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["ID", "NAME", "USES"]);
        table.row(["7".into(), "Zürich".into(), "1 of 10".into()]);
        table.row(["1234".into(), "HQ".into(), String::new()]);
        assert_eq!(table.to_string(), "ID    NAME    USES\n7     Zürich  1 of 10\n1234  HQ\n");
    }

    #[test]
    fn an_empty_table_is_its_titles() {
        assert_eq!(Table::new(["ID", "NAME"]).to_string(), "ID  NAME\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\u{1b}[2J\nb".into()]);
        assert_eq!(table.to_string(), "NAME\na[2Jb\n");
    }
}
