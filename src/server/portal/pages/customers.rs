//! Customers, for owners: the list, add, edit. Their names lead to their Home. None is ever deleted.

use zeroize::Zeroizing;

use super::administrator::shown_password;
use crate::domain::{Customer, Revision, Role};
use crate::id::CustomerId;
use crate::management::administrators::AdministratorInput;
use crate::management::customers::CustomerInput;
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::Portal;
use crate::server::portal::ask::FormPage;
use crate::server::portal::form::{Faults, Field, Form, Names, text};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::list::{Column, Filter, FilterChoice};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::object::{Again, Edited, Other, REVISION, changed_meanwhile, revision};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Action, Badge, Cell, Detail, Row, Totals};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words::Instant;
use crate::store::{CustomerField, Page};

const LEAD: &str = "Each customer has its own groups, keys, components, signing certificates and administrators, and \
                    sees nothing of another. Disabling one stops its devices and its people; none is ever deleted.";

const WHAT_ENABLED_MEANS: &str = "When a customer is disabled, its devices are refused and none of its people and \
                                  programs can sign in, from their next request on. Nothing is deleted.";

const NAMES: &Names = &[
    (Subject::Name, "name", "Name"),
    (Subject::Enabled, "enabled", "Enabled"),
    (Subject::Username, "username", "User name"),
    (Subject::Password, "password", "Password"),
];

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (management, actor) = (portal.management(), &session.actor);
    let listing = Listing::read(portal, visit, session, "customers", columns()).await;
    let unfiltered = management.list_customers(actor, &listing.whole()).await?.total;
    let Page { rows: customers, total: found } = listing.find(|query| management.list_customers(actor, query)).await?;
    let ids: Vec<_> = customers.iter().map(|customer| customer.id.to_string()).collect();
    let rows = customers.iter().map(|customer| row(&listing, customer, &ids)).collect();
    let totals = Totals { found, unfiltered };
    let label = Place::Customers.label();
    let table = listing.into_table(portal, session, (label, "customer", "customers"), rows, totals, None).await?;
    let mut head = PageHead::new(label);
    LEAD.clone_into(&mut head.lead);
    head.actions = vec![HeadAction::add("Add Customer", "/c/add".to_owned())];
    let frame = frame(portal, visit, session, label).await?;
    Ok(Reply::ok(&ListPage { frame, head, table, empty: None }))
}

fn columns() -> Vec<Column<CustomerField>> {
    vec![
        Column::new("name", "Name", "Name", "", CustomerField::Name).filtered(Filter::Contains(CustomerField::Name)),
        Column::new("status", "Status", "Status", "c-state", CustomerField::Enabled).filtered(Filter::Choice(vec![
            FilterChoice::equals("enabled", "Enabled", CustomerField::Enabled, true),
            FilterChoice::equals("disabled", "Disabled", CustomerField::Enabled, false),
        ])),
        Column::new("id", "Customer ID", "Id", "c-text", CustomerField::Id).unsorted(),
        Column::new("created", "Created", "Created", "c-when", CustomerField::CreatedAt),
    ]
}

fn row(listing: &Listing<CustomerField>, customer: &Customer, ids: &[String]) -> Row {
    let name = customer.name.as_str();
    let mut row = Row::new(&listing.state, &customer.id, name, Place::Home.address(customer.id), ids);
    let cell = |column: &&str| match *column {
        "status" if !customer.enabled => Cell::Badge(Badge::new("", "pause", "Disabled")),
        "status" => Cell::text("Enabled"),
        "id" => Cell::Mono(customer.id.to_string()),
        "created" => Cell::Time(Instant::at(customer.created_at)),
        _ => Cell::Nothing,
    };
    row.cells = listing.shown().iter().map(cell).collect();
    row.actions = vec![Action::edit(name, edit_address(customer.id))];
    let link = |label: &str, place: Place| Cell::Link { label: label.to_owned(), address: place.address(customer.id) };
    row.details = vec![
        Detail::new("Customer ID", Cell::Mono(customer.id.to_string())),
        Detail::new("Administrators", link("Show them", Place::Administrators)),
        Detail::new("Signing Certificates", link("Show them", Place::SigningCertificates)),
        Detail::new("Modified", Cell::Time(Instant::at(customer.modified_at))),
    ];
    row
}

fn edit_address(id: CustomerId) -> String {
    format!("{}/edit", Place::Home.address(id))
}

/// The frame around pages that are of no customer: that of whoever looks.
async fn frame(portal: &Portal, visit: &Visit, session: &Session, title: impl Into<String>) -> Result<Frame, Trouble> {
    Frame::around(portal, visit, session, session.actor.customer_id, Place::Customers, title).await
}

// --- add

pub(in crate::server::portal) async fn add(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    require_owner(session)?;
    let page = add_page(portal, visit, session, &Fields::of([("enabled", "on")]), &Faults::default()).await?;
    Ok(Reply::ok(&page))
}

