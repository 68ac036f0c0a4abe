//! How long a node takes to start with many keys. `cargo bench --bench start`
//!
//! Makes a store with `KEYS` keys (default 1,000,000) in transactions of 1,000, closes it, then opens
//! it and fills a node's memory, as `serve` does before its listeners accept. Prints the time of each
//! part and the growth of the resident size. One run; the page cache is warm, as after a restart.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::clock::{Clock, SystemClock};
use muster::domain::audit::AuditKey;
use muster::domain::certificate::SigningPurpose;
use muster::domain::key::KeyUsage;
use muster::domain::{
    AddressList, Customer, Description, Group, KeyVersion, Kind, Name, ProvisioningKey, Revision, SigningCertificate,
};
use muster::enrollment::Directory;
use muster::id::{CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::index::KeyIndex;
use muster::metrics::Metrics;
use muster::secret::master::MasterKeys;
use muster::secret::pepper::{PepperNumber, Peppers};
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, Change, CommitObserver, Store};

const PER_TRANSACTION: u64 = 1_000;

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: Duration) {}
}

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--test");
    let given = std::env::var("KEYS").ok().and_then(|text| text.parse().ok());
    let keys = given.unwrap_or(if smoke { 2_000 } else { 1_000_000 });
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let started = Instant::now();
        fill(dir.path(), keys).await;
        let bytes = fs::metadata(dir.path().join("muster.db")).expect("the store").len();
        println!("made {keys} keys in {:.1} s, {} bytes each on disk", started.elapsed().as_secs_f64(), bytes / keys);

        let before = resident_bytes();
        let started = Instant::now();
        let store = open(dir.path());
        let opened = started.elapsed();
        let peppers = Peppers::new(&[(PepperNumber(1), Peppers::generate())]);
        let index = Arc::new(KeyIndex::new(Arc::new(peppers)));
        let master = Arc::new(MasterKeys::parse(&MasterKeys::generate_text("1")).expect("a master key"));
        let shared: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&store);
        let metrics = Arc::new(Metrics::new());
        Directory::load(shared, master, Arc::clone(&index), metrics).await.expect("the directory loads");
        assert_eq!(index.len() as u64, keys);
        println!(
            "open {:.2} s, open and load {:.2} s, resident size + {} bytes per key",
            opened.as_secs_f64(),
            started.elapsed().as_secs_f64(),
            (resident_bytes() - before) / keys
        );
        store.close().await;
    });
}

fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(dir, Arc::new(SystemClock), BatchSettings::default(), Arc::new(Unobserved)).expect("a store")
}

async fn fill(dir: &Path, keys: u64) {
    let store = open(dir);
    let audit = AuditKey::new(&AuditKey::generate());
    let now = SystemClock.now();
    let name = |text: &str| Name::new(text).expect("a name");
    let (customer, group, signer) = (CustomerId::from_raw(1), GroupId::from_raw(2), SigningCertificateId::from_raw(3));
    let settings = vec![
        Change::InsertCustomer(Customer {
            id: customer,
            name: name("bench"),
            enabled: true,
            created_at: now,
            modified_at: now,
            revision: Revision::FIRST,
        }),
        Change::InsertSigningCertificate(SigningCertificate {
            id: signer,
            customer_id: customer,
            name: name("none"),
            description: Description::default(),
            certificate: None,
            chain: Vec::new(),
            public_key_hash: [0; 32],
            sealed_private_key: None,
            csr: None,
            parent_id: None,
            allow_signing: false,
            lifetime_seconds: SigningCertificate::LIFETIME_SECONDS_DEFAULT,
            purpose: SigningPurpose::None,
            not_before: now,
            not_after: now,
            created_at: now,
            modified_at: now,
            modified_by: None,
            revision: Revision::FIRST,
        }),
        Change::InsertGroup(Group {
            id: group,
            customer_id: customer,
            kind: Kind::Machine,
            name: name("bench"),
            description: Description::default(),
            enabled: true,
            signing_certificate_id: signer,
            addresses: AddressList::default(),
            attributes: serde_json::Map::new(),
            created_at: now,
            modified_at: now,
            modified_by: None,
            revision: Revision::FIRST,
        }),
    ];
    store.commit_changes(settings, Vec::new(), &audit).await.expect("the settings");
    let peppers = Peppers::new(&[(PepperNumber(1), Peppers::generate())]);
    for first in (0..keys).step_by(PER_TRANSACTION as usize) {
        let changes = (first..(first + PER_TRANSACTION).min(keys))
            .map(|n| {
                let (pepper, digest) = peppers.digest(&n.to_be_bytes());
                Change::InsertKey(ProvisioningKey {
                    id: ProvisioningKeyId::from_raw(1_000 + n),
                    customer_id: customer,
                    kind: Kind::Machine,
                    group_id: group,
                    signing_certificate_id: signer,
                    name: name(&format!("key-{n}")),
                    description: Description::default(),
                    maximum: NonZeroU32::new(10),
                    enabled: true,
                    allow_re_enrollment: false,
                    expires_at: None,
                    addresses: AddressList::default(),
                    version: KeyVersion::Bootstrap,
                    hint: "3|localhost:8443|AAAAAAA...".to_owned(),
                    key_id: format!("{n:016}"),
                    digest,
                    pepper,
                    sealed_string: Some(vec![7; 160]),
                    managed_by: None,
                    successor_id: None,
                    ui_config: None,
                    usage: KeyUsage::default(),
                    created_at: now,
                    created_by: None,
                    modified_at: now,
                    modified_by: None,
                    revision: Revision::FIRST,
                })
            })
            .collect();
        store.commit_changes(changes, Vec::new(), &audit).await.expect("a thousand keys");
    }
    store.close().await;
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4_096
}
