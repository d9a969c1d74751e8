//! Walks a value's layout over bytes as they arrive. What has been walked is never looked at again,
//! so a value of any size costs one pass; nesting is a small stack, not recursion.

use super::{
    error::Fault,
    length::{StringHead, read_array, read_number, read_string_head},
    value::Step,
};

/// A stream has four levels: value, groups, consumers, pending ids.
const DEPTH_MAX: usize = 5;

/// A sequence of steps that is being walked, and how many times it is still to be.
#[derive(Clone, Copy, Debug)]
struct Frame {
    steps: &'static [Step],
    next: usize,
    left: u64,
}

/// The place in one value.
#[derive(Debug)]
pub(super) struct Skipper {
    stack: [Frame; DEPTH_MAX],
    depth: usize,
    /// How far the value has been walked.
    at: usize,
    /// What is left of a part whose end is known but has not arrived.
    skip_left: u64,
    /// Strings in a row that are still to come.
    strings_left: u64,
    counted: u64,
    limit: u64,
}

impl Skipper {
    /// One that has no value yet.
    pub(super) fn new() -> Self {
        let idle = Frame { steps: &[], next: 0, left: 0 };
        Self {
            stack: [idle; DEPTH_MAX],
            depth: 0,
            at: 0,
            skip_left: 0,
            strings_left: 0,
            counted: 0,
            limit: 0,
        }
    }

    /// Begins a value; `limit` bounds its bytes.
    #[inline]
    pub(super) fn begin(&mut self, layout: &'static [Step], limit: u64) {
        self.limit = limit;
        self.stack[0] = Frame { steps: layout, next: 0, left: 1 };
        self.depth = 1;
        self.at = 0;
        self.skip_left = 0;
        self.strings_left = 0;
    }

    /// How far the value has been walked: its length, once `advance` has returned true.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What was walked is given away: the value is now what follows it.
    pub(super) fn forget_walked(&mut self) {
        self.at = 0;
    }

    /// Goes on in `value`, which is the value's bytes so far, from its first. True when its end was
    /// reached, false when more bytes are needed. `on_listpack` sees each listpack's head.
    pub(super) fn advance(
        &mut self,
        value: &[u8],
        on_listpack: &mut impl FnMut(StringHead),
    ) -> Result<bool, Fault> {
        loop {
            if self.skip_left > 0 {
                let taken = self.skip_left.min((value.len() - self.at) as u64);
                self.at += taken as usize;
                self.skip_left -= taken;
            }
            if self.at as u64 > self.limit {
                return Err(Fault::TooLarge);
            }
            if self.skip_left > 0 {
                return Ok(false);
            }
            if self.strings_left > 0 {
                if !self.take_strings(value)? {
                    return Ok(false);
                }
                continue;
            }
            let Some(frame) = self.stack[..self.depth].last_mut() else { return Ok(true) };
            let Some(&step) = frame.steps.get(frame.next) else {
                frame.left -= 1;
                frame.next = 0;
                if frame.left == 0 {
                    self.depth -= 1;
                }
                continue;
            };
            if !self.take(step, value, on_listpack)? {
                return Ok(false);
            }
        }
    }

