use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::contract::encode::encode;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::profile::{Builder, Sampler, Test, Volume};

const CONTRACT: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "amount", "type": "double"},
    {"name": "status", "type": "string"},
    {"name": "email", "type": "string"}]}"#;
const STATUS: [&str; 4] = ["New", "Paid", "Shipped", "Cancelled"];

/// What a producer does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Producer {
    Usual,
    Cents,
    Numeric,
}

struct Bed {
    schema: Schema,
    random: SmallRng,
    reviewed: Arc<Reviewed>,
    /// A thousand records a second.
    fed: u64,
    refused: u64,
}

#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    records: AtomicU64,
    parts: AtomicU64,
    windows: AtomicU64,
    left_out: AtomicU64,
}

impl Listener for Arc<Heard> {
    fn told(&self, told: &Told<'_>) {
        let tests: Vec<&str> = told
            .verdict
            .drifted
            .iter()
            .map(|one| one.test.as_str())
            .collect();
        let line = format!(
            "{} {}/{} {} {} {} of {}",
            if told.is_over { "ended" } else { "begun" },
            told.topic,
            told.schema_id,
            told.field.path,
            tests.join("+"),
            told.standing,
            told.owner,
        );
        lock(&self.lines).push(line);
    }

    fn counted(&self, counted: Counted<'_>) {
        match counted {
            Counted::Part {
                records, is_window, ..
            } => {
                self.records.fetch_add(records, Ordering::Relaxed);
                self.parts.fetch_add(1, Ordering::Relaxed);
                self.windows
                    .fetch_add(u64::from(is_window), Ordering::Relaxed);
            }
            Counted::LeftOut(records) => {
                self.left_out.fetch_add(records, Ordering::Relaxed);
            }
        }
    }
}

impl Bed {
    fn new(change: impl FnOnce(&mut Baseline)) -> Bed {
        let schema = Schema::parse(CONTRACT, &[]).expect("a schema");
        let layout = Layout::new(&schema, &["email".to_owned()]);
        let mut random = SmallRng::seed_from_u64(5);
        let mut builder = Builder::new(&layout);
        let mut profiler = Profiler::new(&layout, i64::MAX, 0);
        let mut volume = Volume::default();
        for _ in 0..20_000 {
            let bytes = bytes(&schema, &mut random, Producer::Usual);
            let mut all = Sampler::new(0, 1);
            let full = profiler.record(&layout, &schema, &mut all, &bytes, Some(0));
            if full.expect("bytes of the contract") {
                builder.add(profiler.part());
                profiler.next(0);
            }
        }
        let baseline = builder.finish(&layout, "order", &mut volume);
        let mut baseline = baseline.expect("enough records");
        change(&mut baseline);
        let reviewed = Reviewed {
            owners: vec!["shop".to_owned(); baseline.fields.len()],
            layout,
            baseline,
            window: Duration::from_secs(600),
            mark: 1,
        };
        Bed {
            schema,
            random,
            reviewed: Arc::new(reviewed),
            fed: 0,
            refused: 0,
        }
    }

    fn watch(&self, workers: usize, bytes: usize) -> (Arc<Watch>, Arc<Heard>, Vec<Look>) {
        let heard = Arc::<Heard>::default();
        let reviewed = Arc::clone(&self.reviewed);
        let watch = Watch::new(reviewed, workers, 1, bytes, Arc::clone(&heard));
        let watch = Arc::new(watch);
        let looks = (0..workers).map(|slot| {
            let seed = u32::try_from(slot).expect("a few") + 1;
            Look::new(Arc::clone(&watch), seed)
        });
        let looks = looks.collect();
        (watch, heard, looks)
    }

    /// So many records, to the workers in turns. After how many of them something was heard first.
    fn feed(
        &mut self,
        (watch, heard, looks): &mut (Arc<Watch>, Arc<Heard>, Vec<Look>),
        count: usize,
        producer: Producer,
    ) -> Option<usize> {
        let before = lock(&heard.lines).len();
        let mut first = None;
        for number in 0..count {
            let bytes = bytes(&self.schema, &mut self.random, producer);
            let worker = number % looks.len();
            self.fed += 1;
            let at = watch.begun + Duration::from_millis(self.fed);
            looks[worker].turn(at);
            let taken = looks[worker].record("orders", 7, &self.schema, &bytes, Some(0));
            self.refused += u64::from(taken.is_err());
            watch.turn(at, 0);
            if first.is_none() && lock(&heard.lines).len() > before {
                first = Some(number + 1);
            }
        }
        first
    }
}

