//! What happened to a component: its enrollments from the ledger, what was done to it from the audit log, and
//! the certificates that it was given.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::domain::audit::AuditEvent;
use crate::domain::ledger::{LedgerEntry, LedgerRow, Presence};
use crate::domain::{Actor, CertificateRecord, Component, ComponentState, Kind, Name, Role, SerialNumber};
use crate::id::{ComponentId, CustomerId, ProvisioningKeyId};
use crate::management::{Error, Management, named_once};
use crate::store::{AuditField, AuditQuery, Comparison, Condition, PageRequest};

/// Most events of one history.
pub const EVENTS_MAX: u32 = 200;

/// A component's history as far as rows are kept.
pub struct ComponentHistory {
    /// Newest first, at most [`EVENTS_MAX`].
    pub events: Vec<ComponentEvent>,
    /// Whether older events were left out.
    pub is_cut: bool,
    /// Of these events, newest first. Not empty, unless rows are damaged.
    pub certificates: Vec<CertificateRecord>,
}

pub struct ComponentEvent {
    pub at: Timestamp,
    pub what: ComponentEventKind,
}

pub enum ComponentEventKind {
    /// What somebody did to it: edited, attached, revoked. Boxed, as it is by far the widest.
    Administered(Box<AuditEvent>),
    /// It took a use and got its first certificate. The key is `None` when that certificate's row is gone.
    Enrolled { key: Option<EventKey>, device: Presence },
    /// A known device got a new certificate.
    ReEnrolled { key: EventKey, old: Presence, new: Presence },
    /// Revoked when its key was deleted: the log has that with the key. `by` is `None` as well when the
    /// component was changed since.
    RevokedWithKey { by: Option<u64> },
}

/// The key that something was done with, by its name as it is now.
pub struct EventKey {
    pub id: ProvisioningKeyId,
    /// `None`: deleted since.
    pub name: Option<Name>,
}

impl Management {
    /// Costs a read of the component, of its re-enrollments, of its audit events and of its certificates, each
    /// by an index, and one for each key that it had.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a component of another kind; rights and outages.
    pub async fn component_history(
        &self,
        actor: &Actor,
        customer: CustomerId,
        kind: Kind,
        id: ComponentId,
    ) -> Result<ComponentHistory, Error> {
        self.authorise(actor, customer, Role::Auditor).await?;
        let component = self.component_of_kind(customer, kind, id).await?;
        let re_enrollments = self.store().list_re_enrollments(customer, id, EVENTS_MAX + 1).await?;
        let conditions = vec![Condition::new(AuditField::ObjectId, Comparison::Equals, id.to_string())];
        let query = AuditQuery { conditions, page: PageRequest::first(EVENTS_MAX) };
        let audit = self.store().search_audit(customer, &query).await?;
        let certificates = self.store().find_certificates(customer, id, &serials(&component, &re_enrollments)).await?;
        let is_whole = re_enrollments.len() <= EVENTS_MAX as usize && audit.total <= u64::from(EVENTS_MAX);

        let mut events = Vec::with_capacity(re_enrollments.len() + audit.rows.len() + 2);
        let was_revoked_alone = audit.rows.iter().any(|row| row.event.action == "revoke");
        if let ComponentState::Revoked { at } = component.state
            && !was_revoked_alone
        {
            let by = component.modified_by.filter(|_| component.modified_at == at);
            events.push(ComponentEvent { at, what: ComponentEventKind::RevokedWithKey { by } });
        }
        events.extend(audit.rows.into_iter().map(|row| ComponentEvent {
            at: row.event.at,
            what: ComponentEventKind::Administered(Box::new(row.event)),
        }));
        let mut keys = HashMap::new();
        let first = self.enrolled(&component, &re_enrollments, &certificates, &mut keys).await?;
        for row in re_enrollments {
            let LedgerEntry::ReEnrollment { old, new, .. } = row.entry else { continue };
            let key = self.event_key(customer, row.key_id, &mut keys).await?;
            events.push(ComponentEvent { at: row.at, what: ComponentEventKind::ReEnrolled { key, old, new } });
        }
        if is_whole {
            events.extend(first);
        }
        // Each part is newest first already, and stays so where instants are alike.
        events.sort_by_key(|event| Reverse(event.at));
        let is_cut = !is_whole || events.len() > EVENTS_MAX as usize;
        events.truncate(EVENTS_MAX as usize);
        Ok(ComponentHistory { events, is_cut, certificates })
    }

    /// The ledger has the row of the use too, yet no way there from the component: what was true then follows
    /// from the oldest re-enrollment, and from the component itself while there is none.
    async fn enrolled(
        &self,
        component: &Component,
        re_enrollments: &[LedgerRow],
        certificates: &[CertificateRecord],
        keys: &mut HashMap<ProvisioningKeyId, Option<Name>>,
    ) -> Result<Option<ComponentEvent>, Error> {
        let oldest = re_enrollments.last().and_then(|row| superseded(&row.entry));
        let serial = oldest.map_or(component.current_serial, |old| old.serial);
        let certificate = certificates.iter().find(|certificate| certificate.serial == serial);
        let device = match (oldest, certificate) {
            (Some(old), _) => old.clone(),
            (None, Some(certificate)) => {
                let (address, public_key_hash) = (component.remote_address, certificate.public_key_hash);
                Presence { address, public_key_hash, serial }
            }
            (None, None) => return Ok(None),
        };
        let key = match certificate {
            Some(certificate) => Some(self.event_key(component.customer_id, certificate.key_id, keys).await?),
            None => None,
        };
        Ok(Some(ComponentEvent { at: component.enrolled_at, what: ComponentEventKind::Enrolled { key, device } }))
    }

    async fn event_key(
        &self,
        customer: CustomerId,
        id: ProvisioningKeyId,
        known: &mut HashMap<ProvisioningKeyId, Option<Name>>,
    ) -> Result<EventKey, Error> {
        let look = async { Ok(self.store().find_key(customer, id).await?.map(|key| key.name)) };
        Ok(EventKey { id, name: named_once(known, id, look).await? })
    }
}

/// Of all its certificates, newest first: the current one, and what each re-enrollment superseded.
fn serials(component: &Component, re_enrollments: &[LedgerRow]) -> Vec<SerialNumber> {
    let superseded = re_enrollments.iter().filter_map(|row| superseded(&row.entry)).map(|old| old.serial);
    std::iter::once(component.current_serial).chain(superseded).collect()
}

fn superseded(entry: &LedgerEntry) -> Option<&Presence> {
    match entry {
        LedgerEntry::ReEnrollment { old, .. } => Some(old),
        LedgerEntry::Checkpoint { .. } | LedgerEntry::Release { .. } | LedgerEntry::Use { .. } => None,
    }
}
