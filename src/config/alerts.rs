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
            when: view.node("when").map(super::view::placed),
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::load::{Loaded, load_text};
    use crate::config::{diagnose, redacted};

    const CANARY: &str = "CANARY";

    fn load(alerts: &str) -> Result<Loaded, Vec<Fault>> {
        let text = format!(
            "pipelines:\n  p:\n    owner: {{ team: t }}\n    source: {{ topics: [orders] }}\n    \
             contract: {{ subject: orders-value }}\n    sink: {{ topic: out, subject: s }}\n{alerts}"
        );
        load_text(&text, "driftgate.yaml", Path::new("."), &|_| None)
    }

    fn loaded(alerts: &str) -> Loaded {
        load(alerts).unwrap_or_else(|faults| panic!("{}", diagnose::render(&faults, false)))
    }

    #[test]
    fn an_entry_is_read_with_its_defaults() {
        let loaded = loaded(
            "    alerts:\n      - webhook: http://a/CANARY?b=CANARY\n      - { webhook: http://b/CANARY, \
             format: slack, kinds: [drift, breaker], after: 0s, dead_letters_above: 5/h, remind_every: 4h, when: 'partitions > 1' }\n",
        );
        let [first, second] = loaded.config.pipelines[0].alerts.as_slice() else {
            panic!("two entries");
        };
        let per = |count, secs| Rate {
            count,
            per: Duration::from_secs(secs),
        };
        assert_eq!(first.webhook.expose(), "http://a/CANARY?b=CANARY");
        assert_eq!(first.format, AlertFormat::Json);
        assert_eq!(first.kinds, AlertKind::ALL);
        assert_eq!(first.after, Duration::from_secs(10));
        assert_eq!(first.dead_letters_above, per(100, 60));
        assert_eq!(first.remind_every, None);
        assert!(first.when.is_none());
        assert_eq!(second.format, AlertFormat::Slack);
        assert_eq!(second.kinds, [AlertKind::Drift, AlertKind::Breaker]);
        let when = second.when.as_ref().expect("a condition");
        assert_eq!(when.value, "partitions > 1");
        assert_eq!(when.place.line, 9);
        assert_eq!(second.after, Duration::ZERO);
        assert_eq!(second.dead_letters_above, per(5, 3600));
        assert_eq!(second.remind_every, Some(Duration::from_secs(4 * 3600)));
        assert!(loaded.warnings.is_empty() && loaded.advice.is_empty());
        let shown = redacted(&loaded.config);
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(
            shown.contains("alerts.2 = webhook [redacted], format slack, after 0s"),
            "{shown}"
        );
        assert!(!format!("{:?}", loaded.config).contains(CANARY));
    }

    #[test]
    fn faults_say_what_and_where_and_show_no_url() {
        let rows = [
            ("{ format: json }", "webhook"),
            ("{ webhook: CANARY }", "not a URL"),
            ("{ webhook: ftp://CANARY }", "not an HTTP URL"),
            ("{ webhook: http://CANARY, format: discord }", "json"),
            (
                "{ webhook: http://CANARY, kinds: [paused, dirft] }",
                "drift",
            ),
            (
                "{ webhook: http://CANARY, dead_letters_above: 100 }",
                "not a rate",
            ),
            (
                "{ webhook: http://CANARY, dead_letters_above: 100/1m }",
                "not a rate",
            ),
            ("{ webhook: http://CANARY, after: 2h }", "1h"),
            ("{ webhook: http://CANARY, remind_every: 5s }", "1m"),
            ("{ webhook: http://CANARY, every: 5s }", "unknown key"),
        ];
        for (entry, says) in rows {
            let faults = load(&format!("    alerts: [ {entry} ]\n")).expect_err(entry);
            let shown = diagnose::render(&faults, false);
            assert!(
                shown.contains("driftgate.yaml:7:") && shown.contains(says),
                "{entry}\n{shown}"
            );
            assert_eq!(faults.len(), 1, "{shown}");
            assert!(!shown.contains(CANARY), "{shown}");
        }
    }

    #[test]
    fn a_chat_without_a_format_and_a_pipeline_without_alerts_are_warned_of() {
        let rows = [
            (
                "https://hooks.slack.com/services/CANARY",
                Some("format: slack"),
            ),
            (
                "https://chat.googleapis.com/v1/CANARY",
                Some("format: slack"),
            ),
            (
                "https://prod-1.westeurope.logic.azure.com:443/CANARY",
                Some("format: teams"),
            ),
            ("https://a.webhook.office.com/CANARY", Some("format: teams")),
            ("https://nothooks.slack.com.example/CANARY", None),
            ("https://alerts.example/CANARY", None),
        ];
        for (url, hint) in rows {
            let warnings = loaded(&format!("    alerts: [ {{ webhook: \"{url}\" }} ]\n")).warnings;
            let shown = diagnose::render_warnings(&warnings, false);
            assert_eq!(
                warnings.len(),
                usize::from(hint.is_some()),
                "{url}: {shown}"
            );
            assert!(shown.contains(hint.unwrap_or_default()), "{url}: {shown}");
            assert!(!shown.contains(CANARY), "{shown}");
            let said = format!("    alerts: [ {{ webhook: \"{url}\", format: json }} ]\n");
            assert_eq!(loaded(&said).warnings, [], "where it is said, it is meant");
        }
        let advice = loaded("").advice;
        assert!(
            advice[0].message.contains("`p` has no alerts"),
            "{advice:?}"
        );
        assert_eq!(advice[0].place.line, 2);
        assert_eq!(
            loaded("    alerts: []\n").advice,
            [],
            "that is said on purpose"
        );
    }
}
