//! The configuration for the start-up log: one line a value, as the process understood it, without a secret.

use std::fmt::Write as _;

use super::model::*;
use super::source::{is_secret_name, strip_userinfo};
use super::units::{format_duration, format_ratio, format_size};

const REDACTED: &str = "[redacted]";

/// One `key = value` line a value. No password, token or secret stands in it, nor what is behind the `?` of a URL.
pub fn redacted(config: &Config) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a String does not fail.
        let _infallible = writeln!(out, "{key} = {}", value.replace(char::is_control, " "));
    };
    let kafka = &config.kafka;
    line(
        "kafka.bootstrap_servers",
        &strip_userinfo(&kafka.bootstrap_servers),
    );
    for (name, value) in &kafka.properties {
        let value = if is_secret_name(name) {
            REDACTED.to_owned()
        } else {
            strip_userinfo(value.expose())
        };
        line(&format!("kafka.properties.{name}"), &value);
    }
    if let Some(id) = &kafka.group_instance_id {
        line("kafka.group_instance_id", id);
    }
    let registry = &config.registry;
    line("registry.url", &bare_url(&registry.url));
    match &registry.auth {
        RegistryAuth::None => line("registry.auth", "none"),
        RegistryAuth::Basic { username, .. } => {
            line("registry.auth.basic.username", username);
            line("registry.auth.basic.password", REDACTED);
        }
        RegistryAuth::Bearer { .. } => line("registry.auth.bearer.token", REDACTED),
    }
    let tls = &registry.tls;
    for (name, path) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
        if let Some(path) = path {
            line(
                &format!("registry.auth.tls.{name}"),
                &path.display().to_string(),
            );
        }
    }
    line("registry.timeout", &format_duration(registry.timeout));
    if let Some(folder) = &registry.cache_dir {
        line("registry.cache_dir", &folder.display().to_string());
    }
    match config.admin.listen {
        Some(address) => line("admin.listen", &address.to_string()),
        None => line("admin.listen", "off"),
    }
    if config.admin.token.is_some() {
        line("admin.token", REDACTED);
    }
    if let Some(url) = &config.admin.public_url {
        line("admin.public_url", &bare_url(url));
    }
    line("memory_limit", &format_size(config.memory_limit));
    if let Some(folder) = &config.state_dir {
        line("state_dir", &folder.display().to_string());
    }
    line("shutdown_grace", &format_duration(config.shutdown_grace));
    for pipeline in &config.pipelines {
        pipeline_lines(pipeline, &mut line);
    }
    out
}

