//! The record: one hash key per link in the target, written by the batch that it describes (Promise 2). It is the
//! truth about what has been applied; everything else (spool, status, acknowledgements) only mirrors it.
//!
//! It lives in database 0 as `redissync:<pairID>:<link>`. Every batch writes all of its fields, last, so that a
//! FLUSHALL in the stream cannot lose one.

use serde::{Deserialize, Serialize};

use crate::{
    contract::{HaltReason, Owner, Timestamp},
    position::{DbIndex, Offset, Position, ReplId},
    resp::{encode, frame::Frame},
    spool::CopyId,
};

/// The format of the fields. A record of another format is left alone.
const FORMAT: &str = "1";

/// Whether the data are those of a stream's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPhase {
    /// A full copy has begun and not ended: there is no position to go on from.
    Copying,
    /// The full copy has ended; the position says what is applied.
    Complete,
}

impl CopyPhase {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "Copying",
            Self::Complete => "Complete",
        }
    }
}

/// A position and the database that the source had selected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// Where.
    pub position: Position,
    /// `None` only between a full copy and the first SELECT behind it.
    pub db: Option<DbIndex>,
}

/// The batch that wrote the record, while its replies were not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UncheckedBatch {
    /// The position before it.
    pub start: Offset,
    /// The end of its last unit.
    pub end: Offset,
}

/// What a link halted at. It outlives restarts; a human releases it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedHalt {
    /// Why.
    pub reason: HaltReason,
    /// The same in a sentence.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The end of the unit in question.
    pub offset: Option<u64>,
    /// Whether that unit's batch was applied, the rejected command left out (its error came at EXEC), or not.
    pub is_passed: bool,
    /// The full copy in question.
    pub copy_id: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// The `release` that stood in the configuration when it halted: it was meant for an earlier halt, whatever it
    /// names (a unit that was tried again may be refused again).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_release: Option<String>,
}

/// What a human allowed, bound to the halt that he saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consent {
    /// Go on behind the unit that ends here.
    SkipUnit(u64),
    /// Apply the unit that ends here after all: what refused it was put right.
    RetryUnit(u64),
    /// Make a full copy.
    CopyAgain,
    /// Let this full copy's sweep delete what it found.
    AllowSweep(String),
}

/// The record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who may write.
    pub owner: Owner,
    /// The full copy that the data stem from.
    pub copy_id: CopyId,
    /// Whether it has ended.
    pub copy_phase: CopyPhase,
    /// What is applied; `None` during a full copy.
    pub position: Option<StreamPosition>,
    /// The end of the last unit with data in it, and the database there. Between it and the position lies housekeeping
    /// of the source only (PING, the Sentinels' hello), which a promoted replica may lack without any loss.
    pub data_end: Option<(Offset, Option<DbIndex>)>,
    /// The batch that is never assumed good after a kill (Promise 8).
    pub unchecked: Option<UncheckedBatch>,
    /// How many unchecked batches were passed over without a comparison, since the last full copy.
    pub unverified: u64,
    /// How many keys the target had before this copy, and those that were cut short before it.
    pub keys_before: u64,
    /// The consent to sweep counts until a copy has ended (Promise 5).
    pub is_sweep_allowed: bool,
    /// What the link halted at.
    pub halt: Option<RecordedHalt>,
    /// What a human answered to that.
    pub consent: Option<Consent>,
}

/// Why a record cannot be read. Nothing is written then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A newer version wrote it.
    #[error("the record has format {0:?}; this version writes format 1")]
    Format(String),
    /// A field is missing or not what it should be.
    #[error("the record's field {0} is missing or invalid")]
    Field(&'static str),
}

/// The key of a link's record.
pub fn record_key(pair_id: &str, link: &str) -> String {
    format!("redissync:{pair_id}:{link}")
}

/// The key of an owner's sign of life: beside the record, so that it does not break who watches the record.
pub fn alive_key(pair_id: &str, link: &str) -> String {
    format!("redissync:{pair_id}:{link}:alive")
}

impl Record {
    /// The owner as its field has it.
    pub fn owner_text(owner: &Owner) -> String {
        format!("{}:{}", owner.term, owner.nonce)
    }

    /// The position without the housekeeping at its end: nothing is lost by going on from there.
    pub fn data_position(&self) -> Option<StreamPosition> {
        let position = self.position?;
        let Some((offset, db)) = self.data_end else { return Some(position) };
        Some(StreamPosition { position: Position { offset, ..position.position }, db })
    }

