//! What is done with the rows of a list that are ticked, as its bulk bar sends it.

use std::str::FromStr;

use super::list::ROWS;
use super::reply::{Reply, Trouble};
use super::visit::Visit;
use super::words as say;
use crate::management::Error;

/// A page has no more rows.
const IDS_MAX: usize = ROWS[ROWS.len() - 1] as usize;

/// Most that a question names one by one.
const NAMED_MAX: usize = 5;

/// Sent with the answer to a question.
const CONFIRMED: &str = "confirmed";

/// A bulk bar's form.
pub(super) struct Ticked<'a, T> {
    /// The value of the button that was pressed; `none` when Enter was.
    pub(super) operation: &'a str,
    /// Each once. Not empty, unless the operation is `none`.
    pub(super) ids: Vec<T>,
    /// The list as it was shown.
    pub(super) back: String,
    /// It was asked whether this is meant, and it is.
    pub(super) is_confirmed: bool,
}

impl<'a, T: FromStr + PartialEq> Ticked<'a, T> {
    /// `list` is the list's address. The inner error is the way back when there is nothing to do.
    ///
    /// # Errors
    /// [`Trouble::Malformed`]: what was ticked are no rows of a list of ours, or more than a page has.
    pub(super) fn read(visit: &'a Visit, list: &str, one: &str) -> Result<Result<Self, Reply>, Trouble> {
        let (operation, back) = (visit.form.text("do"), back(visit.form.text("back"), list).to_owned());
        let mut ids = Vec::new();
        for (index, id) in visit.form.all("id").enumerate() {
            let id = id.parse::<T>().ok().filter(|_| index < IDS_MAX).ok_or(Trouble::Malformed)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if operation == "none" {
            return Ok(Err(Reply::see_other(back)));
        }
        if ids.is_empty() {
            let sentence = format!("No {one} is ticked. Tick those that are meant.");
            return Ok(Err(Reply::see_other(back).with_notice("", sentence)));
        }
        Ok(Ok(Self { operation, ids, back, is_confirmed: visit.form.find(CONFIRMED).is_some() }))
    }
}

/// What a question about those that are ticked sends along, so that the answer to it is read as the bulk bar's form.
pub(super) fn confirmed(
    operation: &str,
    back: &str,
    ids: impl IntoIterator<Item = impl ToString>,
) -> Vec<(&'static str, String)> {
    let fields = [("do", operation.to_owned()), (CONFIRMED, "yes".to_owned()), ("back", back.to_owned())];
    fields.into_iter().chain(ids.into_iter().map(|id| ("id", id.to_string()))).collect()
}

/// Those that are still there, as a use case finds one.
///
/// # Errors
/// Those of the use case, but that there is none.
pub(super) async fn still_there<T: Copy, Object, Found: Future<Output = Result<Object, Error>>>(
    ids: &[T],
    find: impl Fn(T) -> Found,
) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::with_capacity(ids.len());
    for &id in ids {
        match find(id).await {
            Ok(object) => objects.push(object),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(objects)
}

/// "eu-fra2, eu-lab and 3 more."
pub(super) fn named(names: &[&str]) -> String {
    let (named, rest) = names.split_at(names.len().min(NAMED_MAX));
    match (named.split_last(), rest.len()) {
        (Some((last, [])), 0) => format!("{last}."),
        (Some((last, before)), 0) => format!("{} and {last}.", before.join(", ")),
        (_, more) => format!("{} and {} more.", named.join(", "), say::number(more as u64)),
    }
}

/// The list as it was shown, if that is what the form says.
fn back<'a>(given: &'a str, list: &'a str) -> &'a str {
    let is_list = given.strip_prefix(list).is_some_and(|rest| rest.is_empty() || rest.starts_with('?'));
    let is_plain = given.bytes().all(|byte| byte.is_ascii_graphic());
    if is_list && is_plain { given } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_the_list_and_nothing_else() {
        let list = "/c/7/machine/groups";
        for address in [list, "/c/7/machine/groups?page=2&name=a%20b"] {
            assert_eq!(back(address, list), address);
        }
        for address in
            ["", "//evil.example", "/c/7/machine/groups/8", "/c/7/machine/groups?\r\nx", "/c/7/machine/groupsx"]
        {
            assert_eq!(back(address, list), list, "{address:?}");
        }
    }

    #[test]
    fn five_are_named_and_the_rest_counted() {
        for (names, expected) in [
            (&["a"][..], "a."),
            (&["a", "b"], "a and b."),
            (&["a", "b", "c", "d", "e"], "a, b, c, d and e."),
            (&["a", "b", "c", "d", "e", "f", "g"], "a, b, c, d, e and 2 more."),
        ] {
            assert_eq!(named(names), expected);
        }
    }
}
