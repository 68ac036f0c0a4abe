//! What a finding of the doctor means, and what to do: for whoever reads it in the night.

/// For a [`Finding`](crate::store::Finding) of this invariant.
pub(super) fn advice(invariant: &str) -> &'static str {
    match invariant {
        "I1" => {
            "I1: the count of a key and its ledger do not agree, so its maximum may be held at the wrong number. Other keys are\n\
             not touched, and no device loses its certificate.\n  \
             Now: muster key rotate ID makes a successor that counts from nothing; give that out, and muster key disable ID.\n  \
             Then: muster key uses ID shows the ledger, which is what happened. Nothing in Muster writes such a count: look\n  \
             for somebody who edited the store, and for faults of disk and memory. Many keys at once: restore a backup."
        }
        "I2" => {
            "I2: more devices were enrolled with a key than it allows.\n  \
             Now: muster key disable ID, so that no more come.\n  \
             Then: muster key uses ID lists who came, newest first; muster component revoke ID for those that you do not know.\n  \
             If the store was just restored from a backup or a copy was served beside it, that is why; if not, report it."
        }
        "I3" => {
            "I3: one piece of hardware has two components with one key. Devices with that fingerprint may be given either.\n  \
             Now: muster component show ID for both; muster component delete ID for the one whose certificate is not in use.\n  \
             Its device enrolls again if it was the other."
        }
        "I4" => {
            "I4: the record of a component's certificates is not whole. That device may be refused when it renews, and what it\n\
             holds may be missing on the CRL. Other devices are not touched.\n  \
             Now: muster component delete ID for the components that are named; their devices enroll again with their key.\n  \
             Many of them: restore a backup from before, and let the devices come."
        }
        "I5" => {
            "I5: the audit log is not what was written: rows were changed, removed or put elsewhere by somebody who had the\n\
             store's file or the database, or the disk lost them. Enrollments go on and are not touched.\n  \
             Now: do not repair it, it cannot be; muster backup --output FILE keeps what there is. Treat it as an incident.\n  \
             Then: compare with the last export (muster audit verify --file) and with older backups to see since when, and\n  \
             who had access. If master.key may have been read as well: docs/recovery.md, a leaked master key."
        }
        "digests" => {
            "digests: a key is not found by its string, or a string leads to no key. Devices with that key may be refused as if\n\
             they had a wrong one; nobody is let in who should not be.\n  \
             Now: muster key rotate ID, and give out the successor. Many keys at once: restore a backup."
        }
        "lists" => {
            "lists: totals, charts or the order of a list are not what they should be. Devices, limits and certificates are not\n\
             touched, and nothing has to be done tonight.\n  \
             Then: report it, with what was found."
        }
        _ => {
            "store: the file or the database is damaged, or somebody else wrote to it.\n  \
             Now: stop the service and copy the data directory, all of it (muster.db, muster.db-wal and muster.db-shm belong\n  \
             together), before anything else. Look at the system's log for errors of the disk and at how full it is.\n  \
             Then: on a sound disk, muster restore the last backup that has no findings; docs/recovery.md, a damaged store.\n  \
             PostgreSQL: see its log and its own checks (pg_amcheck), and fail over to a standby if that one is sound."
        }
    }
}
