//! The renewal part of a batch: a new certificate each for the holder of the one before. [`enroll`](super::enroll)
//! sends it.
//!
//! It needs no key, so the component's own row is its lock, beside the key's where that is there. Whatever ends a
//! component, or changes its certificates, holds one of the two.

use std::sync::LazyLock;

use tokio_postgres::types::ToSql;

use super::certificates::NEWS;
use super::enroll::{ISSUED, Issued, column};
use super::errors::Error;
use super::session::Row;
use crate::clock::Timestamp;
use crate::domain::{Revision, SerialNumber};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::encoding::{Address, unreadable};
use crate::store::{RenewalCommit, RenewalOutcome};

/// From a row of [`RENEW`].
pub(super) fn outcome(row: &Row) -> Result<RenewalOutcome, Error> {
    Ok(match row.get::<&str>(0)? {
        "written" => RenewalOutcome::Committed,
        "expired" => RenewalOutcome::Expired,
        "outdated" => RenewalOutcome::Outdated,
        other => return Err(unreadable("outcome", &other).into()),
    })
}

/// Renewals as the arrays that [`RENEW`] takes apart again.
pub(super) struct Renewals<'a> {
    components: Vec<ComponentId>,
    component_revisions: Vec<Revision>,
    replaced: Vec<SerialNumber>,
    keys: Vec<ProvisioningKeyId>,
    key_revisions: Vec<Option<Revision>>,
    customer_revisions: Vec<Revision>,
    groups: Vec<GroupId>,
    group_revisions: Vec<Revision>,
    signers: Vec<SigningCertificateId>,
    signer_revisions: Vec<Revision>,
    good_until: Vec<Timestamp>,
    are_rekeys: Vec<bool>,
    addresses: Vec<Address>,
    issued: Issued<'a>,
}

impl<'a> Renewals<'a> {
    pub(super) fn of(batch: &[&'a RenewalCommit]) -> Self {
        Self {
            components: column(batch, |commit| commit.seen.component.0),
            component_revisions: column(batch, |commit| commit.seen.component.1),
            replaced: column(batch, |commit| commit.replaced),
            keys: column(batch, |commit| commit.seen.key.0),
            key_revisions: column(batch, |commit| commit.seen.key.1),
            customer_revisions: column(batch, |commit| commit.seen.customer.1),
            groups: column(batch, |commit| commit.seen.group.0),
            group_revisions: column(batch, |commit| commit.seen.group.1),
            signers: column(batch, |commit| commit.seen.signing_certificate.0),
            signer_revisions: column(batch, |commit| commit.seen.signing_certificate.1),
            good_until: column(batch, |commit| commit.good_until),
            are_rekeys: column(batch, |commit| commit.is_rekey),
            addresses: column(batch, |commit| Address(commit.remote_address)),
            issued: Issued::of(batch, |commit| &commit.certificate),
        }
    }

    /// In the order of [`LOCK`].
    pub(super) fn lock_values<'v>(&'v self, customer: &'v CustomerId) -> [&'v (dyn ToSql + Sync); 2] {
        [customer, &self.components]
    }

    /// In the order of [`RENEW`].
    pub(super) fn values<'v>(
        &'v self,
        customer: &'v CustomerId,
        now: &'v Option<Timestamp>,
        is_repeated: &'v bool,
    ) -> [&'v (dyn ToSql + Sync); 22] {
        [
            customer,
            now,
            &self.components,
            &self.component_revisions,
            &self.replaced,
            &self.keys,
            &self.key_revisions,
            &self.customer_revisions,
            &self.groups,
            &self.group_revisions,
            &self.signers,
            &self.signer_revisions,
            &self.good_until,
            &self.are_rekeys,
            &self.addresses,
            &self.issued.serials,
            &self.issued.public_key_hashes,
            &self.issued.issued_at,
            &self.issued.not_before,
            &self.issued.not_after,
            &self.issued.ders,
            is_repeated,
        ]
    }
}

/// Behind the keys' lock, and like it in one order; the setting, too, is as there.
pub(super) const LOCK: &str = "
SELECT id, set_config('muster.renewals', 'held', TRUE) FROM components WHERE customer_id = $1 AND id = ANY($2)
ORDER BY id FOR UPDATE";

