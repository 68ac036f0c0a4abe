//! Signing certificates: the list, and what it shares with the pages of one.

use crate::ca::CertificateFacts;
use crate::clock::{DAY, DAY_SECONDS, Timestamp};
use crate::domain::attention::{SIGNING_CERTIFICATE_END_NEAR, SIGNING_CERTIFICATE_END_NEAR_DAYS};
use crate::domain::certificate::SigningState;
use crate::domain::{Role, SigningCertificate};
use crate::id::CustomerId;
use crate::management::Error;
use crate::management::sessions::Session;
use crate::management::signing_certificates::SigningCertificateView;
use crate::server::portal::Portal;
use crate::server::portal::empty::{Empty, Step};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::list::{Column, Filter, FilterChoice};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Action, Badge, Cell, Detail, Row, Totals};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{
    Comparison, Condition, ListQuery, Page, SigningCertificateField, SigningCertificateReferences, Sort,
};

const LEAD: &str = "A signing certificate signs the certificates of components: a key names the one that signs for it, \
                    a group the one that new keys start with. Make them here, import them, or let your own CA sign.";

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    let (place, now) = (Place::SigningCertificates, portal.now());
    let listing = Listing::read(portal, visit, session, "signing-certificates", columns(now)).await;
    let unfiltered = management.list_signing_certificates(actor, customer, &listing.whole()).await?.total;
    let Page { rows: views, total: found } =
        listing.find(|query| management.list_signing_certificates(actor, customer, query)).await?;
    let ids: Vec<_> = views.iter().map(|view| view.certificate.id.to_string()).collect();
    let may_edit = actor.role >= Role::Admin;
    let context = Context { customer, now, may_edit };
    let has_uses = listing.shown().contains(&"used");
    let mut rows = Vec::with_capacity(views.len());
    for view in &views {
        let id = view.certificate.id;
        let references = if has_uses {
            Some(management.find_signing_certificate_references(actor, customer, id).await?)
        } else {
            None
        };
        rows.push(context.row(&listing, view, references.as_ref(), &ids));
    }
    let totals = Totals { found, unfiltered };
    let words = (place.label(), "signing certificate", "signing certificates");
    let table = listing.into_table(portal, session, words, rows, totals, None).await?;
    let add = may_edit.then(|| HeadAction::add("Add Signing Certificate", format!("{}/add", place.address(customer))));
    let mut head = PageHead::new(place.label());
    let mut empty = None;
    if unfiltered == 0 {
        empty = Some(nothing_yet(add));
    } else {
        LEAD.clone_into(&mut head.lead);
        head.actions.extend(add);
    }
    let frame = Frame::around(portal, visit, session, customer, place, place.label()).await?;
    Ok(Reply::ok(&ListPage { frame, head, table, empty }))
}

/// Those that can sign now, by name: what keys and groups can be given.
pub(super) async fn usable(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
) -> Result<Vec<SigningCertificate>, Error> {
    let sort = Some(Sort { field: SigningCertificateField::Name, descending: false });
    let allowed = ListQuery::first_where(
        ListQuery::<SigningCertificateField>::LIMIT_MAX,
        SigningCertificateField::AllowSigning,
        Comparison::Equals,
        true,
    );
    let query = ListQuery { sort, ..allowed };
    let found = portal.management().list_signing_certificates(&session.actor, customer, &query).await?;
    Ok(found.rows.into_iter().map(|view| view.certificate).filter(|one| one.is_usable(portal.now())).collect())
}

fn nothing_yet(action: Option<HeadAction>) -> Empty {
    Empty {
        title: "No signing certificates yet".to_owned(),
        lead: LEAD.to_owned(),
        action,
        command_lead: "Or on the command line:",
        command: "muster signing-cert create --name Connector".to_owned(),
        steps: vec![
            Step::new("cert", "Add a signing certificate", "Made here, imported, or signed by your own CA."),
            Step::new("group", "Choose it for a group", "New keys of the group start with it."),
            Step::new("key", "Choose it for a key", "It signs for every device that presents the key."),
        ],
    }
}

