-- The durable feed of committed events: which events of which execution each commit made durable. The events themselves stand
-- in history. A position is given by the statement that commits, as the one after the newest that it sees; the primary key
-- lets nobody have the same. Nothing is written while nobody reads.
CREATE TABLE feed (
    shard       smallint NOT NULL,
    position    bigint   NOT NULL,
    execution   uuid     NOT NULL,
    first_event bigint   NOT NULL,
    last_event  bigint   NOT NULL,
    -- When the last of its events was decided.
    at          bigint   NOT NULL,
    PRIMARY KEY (shard, position)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- Up to where entries of each shard were removed. The newest entry always stays, since the next position is told from it.
CREATE TABLE feed_shards (
    shard   smallint PRIMARY KEY,
    removed bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO feed_shards (shard, removed) SELECT id, 0 FROM generate_series(0, 63) AS id;

-- Who reads. Every commit asks whether anybody does; so this table is written when one comes or goes, and not otherwise.
CREATE TABLE feed_readers (
    name         text COLLATE "C" PRIMARY KEY,
    created_at   bigint NOT NULL,
    -- It is forgotten when it has acknowledged nothing for so many microseconds; never when 0.
    forget_after bigint NOT NULL
);

-- Up to where each reader needs nothing any more, and when it said so.
CREATE TABLE feed_acknowledged (
    shard    smallint NOT NULL,
    reader   text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (shard, reader)
) WITH (fillfactor = 50);
CREATE INDEX feed_acknowledged_by_reader ON feed_acknowledged (reader);

-- Whether a replica's commits tell the feed. Those of versions before it say nothing here, and do not.
ALTER TABLE replicas ADD COLUMN feeds boolean NOT NULL DEFAULT false;
