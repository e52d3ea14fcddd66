-- Channels and rules, what was read of the feed, and messages. Times are microseconds since 1970, by the database's clock where
-- something falls due by them. What stands in `content` is a message of the contract (nexus.notifications.v1).
CREATE TABLE objects (
    -- 1: a channel, 2: a rule.
    kind       INTEGER NOT NULL,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    content    BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) STRICT;

-- One row: grows with every change of an object, so that whoever keeps them in memory sees it. Versions are taken from it, so
-- that an object that is created again never has the version of the one before.
CREATE TABLE generation (
    number INTEGER NOT NULL
) STRICT;
INSERT INTO generation (number) VALUES (1);

CREATE TABLE requests (
    -- The caller's idempotency key, which says the namespace.
    id          TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- Up to where the feed was read: written with what follows from it.
CREATE TABLE positions (
    shard    INTEGER NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

-- Work that one replica does at a time.
CREATE TABLE leases (
    name   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until  INTEGER NOT NULL
) STRICT;

-- How each workflow's last execution ended that was not cancelled, and how long the last ones took that SUCCEEDED.
CREATE TABLE outcomes (
    namespace   TEXT NOT NULL,
    workflow    TEXT NOT NULL,
    failed      INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    -- JSON: microseconds, the newest last.
    durations   TEXT NOT NULL,
    PRIMARY KEY (namespace, workflow)
) STRICT;

-- Executions that are looked at again when they have run for long.
CREATE TABLE watches (
    id        TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    execution TEXT NOT NULL,
    rule      TEXT NOT NULL,
    due_at    INTEGER NOT NULL,
    content   BLOB NOT NULL
) STRICT;
CREATE INDEX watches_due ON watches (due_at);
CREATE INDEX watches_execution ON watches (execution);

CREATE TABLE deliveries (
    id           TEXT NOT NULL PRIMARY KEY,
    namespace    TEXT NOT NULL,
    rule         TEXT NOT NULL,
    channel      TEXT NOT NULL,
    execution    TEXT NOT NULL,
    -- As the contract numbers them.
    state        INTEGER NOT NULL,
    suppression  INTEGER NOT NULL,
    grouped_into TEXT NOT NULL,
    -- Until when others join it; 0 when none do.
    group_until  INTEGER NOT NULL,
    -- How many have joined it, itself among them.
    group_size   INTEGER NOT NULL,
    -- When it is sent; for one that is being sent, when whoever sends it counts as lost.
    due_at       INTEGER NOT NULL,
    -- Attempts ever, and those since it was last made to be sent.
    attempts     INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    -- Grows with each attempt that begins: a result counts only with it.
    fence        INTEGER NOT NULL,
    problem      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    -- 0 while it is on its way.
    finished_at  INTEGER NOT NULL,
    content      BLOB NOT NULL
) STRICT;
-- Those that are on their way: PENDING, SENDING, RETRYING.
CREATE INDEX deliveries_open ON deliveries (namespace, channel, due_at) WHERE finished_at = 0;
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE finished_at = 0;
CREATE INDEX deliveries_groups ON deliveries (namespace, rule, channel, group_until) WHERE group_until > 0 AND finished_at = 0;
CREATE INDEX deliveries_members ON deliveries (grouped_into, created_at) WHERE grouped_into <> '';
CREATE INDEX deliveries_newest ON deliveries (namespace, created_at, id);
CREATE INDEX deliveries_execution ON deliveries (namespace, execution, created_at, id);
CREATE INDEX deliveries_channel ON deliveries (namespace, channel, created_at, id);
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at > 0;

CREATE TABLE attempts (
    delivery TEXT NOT NULL,
    number   INTEGER NOT NULL,
    content  BLOB NOT NULL,
    PRIMARY KEY (delivery, number)
) STRICT;

-- When a channel's next message would be due at its pace: the theoretical arrival time of GCRA.
CREATE TABLE paces (
    namespace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    arrival   INTEGER NOT NULL,
    PRIMARY KEY (namespace, channel)
) STRICT;
