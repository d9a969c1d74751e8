//! Waiting for a condition: never for a time to pass.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Short against anything that a test waits for, long against what a look costs.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `look` gives a value, and returns it.
///
/// `Ok(None)` is "not yet". An error is "not yet" too, since a server that restarts refuses connections for a while;
/// the last one is part of the message when the time is up, so say in it what was seen.
pub fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(err) => Some(err),
        };
        if begun.elapsed() >= timeout {
            match last {
                Some(err) => bail!("waited {timeout:?} in vain for {what}; at last: {err:#}"),
                None => bail!("waited {timeout:?} in vain for {what}"),
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn error_names_what_was_waited_for_and_what_was_seen() {
        let err = wait_until("spring", Duration::from_millis(30), || -> Result<Option<()>> {
            Err(anyhow!("snow"))
        })
        .unwrap_err();
        assert_eq!(err.to_string(), "waited 30ms in vain for spring; at last: snow");
    }

    #[test]
    fn the_first_value_ends_the_wait() {
        let mut looks = 0;
        let value = wait_until("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }
}