fn columns(now: Timestamp) -> Vec<Column<SigningCertificateField>> {
    use SigningCertificateField as Of;
    let state =
        |state: SigningState| FilterChoice::equals(state.as_str(), state_label(state), Of::State, state.as_str());
    let ends = |value: &str, label: String, days: u32| FilterChoice {
        value: value.to_owned(),
        label,
        conditions: vec![
            Condition::new(Of::NotAfter, Comparison::Greater, now.unix_seconds()),
            Condition::new(Of::NotAfter, Comparison::LessOrEquals, now.saturating_add(DAY * days).unix_seconds()),
        ],
    };
    let passed = FilterChoice {
        value: "passed".to_owned(),
        label: "Expired".to_owned(),
        conditions: vec![Condition::new(Of::NotAfter, Comparison::LessOrEquals, now.unix_seconds())],
    };
    vec![
        Column::new("name", "Name", "Name", "", Of::Name).filtered(Filter::Contains(Of::Name)),
        Column::new("status", "Status", "Status", "c-text", Of::State)
            .filtered(Filter::Choice(SigningState::ALL.into_iter().map(state).collect())),
        Column::new("parent", "Issued By", "Issued by", "c-text", Of::ParentName)
            .filtered(Filter::Contains(Of::ParentName)),
        Column::new("expires", "Expires", "Expires", "c-text", Of::NotAfter).filtered(Filter::Choice(vec![
            ends("soon", format!("Within {SIGNING_CERTIFICATE_END_NEAR_DAYS} days"), SIGNING_CERTIFICATE_END_NEAR_DAYS),
            ends("year", "Within a year".to_owned(), 365),
            passed,
        ])),
        Column::new("used", "Used By", "Used by", "c-text", Of::Name).unsorted(),
        Column::new("created", "Created", "Created", "c-when", Of::CreatedAt).optional(),
        Column::new("description", "Description", "Description", "c-text", Of::Description)
            .optional()
            .filtered(Filter::Contains(Of::Description)),
    ]
}

pub(super) const fn state_label(state: SigningState) -> &'static str {
    match state {
        SigningState::Active => "Can sign",
        SigningState::AwaitsCertificate => "Waiting for its certificate",
        SigningState::Expired => "Expired",
        SigningState::NoPrivateKey => "No private key",
        SigningState::NotAllowed => "Not allowed to sign",
        SigningState::NotYetValid => "Not valid yet",
    }
}

/// `None`: it can sign, which needs no badge.
pub(super) fn state_badge(state: SigningState) -> Option<Badge> {
    let (class, icon) = match state {
        SigningState::Active => return None,
        SigningState::AwaitsCertificate => ("badge-warn", "clock"),
        SigningState::Expired => ("badge-bad", "clock"),
        SigningState::NoPrivateKey => ("badge-line", "lock"),
        SigningState::NotAllowed => ("", "pause"),
        SigningState::NotYetValid => ("badge-line", "clock"),
    };
    let label = if state == SigningState::AwaitsCertificate { "Waiting for certificate" } else { state_label(state) };
    Some(Badge::new(class, icon, label))
}

/// `tag-bad` for what has ended, `tag-warn` for what soon does.
pub(super) fn tone(not_after: Timestamp, now: Timestamp) -> &'static str {
    if not_after <= now {
        "tag-bad"
    } else if not_after <= now.saturating_add(SIGNING_CERTIFICATE_END_NEAR) {
        "tag-warn"
    } else {
        ""
    }
}

/// "3 keys, 1 group".
fn used_by(references: &SigningCertificateReferences) -> String {
    let counts = [
        (references.keys, "key", "keys"),
        (references.groups, "group", "groups"),
        (references.below, "certificate below it", "certificates below it"),
    ];
    let used: Vec<_> =
        counts.into_iter().filter(|(count, ..)| *count > 0).map(|(n, one, many)| say::counted(n, one, many)).collect();
    if used.is_empty() { "Nothing".to_owned() } else { used.join(", ") }
}

