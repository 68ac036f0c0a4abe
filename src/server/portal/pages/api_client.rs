//! An API client: the page with the keys that it manages, add, edit, another secret, delete.

use super::administrator::role_field;
use super::administrators::status;
use crate::clock::Timestamp;
use crate::domain::{ApiClient, Kind, Name, ProvisioningKey, Role};
use crate::id::{ApiClientId, CustomerId, Id as _};
use crate::management::api_clients::{ApiClientInput, NewSecret};
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::{Confirmation, FormPage};
use crate::server::portal::form::{Faults, Field, Form, Names, text};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::object::{
    Body, Edited, Grid, GridRow, ObjectForms, ObjectPage, Panel, REVISION, ShownOncePage, ShownValue, Stat, add_form,
    author, modified, revision, saved,
};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Badge, Cell, Detail};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words::{self as say, Instant};
use crate::store::{Comparison, Condition, KeyField, ListQuery};

const PLACE: Place = Place::ApiClients;

/// Managed keys of a kind that are listed by name.
const KEYS_MAX: u32 = 10;

const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::Role, "role", "Role"),
    (Subject::Enabled, "enabled", "Enabled"),
    (Subject::Managing, "managing", "Managing"),
    (Subject::Label, "label", "Label"),
];

fn address(customer: CustomerId, id: ApiClientId, what: &str) -> String {
    format!("{}/{id}{what}", PLACE.address(customer))
}

fn forms(client: &ApiClient) -> ObjectForms<'_> {
    ObjectForms {
        place: PLACE,
        customer: client.customer_id,
        address: address(client.customer_id, client.id, ""),
        name: &client.name,
        what: "API client",
        buttons: ["Save API client", "Delete API client"],
        revision: client.revision,
        modified: (client.modified_at, client.modified_by),
    }
}

/// The keys that an API client manages: some of each kind, and how many there are.
struct Managed {
    keys: Vec<(Kind, ProvisioningKey)>,
    total: u64,
}

impl Managed {
    async fn look_up(portal: &Portal, session: &Session, customer: CustomerId, id: ApiClientId) -> Result<Self, Error> {
        let (mut keys, mut total) = (Vec::new(), 0);
        let raw = i64::try_from(id.raw()).map_err(|_| Error::not_found(crate::management::Object::ApiClient, id))?;
        let condition = Condition::new(KeyField::ManagedById, Comparison::Equals, raw);
        let query = ListQuery { conditions: vec![condition], ..ListQuery::first(KEYS_MAX) };
        for kind in Kind::ALL {
            let page = portal.management().list_keys(&session.actor, customer, kind, &query).await?;
            total += page.total;
            keys.extend(page.rows.into_iter().map(|view| (kind, view.key)));
        }
        Ok(Self { keys, total })
    }

    /// "a, b and 3 more".
    fn names(&self) -> String {
        const NAMED_MAX: usize = 5;
        let named: Vec<_> = self.keys.iter().take(NAMED_MAX).map(|(_, key)| key.name.as_str()).collect();
        let more = self.total - named.len() as u64;
        let named = named.join(", ");
        if more == 0 { named } else { format!("{named} and {} more", say::number(more)) }
    }
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let client = management.find_api_client(actor, customer, id).await?;
    let managed = Managed::look_up(portal, session, customer, id).await?;
    let author = author(portal, session, customer, client.modified_by).await?;
    let name = client.name.as_str();
    let mut head = PageHead::below_place(customer, PLACE, name);
    if !client.enabled {
        head.badges.push(Badge::new("", "pause", "Disabled"));
    }
    if actor.role >= Role::Admin {
        head.actions = vec![
            HeadAction::new("Edit", "edit", address(customer, id, "/edit")),
            HeadAction::new("Replace secret", "rotate", address(customer, id, "/secret")),
            HeadAction::delete(address(customer, id, "/delete")),
        ];
    }
    let rows: Vec<_> = managed.keys.iter().map(|(kind, key)| key_row(customer, *kind, key)).collect();
    let keys = if rows.is_empty() {
        Body::Text(format!("{name} manages no keys."))
    } else {
        Body::Grid(Grid::new(vec!["Name", "Kind", "Created"], rows))
    };
    Ok(Reply::ok(&ObjectPage {
        frame: Frame::around(portal, visit, session, customer, PLACE, name).await?,
        head,
        remarks: Vec::new(),
        stats: stats(&client, managed.total, portal.now()),
        main: vec![Panel::new("keys", "Keys it manages", keys)],
        side: vec![settings(&client, author)],
    }))
}

