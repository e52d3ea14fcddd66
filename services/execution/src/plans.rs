//! Revisions made ready to run. They are immutable, so each is asked for once and shared from then on.

use std::sync::Arc;

use async_trait::async_trait;
use moka::future::Cache;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::definitions::v1::{GetRevisionRequest, GetWorkflowRequest, Revision};
use nexus_api::error::ApiError;
use nexus_api::{ErrorReason, Namespace};
use nexus_engine::Plan;
use nexus_execution_owner::plans::Missing;
use nexus_mesh::Transport;
use nexus_spec::model::Workflow;
use tonic::{Code, Response, Status};

/// Tasks that the cached plans may have together.
const CACHED_TASKS: u64 = 500_000;
/// A document with more bytes takes milliseconds to make ready.
const LARGE: usize = 64 << 10;
/// Largest revision that is read.
const MAX_MESSAGE: usize = 32 << 20;

/// A revision made ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// The workflow as it was written.
    pub workflow: Workflow,
    /// The same, ready to run.
    pub plan: Arc<Plan>,
}

/// Gives revisions, from the definitions service or from memory.
#[derive(Clone)]
pub struct Plans {
    client: DefinitionsServiceClient<Transport>,
    /// By the workflow's name, qualified by its namespace, and the revision's number.
    cache: Cache<(String, u32), Arc<Loaded>>,
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plans")
    }
}

impl Plans {
    /// Plans from a definitions service.
    #[must_use]
    pub fn new(definitions: Transport) -> Self {
        let weight = |_: &(String, u32), loaded: &Arc<Loaded>| {
            u32::try_from(loaded.plan.tasks.len())
                .unwrap_or(u32::MAX)
                .saturating_add(10)
        };
        Self {
            client: DefinitionsServiceClient::new(definitions)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            cache: Cache::builder().max_capacity(CACHED_TASKS).weigher(weight).build(),
        }
    }

    /// A revision of a namespace's workflow by its number, the newest when 0.
    ///
    /// # Errors
    /// The definitions service's status when it does not give the revision; INTERNAL when what it gives cannot run.
    pub async fn revision(&self, namespace: &Namespace, workflow: &str, number: u32) -> Result<Arc<Loaded>, Status> {
        let number = match number {
            0 => self.newest(namespace, workflow).await?,
            number => number,
        };
        let key = (namespace.qualify(workflow).into_owned(), number);
        if let Some(loaded) = self.cache.get(&key).await {
            return Ok(loaded);
        }
        let request = GetRevisionRequest {
            workflow: workflow.to_owned(),
            revision: number,
        };
        let request = namespace.request(request);
        let answer = own(namespace, self.client.clone().get_revision(request).await?)?;
        let loaded = prepare(namespace.clone(), answer.revision.unwrap_or_default());
        let loaded = Arc::new(loaded.await?);
        self.cache.insert(key, Arc::clone(&loaded)).await;
        Ok(loaded)
    }

    /// The number of a workflow's newest revision. The revision itself is most often known already, and may be large.
    async fn newest(&self, namespace: &Namespace, workflow: &str) -> Result<u32, Status> {
        let request = GetWorkflowRequest {
            workflow: workflow.to_owned(),
        };
        let request = namespace.request(request);
        let answer = own(namespace, self.client.clone().get_workflow(request).await?)?;
        Ok(answer.workflow.unwrap_or_default().latest_revision)
    }
}

/// An answer about this namespace. A definitions service of before namespaces, as there may be during an upgrade, gives the
/// workflow of `default` that has the same name.
fn own<T>(namespace: &Namespace, answer: Response<T>) -> Result<T, Status> {
    let told = Namespace::of(answer.metadata())?;
    if told == *namespace {
        return Ok(answer.into_inner());
    }
    let problem = format!(
        "the definitions service gives workflows of the namespace {told} instead of {namespace}: it predates \
         namespaces and must be upgraded"
    );
    Err(ApiError::new(ErrorReason::StorageUnavailable, problem).into())
}

/// Makes a revision ready, a large one where it holds up nobody else.
async fn prepare(namespace: Namespace, revision: Revision) -> Result<Loaded, Status> {
    if revision.document.len() <= LARGE {
        return load(&namespace, &revision);
    }
    let loading = tokio::task::spawn_blocking(move || load(&namespace, &revision));
    loading.await.map_err(|error| {
        tracing::error!(%error, "a revision could not be made ready");
        Status::from(ApiError::new(
            ErrorReason::Internal,
            "the revision could not be made ready",
        ))
    })?
}

fn load(namespace: &Namespace, revision: &Revision) -> Result<Loaded, Status> {
    let broken = |error: String| {
        let named = format!(
            "revision {} of workflow {} cannot run: {error}",
            revision.number, revision.workflow
        );
        Status::from(ApiError::new(ErrorReason::Internal, named))
    };
    let workflow = Workflow::from_document(&revision.document).map_err(|error| broken(error.to_string()))?;
    let plan = Plan::new(&workflow, revision.number).map_err(|error| broken(error.to_string()))?;
    // The queues are named so that those of namespaces stand side by side: in the dispatcher, where workers wait, and
    // among replicas.
    let plan = plan.in_namespace(namespace.shared(), |queue| namespace.qualify(queue).into_owned());
    Ok(Loaded {
        workflow,
        plan: Arc::new(plan),
    })
}

/// The owner takes plans of revisions from here.
#[async_trait]
impl nexus_execution_owner::plans::Plans for Plans {
    async fn plan(&self, namespace: &Namespace, workflow: &str, revision: u32) -> Result<Arc<Plan>, Missing> {
        match self.revision(namespace, workflow, revision).await {
            Ok(loaded) => Ok(Arc::clone(&loaded.plan)),
            Err(error) if is_passing(error.code()) => Err(Missing::Now(error.message().to_owned())),
            Err(error) => Err(Missing::Ever(error.message().to_owned())),
        }
    }
}

fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Cancelled
    )
}

#[cfg(test)]
mod tests {
    use nexus_api::namespace::METADATA;

    use super::*;

    #[test]
    fn what_a_definitions_service_of_before_gives_is_run_in_default_only() {
        let there: Namespace = "team-a".parse().expect("a namespace");
        let answer = |said: Option<&str>| {
            let mut answer = Response::new(1);
            if let Some(said) = said {
                answer.metadata_mut().insert(METADATA, said.parse().expect("a value"));
            }
            answer
        };
        assert_eq!(own(&there, answer(Some("team-a"))).expect("its own"), 1);
        for other in [None, Some("default"), Some("team-b")] {
            let refused = own(&there, answer(other)).expect_err("another's");
            assert_eq!(refused.code(), tonic::Code::Unavailable, "it is asked again later");
        }
        for told in [None, Some("default")] {
            assert_eq!(own(&Namespace::default(), answer(told)).expect("its own"), 1);
        }
    }
}
