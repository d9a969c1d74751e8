//! Prints docs/reference.md: the words of the report and the metrics, as the code has them. `make reference` writes the
//! file, `make check-generated` fails where it differs.

use std::io::{self, Write};

use redissync_syncer::{
    contract::{
        BacklogHealth, CheckName, CopyPhase, ExpiryRisk, FullCopyReason, HaltReason, Phase,
        REPORT_VERSION, Topology, WaitEnd, WaitReason,
    },
    metrics,
};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "<!-- Written by `make reference` from the code. Do not edit. -->")?;
    writeln!(out, "\n# Reference: words and metrics")?;
    writeln!(
        out,
        "\nThe words of `GET /report` (contract version {REPORT_VERSION}), of the log and of the metrics' labels, and \
         every metric of\n`GET /metrics`."
    )?;
    let phases = Phase::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(&mut out, "Phases", "`phase`: what the syncer is doing.", phases)?;
    let waits = WaitReason::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(
        &mut out,
        "What is waited for",
        "`waitingFor.reason`. A wait ends by itself once its cause is gone; nothing has been applied by halves. Three need you: \
         `TargetNotEmpty`, `RoleConflict` and `SpoolTooSmall`.",
        waits,
    )?;
    let halts = HaltReason::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(
        &mut out,
        "Halts",
        "`halt.reason`. A halt outlives restarts; a human ends it with `redissync-syncer release`, or with `release` in the configuration.",
        halts,
    )?;
    let copies = FullCopyReason::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(&mut out, "Reasons of a full copy", "`links[].fullCopies.lastReason`.", copies)?;
    let parts = CopyPhase::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(&mut out, "Parts of a full copy", "`links[].fullCopies.progress.phase`.", parts)?;
    let checks = CheckName::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(
        &mut out,
        "Checks of the preflight",
        "`preflight[].check`, with `result` Passed, Warning, Failed or Unknown; what to do about each: [operations](operations.md#preflight).",
        checks,
    )?;
    let health = BacklogHealth::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(&mut out, "The source's backlog", "`links[].backlog.health`.", health)?;
    let risks = ExpiryRisk::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(&mut out, "Expiry", "`links[].expiry.risk`.", risks)?;
    let ends = WaitEnd::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(&mut out, "Ends", "`waits[].end`: which end a wait concerns.", ends)?;
    let topologies = Topology::ALL.iter().map(|word| (word.as_str(), word.description()));
    words(
        &mut out,
        "Topologies",
        "`links[].source.topology`, `links[].target.topology`.",
        topologies,
    )?;
    writeln!(out, "\n## Metrics\n\nA metric whose value is not known is left out.\n")?;
    writeln!(out, "| name | kind | labels | what it says |\n|---|---|---|---|")?;
    for (name, kind, labels, help) in metrics::catalogue() {
        writeln!(out, "| `{name}` | {kind} | {labels} | {help} |")?;
    }
    Ok(())
}

/// A table of words. A description's lines are one sentence after the other.
fn words<'a>(
    out: &mut impl Write,
    title: &str,
    about: &str,
    words: impl Iterator<Item = (&'a str, &'a str)>,
) -> io::Result<()> {
    writeln!(out, "\n## {title}\n\n{about}\n\n| word | what it means, what to do |\n|---|---|")?;
    for (word, description) in words {
        let text = description.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(out, "| `{word}` | {} |", text.replace('|', "\\|"))?;
    }
    Ok(())
}
