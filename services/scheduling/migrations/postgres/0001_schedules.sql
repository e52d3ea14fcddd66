-- Names compare byte by byte, as they do in SQLite. Times are microseconds since 1970.
CREATE TABLE schedules (
    -- Given at its creation: a schedule that is created again under the same name is another one.
    id              text   COLLATE "C" PRIMARY KEY,
    -- Its name in `default`, one that says the namespace too elsewhere.
    key             text   COLLATE "C" NOT NULL UNIQUE,
    namespace       text   COLLATE "C" NOT NULL,
    workflow        text   COLLATE "C" NOT NULL,
    owner           text   COLLATE "C" NOT NULL,
    -- What somebody wrote, as JSON.
    definition      text   NOT NULL,
    paused          boolean NOT NULL,
    note            text   NOT NULL,
    -- The next nominal time, and when it is due; none when there is none any more.
    next_nominal    bigint,
    next_due        bigint,
    remaining       bigint,
    -- Fires that are being started or whose execution runs, and those that wait for that.
    running         bigint NOT NULL,
    buffered        bigint NOT NULL,
    action_count    bigint NOT NULL,
    missed          bigint NOT NULL,
    overlap_skipped bigint NOT NULL,
    buffer_dropped  bigint NOT NULL,
    start_failed    bigint NOT NULL,
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    -- Grows when somebody changes it; the etag is made of it.
    version         bigint NOT NULL
);
CREATE INDEX schedules_due ON schedules (next_due) WHERE NOT paused AND next_due IS NOT NULL;
CREATE INDEX schedules_owner ON schedules (namespace, owner) WHERE owner <> '';

-- One row for each nominal time: what became of it.
CREATE TABLE fires (
    position    bigint GENERATED ALWAYS AS IDENTITY,
    schedule_id text   COLLATE "C" NOT NULL,
    -- Empty when it was due by itself, else `trigger:` or `backfill:` and an id.
    source      text   COLLATE "C" NOT NULL,
    nominal     bigint NOT NULL,
    at          bigint NOT NULL,
    -- As in Fire.Outcome.
    outcome     bigint NOT NULL,
    reason      text   NOT NULL,
    execution   text   COLLATE "C" NOT NULL,
    -- How the execution ended; empty while it runs.
    state       text   NOT NULL,
    -- When it is to be looked at again: to be started, or to see whether it has ended.
    due         bigint NOT NULL,
    attempts    bigint NOT NULL,
    -- Whether its execution is to be cancelled.
    cancel      boolean NOT NULL,
    PRIMARY KEY (schedule_id, source, nominal)
);
CREATE UNIQUE INDEX fires_position ON fires (schedule_id, position);
CREATE INDEX fires_starting ON fires (due) WHERE outcome = 1;
CREATE INDEX fires_running ON fires (due) WHERE outcome = 2 AND state = '';
CREATE INDEX fires_running_of ON fires (schedule_id) WHERE outcome IN (1, 2) AND state = '';
CREATE INDEX fires_buffered ON fires (schedule_id, nominal) WHERE outcome = 4;
CREATE INDEX fires_cancel ON fires (due) WHERE cancel;
CREATE INDEX fires_at ON fires (at);

CREATE TABLE requests (
    id          text   COLLATE "C" PRIMARY KEY,
    fingerprint text   NOT NULL,
    -- What it made.
    made        text   COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL
);

CREATE TABLE backfills (
    id             text    COLLATE "C" PRIMARY KEY,
    schedule_id    text    COLLATE "C" NOT NULL,
    schedule_key   text    COLLATE "C" NOT NULL,
    namespace      text    COLLATE "C" NOT NULL,
    -- The times after the first and until the last.
    after_at       bigint  NOT NULL,
    until_at       bigint  NOT NULL,
    max_concurrent bigint  NOT NULL,
    newest_first   boolean NOT NULL,
    -- As in Backfill.State.
    state          bigint  NOT NULL,
    total          bigint  NOT NULL,
    fired          bigint  NOT NULL,
    running        bigint  NOT NULL,
    -- The last nominal time that was handed out.
    cursor         bigint,
    created_at     bigint  NOT NULL
);
CREATE INDEX backfills_running ON backfills (id) WHERE state = 1;

-- How far the feed of executions' events was read, and who reads it.
CREATE TABLE reading (
    id        bigint PRIMARY KEY,
    holder    text   NOT NULL,
    until     bigint NOT NULL,
    positions text   NOT NULL
);
INSERT INTO reading (id, holder, until, positions) VALUES (1, '', 0, '[]');
