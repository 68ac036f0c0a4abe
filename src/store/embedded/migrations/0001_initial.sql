-- The tables of docs/contract.md, "State", as SQLite keeps them.
--
-- Ids are unique over the service, so an object's id is the table's rowid: found by one descent,
-- appended when new. Every row and every unique index names its customer first; statements always
-- compare it. What belongs to an enrollment also names its key.
--
-- What an enrollment costs: one row in components with two index entries, one in certificates with
-- two, one in key_uses (no rowid: a key's ledger lies together), and per batch one narrow row of
-- key_counters for each key and two of component_blocks for each group. Counters stand apart from
-- settings so that a commit rewrites 40 bytes and not a description, an address list and a sealed
-- string. The order by name is filled off this path: component_names.
--
-- No foreign keys: a key may go and its components, certificates and ledger stay. What must exist
-- is checked in the transaction, which has no other writer beside it.
--
-- Instants are unix seconds. Addresses are 4 or 16 bytes. NOCASE folds ASCII, as names do.
-- Kinds: 1 app-connector, 2 service-edge, 3 network-connector, 4 machine.

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    purpose TEXT NOT NULL,
    name    TEXT NOT NULL,
    sealed  BLOB NOT NULL,
    PRIMARY KEY (purpose, name)
) STRICT, WITHOUT ROWID;

