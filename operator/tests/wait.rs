//! Waiting for a condition with a deadline.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use tokio::time::sleep;

/// Between two looks: short against every time that a test measures.
const LOOK: Duration = Duration::from_millis(50);

/// Asks until there is an answer, and returns it with the time that it took; panics with the last refusal at the deadline.
pub(crate) async fn until<T, R: Debug>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, R>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return (answer, started.elapsed()),
            Err(refusal) if started.elapsed() >= within => {
                panic!("{what}: not so within {within:?}; last seen: {refusal:#?}")
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}
