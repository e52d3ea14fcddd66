//! Compiles the contracts in pure Rust: no `protoc` is needed. The descriptor set keeps comments and options (prost
//! itself drops unknown fields), so that reflection, JSON and transcoding can read them. What the methods say about
//! themselves becomes a table; a method that says too little fails the build.

use std::path::PathBuf;

#[path = "build/methods.rs"]
mod methods;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/methods.rs");
    let files = [
        "nexus/access/v1/access_service.proto",
        "nexus/access/v1/authentication_service.proto",
        "nexus/access/v1/calls_service.proto",
        "nexus/access/v1/identity.proto",
        "nexus/audit/v1/audit_service.proto",
        "nexus/common/v1/diagnostic.proto",
        "nexus/common/v1/error_reason.proto",
        "nexus/common/v1/failure.proto",
        "nexus/common/v1/field.proto",
        "nexus/common/v1/method.proto",
        "nexus/definitions/v1/definitions_service.proto",
        "nexus/definitions/v1/secrets_service.proto",
        "nexus/definitions/v1/workflow.proto",
        "nexus/execution/v1/execution.proto",
        "nexus/execution/v1/execution_service.proto",
        "nexus/feed/v1/feed_service.proto",
        "nexus/scheduling/v1/schedule.proto",
        "nexus/scheduling/v1/scheduling_service.proto",
        "nexus/notifications/v1/channel.proto",
        "nexus/notifications/v1/notifications_service.proto",
        "nexus/shard/v1/shard_service.proto",
        "nexus/worker/v1/worker_service.proto",
    ];
    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    match methods::table(&compiler.descriptor_pool()) {
        Ok(table) => std::fs::write(out.join("nexus_methods.rs"), table)?,
        // Cargo fails after these, and shows each on a line of its own.
        Err(problems) => problems.iter().for_each(|problem| println!("cargo::error={problem}")),
    }
    std::fs::write(out.join("nexus_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .build_transport(false)
        // What holds a secret is shown without it: `src/secret.rs`.
        .skip_debug([
            "nexus.definitions.v1.SetSecretRequest",
            "nexus.definitions.v1.ResolvedSecret",
            "nexus.worker.v1.TaskSecret",
        ])
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
