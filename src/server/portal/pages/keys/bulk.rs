//! What is done with the keys that are ticked in a list: enable, disable, delete, as a file.

use crate::domain::{Kind, ProvisioningKey};
use crate::id::{CustomerId, ProvisioningKeyId};
use crate::management::keys::KeyView;
use crate::management::keys::bulk::{BulkInput, BulkResult};
use crate::management::sessions::Session;
use crate::management::{Error, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::Confirmation;
use crate::server::portal::csv::Csv;
use crate::server::portal::form::{Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::ticked::{Ticked, confirmed, named, still_there};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words as say;

use super::count_components;

pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, form) = (visit.customer()?, visit.kind(), &visit.form);
    let list = Place::Keys(kind).address(customer);
    let Ticked { operation, ids, back, is_confirmed } = match Ticked::<ProvisioningKeyId>::read(visit, &list, "key")? {
        Ok(ticked) => ticked,
        Err(back) => return Ok(back),
    };
    let done = match operation {
        "csv" => return export(portal, session, customer, kind, &ids).await,
        "delete" if !is_confirmed => return ask(portal, visit, session, &ids, back).await,
        "delete" => "deleted",
        "disable" => "disabled",
        "enable" => "enabled",
        _ => return Err(Trouble::Malformed),
    };
    let input = BulkInput {
        operation: Input::Given(operation.to_owned()),
        ids: Input::Given(ids),
        expires_at: Input::Absent,
        revoke: Input::Given(form.find("revoke").is_some()),
    };
    let results = portal.management().bulk_keys(&session.actor, customer, kind, input).await?;
    Ok(Reply::see_other(back).with_notice("", summary(&results, done)))
}

async fn ask(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    ids: &[ProvisioningKeyId],
    back: String,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let views = find_all(portal, session, customer, kind, ids).await?;
    let (managed, views): (Vec<_>, Vec<_>) = views.into_iter().partition(|view| view.key.managed_by.is_some());
    let count = views.len() as u64;
    if count == 0 {
        let sentence = "None of the keys that were ticked can be deleted here: they are gone, or managed elsewhere.";
        return Ok(Reply::see_other(back).with_notice("", sentence));
    }
    let mut components = 0;
    for view in &views {
        components += count_components(portal, session, &view.key).await?;
    }
    let words = words(kind);
    let names: Vec<_> = views.iter().map(|view| view.key.name.as_str()).collect();
    let mut sentences = vec![named(&names)];
    if !managed.is_empty() {
        sentences
            .push(format!("{} managed elsewhere and will stay.", are(managed.len() as u64, "more is", "more are")));
    }
    let mut fields = Vec::new();
    if components > 0 {
        let of_them = say::counted(components, words.component, words.components);
        sentences.push(format!("{of_them} came from these keys; they keep working."));
        fields.push(
            Field::tick("revoke", "Revoke them too", &Fields::default(), false)
                .hint("Their certificates stop counting at once."),
        );
    }
    sentences.push("From then on no device enrolls with them. This cannot be undone.".to_owned());
    let question = format!("Delete {}?", keys(count));
    let confirmation = Confirmation {
        frame: Frame::around(portal, visit, session, customer, Place::Keys(kind), question.as_str()).await?,
        question,
        sentences,
        form: Form::new(fields),
        action: format!("{}/bulk", Place::Keys(kind).address(customer)),
        hidden: confirmed("delete", &back, views.iter().map(|view| view.key.id)),
        button: if count == 1 { "Delete key" } else { "Delete keys" },
        is_destructive: true,
        cancel: back,
    };
    Ok(Reply::ok(&confirmation))
}

/// Those that are still there.
async fn find_all(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    ids: &[ProvisioningKeyId],
) -> Result<Vec<KeyView>, Error> {
    still_there(ids, |id| portal.management().find_key(&session.actor, customer, kind, id)).await
}

