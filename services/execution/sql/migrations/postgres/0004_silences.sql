-- Leases whose workers have not been heard of for a while. Without it each new owner of a shard would begin to count anew,
-- and a lease of a worker that is gone would last as long as owners come and go. Advice, not state: losing it delays.
CREATE TABLE silences (
    token text COLLATE "C" PRIMARY KEY,
    shard smallint         NOT NULL,
    -- By this server's clock: owners' clocks differ.
    since timestamptz      NOT NULL
);

CREATE INDEX silences_shard ON silences (shard);
