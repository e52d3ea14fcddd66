//! The statements of the SQLite adapter. Rows come and go as JSON, many in one statement.

/// A schedule by its name.
pub(super) const SCHEDULE: &str = "\
    SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, \
    'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE key = $1";
/// A page of schedules by name.
pub(super) const LIST: &str = "\
    SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, \
    'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE s.namespace = \
    $1 AND s.key > $2 AND ($3 IS NULL OR instr(substr(s.key, $8), $3) > 0) AND ($4 IS NULL OR s.workflow \
    = $4) AND ($5 IS NULL OR s.owner = $5) AND ($6 IS NULL OR s.paused = $6) ORDER BY s.key LIMIT $7";
/// A page of fires.
pub(super) const FIRES: &str = "\
    SELECT json_object('schedule_id', f.schedule_id, 'source', f.source, 'nominal', f.nominal, 'at', \
    f.at, 'outcome', f.outcome, 'reason', f.reason, 'execution', f.execution, 'state', f.state, 'due', \
    f.due, 'attempts', f.attempts, 'cancel', f.cancel, 'position', f.position) FROM fires f WHERE \
    f.schedule_id = $1 AND ($2 = 0 OR f.position < $2) ORDER BY f.position DESC LIMIT $3";
/// The newest actions.
pub(super) const ACTIONS: &str = "\
    SELECT json_object('schedule_id', f.schedule_id, 'source', f.source, 'nominal', f.nominal, 'at', \
    f.at, 'outcome', f.outcome, 'reason', f.reason, 'execution', f.execution, 'state', f.state, 'due', \
    f.due, 'attempts', f.attempts, 'cancel', f.cancel, 'position', f.position) FROM fires f WHERE \
    f.schedule_id = $1 AND f.outcome IN (1, 2, 5) ORDER BY f.position DESC LIMIT $2";
/// Executions that run.
pub(super) const RUNNING: &str = "\
    SELECT execution FROM fires WHERE schedule_id = $1 AND outcome = 2 AND state = '' ORDER BY nominal \
    LIMIT $2";
/// The fire of a source.
pub(super) const TRIGGERED: &str = "\
    SELECT json_object('schedule_id', f.schedule_id, 'source', f.source, 'nominal', f.nominal, 'at', \
    f.at, 'outcome', f.outcome, 'reason', f.reason, 'execution', f.execution, 'state', f.state, 'due', \
    f.due, 'attempts', f.attempts, 'cancel', f.cancel, 'position', f.position) FROM fires f WHERE \
    f.schedule_id = $1 AND f.source = $2 LIMIT 1";
/// Whether there is any.
pub(super) const ANY: &str = "SELECT EXISTS (SELECT 1 FROM schedules)";
/// When the next one is due.
pub(super) const NEXT_DUE: &str = "\
    SELECT min(next_due) FROM schedules WHERE NOT paused AND next_due IS NOT NULL";
/// Takes some for a while.
pub(super) const CLAIM_STARTS: &str = "\
    UPDATE fires AS f SET due = $1 + $2, attempts = attempts + 1 WHERE f.position IN (SELECT position \
    FROM fires WHERE outcome = 1 AND due <= $1 ORDER BY due LIMIT $3) RETURNING \
    json_object('schedule_id', schedule_id, 'source', source, 'nominal', nominal, 'at', at, 'outcome', \
    outcome, 'reason', reason, 'execution', execution, 'state', state, 'due', due, 'attempts', attempts, \
    'cancel', cancel, 'position', position), (SELECT json_object('id', s.id, 'key', s.key, 'namespace', \
    s.namespace, 'workflow', s.workflow, 'owner', s.owner, 'definition', s.definition, 'paused', \
    s.paused, 'note', s.note, 'next_nominal', s.next_nominal, 'next_due', s.next_due, 'remaining', \
    s.remaining, 'running', s.running, 'buffered', s.buffered, 'action_count', s.action_count, 'missed', \
    s.missed, 'overlap_skipped', s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', \
    s.start_failed, 'created_at', s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM \
    schedules s WHERE s.id = schedule_id)";
/// Takes some for a while.
pub(super) const CLAIM_CANCELS: &str = "\
    UPDATE fires AS f SET due = $1 + $2 WHERE f.position IN (SELECT position FROM fires WHERE cancel AND \
    due <= $1 ORDER BY due LIMIT $3) RETURNING json_object('schedule_id', schedule_id, 'source', source, \
    'nominal', nominal, 'at', at, 'outcome', outcome, 'reason', reason, 'execution', execution, 'state', \
    state, 'due', due, 'attempts', attempts, 'cancel', cancel, 'position', position), (SELECT \
    json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, 'owner', \
    s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE s.id = \
    schedule_id)";
