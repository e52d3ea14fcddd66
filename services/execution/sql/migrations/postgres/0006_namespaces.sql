-- Whose an execution is. `workflow` says it too: a workflow of `default` has its own name there, that of another namespace
-- `namespace/name`, so that the index by workflow serves all, and programs of before namespaces find no revision of such an
-- execution and leave it alone, instead of running one of `default` that has the same name.
ALTER TABLE executions ADD COLUMN namespace text COLLATE "C" NOT NULL DEFAULT 'default';
CREATE INDEX executions_by_namespace ON executions (namespace, id);
