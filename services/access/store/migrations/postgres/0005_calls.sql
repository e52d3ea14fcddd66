-- Calls that their callers gave a name, so that a repetition does nothing again.
CREATE TABLE calls (
    -- A digest: the name is not kept.
    key         bytea  NOT NULL PRIMARY KEY,
    subject     text   COLLATE "C" NOT NULL,
    fingerprint bytea  NOT NULL,
    -- Who does it.
    owner       text   NOT NULL,
    -- Encrypted with the name; none while it is not known how it ended.
    answer      bytea,
    begun_at    bigint NOT NULL,
    expires_at  bigint NOT NULL
);
CREATE INDEX calls_of_subject ON calls (subject);
CREATE INDEX calls_by_end ON calls (expires_at);