    /// A unit that was to be skipped lies behind: the consent is used up.
    pub fn drop_passed_consent(&mut self, offset: Offset) {
        if matches!(self.consent, Some(Consent::SkipUnit(end)) if end <= offset.0) {
            self.consent = None;
        }
    }

    /// Appends `HMSET <key> …` with all fields.
    pub fn encode(&self, key: &str, out: &mut Vec<u8>) {
        let json = |halt: Option<String>| halt.unwrap_or_default();
        let (replid, offset, db) = match &self.position {
            None => (String::new(), String::new(), String::new()),
            Some(at) => (
                at.position.replid.to_string(),
                at.position.offset.to_string(),
                at.db.map_or_else(String::new, |db| db.to_string()),
            ),
        };
        let (data_offset, data_db) = self.data_end.map_or_else(Default::default, |(offset, db)| {
            (offset.to_string(), db.map_or_else(String::new, |db| db.to_string()))
        });
        let unchecked = self
            .unchecked
            .map_or_else(String::new, |batch| format!("{}-{}", batch.start, batch.end));
        let fields: [(&str, &str); 15] = [
            ("format", FORMAT),
            ("owner", &Self::owner_text(&self.owner)),
            ("replid", &replid),
            ("offset", &offset),
            ("db", &db),
            ("dataOffset", &data_offset),
            ("dataDb", &data_db),
            ("copyId", &self.copy_id.to_string()),
            ("copyPhase", self.copy_phase.as_str()),
            ("unchecked", &unchecked),
            ("unverified", &self.unverified.to_string()),
            ("keysBefore", &self.keys_before.to_string()),
            ("sweepAllowed", if self.is_sweep_allowed { "1" } else { "0" }),
            ("halt", &json(self.halt.as_ref().and_then(|halt| serde_json::to_string(halt).ok()))),
            ("consent", &json(self.consent.as_ref().and_then(|c| serde_json::to_string(c).ok()))),
        ];
        encode::array_header(out, 2 + 2 * fields.len());
        // HSET takes several fields from 4.0 on; this is understood everywhere.
        encode::bulk(out, b"HMSET");
        encode::bulk(out, key.as_bytes());
        for (name, value) in fields {
            encode::bulk(out, name.as_bytes());
            encode::bulk(out, value.as_bytes());
        }
    }

    /// Reads the answer to HGETALL; `None` if there is no record.
    pub fn parse(reply: &Frame) -> Result<Option<Self>, RecordError> {
        let elements = reply.array().ok_or(RecordError::Field("format"))?;
        if elements.is_empty() {
            return Ok(None);
        }
        let field = |name: &'static str| {
            elements
                .chunks_exact(2)
                .find(|pair| pair[0].bytes() == Some(name.as_bytes()))
                .and_then(|pair| pair[1].text())
                .ok_or(RecordError::Field(name))
        };
        let format = field("format")?;
        if format != FORMAT {
            return Err(RecordError::Format(format.chars().take(20).collect()));
        }
        Ok(Some(Self {
            owner: parse_owner(field("owner")?).ok_or(RecordError::Field("owner"))?,
            copy_id: field("copyId")?.parse().map_err(|_| RecordError::Field("copyId"))?,
            copy_phase: match field("copyPhase")? {
                "Copying" => CopyPhase::Copying,
                "Complete" => CopyPhase::Complete,
                _ => return Err(RecordError::Field("copyPhase")),
            },
            position: parse_position(field("replid")?, field("offset")?, field("db")?)?,
            data_end: parse_data_end(field("dataOffset")?, field("dataDb")?)?,
            unchecked: match field("unchecked")? {
                "" => None,
                text => Some(parse_unchecked(text).ok_or(RecordError::Field("unchecked"))?),
            },
            unverified: field("unverified")?
                .parse()
                .map_err(|_| RecordError::Field("unverified"))?,
            keys_before: field("keysBefore")?
                .parse()
                .map_err(|_| RecordError::Field("keysBefore"))?,
            is_sweep_allowed: field("sweepAllowed")? == "1",
            halt: parse_json(field("halt")?).ok_or(RecordError::Field("halt"))?,
            consent: parse_json(field("consent")?).ok_or(RecordError::Field("consent"))?,
        }))
    }
}

