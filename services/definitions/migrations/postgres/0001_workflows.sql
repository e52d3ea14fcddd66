-- Names compare byte by byte, as they do in SQLite: pages are in the same order whatever the server's locale.
CREATE TABLE workflows (
    name            text   COLLATE "C" PRIMARY KEY,
    description     text   NOT NULL,
    labels          jsonb  NOT NULL,
    latest_revision bigint NOT NULL,
    task_count      bigint NOT NULL,
    -- Times are microseconds since 1970.
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    -- Grows with every change; the etag is made of it.
    version         bigint NOT NULL,
    deleted_at      bigint
);

-- Never changed and never deleted: executions run them.
CREATE TABLE revisions (
    workflow   text   COLLATE "C" NOT NULL,
    number     bigint NOT NULL,
    digest     text   NOT NULL,
    source     text   NOT NULL,
    document   text   NOT NULL,
    message    text   NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (workflow, number)
);

CREATE TABLE requests (
    id          text   COLLATE "C" PRIMARY KEY,
    fingerprint text   NOT NULL,
    workflow    text   COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL
);
