//! The checked tree → [`Config`], and what several keys mean together. Input: the tree, whatever its faults. Output: a
//! configuration, which counts only if no fault was found, here or before.

use std::path::Path;

use super::alerts;
use super::dedup;
use super::fault::Fault;
use super::keys::{Key, RATIO_LIMIT, main, pipeline};
use super::model::*;
use super::ownership;
use super::retry;
use super::scalar::parse_listen;
use super::stale;
use super::steps;
use super::topics;
use super::tree::{Body, Node, Tree};
use super::units::parse_ratio_in;
use super::view::{View, placed};

/// What lowering adds to.
pub(crate) struct Lowering<'a> {
    /// What relative paths are resolved against.
    pub(crate) base: &'a Path,
    /// False when a syntax error hides the rest of the file.
    pub(crate) complete: bool,
    /// Whether there is a `state_dir`.
    pub(crate) has_state_dir: bool,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    /// Warnings that `check` alone tells.
    pub(crate) advice: Vec<Fault>,
}

/// Reads the whole tree.
pub(crate) fn lower(tree: &Tree, file: &str, cx: &mut Lowering<'_>) -> Config {
    let start = Place {
        file: file.to_owned(),
        line: 1,
        column: 1,
    };
    let root = View::new(tree.root.as_ref(), main::ROOT, &start);
    cx.has_state_dir = root.has("state_dir");
    let pipelines = root.node("pipelines").map_or(&[][..], Node::entries);
    let pipelines: Vec<(Pipeline, &Node)> = pipelines
        .iter()
        .filter(|entry| !entry.duplicate)
        .filter_map(|entry| {
            let name = entry.key.text()?;
            let view = View::new(Some(&entry.value), pipeline::PIPELINE, &entry.key.place);
            Some((pipeline(name, view, cx), &entry.value))
        })
        .collect();
    topics::check(&pipelines, &mut cx.faults);
    Config {
        kafka: kafka(root.map("kafka"), cx),
        registry: registry(root.map("registry"), cx),
        admin: admin(root.map("admin"), cx),
        memory_limit: root.size("memory_limit"),
        state_dir: root.path("state_dir", cx.base),
        shutdown_grace: root.duration("shutdown_grace"),
        pipelines: pipelines
            .into_iter()
            .map(|(pipeline, _)| pipeline)
            .collect(),
    }
}

fn kafka(view: View<'_>, cx: &mut Lowering<'_>) -> Kafka {
    let entries = view.node("properties").map_or(&[][..], Node::entries);
    let mut properties = std::collections::BTreeMap::new();
    for entry in entries {
        if let (Some(name), Some(value)) = (entry.key.text(), entry.value.text()) {
            properties.insert(name.to_owned(), Secret::new(value));
        }
    }
    let protocol = properties
        .get("security.protocol")
        .map(|value| value.expose().to_ascii_uppercase());
    let needs = |prefix: &str, protocols: &[&str]| {
        let first = entries.iter().find(|entry| {
            entry
                .key
                .text()
                .is_some_and(|name| name.starts_with(prefix))
        })?;
        let fits = protocol
            .as_deref()
            .is_some_and(|protocol| protocols.contains(&protocol));
        (!fits).then_some(first)
    };
    // librdkafka takes both in silence and then talks plaintext.
    for (prefix, protocols) in [
        ("sasl.", ["SASL_SSL", "SASL_PLAINTEXT"]),
        ("ssl.", ["SSL", "SASL_SSL"]),
    ] {
        if let Some(entry) = needs(prefix, &protocols) {
            let message = format!(
                "`{prefix}*` has no effect without `security.protocol: {}`",
                protocols[0]
            );
            cx.warnings
                .push(Fault::new(&entry.key.place, &entry.key.raw, message));
        }
    }
    let bootstrap_servers = view.text("bootstrap_servers").unwrap_or_default();
    for server in bootstrap_servers.split(',').map(str::trim) {
        let place = view.value_place("bootstrap_servers");
        let address = server.split_once("://").map_or(server, |(_, rest)| rest);
        // What stands in the brackets of an IPv6 address is no port.
        let bare = address.rsplit_once(']').map_or(address, |(_, rest)| rest);
        match bare.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
            _ if bootstrap_servers.is_empty() => {}
            _ if address.is_empty() => {
                let message = "a broker's address is empty here";
                cx.faults
                    .push(Fault::new(place, "", message).hint("host:port, separated by commas"));
            }
            Some(Ok(1..)) => {}
            Some(_) => {
                let message = format!("`{address}` has no port between 1 and 65535");
                cx.faults
                    .push(Fault::new(place, "", message).hint("host:port, separated by commas"));
            }
            None => {
                let message = format!("`{address}` has no port, so it is 9092");
                cx.warnings
                    .push(Fault::new(place, "", message).hint(format!("write {address}:9092")));
            }
        }
    }
    Kafka {
        bootstrap_servers,
        properties,
        group_instance_id: view.text("group_instance_id"),
    }
}