pub(in crate::server::portal) async fn save_new(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let values = &visit.form;
    if visit.is_shown_again {
        return Ok(Reply::ok(&add_page(portal, visit, session, values, &Faults::default()).await?));
    }
    let (username, password) = (values.text("username"), values.text("password"));
    let has_administrator = !username.is_empty() || !password.is_empty();
    let administrator = has_administrator.then(|| AdministratorInput {
        username: text(username),
        password: if password.is_empty() { Input::Absent } else { Input::Given(Zeroizing::new(password.to_owned())) },
        ..AdministratorInput::default()
    });
    // Before: no read may fail between a password and whoever waits for it.
    let frame = frame(portal, visit, session, username).await?;
    let made = match portal.management().create_customer(&session.actor, input(values), administrator).await {
        Ok(made) => made,
        Err(error) => {
            let faults = Faults::of_error(error, NAMES, values, "customer")?;
            return Ok(Reply::unprocessable(&add_page(portal, visit, session, values, &faults).await?));
        }
    };
    let home = Place::Home.address(made.customer.id);
    match made.administrator {
        Some(new) if new.password.is_some() => Ok(shown_password(frame, &new, home)),
        Some(new) => {
            let sentence = format!("was added, with the administrator {}.", new.administrator.username);
            Ok(Reply::see_other(home).with_notice(made.customer.name.as_str(), sentence))
        }
        None => Ok(Reply::see_other(home).with_notice(made.customer.name.as_str(), "was added.")),
    }
}

async fn add_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    values: &Fields,
    faults: &Faults,
) -> Result<FormPage, Trouble> {
    const TITLE: &str = "Add Customer";
    let customer = session.actor.customer_id;
    let mut head = PageHead::below_place(customer, Place::Customers, TITLE);
    "It starts with six signing certificates: Root, and below it one for each kind of component."
        .clone_into(&mut head.lead);
    let mut fields = fields(values);
    fields.push(
        Field::text("username", "First administrator", values)
            .hint("User name, unique over all customers. It gets the role Admin. Without one, owners manage it.")
            .optional(),
    );
    fields.push(
        Field::secret("password", "Password of the first administrator", "new-password")
            .hint("At least 12 characters. Leave it empty to have one made, which is shown once.")
            .optional(),
    );
    Ok(FormPage {
        frame: frame(portal, visit, session, TITLE).await?,
        head,
        form: Form::new(fields).with_faults(faults),
        action: "/c/add".to_owned(),
        hidden: Vec::new(),
        button: TITLE,
        cancel: Place::Customers.address(customer),
    })
}

// --- edit

pub(in crate::server::portal) async fn edit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    require_owner(session)?;
    let customer = portal.management().find_customer(&session.actor, visit.customer()?).await?;
    let form = Form::new(fields(&values_of(&customer)));
    Ok(Reply::ok(&edit_page(portal, visit, session, &customer, form, customer.revision).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (management, actor, id, values) = (portal.management(), &session.actor, visit.customer()?, &visit.form);
    let expected = revision(visit)?;
    let edited = if visit.is_shown_again {
        Edited::Refused(Faults::default())
    } else {
        let result = management.edit_customer(actor, id, Some(expected), &input(values)).await;
        Edited::of(result, NAMES, values, "customer")?
    };
    if let Edited::Done = edited {
        let is_enabled = !values.text("enabled").is_empty();
        let sentence = if is_enabled { "was saved." } else { "was saved; it is disabled." };
        // Nothing is read before: see `saved`.
        return Ok(Reply::see_other(Place::Customers.address(id)).with_notice(values.text("name"), sentence));
    }
    let customer = management.find_customer(actor, id).await?;
    let other = Other {
        values: values_of(&customer),
        revision: customer.revision,
        sentence: changed_meanwhile(None, "customer", customer.modified_at, portal.now()),
    };
    let Again { status, form, revision } = edited.again(Form::new(fields(values)), expected, other);
    Ok(Reply::page(status, &edit_page(portal, visit, session, &customer, form, revision).await?))
}

async fn edit_page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    customer: &Customer,
    form: Form,
    revision: Revision,
) -> Result<FormPage, Trouble> {
    let title = format!("Edit {}", customer.name);
    Ok(FormPage {
        frame: frame(portal, visit, session, &title).await?,
        head: PageHead::below_place(customer.id, Place::Customers, title),
        form,
        action: edit_address(customer.id),
        hidden: vec![(REVISION, revision.0.to_string())],
        button: "Save customer",
        cancel: Place::Customers.address(customer.id),
    })
}

fn fields(values: &Fields) -> Vec<Field> {
    vec![Field::text("name", "Name", values), Field::tick("enabled", "Enabled", values, true).hint(WHAT_ENABLED_MEANS)]
}

fn values_of(customer: &Customer) -> Fields {
    Fields::of([("name", customer.name.as_str()), ("enabled", if customer.enabled { "on" } else { "" })])
}

fn input(values: &Fields) -> CustomerInput {
    CustomerInput { name: text(values.text("name")), enabled: Input::Given(!values.text("enabled").is_empty()) }
}

/// The use case refuses in any case; this keeps the form from those whom it would lead nowhere.
fn require_owner(session: &Session) -> Result<(), Trouble> {
    match session.actor.role {
        Role::Owner => Ok(()),
        role => Err(Error::Forbidden { role, needed: Role::Owner }.into()),
    }
}
