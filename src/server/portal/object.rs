//! An object's own page: what matters most in large figures, then panels. Finished words for `object.html`.

use askama::Template;
use hyper::StatusCode;

use super::ask::{Confirmation, FormPage};
use super::form::{Faults, Form, Names};
use super::frame::{Frame, Place};
use super::head::{Link, PageHead};
use super::reply::{Reply, Trouble};
use super::table::{Cell, Detail};
use super::visit::{Fields, Visit};
use super::words::Instant;
use super::{Portal, filters};
use crate::clock::Timestamp;
use crate::domain::{Name, Revision};
use crate::id::CustomerId;
use crate::management::Error;
use crate::management::sessions::Session;

#[derive(Template)]
#[template(path = "object.html", config = "src/server/portal/askama.toml")]
pub(super) struct ObjectPage {
    pub(super) frame: Frame,
    pub(super) head: PageHead,
    pub(super) remarks: Vec<Remark>,
    pub(super) stats: Vec<Stat>,
    pub(super) main: Vec<Panel>,
    /// Beside the others where there is room; may be empty.
    pub(super) side: Vec<Panel>,
}

/// What one should know before all else, and do about it.
pub(super) struct Remark {
    /// `note-warn`, `note-bad` or none.
    pub(super) class: &'static str,
    pub(super) icon: &'static str,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) links: Vec<Link>,
}

/// A figure, and a line below it.
pub(super) struct Stat {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// `tag-warn`, `tag-bad` or none.
    pub(super) class: &'static str,
    pub(super) below: Cell,
}

pub(super) struct Panel {
    /// Of its heading.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) links: Vec<Link>,
    pub(super) body: Body,
}

pub(super) enum Body {
    /// Certificates, each above the one that follows.
    Chain(Vec<ChainLink>),
    /// Values over the whole width.
    Facts(Vec<Detail>),
    Grid(Grid),
    /// A label beside its value.
    Pairs(Vec<Detail>),
    /// In place of what is not there.
    Text(String),
}

pub(super) struct ChainLink {
    pub(super) subject: String,
    /// Empty where it is none of ours, or this one.
    pub(super) address: String,
    pub(super) remark: String,
}

/// A short table that is not filtered.
pub(super) struct Grid {
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<GridRow>,
    pub(super) has_buttons: bool,
}

pub(super) struct GridRow {
    pub(super) cells: Vec<Cell>,
    pub(super) button: Option<GridButton>,
}

/// Sends one value to an address.
pub(super) struct GridButton {
    pub(super) label: &'static str,
    /// Names the thing too, for whoever does not see the row.
    pub(super) whole_label: String,
    pub(super) address: String,
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Panel {
    pub(super) fn new(id: &'static str, title: &'static str, body: Body) -> Self {
        Self { id, title, links: Vec::new(), body }
    }

    pub(super) fn with_links(self, links: Vec<Link>) -> Self {
        Self { links, ..self }
    }
}

impl Grid {
    pub(super) fn new(heads: Vec<&'static str>, rows: Vec<GridRow>) -> Self {
        Self { heads, has_buttons: rows.iter().any(|row| row.button.is_some()), rows }
    }
}

impl GridRow {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        Self { cells, button: None }
    }
}

impl Detail {
    pub(super) const fn new(label: &'static str, value: Cell) -> Self {
        Self { label, value }
    }
}

/// A secret that was made just now, for the only page that shows it. Finished words for `shown_once.html`.
#[derive(Template)]
#[template(path = "shown_once.html", config = "src/server/portal/askama.toml")]
pub(super) struct ShownOncePage<'a> {
    pub(super) frame: Frame,
    pub(super) head: PageHead,
    /// What it is that is shown this once: "password".
    pub(super) what: &'static str,
    pub(super) advice: &'static str,
    pub(super) values: Vec<ShownValue<'a>>,
    /// Where Done leads.
    pub(super) done: String,
}

/// A value with a button that copies it.
pub(super) struct ShownValue<'a> {
    /// The element's.
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) text: &'a str,
    pub(super) hint: &'static str,
}

/// What became of an edit that came from a form.
pub(super) enum Edited {
    Done,
    /// Somebody else was faster: both versions are to be shown.
    Outdated,
    Refused(Faults),
}

impl Edited {
    /// `object` says what a name is of, as for [`Faults::of_error`].
    ///
    /// # Errors
    /// What neither other values nor another look would help.
    pub(super) fn of<T>(
        result: Result<T, Error>,
        names: &Names,
        values: &Fields,
        object: &str,
    ) -> Result<Self, Trouble> {
        match result {
            Ok(_) => Ok(Self::Done),
            Err(Error::Outdated { .. }) => Ok(Self::Outdated),
            Err(Error::LastOwner) => {
                let sentence = "No enabled owner would be left. Make another owner first.";
                Ok(Self::Refused(Faults::of("", sentence)))
            }
            Err(error) => Faults::of_error(error, names, values, object).map(Self::Refused),
        }
    }
}

