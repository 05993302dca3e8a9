//! Threads beside the workers. A process that ends while one of them is inside librdkafka can crash on its way out, so
//! whoever ends them waits for them, within a bound.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::FatalError;

/// Longer than the longest question to a broker.
const PATIENCE: Duration = Duration::from_secs(4);

/// Ends its threads when it is dropped.
pub(crate) struct Beside {
    end: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Beside {
    pub(crate) fn new(end: CancellationToken) -> Beside {
        Beside {
            end,
            threads: Vec::new(),
        }
    }

    /// Starts one. It ends soon after the token is cancelled.
    pub(crate) fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce(&CancellationToken) + Send + 'static,
    ) -> Result<(), FatalError> {
        let end = self.end.clone();
        let what = format!("thread {name}");
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || run(&end))
            .map_err(|error| FatalError::Start(format!("{what}: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.end.cancel();
        let deadline = Instant::now() + PATIENCE;
        while !self.threads.iter().all(JoinHandle::is_finished) {
            if Instant::now() >= deadline {
                tracing::debug!("a thread beside the workers has not ended in time");
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn threads_have_ended_when_it_is_dropped() {
        let has_ended = Arc::new(AtomicBool::new(false));
        let mut beside = Beside::new(CancellationToken::new());
        let ended = Arc::clone(&has_ended);
        let run = move |end: &CancellationToken| {
            while !end.is_cancelled() {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            std::thread::park_timeout(Duration::from_millis(50));
            ended.store(true, Ordering::SeqCst);
        };
        beside.spawn("beside".to_owned(), run).expect("a thread");
        drop(beside);
        assert!(has_ended.load(Ordering::SeqCst));
    }
}
