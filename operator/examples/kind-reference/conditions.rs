//! docs/conditions.md: the conditions with each of their reasons, the events, the operator's own metrics. What `Ready`
//! says, and whose turn it is then, is asked of the code that writes the status.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use redissync_operator::{
    controller::{observe::Observed, plan::Plan},
    crd::RedisSync,
    metrics::Metrics,
    report_watch::ReportView,
    status::{
        Evidence, findings,
        words::{self, Word},
    },
};
use redissync_syncer::contract::{
    BacklogHealth, ExpiryRisk, HaltReason, Phase, SyncReport, WaitReason,
};
use serde_json::{Value, json};

use crate::cell;

/// The whole page.
pub(crate) fn page() -> anyhow::Result<String> {
    let mut out =
        String::from("<!-- Written by `make reference` from the code. Do not edit. -->\n\n");
    out.push_str(HEAD);
    ready(&mut out)?;
    for (title, about, tables) in [
        (
            "Reconciling",
            "True while something is under way that ends by itself. Its reason is that of `Ready`, or, where the pair is well:",
            words::RECONCILING,
        ),
        (
            "Stalled",
            "True while only you can make it go on. Its reason is that of `Ready`, or:",
            words::STALLED,
        ),
        (
            "SourceReachable, TargetReachable",
            "Whether the syncer is connected to that end. False has the reason of the wait, from the table of `Ready`, or one of these:",
            words::REACHABLE,
        ),
        (
            "Synced",
            "True while the standby is level with the primary. False has the phase as its reason.",
            words::SYNCED,
        ),
        (
            "DataVerified",
            "Whether every command's reply was read and was good.",
            words::DATA_VERIFIED,
        ),
        (
            "PreflightPassed",
            "Whether what the pair works under will hold: versions, rights, sizes, policies. Advice; `Ready` does not depend on it.",
            words::PREFLIGHT_PASSED,
        ),
    ] {
        writeln!(out, "\n## {title}\n\n{about}\n")?;
        table(&mut out, "reason", tables)?;
    }
    outlook(&mut out)?;
    out.push_str(EVENTS);
    table(&mut out, "reason", words::EVENTS)?;
    metrics(&mut out)?;
    Ok(out)
}

/// Conditions whose reasons are the syncer's own words.
fn outlook(out: &mut String) -> anyhow::Result<()> {
    let mut part = |title: &str, about: &str, told: Vec<(&str, &str)>, own: &[Word]| {
        writeln!(out, "\n## {title}\n\n{about}\n")?;
        writeln!(out, "| reason | what it means, what to do |\n|---|---|")?;
        for (word, about) in told.into_iter().chain(own.iter().copied()) {
            writeln!(out, "| `{word}` | {} |", cell(about))?;
        }
        anyhow::Ok(())
    };
    let health = BacklogHealth::ALL.iter().map(|word| (word.as_str(), word.description()));
    part(
        "BacklogHealthy",
        "False while the source's backlog would not bridge a minute without the syncer, at the rate at which it is written: then a restart of the syncer may cost a full copy. It comes back at two minutes. `Ready` does not depend on it.",
        health.collect(),
        words::BACKLOG_HEALTHY,
    )?;
    let risk = ExpiryRisk::ALL.iter().map(|word| (word.as_str(), word.description()));
    part(
        "ExpiryAtRisk",
        "True where delay, full copy and clocks together reach `expiry.grace`. `Ready` does not depend on it.",
        risk.collect(),
        words::EXPIRY_AT_RISK,
    )
}

const HEAD: &str = "\
# Conditions, events and metrics of a RedisSync

`kubectl describe redissync NAME` shows the conditions with their messages; a message has the evidence, and what to do where it is
not the same each time. Here is what each reason means. The syncer's words for the phases of a copy, for the reasons of a full copy and its
metrics are in [reference.md](reference.md); what else to do is in [operations.md](operations.md).

*Source* is the primary's site, *target* the standby's. Where a row says that a file or a field has to be changed, change the RedisSync
or the Secret: the operator passes it on, and restarts the syncer where that is needed.
";

const EVENTS: &str = "
## Events

`kubectl get events --field-selector involvedObject.name=NAME`. An event tells of a change; the state is in the conditions.

";