fn bytes(schema: &Schema, random: &mut SmallRng, producer: Producer) -> Vec<u8> {
    let amount = random.random_range(1.0..200.0_f64);
    let amount = if producer == Producer::Cents {
        amount * 100.0
    } else {
        amount
    };
    let status = STATUS[random.random_range(0..STATUS.len())];
    let is_numeric = producer == Producer::Numeric && status == "Shipped";
    let status = if is_numeric { "3" } else { status };
    let value = Value::Record(vec![
        Value::Double((amount * 100.0).round() / 100.0),
        Value::String(status.to_owned()),
        Value::String(format!("a{}@example.org", random.random::<u32>())),
    ]);
    let mut bytes = Vec::new();
    encode(schema, &value, &mut bytes).expect("a value of it");
    bytes
}

fn lines(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut *lock(&heard.lines))
}

#[test]
fn workers_find_a_fault_together_within_a_windows_records_and_tell_it_once() {
    for workers in [1, 2, 3, 7, 16, 64] {
        let mut bed = Bed::new(|_| {});
        let mut run = bed.watch(workers, usize::MAX);
        assert_eq!(bed.feed(&mut run, 12_345, Producer::Usual), None);
        for (producer, begun) in [
            (Producer::Cents, "begun orders/7 amount numbers 1 of shop"),
            (
                Producer::Numeric,
                "begun orders/7 status values+formats 1 of shop",
            ),
        ] {
            let found = bed.feed(&mut run, 2_000, producer);
            assert!(found.is_some(), "{workers} workers, {producer:?}");
            assert_eq!(bed.feed(&mut run, 3_000, producer), None, "told once");
            let heard = lines(&run.1);
            let (is, begins) = (&heard[0], &begun[..begun.find("s+").unwrap_or(begun.len())]);
            assert!(is.starts_with(begins) && heard.len() == 1, "{heard:?}");
            // It ends with as many records as a window has behind the last one that drifted, and begins no more.
            let ended = bed.feed(&mut run, 9_000, Producer::Usual);
            assert!(
                (2_000..5_000).contains(&ended.expect("its end")),
                "{ended:?}"
            );
            let heard = lines(&run.1);
            assert!(heard[0].starts_with("ended orders/7 "), "{heard:?}");
            assert!(heard[0].ends_with(" 0 of shop") && heard.len() == 1);
        }
    }
}

#[test]
fn parts_of_all_workers_count_each_record_once() {
    let mut bed = Bed::new(|_| {});
    let mut run = bed.watch(3, usize::MAX);
    bed.feed(&mut run, 10_000, Producer::Usual);
    let pairs = lock(&run.0.pairs).clone();
    let open = lock(&pairs[0].open).part.records;
    let held: u64 = run.2.iter().map(Look::held).sum();
    let told = run.1.records.load(Ordering::Relaxed);
    assert_eq!(told + open + held, 10_000);
    let parts = run.1.parts.load(Ordering::Relaxed);
    assert!((told / 550..=told / 500).contains(&parts), "{parts}");
    assert_eq!(run.1.windows.load(Ordering::Relaxed), parts - 3);
    let judged = lock(&pairs[0].judged);
    let window = judged.sliding.window();
    assert!(
        (2_000..2_200).contains(&window.records),
        "{}",
        window.records
    );
    // A sample of the same size as of one worker, from all of it.
    assert!((400..=550).contains(&window.looked), "{}", window.looked);
}

#[test]
fn what_is_read_again_is_not_counted_again() {
    let mut bed = Bed::new(|_| {});
    let mut run = bed.watch(2, usize::MAX);
    bed.feed(&mut run, 4_000, Producer::Usual);
    run.2.iter_mut().for_each(|look| look.only_new(false));
    assert_eq!(bed.feed(&mut run, 4_000, Producer::Cents), None);
    assert!(run.1.records.load(Ordering::Relaxed) <= 4_000);
    run.2.iter_mut().for_each(|look| look.only_new(true));
    assert!(bed.feed(&mut run, 2_000, Producer::Cents).is_some());
}

#[test]
fn fields_that_are_let_be_are_not_told() {
    let mut bed = Bed::new(|baseline| {
        let fields = baseline.fields.iter_mut();
        fields.for_each(|field| field.then = DriftAction::Allow);
    });
    let mut run = bed.watch(1, usize::MAX);
    assert_eq!(bed.feed(&mut run, 6_000, Producer::Cents), None);
    let pairs = lock(&run.0.pairs).clone();
    let judged = lock(&pairs[0].judged);
    let verdict = judged.verdicts.of(0).expect("it stands, for who looks");
    assert_eq!(verdict.drifted[0].test, Test::Numbers);
}

