//! Two pages that many objects share: a form on a page of its own, and a question before something is done
//! that cannot be undone.

use askama::Template;

use super::filters;
use super::form::{Control, Faults, Form};
use super::frame::Frame;
use super::head::PageHead;

/// A form on a page of its own.
#[derive(Template)]
#[template(path = "form_page.html", config = "src/server/portal/askama.toml")]
pub(super) struct FormPage {
    pub(super) frame: Frame,
    pub(super) head: PageHead,
    pub(super) form: Form,
    /// Where it is sent.
    pub(super) action: String,
    /// Sent along: the revision that was edited.
    pub(super) hidden: Vec<(&'static str, String)>,
    /// Verb and thing.
    pub(super) button: &'static str,
    pub(super) cancel: String,
}

/// A question. A script opens its form as a dialog over the page that leads to it.
#[derive(Template)]
#[template(path = "confirm.html", config = "src/server/portal/askama.toml")]
pub(super) struct Confirmation {
    pub(super) frame: Frame,
    /// With the name of what it is about: "Delete eu-lab?"
    pub(super) question: String,
    /// What happens, first to others.
    pub(super) sentences: Vec<String>,
    /// With a [name to type](CONFIRM) where much depends on it; may be empty.
    pub(super) form: Form,
    pub(super) action: String,
    pub(super) hidden: Vec<(&'static str, String)>,
    /// Repeats the question's verb: "Delete key". Empty: it cannot be done, and one can but go back.
    pub(super) button: &'static str,
    pub(super) is_destructive: bool,
    pub(super) cancel: String,
}

/// The field in which a name is typed to confirm.
pub(super) const CONFIRM: &str = "confirm";

/// Whether the name was typed; the fault if not.
pub(super) fn check_typed_name(typed: &str, name: &str) -> Faults {
    if typed.trim() == name {
        return Faults::default();
    }
    Faults::of(CONFIRM, format!("This is not the name. Type {name} to go on."))
}
