//! As much of a store as management asks for, in memory. Not held to the store's contract: whether
//! a use case and a real store agree is what `tests/it` is for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::audit::{AuditEvent, AuditKey, AuditRow};
use crate::domain::ledger::{LedgerRow, RefusalTally};
use crate::domain::redemption::KnownComponent;
use crate::domain::{
    Administrator, ApiClient, CertificateRecord, Component, Customer, Fingerprint, Group, IndexedKey, Kind,
    ProvisioningKey, SerialNumber, SigningCertificate,
};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::{
    BrokenRule, Change, ChangeError, ChangeSequence, ChangedObject, EnrollmentCommit, EnrollmentOutcome,
    EnrollmentStore, Finding, ListQuery, NameFilter, Page, SealedSecret, Store, StoreError,
};

#[derive(Default)]
pub(crate) struct TestStore {
    pub(crate) state: Mutex<State>,
}

#[derive(Clone, Default)]
pub(crate) struct State {
    sequence: u64,
    next_id: u64,
    pub(crate) settings: HashMap<String, String>,
    pub(crate) secrets: Vec<SealedSecret>,
    pub(crate) customers: BTreeMap<CustomerId, Customer>,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) signers: BTreeMap<SigningCertificateId, SigningCertificate>,
    pub(crate) keys: BTreeMap<ProvisioningKeyId, ProvisioningKey>,
    pub(crate) clients: Vec<ApiClient>,
    pub(crate) administrators: Vec<Administrator>,
    pub(crate) audit: Vec<AuditEvent>,
    /// The next updates that find the row changed by somebody else.
    pub(crate) outdated_updates: u32,
}

impl State {
    fn apply(&mut self, change: Change) -> Result<(), BrokenRule> {
        match change {
            Change::PutSetting { name, value } => {
                self.settings.insert(name, value);
            }
            Change::PutSecret(secret) => self.secrets.push(secret),
            Change::InsertCustomer(row) => {
                self.customers.insert(row.id, row);
            }
            Change::InsertAdministrator(row) => self.administrators.push(row),
            Change::InsertApiClient(row) => self.clients.push(row),
            Change::InsertSigningCertificate(row) => {
                self.signers.insert(row.id, row);
            }
            Change::InsertGroup(row) => {
                let same = |g: &Group| g.kind == row.kind && g.name.folded() == row.name.folded();
                if self.groups.values().any(same) {
                    return Err(BrokenRule::DuplicateName);
                }
                self.groups.insert(row.id, row);
            }
            Change::InsertKey(row) => {
                let same = |k: &ProvisioningKey| k.kind == row.kind && k.name.folded() == row.name.folded();
                if self.keys.values().any(same) {
                    return Err(BrokenRule::DuplicateName);
                }
                self.keys.insert(row.id, row);
            }
            Change::UpdateGroup(mut row) => {
                let old = self.groups.get(&row.id).ok_or(BrokenRule::NotFound)?;
                if old.revision != row.revision {
                    return Err(BrokenRule::Outdated { found: old.revision });
                }
                row.revision = row.revision.next();
                self.groups.insert(row.id, row);
            }
            Change::UpdateKey(mut row) => {
                let old = self.keys.get_mut(&row.id).ok_or(BrokenRule::NotFound)?;
                if self.outdated_updates > 0 {
                    self.outdated_updates -= 1;
                    old.revision = old.revision.next();
                }
                if old.revision != row.revision {
                    return Err(BrokenRule::Outdated { found: old.revision });
                }
                row.revision = row.revision.next();
                self.keys.insert(row.id, row);
            }
            Change::UpdateSigningCertificate(mut row) => {
                row.revision = row.revision.next();
                self.signers.insert(row.id, row);
            }
            Change::UpdateCustomer(row) => {
                self.customers.insert(row.id, row);
            }
            Change::DeleteKey { id, .. } => {
                self.keys.remove(&id).ok_or(BrokenRule::NotFound)?;
            }
            Change::DeleteGroup { id, .. } => {
                if self.keys.values().any(|key| key.group_id == id) {
                    return Err(BrokenRule::Referenced { by: "provisioning keys" });
                }
                self.groups.remove(&id).ok_or(BrokenRule::NotFound)?;
            }
            Change::RevokeComponent { .. } | Change::DeleteComponent { .. } | Change::UpdateComponent(_) => {
                unreachable!("management does not touch components yet")
            }
        }
        Ok(())
    }
}

