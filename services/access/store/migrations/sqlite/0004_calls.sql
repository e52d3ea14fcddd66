-- Calls that their callers gave a name, so that a repetition does nothing again.
CREATE TABLE calls (
    -- A digest: the name is not kept.
    key         BLOB    NOT NULL PRIMARY KEY,
    subject     TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    -- Who does it.
    owner       TEXT    NOT NULL,
    -- Encrypted with the name; none while it is not known how it ended.
    answer      BLOB,
    begun_at    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_of_subject ON calls (subject);
CREATE INDEX calls_by_end ON calls (expires_at);
