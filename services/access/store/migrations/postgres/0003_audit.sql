-- The audit log: one chain, which is only ever appended to. Hashes are hex digits; the first entry follows zeros.
CREATE TABLE audit_entries (
    position      bigint PRIMARY KEY,
    id            text COLLATE "C" NOT NULL UNIQUE,
    at            bigint NOT NULL,
    namespace     text COLLATE "C" NOT NULL,
    actor_kind    text COLLATE "C" NOT NULL,
    actor         text COLLATE "C" NOT NULL,
    actor_name    text COLLATE "C" NOT NULL,
    credential    text COLLATE "C" NOT NULL,
    method        text COLLATE "C" NOT NULL,
    permission    text COLLATE "C" NOT NULL,
    object_type   text COLLATE "C" NOT NULL,
    object_name   text COLLATE "C" NOT NULL,
    -- 1 allowed, 2 denied.
    outcome       bigint NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    address       text COLLATE "C" NOT NULL,
    request_id    text COLLATE "C" NOT NULL,
    trace_id      text COLLATE "C" NOT NULL,
    count         bigint NOT NULL,
    previous_hash text COLLATE "C" NOT NULL,
    hash          text COLLATE "C" NOT NULL
);
CREATE INDEX audit_entries_of_namespace ON audit_entries (namespace, position);
CREATE INDEX audit_entries_of_actor ON audit_entries (actor, position);
CREATE INDEX audit_entries_about_object ON audit_entries (object_name, position);

-- One row: the end of the chain, and what stands before the oldest entry that is kept. Whoever appends holds it.
CREATE TABLE audit_ends (
    id              integer PRIMARY KEY CHECK (id = 1),
    head            bigint NOT NULL,
    head_hash       text COLLATE "C" NOT NULL,
    anchor          bigint NOT NULL,
    anchor_hash     text COLLATE "C" NOT NULL
);
INSERT INTO audit_ends (id, head, head_hash, anchor, anchor_hash) VALUES
    (1, 0, '0000000000000000000000000000000000000000000000000000000000000000',
     0, '0000000000000000000000000000000000000000000000000000000000000000');

-- History is not changed, and goes only from its beginning up to an anchor that was moved before.
CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log are not changed';
END $$;
CREATE TRIGGER audit_entries_stay BEFORE UPDATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
CREATE TRIGGER audit_entries_stay_whole BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();

CREATE FUNCTION audit_entries_remain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    reach bigint;
BEGIN
    -- In the same schema, whatever the search path of whoever deletes is.
    EXECUTE format('SELECT anchor FROM %I.audit_ends WHERE id = 1', TG_TABLE_SCHEMA) INTO reach;
    IF reach IS NULL OR OLD.position > reach THEN
        RAISE EXCEPTION 'entries of the audit log are not removed';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_entries_remain BEFORE DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_remain();

CREATE FUNCTION audit_ends_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'the ends of the audit log are not removed';
    END IF;
    IF NEW.head < OLD.head OR NEW.anchor < OLD.anchor OR NEW.anchor > NEW.head
        OR (NEW.head = OLD.head AND NEW.head_hash <> OLD.head_hash)
        OR (NEW.anchor = OLD.anchor AND NEW.anchor_hash <> OLD.anchor_hash) THEN
        RAISE EXCEPTION 'the ends of the audit log only grow';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_ends_grow BEFORE UPDATE OR DELETE ON audit_ends
    FOR EACH ROW EXECUTE FUNCTION audit_ends_grow();
CREATE TRIGGER audit_ends_stay_whole BEFORE TRUNCATE ON audit_ends
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
