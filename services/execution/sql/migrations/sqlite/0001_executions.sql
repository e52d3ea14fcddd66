-- Who owns which shard of the executions. A commit shows (owner, epoch); a newer owner has raised it.
CREATE TABLE shards (
    id    INTEGER PRIMARY KEY,
    owner BLOB    NOT NULL,
    epoch INTEGER NOT NULL
) STRICT;

-- Narrow and often written. What is large (params, outputs) stands apart.
CREATE TABLE executions (
    id             BLOB    PRIMARY KEY,
    shard          INTEGER NOT NULL,
    workflow       TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    state          INTEGER NOT NULL,
    closing        INTEGER NOT NULL,
    closing_reason TEXT    NOT NULL,
    labels         TEXT    NOT NULL,
    traceparent    TEXT    NOT NULL,
    sequence       INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    started_at     INTEGER,
    finished_at    INTEGER,
    failure        TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX executions_by_workflow ON executions (workflow, id);
-- Terminal executions leave this index, so finding the live ones costs nothing however many are stored.
CREATE INDEX executions_open ON executions (shard, id) WHERE finished_at IS NULL;

CREATE TABLE params (
    execution BLOB PRIMARY KEY,
    value     TEXT NOT NULL
) STRICT;

-- Outputs of tasks by position; the execution's own stands at -1.
CREATE TABLE outputs (
    execution BLOB    NOT NULL,
    position  INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    PRIMARY KEY (execution, position)
) STRICT;

-- A task that nothing has happened to has no row.
CREATE TABLE tasks (
    execution          BLOB    NOT NULL,
    position           INTEGER NOT NULL,
    state              INTEGER NOT NULL,
    leases             INTEGER NOT NULL,
    returned           INTEGER NOT NULL,
    infra_losses       INTEGER NOT NULL,
    scheduled_at       INTEGER,
    ready_at           INTEGER,
    started_at         INTEGER,
    attempt_started_at INTEGER,
    finished_at        INTEGER,
    next_at            INTEGER,
    worker             TEXT,
    failure            TEXT,
    PRIMARY KEY (execution, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
    execution BLOB    NOT NULL,
    sequence  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    task      INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    data      TEXT    NOT NULL,
    PRIMARY KEY (execution, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE requests (
    key         TEXT    PRIMARY KEY,
    fingerprint TEXT    NOT NULL,
    execution   BLOB    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
