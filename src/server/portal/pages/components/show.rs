//! A component's own page.

use std::collections::HashMap;

use super::certificate;
use super::{address, expiry_class, group, history, key, may_edit, signing_certificate, status_badge};
use crate::clock::Timestamp;
use crate::domain::certificate::renew_after;
use crate::domain::{Component, ComponentBadge, ComponentState, Kind, Name};
use crate::id::ComponentId;
use crate::management::components::ComponentView;
use crate::management::components::history::{ComponentEventKind, ComponentHistory};
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::list::where_exactly;
use crate::server::portal::object::{self, Body, ObjectPage, Panel, Remark, Stat};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Cell, Detail};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let id: ComponentId = visit.id()?;
    let view = management.find_component(actor, customer, kind, id).await?;
    let component = &view.component;
    let record = management.find_component_certificate(actor, customer, kind, id).await?;
    let history = management.component_history(actor, customer, kind, id).await?;
    let names = management.name_actors(actor, customer, &history::actors(&history)).await?;
    let author = object::author(portal, session, customer, component.modified_by).await?;
    let frame =
        Frame::around(portal, visit, session, customer, Place::Components(kind), component.name.as_str()).await?;
    let known = Known { view: &view, der: &record.der, history: &history, names: &names, author };
    Ok(Reply::ok(&known.page(frame, may_edit(session), portal.now())))
}

/// All that the page tells.
struct Known<'a> {
    view: &'a ComponentView,
    der: &'a [u8],
    history: &'a ComponentHistory,
    names: &'a HashMap<u64, Name>,
    /// Who changed it last.
    author: Option<Name>,
}

impl Known<'_> {
    fn page(self, frame: Frame, may_edit: bool, now: Timestamp) -> ObjectPage {
        let (view, component) = (self.view, &self.view.component);
        let kind = component.kind;
        let mut head = PageHead::below(component.customer_id, Place::Components(kind), kind, component.name.as_str());
        head.badges.push(status_badge(view.badge));
        component.description.as_str().clone_into(&mut head.lead);
        if may_edit {
            head.actions = actions(component);
        }
        let pem = Link { label: "Download PEM".to_owned(), address: address(component, "/certificate") };
        let decoded = match certificate::decoded(self.der) {
            details if details.is_empty() => Body::Text("The stored certificate cannot be read.".to_owned()),
            details => Body::Pairs(details),
        };
        let said = |text: &Option<String>| text.as_deref().map_or(Cell::Nothing, Cell::text);
        let device = vec![
            Detail::new("Hostname", said(&component.hostname)),
            Detail::new("Platform", said(&component.platform)),
            Detail::new("Software version", said(&component.software_version)),
            Detail::new("Address", Cell::Text(component.remote_address.to_string())),
            Detail::new("Fingerprint", Cell::Mono(component.fingerprint.as_str().to_owned())),
            Detail::new("Same hardware", same_hardware(component)),
        ];
        let settings = vec![
            Detail::new(words(kind).group, group(view)),
            Detail::new("Provisioning Key", key(view)),
            Detail::new("Signing Certificate", signing_certificate(view)),
            Detail::new("Id", Cell::Mono(component.id.to_string())),
            Detail::new("Enrolled", Cell::Time(Instant::at(component.enrolled_at))),
            Detail::new("Modified", object::modified(component.modified_at, self.author)),
        ];
        ObjectPage {
            frame,
            head,
            remarks: remarks(view, now),
            stats: stats(view, self.history, now),
            main: vec![
                Panel::new("certificate", "Certificate", decoded).with_links(vec![pem]),
                history::panel(component, self.history, self.names),
                certificate::all(&self.history.certificates, now),
            ],
            side: vec![
                Panel::new("device", "Device", Body::Pairs(device)),
                Panel::new("belongs", "Belongs to", Body::Pairs(settings)),
            ],
        }
    }
}

fn actions(component: &Component) -> Vec<HeadAction> {
    let at = |what: &str| address(component, what);
    let is_live = component.state == ComponentState::Live;
    let mut actions = vec![HeadAction::new("Edit", "edit", at("/edit"))];
    if is_live && component.enabled {
        actions.push(HeadAction::new("Attach", "link", at("/attach")));
        actions.push(HeadAction::post("Disable", "pause", at("/disable")));
    } else if is_live {
        actions.push(HeadAction::post("Enable", "check", at("/enable")));
    }
    if is_live {
        actions.push(HeadAction::ask("Revoke", "revoke", at("/revoke")));
    }
    actions.push(HeadAction::delete(at("/delete")));
    actions
}

