//! The demonstration in a cluster: the operator's chart, two Sentinel sets as in `deploy/samples/same-cluster.yaml`, that
//! manifest, and `kubectl get redissync` as it changes. What it made stays, for the user to play with; a second run takes
//! it and begins with empty data.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::screen::{Screen, grouped};
use crate::{
    ChartOptions,
    chart::repository,
    cluster::{
        Cluster, Kind, Pair, pair::Agreement, redis_set::SetMaster, redis_sync::condition_of,
    },
    fill, install_chart, kubeconfig,
};

/// As `deploy/samples/same-cluster.yaml` has it.
const NAMESPACE: &str = "tools";
/// As `deploy/operator.yaml` has it.
const OPERATOR: &str = "redissync-system";
/// On a namespace that this demonstration made, and may empty again.
const LABEL: &str = "redissync.dev/demo";
const SAMPLE: &str = "deploy/samples/same-cluster.yaml";
const SEED: u64 = 1;
/// For what takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What it is started with.
#[derive(Debug, Clone)]
pub struct ClusterDemoOptions {
    /// The tag of both images.
    pub tag: String,
    /// Keys that the source has before the object is applied.
    pub keys: u64,
    /// Writes each second.
    pub rate: u32,
    /// Of load before the failover, and after it.
    pub seconds: u64,
}

/// Runs it; an error says what was not as promised.
pub fn run(options: &ClusterDemoOptions) -> Result<()> {
    let screen = Screen::new();
    introduce(&screen, options);
    let cluster = Cluster::connect()?;
    take_namespace(&cluster)?;

    screen.step(&format!("helm: the operator {} in the namespace {OPERATOR}", options.tag));
    // It stays.
    std::mem::forget(install_chart(&ChartOptions::new(OPERATOR).image_tag(&options.tag))?);
    screen.step(&format!("helm: two Sentinel sets of three in the namespace {NAMESPACE}"));
    let pair = Pair::install(&cluster, NAMESPACE, SEED, &[])?;
    screen.plain(&format!(
        "  redis-sentinel takes the writes: master {}",
        pair.source.master()?.announced
    ));
    screen.plain(&format!(
        "  redis-sentinel-bak is the standby: master {}",
        pair.target.master()?.announced
    ));
    let mut source = pair.source.connect_master()?;
    redis::cmd("FLUSHALL").exec(&mut source).context("failed to empty the source")?;
    fill(&mut source, options.keys, SEED)?;

    let sample = repository().join(SAMPLE);
    screen.step(&format!("kubectl apply -f {SAMPLE}"));
    let manifest =
        fs::read_to_string(&sample).with_context(|| format!("failed to read {SAMPLE}"))?;
    cluster.apply_yaml(&manifest)?;
    screen.step(&format!("kubectl get redissync -n {NAMESPACE} --watch"));
    let begun = Instant::now();
    let watch = Watch::start(begun)?;
    pair.sync.wait_until_ready(PATIENCE)?;
    pair.wait_until_level(PATIENCE)?;
    screen
        .event(begun.elapsed(), "the first full copy is done; from now on each write is followed");
    let copy = pair.sync.copy_id(&pair.target)?;
    let traffic = pair.start_traffic(options.rate)?;
    thread::sleep(Duration::from_secs(options.seconds));

    let old = pair.source.master()?;
    screen
        .event(begun.elapsed(), &format!("kubectl delete pod -n {NAMESPACE} --force {}", old.pod));
    let failover = Instant::now();
    pair.source.force_delete_master()?;
    let new = pair.source.wait_until_switched(&old, PATIENCE)?;
    let promoted = failover.elapsed();
    screen.event(begun.elapsed(), &format!("the sentinels have promoted {}", new.pod));
    pair.sync.wait_for("the new master in the status", PATIENCE, |status| {
        (status["links"][0]["source"]["address"] == *new.announced).then_some(())
    })?;
    pair.sync.wait_until_ready(PATIENCE)?;
    let followed = failover.elapsed();
    screen.event(begun.elapsed(), "the syncer goes on at the new master, and the status says so");
    thread::sleep(Duration::from_secs(options.seconds));

    screen.event(begun.elapsed(), "the load ends, and both sides are compared key by key");
    let agreement = pair.compare(traffic, true);
    drop(watch);
    let outcome = agreement.and_then(|agreement| {
        let seen = Seen { old, new, promoted, followed, copy };
        tell(&screen, &pair, &agreement, &seen)
    });
    match &outcome {
        Ok(()) => screen.title("All as promised."),
        Err(_) => screen.title(&format!("Something is wrong.\n{}", pair.describe())),
    }
    farewell(&screen);
    outcome
}

fn introduce(screen: &Screen, options: &ClusterDemoOptions) {
    screen.title(
        "RedisSync in Kubernetes: one manifest, and a standby that follows through a failover",
    );
    screen.plain(&format!(
        "\
In this cluster come up: the operator, from its chart; the Sentinel set redis-sentinel, which takes the writes; and the
set redis-sentinel-bak, its standby. Then, while you watch `kubectl get redissync`:
  1. {SAMPLE} is applied: everything is copied, then followed;
  2. {rate} writes a second run, and never stop;
  3. the pod of the source's master is deleted with --force; its sentinels promote a replica;
  4. the load ends, and both sides are compared key by key.
It takes about two minutes once the images are there.
",
        rate = grouped(u64::from(options.rate)),
    ));
}

