//! How the change feed names objects in its columns, in both stores.

use super::ObjectRef;
use super::encoding::{Unreadable, unreadable};
use crate::id::{CustomerId, Id};

/// Feed rows that are kept. A reader that fell behind by more sees a gap between its sequence and
/// the next row's, and must load everything anew.
pub(super) const ROWS_MAX: u64 = 1 << 16;

const ADMINISTRATOR: i64 = 1;
const API_CLIENT: i64 = 2;
const CLEAN_UP_SCHEDULE: i64 = 3;
const CUSTOMER: i64 = 4;
const GROUP: i64 = 5;
const KEY: i64 = 6;
const SERVICE: i64 = 7;
const SIGNING_CERTIFICATE: i64 = 8;
const CRL: i64 = 9;

/// Its table, its customer, its id.
pub(super) fn columns_of(object: &ObjectRef) -> (i64, CustomerId, i64) {
    let (table, customer, id) = match *object {
        ObjectRef::Administrator(customer, id) => (ADMINISTRATOR, customer, id.raw()),
        ObjectRef::ApiClient(customer, id) => (API_CLIENT, customer, id.raw()),
        ObjectRef::CleanUpSchedule(customer, id) => (CLEAN_UP_SCHEDULE, customer, id.raw()),
        ObjectRef::Crl(customer, id) => (CRL, customer, id.raw()),
        ObjectRef::Customer(customer) => (CUSTOMER, customer, customer.raw()),
        ObjectRef::Group(customer, id) => (GROUP, customer, id.raw()),
        ObjectRef::Key(customer, id) => (KEY, customer, id.raw()),
        ObjectRef::Service => (SERVICE, CustomerId::SERVICE, 0),
        ObjectRef::SigningCertificate(customer, id) => (SIGNING_CERTIFICATE, customer, id.raw()),
    };
    (table, customer, id.cast_signed())
}

/// What [`columns_of`] made them of.
pub(super) fn object_of((table, customer, id): (i64, CustomerId, i64)) -> Result<ObjectRef, Unreadable> {
    fn id_of<T: Id>(raw: i64) -> Result<T, Unreadable> {
        u64::try_from(raw).map(T::from_raw).map_err(|_| unreadable("id", &raw))
    }
    Ok(match table {
        ADMINISTRATOR => ObjectRef::Administrator(customer, id_of(id)?),
        API_CLIENT => ObjectRef::ApiClient(customer, id_of(id)?),
        CLEAN_UP_SCHEDULE => ObjectRef::CleanUpSchedule(customer, id_of(id)?),
        CRL => ObjectRef::Crl(customer, id_of(id)?),
        CUSTOMER => ObjectRef::Customer(customer),
        GROUP => ObjectRef::Group(customer, id_of(id)?),
        KEY => ObjectRef::Key(customer, id_of(id)?),
        SERVICE => ObjectRef::Service,
        SIGNING_CERTIFICATE => ObjectRef::SigningCertificate(customer, id_of(id)?),
        other => return Err(unreadable("table of the change feed", &other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::GroupId;

    #[test]
    fn an_object_comes_back_and_damage_is_found() {
        let customer = CustomerId::from_raw(7);
        let group = ObjectRef::Group(customer, GroupId::from_raw(i64::MAX.cast_unsigned()));
        assert_eq!(object_of(columns_of(&group)).unwrap(), group);
        assert!(object_of((GROUP, customer, -1)).is_err(), "no id");
        assert!(object_of((0, customer, 1)).is_err(), "no table");
    }
}