fn remarks(view: &ComponentView, now: Timestamp) -> Vec<Remark> {
    let remark = |class, icon, title: String, text: &str| Remark {
        class,
        icon,
        title,
        text: text.to_owned(),
        links: Vec::new(),
    };
    match view.component.state {
        ComponentState::Revoked { at } => vec![remark(
            "note-bad",
            "revoke",
            format!("Revoked on {}", say::minute(at)),
            "Its certificates no longer count, and its device is refused under this key. Delete it to let the device \
             enroll again.",
        )],
        _ if view.badge == ComponentBadge::Disabled => vec![remark(
            "note-warn",
            "pause",
            "This one is disabled".to_owned(),
            "Its device neither renews nor enrolls again until it is enabled.",
        )],
        _ if view.badge == ComponentBadge::Expired => vec![remark(
            "note-bad",
            "clock",
            format!("Its certificate expired on {}", say::minute(view.relations.not_after)),
            "The device did not renew in time. It has to enroll again: allow re-enrollment on its key, or delete it here.",
        )],
        _ if expiry_class(view, now) == "tag-bad" => vec![remark(
            "note-warn",
            "clock",
            format!("Its certificate expires {}", say::ahead(view.relations.not_after, now)),
            "It should have been renewed by now. Look whether its agent runs and reaches this service.",
        )],
        _ => Vec::new(),
    }
}

fn stats(view: &ComponentView, history: &ComponentHistory, now: Timestamp) -> Vec<Stat> {
    let (component, relations) = (&view.component, &view.relations);
    let renews = renew_after(relations.issued_at, relations.not_after);
    let re_enrolled =
        history.events.iter().filter(|event| matches!(event.what, ComponentEventKind::ReEnrolled { .. })).count();
    let (expires, below) = match relations.not_after <= now {
        true => ("Expired".to_owned(), Cell::Time(Instant::at(relations.not_after))),
        false => (say::ahead(relations.not_after, now), Cell::Time(Instant::at(relations.not_after))),
    };
    vec![
        Stat { label: "Certificate expires", value: expires, class: expiry_class(view, now), below },
        Stat {
            label: "Certificate issued",
            value: Instant::past(relations.issued_at, now).text,
            class: "",
            below: Cell::Text(format!("Due for renewal on {}", say::day(renews))),
        },
        Stat { label: "Enrolled", value: Instant::past(component.enrolled_at, now).text, class: "", below: key(view) },
        Stat {
            label: "Re-enrollments",
            value: format!("{}{}", say::number(re_enrolled as u64), if history.is_cut { " or more" } else { "" }),
            class: "",
            below: Cell::Text(say::counted(history.certificates.len() as u64, "certificate", "certificates")),
        },
    ]
}

/// The lists of all kinds, each of what has the fingerprint; its own kind first.
fn same_hardware(component: &Component) -> Cell {
    let link = |kind: Kind| Link {
        label: words(kind).components.to_owned(),
        address: where_exactly(
            &Place::Components(kind).address(component.customer_id),
            "fingerprint",
            component.fingerprint.as_str(),
        ),
    };
    let others = Kind::ALL.into_iter().filter(|kind| *kind != component.kind);
    Cell::Links(std::iter::once(component.kind).chain(others).map(link).collect())
}

#[cfg(test)]
mod tests {
    use askama::Template as _;

    use super::super::tests::{HOSTILE, now, view};
    use super::*;

    fn rendered(view: &ComponentView, may_edit: bool) -> String {
        let history = ComponentHistory { events: Vec::new(), is_cut: true, certificates: Vec::new() };
        let names = HashMap::new();
        let known = Known { view, der: b"damaged", history: &history, names: &names, author: None };
        known.page(Frame::for_tests(), may_edit, now()).render().unwrap()
    }

    #[test]
    fn a_page_shows_hostile_text_as_text_and_links_the_same_hardware() {
        let html = rendered(&view(HOSTILE), true);
        assert!(html.contains("&#60;script&#62;x") && !html.contains("<script>x") && !html.contains("<img"), "{html}");
        for kind in Kind::ALL {
            let link = format!("/c/7/{kind}/components?fingerprint=%3Ddev-1%2F%2B%3D--------------");
            assert!(html.contains(&link), "{link}");
        }
        assert!(html.contains("The stored certificate cannot be read."));
    }

    #[test]
    fn actions_follow_from_state_and_role() {
        let offered = |view: &ComponentView, may_edit| {
            let html = rendered(view, may_edit);
            ["/edit", "/attach", "/disable", "/enable", "/revoke", "/delete"]
                .map(|action| html.contains(&format!("/components/9{action}\"")))
        };
        let mut view = view("");
        assert_eq!(offered(&view, true), [true, true, true, false, true, true]);
        assert_eq!(offered(&view, false), [false; 6]);
        view.component.enabled = false;
        assert_eq!(offered(&view, true), [true, false, false, true, true, true]);
        view.component.state = ComponentState::Revoked { at: now() };
        assert_eq!(offered(&view, true), [true, false, false, false, false, true]);
        assert!(rendered(&view, true).contains("Revoked on 20 Nov 2026, 16:06"));
    }
}
