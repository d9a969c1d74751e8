//! Lines for a person. On a terminal they have colours, elsewhere none.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// A colour, as a terminal is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        }
    }
}

/// Where the lines go.
#[derive(Debug)]
pub(super) struct Screen {
    has_colours: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { has_colours: io::stdout().is_terminal() }
    }

    /// The text in a colour, if there are any.
    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        if self.has_colours {
            format!("\x1b[{}m{text}\x1b[0m", colour.code())
        } else {
            text.to_string()
        }
    }

    pub(super) fn title(&self, text: &str) {
        self.plain(&format!("{}\n", self.paint(Colour::Bold, text)));
    }

    /// A line as it is.
    pub(super) fn plain(&self, text: &str) {
        // Somebody who closes the pipe wants to see no more; the run itself still has to clean up.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// What happens next.
    pub(super) fn step(&self, text: &str) {
        self.plain(&format!("{} {text}", self.paint(Colour::Bold, "==>")));
    }

    /// What happened at a time of the run.
    pub(super) fn event(&self, at: Duration, text: &str) {
        let line = format!("{:>6.1} s  {text}", at.as_secs_f64());
        self.plain(&self.paint(Colour::Cyan, &line));
    }

    /// One finding of the closing words.
    pub(super) fn finding(&self, is_good: bool, text: &str) {
        let mark = if is_good {
            self.paint(Colour::Green, "  ok   ")
        } else {
            self.paint(Colour::Red, "  WRONG")
        };
        self.plain(&format!("{mark} {text}"));
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as a person reads them.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.0} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1_000, 312_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "312,345", "1,234,567"]);
    }

    #[test]
    fn bytes_change_their_unit() {
        assert_eq!([512, 20_480, 31_457_280].map(bytes), ["512 B", "20 KiB", "30.0 MiB"]);
    }

    #[test]
    fn file_gets_no_colours() {
        let text = Screen { has_colours: false }.paint(Colour::Red, "x");
        assert_eq!(text, "x");
        assert_eq!(Screen { has_colours: true }.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
    }
}
