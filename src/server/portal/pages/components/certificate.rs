//! A component's certificate, decoded, and as a file.

use zeroize::Zeroizing;

use crate::ca::{CertificateDescription, certificate_pem};
use crate::clock::Timestamp;
use crate::domain::{CertificateRecord, CertificateStatus, RevocationReason};
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::object::{Body, Grid, GridRow, Panel};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Badge, Cell, Detail};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};

/// One certificate as PEM.
pub(in crate::server::portal) async fn download(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, management, actor) = (visit.customer()?, visit.kind(), portal.management(), &session.actor);
    let id = visit.id()?;
    let record = management.find_component_certificate(actor, customer, kind, id).await?;
    let text = Zeroizing::new(certificate_pem(&record.der));
    Ok(Reply::file(format!("{kind}-{id}.pem"), "application/x-pem-file", text))
}

/// Everything that the certificate says; empty for a row that cannot be read.
pub(super) fn decoded(der: &[u8]) -> Vec<Detail> {
    let Some(found) = CertificateDescription::read(der) else { return Vec::new() };
    let codes = |texts: Vec<String>| if texts.is_empty() { Cell::Nothing } else { Cell::Codes(texts) };
    let code = |text: Option<String>| text.map_or(Cell::Nothing, Cell::Mono);
    let names = found.alternative_names.iter().map(|name| format!("{}: {}", name.kind, name.value)).collect();
    let mut details = vec![
        Detail::new("Subject", Cell::Mono(found.facts.subject)),
        Detail::new("Issuer", Cell::Mono(found.facts.issuer)),
        Detail::new("Serial number", Cell::Mono(found.serial_hex)),
        Detail::new("Valid from", Cell::Time(Instant::to_the_second(found.facts.not_before))),
        Detail::new("Valid until", Cell::Time(Instant::to_the_second(found.facts.not_after))),
        Detail::new("Alternative names", codes(names)),
        Detail::new("Key usage", Cell::text(found.key_usages.join(", "))),
        Detail::new("Extended key usage", Cell::text(found.extended_key_usages.join(", "))),
        Detail::new("Public key", Cell::Text(found.public_key)),
        Detail::new("Signature", Cell::Text(found.signature_algorithm)),
        Detail::new("Subject key id", code(found.subject_key_identifier)),
        Detail::new("Authority key id", code(found.authority_key_identifier)),
    ];
    if !found.crl_uris.is_empty() {
        details.push(Detail::new("CRL", codes(found.crl_uris)));
    }
    details.push(Detail::new("SHA-256", Cell::Mono(found.sha256)));
    details.push(Detail::new("Public key SHA-256", Cell::Mono(found.public_key_sha256)));
    details
}

/// All that the component was given, the newest first.
pub(super) fn all(certificates: &[CertificateRecord], now: Timestamp) -> Panel {
    let row = |record: &CertificateRecord| {
        GridRow::new(vec![
            Cell::Mono(record.serial.to_string()),
            Cell::Time(Instant::past(record.issued_at, now)),
            Cell::Time(Instant::at(record.not_after)),
            Cell::Badge(status(record, now)),
            why(record),
        ])
    };
    let heads = vec!["Serial number", "Issued", "Valid until", "Status", "On the CRL"];
    Panel::new("certificates", "Certificates", Body::Grid(Grid::new(heads, certificates.iter().map(row).collect())))
}

/// What its entry on the CRL says, if it has one.
fn why(record: &CertificateRecord) -> Cell {
    match record.status {
        CertificateStatus::Revoked { at, reason } => {
            Cell::Text(format!("{}, since {}", say::revocation_reason(reason), say::minute(at)))
        }
        CertificateStatus::Superseded { at } => {
            let reason = say::revocation_reason(RevocationReason::Superseded);
            Cell::Text(format!("{reason}, since {}", say::minute(at)))
        }
        CertificateStatus::Current | CertificateStatus::Renewed { .. } => Cell::Nothing,
    }
}

fn status(record: &CertificateRecord, now: Timestamp) -> Badge {
    match record.status {
        CertificateStatus::Renewed { .. } => Badge::new("badge-line", "rotate", "Renewed"),
        CertificateStatus::Revoked { .. } => Badge::new("badge-bad", "revoke", "Revoked"),
        CertificateStatus::Superseded { .. } => Badge::new("badge-line", "rotate", "Superseded"),
        CertificateStatus::Current if record.not_after <= now => Badge::new("badge-bad", "clock", "Expired"),
        CertificateStatus::Current => Badge::new("badge-ok", "dot", "Current"),
    }
}
