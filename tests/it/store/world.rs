//! A store with a clock, an audit key and a tenant, and words for what is done to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use muster::clock::{Clock, ManualClock, Timestamp};
use muster::domain::audit::{AuditEvent, AuditKey};
use muster::domain::ledger::LedgerRow;
use muster::domain::{
    Actor, Component, Customer, Group, IssuedCertificate, Kind, ProvisioningKey, SerialNumber, SigningCertificate,
};
use muster::id::{ComponentId, CustomerId, Id};
use muster::store::{
    BrokenRule, Change, ChangeError, ChangeSequence, EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome,
    PageRequest, RenewalCommit, SeenForRenewal, SeenRevisions, Store, StoreError,
};

use crate::support::rows::{self, NOW};

/// One place where a store keeps its data. Opened again it finds what was there.
#[async_trait]
pub trait StoreUnderTest: Send + Sync {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store>;

    /// Rows of a table.
    fn count(&self, table: &str) -> u64;
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    pub audit_key: AuditKey,
    under_test: Box<dyn StoreUnderTest>,
    next_id: AtomicU64,
}

/// A customer with what a key needs.
#[derive(Clone)]
pub struct Tenant {
    pub customer: Customer,
    pub signer: SigningCertificate,
    pub group: Group,
}

impl World {
    pub async fn open(under_test: impl StoreUnderTest + 'static) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let store = under_test.open(clock.clone()).await;
        Self {
            store,
            clock,
            audit_key: AuditKey::new(&[0xa0; 32]),
            under_test: Box::new(under_test),
            next_id: AtomicU64::new(1_000),
        }
    }

    /// Drops the store without closing it and opens it again.
    pub async fn reopen(self) -> Self {
        let Self { store, clock, audit_key, under_test, next_id } = self;
        assert_eq!(Arc::strong_count(&store), 1, "somebody else holds the store");
        drop(store);
        let store = under_test.open(clock.clone()).await;
        Self { store, clock, audit_key, under_test, next_id }
    }

    /// Goes on with what is in another place.
    pub async fn move_to(self, under_test: impl StoreUnderTest + 'static) -> Self {
        let Self { clock, audit_key, next_id, .. } = self;
        let store = under_test.open(clock.clone()).await;
        Self { store, clock, audit_key, under_test: Box::new(under_test), next_id }
    }

    /// Rows of a table, for what no reader tells of.
    pub fn count(&self, table: &str) -> u64 {
        self.under_test.count(table)
    }

    pub fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn try_apply(&self, changes: Vec<Change>) -> Result<ChangeSequence, ChangeError> {
        self.store.commit_changes(changes, Vec::new(), &self.audit_key).await
    }

    pub async fn apply(&self, changes: Vec<Change>) -> ChangeSequence {
        self.try_apply(changes).await.unwrap()
    }

    /// The rule that a single change breaks.
    pub async fn broken_rule(&self, change: Change) -> BrokenRule {
        match self.try_apply(vec![change]).await {
            Err(ChangeError::Rule { position: 0, rule }) => rule,
            other => panic!("a broken rule was expected: {other:?}"),
        }
    }

    pub fn event(&self, customer: CustomerId, object_id: &str) -> AuditEvent {
        AuditEvent::new(&Actor::system(), customer, self.now(), "create", ("group", object_id.into(), "HQ"))
    }

    /// A customer, its signing certificate `Client` and its machine group `HQ`.
    pub async fn tenant(&self) -> Tenant {
        let customer = rows::customer(self.id(), &format!("Customer {}", self.id()));
        let signer = rows::signing_certificate(self.id(), customer.id, "Client");
        let group = rows::group(self.id(), &signer, Kind::Machine, "HQ");
        self.apply(vec![
            Change::InsertCustomer(customer.clone()),
            Change::InsertSigningCertificate(signer.clone()),
            Change::InsertGroup(group.clone()),
        ])
        .await;
        Tenant { customer, signer, group }
    }

    pub async fn key(&self, tenant: &Tenant, maximum: Option<u32>) -> ProvisioningKey {
        let id = self.id();
        let key = rows::key(id, &tenant.group, &format!("key {id}"), maximum);
        self.apply(vec![Change::InsertKey(key.clone())]).await;
        key
    }

    /// The key as the store has it now.
    pub async fn stored(&self, key: &ProvisioningKey) -> ProvisioningKey {
        self.store.find_key(key.customer_id, key.id).await.unwrap().expect("the key is there")
    }

    pub async fn uses(&self, key: &ProvisioningKey) -> u32 {
        self.stored(key).await.usage.uses
    }

