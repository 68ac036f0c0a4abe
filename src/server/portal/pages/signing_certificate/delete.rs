//! Deleting a signing certificate: what is in the way first, then its name typed.

use hyper::StatusCode;

use super::{PLACE, address, find};
use crate::clock::Timestamp;
use crate::domain::{Revision, SigningCertificate};
use crate::management::Error;
use crate::management::sessions::Session;
use crate::management::signing_certificates::DeletionPreview;
use crate::server::portal::Portal;
use crate::server::portal::ask::{CONFIRM, Confirmation, check_typed_name};
use crate::server::portal::form::{Faults, Field, Form};
use crate::server::portal::frame::Frame;
use crate::server::portal::object::{REVISION, revision};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;
use crate::store::SigningCertificateReferences;

pub(in crate::server::portal) async fn ask(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let row = find(portal, visit, session).await?.certificate;
    let page = question(portal, visit, session, &row, row.revision, &Faults::default()).await?;
    Ok(Reply::ok(&page))
}

pub(in crate::server::portal) async fn submit(
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
}
