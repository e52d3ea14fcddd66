//! Executions, tasks, attempts, history, queues and worker leases.