fn pipeline_lines(pipeline: &Pipeline, line: &mut dyn FnMut(&str, &str)) {
    let prefix = format!("pipelines.{}", pipeline.name);
    let mut line = |key: &str, value: &str| line(&format!("{prefix}.{key}"), value);
    line("owner", &pipeline.owner.to_string());
    line("group", &pipeline.group);
    line("workers", &pipeline.workers.to_string());
    line("delivery", delivery(pipeline.delivery));
    if let Delivery::ExactlyOnce(transaction) = pipeline.delivery {
        line(
            "transaction.interval",
            &format_duration(transaction.interval),
        );
        line("transaction.records", &transaction.records.to_string());
        line("transaction.timeout", &format_duration(transaction.timeout));
    }
    line("provenance", provenance(pipeline.provenance));
    line("create_topics", &pipeline.create_topics.to_string());
    line("source.topics", &pipeline.source_topics.join(", "));
    line("contract", &schema(&pipeline.contract.schema));
    let drift = &pipeline.contract.drift;
    for (class, action) in [
        ("added_optional", drift.added_optional),
        ("removed", drift.removed),
        ("type_changed", drift.type_changed),
        ("unit_changed", drift.unit_changed),
        ("unknown_subject", drift.unknown_subject),
    ] {
        line(&format!("contract.drift.{class}"), action.as_str());
    }
    for (index, alert) in pipeline.alerts.iter().enumerate() {
        line(&format!("alerts.{}", index + 1), &alert_text(alert));
    }
    if let Some(rules) = &pipeline.contract.rules {
        line("contract.rules", &rules.display().to_string());
    }
    if let Some(baseline) = &pipeline.contract.baseline {
        line("contract.baseline", &baseline.display().to_string());
        let window = format_duration(pipeline.contract.drift_window);
        line("contract.drift_window", &window);
    }
    if let Some(key) = &pipeline.contract.key {
        line("contract.key", &schema(&key.schema));
        line("contract.key.required", &key.required.to_string());
    }
    if let Some(dedup) = &pipeline.dedup {
        let lines = kept_lines(&dedup.by, dedup.kept, &dedup.then, "dedup_key");
        lines.for_each(|(name, value)| line(&format!("dedup.{name}"), &value));
    }
    if let Some(stale) = &pipeline.stale {
        line("stale.by", &stale.version.value);
        let lines = kept_lines(&stale.by, stale.kept, &stale.then, "stale_key");
        let lines = lines.filter(|(name, _)| *name != "by");
        lines.for_each(|(name, value)| line(&format!("stale.{name}"), &value));
        if let Some(reorder) = stale.reorder {
            line("stale.reorder.wait", &format_duration(reorder.wait));
            line(
                "stale.reorder.max_records",
                &reorder.max_records.to_string(),
            );
        }
    }
    if let Some(ownership) = &pipeline.ownership {
        let by = match &ownership.by {
            SourceBy::Topic => "topic".to_owned(),
            SourceBy::Header(name) => format!("header {}", name.value),
            SourceBy::Field(text) => format!("field {}", text.value),
        };
        line("ownership.by", &by);
        for NamedSource { found, name } in &ownership.names {
            line(&format!("ownership.names.{}", found.value), &name.value);
        }
        line("ownership.then", ownership.then.as_str());
    }
    let before = pipeline.prepare.iter().map(|step| (step, " before rules"));
    let after = pipeline.transform.iter().map(|step| (step, ""));
    for (index, (step, when)) in before.chain(after).enumerate() {
        let text = format!("{}{when}", step_text(step));
        line(&format!("transform.{}", index + 1), &text);
    }
    for (name, _) in &pipeline.secrets {
        line(&format!("secrets.{name}"), REDACTED);
    }
    line("sink.topic", &pipeline.sink.topic);
    line("sink.schema", &schema(&pipeline.sink.schema));
    line("sink.subject", &pipeline.sink.subject);
    line(
        "sink.auto_register",
        &pipeline.sink.auto_register.to_string(),
    );
    line(
        "contract.drift.pause_above",
        &ratio_limit(&pipeline.contract.quarantine_above),
    );
    let failure = &pipeline.failure;
    let tiers: Vec<String> = failure
        .tiers
        .iter()
        .map(|delay| format_duration(*delay))
        .collect();
    line("failure.retry.tiers", &format!("[{}]", tiers.join(", ")));
    line("failure.retry.jitter", &format_ratio(failure.jitter));
    line("failure.retry.budget", &format_duration(failure.budget));
    let attempts = failure.attempts;
    let attempts = attempts.map_or_else(|| "by tiers and budget".to_owned(), |n| n.to_string());
    line("failure.retry.attempts", &attempts);
    for (reason, special) in &failure.reasons {
        let name = format!("failure.retry.reasons.{}", reason.as_str());
        line(&name, &override_text(failure, special));
    }
    match &failure.per_key {
        None => line("failure.retry.ordering", "none"),
        Some(per_key) => {
            line("failure.retry.ordering", "per_key");
            line("failure.retry.on_dead", per_key.on_dead.as_str());
            line(
                "failure.retry.max_parked_keys",
                &per_key.max_keys.to_string(),
            );
            line(
                "failure.retry.max_parked_records",
                &per_key.max_records.to_string(),
            );
        }
    }
    if let Some(topic) = &failure.dead_letter.topic {
        line("failure.dead_letter.topic", topic);
    }
    line(
        "failure.dead_letter.retention",
        &failure
            .dead_letter
            .retention
            .map_or("for ever".to_owned(), format_duration),
    );
    let dialects = failure.dead_letter.headers.iter();
    let dialects: Vec<&str> = dialects.map(|dialect| dialect.as_str()).collect();
    line(
        "failure.dead_letter.headers",
        &format!("[{}]", dialects.join(", ")),
    );
    let never = || "never".to_owned();
    let above = failure.dead_letter.pause_above.as_ref();
    let above = above.map_or_else(never, ratio_limit);
    line("failure.dead_letter.pause_above", &above);
    let after = failure.dead_letter.pause_after;
    let after = after.map_or_else(never, |count| count.to_string());
    line("failure.dead_letter.pause_after", &after);
}