/// `managed`: how many keys it manages.
fn stats(client: &ApiClient, managed: u64, now: Timestamp) -> Vec<Stat> {
    vec![
        Stat {
            label: "Last used",
            value: client.last_used_at.map_or_else(|| "Never".to_owned(), |at| Instant::past(at, now).text),
            class: "",
            below: Cell::text("last sign-in for a token"),
        },
        Stat {
            label: "Role",
            value: say::role(client.role).to_owned(),
            class: "",
            below: Cell::text(if client.enabled { "enabled" } else { "disabled; refused" }),
        },
        Stat {
            label: "Keys it manages",
            value: say::number(managed),
            class: "",
            below: Cell::text(match &client.managing {
                Some(label) => format!("shown as managed by {label}"),
                None => "new keys are everybody’s".to_owned(),
            }),
        },
        Stat {
            label: "Secret",
            value: say::number(u64::from(client.secret_generation) + 1),
            class: "",
            below: Cell::text(match client.secret_generation {
                0 => "the first, never replaced".to_owned(),
                replaced => format!("replaced {}", times(replaced)),
            }),
        },
    ]
}

fn settings(client: &ApiClient, author: Option<Name>) -> Panel {
    let settings = vec![
        Detail::new("Client ID", Cell::Mono(client.client_id.clone())),
        Detail::new("Role", Cell::text(say::role(client.role))),
        Detail::new("Status", status(client.enabled)),
        Detail::new("Managing", Cell::yes_no(client.managing.is_some())),
        Detail::new("Label", Cell::text(client.managing.as_ref().map_or("", |label| label.as_str()))),
        Detail::new("Created", Cell::Time(Instant::at(client.created_at))),
        Detail::new("Modified", modified(client.modified_at, author)),
        Detail::new("Id", Cell::Mono(client.id.to_string())),
    ];
    Panel::new("settings", "Settings", Body::Pairs(settings))
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{} times", say::number(count)) }
}

fn key_row(customer: CustomerId, kind: Kind, key: &ProvisioningKey) -> GridRow {
    GridRow::new(vec![
        Cell::Link {
            label: key.name.to_string(),
            address: format!("{}/{}", Place::Keys(kind).address(customer), key.id),
        },
        Cell::text(words(kind).component),
        Cell::Time(Instant::at(key.created_at)),
    ])
}

// --- add

pub(in crate::server::portal) async fn add(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    portal.management().authorise(&session.actor, visit.customer()?, Role::Admin).await?;
    let values = Fields::of([("enabled", "on"), ("role", Role::Operator.as_str())]);
    Ok(Reply::ok(&add_page(portal, visit, session, &values, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn save_new(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, values) = (visit.customer()?, &visit.form);
    if visit.is_shown_again {
        return Ok(Reply::ok(&add_page(portal, visit, session, values, &Faults::default()).await?));
    }
    // Before: no read may fail between the secret and whoever waits for it.
    let frame = Frame::around(portal, visit, session, customer, PLACE, values.text("name")).await?;
    match portal.management().create_api_client(&session.actor, customer, input(values)).await {
        Ok(made) => Ok(shown_secret(frame, visit, &made)),
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, values, "API client")?;
            Ok(Reply::unprocessable(&add_page(portal, visit, session, values, &faults).await?))
        }
    }
}

async fn add_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    values: &Fields,
    faults: &Faults,
) -> Result<FormPage, Trouble> {
    let lead = "Client id and secret are made here. The secret is shown once, on the next page.";
    let form = form(values, visit.customer()?, session).with_faults(faults);
    add_form(portal, visit, session, PLACE, ("Add API Client", lead), form).await
}

