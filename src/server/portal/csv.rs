//! Lists as files for a spreadsheet (RFC 4180).

use zeroize::Zeroizing;

/// Grows row by row. Every row ends with CR LF.
#[derive(Default)]
pub(super) struct Csv(String);

impl Csv {
    pub(super) fn push<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        for (index, cell) in cells.into_iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            self.push_cell(cell.as_ref());
        }
        self.0.push_str("\r\n");
    }

    pub(super) fn into_text(self) -> Zeroizing<String> {
        Zeroizing::new(self.0)
    }

    /// What a spreadsheet would take for a formula begins with an apostrophe instead, which it shows as text.
    fn push_cell(&mut self, cell: &str) {
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        if cell.contains(['"', ',', '\r', '\n']) {
            self.0.push('"');
            self.0.push_str(guard);
            self.0.push_str(&cell.replace('"', "\"\""));
            self.0.push('"');
        } else {
            self.0.push_str(guard);
            self.0.push_str(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_never_formulas() {
        let mut csv = Csv::default();
        csv.push(["a", "b c", "", "1,2", "say \"hi\"", "two\nlines"]);
        csv.push(["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=\"a\",b", "1-1"]);
        let expected = "a,b c,,\"1,2\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n\
                        '=1+1,'+1,'-1,'@x,'\tx,\"'\rx\",\"'=\"\"a\"\",b\",1-1\r\n";
        assert_eq!(csv.into_text().as_str(), expected);
    }
}
