//! Editing a key: its kind's own settings first, the rest under More.

use zeroize::Zeroizing;

use super::{find, find_to_change};
use crate::domain::{Kind, ProvisioningKey, Revision};
use crate::management::keys::{KeyInput, KeyView};
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{self, Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::object::{Again, Edited, Other, REVISION, author, changed_meanwhile, revision, saved};
use crate::server::portal::pages::keys::address;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words as say;
use crate::store::{ListQuery, SigningCertificateField, Sort};

const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::SigningCertificate, "certificate", "The signing certificate"),
    (Subject::Exportable, "exportable", "View or export"),
    (Subject::Maximum, "maximum", "The maximum"),
    (Subject::Enabled, "enabled", "Status"),
    (Subject::AllowReEnrollment, "re-enrollment", "Re-enrollment"),
    (Subject::ExpiresAt, "expires", "Expires"),
    (Subject::Addresses, "addresses", "Addresses"),
    (Subject::Description, "description", "Description"),
];

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find_to_change(portal, visit, session).await?;
    let values = values(&view.key);
    let form = form_of(portal, session, &view, &values).await?;
    Ok(Reply::ok(&page(portal, visit, session, &view, form, view.key.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let view = find_to_change(portal, visit, session).await?;
    let (key, typed, management) = (&view.key, &visit.form, portal.management());
    let expected = revision(visit)?;
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let input = input(typed);
        let result =
            management.edit_key(&session.actor, key.customer_id, key.kind, key.id, Some(expected), &input).await;
        Edited::of(result, NAMES, typed, &format!("{} key", words(key.kind).component))?
    };
    let now = find(portal, visit, session).await;
    if matches!(edited, Edited::Done) {
        // It is saved, whether or not it can be read what is new.
        return Ok(match now {
            Ok(now) => Reply::see_other(address(key, "")).with_notice(now.key.name.as_str(), notice(&view, &now)),
            Err(_) => saved(address(key, ""), typed.text("name")),
        });
    }
    let now = now?;
    let author = author(portal, session, key.customer_id, now.key.modified_by).await?;
    let other = Other {
        values: values(&now.key),
        revision: now.key.revision,
        sentence: changed_meanwhile(author.as_ref(), "key", now.key.modified_at, portal.now()),
    };
    let Again { status, form, revision } = edited.again(form_of(portal, session, &now, typed).await?, expected, other);
    Ok(Reply::page(status, &page(portal, visit, session, &now, form, revision).await?))
}

async fn page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    view: &KeyView,
    form: Form,
    revision: Revision,
) -> Result<FormPage, Trouble> {
    let (key, place) = (&view.key, Place::Keys(view.key.kind));
    let title = format!("Edit {}", key.name);
    let mut head = PageHead::below(key.customer_id, place, key.kind, title.as_str());
    head.path.push(Link { label: key.name.to_string(), address: address(key, "") });
    Ok(FormPage {
        frame: Frame::around(portal, visit, session, key.customer_id, place, title).await?,
        head,
        form,
        action: address(key, "/edit"),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Save key",
        cancel: address(key, ""),
    })
}

/// How the form stands for a key as it is.
fn values(key: &ProvisioningKey) -> Fields {
    let tick = |is_on: bool| if is_on { "on" } else { "" }.to_owned();
    let addresses: Vec<_> = key.addresses.entries().collect();
    let pairs = [
        ("name", key.name.to_string()),
        ("certificate", key.signing_certificate_id.to_string()),
        ("exportable", tick(key.is_exportable())),
        ("maximum", key.maximum.map(|maximum| maximum.to_string()).unwrap_or_default()),
        ("enabled", tick(key.enabled)),
        ("re-enrollment", tick(key.allow_re_enrollment)),
        ("expires", form::instant_value(key.expires_at)),
        ("addresses", addresses.join("\n")),
        ("description", key.description.as_str().to_owned()),
    ];
    Fields::new(pairs.into_iter().map(|(name, value)| (name.to_owned(), Zeroizing::new(value))).collect())
}

/// What was typed, for the use case: all of it, as the form shows all of it.
fn input(typed: &Fields) -> KeyInput {
    let tick = |name| Input::Given(!typed.text(name).is_empty());
    KeyInput {
        name: Input::Given(typed.text("name").to_owned()),
        description: form::text(typed.text("description")),
        signing_certificate: form::chosen(typed.text("certificate")),
        maximum: form::number(typed.text("maximum")),
        enabled: tick("enabled"),
        allow_re_enrollment: tick("re-enrollment"),
        expires_at: form::instant(typed.text("expires")),
        addresses: form::lines(typed.text("addresses")),
        exportable: tick("exportable"),
        ..KeyInput::default()
    }
}

