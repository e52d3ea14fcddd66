-- Channels and rules, what was read of the feed, and messages. Times are microseconds since 1970, by the database's clock where
-- something falls due by them. What stands in `content` is a message of the contract (nexus.notifications.v1).
CREATE TABLE objects (
    -- 1: a channel, 2: a rule.
    kind       bigint NOT NULL,
    namespace  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    content    bytea NOT NULL,
    created_at bigint NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    updated_at bigint NOT NULL,
    updated_by text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);

-- One row: grows with every change of an object, so that whoever keeps them in memory sees it. Versions are taken from it, so
-- that an object that is created again never has the version of the one before.
CREATE TABLE generation (
    number bigint NOT NULL
);
INSERT INTO generation (number) VALUES (1);

CREATE TABLE requests (
    -- The caller's idempotency key, which says the namespace.
    id          text COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL
);

-- Up to where the feed was read: written with what follows from it.
CREATE TABLE positions (
    shard    bigint NOT NULL PRIMARY KEY,
    position bigint NOT NULL
);

-- Work that one replica does at a time.
CREATE TABLE leases (
    name   text COLLATE "C" NOT NULL PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    until  bigint NOT NULL
);

-- How each workflow's last execution ended that was not cancelled, and how long the last ones took that SUCCEEDED.
CREATE TABLE outcomes (
    namespace   text COLLATE "C" NOT NULL,
    workflow    text COLLATE "C" NOT NULL,
    failed      bigint NOT NULL,
    finished_at bigint NOT NULL,
    -- JSON: microseconds, the newest last.
    durations   text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, workflow)
);

-- Executions that are looked at again when they have run for long.
CREATE TABLE watches (
    id        text COLLATE "C" NOT NULL PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    execution text COLLATE "C" NOT NULL,
    rule      text COLLATE "C" NOT NULL,
    due_at    bigint NOT NULL,
    content   bytea NOT NULL
);
CREATE INDEX watches_due ON watches (due_at);
CREATE INDEX watches_execution ON watches (execution);

CREATE TABLE deliveries (
    id           text COLLATE "C" NOT NULL PRIMARY KEY,
    namespace    text COLLATE "C" NOT NULL,
    rule         text COLLATE "C" NOT NULL,
    channel      text COLLATE "C" NOT NULL,
    execution    text COLLATE "C" NOT NULL,
    -- As the contract numbers them.
    state        bigint NOT NULL,
    suppression  bigint NOT NULL,
    grouped_into text COLLATE "C" NOT NULL,
    -- Until when others join it; 0 when none do.
    group_until  bigint NOT NULL,
    -- How many have joined it, itself among them.
    group_size   bigint NOT NULL,
    -- When it is sent; for one that is being sent, when whoever sends it counts as lost.
    due_at       bigint NOT NULL,
    -- Attempts ever, and those since it was last made to be sent.
    attempts     bigint NOT NULL,
    tries        bigint NOT NULL,
    -- Grows with each attempt that begins: a result counts only with it.
    fence        bigint NOT NULL,
    problem      text COLLATE "C" NOT NULL,
    created_at   bigint NOT NULL,
    -- 0 while it is on its way.
    finished_at  bigint NOT NULL,
    content      bytea NOT NULL
);
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
    delivery text COLLATE "C" NOT NULL,
    number   bigint NOT NULL,
    content  bytea NOT NULL,
    PRIMARY KEY (delivery, number)
);

-- When a channel's next message would be due at its pace: the theoretical arrival time of GCRA.
CREATE TABLE paces (
    namespace text COLLATE "C" NOT NULL,
    channel   text COLLATE "C" NOT NULL,
    arrival   bigint NOT NULL,
    PRIMARY KEY (namespace, channel)
);
