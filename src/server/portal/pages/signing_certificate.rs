//! A signing certificate: the page with its chain and who uses it, and its files.

pub(in crate::server::portal) mod delete;
pub(in crate::server::portal) mod edit;
pub(in crate::server::portal) mod replace;
pub(in crate::server::portal) mod upload;

use zeroize::Zeroizing;

use super::signing_certificates::{issuer, lifetime, state_badge, state_label, tone};
use crate::ca::{CertificateDescription, CertificateFacts, certificate_pem, crl_path, request_pem};
use crate::clock::Timestamp;
use crate::domain::certificate::SigningState;
use crate::domain::{Kind, Role, SigningCertificate};
use crate::id::{CustomerId, Id as _, SigningCertificateId};
use crate::management::crls::CrlState;
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::management::signing_certificates::SigningCertificateView;
use crate::management::{Error, Field as Subject, Object};
use crate::server::http::form::encode_into;
use crate::server::portal::Portal;
use crate::server::portal::form::Names;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::object::{
    Body, ChainLink, Grid, GridRow, ObjectPage, Panel, Remark, Stat, author, modified,
};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Cell, Detail};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{
    Comparison, Condition, GroupField, KeyField, ListField, ListQuery, SigningCertificateField,
    SigningCertificateReferences,
};

const PLACE: Place = Place::SigningCertificates;

/// Keys, groups and certificates below it that its page names, of each kind.
const NAMED_MAX: u32 = 10;

const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::Description, "description", "Description"),
    (Subject::AllowSigning, "allow_signing", "Allow signing"),
    (Subject::ComponentLifetimeDays, "component_lifetime", "Lifetime of what it signs"),
    (Subject::Certificate, "certificate", "Certificate"),
    (Subject::Chain, "chain", "Chain"),
];

fn address(customer: CustomerId, id: SigningCertificateId, what: &str) -> String {
    format!("{}/{id}{what}", PLACE.address(customer))
}

async fn find(portal: &Portal, visit: &Visit, session: &Session) -> Result<SigningCertificateView, Trouble> {
    let (customer, id) = (visit.customer()?, visit.id()?);
    Ok(portal.management().find_signing_certificate(&session.actor, customer, id).await?)
}

// --- the page

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, now, actor) = (visit.customer()?, portal.now(), &session.actor);
    let view = find(portal, visit, session).await?;
    let row = &view.certificate;
    let (id, name, state) = (row.id, row.name.as_str(), row.state(now));
    let references = portal.management().find_signing_certificate_references(actor, customer, id).await?;
    let author = author(portal, session, customer, row.modified_by).await?;

    let may_edit = actor.role >= Role::Admin;
    let mut head = PageHead::below_place(customer, PLACE, name);
    head.badges.extend(state_badge(state));
    if may_edit {
        head.actions.push(HeadAction::new("Edit", "edit", address(customer, id, "/edit")));
        let upload = HeadAction::new("Upload certificate", "upload", address(customer, id, "/certificate"));
        if state == SigningState::AwaitsCertificate {
            head.actions.insert(0, HeadAction { class: "btn-primary", ..upload });
        } else if row.csr.is_some() {
            head.actions.push(upload);
        }
        if references.keys > 0 || references.groups > 0 {
            head.actions.push(HeadAction::new("Replace", "rotate", address(customer, id, "/replace")));
        }
        head.actions.push(HeadAction::delete(address(customer, id, "/delete")));
    }
    let mut main = Vec::new();
    if row.certificate.is_some() {
        let chain = Body::Chain(chain(portal, session, customer, row).await?);
        main.push(Panel::new("chain", "Chain", chain));
    }
    main.extend(used_by(portal, session, customer, row, &references).await?);
    if let Some(panel) = decoded(customer, row) {
        main.push(panel);
    }
    let frame = Frame::around(portal, visit, session, customer, PLACE, name).await?;
    Ok(Reply::ok(&ObjectPage {
        frame,
        head,
        remarks: remarks(customer, row, now, may_edit),
        stats: stats(row, &references, now),
        main,
        side: vec![
            settings(customer, &view, modified(row.modified_at, author)),
            crl(portal, session, customer, id).await?,
        ],
    }))
}

