//! `alerts` → its entries. Input: the checked list. Output: the webhooks, and a warning where a chat's URL is to get our JSON.

use super::fault::Fault;
use super::keys::pipeline::ALERT;
use super::lower::Lowering;
use super::model::{Alert, AlertFormat, AlertKind, Secret};
use super::tree::Node;
use super::units::{Rate, parse_rate};
use super::view::View;

/// Hosts of webhooks that take a format of their own, by the end of the name.
const CHATS: &[(&str, &str)] = &[
    ("hooks.slack.com", "slack"),
    ("chat.googleapis.com", "slack"),
    ("webhook.office.com", "teams"),
    ("logic.azure.com", "teams"),
    ("api.powerplatform.com", "teams"),
];

pub(crate) fn lower(items: &[Node], cx: &mut Lowering<'_>) -> Vec<Alert> {
    let entry = |item: &Node| {
        let view = View::new(Some(item), ALERT, &item.place);
        let webhook = view.text("webhook")?;
        if !view.has("format")
            && let Some(format) = chat(&webhook)
        {
            let message =
                "a chat's webhook without `format` gets Driftgate's own JSON, which it refuses";
            cx.warnings.push(
                Fault::new(view.place("webhook"), "webhook", message).hint(format!(
                    "format: {format}, or format: json where that is meant"
                )),
            );
        }
        let words = view.items("kinds").iter().filter_map(Node::text);
        let kinds: Vec<_> = words.filter_map(kind).collect();
        Some(Alert {
            webhook: Secret::new(webhook),
            format: format(view.scalar("format")),
            kinds: match kinds.is_empty() {
                true => AlertKind::ALL.to_vec(),
                false => kinds,
            },
            after: view.duration("after"),
            dead_letters_above: rate(view.scalar("dead_letters_above")),
            remind_every: view.optional_duration("remind_every"),
        })
    };
    items.iter().filter_map(entry).collect()
}

fn format(word: Option<&str>) -> AlertFormat {
    let all = AlertFormat::ALL.into_iter();
    let mut named = all.filter(|format| word == Some(format.as_str()));
    named.next().unwrap_or(AlertFormat::Json)
}

fn kind(word: &str) -> Option<AlertKind> {
    AlertKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word)
}

/// What does not parse has been reported; the table's default stands in for it.
fn rate(text: Option<&str>) -> Rate {
    text.and_then(|text| parse_rate(text).ok()).unwrap_or(Rate {
        count: 100,
        per: std::time::Duration::from_secs(60),
    })
}

fn chat(webhook: &str) -> Option<&'static str> {
    let url = url::Url::parse(webhook).ok()?;
    let host = url.host_str()?;
    let known = CHATS.iter().find(|(end, _)| {
        let rest = host.strip_suffix(end);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    known.map(|(_, format)| *format)
}
