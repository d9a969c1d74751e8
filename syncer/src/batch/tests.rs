//! What comes out of the assembler, as text.

use std::time::Duration;

use super::*;
use crate::{
    decode::UnitDecoder,
    grace::Grace,
    rdb::value::Family,
    resp::encode,
    target::examine::Capabilities,
    terms::{Question, Terms},
    translate::Known,
};

fn text(batch: &Batch) -> Vec<String> {
    let mut command = Command::default();
    let mut at = 0;
    let mut lines = Vec::new();
    while at < batch.bytes.len() {
        let end = command.parse(&batch.bytes, at).unwrap().unwrap();
        let words: Vec<_> = (0..command.argument_count())
            .map(|i| String::from_utf8_lossy(command.argument(&batch.bytes, i).unwrap()))
            .collect();
        lines.push(words.join(" "));
        at = end;
    }
    lines
}

fn assemble(commands: &[&[&str]]) -> (Batch, Option<UnitRefusal>) {
    let mut decoder = UnitDecoder::new(Offset(0));
    for command in commands {
        encode::command(decoder.input(), command);
    }
    let target = Capabilities::for_tests(Family::Redis, 12);
    let grace = Grace::new(Duration::from_secs(60));
    let mut terms = Terms::new(target, Known::new(&target, false), grace);
    terms.allow(DbIndex(2));
    let mut assembler = Assembler::new(None, terms);
    let mut batch = Batch::default();
    while let Some(unit) = decoder.next_unit().unwrap() {
        if let Err(refusal) = assembler.add(&mut batch, decoder.buffer(), &unit) {
            return (batch, Some(refusal));
        }
    }
    (batch, None)
}

#[test]
fn a_source_transaction_lies_flat_in_the_batch_and_databases_change_only_where_they_must() {
    let (mut batch, refusal) = assemble(&[
        &["SELECT", "0"],
        &["SET", "a", "1"],
        &["MULTI"],
        &["INCR", "b"],
        &["SELECT", "2"],
        &["INCR", "c"],
        &["EXEC"],
        &["SELECT", "2"],
        &["DEL", "x", "redissync:default:0"],
        &["PING"],
    ]);
    assert_eq!(refusal, None);
    batch.select_record_db();
    assert_eq!(text(&batch), ["SET a 1", "INCR b", "SELECT 2", "INCR c", "DEL x", "SELECT 0"]);
    assert_eq!(batch.command_count, 6);
    assert_eq!(batch.units.len(), 6);
    assert_eq!(batch.units[5].db, Some(DbIndex(2)));
    assert_eq!(batch.unit_of(0), Some(1));
    assert_eq!(batch.unit_of(3), Some(2));
    assert_eq!(batch.unit_of(4), Some(4));
    assert_eq!(batch.unit_of(5), None, "the record's own commands");
    assert_eq!(
        batch.last_data_unit().map(|unit| unit.end),
        Some(batch.units[4].end),
        "PING is no data"
    );
    assert_eq!(Batch::default().last_data_unit(), None);
    batch.truncate(5);
    batch.select_record_db();
    assert_eq!(text(&batch), ["SET a 1", "INCR b", "SELECT 2", "INCR c", "DEL x", "SELECT 0"]);
    batch.truncate(2);
    batch.select_record_db();
    assert_eq!(text(&batch), ["SET a 1"], "database 0 is selected already");
    assert_eq!(batch.command_count, 1);
}

#[test]
fn promise_6_times_of_expiry_get_the_grace_and_all_else_stays_as_it_came() {
    let (batch, refusal) = assemble(&[
        &["SELECT", "0"],
        &["SET", "k", "PX", "NX", "PXAT", "1000"],
        &["set", "k", "v", "keepttl"],
        &["PEXPIREAT", "k", "1000", "GT"],
        &["MULTI"],
        &["EXPIRE", "k", "10"],
        &["SETEX", "k", "10", "v"],
        &["EXEC"],
        &["HPEXPIREAT", "h", "1000", "FIELDS", "1", "f"],
        &["RESTORE", "k", "1000", "\0\u{1}v\u{b}\0\0\0\0\0\0\0\0\0", "ABSTTL"],
        &["RESTORE", "k", "0", "\0\u{1}v\u{b}\0\0\0\0\0\0\0\0\0"],
        &["PEXPIREAT", "k", "281474976710654"],
    ]);
    assert_eq!(refusal, None);
    assert_eq!(
        text(&batch),
        [
            "SET k PX NX PXAT 61000",
            "set k v keepttl",
            "PEXPIREAT k 61000 GT",
            "EXPIRE k 70",
            "SETEX k 70 v",
            "HPEXPIREAT h 61000 FIELDS 1 f",
            "SET k v",
            "PEXPIREAT k 61000",
            "SET k v",
            "PEXPIREAT k 281474976710654",
        ]
    );
    assert_eq!(batch.counts.expiring, 7);
}

#[test]
fn a_refused_unit_leaves_no_trace_in_the_batch() {
    let (batch, refusal) = assemble(&[
        &["SELECT", "0"],
        &["SET", "a", "1"],
        &["MULTI"],
        &["SELECT", "2"],
        &["SET", "b", "1"],
        &["SWAPDB", "0", "1"],
        &["EXEC"],
    ]);
    assert!(matches!(refusal, Some(UnitRefusal::Refused { .. })));
    assert_eq!(text(&batch), ["SET a 1"]);
    assert_eq!(batch.units.len(), 2);
}

#[test]
fn a_command_for_a_database_that_the_target_may_lack_is_held_back() {
    let (batch, refusal) = assemble(&[&["SELECT", "9"], &["SET", "a", "1"]]);
    assert_eq!(refusal, Some(UnitRefusal::Unasked(Question::Database(DbIndex(9)))));
    assert!(!batch.has_commands());
}

#[test]
fn a_command_whose_database_is_not_known_is_refused() {
    assert_eq!(assemble(&[&["SET", "a", "1"]]).1, Some(UnitRefusal::UnknownDatabase));
}