fn override_text(failure: &Failure, special: &Override) -> String {
    if !special.retry {
        return "dead_letter".to_owned();
    }
    let all: Vec<usize> = (0..failure.tiers.len()).collect();
    let tiers = if special.tiers.is_empty() {
        &all
    } else {
        &special.tiers
    };
    let tiers = tiers.iter().filter_map(|tier| failure.tiers.get(*tier));
    let tiers: Vec<String> = tiers.map(|delay| format_duration(*delay)).collect();
    let attempts = special.attempts;
    let attempts = attempts.map_or_else(String::new, |n| format!(", {n} attempts"));
    format!("retry on [{}]{attempts}", tiers.join(", "))
}

fn alert_text(alert: &Alert) -> String {
    let kinds: Vec<_> = alert.kinds.iter().map(|kind| kind.as_str()).collect();
    let when = alert.when.as_ref();
    let when = when.map_or(String::new(), |when| format!(", when {}", when.value));
    format!(
        "webhook {REDACTED}, format {}, after {}, dead_letters_above {}, remind_every {}, kinds {}{when}",
        alert.format.as_str(),
        format_duration(alert.after),
        alert.dead_letters_above,
        alert
            .remind_every
            .map_or("never".to_owned(), format_duration),
        kinds.join(" ")
    )
}

fn ratio_limit(limit: &RatioLimit) -> String {
    format!(
        "{{ ratio: {}, window: {}, at_least: {} }}",
        format_ratio(limit.ratio),
        format_duration(limit.window),
        limit.at_least
    )
}

/// `asserted` is the word for keys that say by themselves which partition they are in.
fn kept_lines(
    by: &KeyBy,
    kept: Kept,
    then: &Then,
    asserted: &str,
) -> impl Iterator<Item = (&'static str, String)> {
    let mut lines = Vec::new();
    match by {
        KeyBy::RecordKey => lines.push(("by", "record_key".to_owned())),
        KeyBy::Content => lines.push(("by", "content".to_owned())),
        KeyBy::Expression {
            text,
            with_record_key,
        } => {
            lines.push(("key", text.value.clone()));
            let by = if *with_record_key {
                "record_key"
            } else {
                asserted
            };
            lines.push(("partitioned_by", by.to_owned()));
        }
    }
    let window = kept.window.map(format_duration);
    lines.extend(window.map(|window| ("window", window)));
    lines.push(("max_keys", kept.max_keys.to_string()));
    let store = if kept.on_disk { "disk" } else { "memory" };
    lines.push(("store", store.to_owned()));
    let missing = if kept.begin_empty {
        "begin_empty"
    } else {
        "refuse"
    };
    lines.push(("on_missing_state", missing.to_owned()));
    lines.push(("then", then.as_str().to_owned()));
    let topic = then.topic().map(|topic| topic.value.clone());
    lines.extend(topic.map(|topic| ("topic", topic)));
    lines.into_iter()
}