/// A part ends by its time, if it says something; until then it waits.
#[test]
fn a_quiet_topic_has_windows_by_the_time() {
    let mut bed = Bed::new(|_| {});
    let (watch, heard, mut looks) = bed.watch(2, usize::MAX);
    let mut at = watch.begun;
    let mut minutes = |bed: &mut Bed, count: usize, records: usize, producer| {
        for _ in 0..count {
            at += Duration::from_secs(60);
            for look in &mut looks {
                look.turn(at);
                for _ in 0..records {
                    let bytes = bytes(&bed.schema, &mut bed.random, producer);
                    let taken = look.record("orders", 7, &bed.schema, &bytes, Some(0));
                    assert_eq!(taken, Ok(()));
                }
            }
            watch.turn(at, 0);
        }
        heard.windows.load(Ordering::Relaxed)
    };
    // 20 records a minute: a part of 60 in two and a half minutes, which is three turns.
    assert_eq!(minutes(&mut bed, 9, 10, Producer::Usual), 0);
    let windows = minutes(&mut bed, 30, 10, Producer::Usual);
    assert!((7..=10).contains(&windows), "{windows}");
    assert_eq!(
        lines(&heard),
        Vec::<String>::new(),
        "small windows page nobody"
    );
    // 2 a minute: two and a half minutes say nothing, so the part goes on.
    let more = minutes(&mut bed, 60, 1, Producer::Usual) - windows;
    assert!((4..=6).contains(&more), "{more}");
    assert_eq!(lines(&heard), Vec::<String>::new());
    minutes(&mut bed, 12, 10, Producer::Cents);
    let told = lines(&heard);
    assert!(
        told.len() == 1 && told[0].starts_with("begun orders/7 amount"),
        "{told:?}"
    );
}

#[test]
fn topics_and_schemas_are_bounded_and_what_is_left_out_is_counted() {
    let mut bed = Bed::new(|_| {});
    let one = Pair::size(&bed.reviewed.layout, 2);
    let (watch, heard, mut looks) = bed.watch(2, 3 * one + one / 2);
    assert_eq!((watch.most, watch.size()), (3, 3 * one));
    let mut feed = |at: u64, ids: std::ops::Range<u32>| {
        let at = watch.begun + Duration::from_secs(at);
        for look in &mut looks {
            look.turn(at);
            for id in ids.clone() {
                let bytes = bytes(&bed.schema, &mut bed.random, Producer::Usual);
                let taken = look.record("orders", id, &bed.schema, &bytes, Some(0));
                assert_eq!(taken, Ok(()));
            }
        }
        watch.turn(at, 0);
        let mut known: Vec<u32> = lock(&watch.pairs)
            .iter()
            .map(|pair| pair.schema_id)
            .collect();
        known.sort_unstable();
        known
    };
    assert_eq!(feed(0, 1..6), [1, 2, 3]);
    assert_eq!(heard.left_out.load(Ordering::Relaxed), 4);
    assert_eq!(feed(2, 3..6), [1, 2, 3]);
    // Half an hour later the first two have had no record for longer than a window, and make room.
    assert_eq!(feed(1_000, 3..4), [1, 2, 3]);
    assert_eq!(feed(1_002, 3..6), [3, 4, 5]);
    assert_eq!(feed(1_004, 3..4), [3, 4, 5]);
    let own: Vec<u32> = looks[0].schemas();
    assert_eq!(own, [3, 4, 5], "a worker lets go of what is gone");
    // A little less than nothing is room for one all the same.
    assert_eq!(bed.watch(2, 0).0.most, 1);
}

/// What is promised of the memory is what it takes.
#[test]
fn it_takes_no_more_than_it_says() {
    let mut bed = Bed::new(|_| {});
    let said = Pair::size(&bed.reviewed.layout, 4);
    let (watch, _, mut looks) = bed.watch(4, usize::MAX);
    let records: Vec<Vec<u8>> = (0..3_000)
        .map(|_| bytes(&bed.schema, &mut bed.random, Producer::Usual))
        .collect();
    let taken = allocation_counter::measure(|| {
        for (number, bytes) in records.iter().enumerate() {
            let taken = looks[number % 4].record("orders", 7, &bed.schema, bytes, Some(0));
            assert_eq!(taken, Ok(()));
            watch.turn(watch.begun, 0);
        }
    });
    let taken = usize::try_from(taken.bytes_current).expect("something is held");
    assert!(taken <= said && taken > said / 2, "{taken} of {said}");
}