    /// Takes one step, or changes nothing and returns false if its head has not arrived.
    #[inline]
    fn take(
        &mut self,
        step: Step,
        value: &[u8],
        on_listpack: &mut impl FnMut(StringHead),
    ) -> Result<bool, Fault> {
        let mut at = self.at;
        match step {
            Step::Str | Step::Listpack => {
                let Some(head) = read_string_head(value, at)? else { return Ok(false) };
                if matches!(step, Step::Listpack) {
                    on_listpack(head);
                }
                self.skip(head.from, head.body_len)?;
            }
            Step::Bytes(count) => self.skip(at, u64::from(count))?,
            Step::Number => {
                let Some(_) = read_number(value, &mut at)? else { return Ok(false) };
                self.at = at;
            }
            Step::Score => {
                let Some(raw) = read_array(value, at) else { return Ok(false) };
                // Redis 7.0 refuses such a value, and 6.2 dies of it.
                if f64::from_le_bytes(raw).is_nan() {
                    return Err(Fault::Corrupt("a score that is not a number"));
                }
                self.at = at + 8;
            }
            Step::TextScore => match value.get(at) {
                None => return Ok(false),
                Some(253) => return Err(Fault::Corrupt("a score that is not a number")),
                Some(254 | 255) => self.at = at + 1,
                Some(&len) => self.skip(at + 1, u64::from(len))?,
            },
            Step::ListNode => {
                let Some(container) = read_number(value, &mut at)? else { return Ok(false) };
                let Some(head) = read_string_head(value, at)? else { return Ok(false) };
                match container {
                    1 => {}
                    2 => on_listpack(head),
                    _ => return Err(Fault::Corrupt("a list node of an unknown container")),
                }
                self.skip(head.from, head.body_len)?;
            }
            Step::ModuleBody => return self.take_module_part(value),
            Step::Repeat(steps) => {
                let Some(count) = read_number(value, &mut at)? else { return Ok(false) };
                self.at = at;
                self.step_over();
                self.enter(steps, count)?;
                return Ok(true);
            }
            Step::Strings(each) => {
                let Some(count) = read_number(value, &mut at)? else { return Ok(false) };
                if count > self.limit {
                    return Err(Fault::TooLarge);
                }
                self.strings_left = count.saturating_mul(u64::from(each));
                self.at = at;
            }
            Step::Count => {
                let Some(count) = read_number(value, &mut at)? else { return Ok(false) };
                self.counted = count;
                self.at = at;
            }
            Step::OptionalNumber => {
                let Some(flag) = read_number(value, &mut at)? else { return Ok(false) };
                match flag {
                    0 => {}
                    1 => {
                        let Some(_) = read_number(value, &mut at)? else { return Ok(false) };
                    }
                    _ => return Err(Fault::Corrupt("a flag that is neither 0 nor 1")),
                }
                self.at = at;
            }
            Step::RepeatCounted(steps) => {
                self.step_over();
                self.enter(steps, self.counted)?;
                return Ok(true);
            }
            Step::ArrayElement => {
                let Some(tag) = read_number(value, &mut at)? else { return Ok(false) };
                match tag {
                    0 | 3 => {
                        let Some(head) = read_string_head(value, at)? else { return Ok(false) };
                        self.skip(head.from, head.body_len)?;
                    }
                    1 | 2 => self.skip(at, 8)?,
                    _ => return Err(Fault::Corrupt("an array element of an unknown tag")),
                }
            }
        }
        self.step_over();
        Ok(true)
    }

    /// Takes strings up to the last one or to the first that has not arrived whole. They are most
    /// of what large values consist of, hence a loop of their own.
    fn take_strings(&mut self, value: &[u8]) -> Result<bool, Fault> {
        let mut at = self.at;
        let mut left = self.strings_left;
        while left > 0 {
            let Some(head) = read_string_head(value, at)? else { break };
            left -= 1;
            if head.body_len > (value.len() - head.from) as u64 {
                self.strings_left = left;
                self.skip(head.from, head.body_len)?;
                return Ok(true);
            }
            at = head.from + head.body_len as usize;
        }
        self.strings_left = left;
        self.at = at;
        Ok(left == 0)
    }

    /// One opcode of a module's body and what follows it; the step is over with the opcode 0.
    fn take_module_part(&mut self, value: &[u8]) -> Result<bool, Fault> {
        let mut at = self.at;
        let Some(opcode) = read_number(value, &mut at)? else { return Ok(false) };
        match opcode {
            0 => {
                self.at = at;
                self.step_over();
            }
            1 | 2 => {
                let Some(_) = read_number(value, &mut at)? else { return Ok(false) };
                self.at = at;
            }
            3 => self.skip(at, 4)?,
            4 => self.skip(at, 8)?,
            5 => {
                let Some(head) = read_string_head(value, at)? else { return Ok(false) };
                self.skip(head.from, head.body_len)?;
            }
            _ => return Err(Fault::Corrupt("a module value with an unknown opcode")),
        }
        Ok(true)
    }

    /// The place is `from`, and `count` bytes follow that need no look.
    #[inline]
    fn skip(&mut self, from: usize, count: u64) -> Result<(), Fault> {
        if count > self.limit.saturating_sub(from as u64) {
            return Err(Fault::TooLarge);
        }
        self.at = from;
        self.skip_left = count;
        Ok(())
    }

    #[inline]
    fn step_over(&mut self) {
        if let Some(frame) = self.stack[..self.depth].last_mut() {
            frame.next += 1;
        }
    }

    /// Walks `steps` `count` times. Each time takes at least a byte, so a count above the limit
    /// shows at once.
    fn enter(&mut self, steps: &'static [Step], count: u64) -> Result<(), Fault> {
        if count > self.limit {
            return Err(Fault::TooLarge);
        }
        if count > 0 {
            self.stack[self.depth] = Frame { steps, next: 0, left: count };
            self.depth += 1;
        }
        Ok(())
    }
}

/// The length of a value that lies wholly at the beginning of `value`, and its listpacks.
pub(super) fn walk_whole(
    layout: &'static [Step],
    value: &[u8],
    on_listpack: &mut impl FnMut(StringHead),
) -> Result<usize, Fault> {
    let mut skipper = Skipper::new();
    skipper.begin(layout, value.len() as u64);
    if skipper.advance(value, on_listpack)? {
        Ok(skipper.at())
    } else {
        Err(Fault::Corrupt("a value that is cut short"))
    }
}
