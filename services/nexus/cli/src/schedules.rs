//! `nexus schedules`: what starts by itself.

pub(super) mod file;
pub(super) mod next;
mod settings;
mod show;

use nexus_api::scheduling::v1 as api;
use nexus_api::scheduling::v1::scheduling_service_client::SchedulingServiceClient;
use nexus_api::time::timestamp;
use nexus_cli_frame::{CliError, Exit, Output, Page, Standing, Target, output};
use nexus_mesh::Transport;
use nexus_schedule::Zone;
use tonic::{Response, Status};
use uuid::Uuid;

use super::args::{BackfillArgs, Schedules};

const SCHEDULE: &str = "nexus.scheduling.v1.Schedule";
const FIRE: &str = "nexus.scheduling.v1.Fire";
const BACKFILL: &str = "nexus.scheduling.v1.Backfill";

/// The service, and what the commands here share.
struct Client<'a> {
    schedules: SchedulingServiceClient<Transport>,
    standing: Standing,
    output: &'a Output,
}

impl Client<'_> {
    fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, CliError> {
        answer
            .map(Response::into_inner)
            .map_err(|status| self.standing.error(status))
    }
}

pub(super) async fn run(command: Schedules, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut client = Client {
        schedules: SchedulingServiceClient::new(target.ways()?.1),
        standing: Standing::of(target),
        output,
    };
    let client = &mut client;
    match command {
        Schedules::List { workflow, page } => list(workflow, page, client).await?,
        Schedules::Get { schedule } => {
            let answer = client
                .schedules
                .get_schedule(api::GetScheduleRequest { schedule })
                .await;
            let schedule = client.answer(answer)?.schedule.unwrap_or_default();
            show::schedule(&schedule, output)?;
        }
        Schedules::Create {
            schedule,
            settings,
            paused,
        } => {
            let mut wanted = api::Schedule {
                name: schedule,
                paused,
                ..api::Schedule::default()
            };
            settings::lay_over(&mut wanted, &settings)?;
            let request = api::CreateScheduleRequest {
                schedule: Some(wanted),
                request_id: Uuid::new_v4().to_string(),
            };
            let answer = client.schedules.create_schedule(request).await;
            told("created", client.answer(answer)?.schedule, client)?;
        }
        Schedules::Update { schedule, settings } => update(schedule, &settings, client).await?,
        Schedules::Delete { schedule } => {
            let request = api::DeleteScheduleRequest {
                schedule: schedule.clone(),
                ..api::DeleteScheduleRequest::default()
            };
            let answer = client.schedules.delete_schedule(request).await;
            client.answer(answer)?;
            eprintln!("deleted {schedule}");
        }
        Schedules::Fires { schedule, page } => fires(schedule, page, client).await?,
        Schedules::Next(args) => next::of_schedule(args, client).await?,
        Schedules::Backfill(args) => backfill(args, client).await?,
        Schedules::Backfills { schedule, page } => backfills(schedule, page, client).await?,
        Schedules::CancelBackfill { backfill } => {
            let answer = client
                .schedules
                .cancel_backfill(api::CancelBackfillRequest { backfill })
                .await;
            let backfill = client.answer(answer)?.backfill.unwrap_or_default();
            show::backfills(&[backfill], "", client.output)?;
        }
        other => state(other, client).await?,
    }
    Ok(Exit::Ok)
}

/// Pauses, unpauses, triggers.
async fn state(command: Schedules, client: &mut Client<'_>) -> Result<(), CliError> {
    match command {
        Schedules::Pause { schedule, note } => {
            let request = api::PauseScheduleRequest { schedule, note };
            let answer = client.schedules.pause_schedule(request).await;
            told("paused", client.answer(answer)?.schedule, client)
        }
        Schedules::Unpause {
            schedule,
            note,
            catchup,
            dry_run,
        } => {
            let request = api::UnpauseScheduleRequest {
                schedule,
                note,
                catchup: settings::catchup(catchup).into(),
                validate_only: dry_run,
            };
            let answer = client.schedules.unpause_schedule(request).await;
            let answer = client.answer(answer)?;
            eprintln!(
                "{} fires were missed; {} of them {} made up for",
                answer.missed,
                answer.made_up_for,
                if dry_run { "would be" } else { "are" }
            );
            let done = if dry_run { "not changed (dry run)" } else { "unpaused" };
            told(done, answer.schedule, client)
        }
        Schedules::Trigger {
            schedule,
            overlap,
            request_id,
        } => {
            let request = api::TriggerScheduleRequest {
                schedule,
                overlap: settings::overlap(overlap).into(),
                request_id: match request_id.as_str() {
                    "" => Uuid::new_v4().to_string(),
                    _ => request_id,
                },
            };
            let answer = client.schedules.trigger_schedule(request).await;
            let fire = client.answer(answer)?.fire.unwrap_or_default();
            match client.output.is_table() {
                true => show::fires(&[fire], "", client.output),
                false => client.output.message(&fire, FIRE),
            }
        }
        _ => Ok(()),
    }
}