/// A new certificate each in place of the current one. Returns a row per request, in their order; nothing where no
/// component is there.
pub(super) static RENEW: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::boolean[], $15::bytea[],
        $16::bytea[], $17::bytea[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bytea[])
    WITH ORDINALITY AS a (component_id, component_revision, replaced, key_id, key_revision, customer_revision, group_id,
        group_revision, signer_id, signer_revision, good_until, is_rekey, address, serial, public_key_hash, issued_at,
        not_before, not_after, der, place)
    WHERE current_setting('muster.renewals', TRUE) = 'held'
),
moment AS MATERIALIZED (
    SELECT {now} AS now
),
judged AS MATERIALIZED (
    SELECT a.*, m.now,
        CASE
            WHEN $22 AND p.current_serial = a.serial THEN 'repeated'
            WHEN NOT coalesce(p.is_good, FALSE)
                OR (a.component_revision, a.replaced, a.key_id, a.group_id)
                    <> (p.revision, p.current_serial, p.key_id, p.group_id)
                OR (a.customer_revision, a.group_revision, a.signer_revision, a.key_revision)
                    IS DISTINCT FROM (c.revision, g.revision, s.revision, k.revision)
                THEN 'outdated'
            WHEN a.good_until <= m.now THEN 'expired'
            ELSE 'again'
        END AS verdict
    FROM asked a
        CROSS JOIN moment m
        LEFT JOIN LATERAL (
            SELECT revision, current_serial, key_id, group_id,
                enabled AND revoked_at IS NULL AND deleted_at IS NULL AS is_good
            FROM components WHERE customer_id = $1 AND id = a.component_id LIMIT 1) p ON TRUE
        LEFT JOIN LATERAL (SELECT revision FROM customers WHERE id = $1 LIMIT 1) c ON TRUE
        LEFT JOIN LATERAL (
            SELECT revision FROM groups WHERE customer_id = $1 AND id = a.group_id LIMIT 1) g ON TRUE
        LEFT JOIN LATERAL (
            SELECT revision FROM signing_certificates WHERE customer_id = $1 AND id = a.signer_id LIMIT 1) s ON TRUE
        LEFT JOIN LATERAL (
            SELECT revision FROM provisioning_keys WHERE customer_id = $1 AND id = a.key_id LIMIT 1) k ON TRUE
),
decided AS MATERIALIZED (
    SELECT j.*, verdict = 'again' AS is_written FROM judged j
),
renewed AS (
    UPDATE certificates SET status = 4, status_at = (SELECT now FROM moment)
    WHERE customer_id = $1 AND serial = ANY (ARRAY(SELECT replaced FROM decided WHERE is_written AND NOT is_rekey))
),
superseded AS (
    UPDATE certificates SET status = 2, status_at = (SELECT now FROM moment)
    WHERE customer_id = $1 AND serial = ANY (ARRAY(SELECT replaced FROM decided WHERE is_written AND is_rekey))
    RETURNING signing_certificate_id, serial
),
superseded_before AS (
    UPDATE certificates SET status = 2, status_at = (SELECT now FROM moment)
    WHERE customer_id = $1
        AND component_id = ANY (ARRAY(SELECT component_id FROM decided WHERE is_written AND is_rekey))
        AND not_after > (SELECT now FROM moment) AND status = 4
    RETURNING signing_certificate_id, serial
),
gone AS (SELECT * FROM superseded UNION ALL SELECT * FROM superseded_before),
heard AS (
    {NEWS}
),
{ISSUED},
moved AS (
    UPDATE components c SET (current_serial, previous_serial, remote_address) = (
        SELECT d.serial, d.replaced, d.address FROM decided d WHERE d.component_id = c.id AND d.is_written)
    WHERE c.customer_id = $1 AND c.id = ANY (ARRAY(SELECT component_id FROM decided WHERE is_written))
)
SELECT CASE WHEN verdict IN ('again', 'repeated') THEN 'written' ELSE verdict END FROM decided ORDER BY place",
        now = super::now("$2"),
    )
});
