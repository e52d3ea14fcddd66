//! Notifications: the right people hear of what matters, and of nothing twice. Receivers are servers of the test's own, and
//! what they get is judged by Python's libraries, which nobody here wrote.

mod channels;
mod receivers;
mod trouble;

use std::time::{Duration, Instant};

use nexus_api::definitions::v1::SetSecretRequest;
use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_api::notifications::v1::channel::Kind;
use nexus_api::notifications::v1::delivery::State;
use nexus_api::notifications::v1::notifications_service_client::NotificationsServiceClient;
use nexus_api::notifications::v1::{
    Channel, CreateChannelRequest, CreateRuleRequest, Delivery, Event, GetDeliveryRequest, ListDeliveriesRequest, Rule,
    Webhook,
};
use nexus_mesh::Transport;
use nexus_tests::{DEADLINE, Dev};

const FAILS: &str = "name: fails\nlabels: {team: data}\ntasks:\n  a:\n    bash: {run: 'echo no rows >&2; exit 3'}\n";

/// What tests ask of the service.
struct Client(Transport);

impl Client {
    fn of(dev: &Dev) -> Self {
        Self(dev.way("default"))
    }

    fn service(&self) -> NotificationsServiceClient<Transport> {
        NotificationsServiceClient::new(self.0.clone())
    }

    async fn channel(&self, name: &str, kind: Kind) {
        let channel = Some(Channel {
            name: name.into(),
            kind: Some(kind),
            ..Channel::default()
        });
        let request = CreateChannelRequest {
            channel,
            ..CreateChannelRequest::default()
        };
        self.service().create_channel(request).await.expect("a channel");
    }

    async fn rule(&self, rule: Rule) {
        let request = CreateRuleRequest {
            rule: Some(rule),
            ..CreateRuleRequest::default()
        };
        self.service().create_rule(request).await.expect("a rule");
    }

    async fn secret(&self, name: &str, value: &str) {
        let request = SetSecretRequest {
            secret: name.into(),
            value: value.into(),
            ..SetSecretRequest::default()
        };
        SecretsServiceClient::new(self.0.clone())
            .set_secret(request)
            .await
            .expect("a secret");
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let request = ListDeliveriesRequest {
            page_size: 1_000,
            ..ListDeliveriesRequest::default()
        };
        self.service()
            .list_deliveries(request)
            .await
            .expect("deliveries")
            .into_inner()
            .deliveries
    }

    async fn delivery(&self, id: &str) -> Delivery {
        let request = GetDeliveryRequest { delivery: id.into() };
        self.service()
            .get_delivery(request)
            .await
            .expect("a delivery")
            .into_inner()
            .delivery
            .expect("one")
    }

    /// Waits until the deliveries are as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.deliveries().await;
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not come; there is {found:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until so many are delivered.
    async fn delivered(&self, count: usize) -> Vec<Delivery> {
        let done = |all: &[Delivery]| all.iter().filter(|one| one.state() == State::Delivered).count() >= count;
        self.until(&format!("{count} delivered messages"), done).await
    }
}

fn rule(name: &str, events: &[Event], channels: &[&str]) -> Rule {
    Rule {
        name: name.into(),
        events: events.iter().map(|event| i32::from(*event)).collect(),
        channels: channels.iter().map(|channel| (*channel).to_owned()).collect(),
        ..Rule::default()
    }
}

fn hook(url: String) -> Kind {
    Kind::Webhook(Webhook {
        url,
        ..Webhook::default()
    })
}