    pub async fn change_key(
        &self,
        key: &ProvisioningKey,
        change: impl FnOnce(&mut ProvisioningKey),
    ) -> ProvisioningKey {
        let mut row = self.stored(key).await;
        change(&mut row);
        self.apply(vec![Change::UpdateKey(row)]).await;
        self.stored(key).await
    }

    /// An enrollment that was checked against the tenant's rows as they were inserted and against
    /// `key` as it is given.
    pub fn commit(&self, tenant: &Tenant, key: &ProvisioningKey, device: &str) -> EnrollmentCommit {
        EnrollmentCommit {
            seen: SeenRevisions {
                customer: (tenant.customer.id, tenant.customer.revision),
                group: (tenant.group.id, tenant.group.revision),
                signing_certificate: (tenant.signer.id, tenant.signer.revision),
                key: (key.id, key.revision),
            },
            fingerprint: rows::fingerprint(device),
            device: rows::device(),
            remote_address: IpAddr::from([192, 0, 2, 1]),
            certificate: rows::certificate(),
            intent: EnrollmentIntent::Enroll { component: ComponentId::from_raw(self.id()) },
        }
    }

    pub async fn enroll(&self, tenant: &Tenant, key: &ProvisioningKey, device: &str) -> EnrollmentOutcome {
        self.store.commit_enrollment(self.commit(tenant, key, device)).await.unwrap()
    }

    /// Enrolls and answers the component.
    pub async fn enrolled(&self, tenant: &Tenant, key: &ProvisioningKey, device: &str) -> Component {
        let commit = self.commit(tenant, key, device);
        let EnrollmentIntent::Enroll { component } = commit.intent else { unreachable!() };
        let outcome = self.store.commit_enrollment(commit).await.unwrap();
        assert!(matches!(outcome, EnrollmentOutcome::Committed { .. }), "{outcome:?}");
        self.component(key.customer_id, component).await
    }

    pub fn re_enrollment(
        &self,
        tenant: &Tenant,
        key: &ProvisioningKey,
        device: &str,
        component: &Component,
    ) -> EnrollmentCommit {
        let intent = EnrollmentIntent::ReEnroll { component: component.id, superseded: component.current_serial };
        EnrollmentCommit { intent, ..self.commit(tenant, key, device) }
    }

    /// With the same key pair, checked against the tenant's rows as they were inserted and against key and component
    /// as they are given; `None`: the component's key is gone.
    pub fn renewal(&self, tenant: &Tenant, key: Option<&ProvisioningKey>, component: &Component) -> RenewalCommit {
        let certificate = rows::certificate();
        RenewalCommit {
            seen: SeenForRenewal {
                customer: (tenant.customer.id, tenant.customer.revision),
                group: (tenant.group.id, tenant.group.revision),
                signing_certificate: (tenant.signer.id, tenant.signer.revision),
                key: (component.key_id, key.map(|key| key.revision)),
                component: (component.id, component.revision),
            },
            remote_address: component.remote_address,
            replaced: component.current_serial,
            is_rekey: false,
            good_until: certificate.not_after,
            certificate,
        }
    }

    pub async fn component(&self, customer: CustomerId, id: ComponentId) -> Component {
        self.store.find_component(customer, id).await.unwrap().expect("the component is there")
    }

    pub async fn certificate(
        &self,
        customer: CustomerId,
        component: ComponentId,
        serial: SerialNumber,
    ) -> muster::domain::CertificateRecord {
        self.store.find_certificate(customer, component, serial).await.unwrap().expect("the certificate is there")
    }

    /// Newest first, all of it.
    pub async fn ledger(&self, key: &ProvisioningKey) -> Vec<LedgerRow> {
        let page = self.store.list_ledger(key.customer_id, key.id, PageRequest::first(500)).await.unwrap();
        assert_eq!(page.rows.len() as u64, page.total, "a test's ledger fits on one page");
        page.rows.into_iter().map(|used| used.row).collect()
    }

    pub async fn assert_sound(&self) {
        assert_eq!(self.store.check_integrity(&self.audit_key).await.unwrap(), []);
    }
}

pub fn committed(name: impl Into<String>, uses: u32) -> EnrollmentOutcome {
    EnrollmentOutcome::Committed { component_name: name.into(), uses }
}

pub fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { .. }))
}

/// As the record of `issued` should be.
pub fn presence_of(issued: &IssuedCertificate, address: IpAddr) -> muster::domain::ledger::Presence {
    muster::domain::ledger::Presence { address, public_key_hash: issued.public_key_hash, serial: issued.serial }
}
