//! A notice → the body of a POST, in each format. Pure. Texts from outside are escaped, so that no server's answer can
//! mention a channel or pose as a link.

use serde_json::{Value, json};

use super::notice::{From, NAMED, Notice, State};
use crate::config::model::AlertFormat;

/// The body, JSON in every format.
pub(super) fn body(format: AlertFormat, from: &From, notice: &Notice) -> Value {
    match format {
        AlertFormat::Json => json(from, notice),
        AlertFormat::Slack => json!({ "text": slack(from, notice) }),
        AlertFormat::Teams => teams(from, notice),
    }
}

fn json(from: &From, notice: &Notice) -> Value {
    let partitions = notice.partitions.iter();
    let partitions = partitions
        .map(|place| json!({ "topic": place.topic, "partition": place.partition }))
        .collect::<Vec<_>>();
    let mut body = json!({
        "state": notice.state.as_str(),
        "kind": notice.kind(),
        "pipeline": from.pipeline,
        "owner": { "team": from.owner.team, "contact": from.owner.contact },
        "instance": from.instance,
        "id": notice.id(&from.pipeline),
        "reason": notice.reason,
        "text": notice.text,
        "detail": notice.detail,
        "topic": notice.topic,
        "partitions": partitions,
        "partitions_in_all": notice.partitions_in_all,
        "first_seen": timestamp(notice.first_seen),
        "last_seen": timestamp(notice.last_seen),
        "count": notice.count,
        "link": from.link,
    });
    for (name, value) in &notice.details {
        body[name] = value.clone();
    }
    body
}

/// `PAUSED: …`, for a person.
fn title(notice: &Notice) -> String {
    let kind = notice.kind().replace('_', " ");
    let text = &notice.text;
    match notice.state {
        State::Open => format!("{}: {text}", kind.to_uppercase()),
        State::Reminder => format!("{} goes on: {text}", kind.to_uppercase()),
        State::Resolved => format!("Resolved, {kind}: {text}"),
        State::Released => format!(
            "No longer watched by this instance, {kind}: {text}. Whoever has the partitions now tells of them"
        ),
        State::Event => format!("{}: {text}", kind.to_uppercase()),
        State::Test => format!("Test: {text}"),
    }
}

/// What is said below the title, name and text.
fn facts(from: &From, notice: &Notice) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Pipeline", from.pipeline.clone()),
        ("Owner", from.owner.to_string()),
        ("Reason", notice.reason.clone()),
    ];
    let mut add = |name, text: String| {
        if !text.is_empty() {
            facts.push((name, text));
        }
    };
    add("Detail", notice.detail.clone());
    add("Topic", notice.topic.clone().unwrap_or_default());
    // The title names the few.
    if notice.partitions_in_all > 3 {
        add("Partitions", notice.places(NAMED));
    }
    add("First seen", timestamp(notice.first_seen));
    add("Last seen", timestamp(notice.last_seen));
    add("Count", notice.count.to_string());
    add("Instance", from.instance.clone());
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

fn slack(from: &From, notice: &Notice) -> String {
    let mut lines = vec![format!("*{}*", escaped(&title(notice)).replace('*', "∗"))];
    let facts = facts(from, notice);
    lines.extend(
        facts
            .iter()
            .map(|(name, text)| format!("{name}: {}", escaped(text))),
    );
    if let Some(link) = &from.link {
        lines.push(format!("<{}|Console>", escaped(link).replace('|', "%7C")));
    }
    lines.join("\n")
}

/// What Slack wants escaped, and with it every way to mention somebody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Text runs are shown as they are; text blocks would read Markdown in them.
fn teams(from: &From, notice: &Notice) -> Value {
    let run = |text: &str, bold: bool| {
        let weight = if bold { "Bolder" } else { "Default" };
        json!({ "type": "TextRun", "text": text, "weight": weight })
    };
    let block = |inlines: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": inlines });
    let mut blocks = vec![block(vec![run(&title(notice), true)])];
    let facts = facts(from, notice);
    let facts = facts.iter();
    blocks.extend(
        facts.map(|(name, text)| block(vec![run(&format!("{name}: "), true), run(text, false)])),
    );
    let actions: Vec<_> = from
        .link
        .iter()
        .map(|link| json!({ "type": "Action.OpenUrl", "title": "Console", "url": link }))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": blocks,
                "actions": actions,
            },
        }],
    })
}

fn timestamp(millis: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(millis);
    timestamp.map_or_else(|_| millis.to_string(), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests;
