//! Of two operators one works; when it is gone the other takes over.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use redissync_operator::names;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    operator_process::{Operator, Setup},
    sample::standalone,
    space::Space,
    stand_in::StandIn,
    wait::until,
};

const SOON: Duration = Duration::from_secs(30);
/// The lease's length, and some for taking it.
const TAKE_OVER: Duration = Duration::from_secs(20);

#[tokio::test]
async fn of_two_operators_one_works_and_the_other_takes_over_when_it_is_killed() {
    let space = Space::new("election").await;
    let stand_in = StandIn::start().await;
    let start = |name: &'static str| {
        Setup::only(&space)
            .reports(stand_in.address)
            .option("leader-election", "true")
            .option("own-namespace", &space.name)
            .option("own-name", name)
            .start()
    };
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