fn form(values: &Fields, customer: CustomerId, session: &Session) -> Form {
    Form::new(vec![
        Field::text("name", "Name", values),
        role_field(values, customer, session.actor.role),
        Field::tick("managing", "Manages the keys that it makes", values, false)
            .hint("They are read-only to all others: seen and copied as usual, neither edited nor deleted."),
        Field::text("label", "Managing label", values)
            .hint("Such keys are shown as “Managed by …”. The client’s name when empty.")
            .optional(),
        Field::tick("enabled", "Enabled", values, true)
            .hint("A client that is disabled is refused from its next request on."),
    ])
}

/// The page with a secret, and what a program needs beside it.
fn shown_secret(frame: Frame, visit: &Visit, made: &NewSecret) -> Reply {
    let client = &made.client;
    let customer = client.customer_id;
    let name = client.name.as_str();
    let command_line = command_line(&visit.host, name, &client.client_id, customer);
    let terraform = terraform(name, &client.client_id, customer);
    let page = ShownOncePage {
        frame,
        head: PageHead::below_place(customer, PLACE, name),
        what: "secret",
        advice: "Keep it in a vault, never in an argument or in a repository. If it is lost, replace it.",
        values: vec![
            ShownValue { id: "client-id", label: "Client ID", text: &client.client_id, hint: "" },
            ShownValue { id: "client-secret", label: "Client secret", text: &made.credentials.client_secret, hint: "" },
            ShownValue {
                id: "environment",
                label: "For the command line and scripts",
                text: &command_line,
                hint: "tls-trust-anchor.pem is in the service’s data directory.",
            },
            ShownValue {
                id: "terraform",
                label: "For Terraform and the SDKs",
                text: &terraform,
                hint: "Which address each of them needs stands in docs/managing.md.",
            },
        ],
        done: address(customer, client.id, ""),
    };
    Reply::ok(&page)
}

/// The secret comes from a file, so that no shell keeps it in its history.
fn command_line(host: &str, name: &str, client_id: &str, customer: CustomerId) -> String {
    format!(
        "export MUSTER_URL=https://{host}\nexport MUSTER_CLIENT_ID={client_id}\n\
         export MUSTER_CLIENT_SECRET_FILE={}\nexport MUSTER_CUSTOMER_ID={customer}\n\
         export MUSTER_CA_FILE=tls-trust-anchor.pem\n",
        secret_file(name)
    )
}

fn terraform(name: &str, client_id: &str, customer: CustomerId) -> String {
    format!(
        "export ZSCALER_USE_LEGACY_CLIENT=true\nexport ZPA_CLIENT_ID={client_id}\n\
         export ZPA_CLIENT_SECRET=\"$(cat {})\"\nexport ZPA_CUSTOMER_ID={customer}\n",
        secret_file(name)
    )
}

/// A file named after the client, without blanks, which a shell would divide it at.
fn secret_file(name: &str) -> String {
    format!("./{}.secret", name.replace(' ', "-"))
}

