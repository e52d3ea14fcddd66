-- Times are microseconds since 1970. No secret stands here: SHA-256 of what is random, argon2id of what people chose.
CREATE TABLE users (
    name          TEXT    PRIMARY KEY,
    display_name  TEXT    NOT NULL,
    -- 1 a person, 2 a service account.
    kind          INTEGER NOT NULL,
    -- JSON: [{"role": "editor", "namespaces": ["team-a"]}].
    grants        TEXT    NOT NULL,
    -- Whether the grants have `admin` for every namespace.
    administrator INTEGER NOT NULL,
    disabled      INTEGER NOT NULL,
    password      TEXT,
    -- Who they are at the OpenID provider: issuer and `sub`.
    subject       TEXT    UNIQUE,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    last_login_at INTEGER,
    -- Grows with every change; the etag is made of it.
    version       INTEGER NOT NULL
) STRICT;

CREATE TABLE roles (
    name        TEXT    PRIMARY KEY,
    description TEXT    NOT NULL,
    -- JSON: ["workflows.read"].
    permissions TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL
) STRICT;

-- Ids sort by the time at which they were made.
CREATE TABLE api_keys (
    id           TEXT    PRIMARY KEY,
    digest       BLOB    NOT NULL,
    description  TEXT    NOT NULL,
    user_name    TEXT    NOT NULL,
    grants       TEXT    NOT NULL,
    queues       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    creator      TEXT    NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
CREATE INDEX api_keys_of_user ON api_keys (user_name, id);
CREATE INDEX api_keys_by_end ON api_keys (expires_at);
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at);

CREATE TABLE sessions (
    id           TEXT    PRIMARY KEY,
    digest       BLOB    NOT NULL,
    user_name    TEXT    NOT NULL,
    -- 1 a password, 2 the OpenID provider.
    method       INTEGER NOT NULL,
    client       TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    -- What the provider's groups gave at the login.
    grants       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_of_user ON sessions (user_name, id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Wrong passwords in a row: of `user:<name>`, whether there is such a one or not, and of `address:<address>`.
CREATE TABLE login_failures (
    subject      TEXT    PRIMARY KEY,
    failures     INTEGER NOT NULL,
    locked_until INTEGER NOT NULL,
    last_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX login_failures_by_time ON login_failures (last_at);

-- Logins by the provider that are under way.
CREATE TABLE oidc_logins (
    state        BLOB    PRIMARY KEY,
    nonce        BLOB    NOT NULL,
    verifier     TEXT    NOT NULL,
    redirect_uri TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX oidc_logins_by_end ON oidc_logins (expires_at);

-- One row: what becomes the first administrator. In Postgres it is also what changes of users and roles wait for.
CREATE TABLE administration (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    claim BLOB
) STRICT;
INSERT INTO administration (id, claim) VALUES (1, NULL);
