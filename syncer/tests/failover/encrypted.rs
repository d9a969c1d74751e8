//! Everything over TLS, with client certificates: nodes and sentinels of both ends, each site under an authority of its own.

use std::thread;

use anyhow::{Result, ensure};
use redissync_e2e::{servers::ServerVersion, tls::Authority};

use super::{LOAD_TIME, set_options, two_sets::TwoSets, wait_for_new_master};

#[test]
fn over_tls_everything_is_copied_and_failovers_of_both_ends_are_followed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let [source, target] = ["source", "target"].map(|name| {
        Authority::new(name)?.issue(&directory.path().join(name), &["127.0.0.1", "localhost"])
    });
    let source = set_options().tls(&source?).password("Quelle").sentinel_password("Wacht");
    let target = set_options().tls(&target?);
    let mut bed = TwoSets::start(ServerVersion::Redis70, &source, &target)?;
    let load = bed.load(3_000)?;
    thread::sleep(LOAD_TIME);
    let copies = bed.full_copies()?;

    let killed = bed.target.kill_master9()?;
    wait_for_new_master(&bed.target, killed, || {})?;
    bed.wait_for_all()?;
    ensure!(bed.full_copies()? == copies, "the target's failover has cost a full copy");

    let killed = bed.source.kill_master9()?;
    wait_for_new_master(&bed.source, killed, || {})?;
    bed.wait_for_all()?;
    bed.finish(load)
}
