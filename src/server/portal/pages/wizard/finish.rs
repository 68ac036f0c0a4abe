//! The last step: the key, and its way to a device.

use askama::Template;

use super::Step;
use crate::domain::{KeySecret, ProvisioningKey};
use crate::management::sessions::Session;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::pages::details::KeyDetails;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::window::{RailStep, Window};
use crate::server::portal::words as say;
use crate::server::portal::{Portal, filters};

/// The last step; also of a key that was chosen for a new component.
#[derive(Template)]
#[template(path = "wizard_details.html", config = "src/server/portal/askama.toml")]
struct DetailsPage {
    frame: Frame,
    window: Window,
    name: String,
    /// Goes on after the name and before the group: "is saved. It allows 40 App Connectors in".
    state: String,
    group: String,
    group_address: String,
    group_id: String,
    /// The string is shown and not kept.
    is_once: bool,
    details: Option<KeyDetails>,
    done: String,
    another: String,
}

/// How one came to the details of a key, and where one goes on to.
pub(in crate::server::portal::pages) struct Way {
    pub(in crate::server::portal::pages) title: String,
    pub(in crate::server::portal::pages) steps: Vec<RailStep>,
    /// Goes between the key's name and what it allows: "is saved. It".
    pub(in crate::server::portal::pages) state: &'static str,
    /// Where the same begins once more.
    pub(in crate::server::portal::pages) another: String,
    pub(in crate::server::portal::pages) done: String,
}

impl Way {
    /// The last step. `string` is the key's, `None` when it cannot be shown again.
    pub(in crate::server::portal::pages) async fn end(
        self,
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        key: &ProvisioningKey,
        group: String,
        string: Option<KeySecret>,
    ) -> Result<Reply, Trouble> {
        let (customer, kind, words) = (key.customer_id, key.kind, words(key.kind));
        let frame = Frame::around(portal, visit, session, customer, Place::Keys(kind), Step::Details.title()).await?;
        let is_once = string.is_some() && !key.is_exportable();
        let allowed = match key.maximum {
            Some(maximum) => say::counted(maximum.get().into(), words.component, words.components),
            None => format!("any number of {}", words.components),
        };
        let details = string.map(|string| KeyDetails::new(customer, key, string, &portal.parts.cloud.load()));
        let page = DetailsPage {
            // What is shown once is not left by the way.
            window: Window::new(self.title, &frame, (!is_once).then(|| self.done.clone()), self.steps),
            frame,
            name: key.name.to_string(),
            state: format!("{} allows {allowed} in", self.state),
            group,
            group_address: format!("{}/{}", Place::Groups(kind).address(customer), key.group_id),
            group_id: key.group_id.to_string(),
            is_once,
            details,
            done: self.done,
            another: self.another,
        };
        Ok(Reply::ok(&page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_shown_once_is_not_left_by_the_way() {
        let page = |is_once: bool| {
            let frame = Frame::for_tests();
            let cancel = (!is_once).then(|| "/list".to_owned());
            DetailsPage {
                window: Window::new("Add Machine".to_owned(), &frame, cancel, Vec::new()),
                frame,
                name: "laptops".to_owned(),
                state: "is saved. It allows 1 Machine in".to_owned(),
                group: "HQ".to_owned(),
                group_address: "/g".to_owned(),
                group_id: "9".to_owned(),
                is_once,
                details: None,
                done: "/list".to_owned(),
                another: "/add".to_owned(),
            }
            .render()
            .unwrap()
        };
        let html = page(true);
        assert!(html.contains("This is the only time the key is shown.") && html.contains("required"));
        assert!(!html.contains("Cancel and close"));
        let html = page(false);
        assert!(!html.contains("only time") && !html.contains("I have stored it"));
    }
}
