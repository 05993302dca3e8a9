//! The demo's producer: a seeded stream of orders, written by apache-avro, so that nothing of ours judges itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use apache_avro::Schema;
use apache_avro::types::Value;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::Options;
use crate::config::model::{Registry, RegistryAuth};
use crate::contract::registry::RegistryClient;

/// What the producer does to the next orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing.
    Good,
    /// Writes with a schema that has an optional field more.
    OptionalField,
    /// A third of the orders has a numeric status.
    NumericStatus,
    /// Every tenth order is cut short.
    Truncated,
}

impl Kind {
    const ALL: [Kind; 4] = [
        Kind::Good,
        Kind::OptionalField,
        Kind::NumericStatus,
        Kind::Truncated,
    ];
}

/// A producer at work.
pub struct Stream {
    kind: Arc<AtomicU8>,
    produced: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

/// A schema with its registry id.
struct Registered {
    id: u32,
    schema: Schema,
}

impl Stream {
    /// Registers the schemas and begins to produce.
    pub async fn start(
        bootstrap: &str,
        registry: &str,
        options: &Options,
    ) -> anyhow::Result<Stream> {
        let client = RegistryClient::new(&Registry {
            url: registry.to_owned(),
            auth: RegistryAuth::None,
            tls: Default::default(),
            cache_dir: None,
            timeout: Duration::from_secs(5),
        })?;
        // The demo's registry reviews nothing: this is how a careless producer gets schema 3 through.
        client.set_compatibility("orders-value", "NONE").await?;
        let mut schemas = Vec::new();
        for text in versions()? {
            let id = client.register("orders-value", &text, &[]).await?;
            schemas.push(Registered {
                id,
                schema: Schema::parse_str(&text)?,
            });
        }
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()?;
        let (kind, produced, stop) = (
            Arc::new(AtomicU8::new(0)),
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let work = Work {
            producer,
            schemas,
            random: StdRng::seed_from_u64(options.seed),
            kind: Arc::clone(&kind),
            produced: Arc::clone(&produced),
            stop: Arc::clone(&stop),
            rate: options.rate,
        };
        let thread = std::thread::Builder::new()
            .name("demo-producer".into())
            .spawn(move || work.run())?;
        Ok(Stream {
            kind,
            produced,
            stop,
            thread,
        })
    }

    /// Changes what the next orders are like.
    pub fn play(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// Orders handed to the producer so far.
    pub fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }

    /// Ends the stream once everything is acknowledged, and tells how many orders there were.
    pub async fn finish(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.map_err(|_| anyhow::anyhow!("the demo's producer panicked"))?
    }
}

/// The three schemas of the story: the contract's own, one with an optional field more, one with a numeric status.
fn versions() -> anyhow::Result<[String; 3]> {
    let first: serde_json::Value = serde_json::from_str(include_str!("files/orders-value.avsc"))?;
    let mut second = first.clone();
    let coupon =
        serde_json::json!({ "name": "coupon", "type": ["null", "string"], "default": null });
    second["fields"]
        .as_array_mut()
        .context("a record has fields")?
        .push(coupon);
    let mut third = first.clone();
    third["fields"][2]["type"] = "int".into();
    Ok([first.to_string(), second.to_string(), third.to_string()])
}

struct Work {
    producer: BaseProducer,
    schemas: Vec<Registered>,
    random: StdRng,
    kind: Arc<AtomicU8>,
    produced: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    rate: u32,
}

impl Work {
    fn run(mut self) -> anyhow::Result<u64> {
        let begin = Instant::now();
        let mut count: u64 = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let due = (begin.elapsed().as_secs_f64() * f64::from(self.rate)) as u64;
            while count < due {
                let (key, value) = self.order(count)?;
                self.producer
                    .send(BaseRecord::to("orders").key(&key).payload(&value))
                    .map_err(|(error, _)| anyhow::anyhow!("producing an order: {error}"))?;
                count += 1;
                self.produced.store(count, Ordering::Relaxed);
            }
            self.producer.poll(Duration::from_millis(20));
        }
        self.producer
            .flush(Duration::from_secs(10))
            .context("the demo's producer was not acknowledged")?;
        Ok(count)
    }

    /// Key and framed value of one order.
    fn order(&mut self, number: u64) -> anyhow::Result<(String, Vec<u8>)> {
        let kind = Kind::ALL[usize::from(self.kind.load(Ordering::Relaxed)) % Kind::ALL.len()];
        let spoilt = match kind {
            Kind::Good | Kind::OptionalField => false,
            Kind::NumericStatus => number.is_multiple_of(3),
            Kind::Truncated => number.is_multiple_of(10),
        };
        let version = match kind {
            Kind::OptionalField => 1,
            Kind::NumericStatus if spoilt => 2,
            _ => 0,
        };
        let key = format!("order-{number:06}");
        let registered = &self.schemas[version];
        let event = order(&mut self.random, &key, kind, version);
        let datum = apache_avro::writer::datum::GenericDatumWriter::builder(&registered.schema)
            .build()?
            .write_value_to_vec(event)?;
        let mut value = vec![0];
        value.extend(registered.id.to_be_bytes());
        value.extend(datum);
        if kind == Kind::Truncated && spoilt {
            let keep = value.len() - self.random.random_range(1..12);
            value.truncate(keep);
        }
        Ok((key, value))
    }
}

fn order(random: &mut StdRng, key: &str, kind: Kind, version: usize) -> Value {
    let customer = random.random_range(1..=500i64);
    let status = random.random_range(0..4u32);
    let items: Vec<(i32, i64)> = (0..random.random_range(1..=4))
        .map(|_| {
            (
                random.random_range(1..=3),
                random.random_range(199..=19_999),
            )
        })
        .collect();
    let amount = items
        .iter()
        .map(|(quantity, price)| i64::from(*quantity) * price)
        .sum();
    let currency = match random.random_range(0..100) {
        0..=1 => "TEST",
        2..=69 => "EUR",
        70..=89 => "USD",
        _ => "GBP",
    };
    let note = match random.random_bool(0.2) {
        true => Value::Union(1, Box::new(Value::String("leave at the door".into()))),
        false => Value::Union(0, Box::new(Value::Null)),
    };
    let items = items
        .into_iter()
        .enumerate()
        .map(|(index, (quantity, price))| {
            let sku = format!("SKU-{:04}", (price as usize + index) % 10_000);
            Value::Record(vec![
                ("sku".into(), Value::String(sku)),
                ("quantity".into(), Value::Int(quantity)),
                ("price_cents".into(), Value::Long(price)),
            ])
        });
    let symbols = ["NEW", "PAID", "SHIPPED", "CANCELLED"];
    let status = match version {
        2 => Value::Int(status as i32),
        _ => Value::Enum(status, symbols[status as usize].into()),
    };
    let now = crate::worker::wall_clock();
    let mut fields = vec![
        ("order_id".into(), Value::String(key.into())),
        ("customer_id".into(), Value::Long(customer)),
        ("status".into(), status),
        ("currency".into(), Value::String(currency.into())),
        ("amount_cents".into(), Value::Long(amount)),
        (
            "email".into(),
            Value::String(format!("customer{customer}@example.com")),
        ),
        ("items".into(), Value::Array(items.collect())),
        ("note".into(), note),
        ("created_at".into(), Value::TimestampMillis(now)),
    ];
    if kind == Kind::OptionalField {
        let coupon = Value::Union(1, Box::new(Value::String("WELCOME10".into())));
        fields.push(("coupon".into(), coupon));
    }
    Value::Record(fields)
}
