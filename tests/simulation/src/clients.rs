//! Clients: they start executions, with keys and without, repeat what was not answered, use a key twice, and cancel.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nexus_engine::Output;
use nexus_execution_owner::{Message, NewExecution, OwnerError, Started};
use nexus_execution_store::{ExecutionId, RequestKey};
use serde_json::json;
use tokio::sync::oneshot;

use crate::oracle;
use crate::owners::Waiting;
use crate::world::{Happening, World};

const SECOND: i64 = 1_000_000;

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It looks whether its key is known.
    Look,
    /// It has looked, and sends.
    Send,
    /// It waits for its answer.
    Wait,
    /// It was told of this execution, and may cancel it.
    Started(ExecutionId),
    /// It wants nothing more.
    Done,
}

/// A client that starts one execution.
pub struct Client {
    step: Step,
    workflow: usize,
    /// Empty for none.
    key: String,
    fingerprint: String,
    number: i64,
    cancels: bool,
    told: Option<ExecutionId>,
    /// The owner that looked its key up, and that owner's stay in the shard.
    looked_at: (u64, u64),
    /// Counts its steps, so that one that was put off and is no longer wanted is told apart.
    turn: u32,
}

impl World {
    pub fn add_client(&mut self, number: usize) {
        // Now and then two clients share a key, and sometimes not even the body.
        let shared = number > 0 && self.rng.u32(0..6) == 0;
        let key = if shared {
            self.clients[number - 1].key.clone()
        } else if self.rng.u32(0..3) > 0 {
            format!("key{number}")
        } else {
            String::new()
        };
        let other_body = shared && self.rng.u32(0..4) == 0;
        let client = Client {
            step: Step::Look,
            workflow: self.rng.usize(0..self.checker.plans.len()),
            fingerprint: if other_body { "other".into() } else { key.clone() },
            key,
            number: self.rng.i64(0..8),
            cancels: self.rng.u32(0..6) == 0,
            told: None,
            looked_at: (0, 0),
            turn: 0,
        };
        let at = if shared { 0 } else { self.rng.i64(0..20 * SECOND) };
        self.clients.push(client);
        self.at(at, Happening::Client(number, 0));
    }

    /// Puts the client's next step off; an earlier one that was put off is dropped.
    fn step_later(&mut self, number: usize, wait: i64) {
        self.clients[number].turn += 1;
        let turn = self.clients[number].turn;
        self.after(wait, Happening::Client(number, turn));
    }

    pub fn client_step(&mut self, number: usize, turn: u32) {
        if turn != self.clients[number].turn {
            return;
        }
        match self.clients[number].step {
            Step::Look => self.look_up(number),
            Step::Send => self.send_start(number),
            // No answer came in time: the client does not know, and with a key it may ask again.
            Step::Wait if self.clients[number].key.is_empty() => self.clients[number].step = Step::Done,
            Step::Wait => {
                self.clients[number].step = Step::Look;
                self.look_up(number);
            }
            Step::Started(id) => {
                let active = self.active;
                let (reply, answer) = oneshot::channel();
                let reason = "a client had enough".to_owned();
                self.send(
                    active,
                    Message::Cancel {
                        id,
                        reason,
                        note: None,
                        reply,
                    },
                    Some(Waiting::Cancel(answer)),
                );
                self.clients[number].step = Step::Done;
            }
            Step::Done => {}
        }
    }

    /// What the service does first: it looks for the key in the store, while others may be writing it.
    fn look_up(&mut self, number: usize) {
        let client = &self.clients[number];
        if !client.key.is_empty()
            && let Some((id, fingerprint)) = self.store.request_now(&client.key)
        {
            let answer = if fingerprint == client.fingerprint {
                Ok(Started {
                    id,
                    existing: true,
                    begun: None,
                })
            } else {
                Err(OwnerError::RequestIdReused)
            };
            return self.start_answered(number, Some(answer));
        }
        // The store is asked by the process that is then asked to start it.
        let active = self.active;
        let key = self.clients[number].key.clone();
        let shard = self.ids.execution(Some(&key)).shard();
        let stay = self.owner(active).map_or(0, |owner| owner.core.stay(shard));
        self.clients[number].looked_at = (active, stay);
        self.clients[number].step = Step::Send;
        let wait = self.network();
        self.step_later(number, wait);
    }

