//! `customers`.

use serde::Serialize;

use super::administrator::{self, AdministratorBody, FIRST_ADMINISTRATOR};
use super::members::Members;
use super::{Epoch, Listed};
use crate::domain::{Customer, Name};
use crate::id::CustomerId;
use crate::management::administrators::AdministratorInput;
use crate::management::customers::{CustomerInput, MadeCustomer};
use crate::server::api::refusal::Refusal;
use crate::server::api::schema::{Form, Member, Shape};
use crate::store::CustomerField;

pub static CUSTOMER: Shape = Shape::new("Customer", CUSTOMER_MEMBERS);

pub static NEW_CUSTOMER: Shape = Shape::new(
    "NewCustomer",
    &[Member::new(
        "administrator",
        Form::Object(&FIRST_ADMINISTRATOR),
        "Its first administrator, if one is made with it",
    )
    .writable()
    .optional()],
)
.with_variants(&[CUSTOMER_MEMBERS]);

const CUSTOMER_MEMBERS: &[Member] = &[
    Member::id("id", "Its id"),
    Member::name("Unique in the service").required(),
    Member::flag("enabled", "Whether its devices enroll and its people sign in; true by default").writable(),
    Member::epoch("creationTime", "When it was made"),
    Member::epoch("modifiedTime", "When it was changed last"),
];

impl Listed for CustomerField {
    const MEMBERS: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("name", Self::Name),
        ("enabled", Self::Enabled),
        ("creationTime", Self::CreatedAt),
        ("modifiedTime", Self::ModifiedAt),
    ];
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerBody<'a> {
    id: CustomerId,
    name: &'a Name,
    enabled: bool,
    creation_time: Epoch,
    modified_time: Epoch,
    /// In the answer to its making, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<AdministratorBody<'a>>,
}

pub fn encode(customer: &Customer) -> CustomerBody<'_> {
    CustomerBody {
        id: customer.id,
        name: &customer.name,
        enabled: customer.enabled,
        creation_time: Epoch(customer.created_at),
        modified_time: Epoch(customer.modified_at),
        administrator: None,
    }
}

pub fn encode_new(made: &MadeCustomer) -> CustomerBody<'_> {
    CustomerBody { administrator: made.administrator.as_ref().map(administrator::encode_new), ..encode(&made.customer) }
}

/// Without a generated password.
pub fn encode_lasting(made: &MadeCustomer) -> CustomerBody<'_> {
    let administrator = made.administrator.as_ref().map(|made| administrator::encode(&made.administrator));
    CustomerBody { administrator, ..encode(&made.customer) }
}

pub fn decode(members: &Members) -> CustomerInput {
    CustomerInput { name: members.text("name"), enabled: members.flag("enabled") }
}

/// The first administrator, an object of its own.
///
/// # Errors
/// [`Refusal::Query`] when the member is something else than an object.
pub fn decode_administrator(members: &mut Members) -> Result<Option<AdministratorInput>, Refusal> {
    Ok(members.take_object("administrator")?.as_mut().map(administrator::decode))
}
