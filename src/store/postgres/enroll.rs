//! The enrollment transaction: one customer's batch, decided for good and written in one round trip. Renewals are a
//! part of it, see [`renew`].
//!
//! Four messages leave at once: BEGIN, the lock on the keys' counters, the batch, COMMIT. The batch is one
//! statement of each sort that gets all requests as arrays; as its snapshot is taken when the locks are held, nothing that it
//! decides on changes under it: whatever adds to a key's components or changes its row holds the same lock.
//! What a customer, a group and a signing certificate are is read in that snapshot: an administrator's change of
//! them comes before the whole batch or behind it.
//!
//! A batch of which nobody knows what became is repeated. A request that was committed before then finds its own
//! serial number as its component's current one, and is answered as it was then: nothing is written or counted twice.

use std::sync::LazyLock;

use tokio_postgres::types::ToSql;

use super::encoding::Exactly;
use super::errors::{Error, Failure};
use super::renew::{self, Renewals};
use super::session::{Row, Session};
use super::{StoreClock, certificates};
use crate::clock::Timestamp;
use crate::domain::{Fingerprint, IssuedCertificate, Revision, SerialNumber};
use crate::id::{ComponentId, CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::store::encoding::{Address, unreadable};
use crate::store::jobs::{Commits, Decided};
use crate::store::{EnrollmentCommit, EnrollmentIntent, EnrollmentOutcome, RenewalOutcome, StoreError};

/// Decides and writes every commit of `batch`; the outcomes stand in the same order.
///
/// All are of one customer, and no two of one (key, fingerprint) or component. Enrollments of one key are decided in the
/// order they came, then re-enrollments, then renewals. `slot` is the process's own in `component_counts`.
/// `is_repeated`: the batch was sent before.
pub(super) async fn record(
    session: &mut Session,
    clock: &StoreClock,
    slot: i64,
    customer: CustomerId,
    batch: &Commits<'_>,
    is_repeated: bool,
) -> Result<Decided, Failure> {
    let (new, again): (Vec<usize>, Vec<usize>) = (0..batch.enrollments.len())
        .partition(|&place| matches!(batch.enrollments[place].intent, EnrollmentIntent::Enroll { .. }));
    let of_enrollments = batch.enrollments.iter().map(|commit| commit.seen.key.0);
    let of_renewals = batch.renewals.iter().map(|commit| commit.seen.key.0);
    let mut keys: Vec<ProvisioningKeyId> = of_enrollments.chain(of_renewals).collect();
    keys.sort_unstable();
    keys.dedup();

    let of = |places: &[usize]| places.iter().map(|&place| batch.enrollments[place]).collect::<Vec<_>>();
    let (new_rows, again_rows) = (Columns::of(&of(&new)), Columns::of(&of(&again)));
    let renewals = Renewals::of(&batch.renewals);
    let now = clock.given();
    let (lock, enroll, re_enroll) =
        (session.prepare(LOCK).await?, session.prepare(&ENROLL).await?, session.prepare(&RE_ENROLL).await?);
    let (lock_renewals, renew) = (session.prepare(renew::LOCK).await?, session.prepare(&renew::RENEW).await?);

    let (lock_values, new_values, again_values) = (
        [&customer as &(dyn ToSql + Sync), &keys],
        new_rows.values(&customer, &now, &is_repeated, Some(&slot)),
        again_rows.values(&customer, &now, &is_repeated, None),
    );
    let (lock_renewals_values, renewal_values) =
        (renewals.lock_values(&customer), renewals.values(&customer, &now, &is_repeated));
    session.enter();
    session.say();
    let client = session.client();
    // Nothing of a sort: nothing is said.
    let ask = async |is_empty: bool, statement, values: &[&(dyn ToSql + Sync)]| match is_empty {
        true => Ok(Vec::new()),
        false => client.query(statement, values).await,
    };
    let has_renewals = !batch.renewals.is_empty();
    // Polled in this order, each sends what it has to say and then waits for its answer.
    let (began, locked, locked_renewals, enrolled, re_enrolled, renewed, committed) = tokio::join! {
        biased;
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
        client.query(&lock, &lock_values),
        ask(!has_renewals, &lock_renewals, &lock_renewals_values),
        ask(new.is_empty(), &enroll, &new_values),
        ask(again.is_empty(), &re_enroll, &again_values),
        ask(!has_renewals, &renew, &renewal_values),
        client.batch_execute("COMMIT"),
    };
    session.heard();
    // The first that failed says why; those behind it only that it did, and COMMIT then rolls back.
    let written = began.and(locked).and(locked_renewals).and_then(|_| Ok((enrolled?, re_enrolled?, renewed?)));
    let (enrolled, re_enrolled, renewed) = match (written, committed) {
        (Ok(rows), Ok(())) => {
            session.leave();
            rows
        }
        (Ok(_), Err(error)) => return Err(Failure::of_commit(error)),
        (Err(error), committed) => {
            let error = Error::from(error);
            if error.was_answered() {
                if committed.is_ok() && (error.is_of_one_row() || error.is_of_lock() || error.is_conflict()) {
                    session.leave();
                }
                return Err(Failure::NotWritten(error));
            }
            return Err(Failure::Unknown { reason: StoreError::from(error).to_string() });
        }
    };

    // Committed all the same: whoever asks again finds it.
    let unreadable = |error| Failure::Unknown { reason: StoreError::from(error).to_string() };
    // Without any of its keys a batch has no rows.
    let mut enrollments = vec![Ok(EnrollmentOutcome::Outdated); batch.enrollments.len()];
    for (places, rows) in [(new, enrolled), (again, re_enrolled)] {
        for (place, row) in places.into_iter().zip(rows) {
            enrollments[place] = Ok(outcome(&Row(row)).map_err(unreadable)?);
        }
    }
    let mut renewals = vec![Ok(RenewalOutcome::Outdated); batch.renewals.len()];
    for (outcome, row) in renewals.iter_mut().zip(renewed) {
        *outcome = Ok(renew::outcome(&Row(row)).map_err(unreadable)?);
    }
    Ok(Decided { enrollments, renewals })
}

fn outcome(row: &Row) -> Result<EnrollmentOutcome, Error> {
    let uses = || row.count(2);
    Ok(match row.get::<&str>(0)? {
        "written" => EnrollmentOutcome::Committed { component_name: row.get(1)?, uses: uses()? },
        "exhausted" => EnrollmentOutcome::Exhausted { uses: uses()? },
        "expired" => EnrollmentOutcome::Expired,
        "known" => EnrollmentOutcome::Known,
        "outdated" => EnrollmentOutcome::Outdated,
        other => return Err(unreadable("outcome", &other).into()),
    })
}

/// A batch as the arrays that [`ASKED`] takes apart again.
struct Columns<'a> {
    keys: Vec<ProvisioningKeyId>,
    key_revisions: Vec<Revision>,
    customer_revisions: Vec<Revision>,
    groups: Vec<GroupId>,
    group_revisions: Vec<Revision>,
    signers: Vec<SigningCertificateId>,
    signer_revisions: Vec<Revision>,
    components: Vec<ComponentId>,
    superseded: Vec<Option<SerialNumber>>,
    fingerprints: Vec<&'a Fingerprint>,
    hostnames: Vec<Option<&'a str>>,
    platforms: Vec<Option<&'a str>>,
    software_versions: Vec<Option<&'a str>>,
    addresses: Vec<Address>,
    issued: Issued<'a>,
}