fn registry(view: View<'_>, cx: &mut Lowering<'_>) -> Registry {
    let auth = view.map("auth");
    let (basic, bearer) = (auth.map("basic"), auth.map("bearer"));
    let mut chosen = RegistryAuth::None;
    if auth.has("basic") {
        chosen = RegistryAuth::Basic {
            username: basic.text("username").unwrap_or_default(),
            password: basic.secret("password").unwrap_or_else(|| Secret::new("")),
        };
    }
    if auth.has("bearer") {
        if auth.has("basic") {
            cx.faults.push(
                Fault::new(
                    auth.place("bearer"),
                    "bearer",
                    "`basic` and `bearer` exclude each other",
                )
                .hint("keep the one that the registry asks for"),
            );
        }
        chosen = RegistryAuth::Bearer {
            token: bearer.secret("token").unwrap_or_else(|| Secret::new("")),
        };
    }
    let mut url = view.text("url").unwrap_or_default();
    if let Ok(mut parsed) = url::Url::parse(&url)
        && (!parsed.username().is_empty() || parsed.password().is_some())
    {
        if auth.has("basic") || auth.has("bearer") {
            cx.faults.push(
                Fault::new(
                    view.value_place("url"),
                    "",
                    "credentials in the URL and in `auth`",
                )
                .hint("take them out of the URL"),
            );
        }
        chosen = RegistryAuth::Basic {
            username: percent_decode(parsed.username()),
            password: Secret::new(percent_decode(parsed.password().unwrap_or_default())),
        };
        // Infallible for a URL with a host, and an HTTP URL has one.
        if parsed.set_username("").is_ok() && parsed.set_password(None).is_ok() {
            url = parsed.into();
        }
    }
    if !matches!(chosen, RegistryAuth::None) && is_plain_and_remote(&url) {
        cx.warnings.push(
            Fault::new(
                view.value_place("url"),
                "",
                "credentials go over the network unencrypted",
            )
            .hint("use https"),
        );
    }
    let tls = auth.map("tls");
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if tls.has(one) && !tls.has(other) {
            let message = format!("`{one}` needs `{other}`");
            cx.faults.push(Fault::new(tls.place(one), one, message));
        }
    }
    Registry {
        url: url.trim_end_matches('/').to_owned(),
        auth: chosen,
        tls: RegistryTls {
            ca: tls.path("ca", cx.base),
            cert: tls.path("cert", cx.base),
            key: tls.path("key", cx.base),
        },
        timeout: view.duration("timeout"),
        cache_dir: view.path("cache_dir", cx.base),
    }
}

fn is_plain_and_remote(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        return false;
    };
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => true,
    };
    url.scheme() == "http" && !local
}

