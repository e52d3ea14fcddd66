//! Slack, Microsoft Teams and Discord.

use nexus_api::notifications::v1::{Discord, Slack, Teams};
use nexus_expr::text::Medium;
use serde_json::{Value, json};

use super::parts::{Order, Post, Unsendable, page};
use crate::credentials::fill;
use crate::texts::{Said, colour, cut, link};

fn said(order: &Order<'_>, medium: Medium) -> Result<Said, Unsendable> {
    Ok(order.templates.say(order.notice, &link(order.notice), medium)?)
}

fn post(order: &Order<'_>, url: &str, body: &Value) -> Result<Post, Unsendable> {
    Ok(Post {
        url: fill(url.trim(), order.values)?,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string(),
    })
}

/// Blocks, and the text that notifications of the desktop show.
pub(super) fn slack(order: &Order<'_>, slack: &Slack) -> Result<Post, Unsendable> {
    let said = said(order, Medium::Slack)?;
    let mut blocks = vec![
        // A header is plain text: nothing means anything in it.
        json!({"type": "header", "text": {"type": "plain_text", "text": cut(&said.subject, 140), "emoji": false}}),
    ];
    if !said.body.is_empty() {
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(&said.body, 2_900)}}));
    }
    if let Some(url) = page(order.notice) {
        let open = json!({"type": "button", "text": {"type": "plain_text", "text": "Open the execution"}, "url": url});
        blocks.push(json!({"type": "actions", "elements": [open]}));
    }
    let text = Medium::Slack.escape(&said.subject);
    post(
        order,
        &slack.url,
        &json!({"text": text, "blocks": blocks, "unfurl_links": false}),
    )
}

/// An adaptive card in the message that a workflow of Teams takes.
pub(super) fn teams(order: &Order<'_>, teams: &Teams) -> Result<Post, Unsendable> {
    let said = said(order, Medium::Markdown)?;
    let colour = match colour(order.notice.event()) {
        0x00c6_2828 => "attention",
        0x00ef_6c00 => "warning",
        0x002e_7d32 => "good",
        _ => "default",
    };
    let title = Medium::Markdown.escape(&said.subject);
    let mut body = vec![json!({
        "type": "TextBlock", "text": title, "weight": "bolder", "size": "medium", "wrap": true, "color": colour,
    })];
    // A card joins lines; two breaks part them.
    let text = cut(&said.body, 8_000).replace('\n', "\n\n");
    body.push(json!({"type": "TextBlock", "text": text, "wrap": true}));
    let actions: Vec<Value> = page(order.notice)
        .map(|url| json!({"type": "Action.OpenUrl", "title": "Open the execution", "url": url}))
        .into_iter()
        .collect();
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body, "actions": actions,
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
    });
    post(
        order,
        &teams.url,
        &json!({"type": "message", "attachments": [attachment]}),
    )
}

/// An embed; nobody is called by what it inserts.
pub(super) fn discord(order: &Order<'_>, discord: &Discord) -> Result<Post, Unsendable> {
    let said = said(order, Medium::Markdown)?;
    let mut embed = json!({
        "title": cut(&Medium::Markdown.escape(&said.subject), 250),
        "description": cut(&said.body, 4_000),
        "color": colour(order.notice.event()),
    });
    if let Some(url) = page(order.notice) {
        embed["url"] = url.into();
    }
    let body = json!({"embeds": [embed], "allowed_mentions": {"parse": []}, "username": "NEXUS"});
    post(order, &discord.url, &body)
}
