//! TLS with the servers of either end: what is wrong is told with its remedy, and put right without a restart; what is
//! rotated counts at the next connection and ends none.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use redis::Connection;
use redissync_e2e::{
    node::{Node, NodeOptions},
    sentinel_set::{SentinelSet, SetOptions},
    servers::ServerVersion,
    syncer::{Syncer, SyncerOptions, SyncerSite, SyncerTls, Topology},
    tls::{Authority, TlsFiles},
};
use tempfile::TempDir;

use crate::{
    bed::{PATIENCE, binary},
    pair::{PAIR_ID, Pair, TOLD_WITHIN, forks, options, run_on, write_some, write_some_on},
};

/// What every server of these tests is called.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// An authority, and room for what it issues.
struct Bed {
    directory: TempDir,
    authority: Authority,
}

impl Bed {
    fn new() -> Result<Self> {
        Ok(Self { directory: tempfile::tempdir()?, authority: Authority::new("test")? })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn issue(&self, name: &str) -> Result<TlsFiles> {
        self.authority.issue(&self.path(name), &NAMES)
    }
}

/// Lets a running server read its files again.
fn reload(connection: &mut Connection, files: &TlsFiles) -> Result<()> {
    let text = |path: &Path| path.display().to_string();
    redis::cmd("CONFIG")
        .arg("SET")
        .arg(&["tls-ca-cert-file", &text(&files.ca), "tls-cert-file", &text(&files.certificate)])
        .arg(&["tls-key-file", &text(&files.key)])
        .exec(connection)
        .context("the server refused its certificates")
}

/// Waits until the syncer waits for this reason with these words, and checks that the report has a whole sentence.
fn told(syncer: &mut Syncer, reason: &str, words: &str) -> Result<()> {
    syncer.wait_for(&format!("{reason} with '{words}'"), TOLD_WITHIN, |report| {
        report.waiting_for().is_some_and(|wait| {
            wait["reason"] == reason
                && wait["message"].as_str().is_some_and(|text| text.contains(words))
        })
    })?;
    Ok(())
}

#[test]
fn each_fault_of_tls_is_told_with_its_remedy_and_healed_without_a_restart() -> Result<()> {
    let bed = Bed::new()?;
    let (of_server, right) = (bed.issue("server")?, SyncerTls::from(&bed.issue("client")?));
    let strange = SyncerTls::from(&Authority::new("strange")?.issue(&bed.path("strange"), &NAMES)?);
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new().tls(&of_server))?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    let mut admin = source.connect()?;
    write_some_on(&mut admin, 3)?;

    let mut options = options(&source, &target);
    options.source.tls = None;
    options.target.tls = Some(SyncerTls::default());
    let mut pair = Pair::start(source, target, &options)?;
    let pid = pair.syncer.pid();
    told(&mut pair.syncer, "TargetTLS", "the server speaks without TLS there")?;
    pair.syncer.rewrite_config(|options| options.target.tls = None)?;
    told(&mut pair.syncer, "SourceTLS", "the server speaks TLS there, and none is configured")?;

    let without_certificate = SyncerTls { certificate_file: None, key_file: None, ..right.clone() };
    let broken = bed.path("broken");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nno base64\n")?;
    for (tls, words) in [
        (
            SyncerTls { ca_file: strange.ca_file.clone(), ..right.clone() },
            "give the CA that issued it",
        ),
        (SyncerTls { ca_file: None, ..right.clone() }, "is not issued by a public authority"),
        (
            SyncerTls { ca_file: Some(bed.path("nothing")), ..right.clone() },
            "nothing for TLS: No such file",
        ),
        (SyncerTls { ca_file: Some(broken.clone()), ..right.clone() }, "broken holds"),
        (
            SyncerTls { server_name: Some("redis.example".into()), ..right.clone() },
            "is not for 'redis.example', it has 127.0.0.1, localhost",
        ),
        (without_certificate, "asks for a client certificate and none is configured"),
        (
            SyncerTls { ca_file: right.ca_file.clone(), ..strange.clone() },
            "refuses our client certificate",
        ),
        (
            SyncerTls { key_file: strange.key_file.clone(), ..right.clone() },
            "does not fit the certificate",
        ),
        (
            SyncerTls { key_file: right.certificate_file.clone(), ..right.clone() },
            "holds no private key",
        ),
    ] {
        pair.syncer.rewrite_config(|options| options.source.tls = Some(tls))?;
        told(&mut pair.syncer, "SourceTLS", words)?;
    }

    // The server's own certificate has run out.
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    let old = bed.authority.issue_until(&bed.path("old"), &NAMES, yesterday)?;
    reload(&mut admin, &old)?;
    pair.syncer.rewrite_config(|options| options.source.tls = Some(right))?;
    told(&mut pair.syncer, "SourceTLS", "certificate is expired (20")?;
    reload(&mut admin, &of_server)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    write_some(&pair.source, 3)?;
    pair.settle_equal()?;
    ensure!(pair.syncer.pid() == pid && pair.syncer.is_running());
    Ok(())
}

