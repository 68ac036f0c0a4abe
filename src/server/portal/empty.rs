//! What stands where a list would, as long as there is nothing to list: what it is for and the next step, with
//! its command. Finished words for `empty.html`, which a page includes with a field `empty`.

use super::head::{HeadAction, Link};

pub(super) struct Empty {
    /// "No machine provisioning keys yet".
    pub(super) title: String,
    pub(super) lead: String,
    /// `None` for those whose role does not allow it.
    pub(super) action: Option<HeadAction>,
    pub(super) command_lead: &'static str,
    pub(super) command: String,
    pub(super) steps: Vec<Step>,
}

/// On the way from nothing to something.
pub(super) struct Step {
    pub(super) icon: &'static str,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) link: Option<Link>,
}

impl Step {
    pub(super) fn new(icon: &'static str, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { icon, title: title.into(), text: text.into(), link: None }
    }

    /// Goes on after the text.
    pub(super) fn link(self, label: &str, address: String) -> Self {
        Self { link: Some(Link { label: label.to_owned(), address }), ..self }
    }
}