struct Context {
    customer: CustomerId,
    now: Timestamp,
    may_edit: bool,
}

impl Context {
    fn row(
        &self,
        listing: &Listing<SigningCertificateField>,
        view: &SigningCertificateView,
        references: Option<&SigningCertificateReferences>,
        ids: &[String],
    ) -> Row {
        let certificate = &view.certificate;
        let name = certificate.name.as_str();
        let address =
            |what: &str| format!("{}/{}{what}", Place::SigningCertificates.address(self.customer), certificate.id);
        let mut row = Row::new(&listing.state, &certificate.id, name, address(""), ids);
        let state = certificate.state(self.now);
        if !listing.shown().contains(&"status") {
            row.badges.extend(state_badge(state));
        }
        let cell = |column: &&str| match *column {
            "status" => state_badge(state).map_or_else(|| Cell::text(state_label(state)), Cell::Badge),
            "parent" => self.issued_by(view),
            "expires" => self.expires(certificate),
            "used" => references.map_or(Cell::Nothing, |references| Cell::Text(used_by(references))),
            "created" => Cell::Time(Instant::at(certificate.created_at)),
            "description" => Cell::text(certificate.description.as_str()),
            _ => Cell::Nothing,
        };
        row.cells = listing.shown().iter().map(cell).collect();
        if self.may_edit {
            row.actions = vec![Action::edit(name, address("/edit")), Action::delete(name, address("/delete"))];
        }
        row.details = vec![
            Detail::new("Description", Cell::text(certificate.description.as_str())),
            Detail::new("What it signs is valid for", Cell::Text(lifetime(certificate))),
            Detail::new("Created", Cell::Time(Instant::at(certificate.created_at))),
            Detail::new("Modified", Cell::Time(Instant::at(certificate.modified_at))),
        ];
        row
    }

    fn issued_by(&self, view: &SigningCertificateView) -> Cell {
        match (&view.parent_name, view.certificate.parent_id) {
            (Some(name), Some(id)) => Cell::Link {
                label: name.to_string(),
                address: format!("{}/{id}", Place::SigningCertificates.address(self.customer)),
            },
            _ => Cell::text(issuer(&view.certificate)),
        }
    }

    fn expires(&self, certificate: &SigningCertificate) -> Cell {
        let at = certificate.not_after;
        match tone(at, self.now) {
            _ if certificate.certificate.is_none() => Cell::Nothing,
            "" => Cell::Time(Instant::at(at)),
            class if at <= self.now => Cell::Toned { class, text: format!("{}, expired", say::minute(at)) },
            class => Cell::Toned { class, text: format!("{}, {}", say::day(at), say::ahead(at, self.now)) },
        }
    }
}

/// Who issued one that none of ours did.
pub(super) fn issuer(certificate: &SigningCertificate) -> String {
    match &certificate.certificate {
        None => String::new(),
        Some(_) if certificate.chain.is_empty() => "Itself, a root".to_owned(),
        Some(der) => CertificateFacts::read(der).map(|facts| facts.issuer).unwrap_or_default(),
    }
}

/// "90 days".
pub(super) fn lifetime(certificate: &SigningCertificate) -> String {
    say::counted(u64::from(certificate.lifetime_seconds / DAY_SECONDS), "day", "days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_is_warned_of_from_sixty_days_on() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let in_days = |days: u32| now.saturating_add(DAY * days);
        for (at, expected) in [
            (now.saturating_sub(DAY), "tag-bad"),
            (now, "tag-bad"),
            (in_days(1), "tag-warn"),
            (in_days(60), "tag-warn"),
            (in_days(61), ""),
        ] {
            assert_eq!(tone(at, now), expected, "{at}");
        }
    }

    #[test]
    fn uses_are_told_in_words() {
        let used =
            |keys, groups, below| used_by(&SigningCertificateReferences { keys, groups, below, signed_until: None });
        assert_eq!(used(0, 0, 0), "Nothing");
        assert_eq!(used(3, 1, 0), "3 keys, 1 group");
        assert_eq!(used(0, 0, 5), "5 certificates below it");
    }
}
