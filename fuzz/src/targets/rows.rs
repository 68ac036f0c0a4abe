//! Rows that hold something else than was written: what the store makes of them.

use std::cell::RefCell;
use std::sync::Arc;

use muster::domain::{FilterName, Kind, PageName, Preference, QueryText, SavedFilter};
use muster::enrollment::Directory;
use muster::id::{ComponentId, GroupId, Id as _, ProvisioningKeyId, SigningCertificateId};
use muster::index::KeyIndex;
use muster::management::first_start::load_secrets;
use muster::metrics::Metrics;
use muster::store::{AuditQuery, Change, ListQuery, PageRequest, Store as _, StoreError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;

use crate::world::{NOW, World, block_on};

/// A column of a row.
struct Column {
    table: String,
    name: String,
    /// `INTEGER`, `TEXT` or `BLOB`: the tables are STRICT.
    of_type: String,
    is_required: bool,
}

struct Damaged {
    world: World,
    connection: Connection,
    columns: Vec<Column>,
}

thread_local! {
    static STORE: RefCell<Option<Damaged>> = const { RefCell::new(None) };
}

/// A value behind two bytes that choose a column; all rows get it. Empty: NULL, where that may be.
///
/// Holds: whatever stands in a column, each question to the store has an answer, or says that a row cannot be read, in few
/// words; so does the memory of a node that starts; the check of the store ends.
pub fn run(bytes: &[u8]) {
    let Some(([high, low], value)) = bytes.split_first_chunk() else { return };
    STORE.with_borrow_mut(|store| {
        let store = store.get_or_insert_with(|| block_on(Damaged::new()));
        let column = usize::from(u16::from_be_bytes([*high, *low])) % store.columns.len();
        let column = &store.columns[column];
        if store.damage(column, value) {
            block_on(read_all(&store.world));
            store.repair(&column.table);
        }
    });
}

impl Damaged {
    async fn new() -> Self {
        let world = World::new().await;
        fill(&world).await;
        let path = world.folder.path().join("muster.db");
        let connection = Connection::open(&path).expect("the store's file");
        connection.pragma_update(None, "synchronous", "OFF").expect("a pragma");
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).expect("no triggers");
        let whole = world.folder.path().join("whole.db");
        connection.execute("VACUUM INTO ?1", [whole.to_str()]).expect("a copy");
        connection.execute("ATTACH ?1 AS whole", [whole.to_str()]).expect("the copy");
        let columns = columns(&connection);
        Self { world, connection, columns }
    }

    /// `false`: the column takes no such value.
    fn damage(&self, column: &Column, value: &[u8]) -> bool {
        let Column { table, name, of_type, is_required } = column;
        let (expression, value) = match &**of_type {
            _ if value.is_empty() && !is_required => ("?1", Value::Null),
            "INTEGER" => {
                ("?1", Value::Integer(value.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte))))
            }
            "TEXT" => ("CAST(?1 AS TEXT)", Value::Blob(value.to_vec())),
            _ => ("?1", Value::Blob(value.to_vec())),
        };
        self.connection.execute(&format!("UPDATE OR IGNORE {table} SET {name} = {expression}"), [value]).is_ok()
    }

    fn repair(&self, table: &str) {
        let sql =
            format!("BEGIN; DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM whole.{table}; COMMIT;");
        self.connection.execute_batch(&sql).expect("what was there before");
    }
}

fn columns(connection: &Connection) -> Vec<Column> {
    let sql = "SELECT t.name, c.name, c.type, c.\"notnull\" FROM sqlite_schema t, pragma_table_info(t.name) c \
               WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY 1, c.cid";
    let mut statement = connection.prepare(sql).expect("the schema");
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Column { table: row.get(0)?, name: row.get(1)?, of_type: row.get(2)?, is_required: row.get(3)? })
    };
    statement.query_map([], read).expect("the schema").collect::<Result<_, _>>().expect("the schema")
}

/// What a first start and an enrollment leave empty.
async fn fill(world: &World) {
    let owner = world.store.find_administrator("admin").await.expect("the store").expect("the owner");
    let (page, query) = (PageName::new("keys").expect("a page"), QueryText::new("sort=name").expect("a query"));
    let (customer_id, administrator_id) = (owner.customer_id, owner.id);
    let preference = Preference { customer_id, administrator_id, page: page.clone(), value: query.clone() };
    let name = FilterName::new("mine").expect("a name");
    let filter = SavedFilter { customer_id, administrator_id, page, name, query };
    let changes = vec![Change::PutPreference(preference), Change::PutSavedFilter(filter)];
    world.store.commit_changes(changes, vec![], &world.audit_key).await.expect("changes");
    world.sign_in().await;
}

