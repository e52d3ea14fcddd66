//! The statements of the Postgres adapter. Rows come and go as JSON, many in one statement.

/// A schedule by its name.
pub(super) const SCHEDULE: &str = "\
    SELECT row_to_json(s)::text FROM schedules s WHERE key = $1";
/// A page of schedules by name.
pub(super) const LIST: &str = "\
    SELECT row_to_json(s)::text FROM schedules s WHERE s.namespace = $1 AND s.key > $2 AND ($3::text IS \
    NULL OR position($3 IN substr(s.key, $8::integer)) > 0) AND ($4::text IS NULL OR s.workflow = $4) \
    AND ($5::text IS NULL OR s.owner = $5) AND ($6::boolean IS NULL OR s.paused = $6) ORDER BY s.key \
    LIMIT $7";
/// A page of fires.
pub(super) const FIRES: &str = "\
    SELECT row_to_json(f)::text FROM fires f WHERE f.schedule_id = $1 AND ($2 = 0 OR f.position < $2) \
    ORDER BY f.position DESC LIMIT $3";
/// The newest actions.
pub(super) const ACTIONS: &str = "\
    SELECT row_to_json(f)::text FROM fires f WHERE f.schedule_id = $1 AND f.outcome IN (1, 2, 5) ORDER \
    BY f.position DESC LIMIT $2";
/// Executions that run.
pub(super) const RUNNING: &str = "\
    SELECT execution FROM fires WHERE schedule_id = $1 AND outcome = 2 AND state = '' ORDER BY nominal \
    LIMIT $2";
/// The fire of a source.
pub(super) const TRIGGERED: &str = "\
    SELECT row_to_json(f)::text FROM fires f WHERE f.schedule_id = $1 AND f.source = $2 LIMIT 1";
/// Whether there is any.
pub(super) const ANY: &str = "SELECT EXISTS (SELECT 1 FROM schedules)";
/// When the next one is due.
pub(super) const NEXT_DUE: &str = "\
    SELECT min(next_due) FROM schedules WHERE NOT paused AND next_due IS NOT NULL";
/// Takes some for a while.
pub(super) const CLAIM_STARTS: &str = "\
    WITH chosen AS (SELECT schedule_id, source, nominal FROM fires WHERE outcome = 1 AND due <= $1 ORDER \
    BY due LIMIT $3 FOR UPDATE SKIP LOCKED), taken AS (UPDATE fires SET due = $1 + $2, attempts = \
    fires.attempts + 1 FROM chosen WHERE fires.schedule_id = chosen.schedule_id AND fires.source = \
    chosen.source AND fires.nominal = chosen.nominal RETURNING fires.*) SELECT row_to_json(f)::text, \
    row_to_json(s)::text FROM taken f LEFT JOIN schedules s ON s.id = f.schedule_id";
/// Takes some for a while.
pub(super) const CLAIM_CANCELS: &str = "\
    WITH chosen AS (SELECT schedule_id, source, nominal FROM fires WHERE cancel AND due <= $1 ORDER BY due \
    LIMIT $3 FOR UPDATE SKIP LOCKED), taken AS (UPDATE fires SET due = $1 + $2 FROM chosen WHERE \
    fires.schedule_id = chosen.schedule_id AND fires.source = chosen.source AND fires.nominal = chosen.nominal \
    RETURNING fires.*) SELECT row_to_json(f)::text, row_to_json(s)::text FROM taken f LEFT JOIN \
    schedules s ON s.id = f.schedule_id";
/// Takes some for a while.
pub(super) const CLAIM_UNSEEN: &str = "\
    WITH chosen AS (SELECT schedule_id, source, nominal FROM fires WHERE outcome = 2 AND state = '' AND \
    due <= $1 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED), taken AS (UPDATE fires SET due = $1 + $2 \
    FROM chosen WHERE fires.schedule_id = chosen.schedule_id AND fires.source = chosen.source AND \
    fires.nominal = chosen.nominal RETURNING fires.*) SELECT row_to_json(f)::text, row_to_json(s)::text \
    FROM taken f LEFT JOIN schedules s ON s.id = f.schedule_id";
/// What a request made.
pub(super) const REQUEST: &str = "\
    SELECT made, fingerprint FROM requests WHERE id = $1";
/// Remembers a request.
pub(super) const PUT_REQUEST: &str = "\
    INSERT INTO requests (id, fingerprint, made, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO \
    NOTHING";
/// One backfill.
pub(super) const BACKFILL: &str = "\
    SELECT row_to_json(b)::text FROM backfills b WHERE b.id = $1";
