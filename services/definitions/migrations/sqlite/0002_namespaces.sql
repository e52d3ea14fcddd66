-- Whose a workflow is. `name` stays what identifies it: that of a workflow of `default` is its own, that of another
-- namespace's begins with `namespace/`, which no workflow's own name has. The same holds for `workflow` in the two other
-- tables. Written as in Postgres, where programs of before namespaces run on the same tables.
ALTER TABLE workflows ADD COLUMN namespace TEXT NOT NULL DEFAULT 'default';
CREATE INDEX workflows_by_namespace ON workflows (namespace, name);