fn remarks(customer: CustomerId, row: &SigningCertificate, now: Timestamp, may_edit: bool) -> Vec<Remark> {
    let remark = |class, icon, title: &str, text: &str| Remark {
        class,
        icon,
        title: title.to_owned(),
        text: text.to_owned(),
        links: Vec::new(),
    };
    let remark = match row.state(now) {
        SigningState::AwaitsCertificate => {
            let mut links =
                vec![Link { label: "Download the CSR".to_owned(), address: address(customer, row.id, "/request.pem") }];
            if may_edit {
                let address = address(customer, row.id, "/certificate");
                links.push(Link { label: "Upload the certificate".to_owned(), address });
            }
            let text = "Let your CA sign the CSR as a CA certificate, then upload what it made, with its issuers up to \
                        the root. Until then it cannot sign.";
            Remark { links, ..remark("note-warn", "clock", "Waiting for its certificate", text) }
        }
        SigningState::Expired => remark(
            "note-bad",
            "warn",
            "Expired, it signs nothing",
            "Devices with keys that name it are refused, renewals too. Replace it by another one.",
        ),
        SigningState::Active if !tone(row.not_after, now).is_empty() => remark(
            "note-warn",
            "clock",
            &format!("Expires {}", say::ahead(row.not_after, now)),
            "Make its successor and replace it; components move to the successor with their next renewal.",
        ),
        SigningState::NotAllowed => remark(
            "",
            "pause",
            "Not allowed to sign",
            "Devices with keys that name it are refused until signing is allowed again.",
        ),
        SigningState::Active | SigningState::NoPrivateKey | SigningState::NotYetValid => return Vec::new(),
    };
    vec![remark]
}

fn stats(row: &SigningCertificate, references: &SigningCertificateReferences, now: Timestamp) -> Vec<Stat> {
    let state = row.state(now);
    let expires = match &row.certificate {
        None => Stat { label: "Expires", value: "–".to_owned(), class: "", below: Cell::text("no certificate yet") },
        Some(_) => Stat {
            label: "Expires",
            value: if row.not_after <= now { "Expired".to_owned() } else { say::ahead(row.not_after, now) },
            class: tone(row.not_after, now),
            below: Cell::Time(Instant::at(row.not_after)),
        },
    };
    let can_sign = Stat {
        label: "Can sign",
        value: if state == SigningState::Active { "Yes" } else { "No" }.to_owned(),
        class: "",
        below: Cell::text(match state {
            SigningState::Active => format!("certificates for {}", lifetime(row)),
            other => state_label(other).to_owned(),
        }),
    };
    let count =
        |label, count: u64, below: &str| Stat { label, value: say::number(count), class: "", below: Cell::text(below) };
    vec![
        expires,
        can_sign,
        count("Keys", references.keys, "sign with it"),
        count("Groups", references.groups, "start new keys with it"),
    ]
}

fn settings(customer: CustomerId, view: &SigningCertificateView, modified: Cell) -> Panel {
    let row = &view.certificate;
    let issued_by = match (&view.parent_name, row.parent_id) {
        (Some(name), Some(id)) => Cell::Link { label: name.to_string(), address: address(customer, id, "") },
        _ => Cell::text(issuer(row)),
    };
    let details = vec![
        Detail::new("Issued by", issued_by),
        Detail::new("Allow signing", Cell::yes_no(row.allow_signing)),
        Detail::new("Private key", Cell::text(if row.sealed_private_key.is_some() { "Here, sealed" } else { "None" })),
        Detail::new("What it signs", Cell::Text(format!("valid for {}", lifetime(row)))),
        Detail::new("Description", Cell::text(row.description.as_str())),
        Detail::new("Created", Cell::Time(Instant::at(row.created_at))),
        Detail::new("Modified", modified),
        Detail::new("Id", Cell::Mono(row.id.to_string())),
    ];
    let mut panel = Panel::new("settings", "Settings", Body::Pairs(details));
    if row.csr.is_some() {
        let csr = Link { label: "CSR".to_owned(), address: address(customer, row.id, "/request.pem") };
        panel = panel.with_links(vec![csr]);
    }
    panel
}

