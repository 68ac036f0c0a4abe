//! What all `list` commands share: which objects, in which order, how many, in which form.

use std::io::{self, Write as _};
use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use super::Failure;
use super::management::{Management, Resource};
use super::table::{Column, Table};
use crate::client::api::{Pages, parameter, search};

/// Objects that are asked for, and printed, at a time.
const PART: usize = 500;

/// Which objects, and in which order.
#[derive(Args)]
pub struct Selection {
    /// Only those whose name contains this, in any case
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only those that match, e.g. "enabled EQ false"; may be repeated. Members as --json shows them;
    /// EQ NE GT LT GE LE CONTAINS STARTSWITH ENDSWITH, joined by AND
    #[arg(long, value_name = "EXPRESSION")]
    search: Vec<String>,
    /// Order by this member, e.g. name or creationTime:desc; with several kinds, each kind by itself
    #[arg(long, value_name = "MEMBER[:desc]")]
    sort: Option<Sort>,
    #[command(flatten)]
    form: Form,
}

/// How much of a list, and in which form.
#[derive(Args)]
pub struct Form {
    /// At most so many [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sort {
    member: String,
    descending: bool,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("MEMBER, MEMBER:asc or MEMBER:desc was expected")]
struct InvalidSort;

impl FromStr for Sort {
    type Err = InvalidSort;

    fn from_str(text: &str) -> Result<Self, InvalidSort> {
        let (member, direction) = text.split_once(':').unwrap_or((text, "asc"));
        let descending = match direction {
            "asc" => false,
            "desc" => true,
            _ => return Err(InvalidSort),
        };
        let is_member = !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_member.then(|| Self { member: member.to_owned(), descending }).ok_or(InvalidSort)
    }
}

impl Selection {
    fn query(&self, of: Resource) -> String {
        let mut parameters = Vec::new();
        parameters.extend(self.name.iter().map(|name| search(&of.named("CONTAINS", name))));
        parameters.extend(self.search.iter().map(|expression| search(expression)));
        if let Some(Sort { member, descending }) = &self.sort {
            parameters.push(parameter("sortBy", member));
            parameters.push(parameter("sortDir", if *descending { "DESC" } else { "ASC" }));
        }
        parameters.join("&")
    }

    /// Prints what is asked for of these resources, one after the other.
    pub async fn print(
        &self,
        management: &Management,
        resources: &[Resource],
        columns: &[Column],
    ) -> Result<(), Failure> {
        let mut printer = self.form.printer(columns);
        for &of in resources {
            let query = self.query(of);
            let goes_on = printer.list(management.pages(of, &query)?, |object| of.shown(object)).await?;
            if !goes_on {
                break;
            }
        }
        printer.end()
    }
}

impl Form {
    /// Prints a list that has no search.
    pub async fn print(&self, pages: Pages<'_>, columns: &[Column]) -> Result<(), Failure> {
        let mut printer = self.printer(columns);
        printer.list(pages, |object| object).await?;
        printer.end()
    }

    fn printer<'a>(&self, columns: &'a [Column]) -> Printer<'a> {
        let form = if self.json { Printed::Json { any: false } } else { Printed::Table(Table::new(columns)) };
        Printer { form, left: self.limit.unwrap_or(u64::MAX), waiting: Vec::new(), is_heard: true }
    }
}

enum Printed<'a> {
    Json {
        /// Whether there was an object before.
        any: bool,
    },
    Table(Table<'a>),
}

/// Prints while it reads: the memory that it takes does not grow with the list.
struct Printer<'a> {
    form: Printed<'a>,
    /// How many more objects are wanted.
    left: u64,
    waiting: Vec<Value>,
    /// Whether someone still reads stdout.
    is_heard: bool,
}

impl Printer<'_> {
    /// Whether more is wanted after this list.
    async fn list(&mut self, mut pages: Pages<'_>, listed: impl Fn(Value) -> Value) -> Result<bool, Failure> {
        // The same for all pages, as the place of a page follows from it.
        let size = self.left.min(PART as u64);
        while self.left > 0 && self.is_heard {
            let Some(mut page) = pages.next(size).await? else { return Ok(true) };
            page.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= page.len() as u64;
            self.waiting.extend(page.into_iter().map(&listed));
            if self.waiting.len() >= PART {
                self.flush()?;
            }
        }
        Ok(false)
    }

    fn end(mut self) -> Result<(), Failure> {
        self.flush()?;
        match self.form {
            Printed::Json { any: true } => self.write("\n]\n"),
            Printed::Json { any: false } => self.write("[]\n"),
            Printed::Table(_) => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let objects = std::mem::take(&mut self.waiting);
        let text = match &mut self.form {
            Printed::Json { any } => {
                let mut text = String::new();
                for object in objects {
                    text.push_str(if *any { ",\n" } else { "[\n" });
                    text.push_str(&object.to_string());
                    *any = true;
                }
                text
            }
            Printed::Table(table) => table.part(&objects),
        };
        self.write(&text)
    }

    /// Whoever stops reading has read enough: that is no failure, and the rest is not asked for.
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_heard = false,
            result => result?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_member_and_a_direction() {
        let sort = |member: &str, descending| Sort { member: member.to_owned(), descending };
        for (text, expected) in [
            ("name", sort("name", false)),
            ("name:asc", sort("name", false)),
            ("usageCount:desc", sort("usageCount", true)),
        ] {
            assert_eq!(text.parse::<Sort>().unwrap(), expected);
        }
        for text in ["", ":desc", "name:down", "a b", "name:", "na&me"] {
            assert!(text.parse::<Sort>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        let selection = Selection {
            name: Some("a b".to_owned()),
            search: vec!["enabled EQ false".to_owned()],
            sort: Some("name:desc".parse().unwrap()),
            form: Form { limit: None, json: false },
        };
        assert_eq!(
            selection.query(Resource::Customer),
            "search=name%20CONTAINS%20a%20b&search=enabled%20EQ%20false&sortBy=name&sortDir=DESC"
        );
    }
}