impl<'a> Columns<'a> {
    fn of(batch: &[&'a EnrollmentCommit]) -> Self {
        Self {
            keys: column(batch, |commit| commit.seen.key.0),
            key_revisions: column(batch, |commit| commit.seen.key.1),
            customer_revisions: column(batch, |commit| commit.seen.customer.1),
            groups: column(batch, |commit| commit.seen.group.0),
            group_revisions: column(batch, |commit| commit.seen.group.1),
            signers: column(batch, |commit| commit.seen.signing_certificate.0),
            signer_revisions: column(batch, |commit| commit.seen.signing_certificate.1),
            components: column(batch, |commit| commit.intent.component()),
            superseded: column(batch, |commit| match commit.intent {
                EnrollmentIntent::Enroll { .. } => None,
                EnrollmentIntent::ReEnroll { superseded, .. } => Some(superseded),
            }),
            fingerprints: column(batch, |commit| &commit.fingerprint),
            hostnames: column(batch, |commit| commit.device.hostname.as_deref()),
            platforms: column(batch, |commit| commit.device.platform.as_deref()),
            software_versions: column(batch, |commit| commit.device.software_version.as_deref()),
            addresses: column(batch, |commit| Address(commit.remote_address)),
            issued: Issued::of(batch, |commit| &commit.certificate),
        }
    }

    /// In the order of [`ASKED`].
    fn values<'v>(
        &'v self,
        customer: &'v CustomerId,
        now: &'v Option<Timestamp>,
        is_repeated: &'v bool,
        slot: Option<&'v i64>,
    ) -> Vec<&'v (dyn ToSql + Sync)> {
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![
            customer,
            now,
            &self.keys,
            &self.key_revisions,
            &self.customer_revisions,
            &self.groups,
            &self.group_revisions,
            &self.signers,
            &self.signer_revisions,
            &self.components,
            &self.superseded,
            &self.fingerprints,
            &self.hostnames,
            &self.platforms,
            &self.software_versions,
            &self.addresses,
            &self.issued.serials,
            &self.issued.public_key_hashes,
            &self.issued.issued_at,
            &self.issued.not_before,
            &self.issued.not_after,
            &self.issued.ders,
            is_repeated,
        ];
        values.extend(slot.map(|slot| slot as &(dyn ToSql + Sync)));
        values
    }
}

