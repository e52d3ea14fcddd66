//! The service for readers of the feed: translates, and does nothing else.

use nexus_api::feed::v1 as api;
use nexus_api::feed::v1::feed_service_server::FeedService;
use tonic::{Request, Response, Status};

use crate::Context;
use crate::operations::feed::{acknowledge, delete, read, readers, register};

/// Answers readers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FeedService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl FeedService for Service {
    async fn register_reader(
        &self,
        request: Request<api::RegisterReaderRequest>,
    ) -> Answer<api::RegisterReaderResponse> {
        register::register(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_reader(&self, request: Request<api::GetReaderRequest>) -> Answer<api::GetReaderResponse> {
        readers::get(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn list_readers(&self, request: Request<api::ListReadersRequest>) -> Answer<api::ListReadersResponse> {
        readers::list(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn delete_reader(&self, request: Request<api::DeleteReaderRequest>) -> Answer<api::DeleteReaderResponse> {
        delete::delete(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn read_feed(&self, request: Request<api::ReadFeedRequest>) -> Answer<api::ReadFeedResponse> {
        read::read(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn acknowledge_feed(
        &self,
        request: Request<api::AcknowledgeFeedRequest>,
    ) -> Answer<api::AcknowledgeFeedResponse> {
        acknowledge::acknowledge(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }
}