-- What requests came to that must not happen twice, sealed.
CREATE TABLE answers (
    id             BLOB    NOT NULL PRIMARY KEY, -- SHA-256
    at             INTEGER NOT NULL,
    sealed_brief   BLOB,
    sealed_lasting BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX answers_by_age ON answers (at);
-- Of these there are ten minutes' worth; of all, a day's.
CREATE INDEX answers_with_secret ON answers (at) WHERE sealed_brief IS NOT NULL;

CREATE TABLE customers (
    id          INTEGER NOT NULL PRIMARY KEY,
    revision    INTEGER NOT NULL,
    name        TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    enabled     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;

CREATE TABLE signing_certificates (
    id                 INTEGER NOT NULL PRIMARY KEY,
    customer_id        INTEGER NOT NULL,
    revision           INTEGER NOT NULL,
    -- By then every component certificate that it signed has ended. Written a day ahead, so that this row
    -- changes once a day and not with each enrollment.
    signed_until       INTEGER,
    public_key_hash    BLOB    NOT NULL, -- SHA-256 of the SubjectPublicKeyInfo
    name               TEXT    NOT NULL COLLATE NOCASE,
    description        TEXT    NOT NULL,
    certificate        BLOB,             -- DER
    chain              BLOB    NOT NULL, -- DER, nearest issuer first, each behind its length in 4 bytes
    sealed_private_key BLOB,
    csr                BLOB,             -- DER
    parent_id          INTEGER,
    allow_signing      INTEGER NOT NULL,
    lifetime_seconds   INTEGER NOT NULL,
    purpose            INTEGER NOT NULL, -- 1 isolation client, 2 none, 3 zapp client
    not_before         INTEGER NOT NULL,
    not_after          INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    modified_at        INTEGER NOT NULL,
    modified_by        INTEGER
) STRICT;

CREATE UNIQUE INDEX signing_certificates_by_name ON signing_certificates (customer_id, name);
-- Over all customers: whoever holds a private key twice has copied it.
CREATE UNIQUE INDEX signing_certificates_by_key ON signing_certificates (public_key_hash);

CREATE TABLE groups (
    id                     INTEGER NOT NULL PRIMARY KEY,
    customer_id            INTEGER NOT NULL,
    revision               INTEGER NOT NULL,
    kind                   INTEGER NOT NULL,
    name                   TEXT    NOT NULL COLLATE NOCASE,
    description            TEXT    NOT NULL,
    enabled                INTEGER NOT NULL,
    signing_certificate_id INTEGER NOT NULL,
    addresses              TEXT    NOT NULL, -- addresses and CIDRs as given, separated by commas
    attributes             TEXT    NOT NULL, -- JSON object
    created_at             INTEGER NOT NULL,
    modified_at            INTEGER NOT NULL,
    modified_by            INTEGER
) STRICT;

CREATE UNIQUE INDEX groups_by_name ON groups (customer_id, kind, name);
CREATE INDEX groups_by_kind ON groups (customer_id, kind);

CREATE TABLE provisioning_keys (
    id                     INTEGER NOT NULL PRIMARY KEY,
    customer_id            INTEGER NOT NULL,
    revision               INTEGER NOT NULL,
    group_id               INTEGER NOT NULL,
    signing_certificate_id INTEGER NOT NULL,
    maximum                INTEGER,
    expires_at             INTEGER,
    enabled                INTEGER NOT NULL,
    allow_re_enrollment    INTEGER NOT NULL,
    kind                   INTEGER NOT NULL,
    name                   TEXT    NOT NULL COLLATE NOCASE,
    digest                 BLOB    NOT NULL, -- HMAC-SHA-256 of the key string
    pepper                 INTEGER NOT NULL,
    addresses              TEXT    NOT NULL, -- addresses and CIDRs as given, separated by commas
    version                INTEGER NOT NULL, -- 1 bare, 3 bootstrap, 0 imported
    hint                   TEXT    NOT NULL,
    key_id                 TEXT    NOT NULL,
    -- The count when the settings were last written: a maximum may be lowered below the count,
    -- but no use is taken above both (I2).
    uses_when_set          INTEGER NOT NULL,
    managed_by_client_id   INTEGER,
    managed_by_label       TEXT,
    successor_id           INTEGER,
    created_at             INTEGER NOT NULL,
    created_by             INTEGER,
    modified_at            INTEGER NOT NULL,
    modified_by            INTEGER,
    description            TEXT    NOT NULL,
    ui_config              TEXT,
    sealed_string          BLOB
) STRICT;

CREATE UNIQUE INDEX provisioning_keys_by_name ON provisioning_keys (customer_id, kind, name);
-- Whose digest is under an older pepper.
CREATE INDEX provisioning_keys_by_pepper ON provisioning_keys (pepper);
CREATE INDEX provisioning_keys_by_kind ON provisioning_keys (customer_id, kind);
CREATE INDEX provisioning_keys_by_group ON provisioning_keys (customer_id, group_id);
CREATE INDEX provisioning_keys_by_signing_certificate ON provisioning_keys (customer_id, signing_certificate_id);
CREATE INDEX provisioning_keys_by_manager ON provisioning_keys (customer_id, managed_by_client_id)
    WHERE managed_by_client_id IS NOT NULL;

CREATE INDEX provisioning_keys_by_expiry ON provisioning_keys (customer_id, expires_at) WHERE expires_at IS NOT NULL;

-- How many keys a customer has of each kind: to count a hundred thousand takes longer than to show a page of
-- them. Kept by the database itself, as keys come one by one and go by the group.
CREATE TABLE key_totals (
    customer_id INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    keys        INTEGER NOT NULL,
    PRIMARY KEY (customer_id, kind)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER key_totals_up AFTER INSERT ON provisioning_keys BEGIN
    INSERT INTO key_totals (customer_id, kind, keys) VALUES (new.customer_id, new.kind, 1)
        ON CONFLICT DO UPDATE SET keys = keys + 1;
END;

CREATE TRIGGER key_totals_down AFTER DELETE ON provisioning_keys BEGIN
    UPDATE key_totals SET keys = keys - 1 WHERE customer_id = old.customer_id AND kind = old.kind;
END;

CREATE TABLE key_counters (
    key_id         INTEGER NOT NULL PRIMARY KEY,
    uses           INTEGER NOT NULL,
    re_enrollments INTEGER NOT NULL,
    last_ordinal   INTEGER NOT NULL,
    last_sequence  INTEGER NOT NULL, -- of the key's ledger
    last_used_at   INTEGER,
    last_used_by   INTEGER
) STRICT;

-- Key strings are unique over all customers.
CREATE TABLE digests (
    digest      BLOB    NOT NULL PRIMARY KEY,
    customer_id INTEGER NOT NULL,
    key_id      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE components (
    id               INTEGER NOT NULL PRIMARY KEY,
    customer_id      INTEGER NOT NULL,
    key_id           INTEGER NOT NULL,
    fingerprint      TEXT    NOT NULL,
    deleted_at       INTEGER,
    revoked_at       INTEGER,
    enabled          INTEGER NOT NULL,
    current_serial   BLOB    NOT NULL,
    previous_serial  BLOB, -- of the certificate that the current one replaced in a renewal
    revision         INTEGER NOT NULL,
    kind             INTEGER NOT NULL,
    group_id         INTEGER NOT NULL,
    enrolled_key_id  INTEGER NOT NULL, -- whose use it took; key_id may be another since
    ordinal          INTEGER NOT NULL,
    name             TEXT    NOT NULL COLLATE NOCASE,
    hostname         TEXT,
    platform         TEXT,
    software_version TEXT,
    remote_address   BLOB    NOT NULL,
    enrolled_at      INTEGER NOT NULL,
    modified_at      INTEGER NOT NULL,
    modified_by      INTEGER,
    description      TEXT    NOT NULL
) STRICT;

-- I3, and how a device is recognised.
CREATE UNIQUE INDEX components_by_fingerprint ON components (customer_id, key_id, fingerprint)
    WHERE deleted_at IS NULL;
-- A kind's, and in it each group's in order of id: for pages, and for when a group goes with all it has.
-- New entries of a group lie together.
CREATE INDEX components_by_group ON components (customer_id, kind, group_id) WHERE deleted_at IS NULL;

-- How many components that are not deleted a group, and a kind, has in each block of ids: totals, the
-- place of any page, and whether a group may be deleted, without passing by ten million rows.
CREATE TABLE component_blocks (
    customer_id INTEGER NOT NULL,
    list        INTEGER NOT NULL, -- a group's id, or a kind below zero
    block       INTEGER NOT NULL, -- id >> 12
    components  INTEGER NOT NULL,
    PRIMARY KEY (customer_id, list, block)
) STRICT, WITHOUT ROWID;

-- Components that are not deleted in order of name, filled in the order of commits, as far as
-- component_names_end says. See names.rs.
CREATE TABLE component_names (
    customer_id INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    name        TEXT    NOT NULL COLLATE NOCASE,
    id          INTEGER NOT NULL,
    PRIMARY KEY (customer_id, kind, name, id)
) STRICT, WITHOUT ROWID;

-- How many names there are from this one up to the next bucket's first.
CREATE TABLE component_name_buckets (
    customer_id INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    first_name  TEXT    NOT NULL COLLATE NOCASE,
    first_id    INTEGER NOT NULL,
    names       INTEGER NOT NULL,
    PRIMARY KEY (customer_id, kind, first_name, first_id)
) STRICT, WITHOUT ROWID;

-- One row: the rowid of the last certificate whose component was taken in.
CREATE TABLE component_names_end (
    certificate INTEGER NOT NULL
) STRICT;

INSERT INTO component_names_end VALUES (0);

-- In order of issue, and so of commit: rowids only grow, as the newest row is never purged.
-- Rows are too wide for a tree by random serial.
CREATE TABLE certificates (
    customer_id            INTEGER NOT NULL,
    key_id                 INTEGER NOT NULL,
    component_id           INTEGER NOT NULL,
    serial                 BLOB    NOT NULL,
    status                 INTEGER NOT NULL, -- 1 current, 2 superseded, 3 revoked, 4 renewed
    status_at              INTEGER,
    reason                 INTEGER,          -- of a revocation, as RFC 5280 numbers them
    signing_certificate_id INTEGER NOT NULL,
    public_key_hash        BLOB    NOT NULL,
    issued_at              INTEGER NOT NULL,
    not_before             INTEGER NOT NULL,
    not_after              INTEGER NOT NULL,
    der                    BLOB    NOT NULL
) STRICT;

-- By whom it is of, and not by serial alone: those of new components lie together, a random serial is a page of
-- its own in every commit.
CREATE UNIQUE INDEX certificates_by_component ON certificates (customer_id, component_id, serial);
-- What ends when, and whose it is: clean-up walks it without a look at the wide rows.
CREATE INDEX certificates_by_end ON certificates (customer_id, not_after, component_id) WHERE status = 1;
-- What a component had before, by its end: an enrollment adds none of them.
CREATE INDEX certificates_past ON certificates (customer_id, component_id, not_after) WHERE status <> 1;
-- What a CRL says, so that a hundred thousand entries are read without a look at the wide rows. An enrollment
-- adds none.
CREATE INDEX certificates_revoked
    ON certificates (customer_id, signing_certificate_id, not_after, serial, status, status_at, reason)
    WHERE status IN (2, 3);

-- The newest CRL of each signing certificate. A table of rowids: der has megabytes.
CREATE TABLE crls (
    customer_id            INTEGER NOT NULL,
    signing_certificate_id INTEGER NOT NULL,
    number                 INTEGER NOT NULL,
    this_update            INTEGER NOT NULL,
    next_update            INTEGER NOT NULL,
    entries                INTEGER NOT NULL,
    der                    BLOB    NOT NULL,
    PRIMARY KEY (customer_id, signing_certificate_id)
) STRICT;

-- Signing certificates of which something was revoked that their CRL does not have, each with what was revoked
-- last. Kept by the database itself, as certificates end in many places. A serial number comes here once, so
-- whoever takes out the one that it saw leaves what came since.
CREATE TABLE crl_news (
    customer_id            INTEGER NOT NULL,
    signing_certificate_id INTEGER NOT NULL,
    serial                 BLOB    NOT NULL,
    PRIMARY KEY (customer_id, signing_certificate_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER crl_news_come AFTER UPDATE OF status ON certificates WHEN new.status IN (2, 3) BEGIN
    INSERT INTO crl_news (customer_id, signing_certificate_id, serial)
        VALUES (new.customer_id, new.signing_certificate_id, new.serial)
        ON CONFLICT DO UPDATE SET serial = excluded.serial;
END;

-- When components go by themselves.
CREATE TABLE clean_up_schedules (
    id              INTEGER NOT NULL PRIMARY KEY,
    customer_id     INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    kind            INTEGER NOT NULL,
    enabled         INTEGER NOT NULL,
    delete_disabled INTEGER NOT NULL,
    days            INTEGER NOT NULL, -- after the end of the certificate
    created_at      INTEGER NOT NULL,
    modified_at     INTEGER NOT NULL,
    modified_by     INTEGER
) STRICT;

CREATE UNIQUE INDEX clean_up_schedules_by_kind ON clean_up_schedules (customer_id, kind);

-- The ledger. The old_ columns are of re-enrollments, the last two of checkpoints.
CREATE TABLE key_uses (
    customer_id         INTEGER NOT NULL,
    key_id              INTEGER NOT NULL,
    sequence            INTEGER NOT NULL,
    entry               INTEGER NOT NULL, -- 1 use, 2 re-enrollment, 3 release, 4 checkpoint
    at                  INTEGER NOT NULL,
    component_id        INTEGER,
    address             BLOB,
    public_key_hash     BLOB,
    serial              BLOB,
    old_address         BLOB,
    old_public_key_hash BLOB,
    old_serial          BLOB,
    uses                INTEGER,
    re_enrollments      INTEGER,
    PRIMARY KEY (customer_id, key_id, sequence)
) STRICT, WITHOUT ROWID;

-- How often one component re-enrolled of late.
CREATE INDEX key_uses_re_enrollments ON key_uses (customer_id, component_id, at) WHERE entry = 2;

-- What happened in each hour to a key, and to all of a customer's. Uses and re-enrollments are counted from
-- the ledgers, each as far as key_hours_end says, off the path of an enrollment. See hours.rs.
CREATE TABLE key_hours (
    customer_id    INTEGER NOT NULL,
    list           INTEGER NOT NULL, -- a key's id, or 0: all of the customer's
    hour           INTEGER NOT NULL, -- when it begins
    uses           INTEGER NOT NULL,
    releases       INTEGER NOT NULL,
    re_enrollments INTEGER NOT NULL,
    refusals       INTEGER NOT NULL,
    PRIMARY KEY (customer_id, list, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_hours_end (
    key_id   INTEGER NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE key_refusals (
    customer_id    INTEGER NOT NULL,
    key_id         INTEGER NOT NULL,
    minute         INTEGER NOT NULL,
    refusal        TEXT    NOT NULL, -- its code
    source         TEXT    NOT NULL, -- prefix in CIDR form
    count          INTEGER NOT NULL,
    last_reference TEXT    NOT NULL,
    last_reason    TEXT    NOT NULL,
    PRIMARY KEY (customer_id, key_id, minute, refusal, source)
) STRICT, WITHOUT ROWID;

-- Refusals of the last days by code, all that were counted, though of key_refusals only the newest are kept.
CREATE TABLE refusal_hours (
    customer_id  INTEGER NOT NULL,
    hour         INTEGER NOT NULL, -- when it begins
    refusal      TEXT    NOT NULL, -- its code
    key_id       INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    first_minute INTEGER NOT NULL,
    last_minute  INTEGER NOT NULL,
    PRIMARY KEY (customer_id, hour, refusal, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_events (
    customer_id INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    actor_type  TEXT    NOT NULL,
    actor_id    TEXT    NOT NULL,
    actor_name  TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    object_type TEXT    NOT NULL,
    object_id   TEXT    NOT NULL,
    object_name TEXT    NOT NULL,
    before      TEXT,
    after       TEXT,
    mac         BLOB    NOT NULL,
    PRIMARY KEY (customer_id, sequence)
) STRICT;

-- What was done to one object; without regard to case, as the search compares.
CREATE INDEX audit_events_by_object ON audit_events (customer_id, object_id COLLATE NOCASE, sequence);

-- Where each customer's chain ends, apart from its rows, so that a cut is noticed.
CREATE TABLE audit_heads (
    customer_id INTEGER NOT NULL PRIMARY KEY,
    sequence    INTEGER NOT NULL,
    mac         BLOB    NOT NULL
) STRICT;

CREATE TABLE administrators (
    id              INTEGER NOT NULL PRIMARY KEY,
    customer_id     INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    username        TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    description     TEXT    NOT NULL,
    password_hash   TEXT    NOT NULL,
    role            TEXT    NOT NULL,
    enabled         INTEGER NOT NULL,
    last_sign_in_at INTEGER,
    created_at      INTEGER NOT NULL,
    modified_at     INTEGER NOT NULL,
    modified_by     INTEGER
) STRICT;

CREATE INDEX administrators_by_customer ON administrators (customer_id);

CREATE TABLE api_clients (
    id                INTEGER NOT NULL PRIMARY KEY,
    customer_id       INTEGER NOT NULL,
    revision          INTEGER NOT NULL,
    name              TEXT    NOT NULL COLLATE NOCASE,
    client_id         TEXT    NOT NULL UNIQUE,
    secret_digest     BLOB    NOT NULL,
    pepper            INTEGER NOT NULL,
    secret_generation INTEGER NOT NULL,
    role              TEXT    NOT NULL,
    enabled           INTEGER NOT NULL,
    managing          TEXT,
    last_used_at      INTEGER,
    created_at        INTEGER NOT NULL,
    modified_at       INTEGER NOT NULL,
    modified_by       INTEGER
) STRICT;

CREATE UNIQUE INDEX api_clients_by_name ON api_clients (customer_id, name);

-- Tokens of administrators, and those of API clients that were signed out (administrator_id is null).
CREATE TABLE sessions (
    id               TEXT    NOT NULL PRIMARY KEY,
    customer_id      INTEGER NOT NULL,
    administrator_id INTEGER,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    remote_address   BLOB,
    user_agent       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_administrator ON sessions (customer_id, administrator_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- How each administrator has each page of the portal.
CREATE TABLE preferences (
    customer_id      INTEGER NOT NULL,
    administrator_id INTEGER NOT NULL,
    page             TEXT    NOT NULL,
    value            TEXT    NOT NULL,
    PRIMARY KEY (customer_id, administrator_id, page)
) STRICT, WITHOUT ROWID;

CREATE TABLE saved_filters (
    customer_id      INTEGER NOT NULL,
    administrator_id INTEGER NOT NULL,
    page             TEXT    NOT NULL,
    name             TEXT    NOT NULL COLLATE NOCASE,
    query            TEXT    NOT NULL,
    PRIMARY KEY (customer_id, administrator_id, page, name)
) STRICT, WITHOUT ROWID;

-- URLs that are told of what happens. The columns from looks on are the deliveries' to write.
CREATE TABLE webhooks (
    id              INTEGER NOT NULL PRIMARY KEY,
    customer_id     INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    name            TEXT    NOT NULL COLLATE NOCASE,
    url             TEXT    NOT NULL,
    events          TEXT    NOT NULL, -- separated by commas
    sealed_secret   BLOB    NOT NULL,
    enabled         INTEGER NOT NULL,
    since           INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    modified_at     INTEGER NOT NULL,
    modified_by     INTEGER,
    attention_looks INTEGER NOT NULL, -- how often something was queued, as below
    component_looks INTEGER NOT NULL,
    last_success_at INTEGER,
    last_failure_at INTEGER,
    last_failure    TEXT    NOT NULL,
    failing_since   INTEGER,
    failures        INTEGER NOT NULL, -- attempts since something was delivered
    due_at          INTEGER -- when its turn is; NULL: nothing waits
) STRICT;

CREATE UNIQUE INDEX webhooks_by_name ON webhooks (customer_id, name);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE enabled AND due_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    customer_id INTEGER NOT NULL,
    webhook_id  INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    event       TEXT    NOT NULL,
    payload     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    state       INTEGER NOT NULL, -- 1 waiting, 2 delivered, 3 given up
    attempts    INTEGER NOT NULL,
    next_at     INTEGER NOT NULL, -- of those that are over: when they ended
    last_result TEXT    NOT NULL,
    PRIMARY KEY (customer_id, webhook_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (customer_id, webhook_id, next_at, event) WHERE state = 1;

-- How far each webhook was told of what. See domain/webhook.rs.
CREATE TABLE webhook_marks (
    customer_id INTEGER NOT NULL,
    webhook_id  INTEGER NOT NULL,
    event       TEXT    NOT NULL,
    object_id   INTEGER NOT NULL,
    value       INTEGER NOT NULL,
    PRIMARY KEY (customer_id, webhook_id, event, object_id)
) STRICT, WITHOUT ROWID;

-- The change feed: sequences without gaps, the newest rows only.
CREATE TABLE changes (
    sequence    INTEGER NOT NULL PRIMARY KEY,
    object      INTEGER NOT NULL, -- see changes.rs
    customer_id INTEGER NOT NULL,
    object_id   INTEGER NOT NULL
) STRICT;