fn percent_decode(text: &str) -> String {
    // A form's decoder reads `+` as a space; here it stands for itself.
    let pair = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn admin(view: View<'_>, cx: &mut Lowering<'_>) -> Admin {
    let listen = view
        .scalar("listen")
        .and_then(|text| parse_listen(text).ok())
        .flatten();
    let token = view
        .secret("token")
        .filter(|token| !token.expose().is_empty());
    let broken = view.has("token") && token.is_none();
    if let Some(address) = listen
        && !address.ip().is_loopback()
        && token.is_none()
        && !broken
        && cx.complete
    {
        let message = "an address that others can reach needs `admin.token`";
        cx.faults.push(
            Fault::new(view.value_place("listen"), view.raw("listen"), message)
                .hint("token: ${file:/run/secrets/driftgate-admin}, or listen on 127.0.0.1"),
        );
    }
    let public_url = view.text("public_url");
    Admin {
        listen,
        token,
        public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
    }
}

pub(crate) fn owner(view: View<'_>) -> Owner {
    Owner {
        team: view.text("team").unwrap_or_default(),
        contact: view.text("contact").unwrap_or_default(),
    }
}

fn pipeline(name: &str, view: View<'_>, cx: &mut Lowering<'_>) -> Pipeline {
    let owner = owner(view.map("owner"));
    if owner == Owner::default() && cx.complete {
        cx.warnings.push(
            Fault::new(
                view.at(),
                name,
                format!("the pipeline `{name}` has no owner"),
            )
            .hint("owner: { team: …, contact: … }, so that a dead letter belongs to somebody"),
        );
    }
    if view.entry("alerts").is_none() {
        let message = format!("the pipeline `{name}` has no alerts");
        cx.advice.push(
            Fault::new(view.at(), name, message)
                .hint("alerts: [ { webhook: …, format: … } ], or alerts: [] where the metrics alone are to tell"),
        );
    }
    let source = view.map("source");
    if source.node("topics").is_some_and(Node::is_empty) {
        cx.faults.push(Fault::new(
            source.place("topics"),
            "topics",
            "no topic is named here",
        ));
    }
    let topics = source
        .items("topics")
        .iter()
        .filter_map(Node::text)
        .map(str::to_owned);
    let provenance = match view.scalar("provenance") {
        Some("header") => Provenance::Header,
        Some("none") => Provenance::None,
        _ => Provenance::Ledger,
    };
    let sink = sink(view.map("sink"), cx);
    let (prepare, transform) = steps::lower(view.items("transform"), &sink, cx);
    let failure = retry::failure(view.map("failure"), view.has("dedup"), cx);
    let topics: Vec<String> = topics.collect();
    Pipeline {
        name: name.to_owned(),
        owner,
        group: view.text("group").unwrap_or_else(|| name.to_owned()),
        workers: view
            .int("workers")
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1),
        delivery: delivery(&view, cx),
        provenance,
        ownership: ownership::lower(&view, &topics, cx),
        source_topics: topics,
        contract: contract(view.map("contract"), cx),
        prepare,
        transform,
        sink,
        dedup: dedup::lower(&view, &failure, cx),
        stale: stale::lower(&view, &failure, cx),
        failure,
        secrets: secrets(view.node("secrets")),
        alerts: alerts::lower(view.items("alerts"), cx),
        create_topics: view.bool("create_topics"),
    }
}

fn delivery(view: &View<'_>, cx: &mut Lowering<'_>) -> Delivery {
    let transaction = view.map("transaction");
    if view.scalar("delivery") != Some("exactly_once") {
        if transaction.is_present() {
            cx.faults.push(
                Fault::new(
                    view.place("transaction"),
                    "transaction",
                    "there are no transactions with `delivery: at_least_once`",
                )
                .hint("delivery: exactly_once, or take it out"),
            );
        }
        return Delivery::AtLeastOnce;
    }
    let (interval, timeout) = (
        transaction.duration("interval"),
        transaction.duration("timeout"),
    );
    if interval > timeout / 5 {
        let key = match transaction.has("interval") {
            true => "interval",
            false => "timeout",
        };
        cx.faults.push(
            Fault::new(
                transaction.value_place(key),
                transaction.raw(key),
                "`interval` is more than a fifth of `timeout`: a slow commit would come too late",
            )
            .hint("a shorter `interval`, or a longer `timeout`"),
        );
    }
    let records = transaction.int("records");
    Delivery::ExactlyOnce(Transaction {
        interval,
        records: records
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1),
        timeout,
    })
}

