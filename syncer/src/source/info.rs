//! What a source says of its own history (`INFO replication`), and why a full copy was needed. Pure.

use crate::{
    contract::FullCopyReason,
    position::{Offset, Position, ReplId},
};

/// A source's history as it says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The current name.
    pub replid: ReplId,
    /// The name before the last promotion.
    pub replid2: Option<ReplId>,
    /// The first offset that is *not* in the history of that name.
    pub second_offset: u64,
    /// How far the source is.
    pub offset: Offset,
    /// The first byte that the backlog holds; `None` without a backlog.
    pub backlog_first: Option<u64>,
    /// What the backlog can hold, whether or not there is one yet.
    pub backlog_bytes: Option<u64>,
}

impl History {
    /// Parses `INFO replication`. `None` before 2.8.18, which has no replids, and from what is no INFO.
    pub fn parse(info: &str) -> Option<Self> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let number = |name| field(name).and_then(|text| text.parse::<i64>().ok());
        let has_backlog = number("repl_backlog_active") == Some(1);
        Some(Self {
            replid: field("master_replid")?.parse().ok()?,
            // All zeros: there never was another name.
            replid2: field("master_replid2")
                .and_then(|id| id.parse().ok())
                .filter(|_| number("second_repl_offset").is_some_and(|offset| offset > 0)),
            second_offset: number("second_repl_offset")
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0),
            offset: Offset(number("master_repl_offset").and_then(|n| u64::try_from(n).ok())?),
            backlog_first: has_backlog
                .then(|| {
                    number("repl_backlog_first_byte_offset").and_then(|n| u64::try_from(n).ok())
                })
                .flatten(),
            backlog_bytes: number("repl_backlog_size").and_then(|n| u64::try_from(n).ok()),
        })
    }

    /// The last offset of the history called `replid` that is in this source's history too. `None`: it knows nothing
    /// of that name.
    pub fn shared_end(&self, replid: ReplId) -> Option<Offset> {
        if replid == self.replid {
            Some(self.offset)
        } else if Some(replid) == self.replid2 {
            Some(Offset(self.second_offset.saturating_sub(1)))
        } else {
            None
        }
    }

    /// Why this source answers FULLRESYNC to somebody who asks to go on from `asked`.
    pub fn full_copy_reason(&self, asked: Position) -> FullCopyReason {
        match self.shared_end(asked.replid) {
            None => FullCopyReason::HistoryReset,
            // A master that lost a tail, or a promoted replica that never had it: what we applied may be gone.
            Some(end) if asked.offset > end => FullCopyReason::SourceRollback,
            Some(_) => match self.backlog_first {
                Some(first) if first <= asked.offset.0 + 1 => FullCopyReason::HistoryReset,
                _ => FullCopyReason::BacklogOverrun,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let info = format!(
            "# Replication\r\nrole:master\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:900\r\n\
             second_repl_offset:501\r\nrepl_backlog_active:1\r\nrepl_backlog_first_byte_offset:301\r\n",
            "a".repeat(40),
            "b".repeat(40)
        );
        History::parse(&info).unwrap()
    }

    fn at(name: &str, offset: u64) -> Position {
        Position { replid: name.repeat(40).parse().unwrap(), offset: Offset(offset) }
    }

    #[test]
    fn the_reason_of_a_full_copy_follows_from_the_history() {
        use FullCopyReason::{BacklogOverrun, HistoryReset, SourceRollback};
        let table = [
            (at("a", 299), BacklogOverrun),
            (at("b", 299), BacklogOverrun),
            (at("b", 501), SourceRollback),
            (at("a", 901), SourceRollback),
            (at("c", 400), HistoryReset),
        ];
        for (asked, reason) in table {
            assert_eq!(history().full_copy_reason(asked), reason, "{asked}");
        }
    }

    #[test]
    fn the_old_name_is_good_up_to_the_promotion() {
        let end = |name: &str| history().shared_end(name.repeat(40).parse().unwrap());
        assert_eq!(end("a"), Some(Offset(900)));
        assert_eq!(end("b"), Some(Offset(500)));
        assert_eq!(end("c"), None);
    }

    #[test]
    fn a_source_that_never_failed_over_has_no_old_name() {
        let info = format!(
            "master_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:9\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n",
            "a".repeat(40),
            "0".repeat(40)
        );
        let history = History::parse(&info).unwrap();
        assert_eq!((history.replid2, history.backlog_first), (None, None));
        assert_eq!(History::parse("role:master\r\nmaster_repl_offset:9\r\n"), None);
    }
}
