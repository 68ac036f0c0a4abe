//! A signing certificate: the page with its chain and who uses it, its files, edit, upload, delete.

use hyper::StatusCode;
use zeroize::Zeroizing;

use super::signing_certificates::{issuer, lifetime, state_badge, state_label, tone};
use crate::ca::{CertificateDescription, CertificateFacts, certificate_pem, request_pem};
use crate::clock::{DAY_SECONDS, Timestamp};
use crate::domain::certificate::SigningState;
use crate::domain::{Kind, Revision, Role, SigningCertificate};
use crate::id::{CustomerId, Id as _, SigningCertificateId};
use crate::management::keys::KeyView;
use crate::management::sessions::Session;
use crate::management::signing_certificates::{DeletionPreview, SigningCertificateInput, SigningCertificateView};
use crate::management::{Error, Field as Subject, Input, Object};
use crate::server::http::form::encode_into;
use crate::server::portal::Portal;
use crate::server::portal::ask::{CONFIRM, Confirmation, FormPage, check_typed_name};
use crate::server::portal::form::{Faults, Field, Form, Names, number, text};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::object::{
    Again, Body, ChainLink, Edited, Grid, GridRow, ObjectPage, Other, Panel, REVISION, Remark, Stat, author,
    changed_meanwhile, modified, revision,
};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Cell, Detail};
use crate::server::portal::visit::{Fields, Visit};
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
        side: vec![settings(customer, &view, modified(row.modified_at, author))],
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
            "Devices with keys that name it are refused, renewals too. Choose another signing certificate for these keys.",
        ),
        SigningState::Active if !tone(row.not_after, now).is_empty() => remark(
            "note-warn",
            "clock",
            &format!("Expires {}", say::ahead(row.not_after, now)),
            "Make its successor and choose it for the keys below; components move to it with their next renewal.",
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

// --- edit

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let row = find(portal, visit, session).await?.certificate;
    let form = edit_form(&values_of(&row));
    Ok(Reply::ok(&edit_page(portal, visit, session, &row, form, row.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, values) = (visit.customer()?, visit.id()?, &visit.form);
    let expected = revision(visit)?;
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let input = SigningCertificateInput {
            name: text(values.text("name")),
            description: text(values.text("description")),
            allow_signing: Input::Given(!values.text("allow_signing").is_empty()),
            component_lifetime_days: number(values.text("component_lifetime")),
            ..SigningCertificateInput::default()
        };
        let result =
            portal.management().edit_signing_certificate(&session.actor, customer, id, Some(expected), &input).await;
        Edited::of(result, NAMES, values, "signing certificate")?
    };
    let row = find(portal, visit, session).await?.certificate;
    if let Edited::Done = edited {
        return Ok(Reply::see_other(address(customer, id, "")).with_notice(row.name.as_str(), "was saved."));
    }
    let other = other(portal, session, &row).await?;
    let Again { status, form, revision } = edited.again(edit_form(values), expected, other);
    Ok(Reply::page(status, &edit_page(portal, visit, session, &row, form, revision).await?))
}

async fn other(portal: &Portal, session: &Session, row: &SigningCertificate) -> Result<Other, Error> {
    let author = author(portal, session, row.customer_id, row.modified_by).await?;
    let sentence = changed_meanwhile(author.as_ref(), "signing certificate", row.modified_at, portal.now());
    Ok(Other { values: values_of(row), revision: row.revision, sentence })
}

fn edit_form(values: &Fields) -> Form {
    Form::new(vec![
        Field::text("name", "Name", values),
        Field::tick("allow_signing", "Allow signing", values, true)
            .hint("While it is off, devices with keys that name it are refused, renewals too."),
        Field::number("component_lifetime", "Days that what it signs is valid for", values)
            .hint("1 to 3,650. Of certificates from now on; never beyond its own end."),
        Field::text("description", "Description", values).optional(),
    ])
}

fn values_of(row: &SigningCertificate) -> Fields {
    Fields::of([
        ("name", row.name.as_str()),
        ("allow_signing", if row.allow_signing { "on" } else { "" }),
        ("component_lifetime", &(row.lifetime_seconds / DAY_SECONDS).to_string()),
        ("description", row.description.as_str()),
    ])
}

async fn edit_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    row: &SigningCertificate,
    form: Form,
    revision: Revision,
) -> Result<FormPage, Trouble> {
    let title = format!("Edit {}", row.name);
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, row.customer_id, PLACE, &title).await?,
        head: PageHead::below_place(row.customer_id, PLACE, title),
        form,
        action: address(row.customer_id, row.id, "/edit"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Save signing certificate",
        cancel: address(row.customer_id, row.id, ""),
    })
}

