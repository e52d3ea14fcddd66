-- The audit log: one chain, which is only ever appended to. Hashes are hex digits; the first entry follows zeros.
CREATE TABLE audit_entries (
    position      INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    at            INTEGER NOT NULL,
    namespace     TEXT    NOT NULL,
    actor_kind    TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    actor_name    TEXT    NOT NULL,
    credential    TEXT    NOT NULL,
    method        TEXT    NOT NULL,
    permission    TEXT    NOT NULL,
    object_type   TEXT    NOT NULL,
    object_name   TEXT    NOT NULL,
    -- 1 allowed, 2 denied.
    outcome       INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    address       TEXT    NOT NULL,
    request_id    TEXT    NOT NULL,
    trace_id      TEXT    NOT NULL,
    count         INTEGER NOT NULL,
    previous_hash TEXT    NOT NULL,
    hash          TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_entries_of_namespace ON audit_entries (namespace, position);
CREATE INDEX audit_entries_of_actor ON audit_entries (actor, position);
CREATE INDEX audit_entries_about_object ON audit_entries (object_name, position);

-- One row: the end of the chain, and what stands before the oldest entry that is kept. Whoever appends holds it.
CREATE TABLE audit_ends (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    head            INTEGER NOT NULL,
    head_hash       TEXT    NOT NULL,
    anchor          INTEGER NOT NULL,
    anchor_hash     TEXT    NOT NULL
) STRICT;
INSERT INTO audit_ends (id, head, head_hash, anchor, anchor_hash) VALUES
    (1, 0, '0000000000000000000000000000000000000000000000000000000000000000',
     0, '0000000000000000000000000000000000000000000000000000000000000000');

-- History is not changed, and goes only from its beginning up to an anchor that was moved before.
CREATE TRIGGER audit_entries_stay BEFORE UPDATE ON audit_entries
BEGIN
    SELECT raise(ABORT, 'entries of the audit log are not changed');
END;
CREATE TRIGGER audit_entries_remain BEFORE DELETE ON audit_entries
WHEN OLD.position > (SELECT anchor FROM audit_ends WHERE id = 1)
BEGIN
    SELECT raise(ABORT, 'entries of the audit log are not removed');
END;
CREATE TRIGGER audit_ends_grow BEFORE UPDATE ON audit_ends
WHEN NEW.head < OLD.head OR NEW.anchor < OLD.anchor OR NEW.anchor > NEW.head
    OR (NEW.head = OLD.head AND NEW.head_hash <> OLD.head_hash)
    OR (NEW.anchor = OLD.anchor AND NEW.anchor_hash <> OLD.anchor_hash)
BEGIN
    SELECT raise(ABORT, 'the ends of the audit log only grow');
END;
CREATE TRIGGER audit_ends_remain BEFORE DELETE ON audit_ends
BEGIN
    SELECT raise(ABORT, 'the ends of the audit log are not removed');
END;
