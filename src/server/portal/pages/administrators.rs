//! The administrators of a customer, or of the service: the list.

use crate::clock::Timestamp;
use crate::domain::{Administrator, Role};
use crate::id::CustomerId;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::list::{Column, Filter, FilterChoice};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Action, Badge, Cell, Row, Totals};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{AdministratorField, ListField, Page};

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    let place = Place::Administrators;
    let listing = Listing::read(portal, visit, session, "administrators", columns()).await;
    let unfiltered = management.list_administrators(actor, customer, &listing.whole()).await?.total;
    let Page { rows: administrators, total: found } =
        listing.find(|query| management.list_administrators(actor, customer, query)).await?;
    let ids: Vec<_> = administrators.iter().map(|administrator| administrator.id.to_string()).collect();
    let context = Context { customer, now: portal.now(), session };
    let rows = administrators.iter().map(|administrator| context.row(&listing, administrator, &ids)).collect();
    let totals = Totals { found, unfiltered };
    let words = (place.label(), "administrator", "administrators");
    let table = listing.into_table(portal, session, words, rows, totals, None).await?;
    let mut head = PageHead::new(place.label());
    head.lead = lead(customer).to_owned();
    if actor.role >= Role::Admin {
        head.actions = vec![HeadAction::add("Add Administrator", format!("{}/add", place.address(customer)))];
    }
    let frame = Frame::around(portal, visit, session, customer, place, place.label()).await?;
    Ok(Reply::ok(&ListPage { frame, head, table, empty: None }))
}

fn lead(customer: CustomerId) -> &'static str {
    if customer == CustomerId::SERVICE {
        "Owners manage this service with all of its customers. Everybody else belongs to a customer and is listed there."
    } else {
        "People who sign in here with a name and a password. An auditor reads, an operator manages keys and components, \
         an admin everything of this customer."
    }
}

fn columns() -> Vec<Column<AdministratorField>> {
    vec![
        Column::new("name", "User Name", "User name", "", AdministratorField::Username)
            .filtered(Filter::Contains(AdministratorField::Username)),
        Column::new("role", "Role", "Role", "c-short", AdministratorField::Role)
            .filtered(Filter::Choice(role_choices(AdministratorField::Role))),
        Column::new("seen", "Last Sign-in", "Last sign-in", "c-when", AdministratorField::LastSignInAt),
        Column::new("status", "Status", "Status", "c-state", AdministratorField::Enabled)
            .filtered(Filter::Choice(status_choices(AdministratorField::Enabled))),
        Column::new("description", "Description", "Description", "c-text", AdministratorField::Description)
            .optional()
            .filtered(Filter::Contains(AdministratorField::Description)),
        Column::new("created", "Created", "Created", "c-when", AdministratorField::CreatedAt).optional(),
    ]
}

pub(super) fn role_choices<F: ListField>(field: F) -> Vec<FilterChoice<F>> {
    let choice = |role: Role| FilterChoice::equals(role.as_str(), say::role(role), field, role.as_str());
    Role::ALL.into_iter().rev().map(choice).collect()
}

pub(super) fn status_choices<F: ListField>(field: F) -> Vec<FilterChoice<F>> {
    vec![
        FilterChoice::equals("enabled", "Enabled", field, true),
        FilterChoice::equals("disabled", "Disabled", field, false),
    ]
}

pub(super) fn status(enabled: bool) -> Cell {
    if enabled { Cell::text("Enabled") } else { Cell::Badge(Badge::new("", "pause", "Disabled")) }
}

struct Context<'a> {
    customer: CustomerId,
    now: Timestamp,
    session: &'a Session,
}

impl Context<'_> {
    fn row(&self, listing: &Listing<AdministratorField>, administrator: &Administrator, ids: &[String]) -> Row {
        let (id, name) = (administrator.id, administrator.username.as_str());
        let address = |what: &str| format!("{}/{id}{what}", Place::Administrators.address(self.customer));
        let mut row = Row::new(&listing.state, &id, name, address(""), ids);
        let cell = |column: &&str| match *column {
            "role" => Cell::text(say::role(administrator.role)),
            "seen" => administrator
                .last_sign_in_at
                .map_or_else(|| Cell::text("Never"), |at| Cell::Time(Instant::past(at, self.now))),
            "status" => status(administrator.enabled),
            "description" => Cell::text(administrator.description.as_str()),
            "created" => Cell::Time(Instant::at(administrator.created_at)),
            _ => Cell::Nothing,
        };
        row.cells = listing.shown().iter().map(cell).collect();
        let is_oneself = self.session.actor.is_administrator(id);
        if is_oneself {
            row.badges.push(Badge::new("badge-line", "user", "You"));
        }
        if self.session.actor.role >= Role::Admin {
            row.actions.push(Action::edit(name, address("/edit")));
            if !is_oneself {
                row.actions.push(Action::delete(name, address("/delete")));
            }
        }
        row
    }
}
