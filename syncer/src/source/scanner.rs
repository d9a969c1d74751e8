//! Follows the source's stream as it arrives, without keeping it: where units end, which database is selected,
//! whether the source asks for an acknowledgement.
//!
//! Sans-io and resumable at any byte: a command of 512 MiB costs no memory here. The same scanner runs over the
//! spool again, after a crash and before a cut, to find the last whole unit.

use crate::{
    position::{DbIndex, Offset},
    resp::{RespError, is_keep_alive},
};

/// As much of an argument as is looked at: `__sentinel__:hello` is the longest (18 bytes).
const CAPTURE_BYTES: usize = 24;
/// A length line (`*3`, `$100`) has a sign and at most 10 digits.
const HEADER_BYTES_MAX: usize = 16;

/// What a command means for the scanner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Multi,
    Exec,
    Select,
    GetAck,
    /// PING, the Sentinels' hello: moves the offset, carries no data.
    Housekeeping,
    Data,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a command's first byte.
    Start,
    /// In `*<count>`.
    ArrayHeader,
    /// Before or in `$<length>`.
    BulkHeader,
    /// In an argument's content or its CR LF; so many bytes are to come.
    Bulk(u64),
    /// In an inline command, up to its LF.
    Inline,
}

/// The first bytes of an argument.
#[derive(Clone, Default)]
struct Capture {
    bytes: [u8; CAPTURE_BYTES],
    length: usize,
}

