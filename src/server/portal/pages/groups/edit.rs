//! Adding a group and changing one.

use hyper::StatusCode;

use super::{address, may_edit};
use crate::domain::{Group, Kind};
use crate::id::{CustomerId, GroupId, SigningCertificateId};
use crate::management::groups::GroupInput;
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{self, Faults, Field, Form, Names};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::kinds::words;
use crate::server::portal::object::{self, Again, Edited, Other};
use crate::server::portal::pages::signing_certificates::usable;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};

const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::Description, "description", "Description"),
    (Subject::Enabled, "enabled", "Status"),
    (Subject::SigningCertificate, "certificate", "Signing Certificate"),
    (Subject::Addresses, "addresses", "Addresses"),
];

pub(in crate::server::portal) async fn add(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let certificates = Certificates::look_up(portal, session, customer, kind).await?;
    let default = certificates.default.map(|id| id.to_string()).unwrap_or_default();
    let values = Fields::of([("enabled", "on"), ("certificate", &default)]);
    adding(portal, visit, session, form(&values, &certificates), StatusCode::OK).await
}

pub(in crate::server::portal) async fn create(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let faults = if visit.is_shown_again {
        Faults::default()
    } else {
        match portal.management().create_group(&session.actor, customer, kind, input(&visit.form)).await {
            Ok(made) => {
                let sentence = "was added. Make a key, and devices can join it.";
                return Ok(Reply::see_other(address(&made.group, "")).with_notice(made.group.name.as_str(), sentence));
            }
            Err(error) => Faults::of_error(error, NAMES, &visit.form, &object_word(kind))?,
        }
    };
    let certificates = Certificates::look_up(portal, session, customer, kind).await?;
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    adding(portal, visit, session, form(&visit.form, &certificates).with_faults(&faults), status).await
}

async fn adding(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    form: Form,
    status: StatusCode,
) -> Result<Reply, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    let (place, title) = (Place::Groups(kind), format!("Add {}", words(kind).group));
    refuse_unless_allowed(session)?;
    let page = FormPage {
        frame: Frame::around(portal, visit, session, customer, place, title.as_str()).await?,
        head: PageHead::below(customer, place, kind, title),
        form,
        action: format!("{}/add", place.address(customer)),
        hidden: Vec::new(),
        button: "Add group",
        cancel: place.address(customer),
    };
    Ok(Reply::page(status, &page))
}

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let group = find(portal, visit, session).await?;
    let certificates = Certificates::of_group(portal, session, &group).await?;
    let form = form(&values_of(&group), &certificates);
    editing(portal, visit, session, &group, Again { status: StatusCode::OK, form, revision: group.revision }).await
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, kind, id) = (visit.customer()?, visit.kind(), visit.id::<GroupId>()?);
    let (typed, expected) = (&visit.form, object::revision(visit)?);
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let edited =
            portal.management().edit_group(&session.actor, customer, kind, id, Some(expected), &input(typed)).await;
        Edited::of(edited, NAMES, typed, &object_word(kind))?
    };
    if let Edited::Done = edited {
        let address = format!("{}/{id}", Place::Groups(kind).address(customer));
        return Ok(object::saved(address, typed.text("name")));
    }
    let group = find(portal, visit, session).await?;
    let who = object::author(portal, session, customer, group.modified_by).await?;
    let sentence = object::changed_meanwhile(who.as_ref(), "group", group.modified_at, portal.now());
    let other = Other { values: values_of(&group), revision: group.revision, sentence };
    let certificates = Certificates::of_group(portal, session, &group).await?;
    let again = edited.again(form(typed, &certificates), expected, other);
    editing(portal, visit, session, &group, again).await
}

async fn editing(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    group: &Group,
    Again { status, form, revision }: Again,
) -> Result<Reply, Trouble> {
    refuse_unless_allowed(session)?;
    let place = Place::Groups(group.kind);
    let title = format!("Edit {}", group.name);
    let page = FormPage {
        frame: Frame::around(portal, visit, session, group.customer_id, place, title.as_str()).await?,
        head: PageHead::below(group.customer_id, place, group.kind, title),
        form,
        action: address(group, "/edit"),
        hidden: vec![(object::REVISION, revision.0.to_string())],
        button: "Save group",
        cancel: address(group, ""),
    };
    Ok(Reply::page(status, &page))
}

