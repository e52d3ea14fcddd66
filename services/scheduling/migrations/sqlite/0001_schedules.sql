-- Times are microseconds since 1970.
CREATE TABLE schedules (
    -- Given at its creation: a schedule that is created again under the same name is another one.
    id              TEXT   PRIMARY KEY,
    -- Its name in `default`, one that says the namespace too elsewhere.
    key             TEXT   NOT NULL UNIQUE,
    namespace       TEXT   NOT NULL,
    workflow        TEXT   NOT NULL,
    owner           TEXT   NOT NULL,
    -- What somebody wrote, as JSON.
    definition      TEXT   NOT NULL,
    paused          INTEGER NOT NULL,
    note            TEXT   NOT NULL,
    -- The next nominal time, and when it is due; none when there is none any more.
    next_nominal    INTEGER,
    next_due        INTEGER,
    remaining       INTEGER,
    -- Fires that are being started or whose execution runs, and those that wait for that.
    running         INTEGER NOT NULL,
    buffered        INTEGER NOT NULL,
    action_count    INTEGER NOT NULL,
    missed          INTEGER NOT NULL,
    overlap_skipped INTEGER NOT NULL,
    buffer_dropped  INTEGER NOT NULL,
    start_failed    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    -- Grows when somebody changes it; the etag is made of it.
    version         INTEGER NOT NULL
) STRICT;
CREATE INDEX schedules_due ON schedules (next_due) WHERE NOT paused AND next_due IS NOT NULL;
CREATE INDEX schedules_owner ON schedules (namespace, owner) WHERE owner <> '';

-- One row for each nominal time: what became of it.
CREATE TABLE fires (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id TEXT   NOT NULL,
    -- Empty when it was due by itself, else `trigger:` or `backfill:` and an id.
    source      TEXT   NOT NULL,
    nominal     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    -- As in Fire.Outcome.
    outcome     INTEGER NOT NULL,
    reason      TEXT   NOT NULL,
    execution   TEXT   NOT NULL,
    -- How the execution ended; empty while it runs.
    state       TEXT   NOT NULL,
    -- When it is to be looked at again: to be started, or to see whether it has ended.
    due         INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    -- Whether its execution is to be cancelled.
    cancel      INTEGER NOT NULL,
    UNIQUE (schedule_id, source, nominal)
) STRICT;
CREATE UNIQUE INDEX fires_position ON fires (schedule_id, position);
CREATE INDEX fires_starting ON fires (due) WHERE outcome = 1;
CREATE INDEX fires_running ON fires (due) WHERE outcome = 2 AND state = '';
CREATE INDEX fires_running_of ON fires (schedule_id) WHERE outcome IN (1, 2) AND state = '';
CREATE INDEX fires_buffered ON fires (schedule_id, nominal) WHERE outcome = 4;
CREATE INDEX fires_cancel ON fires (due) WHERE cancel;
CREATE INDEX fires_at ON fires (at);

CREATE TABLE requests (
    id          TEXT   PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    -- What it made.
    made        TEXT   NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE backfills (
    id             TEXT    PRIMARY KEY,
    schedule_id    TEXT    NOT NULL,
    schedule_key   TEXT    NOT NULL,
    namespace      TEXT    NOT NULL,
    -- The times after the first and until the last.
    after_at       INTEGER  NOT NULL,
    until_at       INTEGER  NOT NULL,
    max_concurrent INTEGER  NOT NULL,
    newest_first   INTEGER NOT NULL,
    -- As in Backfill.State.
    state          INTEGER  NOT NULL,
    total          INTEGER  NOT NULL,
    fired          INTEGER  NOT NULL,
    running        INTEGER  NOT NULL,
    -- The last nominal time that was handed out.
    cursor         INTEGER,
    created_at     INTEGER  NOT NULL
) STRICT;
CREATE INDEX backfills_running ON backfills (id) WHERE state = 1;

-- How far the feed of executions' events was read, and who reads it.
CREATE TABLE reading (
    id        INTEGER PRIMARY KEY,
    holder    TEXT   NOT NULL,
    until     INTEGER NOT NULL,
    positions TEXT   NOT NULL
) STRICT;
INSERT INTO reading (id, holder, until, positions) VALUES (1, '', 0, '[]');