fn ready(out: &mut String) -> anyhow::Result<()> {
    out.push_str(
        "\n## Ready\n\nTrue while each write of the primary reaches the standby. *Turn*: whose it is. `itself`: it goes on by itself once \
         the cause is gone, and the cause may be yours to remove; `you`: it stays as it is until you act (`Stalled` is True); `-`: as you asked for.\n\n\
         | reason | Ready | turn | what it means, what to do |\n|---|---|---|---|\n",
    );
    let row = |out: &mut String, word: &str, (ready, turn): (&str, &str), about: &str| {
        writeln!(out, "| `{word}` | {ready} | {turn} | {} |", cell(&in_terms_of_the_object(about)))
    };
    for (word, about) in words::CONCLUDED {
        let changes = match *word {
            "Paused" => json!({"paused": true}),
            "DataDiffers" => json!({"dataVerified": {"status": "False", "uncheckedBatches": 0}}),
            _ => json!({}),
        };
        row(out, word, verdict(word, &changes)?, about)?;
    }
    for phase in Phase::ALL {
        // These three are told by a better word: the wait, the halt, or Replicating.
        if matches!(phase, Phase::Streaming | Phase::Waiting | Phase::Halted) {
            continue;
        }
        let changes = json!({"phase": phase.as_str()});
        row(out, phase.as_str(), verdict(phase.as_str(), &changes)?, phase.description())?;
    }
    for (word, about) in words::UNREPORTED {
        let seen = match *word {
            "SyncerPending" | "ApplyFailed" => ("False", "itself"),
            "SyncerUnreachable" => ("Unknown", "itself"),
            _ => ("False", "you"),
        };
        row(out, word, seen, about)?;
    }
    out.push_str("\nWaits. Nothing was applied by halves, and nothing is lost meanwhile.\n\n");
    out.push_str("| reason | Ready | turn | what it means, what to do |\n|---|---|---|---|\n");
    for reason in WaitReason::ALL {
        // In the tables above already.
        if matches!(reason, WaitReason::Paused | WaitReason::Superseded) {
            continue;
        }
        let wait =
            json!({"reason": reason.as_str(), "message": "", "since": "2026-11-24T10:00:00Z"});
        let changes = json!({"phase": "Waiting", "waitingFor": wait});
        row(out, reason.as_str(), verdict(reason.as_str(), &changes)?, reason.description())?;
    }
    out.push_str(
        "\nHalts. They outlive restarts and end by `spec.release`; `status.links[].halt` has the `offset` or the `copyID` that it names. See \
         [operations](operations.md#halts).\n\n| reason | Ready | turn | what it means, what to do |\n|---|---|---|---|\n",
    );
    for reason in HaltReason::ALL {
        let halt = json!({"reason": reason.as_str(), "message": "", "remedy": "", "since": "2026-11-24T10:00:00Z"});
        let changes = json!({"phase": "Halted", "halt": halt});
        row(out, reason.as_str(), verdict(reason.as_str(), &changes)?, reason.description())?;
    }
    Ok(())
}

/// The status of `Ready` and whose turn it is, as the operator concludes from a report with these changes.
fn verdict(reason: &str, changes: &Value) -> anyhow::Result<(&'static str, &'static str)> {
    let mut report = json!({
        "version": 1, "revision": "x-1", "observedAt": "2026-11-24T10:00:00Z", "pairID": "tools/cart", "phase": "Streaming",
        "waitingFor": null, "halt": null, "paused": false, "owner": null, "links": [],
        "dataVerified": {"status": "True", "uncheckedBatches": 0},
    });
    for (field, value) in changes.as_object().into_iter().flatten() {
        report[field] = value.clone();
    }
    let report: SyncReport = serde_json::from_value(report)?;
    let spec = serde_json::from_value(json!({"primary": "beijing", "sites": []}))?;
    let observed = Observed {
        report: ReportView { report: Some(Arc::new(report)), failure: None },
        ..Observed::default()
    };
    let conditions = findings::findings(Evidence {
        object: &RedisSync::new("cart", spec),
        invalid: None,
        observed: &observed,
        plan: &Plan::default(),
        failure: None,
        now: Timestamp::UNIX_EPOCH,
    });
    let find = |type_: &str| {
        conditions
            .iter()
            .find(|finding| finding.type_.as_str() == type_)
            .context("no such condition")
    };
    let (ready, stalled) = (find("Ready")?, find("Stalled")?);
    anyhow::ensure!(ready.reason == reason, "{reason} is told as {}", ready.reason);
    let turn = match (stalled.is_true, find("Reconciling")?.is_true) {
        (Some(true), _) => "you",
        (_, Some(true)) => "itself",
        _ => "-",
    };
    let ready = match ready.is_true {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    Ok((ready, turn))
}

/// The syncer's texts speak of its own command and file; whoever has an object writes a release into it.
fn in_terms_of_the_object(text: &str) -> String {
    [
        ("`--skip-unit OFFSET`", "`SkipUnit`"),
        ("`--copy-again`", "`CopyAgain`"),
        ("`--allow-sweep COPYID`", "`AllowSweep`"),
        ("`paused` is set", "`spec.paused` is true"),
        ("else see `waitingFor`", "else the reason of a wait takes its place"),
        ("; see `fullCopies.progress`", "; see `status.fullCopies.progress`"),
        (
            "message names and restart.",
            "message names; if the volume is too small for that: [a larger spool](operations.md#a-larger-spool).",
        ),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (word, other)| text.replace(word, other))
}

fn table(out: &mut String, head: &str, words: &[Word]) -> anyhow::Result<()> {
    writeln!(out, "| {head} | what it means, what to do |\n|---|---|")?;
    for (word, about) in words {
        writeln!(out, "| `{word}` | {} |", cell(about))?;
    }
    Ok(())
}

/// Read from what the operator serves.
fn metrics(out: &mut String) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    // A metric with labels shows once it was counted.
    metrics.passed(true, Duration::ZERO);
    let text = metrics.text()?;
    out.push_str(
        "\n## Metrics of the operator\n\n`GET /metrics` on port 8080 of its pod. Those of each syncer are on port 9250 of its pod, see \
         [reference.md](reference.md#metrics).\n\n| name | kind | labels | what it says |\n|---|---|---|---|\n",
    );
    for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, about) = help.split_once(' ').unwrap_or((help, ""));
        let kind = text
            .lines()
            .find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_default();
        let labels: BTreeSet<&str> = text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0))
            .flat_map(|labels| labels.split(','))
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(out, "| `{name}` | {kind} | {labels} | {} |", cell(about))?;
    }
    Ok(())
}