/// The list that tells which certificates of its count no more.
async fn crl(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    id: SigningCertificateId,
) -> Result<Panel, Error> {
    let management = portal.management();
    let body = match management.find_crl_state(&session.actor, customer, id).await? {
        CrlState::NotAllowed => Body::Text(
            "Its key usage has no cRLSign, so there is no CRL, and what it signs names none: relying services cannot \
             learn of a revocation. Ask the CA that signed it for a certificate with cRLSign, and upload that."
                .to_owned(),
        ),
        CrlState::NotNeeded => Body::Text("It signs nothing, so there is none.".to_owned()),
        CrlState::NotYet => Body::Text("The first one comes within seconds.".to_owned()),
        CrlState::Published(head) => {
            let at = match management.crl_uri(id) {
                Some(uri) => Cell::Mono(uri),
                None => Cell::Text(format!("{} on the enrollment listener; certificates do not name it", crl_path(id))),
            };
            let details = vec![
                Detail::new("Address", at),
                Detail::new("Revoked", Cell::Text(say::counted(head.entries, "certificate", "certificates"))),
                Detail::new("Number", Cell::Mono(head.number.0.to_string())),
                Detail::new("Counts from", Cell::Time(Instant::at(head.this_update))),
                Detail::new("Counts until", Cell::Time(Instant::at(head.next_update))),
            ];
            Body::Pairs(details)
        }
    };
    Ok(Panel::new("crl", "CRL", body))
}

/// The certificate as it would be read to somebody.
fn decoded(customer: CustomerId, row: &SigningCertificate) -> Option<Panel> {
    let CertificateDescription {
        facts,
        serial_hex,
        authority,
        key_usages,
        public_key,
        signature_algorithm,
        subject_key_identifier,
        sha256,
        ..
    } = CertificateDescription::read(row.certificate.as_deref()?)?;
    let below = match authority.map(|authority| authority.path_length) {
        Some(Some(0)) => "components only".to_owned(),
        Some(Some(length)) => format!("CAs, {}", say::counted(u64::from(length), "level", "levels")),
        Some(None) => "CAs, any number of levels".to_owned(),
        None => "nothing".to_owned(),
    };
    let details = vec![
        Detail::new("Subject", Cell::text(facts.subject)),
        Detail::new("Issuer", Cell::text(facts.issuer)),
        Detail::new("Valid from", Cell::Time(Instant::at(facts.not_before))),
        Detail::new("Valid until", Cell::Time(Instant::at(facts.not_after))),
        Detail::new("Key", Cell::text(public_key)),
        Detail::new("Signature", Cell::text(signature_algorithm)),
        Detail::new("May stand above", Cell::Text(below)),
        Detail::new("Key usage", Cell::text(key_usages.join(", "))),
        Detail::new("Serial number", Cell::Mono(serial_hex)),
        Detail::new("Subject key identifier", Cell::Mono(subject_key_identifier.unwrap_or_default())),
        Detail::new("SHA-256", Cell::Mono(sha256)),
    ];
    let file = |label: &str, what: &str| Link { label: label.to_owned(), address: address(customer, row.id, what) };
    let mut links = vec![file("Certificate, PEM", "/certificate.pem")];
    if !row.chain.is_empty() {
        links.push(file("With its chain, PEM", "/chain.pem"));
    }
    Some(Panel::new("certificate", "Certificate", Body::Facts(details)).with_links(links))
}