fn first<F>() -> ListQuery<F> {
    ListQuery { conditions: Vec::new(), sort: None, offset: 0, limit: 100 }
}

/// What a store may say of a damaged row.
fn expect<T>(answer: Result<T, StoreError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(StoreError::Corrupt { detail }) => {
            assert!(detail.len() <= 1_024, "{detail}");
            None
        }
        Err(other) => panic!("{other:?}"),
    }
}

async fn read_all(world: &World) {
    let (store, customer, kind) = (&world.store, world.customer, Kind::Machine);
    let page = PageRequest { offset: 0, limit: 100 };
    expect(store.find_setting("cloud").await);
    for purpose in ["pepper", "token-key", "audit-key", "endpoint-anchor"] {
        expect(store.list_secrets(purpose).await);
    }
    expect(store.scan_customers().await);
    expect(store.scan_groups(GroupId::from_raw(0), 100).await);
    expect(store.scan_signing_certificates(SigningCertificateId::from_raw(0), 100).await);
    expect(store.scan_keys(ProvisioningKeyId::from_raw(0), 100).await);
    expect(store.list_customers(&first()).await);
    expect(store.list_groups(customer, kind, &first()).await);
    expect(store.count_group_contents(customer, &[world.group]).await);
    expect(store.list_signing_certificates(customer, &first()).await);
    expect(store.list_keys(customer, kind, &first()).await);
    expect(store.list_keys_of_group(customer, world.group, ProvisioningKeyId::from_raw(0), 100).await);
    expect(store.list_components(customer, kind, &first()).await);
    expect(store.list_group_components(customer, world.group, 100).await);
    expect(store.find_component_relations(customer, &[world.component]).await);
    expect(store.list_ending_components(customer, NOW, NOW.saturating_add(std::time::Duration::MAX), 100).await);
    expect(store.scan_ended_components(customer, NOW, (NOW, ComponentId::from_raw(0)), 100).await);
    expect(store.count_kind(customer, kind).await);
    expect(store.list_clean_up_schedules().await);
    expect(store.list_ledger(customer, world.key, page).await);
    expect(store.list_re_enrollments(customer, world.component, 100).await);
    expect(store.list_certificates(customer, world.component, 100).await);
    expect(store.list_refusals(customer, world.key).await);
    expect(store.sum_refusals(customer, NOW).await);
    expect(store.list_attention(customer, NOW, 100).await);
    expect(store.find_key_hours(customer, world.key, NOW).await);
    expect(store.list_customer_hours(customer, NOW).await);
    expect(store.list_api_clients(customer, &first()).await);
    expect(store.list_audit(customer, 0, 100).await);
    expect(store.search_audit(customer, &AuditQuery { conditions: Vec::new(), page }).await);
    expect(store.list_unpublished_revocations().await);
    expect(store.list_changes(muster::store::ChangeSequence(0), 100).await);
    if let Some(Some(owner)) = expect(store.find_administrator("admin").await) {
        expect(store.list_administrators(owner.customer_id, &first()).await);
        expect(store.list_sessions(owner.customer_id, owner.id, NOW, page).await);
        expect(store.list_preferences(owner.customer_id, owner.id).await);
        expect(store.list_saved_filters(owner.customer_id, owner.id, &PageName::new("keys").expect("a page")).await);
    }
    for signer in expect(store.list_signing_certificates(customer, &first()).await).map_or(vec![], |page| page.rows) {
        expect(store.find_crl(customer, signer.id).await);
        expect(store.find_revocations(customer, signer.id, NOW).await);
        expect(store.find_signing_certificate_references(customer, signer.id).await);
    }
    expect(store.check_integrity(&world.audit_key).await);
    expect(store.list_remarks().await);
    start(world).await;
}

/// What a node does before it listens.
async fn start(world: &World) {
    let store: Arc<dyn muster::store::Store> = Arc::<muster::store::embedded::EmbeddedStore>::clone(&world.store);
    let Ok(secrets) = load_secrets(&*store, &world.master_keys).await else { return };
    let index = Arc::new(KeyIndex::new(Arc::new(secrets.peppers)));
    // It starts or says what keeps it.
    let _ = Directory::load(store, Arc::clone(&world.master_keys), index, Arc::new(Metrics::new())).await;
}

/// One for each column, and some more: of the kinds of damage each has another.
pub fn seeds() -> Vec<Vec<u8>> {
    let values: [&[u8]; 3] = [b"", &[0xff; 8], b"1,2"];
    (0..250_u16).map(|column| [&column.to_be_bytes(), values[usize::from(column) % values.len()]].concat()).collect()
}
