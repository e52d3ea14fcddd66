-- Whose an execution is. `workflow` says it too: a workflow of `default` has its own name there, that of another namespace
-- `namespace/name`, so that the index by workflow serves all. Written as in Postgres, where programs of before namespaces
-- run on the same tables.
ALTER TABLE executions ADD COLUMN namespace TEXT NOT NULL DEFAULT 'default';
CREATE INDEX executions_by_namespace ON executions (namespace, id);