/// A page of backfills.
pub(super) const BACKFILLS: &str = "\
    SELECT row_to_json(b)::text FROM backfills b WHERE b.namespace = $1 AND ($2::text IS NULL OR \
    b.schedule_key = $2) AND ($3 = '' OR b.id < $3) ORDER BY b.id DESC LIMIT $4";
/// Lets somebody read.
pub(super) const TAKE_READING: &str = "\
    UPDATE reading SET holder = $1, until = $2 + $3 WHERE id = 1 AND (holder = $1 OR until <= $2) \
    RETURNING positions";
/// How far it was read.
pub(super) const PUT_READING: &str = "\
    UPDATE reading SET positions = $2 WHERE id = 1 AND holder = $1";
/// Removes some that ended, or whose schedule is gone.
pub(super) const SWEEP: &str = "\
    DELETE FROM fires d USING (SELECT f.schedule_id, f.source, f.nominal FROM fires f WHERE f.at < $1 \
    AND (f.outcome IN (3, 5) OR f.state <> '' OR NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = \
    f.schedule_id)) ORDER BY f.at LIMIT $2) old WHERE d.schedule_id = old.schedule_id AND d.source = \
    old.source AND d.nominal = old.nominal";
/// Schedules that are due.
pub(super) const LOCK_DUE: &str = "\
    SELECT row_to_json(s)::text FROM schedules s WHERE NOT s.paused AND s.next_due <= $1 ORDER BY \
    s.next_due LIMIT $2 FOR UPDATE OF s SKIP LOCKED";
/// Schedules by their ids.
pub(super) const LOCK: &str = "\
    SELECT row_to_json(s)::text FROM schedules s WHERE s.id IN (SELECT \
    jsonb_array_elements_text($1::text::jsonb)) ORDER BY s.id FOR UPDATE OF s";
/// A schedule by its name.
pub(super) const LOCK_NAMED: &str = "\
    SELECT row_to_json(s)::text FROM schedules s WHERE s.key = $1 FOR UPDATE OF s";
/// The schedules of a file.
pub(super) const LOCK_OWNED: &str = "\
    SELECT row_to_json(s)::text FROM schedules s WHERE s.namespace = $1 AND s.owner = $2 AND s.owner <> \
    '' ORDER BY s.id FOR UPDATE OF s";
/// A new schedule.
pub(super) const INSERT: &str = "\
    INSERT INTO schedules (id, key, namespace, workflow, owner, definition, paused, note, next_nominal, \
    next_due, remaining, running, buffered, action_count, missed, overlap_skipped, buffer_dropped, \
    start_failed, created_at, updated_at, version) SELECT id, key, namespace, workflow, owner, \
    definition, paused, note, next_nominal, next_due, remaining, running, buffered, action_count, \
    missed, overlap_skipped, buffer_dropped, start_failed, created_at, updated_at, version FROM \
    jsonb_to_recordset($1::text::jsonb) AS given(id text, key text, namespace text, workflow text, owner \
    text, definition text, paused boolean, note text, next_nominal bigint, next_due bigint, remaining \
    bigint, running bigint, buffered bigint, action_count bigint, missed bigint, overlap_skipped bigint, \
    buffer_dropped bigint, start_failed bigint, created_at bigint, updated_at bigint, version bigint) \
    ORDER BY id ON CONFLICT (key) DO NOTHING";
/// Schedules that are locked.
pub(super) const UPDATE: &str = "\
    UPDATE schedules s SET workflow = given.workflow, owner = given.owner, definition = \
    given.definition, paused = given.paused, note = given.note, next_nominal = given.next_nominal, \
    next_due = given.next_due, remaining = given.remaining, running = given.running, buffered = \
    given.buffered, action_count = given.action_count, missed = given.missed, overlap_skipped = \
    given.overlap_skipped, buffer_dropped = given.buffer_dropped, start_failed = given.start_failed, \
    updated_at = given.updated_at, version = given.version FROM jsonb_to_recordset($1::text::jsonb) AS \
    given(id text, key text, namespace text, workflow text, owner text, definition text, paused boolean, \
    note text, next_nominal bigint, next_due bigint, remaining bigint, running bigint, buffered bigint, \
    action_count bigint, missed bigint, overlap_skipped bigint, buffer_dropped bigint, start_failed \
    bigint, created_at bigint, updated_at bigint, version bigint) WHERE s.id = given.id";