/// What one side of all commits of a batch is, in their order.
pub(super) fn column<'a, C, T>(batch: &[&'a C], of: impl Fn(&'a C) -> T) -> Vec<T> {
    batch.iter().map(|commit| of(commit)).collect()
}

/// The certificates of a batch, as the arrays that [`ASKED`] and the renewals' statement end with.
pub(super) struct Issued<'a> {
    pub(super) serials: Vec<SerialNumber>,
    pub(super) public_key_hashes: Vec<Exactly<32>>,
    pub(super) issued_at: Vec<Timestamp>,
    pub(super) not_before: Vec<Timestamp>,
    pub(super) not_after: Vec<Timestamp>,
    pub(super) ders: Vec<&'a [u8]>,
}

impl<'a> Issued<'a> {
    pub(super) fn of<C>(batch: &[&'a C], certificate: impl Fn(&'a C) -> &'a IssuedCertificate) -> Self {
        Self {
            serials: column(batch, |commit| certificate(commit).serial),
            public_key_hashes: column(batch, |commit| Exactly(certificate(commit).public_key_hash)),
            issued_at: column(batch, |commit| certificate(commit).issued_at),
            not_before: column(batch, |commit| certificate(commit).not_before),
            not_after: column(batch, |commit| certificate(commit).not_after),
            ders: column(batch, |commit| certificate(commit).der.as_slice()),
        }
    }
}

/// In one order, so that two batches never wait for each other. The setting ends with the transaction: it tells the next
/// statement that the locks are still held.
const LOCK: &str = "
SELECT key_id, set_config('muster.locks', 'held', TRUE) FROM key_counters WHERE customer_id = $1 AND key_id = ANY($2)
ORDER BY key_id FOR UPDATE";

/// The batch, its keys as they are, and what is to become of each request; nothing where no key is there. Lookups are written such that there is but
/// one way to plan them, by index, whatever the tables held when the plan was made.
const ASKED: &str = "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::bigint[], $11::bytea[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[],
        $17::bytea[], $18::bytea[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bytea[])
    WITH ORDINALITY AS a (key_id, key_revision, customer_revision, group_id, group_revision, signer_id,
        signer_revision, component_id, superseded, fingerprint, hostname, platform, software_version, address,
        serial, public_key_hash, issued_at, not_before, not_after, der, place)
    WHERE current_setting('muster.locks', TRUE) = 'held'
),
standing AS MATERIALIZED (
    SELECT t.* FROM (SELECT DISTINCT key_id FROM asked) d CROSS JOIN LATERAL (
        SELECT k.id AS key_id, k.revision AS key_revision, c.revision AS customer_revision, k.group_id,
            g.revision AS group_revision, k.signing_certificate_id AS signer_id, s.revision AS signer_revision,
            k.maximum, k.expires_at, k.kind, k.name, n.uses, n.last_ordinal, n.last_sequence
        FROM key_counters n
            JOIN provisioning_keys k ON k.customer_id = $1 AND k.id = d.key_id
            JOIN customers c ON c.id = $1
            CROSS JOIN LATERAL (SELECT revision FROM groups WHERE customer_id = $1 AND id = k.group_id LIMIT 1) g
            CROSS JOIN LATERAL (
                SELECT revision FROM signing_certificates
                WHERE customer_id = $1 AND id = k.signing_certificate_id LIMIT 1) s
        WHERE n.customer_id = $1 AND n.key_id = d.key_id LIMIT 1) t
),
moment AS MATERIALIZED (
    SELECT {now} AS now
),
judged AS MATERIALIZED (
    SELECT a.*, t.maximum, t.kind, t.name, t.uses, t.last_ordinal, t.last_sequence, m.now, p.component_name,
        p.old_address,
        CASE
            WHEN $23 AND p.current_serial = a.serial THEN 'repeated'
            WHEN t.key_id IS NULL
                OR (a.customer_revision, a.group_id, a.group_revision, a.signer_id, a.signer_revision, a.key_revision)
                    <> (t.customer_revision, t.group_id, t.group_revision, t.signer_id, t.signer_revision, t.key_revision)
                THEN 'outdated'
            WHEN t.expires_at <= m.now THEN 'expired'
            WHEN a.superseded IS NULL AND p.component_id IS NULL THEN 'new'
            WHEN a.superseded = p.current_serial AND a.component_id = p.component_id AND p.is_good THEN 'again'
            ELSE 'known'
        END AS verdict
    FROM asked a
        LEFT JOIN standing t ON t.key_id = a.key_id
        LEFT JOIN LATERAL (
            SELECT c.id AS component_id, c.name AS component_name, c.current_serial, c.remote_address AS old_address,
                c.enabled AND c.revoked_at IS NULL AS is_good
            FROM components c
            WHERE c.customer_id = $1 AND c.key_id = a.key_id AND c.fingerprint = a.fingerprint
                AND c.deleted_at IS NULL LIMIT 1) p ON TRUE
        CROSS JOIN moment m
),";