async fn export(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    kind: Kind,
    ids: &[ProvisioningKeyId],
) -> Result<Reply, Trouble> {
    let words = words(kind);
    let mut csv = Csv::default();
    csv.push([
        "Name",
        "State",
        words.maximum,
        "Provisioning Key Utilization Count",
        words.group,
        "Signing Certificate",
        "View or export",
        "Re-enrollment",
        "Expires",
        "Last used",
        "Created",
        "Modified",
        "Managed by",
        "Key id",
        "Provisioning Key",
        "Description",
    ]);
    for view in find_all(portal, session, customer, kind, ids).await? {
        csv.push(line(&view));
    }
    Ok(Reply::file(format!("{kind}-provisioning-keys.csv"), "text/csv; charset=utf-8", csv.into_text()))
}

/// Times are RFC 3339, numbers plain; of the string there is the short form.
fn line(view: &KeyView) -> [String; 16] {
    let key: &ProvisioningKey = &view.key;
    let text = |value: Option<&dyn ToString>| value.map(ToString::to_string).unwrap_or_default();
    let on_off = |is_on| if is_on { "on" } else { "off" }.to_owned();
    [
        key.name.to_string(),
        view.state.as_str().to_owned(),
        text(key.maximum.as_ref().map(|value| value as _)),
        key.usage.uses.to_string(),
        text(view.group_name.as_ref().map(|value| value as _)),
        text(view.signing_certificate_name.as_ref().map(|value| value as _)),
        on_off(key.is_exportable()),
        on_off(key.allow_re_enrollment),
        text(key.expires_at.as_ref().map(|value| value as _)),
        text(key.usage.last_used.as_ref().map(|used| &used.at as _)),
        key.created_at.to_string(),
        key.modified_at.to_string(),
        text(key.managed_by.as_ref().map(|managed| &managed.label as _)),
        key.key_id.clone(),
        key.hint.clone(),
        key.description.as_str().to_owned(),
    ]
}

/// What came of it, in one sentence: "2 keys enabled, 1 is managed by Terraform prod."
fn summary(results: &[BulkResult], done: &str) -> String {
    let count = results.iter().filter(|result| result.outcome.is_ok()).count() as u64;
    let mut parts = vec![format!("{} {done}", if count == 0 { "No key".to_owned() } else { keys(count) })];
    let mut reasons: Vec<(String, u64)> = Vec::new();
    for reason in results.iter().filter_map(|result| result.outcome.as_ref().err()).map(reason) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    parts.extend(reasons.into_iter().map(|(reason, count)| format!("{} {reason}", are(count, "is", "are"))));
    format!("{}.", parts.join(", "))
}

/// Why a key stays as it was; goes after "is".
fn reason(error: &Error) -> String {
    match error {
        Error::ReadOnly { label } => format!("managed by {label}"),
        Error::NotFound { .. } => "deleted already".to_owned(),
        Error::Outdated { .. } | Error::Contended { .. } => "being changed by somebody else".to_owned(),
        error => {
            tracing::error!(%error, "a key could not be changed with others");
            "left as before, because the store did not answer".to_owned()
        }
    }
}

fn keys(count: u64) -> String {
    say::counted(count, "key", "keys")
}

fn are(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", say::number(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Name;
    use crate::id::Id as _;
    use crate::management::Object;

    #[test]
    fn the_summary_tells_each_outcome_once() {
        let managed = |label: &str| Err(Error::ReadOnly { label: Name::new(label).unwrap() });
        let results = |outcomes: Vec<Result<(), Error>>| -> Vec<BulkResult> {
            let result = |outcome| BulkResult { id: ProvisioningKeyId::from_raw(7), outcome };
            outcomes.into_iter().map(result).collect()
        };
        let told = summary(&results(vec![Ok(()), managed("Terraform prod"), Ok(())]), "enabled");
        assert_eq!(told, "2 keys enabled, 1 is managed by Terraform prod.");
        let gone = || Err(Error::not_found(Object::ProvisioningKey, 7));
        let told = summary(&results(vec![gone(), managed("a"), managed("b"), gone()]), "deleted");
        assert_eq!(told, "No key deleted, 2 are deleted already, 1 is managed by a, 1 is managed by b.");
        assert_eq!(summary(&results(vec![Ok(())]), "disabled"), "1 key disabled.");
    }
}