    fn send_start(&mut self, number: usize) {
        let (of, stay) = self.clients[number].looked_at;
        if of != self.active {
            return self.look_again(number);
        }
        let client = &self.clients[number];
        let plan = Arc::clone(&self.checker.plans[client.workflow]);
        let params = json!({"n": client.number});
        let request = (!client.key.is_empty()).then(|| RequestKey {
            key: client.key.clone(),
            fingerprint: client.fingerprint.clone(),
        });
        let id = self.ids.execution(request.as_ref().map(|request| request.key.as_str()));
        let stay = match &request {
            Some(_) => stay,
            // Nothing was looked up for it.
            None => self.owner(of).map_or(0, |owner| owner.core.stay(id.shard())),
        };
        let tasks = u32::try_from(plan.tasks.len()).unwrap_or(u32::MAX);
        let kept = oracle::kept(id, tasks).into_iter();
        let new = NewExecution {
            kept: kept.map(|task| (task, Output::new("\"kept\""))).collect(),
            id,
            namespace: nexus_api::Namespace::default(),
            stay,
            plan,
            params_text: Arc::from(params.to_string()),
            params: Arc::new(params),
            labels: BTreeMap::new(),
            traceparent: String::new(),
            request,
            note: None,
        };
        self.checker.asks(new.id, &self.clients[number].key);
        self.trace(|| format!("client {number} starts {}", new.id));
        self.clients[number].step = Step::Wait;
        let (reply, answer) = oneshot::channel();
        let active = self.active;
        let message = Message::Start {
            new: Box::new(new),
            reply,
        };
        self.send(active, message, Some(Waiting::Start(number, answer)));
        self.step_later(number, 5 * SECOND);
    }

    /// Another process answers by now, or this one has taken the shard anew: the store has to be asked again.
    fn look_again(&mut self, number: usize) {
        self.counts.looked_again += 1;
        self.clients[number].step = Step::Look;
        let wait = self.network().max(10_000);
        self.step_later(number, wait);
    }

    /// An answer, or the news that none will come.
    pub fn start_answered(&mut self, number: usize, answer: Option<Result<Started, OwnerError>>) {
        let lost = self.faulty(15);
        self.trace(|| format!("client {number} is answered {answer:?}"));
        match answer {
            Some(Ok(started)) => {
                // Whether or not the client hears it, it was said.
                self.checker.start_acknowledged(started.id);
                if lost {
                    self.counts.answers_lost += 1;
                    return self.step_later(number, 5 * SECOND);
                }
                self.counts.starts_repeated += u64::from(started.existing);
                self.started(number, started.id);
            }
            Some(Err(OwnerError::RequestIdReused)) => {
                self.counts.starts_refused += 1;
                self.clients[number].step = Step::Done;
            }
            Some(Err(OwnerError::Overloaded { delay, .. })) => {
                self.counts.overloaded += 1;
                if self.clients[number].told.is_none() {
                    self.clients[number].step = Step::Look;
                    let wait = i64::try_from(delay.as_micros()).unwrap_or(SECOND);
                    self.step_later(number, wait);
                }
            }
            Some(Err(OwnerError::NotOwner(_))) if self.clients[number].told.is_none() => self.look_again(number),
            // The connection broke: the client's own limit makes it ask again.
            Some(Err(_)) | None => {}
        }
    }

    fn started(&mut self, number: usize, id: ExecutionId) {
        let client = &mut self.clients[number];
        if let Some(told) = client.told
            && told != id
            && !client.key.is_empty()
        {
            let what = format!("client {number} was told of {told} and then of {id} under one key");
            return self.checker.breach("I1 one execution per key", what);
        }
        let client = &mut self.clients[number];
        client.told = Some(id);
        client.step = if client.cancels { Step::Started(id) } else { Step::Done };
        if client.cancels {
            let wait = self.rng.i64(0..15 * SECOND);
            self.step_later(number, wait);
        }
    }

    pub fn clients_are_done(&self) -> bool {
        self.clients.iter().all(|client| client.step == Step::Done)
    }

    /// Clients with a key that never got their answer.
    pub fn unfinished_clients(&self) -> Vec<usize> {
        let waiting = |client: &Client| matches!(client.step, Step::Look | Step::Send | Step::Wait);
        let unfinished = self.clients.iter().enumerate().filter(|(_, client)| waiting(client));
        unfinished.map(|(number, _)| number).collect()
    }

    /// What clients were told, by key.
    pub fn acknowledged(&self) -> BTreeMap<String, ExecutionId> {
        let told = self.clients.iter().filter(|client| !client.key.is_empty());
        let told: HashMap<String, ExecutionId> = told
            .filter_map(|client| Some((client.key.clone(), client.told?)))
            .collect();
        told.into_iter().collect()
    }
}
