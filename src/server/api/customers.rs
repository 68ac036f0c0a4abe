//! Customers.

use hyper::StatusCode;

use super::answer::Answer;
use super::refusal::Refusal;
use super::wire::customer::{CustomerBody, decode, decode_administrator, encode, encode_lasting, encode_new};
use super::wire::envelope::Envelope;
use super::{Api, Call, actor};
use crate::management::customers::MadeCustomer;
use crate::management::once::Outcome;
use crate::management::sessions::Session;

pub(super) async fn list(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let query = call.query.list_query()?;
    let page = api.management.list_customers(actor(session), &query).await?;
    let rows = page.rows.iter().map(encode).collect();
    Ok(Answer::json(StatusCode::OK, &Envelope::new(rows, page.total, &query)))
}

/// `{"name", "administrator"?: {"username", "password"?, …}}`
pub(super) async fn create(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let mut members = call.members()?;
    let administrator = decode_administrator(&mut members)?;
    let request = call.request(session, &outcome);
    let made = Box::pin(api.management.create_customer(request, decode(&members), administrator)).await?;
    Ok(made_answer(&encode_new(&made), &made))
}

/// What a repetition is answered: a password that was generated is soon left out.
fn outcome(made: &MadeCustomer) -> Outcome {
    let has_password = made.administrator.as_ref().is_some_and(|made| made.password.is_some());
    let lasting = has_password.then(|| made_answer(&encode_lasting(made), made));
    made_answer(&encode_new(made), made).outcome(lasting.as_ref())
}

fn made_answer(body: &CustomerBody<'_>, made: &MadeCustomer) -> Answer {
    Answer::json(StatusCode::CREATED, body).tagged(made.customer.revision)
}

pub(super) async fn get(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let found = api.management.find_customer(actor(session), call.customer()?).await?;
    Ok(Answer::json(StatusCode::OK, &encode(&found)).tagged(found.revision))
}

pub(super) async fn edit(api: &Api, call: &Call, session: &Session) -> Result<Answer, Refusal> {
    let input = decode(&call.members()?);
    let expected = call.expected_revision()?;
    let revision = api.management.edit_customer(actor(session), call.customer()?, expected, &input).await?;
    Ok(Answer::empty().tagged(revision))
}
