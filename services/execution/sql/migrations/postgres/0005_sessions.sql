-- Where workers' sessions went on: a session that comes to another replica gets a higher generation. A replica that was
-- away meanwhile asks before it says that a session is over. Sessions that never moved have no row.
CREATE SEQUENCE session_generations;
CREATE TABLE sessions (
    session    text COLLATE "C" PRIMARY KEY,
    generation bigint      NOT NULL,
    -- Which call of the worker to go on it was, as the worker counts them; 0 when it does not.
    resumption bigint      NOT NULL,
    resumed_at timestamptz NOT NULL
);
CREATE INDEX sessions_resumed ON sessions (resumed_at);

-- Names this mesh, so that another one that uses the same Redis and namespace by mistake is noticed.
CREATE TABLE mesh (id uuid PRIMARY KEY);
INSERT INTO mesh (id) VALUES (gen_random_uuid());
