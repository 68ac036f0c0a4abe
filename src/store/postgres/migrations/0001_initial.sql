-- The tables of docs/contract.md, "State", as PostgreSQL keeps them: the same rows as the embedded store's,
-- other indexes. See docs/decisions/0012-postgresql.md.
--
-- Every row of a customer has its customer first in its primary key, and so has every index that a statement
-- of one customer uses: the tables can be split by customer, and a customer's transaction stays in one part.
-- What a start or a sign-in asks of all customers at once has an index of its own: it is asked rarely.
--
-- The row of a key in key_counters is the key's lock. Whatever takes a use, or changes a key, its components
-- or their fingerprints, locks it first, several in the order of their ids. Counters stand apart from settings so
-- that a commit rewrites them and not a description, an address list and a sealed string. A renewal needs no key:
-- it locks the component's row, too, and so does whatever ends a single component.
--
-- What an enrollment costs: one row in components with four index entries, one in certificates with two, one
-- in key_uses with one; per batch a row of key_counters and of key_hours for each key, and of component_counts
-- for each group. None of these indexes a column that changes, so that they are rewritten in their page.
--
-- No foreign keys: a key may go and its components, certificates and ledger stay. No triggers, rules, or
-- functions of our own. Instants are unix seconds, addresses 4 or 16 bytes. Text is compared by its bytes
-- (collation "C"), so lower() folds ASCII, as names do. Kinds: 1 app-connector, 2 service-edge,
-- 3 network-connector, 4 machine.