/// The word of the file.
pub(crate) fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::AtLeastOnce => "at_least_once",
        Delivery::ExactlyOnce(_) => "exactly_once",
    }
}

/// The word of the file.
pub(crate) fn provenance(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::None => "none",
        Provenance::Ledger => "ledger",
        Provenance::Header => "header",
    }
}

fn schema(source: &SchemaSource) -> String {
    match source {
        SchemaSource::File { path } => path.display().to_string(),
        SchemaSource::Subject { subject, version } => match version {
            Some(version) => format!("subject {subject}, version {version}"),
            None => format!("subject {subject}, latest"),
        },
    }
}

fn step_text(step: &Step) -> String {
    let names = |pairs: &[(Placed<String>, Placed<String>)]| {
        let names: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{}: {}", name.value, value.value))
            .collect();
        names.join(", ")
    };
    let list = |fields: &[Placed<String>]| {
        let names: Vec<_> = fields.iter().map(|field| field.value.as_str()).collect();
        names.join(", ")
    };
    match step {
        Step::Set(pairs) => format!("set {}", names(pairs)),
        Step::Filter(expression) => format!("filter {}", expression.value),
        Step::Rename(pairs) => format!("rename {}", names(pairs)),
        Step::Cast(pairs) => format!("cast {}", names(pairs)),
        Step::Drop(fields) => format!("drop {}", list(fields)),
        Step::Move(pairs) => format!("move {}", names(pairs)),
        Step::Keep(fields) => format!("keep {}", list(fields)),
        Step::Default(pairs) => format!("default {}", names(pairs)),
        Step::Flatten {
            field,
            prefix,
            separator,
        } => match prefix {
            Some(prefix) => format!("flatten {} with prefix `{prefix}`", field.value),
            None => format!("flatten {} with separator `{separator}`", field.value),
        },
        Step::Nest { into, fields } => format!("nest {} into {}", list(fields), into.value),
        Step::Explode { field, into } => match into {
            Some(into) => format!("explode {} into {}", field.value, into.value),
            None => format!("explode {}", field.value),
        },
        Step::Header(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, value)| {
                    let value = value.as_ref().map_or("null", |value| value.value.as_str());
                    format!("{}: {value}", name.value)
                })
                .collect();
            format!("header {}", entries.join(", "))
        }
        Step::Key(expression) => format!("key {}", expression.value),
        Step::Timestamp(expression) => format!("timestamp {}", expression.value),
        Step::Route(arms) => {
            let arms: Vec<_> = arms
                .iter()
                .map(|arm| {
                    let when = arm.when.as_ref();
                    let when =
                        when.map_or("else".to_owned(), |when| format!("when {}", when.value));
                    let sink = &arm.sink;
                    format!("{when} to {} with {}", sink.topic, schema(&sink.schema))
                })
                .collect();
            format!("route {}", arms.join(", "))
        }
        Step::Mask { field, with } => {
            let with = match with {
                Mask::Sha256 => "sha256",
                Mask::Hmac(_) => "hmac",
                Mask::Fixed(_) => "fixed",
                Mask::Last4 => "last4",
            };
            format!("mask {} with {with}", field.value)
        }
        Step::Native(native) => {
            let names = native.params.iter().map(|(name, _)| name.value.as_str());
            match names.collect::<Vec<_>>().join(", ") {
                names if names.is_empty() => format!("native {}", native.name.value),
                names => format!("native {} with {names}", native.name.value),
            }
        }
        Step::MapValues(table) => format!(
            "map_values {} by {} values, otherwise {}",
            table.field.value,
            table.values.len(),
            match table.otherwise {
                Otherwise::DeadLetter => "dead_letter",
                Otherwise::Keep => "keep",
                Otherwise::Null => "null",
            }
        ),
        Step::Lookup(lookup) => {
            let into = &lookup.into.value;
            match &lookup.from {
                LookupSource::Topic(topic) => format!(
                    "lookup {into} from topic {} by {}, at most {}",
                    topic.topic,
                    topic.key.value,
                    format_size(topic.max)
                ),
                LookupSource::Http(http) => {
                    let url = bare_url(&http.url.value);
                    let timeout = format_duration(http.timeout);
                    let mut text = format!("lookup {into} from {url} within {timeout}");
                    if let Some(limit) = http.limit {
                        text.push_str(&format!(", limit {limit}"));
                    }
                    if let Some(cache) = http.cache {
                        let (ttl, max) = (format_duration(cache.ttl), format_size(cache.max));
                        text.push_str(&format!(", cache {ttl} in {max}"));
                    }
                    for (name, _) in &http.headers {
                        text.push_str(&format!(", header {name} {REDACTED}"));
                    }
                    text
                }
            }
        }
    }
}

