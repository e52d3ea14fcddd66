//! The service for callers: translates, and does nothing else.

use nexus_api::Namespace;
use nexus_api::notifications::v1 as api;
use nexus_api::notifications::v1::notifications_service_server::NotificationsService;
use nexus_auth::Caller;
use tonic::{Request, Response, Status};

use crate::operations::{Call, Context, create, delete, deliveries, get, list, redeliver, test, update};

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NotificationsService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// Who asks for what, and about which namespace.
fn enter<T>(context: &Context, request: Request<T>) -> Result<(Call, T), Status> {
    let caller = Caller::of(&request)?;
    let origin = context.recorder.origin(&request);
    let (namespace, request) = Namespace::split(request)?;
    let call = Call {
        subject: caller.subject().to_owned(),
        namespace,
        origin,
    };
    Ok((call, request))
}

#[tonic::async_trait]
impl NotificationsService for Service {
    async fn create_channel(&self, request: Request<api::CreateChannelRequest>) -> Answer<api::CreateChannelResponse> {
        let (call, request) = enter(&self.0, request)?;
        let wanted = request.channel.unwrap_or_default();
        let channel = Some(create::create(&self.0, &call, wanted, &request.request_id).await?);
        Ok(Response::new(api::CreateChannelResponse { channel }))
    }

    async fn get_channel(&self, request: Request<api::GetChannelRequest>) -> Answer<api::GetChannelResponse> {
        let (call, request) = enter(&self.0, request)?;
        let channel = Some(get::get(&self.0, &call, &request.channel).await?);
        Ok(Response::new(api::GetChannelResponse { channel }))
    }

    async fn list_channels(&self, request: Request<api::ListChannelsRequest>) -> Answer<api::ListChannelsResponse> {
        let (call, request) = enter(&self.0, request)?;
        let (channels, next_page_token) = list::list(&self.0, &call, request.page_size, &request.page_token).await?;
        Ok(Response::new(api::ListChannelsResponse {
            channels,
            next_page_token,
        }))
    }

    async fn update_channel(&self, request: Request<api::UpdateChannelRequest>) -> Answer<api::UpdateChannelResponse> {
        let (call, request) = enter(&self.0, request)?;
        let wanted = request.channel.unwrap_or_default();
        let channel = Some(update::update(&self.0, &call, &request.name, wanted, &request.etag).await?);
        Ok(Response::new(api::UpdateChannelResponse { channel }))
    }

    async fn delete_channel(&self, request: Request<api::DeleteChannelRequest>) -> Answer<api::DeleteChannelResponse> {
        let (call, request) = enter(&self.0, request)?;
        delete::delete::<api::Channel>(&self.0, &call, &request.channel, &request.etag).await?;
        Ok(Response::new(api::DeleteChannelResponse {}))
    }

    async fn test_channel(&self, request: Request<api::TestChannelRequest>) -> Answer<api::TestChannelResponse> {
        let (call, request) = enter(&self.0, request)?;
        test::test(&self.0, &call, request).await.map(Response::new)
    }

    async fn create_rule(&self, request: Request<api::CreateRuleRequest>) -> Answer<api::CreateRuleResponse> {
        let (call, request) = enter(&self.0, request)?;
        let wanted = request.rule.unwrap_or_default();
        let rule = Some(create::create(&self.0, &call, wanted, &request.request_id).await?);
        Ok(Response::new(api::CreateRuleResponse { rule }))
    }

    async fn get_rule(&self, request: Request<api::GetRuleRequest>) -> Answer<api::GetRuleResponse> {
        let (call, request) = enter(&self.0, request)?;
        let rule = Some(get::get(&self.0, &call, &request.rule).await?);
        Ok(Response::new(api::GetRuleResponse { rule }))
    }

    async fn list_rules(&self, request: Request<api::ListRulesRequest>) -> Answer<api::ListRulesResponse> {
        let (call, request) = enter(&self.0, request)?;
        let (rules, next_page_token) = list::list(&self.0, &call, request.page_size, &request.page_token).await?;
        Ok(Response::new(api::ListRulesResponse { rules, next_page_token }))
    }

    async fn update_rule(&self, request: Request<api::UpdateRuleRequest>) -> Answer<api::UpdateRuleResponse> {
        let (call, request) = enter(&self.0, request)?;
        let wanted = request.rule.unwrap_or_default();
        let rule = Some(update::update(&self.0, &call, &request.name, wanted, &request.etag).await?);
        Ok(Response::new(api::UpdateRuleResponse { rule }))
    }

    async fn delete_rule(&self, request: Request<api::DeleteRuleRequest>) -> Answer<api::DeleteRuleResponse> {
        let (call, request) = enter(&self.0, request)?;
        delete::delete::<api::Rule>(&self.0, &call, &request.rule, &request.etag).await?;
        Ok(Response::new(api::DeleteRuleResponse {}))
    }

    async fn list_deliveries(
        &self,
        request: Request<api::ListDeliveriesRequest>,
    ) -> Answer<api::ListDeliveriesResponse> {
        let (call, request) = enter(&self.0, request)?;
        deliveries::list(&self.0, &call, request).await.map(Response::new)
    }

    async fn get_delivery(&self, request: Request<api::GetDeliveryRequest>) -> Answer<api::GetDeliveryResponse> {
        let (call, request) = enter(&self.0, request)?;
        let delivery = Some(deliveries::get(&self.0, &call, &request.delivery).await?);
        Ok(Response::new(api::GetDeliveryResponse { delivery }))
    }

    async fn redeliver_delivery(
        &self,
        request: Request<api::RedeliverDeliveryRequest>,
    ) -> Answer<api::RedeliverDeliveryResponse> {
        let (call, request) = enter(&self.0, request)?;
        let delivery = Some(redeliver::redeliver(&self.0, &call, &request.delivery).await?);
        Ok(Response::new(api::RedeliverDeliveryResponse { delivery }))
    }
}