/// After an edit that was done: to `address`, with the name that was given. Nothing is read before: a read that failed
/// would be told as an edit that was not done.
pub(super) fn saved(address: String, name: &str) -> Reply {
    Reply::see_other(address).with_notice(name, "was saved.")
}

/// An object as somebody else left it.
pub(super) struct Other {
    pub(super) values: Fields,
    pub(super) revision: Revision,
    /// [Who it was, and when](changed_meanwhile).
    pub(super) sentence: String,
}

/// A form to be shown again: with which status, and the revision that it goes on from.
pub(super) struct Again {
    pub(super) status: StatusCode,
    pub(super) form: Form,
    pub(super) revision: Revision,
}

impl Edited {
    /// For an edit that was not done. `form` has what was typed, of `expected`; without faults it is only shown.
    pub(super) fn again(self, form: Form, expected: Revision, other: Other) -> Again {
        let Self::Refused(faults) = self else {
            let form = form.compared_with(&other.values, other.sentence);
            return Again { status: StatusCode::CONFLICT, form, revision: other.revision };
        };
        let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        Again { status, form: form.with_faults(&faults), revision: expected }
    }
}

/// The forms about one object of a list, and what all of them say of it.
pub(super) struct ObjectForms<'a> {
    pub(super) place: Place,
    pub(super) customer: CustomerId,
    /// Its own page.
    pub(super) address: String,
    pub(super) name: &'a Name,
    /// What it is, in a sentence: "webhook".
    pub(super) what: &'static str,
    /// The buttons that save and delete it.
    pub(super) buttons: [&'static str; 2],
    pub(super) revision: Revision,
    /// When, and by whom.
    pub(super) modified: (Timestamp, Option<u64>),
}

impl ObjectForms<'_> {
    /// For changes to it. `revision`: of the object that the form was filled from.
    ///
    /// # Errors
    /// The frame's.
    pub(super) async fn edit(
        &self,
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        form: Form,
        revision: Revision,
    ) -> Result<FormPage, Trouble> {
        let title = format!("Edit {}", self.name);
        Ok(FormPage {
            frame: Frame::around(portal, visit, session, self.customer, self.place, &title).await?,
            head: PageHead::below_place(self.customer, self.place, title),
            form,
            action: format!("{}/edit", self.address),
            hidden: vec![(REVISION, revision.0.to_string())],
            button: self.buttons[0],
            cancel: self.address.clone(),
        })
    }

    /// The same after an edit that was not done: `form` has what was typed, of `expected`, and `values` how the object
    /// is now.
    ///
    /// # Errors
    /// The frame's; outages.
    pub(super) async fn edit_again(
        &self,
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        edited: Edited,
        (form, expected): (Form, Revision),
        values: Fields,
    ) -> Result<Reply, Trouble> {
        let (at, by) = self.modified;
        let author = author(portal, session, self.customer, by).await?;
        let sentence = changed_meanwhile(author.as_ref(), self.what, at, portal.now());
        let other = Other { values, revision: self.revision, sentence };
        let Again { status, form, revision } = edited.again(form, expected, other);
        Ok(Reply::page(status, &self.edit(portal, visit, session, form, revision).await?))
    }

    /// The question before it is deleted, and what then happens.
    ///
    /// # Errors
    /// The frame's.
    pub(super) async fn deletion(
        &self,
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        sentences: Vec<String>,
    ) -> Result<Confirmation, Trouble> {
        let question = format!("Delete {}?", self.name);
        Ok(Confirmation {
            frame: Frame::around(portal, visit, session, self.customer, self.place, &*question).await?,
            question,
            sentences,
            form: Form::default(),
            action: format!("{}/delete", self.address),
            hidden: vec![(REVISION, self.revision.0.to_string())],
            button: self.buttons[1],
            is_destructive: true,
            cancel: self.address.clone(),
        })
    }
}

/// The form for one more of a list; `lead` stands above it and may be empty.
///
/// # Errors
/// The frame's.
pub(super) async fn add_form(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    place: Place,
    (title, lead): (&'static str, &str),
    form: Form,
) -> Result<FormPage, Trouble> {
    let customer = visit.customer()?;
    let mut head = PageHead::below_place(customer, place, title);
    lead.clone_into(&mut head.lead);
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, customer, place, title).await?,
        head,
        form,
        action: format!("{}/add", place.address(customer)),
        hidden: Vec::new(),
        button: title,
        cancel: place.address(customer),
    })
}

/// The hidden field of the revision that was edited.
pub(super) const REVISION: &str = "revision";

/// The revision that a form was made of.
///
/// # Errors
/// [`Trouble::Malformed`]: it is no form of ours.
pub(super) fn revision(visit: &Visit) -> Result<Revision, Trouble> {
    visit.form.text(REVISION).parse().map(Revision).map_err(|_| Trouble::Malformed)
}

