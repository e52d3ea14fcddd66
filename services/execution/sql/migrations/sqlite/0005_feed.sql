-- The durable feed of committed events: which events of which execution each commit made durable. The events themselves stand
-- in history. Nothing is written while nobody reads.
CREATE TABLE feed (
    shard       INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    execution   BLOB    NOT NULL,
    first_event INTEGER NOT NULL,
    last_event  INTEGER NOT NULL,
    -- When the last of its events was decided.
    at          INTEGER NOT NULL,
    PRIMARY KEY (shard, position)
) STRICT, WITHOUT ROWID;

-- Up to where entries of each shard were removed. The newest entry always stays, since the next position is told from it.
CREATE TABLE feed_shards (
    shard   INTEGER PRIMARY KEY,
    removed INTEGER NOT NULL
) STRICT;
INSERT INTO feed_shards (shard, removed)
WITH RECURSIVE shards (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM shards WHERE id < 63) SELECT id, 0 FROM shards;

-- Who reads.
CREATE TABLE feed_readers (
    name         TEXT    PRIMARY KEY,
    created_at   INTEGER NOT NULL,
    -- It is forgotten when it has acknowledged nothing for so many microseconds; never when 0.
    forget_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Up to where each reader needs nothing any more, and when it said so.
CREATE TABLE feed_acknowledged (
    shard    INTEGER NOT NULL,
    reader   TEXT    NOT NULL,
    position INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (shard, reader)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_acknowledged_by_reader ON feed_acknowledged (reader);
