//! Starts the mesh that is measured.

use std::time::Instant;

use nexus_fleet::{Mesh, Shape};

use crate::error::{BenchError, broken};
use crate::options::Options;

/// How many replicas there are of what differs between workloads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replicas {
    pub(crate) execution: usize,
    pub(crate) workers: usize,
}

/// Settings of Postgres: its own defaults, where the servers for tests have less, and what the options say.
pub(crate) fn postgres(options: &Options) -> Vec<String> {
    let own = std::iter::once("shared_buffers=128MB".to_owned());
    own.chain(options.postgres.iter().cloned()).collect()
}

/// The mesh as the options ask for it. Where its data is, the system's folder for temporary files decides.
pub(crate) fn shape(options: &Options, program: &std::path::Path, replicas: Replicas) -> Shape {
    Shape {
        definitions: 1,
        execution: replicas.execution,
        workers: replicas.workers,
        slots: options.slots,
        fsync: true,
        program: Some(program.to_owned()),
        log: "warn".into(),
        environment: options.environment.clone(),
        postgres: postgres(options),
        ..Shape::default()
    }
}

/// Starts one; also the milliseconds from the start of its first process to the readiness of all, with Postgres and
/// Redis running before.
pub(crate) async fn start(shape: Shape) -> Result<(Mesh, f64), BenchError> {
    // A mesh is started on a runtime of several threads, and what is measured gets all cores afterwards.
    let started = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut mesh = Mesh::prepare(shape).await?;
            let begun = Instant::now();
            for node in mesh.nodes() {
                node.start("")?;
            }
            mesh.ready().await?;
            Ok((mesh, begun.elapsed().as_secs_f64() * 1e3))
        })
    });
    started.await.map_err(|error| broken(error.to_string()))?
}
