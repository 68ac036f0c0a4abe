//! What a customer sees who has nothing yet: the next step, with its command.

use crate::domain::{Kind, Role};
use crate::id::CustomerId;
use crate::server::portal::empty::{Empty, Step};
use crate::server::portal::frame::Place;
use crate::server::portal::head::HeadAction;
use crate::server::portal::kinds::words;
use crate::store::KindCounts;

/// The first of these words that are true; `None`: devices have enrolled.
pub(super) fn beginning(customer: CustomerId, role: Role, counts: &[(Kind, KindCounts)]) -> Option<Empty> {
    if counts.iter().any(|(_, counts)| counts.components > 0) {
        return None;
    }
    let with_key = counts.iter().find(|(_, counts)| counts.keys > 0).map(|(kind, _)| *kind);
    let with_group = counts.iter().find(|(_, counts)| counts.groups > 0).map(|(kind, _)| *kind);
    let may_edit = role >= Role::Operator;
    let steps = steps(customer, with_key.or(with_group).unwrap_or(Kind::AppConnector));
    Some(match (with_key, with_group) {
        (Some(kind), _) => {
            let words = words(kind);
            Empty {
                title: "No device has enrolled yet".to_owned(),
                lead: "There is a key. Give it to a device, which shows it once and gets its certificate; then it \
                       appears here."
                    .to_owned(),
                action: Some(HeadAction::new(words.keys, "key", Place::Keys(kind).address(customer))),
                command_lead: "On a device, with the key in a file:",
                command: "muster enroll --key-file key.txt".to_owned(),
                steps,
            }
        }
        (None, Some(kind)) => Empty {
            title: "No provisioning keys yet".to_owned(),
            lead: "There is a group. The next step is a key in it: a device shows the key once and joins the group."
                .to_owned(),
            action: may_edit.then(|| add(customer, kind)),
            command_lead: "Or from a terminal; it prints the key and nothing else:",
            command: format!(
                "muster key create --kind {kind} --group NAME \\\n  --name {} --max-uses 10",
                key_name(kind)
            ),
            steps,
        },
        (None, None) => Empty {
            title: "Nothing enrolls here yet".to_owned(),
            lead: "A device joins with a provisioning key, and a key belongs to a group. The first steps make both, \
                   for App Connectors or for any other kind in the navigation."
                .to_owned(),
            action: may_edit.then(|| add(customer, Kind::AppConnector)),
            command_lead: "Or from a terminal; the second line prints the key and nothing else:",
            command: format!(
                "muster group create --kind app-connector --name HQ\nmuster key create --kind app-connector --group \
                 HQ \\\n  --name {} --max-uses 10",
                key_name(Kind::AppConnector)
            ),
            steps,
        },
    })
}

fn add(customer: CustomerId, kind: Kind) -> HeadAction {
    HeadAction::add(format!("Add {}", words(kind).key), format!("{}/add", Place::Keys(kind).address(customer)))
}

const fn key_name(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "hq-2026",
        Kind::ServiceEdge => "edges-2026",
        Kind::NetworkConnector => "branches-2026",
        Kind::Machine => "laptops-2026",
    }
}

fn steps(customer: CustomerId, kind: Kind) -> Vec<Step> {
    let words = words(kind);
    let step = |icon, title: &str, text: &str, place: Place| {
        Step::new(icon, title, text).link(place.label(), place.address(customer))
    };
    vec![
        step("group", "Make a group", "Where devices belong. All are under", Place::Groups(kind)),
        step("key", "Make a key", "With a limit and a certificate that signs. All are under", Place::Keys(kind)),
        step(
            words.icon,
            "Enroll a device",
            "It shows the key when it first starts. All are under",
            Place::Components(kind),
        ),
    ]
}