fn all(action: DriftAction) -> impl FnOnce(&mut Baseline) {
    move |baseline| {
        let fields = baseline.fields.iter_mut();
        fields.for_each(|field| field.then = action);
    }
}

#[test]
fn records_are_in_quarantine_from_the_verdict_to_its_end() {
    let mut bed = Bed::new(all(DriftAction::Quarantine));
    let mut run = bed.watch(2, usize::MAX);
    bed.feed(&mut run, 4_000, Producer::Usual);
    assert_eq!(bed.refused, 0);
    let begun = bed
        .feed(&mut run, 2_000, Producer::Cents)
        .expect("a verdict");
    assert_eq!(bed.refused, 2_000 - begun as u64, "each one behind it");
    // Also those that are read again, which are not counted.
    let record = bytes(&bed.schema, &mut bed.random, Producer::Usual);
    run.2[1].only_new(false);
    let error = run.2[1].record("orders", 7, &bed.schema, &record, Some(0));
    let error = error.expect_err("in quarantine");
    let told = (error.reason, error.path.as_str(), error.schema_id);
    assert_eq!(told, (Reason::ValueDrift, "amount", Some(7)));
    assert!(error.message.contains("numbers "), "{error}");
    assert_eq!(
        run.2[1].record("others", 7, &bed.schema, &record, Some(0)),
        Ok(())
    );
    run.2[1].only_new(true);
    bed.refused = 0;
    let ended = bed.feed(&mut run, 9_000, Producer::Usual).expect("its end");
    assert_eq!(bed.refused, ended as u64);
    assert!(
        run.0.halting("orders")[0].drifted.is_empty(),
        "nothing halts"
    );
}

#[test]
fn what_halts_is_known_by_field_with_what_is_right() {
    let mut bed = Bed::new(all(DriftAction::Halt));
    let mut run = bed.watch(2, usize::MAX);
    let before = run.0.version();
    bed.feed(&mut run, 6_000, Producer::Usual);
    let known = |run: &(Arc<Watch>, Arc<Heard>, Vec<Look>)| {
        let halting = run.0.halting("orders").remove(0);
        (halting.drifted, halting.right)
    };
    assert_eq!(known(&run), (vec![], vec![0, 1, 2]));
    assert!(run.0.version() > before);
    bed.feed(&mut run, 2_000, Producer::Cents);
    assert_eq!((known(&run), bed.refused), ((vec![0], vec![1, 2]), 0));
    let version = run.0.version();
    bed.feed(&mut run, 2_000, Producer::Cents);
    assert_eq!(run.0.version(), version, "nothing new");
    assert_eq!(run.0.named(&[0, 1]), "amount, status");
    assert_eq!(run.0.halting("others"), []);
}

#[test]
fn what_is_shown_has_figures_history_and_nothing_personal() {
    let mut bed = Bed::new(|_| {});
    let mut run = bed.watch(2, usize::MAX);
    assert_eq!(run.0.report()["topics"], serde_json::json!([]));
    bed.feed(&mut run, 20_000, Producer::Usual);
    bed.feed(&mut run, 2_000, Producer::Cents);
    let report = run.0.report();
    let topic = &report["topics"][0];
    assert_eq!(
        (&topic["topic"], &topic["schema_id"]),
        (&"orders".into(), &7.into())
    );
    let field = |name: &str| {
        let mut fields = topic["fields"].as_array().expect("fields").iter();
        fields
            .find(|field| field["field"] == name)
            .expect("a field")
            .clone()
    };
    let amount = field("amount");
    assert_eq!(
        (&amount["figure"], &amount["owner"]),
        (&"median".into(), &"shop".into())
    );
    let figures = amount["past"]["figures"].as_array().expect("a list");
    let number = |index: usize| figures[index].as_f64().expect("a number");
    assert_eq!(figures.len(), KEPT);
    assert!((50.0..150.0).contains(&number(0)), "{amount:#}");
    assert!(
        number(KEPT - 1) > 200.0,
        "the newest is the last: {amount:#}"
    );
    assert_eq!(amount["drifts"]["tests"][0]["test"], "numbers");
    let status = field("status");
    assert!(
        status["drifts"].is_null() && status["figure"] == "psi",
        "{status:#}"
    );
    let top = status["top"]["value"].as_str().expect("a value");
    assert!(STATUS.contains(&top), "{status:#}");
    let email = field("email");
    assert_eq!(
        (&email["personal"], &email["top"]["value"]),
        (&true.into(), &"e-mail".into())
    );
    assert!(!report.to_string().contains("example.org"));
}
