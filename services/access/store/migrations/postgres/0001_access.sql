-- Names and ids compare byte by byte, as they do in SQLite: pages are in the same order whatever the server's locale.
-- Times are microseconds since 1970. No secret stands here: SHA-256 of what is random, argon2id of what people chose.
CREATE TABLE users (
    name          text COLLATE "C" PRIMARY KEY,
    display_name  text NOT NULL,
    -- 1 a person, 2 a service account.
    kind          bigint NOT NULL,
    -- JSON: [{"role": "editor", "namespaces": ["team-a"]}].
    grants        text NOT NULL,
    -- Whether the grants have `admin` for every namespace.
    administrator boolean NOT NULL,
    disabled      boolean NOT NULL,
    password      text,
    -- Who they are at the OpenID provider: issuer and `sub`.
    subject       text COLLATE "C" UNIQUE,
    created_at    bigint NOT NULL,
    updated_at    bigint NOT NULL,
    last_login_at bigint,
    -- Grows with every change; the etag is made of it.
    version       bigint NOT NULL
);

CREATE TABLE roles (
    name        text COLLATE "C" PRIMARY KEY,
    description text NOT NULL,
    -- JSON: ["workflows.read"].
    permissions text NOT NULL,
    created_at  bigint NOT NULL,
    updated_at  bigint NOT NULL,
    version     bigint NOT NULL
);

-- Ids sort by the time at which they were made.
CREATE TABLE api_keys (
    id           text COLLATE "C" PRIMARY KEY,
    digest       bytea NOT NULL,
    description  text NOT NULL,
    user_name    text COLLATE "C" NOT NULL,
    grants       text NOT NULL,
    queues       text NOT NULL,
    created_at   bigint NOT NULL,
    creator      text NOT NULL,
    expires_at   bigint,
    revoked_at   bigint,
    last_used_at bigint
);
CREATE INDEX api_keys_of_user ON api_keys (user_name, id);
CREATE INDEX api_keys_by_end ON api_keys (expires_at);
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at);

CREATE TABLE sessions (
    id           text COLLATE "C" PRIMARY KEY,
    digest       bytea NOT NULL,
    user_name    text COLLATE "C" NOT NULL,
    -- 1 a password, 2 the OpenID provider.
    method       bigint NOT NULL,
    client       text NOT NULL,
    address      text NOT NULL,
    -- What the provider's groups gave at the login.
    grants       text NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint NOT NULL,
    last_used_at bigint NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_name, id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Wrong passwords in a row: of `user:<name>`, whether there is such a one or not, and of `address:<address>`.
CREATE TABLE login_failures (
    subject      text COLLATE "C" PRIMARY KEY,
    failures     bigint NOT NULL,
    locked_until bigint NOT NULL,
    last_at      bigint NOT NULL
);
CREATE INDEX login_failures_by_time ON login_failures (last_at);

-- Logins by the provider that are under way.
CREATE TABLE oidc_logins (
    state        bytea PRIMARY KEY,
    nonce        bytea NOT NULL,
    verifier     text NOT NULL,
    redirect_uri text NOT NULL,
    expires_at   bigint NOT NULL
);
CREATE INDEX oidc_logins_by_end ON oidc_logins (expires_at);

-- One row: what becomes the first administrator. Also what changes of users and roles wait for.
CREATE TABLE administration (
    id    bigint PRIMARY KEY CHECK (id = 1),
    claim bytea
);
INSERT INTO administration (id, claim) VALUES (1, NULL);