/// What a group's name is of, in a sentence.
fn object_word(kind: Kind) -> String {
    format!("{} group", words(kind).component)
}

async fn find(portal: &Portal, visit: &Visit, session: &Session) -> Result<Group, Trouble> {
    let (customer, kind) = (visit.customer()?, visit.kind());
    Ok(portal.management().find_group(&session.actor, customer, kind, visit.id()?).await?.group)
}

/// A form that could not be saved is not shown; the use case would refuse it as well.
fn refuse_unless_allowed(session: &Session) -> Result<(), Trouble> {
    if may_edit(session) {
        return Ok(());
    }
    Err(Error::Forbidden { role: session.actor.role, needed: crate::domain::Role::Admin }.into())
}

/// What can be chosen to sign.
struct Certificates {
    /// Ids and names.
    options: Vec<(String, String)>,
    /// The kind's, if it can sign.
    default: Option<SigningCertificateId>,
}

impl Certificates {
    async fn look_up(portal: &Portal, session: &Session, customer: CustomerId, kind: Kind) -> Result<Self, Error> {
        let usable = usable(portal, session, customer).await?;
        let default = usable.iter().find(|one| one.name.as_str() == kind.default_signing_certificate());
        Ok(Self {
            default: default.map(|one| one.id),
            options: usable.iter().map(|one| (one.id.to_string(), one.name.to_string())).collect(),
        })
    }

    /// With the one that the group has, whatever became of it: it stays unless another is chosen.
    async fn of_group(portal: &Portal, session: &Session, group: &Group) -> Result<Self, Trouble> {
        let mut found = Self::look_up(portal, session, group.customer_id, group.kind).await?;
        let id = group.signing_certificate_id;
        if found.options.iter().all(|(value, _)| *value != id.to_string()) {
            let management = portal.management();
            let name = match management.find_signing_certificate(&session.actor, group.customer_id, id).await {
                Ok(view) => view.certificate.name.to_string(),
                Err(Error::NotFound { .. }) => "Deleted".to_owned(),
                Err(error) => return Err(error.into()),
            };
            found.options.insert(0, (id.to_string(), format!("{name} (cannot sign now)")));
        }
        Ok(found)
    }
}

fn form(values: &Fields, certificates: &Certificates) -> Form {
    let certificate = Field::select("certificate", "Signing Certificate", values, certificates.options.iter().cloned());
    let certificate = if certificates.options.is_empty() {
        certificate.hint("None can sign now. Make one under Signing Certificates first.")
    } else {
        certificate.hint("Preselected for new keys of this group. Each key can have another one.")
    };
    Form::new(vec![
        Field::text("name", "Name", values),
        Field::text("description", "Description", values).optional(),
        Field::tick("enabled", "Enabled", values, true).hint("While a group is disabled, none of its keys enrolls."),
        certificate,
    ])
    .with_more(
        "Addresses",
        vec![
            Field::code("addresses", "Addresses", values, 4).optional().hint(
                "Networks from which devices may enroll, one per line, like 203.0.113.0/24. None: from everywhere.",
            ),
        ],
    )
}

fn input(typed: &Fields) -> GroupInput {
    GroupInput {
        name: Input::Given(typed.text("name").to_owned()),
        description: form::text(typed.text("description")),
        enabled: Input::Given(typed.find("enabled").is_some()),
        signing_certificate: form::chosen(typed.text("certificate")),
        addresses: form::lines(typed.text("addresses")),
        attributes: Vec::new(),
    }
}

/// A group as its form would send it.
fn values_of(group: &Group) -> Fields {
    Fields::of([
        ("name", group.name.as_str()),
        ("description", group.description.as_str()),
        ("enabled", if group.enabled { "on" } else { "" }),
        ("certificate", &group.signing_certificate_id.to_string()),
        ("addresses", &group.addresses.entries().collect::<Vec<_>>().join("\n")),
    ])
}