/// A use each, as long as there are any. Returns a row per request, in their order.
static ENROLL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{asked}
ranked AS MATERIALIZED (
    SELECT j.*, row_number() OVER (PARTITION BY key_id, verdict ORDER BY place) AS rank FROM judged j
),
decided AS MATERIALIZED (
    SELECT r.*, verdict = 'new' AND (maximum IS NULL OR uses + rank <= maximum) AS is_written,
        last_ordinal + rank AS ordinal
    FROM ranked r
),
made AS (
    INSERT INTO components (customer_id, id, key_id, fingerprint, enabled, current_serial, revision, kind, group_id,
        enrolled_key_id, ordinal, name, hostname, platform, software_version, remote_address, enrolled_at,
        modified_at, description)
    SELECT $1, component_id, key_id, fingerprint, TRUE, serial, 1, kind, group_id, key_id, ordinal,
        name || '-' || ordinal, hostname, platform, software_version, address, now, now, ''
    FROM decided WHERE is_written
),
{issued},
noted AS (
    INSERT INTO key_uses (customer_id, key_id, sequence, entry, at, component_id, address, public_key_hash, serial)
    SELECT $1, key_id, last_sequence + rank, 1, now, component_id, address, public_key_hash, serial
    FROM decided WHERE is_written
),
moved AS MATERIALIZED (
    SELECT key_id, group_id, kind, now, count(*) AS enrolled,
        (array_agg(component_id ORDER BY place DESC))[1] AS last_component
    FROM decided WHERE is_written GROUP BY key_id, group_id, kind, now
),
-- The rows are there, and locked: no statement leads to them more surely than this.
counted AS (
    INSERT INTO key_counters AS n (customer_id, key_id, uses, re_enrollments, last_ordinal, last_sequence,
        last_used_at, last_used_by)
    SELECT $1, key_id, enrolled, 0, enrolled, enrolled, now, last_component FROM moved
    ON CONFLICT (customer_id, key_id) DO UPDATE SET uses = n.uses + excluded.uses,
        last_ordinal = n.last_ordinal + excluded.last_ordinal,
        last_sequence = n.last_sequence + excluded.last_sequence,
        last_used_at = excluded.last_used_at, last_used_by = excluded.last_used_by
),
told AS (
    INSERT INTO key_hours AS h (customer_id, key_id, hour, uses, releases, re_enrollments, refusals)
    SELECT $1, key_id, now - now % 3600, enrolled, 0, 0, 0 FROM moved ORDER BY key_id
    ON CONFLICT (customer_id, key_id, hour) DO UPDATE SET uses = h.uses + excluded.uses
),
totals AS (
    INSERT INTO component_counts AS c (customer_id, group_id, slot, kind, components)
    SELECT $1, group_id, $24, kind, sum(enrolled)::bigint FROM moved GROUP BY group_id, kind ORDER BY group_id
    ON CONFLICT (customer_id, group_id, slot) DO UPDATE SET components = c.components + excluded.components
)
SELECT CASE
        WHEN is_written OR verdict = 'repeated' THEN 'written'
        WHEN verdict = 'new' THEN 'exhausted'
        ELSE verdict
    END,
    CASE WHEN is_written THEN name || '-' || ordinal ELSE component_name END,
    coalesce(uses, 0) + count(*) FILTER (WHERE is_written) OVER (PARTITION BY key_id ORDER BY place)
