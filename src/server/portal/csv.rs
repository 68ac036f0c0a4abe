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

    fn push_cell(&mut self, cell: &str) {
        let cell = guarded(cell);
        if cell.contains(['"', ',', '\r', '\n']) {
            self.0.push('"');
            self.0.push_str(&cell.replace('"', "\"\""));
            self.0.push('"');
        } else {
            self.0.push_str(&cell);
        }
    }
}

/// What a spreadsheet would take for a formula begins with an apostrophe instead, which it shows as text. It begins
/// with a cell, and behind whatever divides cells elsewhere: where a comma stands in numbers that is a semicolon,
/// quoted or not. Devices say some of what is written here.
fn guarded(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len() + 1);
    let mut is_start = true;
    for c in cell.chars() {
        if is_start && matches!(c, '=' | '+' | '-' | '@') || text.is_empty() && matches!(c, '\t' | '\r' | '\n') {
            text.push('\'');
        }
        is_start = matches!(c, ';' | '\t' | '\r' | '\n');
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_never_formulas() {
        let mut csv = Csv::default();
        csv.push(["a", "b c", "", "1,2", "say \"hi\"", "two\nlines"]);
        csv.push(["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=\"a\",b", "1-1"]);
        csv.push(["x;=1+1", "x;;+1;y-1", "a;b", "x\n@y", "x\t-1"]);
        let expected = "a,b c,,\"1,2\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n\
                        '=1+1,'+1,'-1,'@x,'\tx,\"'\rx\",\"'=\"\"a\"\",b\",1-1\r\n\
                        x;'=1+1,x;;'+1;y-1,a;b,\"x\n'@y\",x\t'-1\r\n";
        assert_eq!(csv.into_text().as_str(), expected);
    }
}