/// Takes some for a while.
pub(super) const CLAIM_UNSEEN: &str = "\
    UPDATE fires AS f SET due = $1 + $2 WHERE f.position IN (SELECT position FROM fires WHERE outcome = \
    2 AND state = '' AND due <= $1 ORDER BY due LIMIT $3) RETURNING json_object('schedule_id', \
    schedule_id, 'source', source, 'nominal', nominal, 'at', at, 'outcome', outcome, 'reason', reason, \
    'execution', execution, 'state', state, 'due', due, 'attempts', attempts, 'cancel', cancel, \
    'position', position), (SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, \
    'workflow', s.workflow, 'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', \
    s.note, 'next_nominal', s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', \
    s.running, 'buffered', s.buffered, 'action_count', s.action_count, 'missed', s.missed, \
    'overlap_skipped', s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', \
    s.start_failed, 'created_at', s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM \
    schedules s WHERE s.id = schedule_id)";
/// What a request made.
pub(super) const REQUEST: &str = "\
    SELECT made, fingerprint FROM requests WHERE id = $1";
/// Remembers a request.
pub(super) const PUT_REQUEST: &str = "\
    INSERT INTO requests (id, fingerprint, made, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO \
    NOTHING";
/// One backfill.
pub(super) const BACKFILL: &str = "\
    SELECT json_object('id', b.id, 'schedule_id', b.schedule_id, 'schedule_key', b.schedule_key, \
    'namespace', b.namespace, 'after_at', b.after_at, 'until_at', b.until_at, 'max_concurrent', \
    b.max_concurrent, 'newest_first', b.newest_first, 'state', b.state, 'total', b.total, 'fired', \
    b.fired, 'running', b.running, 'cursor', b.cursor, 'created_at', b.created_at) FROM backfills b \
    WHERE b.id = $1";
/// A page of backfills.
pub(super) const BACKFILLS: &str = "\
    SELECT json_object('id', b.id, 'schedule_id', b.schedule_id, 'schedule_key', b.schedule_key, \
    'namespace', b.namespace, 'after_at', b.after_at, 'until_at', b.until_at, 'max_concurrent', \
    b.max_concurrent, 'newest_first', b.newest_first, 'state', b.state, 'total', b.total, 'fired', \
    b.fired, 'running', b.running, 'cursor', b.cursor, 'created_at', b.created_at) FROM backfills b \
    WHERE b.namespace = $1 AND ($2 IS NULL OR b.schedule_key = $2) AND ($3 = '' OR b.id < $3) ORDER BY \
    b.id DESC LIMIT $4";
/// Lets somebody read.
pub(super) const TAKE_READING: &str = "\
    UPDATE reading SET holder = $1, until = $2 + $3 WHERE id = 1 AND (holder = $1 OR until <= $2) \
    RETURNING positions";
/// How far it was read.
pub(super) const PUT_READING: &str = "\
    UPDATE reading SET positions = $2 WHERE id = 1 AND holder = $1";
/// Removes some that ended, or whose schedule is gone.
pub(super) const SWEEP: &str = "\
    DELETE FROM fires WHERE position IN (SELECT f.position FROM fires f WHERE f.at < $1 AND (f.outcome \
    IN (3, 5) OR f.state <> '' OR NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = f.schedule_id)) \
    ORDER BY f.at LIMIT $2)";
/// Schedules that are due.
pub(super) const LOCK_DUE: &str = "\
    SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, \
    'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE NOT s.paused \
    AND s.next_due <= $1 ORDER BY s.next_due LIMIT $2";
/// Schedules by their ids.
pub(super) const LOCK: &str = "\
    SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, \
    'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE s.id IN \
    (SELECT value FROM json_each($1)) ORDER BY s.id";
/// A schedule by its name.
pub(super) const LOCK_NAMED: &str = "\
    SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, \
    'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE s.key = $1";