// --- edit

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let client = management.find_api_client(actor, customer, visit.id()?).await?;
    let form = form(&values_of(&client), customer, session);
    Ok(Reply::ok(&forms(&client).edit(portal, visit, session, form, client.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let (expected, values) = (revision(visit)?, &visit.form);
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let result = management.edit_api_client(actor, customer, id, Some(expected), &input(values)).await;
        Edited::of(result, NAMES, values, "API client")?
    };
    if let Edited::Done = edited {
        return Ok(saved(address(customer, id, ""), values.text("name")));
    }
    let client = management.find_api_client(actor, customer, id).await?;
    let typed = (form(values, customer, session), expected);
    forms(&client).edit_again(portal, visit, session, edited, typed, values_of(&client)).await
}

fn values_of(client: &ApiClient) -> Fields {
    let on = |is_so: bool| if is_so { "on" } else { "" };
    Fields::of([
        ("name", client.name.as_str()),
        ("role", client.role.as_str()),
        ("managing", on(client.managing.is_some())),
        ("label", client.managing.as_ref().map_or("", |label| label.as_str())),
        ("enabled", on(client.enabled)),
    ])
}

fn input(values: &Fields) -> ApiClientInput {
    let is_on = |name: &str| !values.text(name).is_empty();
    let label = match values.text("label") {
        _ if !is_on("managing") => Input::Absent,
        "" if Name::new(values.text("name")).is_ok() => text(values.text("name")),
        label => text(label),
    };
    ApiClientInput {
        name: text(values.text("name")),
        role: text(values.text("role")),
        enabled: Input::Given(is_on("enabled")),
        managing: Input::Given(is_on("managing")),
        label,
    }
}

// --- another secret

pub(in crate::server::portal) async fn ask_secret(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let client = management.find_api_client(actor, customer, id).await?;
    let name = &client.name;
    let frame = Frame::around(portal, visit, session, customer, PLACE, format!("Replace the secret of {name}")).await?;
    Ok(Reply::ok(&Confirmation {
        frame,
        question: format!("Replace the secret of {name}?"),
        sentences: vec![
            "The old secret and every token that was given out for it are refused at once. Whatever uses them stops \
             until it has the new one."
                .to_owned(),
            "The new secret is shown once, on the next page. The client id stays.".to_owned(),
        ],
        form: Form::default(),
        action: address(customer, id, "/secret"),
        hidden: vec![(REVISION, client.revision.0.to_string())],
        button: "Replace secret",
        is_destructive: true,
        cancel: address(customer, id, ""),
    }))
}

pub(in crate::server::portal) async fn replace_secret(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    // Sent twice, by a page that is loaded again, it names a revision that has passed.
    let expected = Some(revision(visit)?);
    let name = management.find_api_client(actor, customer, id).await?.name;
    let frame = Frame::around(portal, visit, session, customer, PLACE, name.as_str()).await?;
    let made = management.replace_secret(actor, customer, id, expected).await?;
    Ok(shown_secret(frame, visit, &made))
}

// --- delete

pub(in crate::server::portal) async fn ask_delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    management.authorise(actor, customer, Role::Admin).await?;
    let client = management.find_api_client(actor, customer, id).await?;
    let managed = Managed::look_up(portal, session, customer, id).await?;
    let sentence = "Its secret and its tokens are refused at once. It manages no keys; those that it made stay.";
    let mut deletion = forms(&client).deletion(portal, visit, session, vec![sentence.to_owned()]).await?;
    if managed.total > 0 {
        let keys = say::counted(managed.total, "key", "keys");
        deletion.question = format!("{} cannot be deleted yet", client.name);
        deletion.sentences = vec![
            format!("It manages {keys}: {}.", managed.names()),
            "Without it nobody could edit or delete them. Let it delete them first, for example by terraform destroy; \
             to stop it meanwhile, disable it."
                .to_owned(),
        ];
        deletion.button = "";
    }
    Ok(Reply::ok(&deletion))
}

pub(in crate::server::portal) async fn delete(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, id, management, actor) = (visit.customer()?, visit.id()?, portal.management(), &session.actor);
    let client = management.find_api_client(actor, customer, id).await?;
    management.delete_api_client(actor, customer, id, Some(revision(visit)?)).await?;
    Ok(Reply::see_other(PLACE.address(customer)).with_notice(client.name.as_str(), "was deleted."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_read_from_a_file_and_stands_in_no_line() {
        let customer = CustomerId::from_raw(7);
        let lines = command_line("muster.example:8444", "Terraform prod", "mc-1", customer);
        assert!(lines.starts_with("export MUSTER_URL=https://muster.example:8444\nexport MUSTER_CLIENT_ID=mc-1\n"));
        assert!(lines.contains("MUSTER_CLIENT_SECRET_FILE=./Terraform-prod.secret\n"), "{lines}");
        assert!(terraform("-rf", "mc-1", customer).contains("$(cat ./-rf.secret)"));
    }
}
