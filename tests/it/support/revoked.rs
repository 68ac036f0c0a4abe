//! Many revoked certificates at once, for tests and benches.

use std::path::Path;

use rusqlite::{Connection, params};

/// As if so many more components below this signing certificate had been deleted long ago. It signed one before;
/// nobody serves from the directory.
pub fn add_revoked(data_dir: &Path, signing_certificate: &str, count: u32) {
    let mut connection = Connection::open(data_dir.join("muster.db")).expect("the store");
    let transaction = connection.transaction().expect("a transaction");
    let signer: i64 = signing_certificate.parse().expect("an id");
    let mut add = transaction
        .prepare(
            "INSERT INTO certificates (customer_id, key_id, component_id, serial, status, status_at, reason,
                 signing_certificate_id, public_key_hash, issued_at, not_before, not_after, der)
             SELECT customer_id, key_id, ?2, ?3, 3, issued_at, 5, signing_certificate_id, public_key_hash, issued_at,
                 not_before, not_after, der
             FROM certificates WHERE signing_certificate_id = ?1 AND status = 1 LIMIT 1",
        )
        .expect("a statement");
    for number in 0..count {
        // As spread as serial numbers are.
        let mut serial = muster::secret::random_bytes::<16>();
        serial[0] = 0x40 | serial[0] & 0x3f;
        let added = add.execute(params![signer, (1_i64 << 40) + i64::from(number), &serial[..]]).expect("a row");
        assert_eq!(added, 1, "it signed nothing");
    }
    drop(add);
    transaction.commit().expect("a commit");
}