/// The schedules of a file.
pub(super) const LOCK_OWNED: &str = "\
    SELECT json_object('id', s.id, 'key', s.key, 'namespace', s.namespace, 'workflow', s.workflow, \
    'owner', s.owner, 'definition', s.definition, 'paused', s.paused, 'note', s.note, 'next_nominal', \
    s.next_nominal, 'next_due', s.next_due, 'remaining', s.remaining, 'running', s.running, 'buffered', \
    s.buffered, 'action_count', s.action_count, 'missed', s.missed, 'overlap_skipped', \
    s.overlap_skipped, 'buffer_dropped', s.buffer_dropped, 'start_failed', s.start_failed, 'created_at', \
    s.created_at, 'updated_at', s.updated_at, 'version', s.version) FROM schedules s WHERE s.namespace = \
    $1 AND s.owner = $2 AND s.owner <> '' ORDER BY s.id";
/// A new schedule.
pub(super) const INSERT: &str = "\
    INSERT INTO schedules (id, key, namespace, workflow, owner, definition, paused, note, next_nominal, \
    next_due, remaining, running, buffered, action_count, missed, overlap_skipped, buffer_dropped, \
    start_failed, created_at, updated_at, version) SELECT value->>'id', value->>'key', \
    value->>'namespace', value->>'workflow', value->>'owner', value->>'definition', value->>'paused', \
    value->>'note', value->>'next_nominal', value->>'next_due', value->>'remaining', value->>'running', \
    value->>'buffered', value->>'action_count', value->>'missed', value->>'overlap_skipped', \
    value->>'buffer_dropped', value->>'start_failed', value->>'created_at', value->>'updated_at', \
    value->>'version' FROM json_each($1) WHERE true ON CONFLICT (key) DO NOTHING";
/// Schedules that are locked.
pub(super) const UPDATE: &str = "\
    INSERT INTO schedules (id, key, namespace, workflow, owner, definition, paused, note, next_nominal, \
    next_due, remaining, running, buffered, action_count, missed, overlap_skipped, buffer_dropped, \
    start_failed, created_at, updated_at, version) SELECT value->>'id', value->>'key', \
    value->>'namespace', value->>'workflow', value->>'owner', value->>'definition', value->>'paused', \
    value->>'note', value->>'next_nominal', value->>'next_due', value->>'remaining', value->>'running', \
    value->>'buffered', value->>'action_count', value->>'missed', value->>'overlap_skipped', \
    value->>'buffer_dropped', value->>'start_failed', value->>'created_at', value->>'updated_at', \
    value->>'version' FROM json_each($1) WHERE true ON CONFLICT (id) DO UPDATE SET key = excluded.key, \
    namespace = excluded.namespace, workflow = excluded.workflow, owner = excluded.owner, definition = \
    excluded.definition, paused = excluded.paused, note = excluded.note, next_nominal = \
    excluded.next_nominal, next_due = excluded.next_due, remaining = excluded.remaining, running = \
    excluded.running, buffered = excluded.buffered, action_count = excluded.action_count, missed = \
    excluded.missed, overlap_skipped = excluded.overlap_skipped, buffer_dropped = \
    excluded.buffer_dropped, start_failed = excluded.start_failed, created_at = excluded.created_at, \
    updated_at = excluded.updated_at, version = excluded.version";
/// Deletes a schedule.
pub(super) const DELETE: &str = "\
    DELETE FROM schedules WHERE id = $1";
/// Ends the backfills of a schedule that is deleted.
pub(super) const END_BACKFILLS: &str = "\
    UPDATE backfills SET state = 3 WHERE schedule_id = $1 AND state = 1";
/// Fires by their keys.
pub(super) const FIRES_OF: &str = "\
    SELECT json_object('schedule_id', f.schedule_id, 'source', f.source, 'nominal', f.nominal, 'at', \
    f.at, 'outcome', f.outcome, 'reason', f.reason, 'execution', f.execution, 'state', f.state, 'due', \
    f.due, 'attempts', f.attempts, 'cancel', f.cancel, 'position', f.position) FROM json_each($1) k JOIN \
    fires f ON f.schedule_id = k.value->>'schedule_id' AND f.source = k.value->>'source' AND f.nominal = \
    k.value->>'nominal'";
/// Writes fires.
pub(super) const PUT_FIRES: &str = "\
    INSERT INTO fires (schedule_id, source, nominal, at, outcome, reason, execution, state, due, \
    attempts, cancel) SELECT value->>'schedule_id', value->>'source', value->>'nominal', value->>'at', \
    value->>'outcome', value->>'reason', value->>'execution', value->>'state', value->>'due', \
    value->>'attempts', value->>'cancel' FROM json_each($1) WHERE true ON CONFLICT (schedule_id, source, \
    nominal) DO UPDATE SET at = excluded.at, outcome = excluded.outcome, reason = excluded.reason, \
    execution = excluded.execution, state = excluded.state, due = excluded.due, attempts = \
    excluded.attempts, cancel = excluded.cancel";
