//! An error as one line, with its causes: for the report, a condition or the log, wherever one is handled. It must never
//! be asked of an error that holds a password; none does.

use std::error::Error;

/// The error, then each cause. One whose text the line has already is left out: some errors print their causes
/// themselves.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn told(texts: &[&'static str]) -> Told {
        let (text, causes) = texts.split_first().unwrap();
        let source = (!causes.is_empty()).then(|| Box::new(told(causes)));
        Told { text, source }
    }

    #[test]
    fn each_cause_is_told_once() {
        for (texts, line) in [
            (&["failed to read"][..], "failed to read"),
            (&["failed to read", "no such file"], "failed to read: no such file"),
            (&["failed to read: no such file", "no such file"], "failed to read: no such file"),
            (&["a", "b", "c"], "a: b: c"),
        ] {
            assert_eq!(chain(&told(texts)), line);
        }
    }
}
