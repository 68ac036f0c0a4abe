//! Home: where a sign-in leads to, and what needs attention.

use askama::Template;

use crate::id::CustomerId;
use crate::management::sessions::Session;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words;
use crate::server::portal::{Portal, filters};
use crate::store::{CustomerField, ListQuery, Sort};

#[derive(Template)]
#[template(path = "home.html", config = "src/server/portal/askama.toml")]
struct HomePage {
    frame: Frame,
    now: String,
}

/// `/`: the Home of one's customer; of an owner's, who has none, the first by name.
pub(in crate::server::portal) async fn redirect(
    portal: &Portal,
    _visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let actor = &session.actor;
    let customer = if actor.customer_id == CustomerId::SERVICE {
        let sort = Some(Sort { field: CustomerField::Name, descending: false });
        let first = portal.management().list_customers(actor, &ListQuery { sort, ..ListQuery::first(1) }).await?;
        first.rows.first().map(|customer| customer.id)
    } else {
        Some(actor.customer_id)
    };
    let place = if customer.is_some() { Place::Home } else { Place::Customers };
    Ok(Reply::see_other(place.address(customer.unwrap_or(CustomerId::SERVICE))))
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let customer = visit.customer()?;
    let frame = Frame::around(portal, visit, session, customer, Place::Home, "Home").await?;
    let now = words::whole_date(portal.now());
    Ok(Reply::ok(&HomePage { frame, now }))
}
