//! Of two operators one works; when it is gone the other takes over.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use redissync_e2e::proxy::{Mode, Proxy};
use redissync_operator::names;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    cluster,
    operator_process::{Operator, Setup},
    sample::standalone,
    space::Space,
    stand_in::StandIn,
    wait::until,
};

const SOON: Duration = Duration::from_secs(30);
/// The lease's length.
const LEASE: Duration = Duration::from_secs(15);
/// What the operator may take to end (5 s for passes, 3 s for the lease, 1 s for the rest), and some; less than the time
/// after which the lease would be lost and end it.
const END: Duration = Duration::from_millis(9_500);
/// The name of a kubeconfig of a test.
const KUBECONFIG: &str = "kubeconfig";
/// The lease's length, and some for taking it.
const TAKE_OVER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn of_two_operators_one_works_and_the_other_takes_over_when_it_is_killed() {
    let space = Space::new("election").await;
    let stand_in = StandIn::start().await;
    let start = |name| candidate(&space, &stand_in, name).start();
    let first = start("first").await;
    until("the first one leads", SOON, async || leads(&first).await).await;
    let second = start("second").await;
    make(&space, &stand_in, "before").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(second.metric("redissync_operator_leader").await, 0.0);
    assert_eq!(second.metric("redissync_operator_reconciles_total").await, 0.0, "{}", second.log());
    assert!(first.metric("redissync_operator_reconciles_total").await > 0.0);
    first.kill();
    let (_, took) = until("the second one leads", SOON, async || leads(&second).await).await;
    println!("the second one led {took:?} after the first was killed");
    assert!(took <= TAKE_OVER, "{took:?}");
    make(&space, &stand_in, "after").await;
}

/// A cable that is pulled tells nobody anything: no error, no closed connection.
#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_api_server_has_ended_before_another_takes_over() {
    let space = Space::new("cut-off").await;
    let stand_in = StandIn::start().await;
    let (proxy, way) = way_over_a_proxy().await;
    let mut first =
        candidate(&space, &stand_in, "first").kubeconfig(way.path().join(KUBECONFIG)).start().await;
    until("the first one leads", SOON, async || leads(&first).await).await;
    let second = candidate(&space, &stand_in, "second").start().await;
    make(&space, &stand_in, "before").await;
    proxy.set_mode(Mode::Silent);
    let (status, ended) = until("the first one has ended", LEASE, async || {
        assert!(leads(&second).await.is_err(), "two lead: {}", first.log());
        first.ended().ok_or("it runs")
    })
    .await;
    assert!(
        !status.success() && first.log().contains("the lease was not renewed"),
        "{}",
        first.log()
    );
    let (_, took) = until("the second one leads", SOON, async || leads(&second).await).await;
    println!(
        "the first one ended {ended:?} after it was cut off, the second one led {took:?} later"
    );
    make(&space, &stand_in, "after").await;
}

/// Its pod is deleted while the API server is away: what would be waited for are answers that do not come.
#[tokio::test]
async fn a_leader_that_is_cut_off_ends_when_it_is_told_to() {
    let space = Space::new("cut-off-end").await;
    let stand_in = StandIn::start().await;
    let (proxy, way) = way_over_a_proxy().await;
    let mut only =
        candidate(&space, &stand_in, "only").kubeconfig(way.path().join(KUBECONFIG)).start().await;
    until("it leads", SOON, async || leads(&only).await).await;
    proxy.set_mode(Mode::Silent);
    only.terminate();
    let (_, took) = until("it has ended", END, async || only.ended().ok_or("it runs")).await;
    println!("it ended {took:?} after it was told to");
    assert!(only.log().contains("the lease was not given back within"), "{}", only.log());
}

/// A proxy before the API server, and a directory with a kubeconfig that leads over it.
async fn way_over_a_proxy() -> (Proxy, TempDir) {
    let proxy = Proxy::start(&cluster::api_server().await).expect("a proxy starts");
    let directory = tempfile::tempdir().expect("a directory");
    let address = proxy.address().parse().expect("an address");
    cluster::write_kubeconfig_over(address, &directory.path().join(KUBECONFIG));
    (proxy, directory)
}

/// An operator that waits for the lease of its space.
fn candidate(space: &Space, stand_in: &StandIn, name: &str) -> Setup {
    Setup::only(space)
        .reports(stand_in.address)
        .option("leader-election", "true")
        .option("own-namespace", &space.name)
        .option("own-name", name)
}

async fn leads(operator: &Operator) -> Result<(), String> {
    let leads = operator.metric("redissync_operator_leader").await;
    if leads == 1.0 { Ok(()) } else { Err(operator.log()) }
}

async fn make(space: &Space, stand_in: &StandIn, name: &str) {
    stand_in.set(&space.name, name, json!({}));
    space.create(&standalone(name)).await;
    let workload = names::workload(name);
    until("its StatefulSet is there", SOON, async || {
        space.api::<StatefulSet>().get(&workload).await
    })
    .await;
}
