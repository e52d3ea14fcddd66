-- Secrets that NEXUS keeps. What is secret in them stands in `secret_versions`, encrypted; every other column is bound to it,
-- so that none can be changed unseen. A secret that was deleted leaves its row, so that numbers of versions are never used
-- twice.
CREATE TABLE secrets (
    namespace  text   COLLATE "C" NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    -- The newest there ever was.
    version    bigint NOT NULL,
    created_at bigint NOT NULL,
    created_by text   NOT NULL,
    deleted_at bigint,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE secret_versions (
    namespace   text   COLLATE "C" NOT NULL,
    name        text   COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    description text   NOT NULL,
    created_at  bigint NOT NULL,
    created_by  text   NOT NULL,
    -- The caller's idempotency key, which says the namespace.
    request     text   COLLATE "C",
    -- The key that the data key is wrapped with.
    key_id      text   COLLATE "C" NOT NULL,
    wrapped     bytea  NOT NULL,
    sealed      bytea  NOT NULL,
    PRIMARY KEY (namespace, name, version)
);

CREATE UNIQUE INDEX secret_versions_by_request ON secret_versions (request) WHERE request IS NOT NULL;
CREATE INDEX secret_versions_by_key ON secret_versions (key_id);
