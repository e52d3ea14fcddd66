-- Secrets that NEXUS keeps. What is secret in them stands in `secret_versions`, encrypted; every other column is bound to it,
-- so that none can be changed unseen. A secret that was deleted leaves its row, so that numbers of versions are never used
-- twice.
CREATE TABLE secrets (
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- The newest there ever was.
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (namespace, name)
) STRICT;

CREATE TABLE secret_versions (
    namespace   TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    description TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    -- The caller's idempotency key, which says the namespace.
    request     TEXT,
    -- The key that the data key is wrapped with.
    key_id      TEXT    NOT NULL,
    wrapped     BLOB    NOT NULL,
    sealed      BLOB    NOT NULL,
    PRIMARY KEY (namespace, name, version)
) STRICT;

CREATE UNIQUE INDEX secret_versions_by_request ON secret_versions (request) WHERE request IS NOT NULL;
CREATE INDEX secret_versions_by_key ON secret_versions (key_id);