/// The namespace is emptied by this demonstration, so it must be its own.
fn take_namespace(cluster: &Cluster) -> Result<()> {
    if let Some(found) = cluster.find(Kind::Namespace, "", NAMESPACE)? {
        let is_ours = found["metadata"]["labels"][LABEL] == "true";
        let is_empty = cluster.list(Kind::StatefulSet, NAMESPACE, "")?.is_empty()
            && cluster.list(Kind::Deployment, NAMESPACE, "")?.is_empty();
        if !is_ours && !is_empty {
            bail!(
                "the namespace {NAMESPACE} holds workloads that this demonstration did not make, and it would write \
                 to them: use another cluster ('unset KUBECONFIG' takes one on this machine)"
            );
        }
    }
    cluster
        .apply(&json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {LABEL: "true"}},
        }))
        .map(|_| ())
}

/// `kubectl get redissync --watch`, each line with its time. It ends when this is dropped.
struct Watch {
    kubectl: Child,
    reader: Option<thread::JoinHandle<()>>,
}

impl Watch {
    fn start(begun: Instant) -> Result<Self> {
        let mut kubectl = Command::new(kubeconfig::program("kubectl"))
            .env("KUBECONFIG", kubeconfig::path()?)
            .args(["get", "redissync", "-n", NAMESPACE, "--watch"])
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start kubectl")?;
        let lines = BufReader::new(kubectl.stdout.take().context("kubectl has no output")?);
        let reader = thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                println!("{:>6.1} s  {line}", begun.elapsed().as_secs_f64());
            }
        });
        Ok(Self { kubectl, reader: Some(reader) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that has ended by itself is no fault.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The failover, as it was seen.
struct Seen {
    old: SetMaster,
    new: SetMaster,
    promoted: Duration,
    followed: Duration,
    copy: String,
}

fn tell(screen: &Screen, pair: &Pair, agreement: &Agreement, seen: &Seen) -> Result<()> {
    let Agreement { ledger, at_source, at_target, comparison, pairs } = agreement;
    let Seen { old, new, promoted, followed, copy } = seen;
    screen.plain("");
    screen.title("What was seen");
    screen.plain(&format!(
        "  seen  the pod {} was deleted; the sentinels promoted {} after {:.1} s, and {:.1} s later the status was Ready \
         with the new master.",
        old.pod,
        new.pod,
        promoted.as_secs_f64(),
        followed.saturating_sub(*promoted).as_secs_f64(),
    ));
    if let Some(event) = pair.sync.events("MasterSwitched")?.last() {
        screen.plain(&format!(
            "  seen  event MasterSwitched: {}",
            event["note"].as_str().unwrap_or_default()
        ));
    }
    screen.finding(
        true,
        &format!(
            "0 differences in {} keys: type and value are the same on both sides, and what expires does so 1 h later at the standby.",
            grouped(comparison.keys)
        ),
    );
    screen.finding(
        true,
        &format!(
            "no pair of a transaction was ever seen torn at the standby, in {} looks.",
            grouped(pairs.read)
        ),
    );
    let lost = at_source.acknowledged.saturating_sub(at_source.applied);
    let loss = if lost == 0 {
        "every acknowledged write is there".to_string()
    } else {
        format!(
            "{} acknowledged writes went with the deleted master, before any replica had them",
            grouped(lost)
        )
    };
    screen.finding(
        true,
        &format!(
            "of {} writes sent, {} were acknowledged; of the counted ones both sides hold {}, none of them twice; {loss}.",
            grouped(ledger.counts.sent),
            grouped(ledger.counts.acknowledged),
            grouped(at_target.applied),
        ),
    );
    let status = pair.sync.status()?;
    let now = pair.sync.copy_id(&pair.target)?;
    let reason = &status["fullCopies"]["lastReason"];
    // A promoted replica that lacks what the standby has makes a copy right: the source itself took writes back.
    let is_right = now == *copy || reason == "SourceRollback";
    screen.finding(
        is_right,
        &if now == *copy {
            "the failover needed no full copy.".to_string()
        } else {
            format!("the failover led to a full copy; its reason: {reason}.")
        },
    );
    ensure!(is_right, "a full copy was made without need");
    let ready = condition_of(&status, "Ready");
    ensure!(ready.status == "True", "Ready is {}: {}", ready.status, ready.message);
    screen.plain("");
    Ok(())
}

fn farewell(screen: &Screen) {
    screen.plain(&format!(
        "\
Everything stays as it is. To look around (the first line makes kubectl find the cluster of this machine):
    eval \"$(make -s cluster-up 2> /dev/null)\"
    kubectl get redissync -n {NAMESPACE} -w
    kubectl describe redissync -n {NAMESPACE} cart
    kubectl patch redissync -n {NAMESPACE} cart --type=merge -p '{{\"spec\": {{\"paused\": true}}}}'
    kubectl delete pod -n {NAMESPACE} cart-redissync-0
To take it down:
    kubectl delete namespace {NAMESPACE} && helm uninstall -n {OPERATOR} {OPERATOR}
    make cluster-down ARGS=--wipe        # the whole cluster of this machine"
    ));
}
