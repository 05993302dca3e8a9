use super::*;

#[test]
fn pauses_double_up_to_a_bound() {
    for (earlier, random, expect) in [
        (0, 1.0, Duration::from_millis(200)),
        (0, 0.0, Duration::from_millis(150)),
        (3, 1.0, Duration::from_millis(1600)),
        (6, 1.0, Duration::from_secs(10)),
        (u32::MAX, 1.0, Duration::from_secs(10)),
    ] {
        assert_eq!(pause(earlier, random), expect, "after {earlier}");
    }
}

fn state() -> State {
    State {
        entries: HashMap::new(),
        bytes: 0,
        in_flight: 0,
        clock: 0,
        registry: RegistryState::Up,
        pauses: 0,
        retry_at: None,
        unconfirmed: BTreeSet::new(),
        confirming: false,
        probing: false,
        closed: false,
    }
}

fn outage(retry_after: Option<Duration>) -> RegistryError {
    RegistryError::Unavailable {
        message: "down".to_owned(),
        retry_after,
    }
}

#[test]
fn failures_together_are_one_pause_and_retry_after_is_honoured() {
    let mut state = state();
    let now = Instant::now();
    for _ in 0..16 {
        state.failed(&outage(None), now);
    }
    assert_eq!(state.pauses, 1);
    assert!(state.retry_at <= Some(now + FIRST_PAUSE));
    state.failed(&outage(Some(Duration::from_secs(60))), now);
    assert_eq!(state.retry_at, Some(now + Duration::from_secs(60)));
    state.failed(&outage(Some(Duration::from_secs(86_400))), now);
    assert_eq!(state.retry_at, Some(now + LONGEST_RETRY_AFTER));
    state.answered();
    assert_eq!((state.pauses, state.retry_at), (0, None));
}

#[test]
fn a_registry_that_is_down_is_asked_by_one_at_a_time() {
    let mut state = state();
    let now = Instant::now();
    state.failed(&outage(None), now);
    assert!(matches!(
        state.look(1, now, &|| false),
        Looked::Known(Answer::Unavailable { .. })
    ));
    let later = now + LONGEST_PAUSE;
    assert!(matches!(state.look(1, later, &|| false), Looked::Fetch));
    assert!(matches!(
        state.look(2, later, &|| false),
        Looked::Known(Answer::Pending)
    ));
    assert!(state.is_waiting(2));
}

#[test]
fn a_registry_that_is_down_is_probed_where_nobody_asks() {
    let mut state = state();
    let (now, after) = (Instant::now(), Duration::from_secs(15));
    assert!(!state.is_unasked(now, after), "up");
    state.failed(&outage(None), now);
    assert!(
        !state.is_unasked(now + after, after),
        "somebody may still ask"
    );
    let later = now + LONGEST_PAUSE + after;
    assert!(state.is_unasked(later, after));
    state.probing = true;
    assert!(!state.is_unasked(later, after), "one at a time");
    state.probing = false;
    assert!(matches!(state.look(1, later, &|| false), Looked::Fetch));
    assert!(!state.is_unasked(later, after), "a fetch is a probe");
}

#[test]
fn unknown_ids_are_evicted_before_schemas() {
    let mut state = state();
    let schema = Arc::new(Fetched {
        id: 1,
        kind: crate::contract::registry::SchemaKind::Avro,
        text: String::new(),
        references: Vec::new(),
        subjects: None,
    });
    let until = Instant::now();
    state.entries.insert(
        1,
        Entry::Ready {
            schema: Arc::clone(&schema),
            used: 1,
        },
    );
    state.entries.insert(2, Entry::Ready { schema, used: 2 });
    state.entries.insert(3, Entry::Unknown { until, used: 9 });
    state.entries.insert(4, Entry::Pending);
    let mut left = Vec::new();
    while state.evict() {
        let mut ids: Vec<u32> = state.entries.keys().copied().collect();
        ids.sort_unstable();
        left.push(ids);
    }
    assert_eq!(left, [vec![1, 2, 4], vec![2, 4], vec![4]]);
}

/// A topic where each record has an id of its own: what is held stays below what the README states.
#[test]
fn ten_thousand_ids_stay_within_the_bounds() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let registry = crate::config::model::Registry {
        url: "http://127.0.0.1:1".to_owned(),
        auth: crate::config::model::RegistryAuth::None,
        tls: crate::config::model::RegistryTls::default(),
        timeout: Duration::from_secs(1),
        cache_dir: None,
    };
    let client = RegistryClient::new(&registry).expect("a client");
    let settings = CacheSettings::default();
    // As long as the text of fifty fields with a line of doc each, and of ten times that.
    for text_bytes in [6_000, 50_000] {
        let cache = SchemaCache::new(client.clone(), runtime.handle().clone(), settings);
        let counted = allocation_counter::measure(|| {
            for id in 0..10_500 {
                let schema = Arc::new(Fetched {
                    id,
                    kind: crate::contract::registry::SchemaKind::Avro,
                    text: "x".repeat(text_bytes),
                    references: Vec::new(),
                    subjects: Some(vec![format!("orders-{id}-value")].into()),
                });
                let mut state = cache.shared.lock();
                state.clock += 1;
                let used = state.clock;
                let entry = Entry::Ready { schema, used };
                cache.shared.put(&mut state, id, entry);
            }
        });
        let stats = cache.stats();
        let held = cache.shared.lock().bytes;
        assert!(held <= settings.bytes, "{held} bytes of text");
        assert!(held > settings.bytes / 2, "{held} bytes of text");
        // What is around the texts is small beside them.
        let whole = usize::try_from(counted.bytes_current).expect("something is held");
        assert!(whole <= settings.bytes + 8 * 1024 * 1024, "{whole} bytes");
        assert!(stats.entries <= settings.capacity as u64, "{stats:?}");
        assert_eq!(stats.entries + stats.evictions, 10_500, "{stats:?}");
    }
}