fn page<T: Clone>(rows: impl Iterator<Item = (String, T)>, query: &ListQuery) -> Page<T> {
    let wanted = |name: &str| {
        let name = name.to_lowercase();
        query.filter.iter().all(|filter| match filter {
            NameFilter::Contains(text) => name.contains(&text.to_lowercase()),
            NameFilter::EndsWith(text) => name.ends_with(&text.to_lowercase()),
            NameFilter::Equals(text) => name == text.to_lowercase(),
            NameFilter::NotEquals(text) => name != text.to_lowercase(),
            NameFilter::StartsWith(text) => name.starts_with(&text.to_lowercase()),
        })
    };
    let rows: Vec<T> = rows.filter(|(name, _)| wanted(name)).map(|(_, row)| row).collect();
    let total = rows.len() as u64;
    let rows = rows.into_iter().skip(query.offset as usize).take(query.limit as usize).collect();
    Page { rows, total }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable { reason: "management does not ask for this".into() })
}

#[async_trait]
impl EnrollmentStore for TestStore {
    async fn commit_enrollment(&self, _: EnrollmentCommit) -> Result<EnrollmentOutcome, StoreError> {
        unused()
    }

    async fn find_known_component(
        &self,
        _: CustomerId,
        _: ProvisioningKeyId,
        _: &Fingerprint,
        _: Timestamp,
    ) -> Result<Option<KnownComponent>, StoreError> {
        unused()
    }

    async fn add_refusals(&self, _: Vec<RefusalTally>) -> Result<(), StoreError> {
        unused()
    }
}

#[async_trait]
impl Store for TestStore {
    async fn commit_changes(
        &self,
        changes: Vec<Change>,
        audit: Vec<AuditEvent>,
        _: &AuditKey,
    ) -> Result<ChangeSequence, ChangeError> {
        let mut state = self.state.lock().unwrap();
        let mut next = state.clone();
        for (position, change) in changes.into_iter().enumerate() {
            if let Err(rule) = next.apply(change) {
                if matches!(rule, BrokenRule::Outdated { .. }) {
                    // What the others did stays.
                    state.keys = next.keys;
                    state.outdated_updates = next.outdated_updates;
                }
                return Err(ChangeError::Rule { position, rule });
            }
        }
        next.audit.extend(audit);
        next.sequence += 1;
        *state = next;
        Ok(ChangeSequence(state.sequence))
    }

    async fn list_changes(&self, _: ChangeSequence, _: u32) -> Result<Vec<ChangedObject>, StoreError> {
        unused()
    }

    async fn last_change(&self) -> Result<ChangeSequence, StoreError> {
        unused()
    }

    async fn reserve_ids(&self, count: u64) -> Result<u64, StoreError> {
        let mut state = self.state.lock().unwrap();
        let first = state.next_id + 1;
        state.next_id += count;
        Ok(first)
    }

