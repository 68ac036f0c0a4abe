//! Queries of lists: the page, the order, and searches in all the spellings that clients use.

use std::cell::RefCell;
use std::fmt::Write as _;

use hyper::StatusCode;
use serde_json::Value;

use super::chosen_by;
use super::management_door::Door;
use crate::world::block_on;

/// By the first byte; below a customer's path.
const LISTS: [&str; 8] = [
    "machineGroup",
    "associationType/MACHINE_GRP/provisioningKey",
    "machine",
    "enrollmentCert",
    "auditEvents",
    "administrators",
    "apiClients",
    "appConnectorGroup/summary",
];

const ALL: &str = "page=1&pagesize=500";

thread_local! {
    static DOOR: RefCell<Option<Door>> = const { RefCell::new(None) };
}

/// A query behind a byte that says of which list.
///
/// Holds: a query is refused with a reason or answered with a part of the list; another condition takes away and never adds;
/// one that all meet changes nothing; an order changes nothing but the order; pages put together are the list.
pub fn run(bytes: &[u8]) {
    let (choice, rest) = chosen_by(bytes);
    DOOR.with_borrow_mut(|door| block_on(ask(door, LISTS[usize::from(choice) % LISTS.len()], &escaped(rest))));
}

async fn ask(place: &mut Option<Door>, list: &str, query: &str) {
    if place.is_none() {
        *place = Some(Door::new().await);
    }
    let Some(door) = place else { return };
    let ids = async |query: &str| {
        let path = format!("/mgmtconfig/v1/admin/customers/{{customer}}/{list}?{query}");
        let answered = door.get(&path).await;
        match answered.status() {
            StatusCode::OK => Some(ids(&answered.text())),
            StatusCode::BAD_REQUEST => None,
            other => panic!("{path}: {other} {}", answered.text()),
        }
    };
    if ids(query).await.is_none() {
        return;
    }
    let whole = ids(ALL).await.expect("the whole list");
    let Some(found) = ids(&format!("{query}&{ALL}")).await else { return };
    assert!(found.iter().all(|id| whole.contains(id)), "{query}");
    // `id` is a member of every list but that of the audit log, where it is called otherwise.
    if let Some(same) = ids(&format!("{query}&{ALL}&search=id+GT+0")).await {
        assert_eq!(same, found, "{query}");
    }
    if let Some(fewer) = ids(&format!("{query}&{ALL}&search=name+CONTAINS+z")).await {
        assert!(fewer.iter().all(|id| found.contains(id)), "{query}");
    }
    if let Some(mut sorted) = ids(&format!("{query}&{ALL}&sortBy=name&sortDir=DESC")).await {
        let mut found = found.clone();
        (sorted.sort(), found.sort());
        assert_eq!(sorted, found, "{query}");
    }
    for (page, id) in (1..=3).zip(&found) {
        let one = ids(&format!("{query}&page={page}&pagesize=1")).await;
        assert_eq!(one.as_deref(), Some(std::slice::from_ref(id)), "{query}");
    }
}

/// Of the listed, in their order.
fn ids(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let list = body["list"].as_array().unwrap_or_else(|| panic!("a list: {body}"));
    list.iter().map(|one| one["id"].to_string() + &one["sequence"].to_string()).collect()
}

/// As it can stand in the head of a request; all that hyper takes stays as it is.
fn escaped(bytes: &[u8]) -> String {
    let mut query = String::new();
    for byte in bytes {
        match byte {
            b'!' | b'$'..=b'~' if !b"<>\\^`{|}\"".contains(byte) => query.push(char::from(*byte)),
            _ => write!(query, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    query
}
