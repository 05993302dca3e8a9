//! The orders of the benchmark: each a function of the seed and its number, so that whoever verifies an output makes the
//! order again and computes by itself what it must have come to. Input: seed and number. Output: key, bytes, and what is
//! expected of them. Knows nothing of the engine: schemas are written by hand here, as another producer would.

use std::hash::Hasher;

use sha2::{Digest, Sha256};

use super::clean::{Clean, Item};

/// What an order is, and so what must become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Emitted.
    Good,
    /// Of the currency TEST: filtered.
    Test,
    /// Cut short.
    Truncated,
    /// JSON, without a frame.
    Unframed,
    /// With a symbol that its enum does not have.
    Symbol,
    /// With a country of three letters.
    Country,
}

impl Kind {
    /// Those that end as dead letters.
    pub const POISON: [Kind; 4] = [Kind::Truncated, Kind::Unframed, Kind::Symbol, Kind::Country];

    /// The reason that a dead letter of it must give; `None` for those that end elsewhere.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Kind::Good | Kind::Test => None,
            Kind::Truncated | Kind::Symbol => Some("malformed_data"),
            Kind::Unframed => Some("unframed_json"),
            Kind::Country => Some("rule_violation"),
        }
    }
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// What it is.
    pub kind: Kind,
    /// Its number, which its key names.
    pub number: u64,
    customer: i64,
    email: String,
    phone: Option<String>,
    country: &'static str,
    status: i64,
    currency: &'static str,
    amount: i64,
    placed_at: i64,
    items: [(u64, i64, f64); 3],
    campaign: &'static str,
    device: &'static str,
    note: Option<&'static str>,
    weight: f32,
    gift: bool,
    channel: &'static str,
    revision: i64,
}

const NAMES: [&str; 8] = [
    "jane.doe",
    "max.muster",
    "a.novak",
    "li.wei",
    "o.garcia",
    "s.okafor",
    "k.tanaka",
    "e.rossi",
];
const HOSTS: [&str; 4] = [
    "example.com",
    "example.org",
    "mail.example.net",
    "shop.example.com",
];
const COUNTRIES: [&str; 8] = ["DE", "FR", "ES", "IT", "NL", "PL", "SE", "GB"];
const CURRENCIES: [&str; 6] = ["EUR", "EUR", "USD", "GBP", "eur", "usd"];
const CAMPAIGNS: [&str; 4] = ["autumn", "spring", "newsletter", "none"];
const DEVICES: [&str; 3] = ["mobile", "desktop", "tablet"];
const NOTES: [&str; 3] = ["leave at the door", "ring twice", "gift wrap, please"];
const CHANNELS: [&str; 3] = ["web", "app", "store"];

/// SplitMix64: each order draws from its own stream.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("an index")]
    }
}