/// Deletes a schedule.
pub(super) const DELETE: &str = "\
    DELETE FROM schedules WHERE id = $1";
/// Ends the backfills of a schedule that is deleted.
pub(super) const END_BACKFILLS: &str = "\
    UPDATE backfills SET state = 3 WHERE schedule_id = $1 AND state = 1";
/// Fires by their keys.
pub(super) const FIRES_OF: &str = "\
    SELECT row_to_json(f)::text FROM jsonb_to_recordset($1::text::jsonb) AS k(schedule_id text, source \
    text, nominal bigint) JOIN fires f ON f.schedule_id = k.schedule_id AND f.source = k.source AND \
    f.nominal = k.nominal";
/// Writes fires.
pub(super) const PUT_FIRES: &str = "\
    INSERT INTO fires (schedule_id, source, nominal, at, outcome, reason, execution, state, due, \
    attempts, cancel) SELECT schedule_id, source, nominal, at, outcome, reason, execution, state, due, \
    attempts, cancel FROM jsonb_to_recordset($1::text::jsonb) AS given(schedule_id text, source text, \
    nominal bigint, at bigint, outcome bigint, reason text, execution text, state text, due bigint, \
    attempts bigint, cancel boolean) ORDER BY schedule_id, nominal, source ON CONFLICT (schedule_id, \
    source, nominal) DO UPDATE SET at = excluded.at, outcome = excluded.outcome, reason = \
    excluded.reason, execution = excluded.execution, state = excluded.state, due = excluded.due, \
    attempts = excluded.attempts, cancel = excluded.cancel";
/// The first that waits, of each schedule.
pub(super) const FIRST_BUFFERED: &str = "\
    SELECT row_to_json(f)::text FROM fires f WHERE f.schedule_id IN (SELECT \
    jsonb_array_elements_text($1::text::jsonb)) AND f.outcome = 4 AND f.nominal = (SELECT min(o.nominal) \
    FROM fires o WHERE o.schedule_id = f.schedule_id AND o.outcome = 4)";
/// All that wait.
pub(super) const BUFFERED: &str = "\
    SELECT row_to_json(f)::text FROM fires f WHERE f.schedule_id IN (SELECT \
    jsonb_array_elements_text($1::text::jsonb)) AND f.outcome = 4 ORDER BY f.schedule_id, f.nominal";
/// Has executions cancelled.
pub(super) const CANCEL_RUNNING: &str = "\
    UPDATE fires SET cancel = true, due = $2 WHERE schedule_id IN (SELECT \
    jsonb_array_elements_text($1::text::jsonb)) AND outcome IN (1, 2) AND state = '' AND source NOT LIKE \
    'backfill:%'";
/// Backfills that go on.
pub(super) const LOCK_BACKFILLS: &str = "\
    SELECT row_to_json(b)::text FROM backfills b WHERE b.state = 1 AND b.running < b.max_concurrent \
    ORDER BY b.id LIMIT $1 FOR UPDATE OF b SKIP LOCKED";
/// Backfills by their ids.
pub(super) const LOCK_BACKFILLS_OF: &str = "\
    SELECT row_to_json(b)::text FROM backfills b WHERE b.id IN (SELECT \
    jsonb_array_elements_text($1::text::jsonb)) ORDER BY b.id FOR UPDATE OF b";
/// Writes backfills.
pub(super) const PUT_BACKFILLS: &str = "\
    INSERT INTO backfills (id, schedule_id, schedule_key, namespace, after_at, until_at, max_concurrent, \
    newest_first, state, total, fired, running, cursor, created_at) SELECT id, schedule_id, \
    schedule_key, namespace, after_at, until_at, max_concurrent, newest_first, state, total, fired, \
    running, cursor, created_at FROM jsonb_to_recordset($1::text::jsonb) AS given(id text, schedule_id \
    text, schedule_key text, namespace text, after_at bigint, until_at bigint, max_concurrent bigint, \
    newest_first boolean, state bigint, total bigint, fired bigint, running bigint, cursor bigint, \
    created_at bigint) ORDER BY id ON CONFLICT (id) DO UPDATE SET schedule_id = excluded.schedule_id, \
    schedule_key = excluded.schedule_key, namespace = excluded.namespace, after_at = excluded.after_at, \
    until_at = excluded.until_at, max_concurrent = excluded.max_concurrent, newest_first = \
    excluded.newest_first, state = excluded.state, total = excluded.total, fired = excluded.fired, \
    running = excluded.running, cursor = excluded.cursor, created_at = excluded.created_at";
