CREATE TABLE workflows (
    name            TEXT    PRIMARY KEY,
    description     TEXT    NOT NULL,
    labels          TEXT    NOT NULL,
    latest_revision INTEGER NOT NULL,
    task_count      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- Grows with every change; the etag is made of it.
    version         INTEGER NOT NULL,
    deleted_at      INTEGER
) STRICT;

-- Never changed and never deleted: executions run them.
CREATE TABLE revisions (
    workflow   TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    digest     TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    document   TEXT    NOT NULL,
    message    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workflow, number)
) STRICT;

CREATE TABLE requests (
    id          TEXT    PRIMARY KEY,
    fingerprint TEXT    NOT NULL,
    workflow    TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