impl Order {
    /// The order of this number: 1 % are filtered, 0.5 % are poison in four kinds.
    pub fn new(seed: u64, number: u64) -> Order {
        let mut draw = Draw(seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95));
        draw.next();
        let kind = match draw.below(1000) {
            0..=9 => Kind::Test,
            10..=14 => draw.one(&Kind::POISON),
            _ => Kind::Good,
        };
        let small = |draw: &mut Draw, end: u64| i64::try_from(draw.below(end)).expect("small");
        let mut item = || {
            (draw.below(100_000), 1 + small(&mut draw, 12), {
                (draw.below(50_000) as f64) / 100.0
            })
        };
        let items = [item(), item(), item()];
        Order {
            kind,
            number,
            customer: small(&mut draw, 10_000_000),
            email: format!(
                "{}.{}@{}",
                draw.one(&NAMES),
                draw.below(100_000),
                draw.one(&HOSTS)
            ),
            phone: (draw.below(4) > 0).then(|| format!("+49 30 {:07}", draw.below(10_000_000))),
            country: match kind {
                Kind::Country => "DEU",
                _ => draw.one(&COUNTRIES),
            },
            status: match kind {
                Kind::Symbol => 4,
                _ => small(&mut draw, 4),
            },
            currency: match kind {
                Kind::Test => "TEST",
                _ => draw.one(&CURRENCIES),
            },
            amount: 1 + small(&mut draw, 10_000_000),
            placed_at: 1_789_000_000_000 + small(&mut draw, 10_000_000_000),
            items,
            campaign: draw.one(&CAMPAIGNS),
            device: draw.one(&DEVICES),
            note: (draw.below(2) > 0).then(|| draw.one(&NOTES)),
            weight: (draw.below(4000) as f32) / 64.0,
            gift: draw.below(10) == 0,
            channel: draw.one(&CHANNELS),
            revision: small(&mut draw, 10),
        }
    }

    /// The record's key, and `order_id`.
    pub fn key(&self) -> String {
        format!("order-{:012}", self.number)
    }

    /// The number that a key names.
    pub fn number_of(key: &[u8]) -> Option<u64> {
        let digits = key.strip_prefix(b"order-")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The record's value, framed with the id of the writer schema.
    pub fn value(&self, schema: u32) -> Vec<u8> {
        if self.kind == Kind::Unframed {
            return format!(
                "{{\"order_id\":\"{}\",\"amount\":{}}}",
                self.key(),
                self.amount
            )
            .into_bytes();
        }
        let mut out = Vec::with_capacity(256);
        out.push(0);
        out.extend_from_slice(&schema.to_be_bytes());
        text(&mut out, &self.key());
        long(&mut out, self.customer);
        text(&mut out, &self.email);
        optional(&mut out, self.phone.as_deref());
        text(&mut out, self.country);
        long(&mut out, self.status);
        text(&mut out, self.currency);
        long(&mut out, self.amount);
        long(&mut out, self.placed_at);
        long(&mut out, 3);
        for (sku, quantity, price) in self.items {
            text(&mut out, &sku_text(sku));
            long(&mut out, quantity);
            out.extend_from_slice(&price.to_le_bytes());
        }
        long(&mut out, 0);
        long(&mut out, 2);
        for (name, value) in [("campaign", self.campaign), ("device", self.device)] {
            text(&mut out, name);
            text(&mut out, value);
        }
        long(&mut out, 0);
        optional(&mut out, self.note);
        out.extend_from_slice(&self.weight.to_le_bytes());
        out.push(u8::from(self.gift));
        text(&mut out, self.channel);
        long(&mut out, self.revision);
        if self.kind == Kind::Truncated {
            let length = out.len();
            out.truncate(length / 2);
        }
        out
    }

    /// What the sink must have of it.
    pub fn clean(&self) -> Clean {
        let digest = Sha256::digest(self.email.as_bytes());
        let phone = self.phone.as_ref().map(|phone| {
            let kept = phone.chars().filter(|c| c.is_ascii_digit() || *c == '+');
            kept.collect()
        });
        let item = |(sku, quantity, price): (u64, i64, f64)| Item {
            sku: sku_text(sku),
            quantity,
            price,
        };
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Clean {
            order_id: self.key(),
            customer: self.customer,
            email: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            phone,
            country: self.country.to_owned(),
            status: self.status,
            currency: self.currency.to_ascii_uppercase(),
            amount: self.amount,
            placed_at: self.placed_at,
            items: self.items.map(item).to_vec(),
            attributes: vec![
                attribute("campaign", self.campaign),
                attribute("device", self.device),
            ],
            note: self.note.map(str::to_owned),
            weight: f64::from(self.weight),
            source: self.channel.to_owned(),
            tenant: "main".to_owned(),
            revision: self.revision,
        }
    }

    /// A hash of key and value as they are, for whatever passes the record on untouched.
    pub fn untouched(key: &[u8], value: &[u8], reason: Option<&str>) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        for part in [key, value, reason.unwrap_or_default().as_bytes()] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }
}

fn sku_text(sku: u64) -> String {
    format!("SKU-{sku:05}")
}

fn long(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push((zigzag & 0x7F) as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    long(out, i64::try_from(text.len()).expect("a short text"));
    out.extend_from_slice(text.as_bytes());
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => {
            long(out, 1);
            text(out, value);
        }
        None => long(out, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::decode::{Limits, decode};
    use crate::contract::schema::Schema;

    const SCHEMA: &str = include_str!("files/orders-value.avsc");

    #[test]
    fn a_seed_makes_the_same_orders_and_another_one_makes_others() {
        let bytes = |seed| -> Vec<Vec<u8>> {
            let orders = (0..100).map(|number| Order::new(seed, number).value(1));
            orders.collect()
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }

    #[test]
    fn good_orders_are_of_their_schema_and_poison_is_not() {
        let schema = Schema::parse(SCHEMA, &[]).expect("a schema");
        let (mut sizes, mut kinds) = (0, [0; 6]);
        for number in 0..20_000 {
            let order = Order::new(7, number);
            kinds[order.kind as usize] += 1;
            let value = order.value(1);
            sizes += value.len();
            let decoded = decode(
                &schema,
                value.get(5..).unwrap_or_default(),
                &Limits::default(),
            );
            let bad = matches!(order.kind, Kind::Truncated | Kind::Unframed | Kind::Symbol);
            assert_eq!(decoded.is_err(), bad, "{:?} {number}", order.kind);
            assert_eq!(Order::number_of(order.key().as_bytes()), Some(number));
        }
        assert!(
            (190..=215).contains(&(sizes / 20_000)),
            "{} bytes",
            sizes / 20_000
        );
        assert!(
            (150..=250).contains(&kinds[Kind::Test as usize]),
            "{kinds:?}"
        );
        let poison: usize = Kind::POISON.iter().map(|kind| kinds[*kind as usize]).sum();
        assert!((60..=140).contains(&poison), "{kinds:?}");
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
    }
}