fn parse_owner(text: &str) -> Option<Owner> {
    let (term, nonce) = text.split_once(':')?;
    Some(Owner { term: term.parse().ok()?, nonce: nonce.to_owned() })
}

fn parse_position(
    replid: &str,
    offset: &str,
    db: &str,
) -> Result<Option<StreamPosition>, RecordError> {
    if replid.is_empty() {
        return Ok(None);
    }
    let replid: ReplId = replid.parse().map_err(|_| RecordError::Field("replid"))?;
    let offset = offset.parse().map(Offset).map_err(|_| RecordError::Field("offset"))?;
    let db = parse_db(db, "db")?;
    Ok(Some(StreamPosition { position: Position { replid, offset }, db }))
}

fn parse_db(text: &str, name: &'static str) -> Result<Option<DbIndex>, RecordError> {
    match text {
        "" => Ok(None),
        db => db.parse().map(|db| Some(DbIndex(db))).map_err(|_| RecordError::Field(name)),
    }
}

fn parse_data_end(
    offset: &str,
    db: &str,
) -> Result<Option<(Offset, Option<DbIndex>)>, RecordError> {
    if offset.is_empty() {
        return Ok(None);
    }
    let offset = offset.parse().map(Offset).map_err(|_| RecordError::Field("dataOffset"))?;
    Ok(Some((offset, parse_db(db, "dataDb")?)))
}

fn parse_unchecked(text: &str) -> Option<UncheckedBatch> {
    let (start, end) = text.split_once('-')?;
    Some(UncheckedBatch { start: Offset(start.parse().ok()?), end: Offset(end.parse().ok()?) })
}

/// The outer `None` is an invalid text.
#[expect(clippy::option_option, reason = "outer: the text is valid; inner: there is something")]
fn parse_json<T: serde::de::DeserializeOwned>(text: &str) -> Option<Option<T>> {
    match text {
        "" => Some(None),
        text => serde_json::from_str(text).ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::command::Command;

    fn as_reply(record: &Record) -> Frame {
        let mut buf = Vec::new();
        record.encode("k", &mut buf);
        let mut command = Command::default();
        command.parse(&buf, 0).unwrap().unwrap();
        let arguments = 2..command.argument_count();
        Frame::Array(
            arguments.map(|i| Frame::Bulk(command.argument(&buf, i).unwrap().to_vec())).collect(),
        )
    }

    fn record() -> Record {
        Record {
            owner: Owner { term: 7, nonce: "n1".into() },
            copy_id: "00000000000000ab".parse().unwrap(),
            copy_phase: CopyPhase::Complete,
            position: Some(StreamPosition {
                position: Position { replid: "a".repeat(40).parse().unwrap(), offset: Offset(99) },
                db: Some(DbIndex(3)),
            }),
            data_end: Some((Offset(95), None)),
            unchecked: Some(UncheckedBatch { start: Offset(90), end: Offset(99) }),
            unverified: 2,
            keys_before: 5,
            is_sweep_allowed: true,
            halt: Some(RecordedHalt {
                reason: HaltReason::CommandRejected,
                message: "WRONGTYPE".into(),
                remedy: "look".into(),
                offset: Some(99),
                is_passed: true,
                copy_id: None,
                since: Timestamp::from_millis(5),
                stale_release: None,
            }),
            consent: Some(Consent::SkipUnit(99)),
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let full = record();
        assert_eq!(Record::parse(&as_reply(&full)), Ok(Some(full)));
        let bare = Record {
            copy_phase: CopyPhase::Copying,
            position: None,
            data_end: None,
            unchecked: None,
            is_sweep_allowed: false,
            halt: None,
            consent: None,
            ..record()
        };
        assert_eq!(Record::parse(&as_reply(&bare)), Ok(Some(bare)));
    }

    #[test]
    fn no_record_and_a_foreign_record_are_told_apart() {
        assert_eq!(Record::parse(&Frame::Array(vec![])), Ok(None));
        let pair = |name: &str, value: &str| [Frame::Bulk(name.into()), Frame::Bulk(value.into())];
        let newer = Frame::Array(pair("format", "2").to_vec());
        assert_eq!(Record::parse(&newer), Err(RecordError::Format("2".into())));
        let broken = Frame::Array(pair("format", "1").to_vec());
        assert_eq!(Record::parse(&broken), Err(RecordError::Field("owner")));
    }
}
