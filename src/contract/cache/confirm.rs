//! What was answered from the disk while the registry was away is asked of it as soon as it answers again.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Entry, Shared};
use crate::contract::registry::RegistryError;

/// Asks the registry for what was answered from the disk, one id at a time, until it has confirmed or replaced all.
pub(super) async fn confirm(shared: Weak<Shared>) {
    loop {
        let (id, wait) = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut state = shared.lock();
            let Some(id) = state.unconfirmed.first().copied() else {
                state.confirming = false;
                return;
            };
            let now = Instant::now();
            let pause = state.retry_at.map(|at| at.saturating_duration_since(now));
            (id, pause.unwrap_or_default())
        };
        // Never at once: an answer that does not count as an outage must not become a busy loop.
        tokio::time::sleep(wait.max(Duration::from_millis(20))).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if shared.lock().retry_at.is_some_and(|at| at > Instant::now()) {
            continue;
        }
        shared.fetches.fetch_add(1, Ordering::Relaxed);
        let said = shared.ask(id).await;
        let mut state = shared.lock();
        let used = state.clock;
        let entry = match said {
            Ok(schema) => Entry::Ready {
                schema: Arc::new(schema),
                used,
            },
            Err(RegistryError::UnknownId(_)) => Entry::Unknown {
                until: Instant::now() + shared.settings.unknown_ttl,
                used,
            },
            Err(failure) => {
                shared.failures.fetch_add(1, Ordering::Relaxed);
                state.failed(&failure, Instant::now());
                continue;
            }
        };
        state.answered();
        state.unconfirmed.remove(&id);
        let as_kept = match (state.entries.get(&id), &entry) {
            (Some(Entry::Ready { schema: kept, .. }), Entry::Ready { schema, .. }) => {
                // Subjects too: a verdict may rest on them.
                kept == schema
            }
            // Evicted since, or being asked anew. What was answered then is not known any more, so plans of it must go.
            _ => false,
        };
        if !matches!(state.entries.get(&id), Some(Entry::Pending)) {
            shared.put(&mut state, id, entry);
        }
        drop(state);
        if !as_kept {
            tracing::error!(
                schema = id,
                "the registry has another schema under this id than was kept in registry.cache_dir: the registry's is used from here on"
            );
            shared.replaced.fetch_add(1, Ordering::Release);
        }
    }
}