// --- the certificate that an operator's CA made

pub(in crate::server::portal) async fn ask_certificate(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let row = find(portal, visit, session).await?.certificate;
    let form = upload_form(&Fields::default());
    Ok(Reply::ok(&upload_page(portal, visit, session, &row, form, row.revision).await?))
}

pub(in crate::server::portal) async fn upload(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, values) = (visit.customer()?, visit.id()?, &visit.form);
    let expected = revision(visit)?;
    let (certificate, chain) = (values.text("certificate").trim(), values.text("chain").trim());
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else if certificate.is_empty() {
        Edited::Refused(Faults::of("certificate", "Certificate is missing."))
    } else {
        let input = SigningCertificateInput {
            certificate: text(certificate),
            chain: text(chain),
            ..SigningCertificateInput::default()
        };
        let result =
            portal.management().edit_signing_certificate(&session.actor, customer, id, Some(expected), &input).await;
        Edited::of(result, NAMES, values, "signing certificate")?
    };
    let row = find(portal, visit, session).await?.certificate;
    let form = upload_form(values);
    let (status, form, revision) = match edited {
        Edited::Done => {
            let sentence = match row.state(portal.now()) {
                SigningState::Active => format!("has its certificate and can sign until {}.", say::day(row.not_after)),
                other => format!("has its certificate. {}.", state_label(other)),
            };
            return Ok(Reply::see_other(address(customer, id, "")).with_notice(row.name.as_str(), sentence));
        }
        // There are no two versions of what was pasted: it goes on from the newer one.
        Edited::Outdated => {
            let sentence = other(portal, session, &row).await?.sentence;
            (StatusCode::CONFLICT, Form { conflict: Some(sentence), ..form }, row.revision)
        }
        Edited::Refused(faults) => {
            let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            (status, form.with_faults(&faults), expected)
        }
    };
    Ok(Reply::page(status, &upload_page(portal, visit, session, &row, form, revision).await?))
}

fn upload_form(values: &Fields) -> Form {
    Form::new(vec![
        Field::code("certificate", "Certificate", values, 10)
            .hint("PEM of the CA certificate that your CA made of the CSR; its issuers may follow it."),
        Field::code("chain", "Chain", values, 8)
            .hint("PEM of the issuers up to the root, where they do not follow the certificate.")
            .optional(),
    ])
}

async fn upload_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    row: &SigningCertificate,
    form: Form,
    revision: Revision,
) -> Result<FormPage, Trouble> {
    let title = format!("Upload the certificate of {}", row.name);
    let mut head = PageHead::below_place(row.customer_id, PLACE, &*title);
    head.lead = match &row.certificate {
        None => "It is tried out before it is stored: it signs a certificate of each kind, which another verifier \
                 checks."
            .to_owned(),
        Some(_) => "It takes the place of the present one, with the same key and the same subject, so that what was \
                    signed stays good. It is tried out before it is stored."
            .to_owned(),
    };
    if row.csr.is_some() {
        let csr = address(row.customer_id, row.id, "/request.pem");
        head.actions = vec![HeadAction::new("Download CSR", "download", csr)];
    }
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, row.customer_id, PLACE, title).await?,
        head,
        form,
        action: address(row.customer_id, row.id, "/certificate"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Upload certificate",
        cancel: address(row.customer_id, row.id, ""),
    })
}

// --- delete

pub(in crate::server::portal) async fn ask_delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let row = find(portal, visit, session).await?.certificate;
    let page = question(portal, visit, session, &row, row.revision, &Faults::default()).await?;
    Ok(Reply::ok(&page))
}

pub(in crate::server::portal) async fn delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id) = (visit.customer()?, visit.id()?);
    let expected = revision(visit)?;
    let row = find(portal, visit, session).await?.certificate;
    let faults = check_typed_name(visit.form.text(CONFIRM), row.name.as_str());
    if visit.is_shown_again {
        return Ok(Reply::ok(&question(portal, visit, session, &row, expected, &Faults::default()).await?));
    }
    if !faults.is_empty() {
        return Ok(Reply::unprocessable(&question(portal, visit, session, &row, expected, &faults).await?));
    }
    match portal.management().delete_signing_certificate(&session.actor, customer, id, Some(expected)).await {
        Ok(()) => Ok(Reply::see_other(PLACE.address(customer)).with_notice(row.name.as_str(), "was deleted.")),
        // Somebody began to use it since the question was asked: it says so now.
        Err(Error::Referenced { .. }) => {
            let page = question(portal, visit, session, &row, expected, &Faults::default()).await?;
            Ok(Reply::page(StatusCode::CONFLICT, &page))
        }
        Err(error) => Err(error.into()),
    }
}