fn contract(view: View<'_>, cx: &mut Lowering<'_>) -> Contract {
    let schema = contract_schema(&view, "contract", cx);
    let rules = view.path("rules", cx.base);
    if let (None, SchemaSource::File { path }) = (&rules, &schema) {
        let beside = path.with_extension("rules.yaml");
        if beside.is_file() {
            cx.warnings.push(
                Fault::new(
                    view.place("schema"),
                    "schema",
                    format!("{} is not used", beside.display()),
                )
                .hint("name it under `rules`, or remove it"),
            );
        }
    }
    can_be_exceeded(&view.map("drift"), "pause_above", cx);
    let baseline = view.path("baseline", cx.base);
    if baseline.is_none() && view.entry("drift_window").is_some() {
        let message = "`drift_window` says nothing without `baseline`";
        let fault = Fault::new(view.place("drift_window"), "drift_window", message);
        cx.faults
            .push(fault.hint("name the baseline file, or take it out"));
    }
    Contract {
        schema,
        rules,
        baseline,
        drift_window: view.duration("drift_window"),
        drift: drift(view.map("drift")),
        quarantine_above: ratio_limit(&view.map("drift"), "pause_above")
            .expect("the key has a default"),
        key: view.node("key").is_some_and(is_map).then(|| {
            let key = view.map("key");
            KeyContract {
                schema: contract_schema(&key, "key", cx),
                required: key.bool("required"),
            }
        }),
    }
}

/// What is no mapping has been reported as that.
fn is_map(node: &Node) -> bool {
    matches!(node.body, Body::Map(_))
}

fn contract_schema(view: &View<'_>, name: &str, cx: &mut Lowering<'_>) -> SchemaSource {
    if view.has("schema") && view.has("subject") {
        cx.faults.push(
            Fault::new(
                view.place("subject"),
                "subject",
                "`schema` and `subject` exclude each other",
            )
            .hint("keep the one that the contract is reviewed in"),
        );
    }
    schema_source(view, name, cx)
}

fn secrets(node: Option<&Node>) -> Vec<(String, Secret)> {
    let entries = node.map_or(&[][..], Node::entries).iter();
    entries
        .filter(|entry| !entry.duplicate)
        .filter_map(|entry| {
            let name = entry.key.text()?.to_owned();
            Some((name, Secret::new(entry.value.text()?)))
        })
        .collect()
}

fn drift(view: View<'_>) -> Drift {
    let default = Drift::default();
    let action = |key: &str, default: DriftAction| {
        let word = view.scalar(key);
        DriftAction::ALL
            .into_iter()
            .find(|action| word == Some(action.as_str()))
            .unwrap_or(default)
    };
    Drift {
        added_optional: action("added_optional", default.added_optional),
        removed: action("removed", default.removed),
        type_changed: action("type_changed", default.type_changed),
        unit_changed: action("unit_changed", default.unit_changed),
        unknown_subject: action("unknown_subject", default.unknown_subject),
    }
}

