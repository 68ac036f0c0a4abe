//! The head of a page: the path to it, its title, what it is for, its primary action, its siblings.
//! Finished words for `head.html`, which a page includes with a field `head`.

use super::Portal;
use super::frame::Place;
use super::kinds::words;
use super::table::Badge;
use super::words as say;
use crate::domain::Kind;
use crate::id::CustomerId;
use crate::management::Error;
use crate::management::sessions::Session;
use crate::store;

#[derive(Default)]
pub(super) struct PageHead {
    /// Outermost first; addresses may be empty.
    pub(super) path: Vec<Link>,
    pub(super) title: String,
    pub(super) badges: Vec<Badge>,
    pub(super) lead: String,
    pub(super) actions: Vec<HeadAction>,
    pub(super) tabs: Vec<Tab>,
    pub(super) tabs_label: &'static str,
}

#[derive(Clone)]
pub(super) struct Link {
    pub(super) label: String,
    pub(super) address: String,
}

pub(super) struct HeadAction {
    pub(super) label: String,
    pub(super) icon: &'static str,
    /// `btn-primary`, `btn-bad` or none.
    pub(super) class: &'static str,
    pub(super) address: String,
    /// It asks something, which a script may do in a dialog.
    pub(super) is_dialog: bool,
    /// It does what it says at once: a form of its own, not a link.
    pub(super) is_post: bool,
}

pub(super) struct Tab {
    pub(super) label: &'static str,
    pub(super) address: String,
    pub(super) count: String,
    pub(super) is_current: bool,
}

/// How much of a kind there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct KindCounts {
    pub(super) components: u64,
    pub(super) groups: u64,
    pub(super) keys: u64,
}

impl KindCounts {
    pub(super) async fn look_up(
        portal: &Portal,
        session: &Session,
        customer: CustomerId,
        kind: Kind,
    ) -> Result<Self, Error> {
        let store::KindCounts { components, groups, keys } =
            portal.management().kind_counts(&session.actor, customer, kind).await?;
        Ok(Self { components, groups, keys })
    }
}

impl PageHead {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Of one of a kind's three lists: the path, and the other two beside it.
    pub(super) fn of_kind(customer: CustomerId, place: Place, kind: Kind, counts: &KindCounts) -> Self {
        let tab = |other: Place, count: u64| Tab {
            label: other.label(),
            address: other.address(customer),
            count: say::number(count),
            is_current: other == place,
        };
        Self {
            path: path_of(kind),
            title: place.label().to_owned(),
            tabs: vec![
                tab(Place::Components(kind), counts.components),
                tab(Place::Groups(kind), counts.groups),
                tab(Place::Keys(kind), counts.keys),
            ],
            tabs_label: words(kind).section,
            ..Self::default()
        }
    }

    /// Of a page below one of a kind's lists.
    pub(super) fn below(customer: CustomerId, place: Place, kind: Kind, title: impl Into<String>) -> Self {
        let mut path = path_of(kind);
        path.push(Link { label: place.label().to_owned(), address: place.address(customer) });
        Self { path, ..Self::new(title) }
    }

    /// Of a page below one that is in the navigation.
    pub(super) fn below_place(customer: CustomerId, place: Place, title: impl Into<String>) -> Self {
        let path = vec![Link { label: place.label().to_owned(), address: place.address(customer) }];
        Self { path, ..Self::new(title) }
    }
}

impl HeadAction {
    pub(super) fn add(label: impl Into<String>, address: String) -> Self {
        Self { label: label.into(), icon: "plus", class: "btn-primary", address, is_dialog: false, is_post: false }
    }

    pub(super) fn new(label: impl Into<String>, icon: &'static str, address: String) -> Self {
        Self { label: label.into(), icon, class: "", address, is_dialog: false, is_post: false }
    }

    /// One that is done at once.
    pub(super) fn post(label: impl Into<String>, icon: &'static str, address: String) -> Self {
        Self { is_post: true, ..Self::new(label, icon, address) }
    }

    /// One that asks before it does anything.
    pub(super) fn ask(label: impl Into<String>, icon: &'static str, address: String) -> Self {
        Self { is_dialog: true, ..Self::new(label, icon, address) }
    }

    pub(super) fn delete(address: String) -> Self {
        Self { class: "btn-bad", ..Self::ask("Delete", "trash", address) }
    }
}

fn path_of(kind: Kind) -> Vec<Link> {
    let words = words(kind);
    let labels = words.captions.iter().copied().chain([words.section]);
    labels.map(|label| Link { label: label.to_owned(), address: String::new() }).collect()
}
