//! `nexus rules`.

use nexus_api::notifications::v1::{
    CreateRuleRequest, DeleteRuleRequest, GetRuleRequest, ListRulesRequest, Rule, UpdateRuleRequest,
};
use nexus_cli_frame::{CliError, Exit, Output, Page, Target, output, table, time};

use super::client::{Client, facts, from_file};
use super::form;
use crate::args::{RuleArgs, Rules};

const RULE: &str = "nexus.notifications.v1.Rule";

pub(crate) async fn run(command: Rules, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut client = Client::new(target, output)?;
    match command {
        Rules::List { page } => list(page, &mut client).await?,
        Rules::Get { rule } => {
            let answer = client.service.get_rule(GetRuleRequest { rule }).await;
            show(&client.answer(answer)?.rule.unwrap_or_default(), output)?;
        }
        Rules::Create(args) => {
            let request = CreateRuleRequest {
                rule: Some(wanted(&args)?),
                request_id: uuid::Uuid::new_v4().to_string(),
            };
            let answer = client.service.create_rule(request).await;
            told(&client.answer(answer)?.rule.unwrap_or_default(), "created", output)?;
        }
        Rules::Update(args) => {
            let rule = wanted(&args)?;
            let request = UpdateRuleRequest {
                name: rule.name.clone(),
                etag: rule.etag.clone(),
                rule: Some(rule),
            };
            let answer = client.service.update_rule(request).await;
            told(&client.answer(answer)?.rule.unwrap_or_default(), "changed", output)?;
        }
        Rules::Delete { rule } => {
            let request = DeleteRuleRequest {
                rule: rule.clone(),
                etag: String::new(),
            };
            let answer = client.service.delete_rule(request).await;
            client.answer(answer)?;
            eprintln!("deleted {rule}");
        }
    }
    Ok(Exit::Ok)
}

fn wanted(args: &RuleArgs) -> Result<Rule, CliError> {
    let Some(file) = &args.file else {
        return form::rule(args);
    };
    let mut rule: Rule = from_file(file, RULE)?;
    if let Some(name) = &args.rule {
        rule.name.clone_from(name);
    }
    Ok(rule)
}

fn events(rule: &Rule) -> String {
    let names: Vec<String> = rule
        .events()
        .map(|event| event.as_str_name().to_ascii_lowercase())
        .collect();
    names.join(", ")
}

fn workflows(rule: &Rule) -> String {
    match rule.workflows.is_empty() {
        true => "all".to_owned(),
        false => rule.workflows.join(", "),
    }
}

async fn list(page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = ListRulesRequest {
        page_size: page.limit,
        page_token: page.page_token,
    };
    let answer = client.service.list_rules(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let page = output::page("rules", &list.rules, RULE, &list.next_page_token)?;
        return client.output.value(&page);
    }
    let row = |rule: &Rule| {
        vec![
            rule.name.clone(),
            table::cut(&events(rule), 50),
            table::cut(&workflows(rule), 40),
            table::cut(&rule.channels.join(", "), 40),
            if rule.disabled {
                "disabled".to_owned()
            } else {
                String::new()
            },
        ]
    };
    let rows: Vec<Vec<String>> = list.rules.iter().map(row).collect();
    client.output.raw(&table::render(
        &["RULE", "EVENTS", "WORKFLOWS", "CHANNELS", "STATE"],
        &rows,
    ))?;
    output::more(&list.next_page_token);
    Ok(())
}

fn show(rule: &Rule, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(rule, RULE);
    }
    let span = |span: &prost_types::Duration| time::span(nexus_api::time::duration_micros(span));
    let quiet = rule
        .quiet_hours
        .as_ref()
        .map(|hours| format!("{} to {} {}", hours.from, hours.to, hours.zone));
    facts(
        output,
        &[
            ("rule", rule.name.clone()),
            ("namespace", rule.namespace.clone()),
            ("events", events(rule)),
            ("workflows", workflows(rule)),
            ("labels", table::labels(&rule.labels)),
            ("condition", rule.condition.clone()),
            ("channels", rule.channels.join(", ")),
            ("group window", rule.group_window.as_ref().map(span).unwrap_or_default()),
            ("quiet hours", quiet.unwrap_or_default()),
            ("disabled", if rule.disabled { "yes".to_owned() } else { String::new() }),
            ("description", rule.description.clone()),
            ("created", time::point(rule.create_time.as_ref())),
            ("creator", rule.creator.clone()),
            ("updated", time::point(rule.update_time.as_ref())),
            ("updater", rule.updater.clone()),
        ],
    )
}

fn told(rule: &Rule, done: &str, output: &Output) -> Result<(), CliError> {
    match output.is_table() {
        true => output.line(&format!("{done} {}", rule.name)),
        false => output.message(rule, RULE),
    }
}