    async fn find_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state.lock().unwrap().settings.get(name).cloned())
    }

    async fn list_secrets(&self, purpose: &str) -> Result<Vec<SealedSecret>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state.secrets.iter().filter(|secret| secret.purpose == purpose).cloned().collect())
    }

    async fn find_customer(&self, id: CustomerId) -> Result<Option<Customer>, StoreError> {
        Ok(self.state.lock().unwrap().customers.get(&id).cloned())
    }

    async fn find_group(&self, customer: CustomerId, id: GroupId) -> Result<Option<Group>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state.groups.get(&id).filter(|row| row.customer_id == customer).cloned())
    }

    async fn find_signing_certificate(
        &self,
        customer: CustomerId,
        id: SigningCertificateId,
    ) -> Result<Option<SigningCertificate>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state.signers.get(&id).filter(|row| row.customer_id == customer).cloned())
    }

    async fn find_key(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
    ) -> Result<Option<ProvisioningKey>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state.keys.get(&id).filter(|row| row.customer_id == customer).cloned())
    }

    async fn find_component(&self, _: CustomerId, _: ComponentId) -> Result<Option<Component>, StoreError> {
        unused()
    }

    async fn find_certificate(&self, _: CustomerId, _: SerialNumber) -> Result<Option<CertificateRecord>, StoreError> {
        unused()
    }

    async fn find_api_client(&self, client_id: &str) -> Result<Option<ApiClient>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state.clients.iter().find(|client| client.client_id == client_id).cloned())
    }

    async fn find_administrator(&self, username: &str) -> Result<Option<Administrator>, StoreError> {
        let state = self.state.lock().unwrap();
        Ok(state.administrators.iter().find(|row| row.username.as_str() == username).cloned())
    }

    async fn list_customers(&self) -> Result<Vec<Customer>, StoreError> {
        Ok(self.state.lock().unwrap().customers.values().cloned().collect())
    }

    async fn list_groups(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery,
    ) -> Result<Page<Group>, StoreError> {
        let state = self.state.lock().unwrap();
        let rows = state.groups.values().filter(|row| row.customer_id == customer && row.kind == kind);
        Ok(page(rows.map(|row| (row.name.to_string(), row.clone())), query))
    }

    async fn list_signing_certificates(
        &self,
        customer: CustomerId,
        query: &ListQuery,
    ) -> Result<Page<SigningCertificate>, StoreError> {
        let state = self.state.lock().unwrap();
        let rows = state.signers.values().filter(|row| row.customer_id == customer);
        Ok(page(rows.map(|row| (row.name.to_string(), row.clone())), query))
    }

    async fn list_keys(
        &self,
        customer: CustomerId,
        kind: Kind,
        query: &ListQuery,
    ) -> Result<Page<ProvisioningKey>, StoreError> {
        let state = self.state.lock().unwrap();
        let rows = state.keys.values().filter(|row| row.customer_id == customer && row.kind == kind);
        Ok(page(rows.map(|row| (row.name.to_string(), row.clone())), query))
    }

    async fn list_components(&self, _: CustomerId, _: Kind, _: &ListQuery) -> Result<Page<Component>, StoreError> {
        unused()
    }

    async fn list_ledger(
        &self,
        _: CustomerId,
        _: ProvisioningKeyId,
        _: &ListQuery,
    ) -> Result<Page<LedgerRow>, StoreError> {
        unused()
    }

    async fn list_refusals(&self, _: CustomerId, _: ProvisioningKeyId) -> Result<Vec<RefusalTally>, StoreError> {
        unused()
    }

    async fn list_audit(&self, _: CustomerId, _: u64, _: u32) -> Result<Vec<AuditRow>, StoreError> {
        unused()
    }

    async fn scan_groups(&self, _: GroupId, _: u32) -> Result<Vec<Group>, StoreError> {
        unused()
    }

    async fn scan_signing_certificates(
        &self,
        _: SigningCertificateId,
        _: u32,
    ) -> Result<Vec<SigningCertificate>, StoreError> {
        unused()
    }

    async fn scan_keys(&self, _: ProvisioningKeyId, _: u32) -> Result<Vec<IndexedKey>, StoreError> {
        unused()
    }

    async fn find_indexed_key(&self, _: CustomerId, _: ProvisioningKeyId) -> Result<Option<IndexedKey>, StoreError> {
        unused()
    }

    async fn check_integrity(&self, _: &AuditKey) -> Result<Vec<Finding>, StoreError> {
        unused()
    }

    async fn probe(&self) -> Result<(), StoreError> {
        unused()
    }

    async fn close(&self) {}
}
