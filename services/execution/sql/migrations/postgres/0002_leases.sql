-- Token and session of a running task's lease, so that a new owner of its shard takes the lease over.
ALTER TABLE tasks ADD COLUMN lease text;