fn told(done: &str, schedule: Option<api::Schedule>, client: &Client<'_>) -> Result<(), CliError> {
    let schedule = schedule.unwrap_or_default();
    if !client.output.is_table() {
        return client.output.message(&schedule, SCHEDULE);
    }
    client
        .output
        .line(&format!("{}: {done}{}", schedule.name, show::next_of(&schedule)))
}

async fn list(workflow: Option<String>, page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = api::ListSchedulesRequest {
        page_size: page.limit,
        page_token: page.page_token,
        filter: workflow.map(|name| format!("workflow = {name:?}")).unwrap_or_default(),
    };
    let answer = client.schedules.list_schedules(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let page = output::page("schedules", &list.schedules, SCHEDULE, &list.next_page_token)?;
        return client.output.value(&page);
    }
    show::schedules(&list.schedules, &list.next_page_token, client.output)
}

async fn update(name: String, settings: &super::args::Settings, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = api::GetScheduleRequest { schedule: name.clone() };
    let answer = client.schedules.get_schedule(request).await;
    let mut wanted = client.answer(answer)?.schedule.unwrap_or_default();
    let etag = std::mem::take(&mut wanted.etag);
    settings::lay_over(&mut wanted, settings)?;
    let request = api::UpdateScheduleRequest {
        name,
        schedule: Some(wanted),
        etag,
    };
    let answer = client.schedules.update_schedule(request).await;
    told("updated", client.answer(answer)?.schedule, client)
}

async fn fires(schedule: String, page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = api::ListFiresRequest {
        schedule,
        page_size: page.limit,
        page_token: page.page_token,
    };
    let answer = client.schedules.list_fires(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let page = output::page("fires", &list.fires, FIRE, &list.next_page_token)?;
        return client.output.value(&page);
    }
    show::fires(&list.fires, &list.next_page_token, client.output)
}

async fn backfill(args: BackfillArgs, client: &mut Client<'_>) -> Result<(), CliError> {
    let utc = Zone::named("").map_err(|error| CliError::Usage(error.to_string()))?;
    let moment = |name: &str, text: &str| {
        let wrong = || {
            CliError::Usage(format!(
                "--{name} takes a time such as 2026-03-29T09:00:00+02:00, not {text:?}"
            ))
        };
        utc.moment(text).map(timestamp).ok_or_else(wrong)
    };
    let request = api::CreateBackfillRequest {
        start_time: Some(moment("from", &args.from)?),
        end_time: Some(moment("to", &args.to)?),
        schedule: args.schedule,
        max_concurrent: args.max_concurrent,
        newest_first: args.newest_first,
        validate_only: args.dry_run,
        request_id: Uuid::new_v4().to_string(),
    };
    let answer = client.schedules.create_backfill(request).await;
    let answer = client.answer(answer)?;
    if !client.output.is_table() {
        return client
            .output
            .message(&answer, "nexus.scheduling.v1.CreateBackfillResponse");
    }
    let backfill = answer.backfill.unwrap_or_default();
    if args.dry_run {
        eprintln!("{} executions would be started (dry run)", backfill.total);
        for time in &answer.first_times {
            client.output.line(&time.to_string())?;
        }
        return Ok(());
    }
    show::backfills(&[backfill], "", client.output)
}

async fn backfills(schedule: Option<String>, page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = api::ListBackfillsRequest {
        schedule: schedule.unwrap_or_default(),
        page_size: page.limit,
        page_token: page.page_token,
    };
    let answer = client.schedules.list_backfills(request).await;
    let list = client.answer(answer)?;
    show::backfills(&list.backfills, &list.next_page_token, client.output)
}
