-- The replicas that are there. A commit holds its own row against being taken out; who is silent for too long is.
CREATE TABLE replicas (
    owner      uuid        PRIMARY KEY,
    epoch      bigint      NOT NULL,
    address    text        NOT NULL,
    draining   boolean     NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE SEQUENCE epochs;

-- Who owns which shard of the executions; the epoch grows with every change of owner.
CREATE TABLE shards (
    id    integer PRIMARY KEY,
    owner uuid,
    epoch bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO shards (id, owner, epoch) SELECT id, NULL, 0 FROM generate_series(0, 63) AS id;

-- Narrow and often written. What is large (params, outputs) stands apart.
CREATE TABLE executions (
    id             uuid     PRIMARY KEY,
    shard          smallint NOT NULL,
    state          smallint NOT NULL,
    closing        smallint NOT NULL,
    revision       integer  NOT NULL,
    sequence       bigint   NOT NULL,
    created_at     bigint   NOT NULL,
    started_at     bigint,
    finished_at    bigint,
    workflow       text     NOT NULL COLLATE "C",
    closing_reason text     NOT NULL,
    labels         text     NOT NULL,
    traceparent    text     NOT NULL,
    failure        text
) WITH (fillfactor = 80);
CREATE INDEX executions_by_workflow ON executions (workflow, id);
-- Terminal executions leave this index, so finding the live ones costs nothing however many are stored.
CREATE INDEX executions_open ON executions (id) WHERE finished_at IS NULL;

CREATE TABLE params (
    execution uuid PRIMARY KEY,
    value     text NOT NULL
);

-- Outputs of tasks by position; the execution's own stands at -1.
CREATE TABLE outputs (
    execution uuid    NOT NULL,
    position  integer NOT NULL,
    value     text    NOT NULL,
    PRIMARY KEY (execution, position)
);

-- A task that nothing has happened to has no row. No index on what changes, so that its updates stay in their page.
CREATE TABLE tasks (
    execution          uuid     NOT NULL,
    position           integer  NOT NULL,
    state              smallint NOT NULL,
    leases             integer  NOT NULL,
    returned           integer  NOT NULL,
    infra_losses       integer  NOT NULL,
    scheduled_at       bigint,
    ready_at           bigint,
    started_at         bigint,
    attempt_started_at bigint,
    finished_at        bigint,
    next_at            bigint,
    worker             text,
    failure            text,
    PRIMARY KEY (execution, position)
) WITH (fillfactor = 70);

CREATE TABLE history (
    execution uuid     NOT NULL,
    sequence  bigint   NOT NULL,
    at        bigint   NOT NULL,
    kind      smallint NOT NULL,
    state     smallint NOT NULL,
    task      integer  NOT NULL,
    attempt   integer  NOT NULL,
    data      text     NOT NULL,
    PRIMARY KEY (execution, sequence)
);

CREATE TABLE requests (
    key         text COLLATE "C" PRIMARY KEY,
    fingerprint text   NOT NULL,
    execution   uuid   NOT NULL,
    created_at  bigint NOT NULL
);

-- What tasks wrote. Lines of one execution get their numbers one writer at a time, so that whoever reads on behind a
-- number misses none.
CREATE TABLE logs (
    sequence  bigint   NOT NULL GENERATED ALWAYS AS IDENTITY,
    at        bigint   NOT NULL,
    line      bigint   NOT NULL,
    execution uuid     NOT NULL,
    task      integer  NOT NULL,
    attempt   integer  NOT NULL,
    stream    smallint NOT NULL,
    text      text     NOT NULL,
    PRIMARY KEY (execution, task, attempt, line)
);
CREATE INDEX logs_in_order ON logs (execution, sequence);
