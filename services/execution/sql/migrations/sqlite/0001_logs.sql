-- Logs stand in a file of their own: they never hold up the commit of a state.
CREATE TABLE logs (
    sequence  INTEGER PRIMARY KEY,
    execution BLOB    NOT NULL,
    task      INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    line      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    stream    INTEGER NOT NULL,
    text      TEXT    NOT NULL
) STRICT;

-- A line that is sent twice is stored once.
CREATE UNIQUE INDEX logs_once ON logs (execution, task, attempt, line);
CREATE INDEX logs_in_order ON logs (execution, sequence);
