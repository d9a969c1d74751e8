//! The closing comparison, and in words what was seen.

use anyhow::Result;
use redis::Connection;

use super::{
    screen::{Screen, grouped},
    watch::Failover,
};
use crate::{CompareOptions, Ledger, compare, ledger::TornPairs, syncer::Report};

/// What the run has gathered.
pub(super) struct Evidence {
    pub(super) ledger: Ledger,
    pub(super) pairs: TornPairs,
    pub(super) report: Report,
    /// The first copy, and one for each failover that took writes of the source back.
    pub(super) needed_copies: u64,
    pub(super) failovers: [Failover; 2],
}

impl Evidence {
    /// Compares both sides, says what was seen and whether all of it is as promised.
    pub(super) fn judge(
        &self,
        screen: &Screen,
        source: &mut Connection,
        target: &mut Connection,
    ) -> Result<bool> {
        let comparison = compare(source, target, &CompareOptions::synced())?;
        screen.plain("");
        screen.title("What was seen");
        for failover in &self.failovers {
            screen.plain(&format!("  seen  {}", tell(failover)));
        }
        let mut is_good = true;
        let mut find = |good: bool, text: &str| {
            is_good &= good;
            screen.finding(good, text);
        };
        let copies = self.report.full_copy_count().unwrap_or_default();
        find(copies == self.needed_copies, &self.tell_copies(copies));
        let text = if comparison.is_equal() {
            format!(
                "0 differences in {} keys: type and value are the same on both sides, and what expires does so 1 h later at the target.",
                grouped(comparison.keys)
            )
        } else {
            comparison.to_string()
        };
        find(comparison.is_equal() && comparison.keys > 0, &text);
        let TornPairs { read, torn, examples } = &self.pairs;
        let pairs = if *torn == 0 {
            format!(
                "no pair of a transaction was ever seen torn at the target, in {} looks.",
                grouped(*read)
            )
        } else {
            format!(
                "{torn} of {read} pairs of a transaction were seen torn: {}",
                examples.join("; ")
            )
        };
        find(*torn == 0 && *read > 0, &pairs);
        let (good, text) = self.judge_ledger(source, target);
        find(good, &text);
        screen.plain("");
        screen.title(if is_good { "All as promised." } else { "Something is wrong: see above." });
        Ok(is_good)
    }

    fn tell_copies(&self, copies: u64) -> String {
        match (copies, self.needed_copies) {
            (1, 1) => "one full copy, the first; neither failover needed another.".to_string(),
            (copies, needed) if copies == needed => format!(
                "{copies} full copies: the first, and one since the source's failover took writes back."
            ),
            (copies, needed) => format!(
                "{copies} full copies where {needed} was right; the last one's reason: {}.",
                self.report.last_full_copy_reason()
            ),
        }
    }

    /// A failover of the source may lose writes that it had acknowledged: its replication is asynchronous. So the
    /// accounts bound what both sides hold from above, and the two must hold the same.
    fn judge_ledger(&self, source: &mut Connection, target: &mut Connection) -> (bool, String) {
        let counted = self
            .ledger
            .verify_not_repeated(source)
            .and_then(|at_source| Ok((at_source, self.ledger.verify_not_repeated(target)?)));
        match counted {
            Err(err) => (false, format!("{err:#}")),
            Ok((at_source, at_target)) => {
                let lost = at_source.acknowledged.saturating_sub(at_source.applied);
                let loss = if lost == 0 {
                    "every acknowledged write is there".to_string()
                } else {
                    format!(
                        "{} acknowledged writes went with the source's killed master, before any replica had them",
                        grouped(lost)
                    )
                };
                let text = format!(
                    "of {} writes sent, {} were acknowledged; of the counted ones the source holds {} and the \
                     target {}, none of them twice; {loss}.",
                    grouped(self.ledger.counts.sent),
                    grouped(self.ledger.counts.acknowledged),
                    grouped(at_source.applied),
                    grouped(at_target.applied),
                );
                (at_source.applied == at_target.applied && at_target.applied > 0, text)
            }
        }
    }
}

fn tell(failover: &Failover) -> String {
    format!(
        "the {}'s master {} was killed at {:.1} s; the sentinels promoted {} {:.1} s later, and the syncer went on \
         {:.1} s after that. The lag reached {} ms.",
        failover.side,
        failover.old,
        failover.killed_at.as_secs_f64(),
        failover.new,
        failover.promoted_after.as_secs_f64(),
        failover.going_on_after.saturating_sub(failover.promoted_after).as_secs_f64(),
        grouped(failover.lag_milliseconds_max),
    )
}