/// Without user name, password and query, any of which may be a credential.
pub(crate) fn bare_url(url: &str) -> String {
    let bare = strip_userinfo(url);
    match bare.split_once('?') {
        Some((path, _)) => format!("{path}?…"),
        None => bare,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::redacted;
    use crate::config::load::load_text;

    /// And what was dropped as a copy of what.
    #[test]
    fn what_decides_about_copies_is_shown() {
        let text = "pipelines:\n  p:\n    owner: { team: t }\n    source: { topics: [orders] }\n    contract: { subject: a }\n    \
                    sink: { topic: out, subject: a }\n    dedup: { key: id, partitioned_by: dedup_key, window: 24h, max_keys: 9 }\n    stale: { by: at, then: topic, topic: late, window: 1h }\n";
        let loaded = load_text(text, "driftgate.yaml", Path::new(""), &|_| None);
        let shown = redacted(&loaded.expect("it fits").config);
        for line in [
            "dedup.key = id",
            "dedup.partitioned_by = dedup_key",
            "dedup.window = 24h",
            "dedup.max_keys = 9",
            "dedup.store = memory",
            "dedup.on_missing_state = refuse",
            "dedup.then = drop",
            "stale.by = at",
            "stale.window = 1h",
            "stale.max_keys = 1000000",
            "stale.store = memory",
            "stale.on_missing_state = refuse",
            "stale.then = topic",
            "stale.topic = late",
        ] {
            assert!(
                shown.contains(&format!("pipelines.p.{line}\n")),
                "{line}: {shown}"
            );
        }
    }

    /// Whoever reads a log has to see by which rules records were retried.
    #[test]
    fn what_decides_about_retries_is_shown() {
        let check = |retry: &str, expect: &[&str]| {
            let text = format!(
                "pipelines:\n  p:\n    owner: {{ team: t }}\n    source: {{ topics: [orders] }}\n    \
                 contract: {{ subject: orders-value }}\n    sink: {{ topic: out, subject: s }}\n    \
                 failure: {{ retry: {retry} }}\n"
            );
            let loaded = load_text(&text, "driftgate.yaml", Path::new("."), &|_| None);
            let shown = redacted(&loaded.expect("a configuration").config);
            for line in expect {
                let line = format!("pipelines.p.failure.retry.{line}");
                assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
            }
        };
        check(
            "{ tiers: [5s] }",
            &["ordering = none", "attempts = by tiers and budget"],
        );
        check(
            "{ tiers: [5s, 1m], ordering: per_key, on_dead: park, max_parked_keys: 7, max_parked_records: 8, attempts: 9, \
             reasons: { unknown_schema: dead_letter, lookup_not_found: retry, lookup_unavailable: { tiers: [1m], \
             attempts: 3 } } }",
            &[
                "ordering = per_key",
                "on_dead = park",
                "max_parked_keys = 7",
                "max_parked_records = 8",
                "attempts = 9",
                "reasons.unknown_schema = dead_letter",
                "reasons.lookup_not_found = retry on [5s, 1m]",
                "reasons.lookup_unavailable = retry on [1m], 3 attempts",
            ],
        );
    }
}
