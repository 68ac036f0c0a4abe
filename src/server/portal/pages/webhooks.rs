//! The webhooks of a customer: the list.

use super::administrators::{status, status_choices};
use crate::clock::Timestamp;
use crate::domain::{Role, Webhook};
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
use crate::server::portal::words::Instant;
use crate::store::{Page, WebhookField};

const LEAD: &str = "URLs that are told of what you wait for: keys that are nearly used up, certificates that end soon, \
                    components that enroll. Each message is signed with the webhook’s secret.";

pub(in crate::server::portal) async fn list(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor) = (visit.customer()?, portal.management(), &session.actor);
    let place = Place::Webhooks;
    let listing = Listing::read(portal, visit, session, "webhooks", columns()).await;
    let unfiltered = management.list_webhooks(actor, customer, &listing.whole()).await?.total;
    let Page { rows: webhooks, total: found } =
        listing.find(|query| management.list_webhooks(actor, customer, query)).await?;
    let ids: Vec<_> = webhooks.iter().map(|webhook| webhook.id.to_string()).collect();
    let context = Context { customer, now: portal.now(), may_edit: actor.role >= Role::Admin };
    let rows = webhooks.iter().map(|webhook| context.row(&listing, webhook, &ids)).collect();
    let totals = Totals { found, unfiltered };
    let words = (place.label(), "webhook", "webhooks");
    let table = listing.into_table(portal, session, words, rows, totals, None).await?;
    let add = context.may_edit.then(|| HeadAction::add("Add Webhook", format!("{}/add", place.address(customer))));
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
        title: "No webhooks yet".to_owned(),
        lead: LEAD.to_owned(),
        action,
        command_lead: "Or on the command line:",
        command: "muster webhook create --name pager --url https://hooks.example.com/muster \
                  --event key.nearly_exhausted --output pager.secret"
            .to_owned(),
        steps: vec![
            Step::new("link", "Add a webhook", "Say where to, and what it is told of."),
            Step::new("lock", "Store the secret", "It is shown once. The receiver verifies messages with it."),
            Step::new("probe", "Test it", "A test says within seconds whether messages arrive."),
        ],
    }
}

fn columns() -> Vec<Column<WebhookField>> {
    vec![
        Column::new("name", "Name", "Name", "", WebhookField::Name).filtered(Filter::Contains(WebhookField::Name)),
        Column::new("url", "URL", "URL", "c-text", WebhookField::Url).filtered(Filter::Contains(WebhookField::Url)),
        Column::new("status", "Status", "Status", "c-state", WebhookField::Enabled)
            .filtered(Filter::Choice(status_choices(WebhookField::Enabled))),
        Column::new("modified", "Modified", "Modified", "c-when", WebhookField::ModifiedAt),
        Column::new("created", "Created", "Created", "c-when", WebhookField::CreatedAt).optional(),
    ]
}

struct Context {
    customer: CustomerId,
    now: Timestamp,
    may_edit: bool,
}

impl Context {
    fn row(&self, listing: &Listing<WebhookField>, webhook: &Webhook, ids: &[String]) -> Row {
        let name = webhook.name.as_str();
        let address = |what: &str| format!("{}/{}{what}", Place::Webhooks.address(self.customer), webhook.id);
        let mut row = Row::new(&listing.state, &webhook.id, name, address(""), ids);
        let cell = |column: &&str| match *column {
            "url" => Cell::Mono(webhook.url.to_string()),
            "status" => status(webhook.enabled),
            "modified" => Cell::Time(Instant::past(webhook.modified_at, self.now)),
            "created" => Cell::Time(Instant::at(webhook.created_at)),
            _ => Cell::Nothing,
        };
        row.cells = listing.shown().iter().map(cell).collect();
        if self.may_edit {
            row.actions = vec![Action::edit(name, address("/edit")), Action::delete(name, address("/delete"))];
        }
        row
    }
}
