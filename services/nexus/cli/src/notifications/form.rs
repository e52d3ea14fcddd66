//! From flags to channels and rules. Pure.

use std::time::Duration;

use nexus_api::notifications::v1::channel::Kind;
use nexus_api::notifications::v1::email::Security;
use nexus_api::notifications::v1::quiet_hours::Policy;
use nexus_api::notifications::v1::{
    Channel, Discord, Email, Event, PagerDuty, QuietHours, RateLimit, Rule, RunningLong, Slack, Teams, Webhook,
};
use nexus_cli_frame::CliError;

use crate::args::{ChannelArgs, MailSecurity, RuleArgs};
use crate::params;

/// How a secret is named in a channel.
fn secret(name: &str) -> String {
    match name.contains("{{") {
        true => name.to_owned(),
        false => format!("{{{{ secrets.{name} }}}}"),
    }
}

fn span(span: Duration) -> prost_types::Duration {
    nexus_api::time::duration(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

/// A channel as flags say it.
pub(super) fn channel(args: &ChannelArgs) -> Result<Channel, CliError> {
    let kind = if let Some(url) = &args.webhook {
        Kind::Webhook(Webhook {
            url: url.clone(),
            signing_secrets: args.sign.iter().map(|name| secret(name)).collect(),
            headers: args.headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?,
        })
    } else if let Some(name) = &args.slack {
        Kind::Slack(Slack { url: secret(name) })
    } else if let Some(name) = &args.teams {
        Kind::Teams(Teams { url: secret(name) })
    } else if let Some(name) = &args.discord {
        Kind::Discord(Discord { url: secret(name) })
    } else if let Some(name) = &args.pager_duty {
        Kind::PagerDuty(PagerDuty {
            routing_key: secret(name),
            ..PagerDuty::default()
        })
    } else if !args.email.is_empty() {
        Kind::Email(email(args)?)
    } else {
        let problem = "say what kind of channel it is: --webhook, --email, --slack, --teams, --discord or --pager-duty; or \
                       give a file with -f";
        return Err(CliError::Usage(problem.to_owned()));
    };
    Ok(Channel {
        name: args.channel.clone().unwrap_or_default(),
        description: args.description.clone().unwrap_or_default(),
        kind: Some(kind),
        rate_limit: args.rate.as_deref().map(rate).transpose()?,
        ..Channel::default()
    })
}

fn email(args: &ChannelArgs) -> Result<Email, CliError> {
    let smtp = args.smtp.clone().unwrap_or_default();
    // An address of IPv6 with a port stands in brackets.
    let (host, port) = match smtp.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            let number = port.parse::<u16>();
            let number =
                number.map_err(|_| CliError::Usage(format!("--smtp takes HOST or HOST:PORT, not `{smtp}`")))?;
            (host.to_owned(), u32::from(number))
        }
        _ => (smtp, 0),
    };
    let security = match args.security {
        MailSecurity::Starttls => Security::Starttls,
        MailSecurity::Tls => Security::Tls,
        MailSecurity::None => Security::None,
    };
    Ok(Email {
        host,
        port,
        security: security.into(),
        username: args.username.clone().unwrap_or_default(),
        password: args.password.as_deref().map(secret).unwrap_or_default(),
        from: args.from.clone().unwrap_or_default(),
        to: args.email.iter().map(|to| to.trim().to_owned()).collect(),
        reply_to: String::new(),
    })
}

fn header(line: &str) -> Result<(String, String), CliError> {
    let parts = line.split_once(':');
    let (name, value) = parts.ok_or_else(|| CliError::Usage(format!("--header takes NAME: VALUE, not `{line}`")))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn rate(text: &str) -> Result<RateLimit, CliError> {
    let wrong = || CliError::Usage(format!("--rate takes N/SPAN such as 30/1m, not `{text}`"));
    let (messages, period) = text.split_once('/').ok_or_else(wrong)?;
    let period = nexus_cli_frame::time::parse_span(period).map_err(|_| wrong())?;
    Ok(RateLimit {
        messages: messages.parse().map_err(|_| wrong())?,
        period: Some(span(period)),
        excess: 0,
    })
}

/// A rule as flags say it.
pub(super) fn rule(args: &RuleArgs) -> Result<Rule, CliError> {
    let event = |word: &String| {
        let name = word.trim().to_ascii_uppercase().replace('-', "_");
        let known = Event::from_str_name(&name).filter(|event| *event != Event::Unspecified);
        let wrong = || {
            CliError::Usage(format!(
                "there is no event `{word}`; `nexus rules create --help` has them"
            ))
        };
        known.map(i32::from).ok_or_else(wrong)
    };
    let long = args.longer_than.is_some() || args.times_median.is_some();
    Ok(Rule {
        name: args.rule.clone().unwrap_or_default(),
        description: args.description.clone().unwrap_or_default(),
        events: args.on.iter().map(event).collect::<Result<_, _>>()?,
        workflows: args.workflows.clone(),
        labels: params::labels(&args.labels)?,
        condition: args.condition.clone().unwrap_or_default(),
        channels: args.channels.clone(),
        running_long: long.then(|| RunningLong {
            after: args.longer_than.map(span),
            times_median: args.times_median.unwrap_or_default(),
        }),
        quiet_hours: args.quiet.as_deref().map(|hours| quiet(hours, args)).transpose()?,
        group_window: args.group.map(span),
        ..Rule::default()
    })
}

fn quiet(hours: &str, args: &RuleArgs) -> Result<QuietHours, CliError> {
    let wrong = || CliError::Usage(format!("--quiet takes FROM-TO such as 22:00-07:00, not `{hours}`"));
    let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
    let policy = if args.quiet_drop { Policy::Drop } else { Policy::Hold };
    Ok(QuietHours {
        zone: args.zone.clone().unwrap_or_default(),
        days: Vec::new(),
        from: from.trim().to_owned(),
        to: to.trim().to_owned(),
        policy: policy.into(),
    })
}