/// The first that waits, of each schedule.
pub(super) const FIRST_BUFFERED: &str = "\
    SELECT json_object('schedule_id', f.schedule_id, 'source', f.source, 'nominal', f.nominal, 'at', \
    f.at, 'outcome', f.outcome, 'reason', f.reason, 'execution', f.execution, 'state', f.state, 'due', \
    f.due, 'attempts', f.attempts, 'cancel', f.cancel, 'position', f.position) FROM fires f WHERE \
    f.schedule_id IN (SELECT value FROM json_each($1)) AND f.outcome = 4 AND f.nominal = (SELECT \
    min(o.nominal) FROM fires o WHERE o.schedule_id = f.schedule_id AND o.outcome = 4)";
/// All that wait.
pub(super) const BUFFERED: &str = "\
    SELECT json_object('schedule_id', f.schedule_id, 'source', f.source, 'nominal', f.nominal, 'at', \
    f.at, 'outcome', f.outcome, 'reason', f.reason, 'execution', f.execution, 'state', f.state, 'due', \
    f.due, 'attempts', f.attempts, 'cancel', f.cancel, 'position', f.position) FROM fires f WHERE \
    f.schedule_id IN (SELECT value FROM json_each($1)) AND f.outcome = 4 ORDER BY f.schedule_id, \
    f.nominal";
/// Has executions cancelled.
pub(super) const CANCEL_RUNNING: &str = "\
    UPDATE fires SET cancel = 1, due = $2 WHERE schedule_id IN (SELECT value FROM json_each($1)) AND \
    outcome IN (1, 2) AND state = '' AND source NOT LIKE 'backfill:%'";
/// Backfills that go on.
pub(super) const LOCK_BACKFILLS: &str = "\
    SELECT json_object('id', b.id, 'schedule_id', b.schedule_id, 'schedule_key', b.schedule_key, \
    'namespace', b.namespace, 'after_at', b.after_at, 'until_at', b.until_at, 'max_concurrent', \
    b.max_concurrent, 'newest_first', b.newest_first, 'state', b.state, 'total', b.total, 'fired', \
    b.fired, 'running', b.running, 'cursor', b.cursor, 'created_at', b.created_at) FROM backfills b \
    WHERE b.state = 1 AND b.running < b.max_concurrent ORDER BY b.id LIMIT $1";
/// Backfills by their ids.
pub(super) const LOCK_BACKFILLS_OF: &str = "\
    SELECT json_object('id', b.id, 'schedule_id', b.schedule_id, 'schedule_key', b.schedule_key, \
    'namespace', b.namespace, 'after_at', b.after_at, 'until_at', b.until_at, 'max_concurrent', \
    b.max_concurrent, 'newest_first', b.newest_first, 'state', b.state, 'total', b.total, 'fired', \
    b.fired, 'running', b.running, 'cursor', b.cursor, 'created_at', b.created_at) FROM backfills b \
    WHERE b.id IN (SELECT value FROM json_each($1)) ORDER BY b.id";
/// Writes backfills.
pub(super) const PUT_BACKFILLS: &str = "\
    INSERT INTO backfills (id, schedule_id, schedule_key, namespace, after_at, until_at, max_concurrent, \
    newest_first, state, total, fired, running, cursor, created_at) SELECT value->>'id', \
    value->>'schedule_id', value->>'schedule_key', value->>'namespace', value->>'after_at', \
    value->>'until_at', value->>'max_concurrent', value->>'newest_first', value->>'state', \
    value->>'total', value->>'fired', value->>'running', value->>'cursor', value->>'created_at' FROM \
    json_each($1) WHERE true ON CONFLICT (id) DO UPDATE SET schedule_id = excluded.schedule_id, \
    schedule_key = excluded.schedule_key, namespace = excluded.namespace, after_at = excluded.after_at, \
    until_at = excluded.until_at, max_concurrent = excluded.max_concurrent, newest_first = \
    excluded.newest_first, state = excluded.state, total = excluded.total, fired = excluded.fired, \
    running = excluded.running, cursor = excluded.cursor, created_at = excluded.created_at";