#[test]
fn tls_of_the_sentinels_is_apart_from_that_of_the_nodes_and_has_a_word_of_its_own() -> Result<()> {
    let bed = Bed::new()?;
    let small = SetOptions { replica_count: 0, sentinel_count: 1, ..SetOptions::new() };
    let source = SentinelSet::start(ServerVersion::Redis70, &small.tls(&bed.issue("server")?))?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new())?;
    write_some_on(&mut source.connect_master()?, 3)?;
    let right = SyncerTls::from(&bed.issue("client")?);

    let site = SyncerSite { tls: Some(right.clone()), ..SyncerSite::sentinel_set("a", &source) };
    let options = SyncerOptions::new(PAIR_ID, site, SyncerSite::node("b", &target));
    let mut syncer = Syncer::start(&binary(), &options)?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    syncer.kill9()?;

    let with = |tls: Option<SyncerTls>| {
        move |options: &mut SyncerOptions| {
            if let Topology::Sentinel { tls: of_sentinels, .. } = &mut options.source.topology {
                *of_sentinels = tls;
            }
        }
    };
    syncer.rewrite_config(with(None))?;
    syncer.restart()?;
    told(&mut syncer, "SourceSentinelTLS", "the server speaks TLS there, and none is configured")?;
    let wrong = SyncerTls { server_name: Some("elsewhere".into()), ..right.clone() };
    syncer.rewrite_config(with(Some(wrong)))?;
    told(&mut syncer, "SourceSentinelTLS", "it has 127.0.0.1, localhost")?;
    syncer.rewrite_config(with(Some(right)))?;
    syncer.wait_for_phase("Streaming", PATIENCE)?;
    Ok(())
}

#[test]
fn a_rotated_authority_ends_no_connection_and_counts_at_the_next_one() -> Result<()> {
    let bed = Bed::new()?;
    let of_server = bed.issue("server")?;
    let own = bed.issue("client")?;
    let source = Node::start(ServerVersion::Redis70, &NodeOptions::new().tls(&of_server))?;
    let target = Node::start(ServerVersion::Redis70, &NodeOptions::new().tls(&of_server))?;
    redissync_e2e::fill(&mut source.connect()?, 2000, crate::bed::seed())?;
    let mut options = options(&source, &target);
    options.source.tls = Some(SyncerTls::from(&own));
    options.target.tls = Some(SyncerTls::from(&own));
    let mut pair = Pair::start(source, target, &options)?;
    pair.syncer.wait_for_phase("Streaming", PATIENCE)?;
    let mut admins = [pair.source.connect()?, pair.target.connect()?];
    let connected = |admin: &mut Connection| -> Result<Vec<String>> {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(admin)?;
        let ours = list.lines().filter(|line| line.contains("name=redissync:"));
        Ok(ours.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    };
    let before = [connected(&mut admins[0])?, connected(&mut admins[1])?];
    let copies = forks(&pair.source)?;

    // The server's files, the syncer's files, and then what was new is the only one that counts.
    let next = Authority::new("next")?.issue(&bed.path("next"), &NAMES)?;
    of_server.replace_with(&next)?;
    for admin in &mut admins {
        reload(admin, &of_server)?;
    }
    own.replace_with(&next)?;
    write_some(&pair.source, 10)?;
    pair.settle()?;
    let after = [connected(&mut admins[0])?, connected(&mut admins[1])?];
    ensure!(before == after, "connections were made anew: {before:?}, {after:?}");

    for admin in &mut admins {
        for kind in ["normal", "replica"] {
            run_on(admin, &format!("CLIENT KILL TYPE {kind} SKIPME yes"))?;
        }
    }
    write_some(&pair.source, 10)?;
    pair.settle_equal()?;
    ensure!(forks(&pair.source)? == copies, "the rotation has cost a full copy");

    // Files that are broken for a while end nothing that is open, though a quiet source cannot be asked any more.
    let good = fs::read(&own.certificate)?;
    fs::write(&own.certificate, "half")?;
    write_some(&pair.source, 10)?;
    pair.settle()?;
    let of_replica = |admin: &mut Connection| -> Result<Vec<String>> {
        let list: String =
            redis::cmd("CLIENT").arg("LIST").arg("TYPE").arg("REPLICA").query(admin)?;
        Ok(list.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    };
    let before = of_replica(&mut admins[0])?;
    run_on(&mut admins[0], "CONFIG SET repl-ping-replica-period 60")?;
    run_on(&mut admins[0], "CLIENT KILL TYPE normal SKIPME yes")?;
    std::thread::sleep(Duration::from_secs(9));
    ensure!(before.len() == 1 && of_replica(&mut admins[0])? == before, "the stream was given up");
    run_on(&mut admins[1], "CLIENT KILL TYPE normal SKIPME yes")?;
    told(&mut pair.syncer, "TargetTLS", "client/tls.crt holds no certificate")?;
    write_some(&pair.source, 10)?;
    fs::write(&own.certificate, good)?;
    pair.settle_equal()?;
    ensure!(forks(&pair.source)? == copies);
    Ok(())
}