FROM decided ORDER BY place",
        asked = ASKED.replace("{now}", &super::now("$2")),
        issued = ISSUED,
    )
});

/// A new certificate each in place of the current one. Returns as [`ENROLL`] does.
static RE_ENROLL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{asked}
decided AS MATERIALIZED (
    SELECT j.*, verdict = 'again' AS is_written, row_number() OVER (PARTITION BY key_id, verdict ORDER BY place) AS rank
    FROM judged j
),
ended AS (
    UPDATE certificates SET status = 2, status_at = (SELECT now FROM moment)
    WHERE customer_id = $1 AND serial = ANY (ARRAY(SELECT superseded FROM decided WHERE is_written))
    RETURNING signing_certificate_id, serial
),
ended_before AS (
    UPDATE certificates SET status = 2, status_at = (SELECT now FROM moment)
    WHERE customer_id = $1 AND component_id = ANY (ARRAY(SELECT component_id FROM decided WHERE is_written))
        AND not_after > (SELECT now FROM moment) AND status = 4
    RETURNING signing_certificate_id, serial
),
gone AS (SELECT * FROM ended UNION ALL SELECT * FROM ended_before),
heard AS (
    {news}
),
{issued},
renewed AS (
    UPDATE components c
    SET (current_serial, previous_serial, remote_address, hostname, platform, software_version) = (
        SELECT d.serial, NULL::bytea, d.address, d.hostname, d.platform, d.software_version FROM decided d
        WHERE d.component_id = c.id AND d.is_written)
    WHERE c.customer_id = $1 AND c.id = ANY (ARRAY(SELECT component_id FROM decided WHERE is_written))
),
noted AS (
    INSERT INTO key_uses (customer_id, key_id, sequence, entry, at, component_id, address, public_key_hash, serial,
        old_address, old_public_key_hash, old_serial)
    SELECT $1, key_id, last_sequence + rank, 2, now, component_id, address, public_key_hash, serial, old_address,
        (SELECT t.public_key_hash FROM certificates t WHERE t.customer_id = $1 AND t.serial = d.superseded), superseded
    FROM decided d WHERE is_written
),
moved AS MATERIALIZED (
    SELECT key_id, now, count(*) AS re_enrolled FROM decided WHERE is_written GROUP BY key_id, now
),
counted AS (
    INSERT INTO key_counters AS n (customer_id, key_id, uses, re_enrollments, last_ordinal, last_sequence)
    SELECT $1, key_id, 0, re_enrolled, 0, re_enrolled FROM moved
    ON CONFLICT (customer_id, key_id) DO UPDATE SET re_enrollments = n.re_enrollments + excluded.re_enrollments,
        last_sequence = n.last_sequence + excluded.last_sequence
),
told AS (
    INSERT INTO key_hours AS h (customer_id, key_id, hour, uses, releases, re_enrollments, refusals)
    SELECT $1, key_id, now - now % 3600, 0, 0, re_enrolled, 0 FROM moved ORDER BY key_id
    ON CONFLICT (customer_id, key_id, hour) DO UPDATE SET re_enrollments = h.re_enrollments + excluded.re_enrollments
)
SELECT CASE WHEN verdict IN ('again', 'repeated') THEN 'written' ELSE verdict END, component_name, coalesce(uses, 0)
FROM decided ORDER BY place",
        asked = ASKED.replace("{now}", &super::now("$2")),
        issued = ISSUED,
        news = certificates::NEWS,
    )
});

/// The certificates of what is written, and by when the last that their signing certificate signed will have ended: a
/// day ahead, so that the row seldom changes.
pub(super) const ISSUED: &str = "issued AS (
    INSERT INTO certificates (customer_id, serial, key_id, component_id, status, signing_certificate_id,
        public_key_hash, issued_at, not_before, not_after, der)
    SELECT $1, serial, key_id, component_id, 1, signer_id, public_key_hash, issued_at, not_before, not_after, der
    FROM decided WHERE is_written
),
signed AS (
    INSERT INTO signed_ends AS e (customer_id, signing_certificate_id, signed_until)
    SELECT $1, d.signer_id, d.until + 86400
    FROM (SELECT signer_id, max(not_after) AS until FROM decided WHERE is_written GROUP BY signer_id) d
    WHERE NOT EXISTS (
        SELECT 1 FROM signed_ends s
        WHERE s.customer_id = $1 AND s.signing_certificate_id = d.signer_id AND s.signed_until >= d.until)
    ON CONFLICT (customer_id, signing_certificate_id) DO UPDATE
        SET signed_until = greatest(e.signed_until, excluded.signed_until)
)";
