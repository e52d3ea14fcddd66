-- The key that an execution was started with is found by the execution when that is removed.
CREATE INDEX requests_by_execution ON requests (execution);
