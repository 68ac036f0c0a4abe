//! What is broken on purpose, and what must hold all the same. A file per kind of fault; docs/faults.md tells how each
//! is made, and what was seen.
//!
//! After every fault the store itself is asked, by the check behind `muster doctor`.

mod calls;
mod clocks;
mod descriptors;
mod disk;
mod kills;
mod memory;
mod power;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use muster::clock::SystemClock;
use muster::domain::SerialNumber;
use muster::domain::audit::AuditKey;
use muster::id::{ComponentId, CustomerId};
use muster::management::first_start::load_secrets;
use muster::secret::master::MasterKeys;
use muster::store::embedded::EmbeddedStore;
use muster::store::{BatchSettings, CommitObserver, Store};

use crate::support::Answer;
use crate::support::device::certificate_der;

/// A certificate that a device was given: from then on it must be there.
#[derive(Clone)]
struct Given {
    customer: CustomerId,
    component: ComponentId,
    serial: SerialNumber,
    der: Vec<u8>,
}

impl Given {
    fn by(answer: &Answer) -> Self {
        let id = |member: &str| answer.text(member);
        let serial = u128::from_str_radix(&answer.text("serialNumber"), 16).expect("32 hexadecimal digits");
        Self {
            customer: id("customerId").parse().expect("an id"),
            component: id("componentId").parse().expect("an id"),
            serial: SerialNumber::from_bytes(serial.to_be_bytes()),
            der: certificate_der(&answer.text("certificate")),
        }
    }
}

/// The store of a data directory that nobody serves, as somebody finds it who comes afterwards.
struct Found {
    store: Arc<EmbeddedStore>,
    audit_key: AuditKey,
}

struct Unobserved;

impl CommitObserver for Unobserved {
    fn observe_commit(&self, _: usize, _: std::time::Duration) {}
}

impl Found {
    /// As the next start opens it, which brings its log into it; or why that start fails.
    async fn opened(data_dir: &Path) -> Result<Self, String> {
        let (clock, batch) = (Arc::new(SystemClock), BatchSettings::default());
        let store = EmbeddedStore::open(data_dir, clock, batch, Arc::new(Unobserved));
        Self::with(data_dir, store.map_err(|error| error.to_string())?).await
    }

    /// Leaves all as it is for the next start.
    async fn looked_at(data_dir: &Path) -> Self {
        let store = EmbeddedStore::open_read_only(data_dir, Arc::new(SystemClock)).expect("a store");
        Self::with(data_dir, store).await.expect("its secrets")
    }

    async fn with(data_dir: &Path, store: Arc<EmbeddedStore>) -> Result<Self, String> {
        let master_key = fs::read_to_string(data_dir.join("master.key")).expect("a master key");
        let master_keys = MasterKeys::parse(&master_key).expect("a master key");
        let secrets = load_secrets(&*store, &master_keys).await.map_err(|error| error.to_string())?;
        Ok(Self { store, audit_key: secrets.audit_key })
    }

    /// I1 to I5, and all that the check looks at beside them. `when` is for the message.
    async fn assert_sound(&self, when: &str) {
        let findings = self.store.check_integrity(&self.audit_key).await.expect("the store answers");
        assert!(findings.is_empty(), "{when}: {findings:?}");
    }

    async fn assert_has(&self, given: &Given, when: &str) {
        let found = self.store.find_certificate(given.customer, given.component, given.serial).await;
        let found = found.expect("the store answers");
        let is_there = found.is_some_and(|record| record.der == given.der);
        assert!(is_there, "{when}: the certificate {} of component {} was lost", given.serial, given.component);
    }
}