/// `schema`, or `subject` and `at`.
pub(crate) fn schema_source(view: &View<'_>, name: &str, cx: &mut Lowering<'_>) -> SchemaSource {
    if let Some(path) = view.path("schema", cx.base) {
        if view.has("at") {
            cx.faults.push(
                Fault::new(
                    view.place("at"),
                    "at",
                    "`at` is a version of `subject`, and `schema` is a file",
                )
                .hint("take `at` out, or `schema`"),
            );
        }
        if path.extension().is_none_or(|extension| extension != "avsc") {
            cx.faults.push(
                Fault::new(
                    view.value_place("schema"),
                    view.raw("schema"),
                    "a schema file is named `<subject>.avsc`",
                )
                .hint("only Avro is supported"),
            );
        }
        return SchemaSource::File { path };
    }
    if !view.has("subject") && !view.has("schema") && view.is_present() && cx.complete {
        cx.faults.push(
            Fault::new(view.at(), name, format!("`{name}` has no schema"))
                .hint("schema: <file.avsc>, or subject: <name> with at: latest"),
        );
    }
    SchemaSource::Subject {
        subject: view.text("subject").unwrap_or_default(),
        version: view.scalar("at").and_then(|text| text.parse().ok()),
    }
}

fn sink(view: View<'_>, cx: &mut Lowering<'_>) -> Sink {
    let topic = view.text("topic").unwrap_or_default();
    let schema = schema_source(&view, "sink", cx);
    let auto_register = view.bool("auto_register");
    if auto_register && matches!(schema, SchemaSource::Subject { .. }) {
        cx.faults.push(
            Fault::new(
                view.place("auto_register"),
                "auto_register",
                "there is no `schema` file to register",
            )
            .hint("take it out, or name the file"),
        );
    }
    Sink {
        subject: view
            .text("subject")
            .unwrap_or_else(|| format!("{topic}-value")),
        topic,
        schema,
        place: view.at().clone(),
        auto_register,
    }
}

/// Words that are none have been reported.
pub(crate) fn dialects(view: View<'_>, cx: &mut Lowering<'_>) -> Vec<HeaderDialect> {
    let mut dialects = Vec::new();
    for item in view.items("headers") {
        let all = [
            HeaderDialect::Connect,
            HeaderDialect::Spring,
            HeaderDialect::Streams,
        ];
        let word = item.text().unwrap_or_default();
        let Some(dialect) = all.into_iter().find(|dialect| dialect.as_str() == word) else {
            continue;
        };
        if dialects.contains(&dialect) {
            let fault = Fault::new(&item.place, &item.raw, "the dialect stands there twice");
            cx.faults.push(fault.hint("take one out"));
            continue;
        }
        dialects.push(dialect);
    }
    dialects
}

/// `20%/1m`, or a mapping.
pub(crate) fn ratio_limit(view: &View<'_>, name: &str) -> Option<RatioLimit> {
    let long = view.map(name);
    if view.node(name).is_some_and(is_map) {
        return Some(RatioLimit {
            ratio: long.ratio("ratio"),
            window: long.duration("window"),
            at_least: long.int("at_least").unwrap_or(1),
        });
    }
    // A text that is none has been reported as that.
    let (ratio, window) = parse_ratio_in(view.scalar(name)?).ok().unwrap_or_default();
    Some(RatioLimit {
        ratio,
        window,
        at_least: View::new(None, RATIO_LIMIT, view.at())
            .int("at_least")
            .unwrap_or(1),
    })
}

/// A limit that nothing exceeds protects nobody.
pub(crate) fn can_be_exceeded(view: &View<'_>, name: &str, cx: &mut Lowering<'_>) {
    if ratio_limit(view, name).is_some_and(|limit| limit.ratio >= 1.0) {
        let message = format!("`{name}` of 100% is never exceeded");
        cx.faults.push(
            Fault::new(view.value_place(name), view.raw(name), message)
                .hint("a smaller ratio, or take it out if there is to be no limit"),
        );
    }
}

/// The mapping of one entry of a list or of one step.
pub(crate) fn sub<'a>(node: &'a Node, keys: &'static [Key], at: &'a Place) -> View<'a> {
    View::new(Some(node), keys, at)
}

/// `{ name: text }` with the places of both.
pub(crate) fn pairs(node: &Node) -> Vec<(Placed<String>, Placed<String>)> {
    node.entries()
        .iter()
        .filter(|entry| !entry.duplicate)
        .map(|entry| (placed(&entry.key), placed(&entry.value)))
        .collect()
}
