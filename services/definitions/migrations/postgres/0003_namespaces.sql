-- Whose a workflow is. `name` stays what identifies it, and with it what programs of before namespaces rely on: that of a
-- workflow of `default` is its own, that of another namespace's begins with `namespace/`, which no workflow's own name has.
-- The same holds for `workflow` in the two other tables.
ALTER TABLE workflows ADD COLUMN namespace text COLLATE "C" NOT NULL DEFAULT 'default';
CREATE INDEX workflows_by_namespace ON workflows (namespace, name);