/// From this one up to the root; those that are ours with a link.
async fn chain(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    row: &SigningCertificate,
) -> Result<Vec<ChainLink>, Error> {
    let link = |der: &[u8], address: String, remark: &str| {
        let facts = CertificateFacts::read(der);
        let until = facts.as_ref().map(|facts| format!(" until {}", say::day(facts.not_after))).unwrap_or_default();
        let subject = match facts {
            Some(facts) if facts.common_name.is_empty() => facts.subject,
            Some(facts) => facts.common_name,
            None => "A certificate that cannot be read".to_owned(),
        };
        ChainLink { subject, address, remark: format!("{remark}{until}") }
    };
    let own = row.certificate.as_deref().unwrap_or_default();
    let is_root = row.chain.is_empty();
    let mut links = vec![link(own, String::new(), if is_root { "this one, a root," } else { "this one," })];
    let mut next = row.parent_id;
    for (index, der) in row.chain.iter().enumerate() {
        let mut above = String::new();
        if let Some(id) = next.take() {
            match portal.management().find_signing_certificate(&session.actor, customer, id).await {
                Ok(parent) if parent.certificate.certificate.as_ref() == Some(der) => {
                    above = address(customer, id, "");
                    next = parent.certificate.parent_id;
                }
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let remark = match (index + 1 == row.chain.len(), above.is_empty()) {
            (true, true) => "root, from elsewhere,",
            (true, false) => "root,",
            (false, true) => "from elsewhere,",
            (false, false) => "",
        };
        links.push(link(der, above, remark));
    }
    for link in &mut links {
        link.remark = link.remark.trim().to_owned();
    }
    Ok(links)
}

/// Keys, groups and certificates below it, by name as far as a page goes.
async fn used_by(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    row: &SigningCertificate,
    references: &SigningCertificateReferences,
) -> Result<Vec<Panel>, Error> {
    let (management, actor) = (portal.management(), &session.actor);
    let mut panels = Vec::new();
    if references.keys > 0 {
        let (mut rows, mut links) = (Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let query = naming(row.id, KeyField::SigningCertificateId)?;
            let page = management.list_keys(actor, customer, kind, &query).await?;
            rows.extend(page.rows.iter().map(|view| key_row(customer, kind, view)));
            links.extend(all_of(Place::Keys(kind), customer, row, page.total));
        }
        let grid = Grid::new(vec!["Name", "Group", "Kind", "Uses"], rows);
        panels.push(Panel::new("keys", "Keys that sign with it", Body::Grid(grid)).with_links(links));
    }
    if references.groups > 0 {
        let (mut rows, mut links) = (Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let query = naming(row.id, GroupField::SigningCertificateId)?;
            let page = management.list_groups(actor, customer, kind, &query).await?;
            rows.extend(page.rows.iter().map(|view| {
                let group = &view.group;
                GridRow::new(vec![
                    linked(group.name.as_str(), Place::Groups(kind), customer, group.id),
                    Cell::text(words(kind).component),
                    super::administrators::status(group.enabled),
                ])
            }));
            links.extend(all_of(Place::Groups(kind), customer, row, page.total));
        }
        let grid = Grid::new(vec!["Name", "Kind", "Status"], rows);
        panels.push(Panel::new("groups", "Groups that start keys with it", Body::Grid(grid)).with_links(links));
    }
    if references.below > 0 {
        let query = naming(row.id, SigningCertificateField::ParentId)?;
        let page = management.list_signing_certificates(actor, customer, &query).await?;
        let now = portal.now();
        let rows = page.rows.iter().map(|view| {
            let below = &view.certificate;
            GridRow::new(vec![
                linked(below.name.as_str(), PLACE, customer, below.id),
                Cell::text(state_label(below.state(now))),
                Cell::Time(Instant::at(below.not_after)),
            ])
        });
        let grid = Grid::new(vec!["Name", "Status", "Expires"], rows.collect());
        let links = shown_all(PLACE, customer, "parent", row.name.as_str(), page.total);
        panels.push(Panel::new("below", "Issued by it", Body::Grid(grid)).with_links(links.into_iter().collect()));
    }
    if panels.is_empty() {
        let text = "No key, no group and no signing certificate refers to it.".to_owned();
        panels.push(Panel::new("uses", "Used by", Body::Text(text)));
    }
    Ok(panels)
}

fn key_row(customer: CustomerId, kind: Kind, view: &KeyView) -> GridRow {
    let key = &view.key;
    let group = view.group_name.as_ref().map_or("–", |name| name.as_str());
    GridRow::new(vec![
        linked(key.name.as_str(), Place::Keys(kind), customer, key.id),
        linked(group, Place::Groups(kind), customer, key.group_id),
        Cell::text(words(kind).component),
        Cell::Text(match key.maximum {
            Some(maximum) => format!("{} of {}", say::number(key.usage.uses), say::number(maximum.get())),
            None => say::number(key.usage.uses),
        }),
    ])
}

fn linked(name: &str, place: Place, customer: CustomerId, id: impl std::fmt::Display) -> Cell {
    Cell::Link { label: name.to_owned(), address: format!("{}/{id}", place.address(customer)) }
}

/// The first of those whose field names a signing certificate.
fn naming<F: ListField>(id: SigningCertificateId, field: F) -> Result<ListQuery<F>, Error> {
    let raw = i64::try_from(id.raw()).map_err(|_| Error::not_found(Object::SigningCertificate, id))?;
    let conditions = vec![Condition::new(field, Comparison::Equals, raw)];
    Ok(ListQuery { conditions, ..ListQuery::first(NAMED_MAX) })
}

/// To a whole list, if there are more than were named.
fn all_of(place: Place, customer: CustomerId, row: &SigningCertificate, total: u64) -> Option<Link> {
    shown_all(place, customer, "cert", row.name.as_str(), total)
}

fn shown_all(place: Place, customer: CustomerId, column: &str, name: &str, total: u64) -> Option<Link> {
    (total > u64::from(NAMED_MAX)).then(|| {
        let mut address = format!("{}?{column}=", place.address(customer));
        encode_into(&mut address, &format!("={name}"));
        Link { label: format!("All {} {}", say::number(total), place.label()), address }
    })
}

// --- files

pub(in crate::server::portal) async fn certificate_file(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let row = find(portal, visit, session).await?.certificate;
    let pem = certificate_pem(row.certificate.as_deref().ok_or(Trouble::NoSuchPage)?);
    Ok(file(format!("{}.pem", row.name), "application/pem-certificate-chain", pem))
}

/// The certificate and its issuers, up to the root.
pub(in crate::server::portal) async fn chain_file(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let row = find(portal, visit, session).await?.certificate;
    let own = row.certificate.as_ref().ok_or(Trouble::NoSuchPage)?;
    let pem = std::iter::once(own).chain(&row.chain).map(|der| certificate_pem(der)).collect();
    Ok(file(format!("{}-chain.pem", row.name), "application/pem-certificate-chain", pem))
}

pub(in crate::server::portal) async fn request_file(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let row = find(portal, visit, session).await?.certificate;
    let pem = request_pem(row.csr.as_deref().ok_or(Trouble::NoSuchPage)?);
    Ok(file(format!("{}.csr", row.name), "application/x-pem-file", pem))
}

fn file(name: String, content_type: &'static str, pem: String) -> Reply {
    Reply::file(name, content_type, Zeroizing::new(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_list_is_linked_with_the_name_as_it_is() {
        let customer = CustomerId::from_raw(7);
        assert!(shown_all(PLACE, customer, "parent", "Root", 10).is_none());
        let link = shown_all(PLACE, customer, "parent", "Root 2", 11).unwrap();
        assert_eq!(link.address, "/c/7/signing-certificates?parent=%3DRoot%202");
        assert_eq!(link.label, "All 11 Signing Certificates");
    }
}