async fn form_of(portal: &Portal, session: &Session, view: &KeyView, values: &Fields) -> Result<Form, Error> {
    let (key, words) = (&view.key, words(view.key.kind));
    let certificates = certificates(portal, session, view).await?;
    let is_exportable = key.is_exportable();
    let exportable = Field::tick("exportable", "View or Export Provisioning Key After Creation", values, is_exportable)
        .disabled(!is_exportable)
        .hint(if is_exportable {
            "Switching it off destroys the copy that is kept. This cannot be switched on later."
        } else {
            "The key string is not kept, so this cannot be switched on."
        });
    let maximum = Field::number("maximum", words.maximum, values)
        .hint(if key.kind.requires_maximum() {
            "How many deployments the key allows."
        } else {
            "How many deployments the key allows. Empty: no limit."
        })
        .warn(below_count(key));
    let maximum = if key.kind.requires_maximum() { maximum } else { maximum.optional() };
    let enabled = Field::tick("enabled", "Status: Enabled", values, true);
    let re_enrollment = Field::tick("re-enrollment", "Allow re-enrollment", values, false)
        .hint("Whoever holds the key and knows a fingerprint can then become that component.");
    let name = Field::text("name", "Name", values)
        .hint("Letters, digits, space, “.”, “-” and “_”, up to 255. Those that enrolled keep their names.");
    let group = view.group_name.as_ref().map_or("–", |name| name.as_str());
    let version = key.version.number().map_or_else(|| "Imported".to_owned(), |number| number.to_string());
    let mut first = vec![
        name,
        Field::fixed("group", words.group, group),
        Field::select("certificate", "Signing Certificate", values, certificates),
        exportable,
    ];
    let mut more = Vec::new();
    let summary = match key.kind {
        Kind::AppConnector | Kind::ServiceEdge => {
            first.push(maximum);
            more.extend([enabled, re_enrollment]);
            "Status, re-enrollment, expiry, addresses, description, key version"
        }
        Kind::NetworkConnector => {
            more.extend([maximum, enabled, re_enrollment]);
            "Maximum, status, re-enrollment, expiry, addresses, description, key version"
        }
        Kind::Machine => {
            first.extend([enabled, re_enrollment]);
            more.push(maximum);
            "Maximum, expiry, addresses, description, key version"
        }
    };
    more.extend([
        Field::time("expires", "Expires", values),
        Field::code("addresses", "Addresses", values, 3)
            .optional()
            .hint("One network per line, such as 203.0.113.0/24. Empty: from anywhere."),
        Field::text("description", "Description", values).optional(),
        Field::fixed("version", "Key version", version),
    ]);
    Ok(Form::new(first).with_more(summary, more))
}

/// Those that can sign, and the present one whatever has become of it.
async fn certificates(portal: &Portal, session: &Session, view: &KeyView) -> Result<Vec<(String, String)>, Error> {
    let (key, now) = (&view.key, portal.now());
    let sort = Some(Sort { field: SigningCertificateField::Name, descending: false });
    let query = ListQuery { sort, ..ListQuery::first(ListQuery::<SigningCertificateField>::LIMIT_MAX) };
    let page = portal.management().list_signing_certificates(&session.actor, key.customer_id, &query).await?;
    let mut options = Vec::new();
    for row in page.rows.into_iter().map(|view| view.certificate) {
        let is_present = row.id == key.signing_certificate_id;
        let label = match row.is_usable(now) {
            true => row.name.to_string(),
            false if is_present => format!("{} (cannot sign)", row.name),
            false => continue,
        };
        options.push((row.id.to_string(), label));
    }
    Ok(options)
}

/// A warning, where more is used than the maximum allows.
pub(super) fn below_count(key: &ProvisioningKey) -> Option<String> {
    let maximum = key.maximum.filter(|maximum| maximum.get() < key.usage.uses)?;
    Some(format!(
        "{} uses are taken already. With a maximum of {} the key is exhausted.",
        say::number(key.usage.uses),
        say::number(maximum.get())
    ))
}

/// What is new: "was saved. Maximum # of App Connectors is now 5,000."
pub(super) fn notice(before: &KeyView, after: &KeyView) -> String {
    let (old, new) = (&before.key, &after.key);
    let on_off = |is_on| if is_on { "on" } else { "off" };
    let mut sentences = vec!["was saved.".to_owned()];
    let mut tell = |is_new: bool, what: &str, value: &str| {
        if is_new {
            sentences.push(format!("{what} is now {value}."));
        }
    };
    let maximum = new.maximum.map_or_else(|| "no limit".to_owned(), |maximum| say::number(maximum.get()));
    tell(old.name != new.name, "Its name", new.name.as_str());
    tell(old.maximum != new.maximum, words(new.kind).maximum, &maximum);
    tell(old.enabled != new.enabled, "Status", if new.enabled { "enabled" } else { "disabled" });
    let certificate = after.signing_certificate_name.as_ref().map_or("–", |name| name.as_str());
    tell(old.signing_certificate_id != new.signing_certificate_id, "Signing Certificate", certificate);
    tell(old.is_exportable() != new.is_exportable(), "View or export", on_off(new.is_exportable()));
    tell(old.allow_re_enrollment != new.allow_re_enrollment, "Re-enrollment", on_off(new.allow_re_enrollment));
    let expires = new.expires_at.map_or_else(|| "never".to_owned(), say::minute);
    tell(old.expires_at != new.expires_at, "Expires", &expires);
    if old.maximum != new.maximum
        && let Some(maximum) = new.maximum.filter(|maximum| maximum.get() < new.usage.uses)
    {
        sentences.push(format!(
            "{} uses are taken already. With a maximum of {} the key is exhausted at once.",
            say::number(new.usage.uses),
            say::number(maximum.get())
        ));
    }
    sentences.join(" ")
}