CREATE TABLE settings (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE secrets (
    purpose TEXT COLLATE "C",
    name    TEXT COLLATE "C",
    sealed  BYTEA NOT NULL,
    PRIMARY KEY (purpose, name)
);

-- What requests came to that must not happen twice, sealed.
CREATE TABLE answers (
    id             BYTEA  PRIMARY KEY, -- SHA-256
    at             BIGINT NOT NULL,
    sealed_brief   BYTEA,
    sealed_lasting BYTEA  NOT NULL
);

CREATE INDEX answers_by_age ON answers (at);
-- Of these there are ten minutes' worth; of all, a day's.
CREATE INDEX answers_with_secret ON answers (at) WHERE sealed_brief IS NOT NULL;

CREATE TABLE customers (
    id          BIGINT PRIMARY KEY,
    revision    BIGINT  NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    enabled     BOOLEAN NOT NULL,
    created_at  BIGINT  NOT NULL,
    modified_at BIGINT  NOT NULL
);

CREATE UNIQUE INDEX customers_by_name ON customers (lower(name));

CREATE TABLE signing_certificates (
    customer_id        BIGINT,
    id                 BIGINT,
    revision           BIGINT  NOT NULL,
    public_key_hash    BYTEA   NOT NULL, -- SHA-256 of the SubjectPublicKeyInfo
    name               TEXT COLLATE "C" NOT NULL,
    description        TEXT COLLATE "C" NOT NULL,
    certificate        BYTEA,            -- DER
    chain              BYTEA   NOT NULL, -- DER, nearest issuer first, each behind its length in 4 bytes
    sealed_private_key BYTEA,
    csr                BYTEA,            -- DER
    parent_id          BIGINT,
    allow_signing      BOOLEAN NOT NULL,
    lifetime_seconds   BIGINT  NOT NULL,
    purpose            BIGINT  NOT NULL, -- 1 isolation client, 2 none, 3 zapp client
    not_before         BIGINT  NOT NULL,
    not_after          BIGINT  NOT NULL,
    created_at         BIGINT  NOT NULL,
    modified_at        BIGINT  NOT NULL,
    modified_by        BIGINT,
    PRIMARY KEY (customer_id, id)
);

CREATE UNIQUE INDEX signing_certificates_by_name ON signing_certificates (customer_id, lower(name));
CREATE UNIQUE INDEX signing_certificates_by_id ON signing_certificates (id);
-- Over all customers: whoever holds a private key twice has copied it.
CREATE UNIQUE INDEX signing_certificates_by_key ON signing_certificates (public_key_hash);

-- By then every component certificate that it signed has ended. Written a day ahead, so that a row changes
-- once a day and not with each enrollment; apart from the settings, so that no enrollment waits for theirs.
CREATE TABLE signed_ends (
    customer_id            BIGINT,
    signing_certificate_id BIGINT,
    signed_until           BIGINT NOT NULL,
    PRIMARY KEY (customer_id, signing_certificate_id)
);

CREATE TABLE groups (
    customer_id            BIGINT,
    id                     BIGINT,
    revision               BIGINT  NOT NULL,
    kind                   BIGINT  NOT NULL,
    name                   TEXT COLLATE "C" NOT NULL,
    description            TEXT COLLATE "C" NOT NULL,
    enabled                BOOLEAN NOT NULL,
    signing_certificate_id BIGINT  NOT NULL,
    addresses              TEXT    NOT NULL, -- addresses and CIDRs as given, separated by commas
    attributes             TEXT    NOT NULL, -- JSON object
    created_at             BIGINT  NOT NULL,
    modified_at            BIGINT  NOT NULL,
    modified_by            BIGINT,
    PRIMARY KEY (customer_id, id)
);

CREATE UNIQUE INDEX groups_by_name ON groups (customer_id, kind, lower(name));
CREATE UNIQUE INDEX groups_by_id ON groups (id);

CREATE TABLE provisioning_keys (
    customer_id            BIGINT,
    id                     BIGINT,
    revision               BIGINT  NOT NULL,
    group_id               BIGINT  NOT NULL,
    signing_certificate_id BIGINT  NOT NULL,
    maximum                BIGINT,
    expires_at             BIGINT,
    enabled                BOOLEAN NOT NULL,
    allow_re_enrollment    BOOLEAN NOT NULL,
    kind                   BIGINT  NOT NULL,
    name                   TEXT COLLATE "C" NOT NULL,
    digest                 BYTEA   NOT NULL, -- HMAC-SHA-256 of the key string
    pepper                 BIGINT  NOT NULL,
    addresses              TEXT    NOT NULL, -- addresses and CIDRs as given, separated by commas
    version                BIGINT  NOT NULL, -- 1 bare, 3 bootstrap, 0 imported
    hint                   TEXT COLLATE "C" NOT NULL,
    key_id                 TEXT COLLATE "C" NOT NULL,
    -- The count when the settings were last written: a maximum may be lowered below the count,
    -- but no use is taken above both (I2).
    uses_when_set          BIGINT  NOT NULL,
    managed_by_client_id   BIGINT,
    managed_by_label       TEXT COLLATE "C",
    successor_id           BIGINT,
    created_at             BIGINT  NOT NULL,
    created_by             BIGINT,
    modified_at            BIGINT  NOT NULL,
    modified_by            BIGINT,
    description            TEXT COLLATE "C" NOT NULL,
    ui_config              TEXT,
    sealed_string          BYTEA,
    PRIMARY KEY (customer_id, id)
);

CREATE UNIQUE INDEX provisioning_keys_by_name ON provisioning_keys (customer_id, kind, lower(name));
-- Whose digest is under an older pepper.
CREATE INDEX provisioning_keys_by_pepper ON provisioning_keys (pepper, id);
CREATE UNIQUE INDEX provisioning_keys_by_id ON provisioning_keys (id);
-- For lists. That an id is above zero is always true, and only lists ask for it: in a new database, of which there are no
-- statistics yet, the planner would take any index that begins with the customer for as good as the unique one, and an
-- enrollment would read all keys.
CREATE INDEX provisioning_keys_by_kind ON provisioning_keys (customer_id, kind, id) WHERE id > 0;
CREATE INDEX provisioning_keys_by_group ON provisioning_keys (customer_id, group_id, id) WHERE id > 0;
CREATE INDEX provisioning_keys_by_signing_certificate ON provisioning_keys (customer_id, signing_certificate_id)
    WHERE id > 0;
CREATE INDEX provisioning_keys_by_manager ON provisioning_keys (customer_id, managed_by_client_id)
    WHERE managed_by_client_id IS NOT NULL;
CREATE INDEX provisioning_keys_by_expiry ON provisioning_keys (customer_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE key_counters (
    customer_id    BIGINT,
    key_id         BIGINT,
    uses           BIGINT NOT NULL,
    re_enrollments BIGINT NOT NULL,
    last_ordinal   BIGINT NOT NULL,
    last_sequence  BIGINT NOT NULL, -- of the key's ledger
    last_used_at   BIGINT,
    last_used_by   BIGINT,
    PRIMARY KEY (customer_id, key_id)
) WITH (fillfactor = 50);

-- Key strings are unique over all customers.
CREATE TABLE digests (
    digest      BYTEA  PRIMARY KEY,
    customer_id BIGINT NOT NULL,
    key_id      BIGINT NOT NULL
);

CREATE TABLE components (
    customer_id      BIGINT,
    id               BIGINT,
    key_id           BIGINT  NOT NULL,
    fingerprint      TEXT COLLATE "C" NOT NULL,
    deleted_at       BIGINT,
    revoked_at       BIGINT,
    enabled          BOOLEAN NOT NULL,
    current_serial   BYTEA   NOT NULL,
    previous_serial  BYTEA, -- of the certificate that the current one replaced in a renewal
    revision         BIGINT  NOT NULL,
    kind             BIGINT  NOT NULL,
    group_id         BIGINT  NOT NULL,
    enrolled_key_id  BIGINT  NOT NULL, -- whose use it took; key_id may be another since
    ordinal          BIGINT  NOT NULL,
    name             TEXT COLLATE "C" NOT NULL,
    hostname         TEXT COLLATE "C",
    platform         TEXT COLLATE "C",
    software_version TEXT COLLATE "C",
    remote_address   BYTEA   NOT NULL,
    enrolled_at      BIGINT  NOT NULL,
    modified_at      BIGINT  NOT NULL,
    modified_by      BIGINT,
    description      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (customer_id, id)
);

-- I3, and how a device is recognised.
CREATE UNIQUE INDEX components_by_fingerprint ON components (customer_id, key_id, fingerprint)
    WHERE deleted_at IS NULL;
-- For lists, and for when a group goes with all it has; of their condition see provisioning_keys_by_kind.
CREATE INDEX components_by_group ON components (customer_id, group_id, id) WHERE deleted_at IS NULL AND id > 0;
CREATE INDEX components_by_name ON components (customer_id, kind, lower(name), id) WHERE deleted_at IS NULL AND id > 0;

-- How many components that are not deleted a group has: the sum over its slots. Each process adds to one slot, so
-- that two that enroll into one group do not wait for each other.
CREATE TABLE component_counts (
    customer_id BIGINT,
    group_id    BIGINT,
    slot        BIGINT,
    kind        BIGINT NOT NULL,
    components  BIGINT NOT NULL,
    PRIMARY KEY (customer_id, group_id, slot)
) WITH (fillfactor = 50);

CREATE TABLE certificates (
    customer_id            BIGINT,
    serial                 BYTEA,
    key_id                 BIGINT NOT NULL,
    component_id           BIGINT NOT NULL,
    status                 BIGINT NOT NULL, -- 1 current, 2 superseded, 3 revoked, 4 renewed
    status_at              BIGINT,
    reason                 BIGINT,          -- of a revocation, as RFC 5280 numbers them
    signing_certificate_id BIGINT NOT NULL,
    public_key_hash        BYTEA  NOT NULL,
    issued_at              BIGINT NOT NULL,
    not_before             BIGINT NOT NULL,
    not_after              BIGINT NOT NULL,
    der                    BYTEA  NOT NULL,
    PRIMARY KEY (customer_id, serial)
);

-- What ends when, and whose it is: clean-up walks it without a look at the wide rows.
CREATE INDEX certificates_by_end ON certificates (customer_id, not_after, component_id) WHERE status = 1;
-- What a component had before, by its end: an enrollment adds none of them.
CREATE INDEX certificates_past ON certificates (customer_id, component_id, not_after) WHERE status <> 1;
-- What a CRL says, so that a hundred thousand entries are read without a look at the wide rows. An enrollment
-- adds none.
CREATE INDEX certificates_revoked
    ON certificates (customer_id, signing_certificate_id, not_after, serial, status, status_at, reason)
    WHERE status IN (2, 3);

-- The newest CRL of each signing certificate.
CREATE TABLE crls (
    customer_id            BIGINT,
    signing_certificate_id BIGINT,
    number                 BIGINT NOT NULL,
    this_update            BIGINT NOT NULL,
    next_update            BIGINT NOT NULL,
    entries                BIGINT NOT NULL,
    der                    BYTEA  NOT NULL,
    PRIMARY KEY (customer_id, signing_certificate_id)
);

-- What was revoked and is on no CRL yet: of each statement that revokes one certificate per signing certificate,
-- a row that nobody else writes. A CRL takes out those that its maker saw, and leaves what came since.
CREATE TABLE crl_news (
    customer_id            BIGINT,
    signing_certificate_id BIGINT,
    serial                 BYTEA,
    PRIMARY KEY (customer_id, signing_certificate_id, serial)
);

-- When components go by themselves.
CREATE TABLE clean_up_schedules (
    customer_id     BIGINT,
    id              BIGINT,
    revision        BIGINT  NOT NULL,
    kind            BIGINT  NOT NULL,
    enabled         BOOLEAN NOT NULL,
    delete_disabled BOOLEAN NOT NULL,
    days            BIGINT  NOT NULL, -- after the end of the certificate
    created_at      BIGINT  NOT NULL,
    modified_at     BIGINT  NOT NULL,
    modified_by     BIGINT,
    PRIMARY KEY (customer_id, id)
);

CREATE UNIQUE INDEX clean_up_schedules_by_kind ON clean_up_schedules (customer_id, kind);

-- The ledger. The old_ columns are of re-enrollments, the last two of checkpoints.
CREATE TABLE key_uses (
    customer_id         BIGINT,
    key_id              BIGINT,
    sequence            BIGINT,
    entry               BIGINT NOT NULL, -- 1 use, 2 re-enrollment, 3 release, 4 checkpoint
    at                  BIGINT NOT NULL,
    component_id        BIGINT,
    address             BYTEA,
    public_key_hash     BYTEA,
    serial              BYTEA,
    old_address         BYTEA,
    old_public_key_hash BYTEA,
    old_serial          BYTEA,
    uses                BIGINT,
    re_enrollments      BIGINT,
    PRIMARY KEY (customer_id, key_id, sequence)
);

-- How often one component re-enrolled of late.
CREATE INDEX key_uses_re_enrollments ON key_uses (customer_id, component_id, at) WHERE entry = 2;

-- What happened in each hour to a key.
CREATE TABLE key_hours (
    customer_id    BIGINT,
    key_id         BIGINT,
    hour           BIGINT, -- when it begins
    uses           BIGINT NOT NULL,
    releases       BIGINT NOT NULL,
    re_enrollments BIGINT NOT NULL,
    refusals       BIGINT NOT NULL,
    PRIMARY KEY (customer_id, key_id, hour)
) WITH (fillfactor = 70);

CREATE INDEX key_hours_by_hour ON key_hours (customer_id, hour);

CREATE TABLE key_refusals (
    customer_id    BIGINT,
    key_id         BIGINT,
    minute         BIGINT,
    refusal        TEXT COLLATE "C", -- its code
    source         TEXT COLLATE "C", -- prefix in CIDR form
    count          BIGINT NOT NULL,
    last_reference TEXT   NOT NULL,
    last_reason    TEXT   NOT NULL,
    PRIMARY KEY (customer_id, key_id, minute, refusal, source)
);

-- Refusals of the last days by code, all that were counted, though of key_refusals only the newest are kept.
CREATE TABLE refusal_hours (
    customer_id  BIGINT,
    hour         BIGINT, -- when it begins
    refusal      TEXT COLLATE "C", -- its code
    key_id       BIGINT,
    count        BIGINT NOT NULL,
    first_minute BIGINT NOT NULL,
    last_minute  BIGINT NOT NULL,
    PRIMARY KEY (customer_id, hour, refusal, key_id)
);

CREATE TABLE audit_events (
    customer_id BIGINT,
    sequence    BIGINT,
    at          BIGINT NOT NULL,
    actor_type  TEXT COLLATE "C" NOT NULL,
    actor_id    TEXT COLLATE "C" NOT NULL,
    actor_name  TEXT COLLATE "C" NOT NULL,
    action      TEXT COLLATE "C" NOT NULL,
    object_type TEXT COLLATE "C" NOT NULL,
    object_id   TEXT COLLATE "C" NOT NULL,
    object_name TEXT COLLATE "C" NOT NULL,
    before      TEXT,
    after       TEXT,
    mac         BYTEA NOT NULL,
    PRIMARY KEY (customer_id, sequence)
);

-- What was done to one object; without regard to case, as the search compares.
CREATE INDEX audit_events_by_object ON audit_events (customer_id, lower(object_id), sequence);

-- Where each customer's chain ends, apart from its rows, so that a cut is noticed.
CREATE TABLE audit_heads (
    customer_id BIGINT PRIMARY KEY,
    sequence    BIGINT NOT NULL,
    mac         BYTEA  NOT NULL
);

CREATE TABLE administrators (
    customer_id     BIGINT,
    id              BIGINT,
    revision        BIGINT  NOT NULL,
    username        TEXT COLLATE "C" NOT NULL,
    description     TEXT COLLATE "C" NOT NULL,
    password_hash   TEXT    NOT NULL,
    role            TEXT COLLATE "C" NOT NULL,
    enabled         BOOLEAN NOT NULL,
    last_sign_in_at BIGINT,
    created_at      BIGINT  NOT NULL,
    modified_at     BIGINT  NOT NULL,
    modified_by     BIGINT,
    PRIMARY KEY (customer_id, id)
);

-- Over all customers: it is what one signs in with.
CREATE UNIQUE INDEX administrators_by_username ON administrators (lower(username));

CREATE TABLE api_clients (
    customer_id       BIGINT,
    id                BIGINT,
    revision          BIGINT  NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    client_id         TEXT COLLATE "C" NOT NULL UNIQUE,
    secret_digest     BYTEA   NOT NULL,
    pepper            BIGINT  NOT NULL,
    secret_generation BIGINT  NOT NULL,
    role              TEXT COLLATE "C" NOT NULL,
    enabled           BOOLEAN NOT NULL,
    managing          TEXT COLLATE "C",
    last_used_at      BIGINT,
    created_at        BIGINT  NOT NULL,
    modified_at       BIGINT  NOT NULL,
    modified_by       BIGINT,
    PRIMARY KEY (customer_id, id)
);

CREATE UNIQUE INDEX api_clients_by_name ON api_clients (customer_id, lower(name));

-- Tokens of administrators, and those of API clients that were signed out (administrator_id is null).
CREATE TABLE sessions (
    id               TEXT COLLATE "C" PRIMARY KEY,
    customer_id      BIGINT NOT NULL,
    administrator_id BIGINT,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    ended_at         BIGINT,
    remote_address   BYTEA,
    user_agent       TEXT   NOT NULL
);

CREATE INDEX sessions_by_administrator ON sessions (customer_id, administrator_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- How each administrator has each page of the portal.
CREATE TABLE preferences (
    customer_id      BIGINT,
    administrator_id BIGINT,
    page             TEXT COLLATE "C",
    value            TEXT NOT NULL,
    PRIMARY KEY (customer_id, administrator_id, page)
);

CREATE TABLE saved_filters (
    customer_id      BIGINT,
    administrator_id BIGINT,
    page             TEXT COLLATE "C",
    name             TEXT COLLATE "C",
    query            TEXT NOT NULL,
    PRIMARY KEY (customer_id, administrator_id, page, name)
);

CREATE UNIQUE INDEX saved_filters_by_name ON saved_filters (customer_id, administrator_id, page, lower(name));

-- URLs that are told of what happens. The columns from looks on are the deliveries' to write.
CREATE TABLE webhooks (
    customer_id     BIGINT,
    id              BIGINT,
    revision        BIGINT  NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    url             TEXT COLLATE "C" NOT NULL,
    events          TEXT COLLATE "C" NOT NULL, -- separated by commas
    sealed_secret   BYTEA   NOT NULL,
    enabled         BOOLEAN NOT NULL,
    since           BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    modified_at     BIGINT  NOT NULL,
    modified_by     BIGINT,
    attention_looks BIGINT  NOT NULL, -- how often something was queued, as below
    component_looks BIGINT  NOT NULL,
    last_success_at BIGINT,
    last_failure_at BIGINT,
    last_failure    TEXT    NOT NULL,
    failing_since   BIGINT,
    failures        BIGINT  NOT NULL, -- attempts since something was delivered
    due_at          BIGINT, -- when its turn is; NULL: nothing waits
    PRIMARY KEY (customer_id, id)
);

CREATE UNIQUE INDEX webhooks_by_name ON webhooks (customer_id, lower(name));
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE enabled AND due_at IS NOT NULL;

CREATE TABLE webhook_deliveries (
    customer_id BIGINT,
    webhook_id  BIGINT,
    id          BIGINT,
    event       TEXT COLLATE "C" NOT NULL,
    payload     TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    state       BIGINT NOT NULL, -- 1 waiting, 2 delivered, 3 given up
    attempts    BIGINT NOT NULL,
    next_at     BIGINT NOT NULL, -- of those that are over: when they ended
    last_result TEXT   NOT NULL,
    PRIMARY KEY (customer_id, webhook_id, id)
);

CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (customer_id, webhook_id, next_at, event) WHERE state = 1;

-- How far each webhook was told of what. See domain/webhook.rs.
CREATE TABLE webhook_marks (
    customer_id BIGINT,
    webhook_id  BIGINT,
    event       TEXT COLLATE "C",
    object_id   BIGINT,
    value       BIGINT NOT NULL,
    PRIMARY KEY (customer_id, webhook_id, event, object_id)
);

-- The change feed: sequences without gaps, the newest rows only.
CREATE TABLE changes (
    sequence    BIGINT PRIMARY KEY,
    object      BIGINT NOT NULL, -- see store/feed.rs
    customer_id BIGINT NOT NULL,
    object_id   BIGINT NOT NULL
);

-- One row: the newest sequence. An administrative transaction locks it first and writes it last, so that there
-- is one at a time over all nodes, and the order of sequences is the order of commits.
CREATE TABLE changes_end (
    sequence BIGINT NOT NULL
);

INSERT INTO changes_end VALUES (0);
