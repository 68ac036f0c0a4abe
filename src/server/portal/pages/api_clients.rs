//! The API clients of a customer, or of the service: the list.

use super::administrators::{role_choices, status, status_choices};
use crate::clock::Timestamp;
use crate::domain::{ApiClient, Role};
use crate::id::CustomerId;
use crate::management::sessions::Session;
use crate::server::portal::Portal;
use crate::server::portal::empty::{Empty, Step};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{HeadAction, PageHead};
use crate::server::portal::list::{Column, Filter};
use crate::server::portal::listing::{ListPage, Listing};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::table::{Action, Cell, Row, Totals};
use crate::server::portal::visit::Visit;
use crate::server::portal::words::{self as say, Instant};
use crate::store::{ApiClientField, Page};

const LEAD: &str = "Programs that manage Muster over its API: Terraform, SDKs, scripts. Each signs in with a client id \
                    and a secret; those marked as managing own the keys that they make.";

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    let place = Place::ApiClients;
    let listing = Listing::read(portal, visit, session, "api-clients", columns()).await;
    let unfiltered = management.list_api_clients(actor, customer, &listing.whole()).await?.total;
    let Page { rows: clients, total: found } =
        listing.find(|query| management.list_api_clients(actor, customer, query)).await?;
    let ids: Vec<_> = clients.iter().map(|client| client.id.to_string()).collect();
    let context = Context { customer, now: portal.now(), may_edit: actor.role >= Role::Admin };
    let rows = clients.iter().map(|client| context.row(&listing, client, &ids)).collect();
    let totals = Totals { found, unfiltered };
    let words = (place.label(), "API client", "API clients");
    let table = listing.into_table(portal, session, words, rows, totals, None).await?;
    let add = context.may_edit.then(|| HeadAction::add("Add API Client", format!("{}/add", place.address(customer))));
    let mut head = PageHead::new(place.label());
    let mut empty = None;
    if unfiltered == 0 {
        empty = Some(nothing_yet(add));
    } else {
        LEAD.clone_into(&mut head.lead);
        head.actions.extend(add);
    }
    let frame = Frame::around(portal, visit, session, customer, place, place.label()).await?;
    Ok(Reply::ok(&ListPage { frame, head, table, empty }))
}

fn nothing_yet(action: Option<HeadAction>) -> Empty {
    Empty {
        title: "No API clients yet".to_owned(),
        lead: LEAD.to_owned(),
        action,
        command_lead: "Or on the command line:",
        command: "muster api-client create --name terraform --role operator --output terraform.secret".to_owned(),
        steps: vec![
            Step::new("api", "Add an API client", "Choose what it may do; operator is enough for keys and components."),
            Step::new("lock", "Store the secret", "It is shown once. Keep it in a vault."),
            Step::new("link", "Point a program at it", "Endpoint, client id and secret go into its environment."),
        ],
    }
}

fn columns() -> Vec<Column<ApiClientField>> {
    vec![
        Column::new("name", "Name", "Name", "", ApiClientField::Name).filtered(Filter::Contains(ApiClientField::Name)),
        Column::new("client", "Client ID", "Client ID", "c-text", ApiClientField::ClientId)
            .filtered(Filter::StartsWith(ApiClientField::ClientId)),
        Column::new("role", "Role", "Role", "c-short", ApiClientField::Role)
            .filtered(Filter::Choice(role_choices(ApiClientField::Role))),
        Column::new("label", "Managing Label", "Managing label", "c-text", ApiClientField::Label)
            .filtered(Filter::Contains(ApiClientField::Label)),
        Column::new("used", "Last Used", "Last used", "c-when", ApiClientField::LastUsedAt),
        Column::new("status", "Status", "Status", "c-state", ApiClientField::Enabled)
            .filtered(Filter::Choice(status_choices(ApiClientField::Enabled))),
        Column::new("created", "Created", "Created", "c-when", ApiClientField::CreatedAt).optional(),
    ]
}

struct Context {
    customer: CustomerId,
    now: Timestamp,
    may_edit: bool,
}

impl Context {
    fn row(&self, listing: &Listing<ApiClientField>, client: &ApiClient, ids: &[String]) -> Row {
        let name = client.name.as_str();
        let address = |what: &str| format!("{}/{}{what}", Place::ApiClients.address(self.customer), client.id);
        let mut row = Row::new(&listing.state, &client.id, name, address(""), ids);
        let cell = |column: &&str| match *column {
            "client" => Cell::Mono(client.client_id.clone()),
            "role" => Cell::text(say::role(client.role)),
            "label" => Cell::text(client.managing.as_ref().map_or("", |label| label.as_str())),
            "used" => {
                client.last_used_at.map_or_else(|| Cell::text("Never"), |at| Cell::Time(Instant::past(at, self.now)))
            }
            "status" => status(client.enabled),
            "created" => Cell::Time(Instant::at(client.created_at)),
            _ => Cell::Nothing,
        };
        row.cells = listing.shown().iter().map(cell).collect();
        if self.may_edit {
            row.actions = vec![Action::edit(name, address("/edit")), Action::delete(name, address("/delete"))];
        }
        row
    }
}
