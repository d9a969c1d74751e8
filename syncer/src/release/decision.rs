//! A decision about a halt, and whether it counts for the halt that is there. Pure.
//!
//! It comes from the command line (`redissync-syncer release`) or stands in the configuration (`release`). Both ways
//! end in the same consent in the record; what is bound to another halt is refused, with the reason.

use std::fmt;

use crate::{
    contract::HaltReason,
    record::{Consent, RecordedHalt},
};

/// What tells one halt from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HaltMark {
    /// The end of the unit that it halted at.
    Offset(u64),
    /// The full copy that it halted in.
    CopyId(String),
}

/// A decision about a halt. It names what it was taken for and counts for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on without one unit.
    SkipUnit {
        /// The unit's end, as the halt has it.
        offset: u64,
    },
    /// Try one unit again.
    RetryUnit {
        /// The unit's end, as the halt has it.
        offset: u64,
    },
    /// Copy everything again.
    CopyAgain {
        /// The halt that it is for; `None` (the command line): whichever is there now.
        mark: Option<HaltMark>,
    },
    /// Let one sweep remove more than the set share.
    AllowSweep {
        /// The full copy, as the halt has it.
        copy_id: String,
    },
}

impl fmt::Display for HaltMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(offset) => write!(f, "offset {offset}"),
            Self::CopyId(copy_id) => write!(f, "copyID {copy_id}"),
        }
    }
}

/// How a person gives it, both ways: what a remedy says.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "action {} (`redissync-syncer release ", self.words())?;
        match self {
            Self::SkipUnit { offset } => write!(f, "--skip-unit {offset}`)"),
            Self::RetryUnit { offset } => write!(f, "--retry-unit {offset}`)"),
            Self::CopyAgain { .. } => f.write_str("--copy-again`)"),
            Self::AllowSweep { copy_id } => write!(f, "--allow-sweep {copy_id}`)"),
        }
    }
}

impl Decision {
    /// A new copy for the halt at the unit that ends there.
    pub fn copy_again_at(offset: u64) -> Self {
        Self::CopyAgain { mark: Some(HaltMark::Offset(offset)) }
    }

    /// A new copy for the halt in this copy.
    pub fn copy_again_after(copy_id: impl ToString) -> Self {
        Self::CopyAgain { mark: Some(HaltMark::CopyId(copy_id.to_string())) }
    }

    /// The decision as the configuration has it, in words. The record keeps them (`stale_release`): never change them.
    pub fn words(&self) -> String {
        match self {
            Self::SkipUnit { offset } => format!("SkipUnit, {}", HaltMark::Offset(*offset)),
            Self::RetryUnit { offset } => format!("RetryUnit, {}", HaltMark::Offset(*offset)),
            Self::CopyAgain { mark: None } => "CopyAgain".to_owned(),
            Self::CopyAgain { mark: Some(mark) } => format!("CopyAgain, {mark}"),
            Self::AllowSweep { copy_id } => format!("AllowSweep, copyID {copy_id}"),
        }
    }

    /// The decision as the record takes it, bound to the halt that the human saw; else why it does not count.
    pub fn consent(&self, halt: &RecordedHalt) -> Result<Consent, String> {
        let elsewhere = |mark: &HaltMark| Err(format!("the link does not halt at {mark}"));
        match self {
            Self::CopyAgain { mark: None } => Ok(Consent::CopyAgain),
            Self::CopyAgain { mark: Some(mark) } if mark.is_of(halt) => Ok(Consent::CopyAgain),
            Self::CopyAgain { mark: Some(mark) } => elsewhere(mark),
            Self::SkipUnit { offset } if halt.offset == Some(*offset) => {
                Ok(Consent::SkipUnit(*offset))
            }
            Self::RetryUnit { offset } if halt.offset == Some(*offset) && !halt.is_passed => {
                Ok(Consent::RetryUnit(*offset))
            }
            Self::RetryUnit { offset } if halt.offset == Some(*offset) => {
                Err("the rest of that unit's batch was applied, so it cannot be tried again".into())
            }
            Self::SkipUnit { offset } | Self::RetryUnit { offset } => {
                elsewhere(&HaltMark::Offset(*offset))
            }
            Self::AllowSweep { copy_id }
                if halt.reason == HaltReason::SweepBrake
                    && halt.copy_id.as_deref() == Some(copy_id.as_str()) =>
            {
                Ok(Consent::AllowSweep(copy_id.clone()))
            }
            Self::AllowSweep { copy_id } => {
                Err(format!("no sweep of the copy {copy_id} waits for consent"))
            }
        }
    }
}

impl HaltMark {
    fn is_of(&self, halt: &RecordedHalt) -> bool {
        match self {
            Self::Offset(offset) => halt.offset == Some(*offset),
            Self::CopyId(copy_id) => halt.copy_id.as_ref() == Some(copy_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Timestamp;

    fn halt(reason: HaltReason, offset: Option<u64>, copy_id: Option<&str>) -> RecordedHalt {
        RecordedHalt {
            reason,
            message: "m".into(),
            remedy: "r".into(),
            offset,
            is_passed: true,
            copy_id: copy_id.map(str::to_owned),
            since: Timestamp::from_millis(0),
            stale_release: None,
        }
    }

    #[test]
    fn a_decision_counts_for_the_halt_that_it_names() {
        let rejected = halt(HaltReason::CommandRejected, Some(7), None);
        let refused = RecordedHalt { is_passed: false, ..rejected.clone() };
        let brake = halt(HaltReason::SweepBrake, None, Some("c1"));
        let corrupt = halt(HaltReason::CorruptRdb, None, Some("c1"));
        let skip = |offset| Decision::SkipUnit { offset };
        let retry = Decision::RetryUnit { offset: 7 };
        let allow = |copy: &str| Decision::AllowSweep { copy_id: copy.into() };
        let any = Decision::CopyAgain { mark: None };
        for (decision, halt, consent) in [
            (&skip(7), &rejected, Consent::SkipUnit(7)),
            (&retry, &refused, Consent::RetryUnit(7)),
            (&allow("c1"), &brake, Consent::AllowSweep("c1".into())),
            (&any, &brake, Consent::CopyAgain),
            (&Decision::copy_again_at(7), &rejected, Consent::CopyAgain),
            (&Decision::copy_again_after("c1"), &brake, Consent::CopyAgain),
            (&Decision::copy_again_after("c1"), &corrupt, Consent::CopyAgain),
        ] {
            assert_eq!(decision.consent(halt), Ok(consent), "{decision}");
        }
        for (decision, halt) in [
            // A part of the batch was applied.
            (&retry, &rejected),
            (&skip(8), &rejected),
            (&skip(7), &brake),
            (&allow("c2"), &brake),
            (&allow("c1"), &corrupt),
            (&Decision::copy_again_at(8), &rejected),
            (&Decision::copy_again_at(7), &brake),
            (&Decision::copy_again_after("c1"), &rejected),
            (&Decision::copy_again_after("c2"), &brake),
        ] {
            assert!(decision.consent(halt).is_err(), "{decision}");
        }
    }

    #[test]
    fn a_remedy_names_both_ways() {
        assert_eq!(
            Decision::copy_again_at(7).to_string(),
            "action CopyAgain, offset 7 (`redissync-syncer release --copy-again`)"
        );
        assert_eq!(
            Decision::AllowSweep { copy_id: "c1".into() }.to_string(),
            "action AllowSweep, copyID c1 (`redissync-syncer release --allow-sweep c1`)"
        );
    }
}