impl Capture {
    fn push(&mut self, bytes: &[u8]) {
        let room = (CAPTURE_BYTES - self.length).min(bytes.len());
        self.bytes[self.length..self.length + room].copy_from_slice(&bytes[..room]);
        self.length += room;
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The scanner's state between two bytes.
#[derive(Clone)]
pub struct UnitScanner {
    offset: u64,
    state: State,
    header: Capture,
    arguments_left: u64,
    argument_index: usize,
    name: Capture,
    first: Capture,
    in_transaction: bool,
    transaction_has_data: bool,
    db: Option<DbIndex>,
    unit_end: Offset,
    unit_db: Option<DbIndex>,
    data_end: Offset,
    is_ack_wanted: bool,
}

impl UnitScanner {
    /// A scanner that stands at a unit's end.
    pub fn new(unit_end: Offset, db: Option<DbIndex>) -> Self {
        Self {
            offset: unit_end.0,
            state: State::Start,
            header: Capture::default(),
            arguments_left: 0,
            argument_index: 0,
            name: Capture::default(),
            first: Capture::default(),
            in_transaction: false,
            transaction_has_data: false,
            db,
            unit_end,
            unit_db: db,
            data_end: unit_end,
            is_ack_wanted: false,
        }
    }

    /// Behind the last byte scanned.
    pub fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    /// The end of the last whole unit.
    pub fn unit_end(&self) -> Offset {
        self.unit_end
    }

    /// The database selected there; `None` before the first SELECT of a stream whose start is not known.
    pub fn unit_db(&self) -> Option<DbIndex> {
        self.unit_db
    }

    /// The end of the last unit that is more than housekeeping: behind it nothing can be lost.
    pub fn data_end(&self) -> Offset {
        self.data_end
    }

    /// Whether `REPLCONF GETACK` came since this was last asked.
    pub fn take_ack_wanted(&mut self) -> bool {
        std::mem::take(&mut self.is_ack_wanted)
    }

    /// Takes the next bytes of the stream.
    pub fn scan(&mut self, mut bytes: &[u8]) -> Result<(), RespError> {
        while let Some(&first) = bytes.first() {
            let used = match self.state {
                State::Start => self.start(first),
                State::ArrayHeader => self.array_header(bytes)?,
                State::BulkHeader => self.bulk_header(bytes)?,
                State::Bulk(left) => self.bulk(bytes, left),
                State::Inline => self.inline(bytes)?,
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn start(&mut self, first: u8) -> usize {
        self.name = Capture::default();
        self.first = Capture::default();
        self.header = Capture::default();
        self.argument_index = 0;
        self.state = if first == b'*' { State::ArrayHeader } else { State::Inline };
        0
    }

    /// Gathers a header line up to its LF; true when it is complete.
    fn header_line(&mut self, bytes: &[u8]) -> Result<(usize, bool), RespError> {
        let end = bytes.iter().take(HEADER_BYTES_MAX + 1).position(|&byte| byte == b'\n');
        let used = end.map_or(bytes.len().min(HEADER_BYTES_MAX + 1), |end| end + 1);
        self.header.push(&bytes[..used]);
        self.offset += used as u64;
        if self.header.length > HEADER_BYTES_MAX {
            return Err(RespError::InvalidNumber("a length line without an end".into()));
        }
        Ok((used, end.is_some()))
    }

    fn header_number(&mut self, kind: u8, limit: u64) -> Result<u64, RespError> {
        let number = match self.header.get() {
            [first, digits @ .., b'\r', b'\n'] if *first == kind => super::number(digits, limit)?,
            [first, ..] if *first != kind => return Err(RespError::UnknownType(*first)),
            _ => return Err(RespError::MissingCrLf),
        };
        self.header = Capture::default();
        Ok(number)
    }

    fn array_header(&mut self, bytes: &[u8]) -> Result<usize, RespError> {
        let (used, is_complete) = self.header_line(bytes)?;
        if is_complete {
            self.arguments_left = self.header_number(b'*', crate::resp::ARGUMENT_COUNT_MAX)?;
            self.next_argument();
        }
        Ok(used)
    }

    fn bulk_header(&mut self, bytes: &[u8]) -> Result<usize, RespError> {
        let (used, is_complete) = self.header_line(bytes)?;
        if is_complete {
            let length = self.header_number(b'$', crate::resp::BULK_BYTES_MAX)?;
            self.state = State::Bulk(length + 2);
        }
        Ok(used)
    }

    fn bulk(&mut self, bytes: &[u8], left: u64) -> usize {
        let used = left.min(bytes.len() as u64) as usize;
        if self.argument_index < 2 {
            // The CR LF at the end is no content.
            let content = used.min(left.saturating_sub(2) as usize);
            let capture = if self.argument_index == 0 { &mut self.name } else { &mut self.first };
            capture.push(&bytes[..content]);
        }
        self.offset += used as u64;
        let left = left - used as u64;
        if left > 0 {
            self.state = State::Bulk(left);
        } else {
            self.argument_index += 1;
            self.arguments_left -= 1;
            self.next_argument();
        }
        used
    }

    fn next_argument(&mut self) {
        if self.arguments_left > 0 {
            self.state = State::BulkHeader;
        } else {
            self.end_command();
        }
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<usize, RespError> {
        let end = memchr::memchr(b'\n', bytes);
        let used = end.map_or(bytes.len(), |end| end + 1);
        self.name.push(&bytes[..end.unwrap_or(bytes.len())]);
        self.offset += used as u64;
        let is_too_long = self.name.length == CAPTURE_BYTES;
        if is_too_long || (end.is_some() && !is_keep_alive(self.name.get())) {
            return Err(RespError::UnknownType(self.name.bytes[0]));
        }
        if end.is_some() {
            self.name = Capture::default();
            self.end_command();
        }
        Ok(used)
    }

    fn end_command(&mut self) {
        self.state = State::Start;
        let kind = self.kind();
        match kind {
            Kind::Multi => {
                self.in_transaction = true;
                self.transaction_has_data = false;
                return;
            }
            Kind::Select => {
                let db = std::str::from_utf8(self.first.get()).ok().and_then(|db| db.parse().ok());
                self.db = db.map(DbIndex).or(self.db);
            }
            Kind::GetAck => self.is_ack_wanted = true,
            Kind::Data => self.transaction_has_data = true,
            Kind::Exec | Kind::Housekeeping => {}
        }
        if kind == Kind::Exec {
            self.in_transaction = false;
        }
        if !self.in_transaction {
            self.unit_end = Offset(self.offset);
            self.unit_db = self.db;
            if std::mem::take(&mut self.transaction_has_data) {
                self.data_end = self.unit_end;
            }
        }
    }

    fn kind(&self) -> Kind {
        let name = self.name.get();
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        match name.len() {
            0 => Kind::Housekeeping,
            4 if is(b"EXEC") => Kind::Exec,
            4 if is(b"PING") => Kind::Housekeeping,
            5 if is(b"MULTI") => Kind::Multi,
            6 if is(b"SELECT") => Kind::Select,
            7 if is(b"PUBLISH") && self.first.get() == b"__sentinel__:hello" => Kind::Housekeeping,
            8 if is(b"REPLCONF") && self.first.get().eq_ignore_ascii_case(b"GETACK") => {
                Kind::GetAck
            }
            8 if is(b"REPLCONF") => Kind::Housekeeping,
            _ => Kind::Data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode;

    fn stream(commands: &[&[&str]]) -> Vec<u8> {
        let mut out = Vec::new();
        for command in commands {
            encode::command(&mut out, command);
        }
        out
    }

    #[test]
    fn units_end_with_a_command_or_with_exec_wherever_the_bytes_are_split() {
        let head = stream(&[&["SELECT", "3"], &["set", "k", "v"]]);
        let open = stream(&[&["MULTI"], &["INCR", "a"], &["select", "5"], &["INCR", "b"]]);
        let exec = stream(&[&["exec"]]);
        let tail = stream(&[
            &["ping"],
            &["PUBLISH", "__sentinel__:hello", "x"],
            &["REPLCONF", "GETACK", "*"],
        ]);
        let all = [&head[..], &open, &exec, &tail].concat();
        let data_end = 100 + (head.len() + open.len() + exec.len()) as u64;
        for split in 0..all.len() {
            let mut scanner = UnitScanner::new(Offset(100), None);
            scanner.scan(&all[..split]).unwrap();
            if (head.len()..head.len() + open.len() + exec.len()).contains(&split) {
                assert_eq!(scanner.unit_end(), Offset(100 + head.len() as u64), "split at {split}");
                assert_eq!(scanner.unit_db(), Some(DbIndex(3)));
            }
            scanner.scan(&all[split..]).unwrap();
            assert_eq!(scanner.unit_end(), Offset(100 + all.len() as u64), "split at {split}");
            assert_eq!(scanner.offset(), scanner.unit_end());
            assert_eq!(scanner.unit_db(), Some(DbIndex(5)));
            assert_eq!(scanner.data_end(), Offset(data_end));
            assert!(scanner.take_ack_wanted());
            assert!(!scanner.take_ack_wanted());
        }
    }

    #[test]
    fn keep_alives_count_and_carry_no_data() {
        let mut scanner = UnitScanner::new(Offset(0), None);
        scanner.scan(b"\n\r\nPING\r\n").unwrap();
        assert_eq!(scanner.unit_end(), Offset(9));
        assert_eq!(scanner.data_end(), Offset(0));
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        for bytes in [
            &b"*1\r\n:1\r\n"[..],
            b"*-1\r\n",
            b"*99999999999\r\n",
            b"*1\r\n$-1\r\n",
            b"*1x3456789012345678",
            b"SET a b\r\n",
            b"an end that was lost, and no line feed",
        ] {
            assert!(UnitScanner::new(Offset(0), None).scan(bytes).is_err(), "{bytes:?}");
        }
    }
}