/// "Tom Okafor changed this key 2 min ago. Compare both versions before you save."
pub(super) fn changed_meanwhile(who: Option<&Name>, object: &str, at: Timestamp, now: Timestamp) -> String {
    let (who, when) = (who.map_or("Somebody", |name| name.as_str()), Instant::past(at, now).text);
    format!("{who} changed this {object} {when}. Compare both versions before you save.")
}

/// Who is behind the id that a row was changed by; `None` for the service itself, and for those that are gone.
///
/// # Errors
/// Rights and outages.
pub(super) async fn author(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    id: Option<u64>,
) -> Result<Option<Name>, Error> {
    let Some(id) = id else { return Ok(None) };
    let mut names = portal.management().name_actors(&session.actor, customer, &[id]).await?;
    Ok(names.remove(&id))
}

/// When something was changed last, and by whom.
pub(super) fn modified(at: Timestamp, author: Option<Name>) -> Cell {
    match author {
        Some(name) => Cell::TimeBy { at: Instant::at(at), by: name.to_string(), address: String::new() },
        None => Cell::Time(Instant::at(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::portal::frame::Account;

    #[test]
    fn a_conflict_names_who_and_when() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let at = Timestamp::from_rfc3339("2026-11-20T16:04:00Z").unwrap();
        let tom = Name::new("Tom Okafor").unwrap();
        let expected = "Tom Okafor changed this customer 2 min ago. Compare both versions before you save.";
        assert_eq!(changed_meanwhile(Some(&tom), "customer", at, now), expected);
        assert!(changed_meanwhile(None, "customer", at, now).starts_with("Somebody changed"));
    }

    const HOSTILE: &str = "\"><script>alert(1)</script>";

    fn frame() -> Frame {
        Frame { account: Some(Account::for_tests()), ..Frame::for_tests() }
    }

    fn page(rows: usize, side: Vec<Panel>) -> String {
        let row = |_| GridRow {
            cells: vec![Cell::text(HOSTILE), Cell::Mono(HOSTILE.to_owned())],
            button: Some(GridButton {
                label: "End",
                whole_label: format!("End {HOSTILE}"),
                address: "/end".to_owned(),
                name: "session",
                value: HOSTILE.to_owned(),
            }),
        };
        let body = match rows {
            0 => Body::Text("Nothing is here.".to_owned()),
            _ => Body::Grid(Grid::new(vec!["One", "Two"], (0..rows).map(row).collect())),
        };
        let link = || Link { label: HOSTILE.to_owned(), address: "/x".to_owned() };
        let page = ObjectPage {
            frame: frame(),
            head: PageHead::new(HOSTILE),
            remarks: vec![Remark {
                class: "note-warn",
                icon: "warn",
                title: HOSTILE.to_owned(),
                text: HOSTILE.to_owned(),
                links: vec![link(), link()],
            }],
            stats: vec![Stat {
                label: "Keys",
                value: HOSTILE.to_owned(),
                class: "tag-bad",
                below: Cell::text(HOSTILE),
            }],
            main: vec![Panel::new("grid", "Grid", body).with_links(vec![link()])],
            side,
        };
        page.render().unwrap()
    }

    #[test]
    fn an_object_without_one_and_with_many_rows() {
        assert!(page(0, Vec::new()).contains("<p class=\"panel-text\">Nothing is here.</p>"));
        for rows in [1, 40] {
            let html = page(rows, Vec::new());
            assert_eq!(html.matches("<form method=\"post\" action=\"/end\">").count(), rows);
            assert_eq!(html.matches("name=\"csrf\" value=\"form-token\"").count(), rows + 1, "and the sign-out");
        }
    }

    #[test]
    fn nothing_of_an_object_becomes_markup() {
        let chain = |address: &str| ChainLink {
            subject: HOSTILE.to_owned(),
            address: address.to_owned(),
            remark: HOSTILE.to_owned(),
        };
        let detail = || Detail::new("Subject", Cell::text(HOSTILE));
        let side = vec![
            Panel::new("chain", "Chain", Body::Chain(vec![chain(""), chain("/x")])),
            Panel::new("facts", "Facts", Body::Facts(vec![detail()])),
            Panel::new("pairs", "Pairs", Body::Pairs(vec![detail()])),
            Panel::new("text", "Text", Body::Text(HOSTILE.to_owned())),
        ];
        let html = page(2, side);
        assert!(!html.contains("<script>alert") && !html.contains("\">&#60;script\""), "{html}");
        assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
    }

    #[test]
    fn a_secret_is_shown_as_it_is_and_can_be_copied() {
        let value = ShownValue { id: "secret", label: "Client secret", text: "a<b&c", hint: "" };
        let (head, done) = (PageHead::new(HOSTILE), "/done".to_owned());
        let page = ShownOncePage { frame: frame(), head, what: "secret", advice: "", values: vec![value], done };
        let html = page.render().unwrap();
        assert!(html.contains("id=\"secret\">a&#60;b&#38;c</pre>"), "{html}");
        assert!(html.contains("data-copy=\"Client secret copied\" data-copy-from=\"secret\""), "{html}");
        assert!(!html.contains("<script>alert"), "{html}");
    }
}