async fn question(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    row: &SigningCertificate,
    revision: Revision,
    faults: &Faults,
) -> Result<Confirmation, Trouble> {
    let (customer, id, name) = (row.customer_id, row.id, row.name.as_str());
    let preview = portal.management().preview_signing_certificate_deletion(&session.actor, customer, id).await?;
    let is_in_use = preview.in_the_way.is_some();
    let (question, sentences) = if is_in_use {
        (format!("{name} is in use and stays"), in_the_way(&preview, portal.now()))
    } else {
        let mut sentences = vec!["Nothing refers to it. Its private key is destroyed with it.".to_owned()];
        if row.sealed_private_key.is_none() {
            sentences = vec!["Nothing refers to it.".to_owned()];
        }
        sentences.push("This cannot be undone.".to_owned());
        (format!("Delete {name}?"), sentences)
    };
    let form = if is_in_use {
        Form::default()
    } else {
        Form::new(vec![Field::text(CONFIRM, "Type its name to confirm", &visit.form)]).with_faults(faults)
    };
    Ok(Confirmation {
        frame: Frame::around(portal, visit, session, customer, PLACE, &*question).await?,
        question,
        sentences,
        form,
        action: address(customer, id, "/delete"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: if is_in_use { "" } else { "Delete signing certificate" },
        is_destructive: true,
        cancel: address(customer, id, ""),
    })
}

/// What refers to it, and what to do about each.
fn in_the_way(preview: &DeletionPreview, now: Timestamp) -> Vec<String> {
    let SigningCertificateReferences { keys, groups, below, signed_until } = preview.references;
    let counted = say::counted;
    let mut sentences = Vec::new();
    if keys > 0 {
        let verb = if keys == 1 { "signs" } else { "sign" };
        let keys = counted(keys, "key", "keys");
        sentences.push(format!("{keys} {verb} with it. Choose another signing certificate for them first."));
    }
    if groups > 0 {
        let verb = if groups == 1 { "starts" } else { "start" };
        let groups = counted(groups, "group", "groups");
        sentences.push(format!("{groups} {verb} new keys with it. Choose another one for them first."));
    }
    if below > 0 {
        let verb = if below == 1 { "was" } else { "were" };
        let below = counted(below, "signing certificate", "signing certificates");
        sentences.push(format!("{below} {verb} issued by it. Delete them first."));
    }
    if let Some(until) = signed_until.filter(|until| now < *until) {
        sentences.push(format!(
            "Certificates that it signed are valid until {}, and its CRL must tell which are revoked. It can go after \
             that; to stop it now, do not allow it to sign.",
            say::minute(until)
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DAY;

    #[test]
    fn everything_in_the_way_of_a_deletion_is_told_with_its_remedy() {
        let now = Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap();
        let told = |keys, groups, below, signed_until| {
            let references = SigningCertificateReferences { keys, groups, below, signed_until };
            in_the_way(&DeletionPreview { in_the_way: references.in_the_way(now), references }, now)
        };
        assert!(told(0, 0, 0, Some(now)).is_empty());
        assert_eq!(told(1, 0, 0, None), ["1 key signs with it. Choose another signing certificate for them first."]);
        let all = told(4_790, 2, 1, Some(now.saturating_add(DAY)));
        assert_eq!(all.len(), 4);
        assert!(all[0].starts_with("4,790 keys sign with it."), "{all:?}");
        assert!(all[3].contains("21 Nov 2026, 16:06"), "{all:?}");
    }

    #[test]
    fn a_whole_list_is_linked_with_the_name_as_it_is() {
        let customer = CustomerId::from_raw(7);
        assert!(shown_all(PLACE, customer, "parent", "Root", 10).is_none());
        let link = shown_all(PLACE, customer, "parent", "Root 2", 11).unwrap();
        assert_eq!(link.address, "/c/7/signing-certificates?parent=%3DRoot%202");
        assert_eq!(link.label, "All 11 Signing Certificates");
    }
}
