//! What is done with the rows of a list that are ticked, as its bulk bar sends it.

use std::str::FromStr;

use super::list::ROWS;
use super::reply::{Reply, Trouble};
use super::visit::Visit;

/// A page has no more rows.
const IDS_MAX: usize = ROWS[ROWS.len() - 1] as usize;

/// A bulk bar's form.
pub(super) struct Ticked<'a, T> {
    /// The value of the button that was pressed; `none` when Enter was.
    pub(super) operation: &'a str,
    /// Each once. Not empty, unless the operation is `none`.
    pub(super) ids: Vec<T>,
    /// The list as it was shown.
    pub(super) back: String,
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
        Ok(Ok(Self { operation, ids, back }))
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
}
