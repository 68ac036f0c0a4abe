//! What happened to a component: its re-enrollments from the ledger, what was done to it from the audit log, and
//! the certificates that it was given, of which those that no enrollment explains are renewals.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

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
    /// Newest first, at most [`EVENTS_MAX`]. Not empty, unless rows are damaged.
    pub certificates: Vec<CertificateRecord>,
}

pub struct ComponentEvent {
    pub at: Timestamp,
    pub what: ComponentEventKind,
}

pub enum ComponentEventKind {
    /// What somebody did to it: edited, attached, revoked. Boxed, as it is by far the widest.
    Administered(Box<AuditEvent>),
    /// It took a use and got its first certificate. Where it called from is not known after a renewal.
    Enrolled { key: EventKey, address: Option<IpAddr> },
    /// A known device got a new certificate.
    ReEnrolled { key: EventKey, old: Presence, new: Presence },
    /// It showed its certificate and got the next one.
    Renewed { is_rekey: bool },
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
        let mut certificates = self.store().list_certificates(customer, id, EVENTS_MAX + 1).await?;
        let is_whole = re_enrollments.len() <= EVENTS_MAX as usize
            && certificates.len() <= EVENTS_MAX as usize
            && audit.total <= u64::from(EVENTS_MAX);

        let mut events = Vec::with_capacity(certificates.len() + audit.rows.len() + 2);
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
        events.extend(renewals(&certificates, &re_enrollments));
        certificates.truncate(EVENTS_MAX as usize);
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
    /// from the first certificate, from what replaced that, and from the component itself while nothing did.
    async fn enrolled(
        &self,
        component: &Component,
        re_enrollments: &[LedgerRow],
        certificates: &[CertificateRecord],
        keys: &mut HashMap<ProvisioningKeyId, Option<Name>>,
    ) -> Result<Option<ComponentEvent>, Error> {
        let Some(first) = certificates.last() else { return Ok(None) };
        let superseded = re_enrollments.last().and_then(re_enrollment).map(|(old, _)| old);
        let address = match superseded.filter(|old| old.serial == first.serial) {
            Some(old) => Some(old.address),
            None => (certificates.len() == 1).then_some(component.remote_address),
        };
        let key = self.event_key(component.customer_id, first.key_id, keys).await?;
        Ok(Some(ComponentEvent { at: component.enrolled_at, what: ComponentEventKind::Enrolled { key, address } }))
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

/// Of certificates, newest first, those that came in place of the one before by no re-enrollment.
fn renewals(certificates: &[CertificateRecord], re_enrollments: &[LedgerRow]) -> impl Iterator<Item = ComponentEvent> {
    let re_enrolled: HashSet<SerialNumber> =
        re_enrollments.iter().filter_map(re_enrollment).map(|(_, new)| new.serial).collect();
    certificates.windows(2).filter(move |pair| !re_enrolled.contains(&pair[0].serial)).map(|pair| {
        let is_rekey = pair[0].public_key_hash != pair[1].public_key_hash;
        ComponentEvent { at: pair[0].issued_at, what: ComponentEventKind::Renewed { is_rekey } }
    })
}

/// The old and the new.
fn re_enrollment(row: &LedgerRow) -> Option<(&Presence, &Presence)> {
    match &row.entry {
        LedgerEntry::ReEnrollment { old, new, .. } => Some((old, new)),
        LedgerEntry::Checkpoint { .. } | LedgerEntry::Release { .. } | LedgerEntry::Use { .. } => None,
    }
}
