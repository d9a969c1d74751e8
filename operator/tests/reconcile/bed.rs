//! One namespace, one stand-in, one operator, one object: what most tests of this directory begin with.

use std::time::Duration;

use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::ConfigMap},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use redissync_operator::{crd::RedisSync, names};
use serde_json::{Value, json};

use crate::{
    operator_process::{Operator, Setup},
    sample::standalone,
    space::Space,
    stand_in::StandIn,
    wait::until,
};

/// What has no time promised; the machine may be under load.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The object's name: no word of the product, so that mixed up labels are seen.
pub(crate) const CART: &str = "cart";

pub(crate) struct Bed {
    pub(crate) operator: Operator,
    pub(crate) stand_in: StandIn,
    pub(crate) space: Space,
}

impl Bed {
    /// An operator for the test's namespace only, and no object yet.
    pub(crate) async fn new(test: &str) -> Self {
        let space = Space::new(test).await;
        let stand_in = StandIn::start().await;
        let operator = Setup::only(&space).reports(stand_in.address).start().await;
        Self { operator, stand_in, space }
    }

    /// The same with an object whose syncer streams, and a status that says so.
    pub(crate) async fn streaming(test: &str) -> Self {
        let bed = Self::new(test).await;
        bed.stand_in.set(&bed.space.name, CART, json!({}));
        bed.space.create(&standalone(CART)).await;
        bed.space.say_running(CART, true).await;
        bed.until_ready("True", SOON).await;
        bed
    }

    /// Lets the syncer say something else.
    pub(crate) fn say(&self, changes: Value) {
        self.stand_in.set(&self.space.name, CART, changes);
    }

    pub(crate) async fn cart(&self) -> RedisSync {
        self.space.get(CART).await
    }

    /// Waits until the object is as wanted; how long it took.
    pub(crate) async fn until_cart(
        &self,
        what: &str,
        within: Duration,
        is_so: impl Fn(&RedisSync) -> bool,
    ) -> (RedisSync, Duration) {
        until(what, within, async || {
            let cart = self.cart().await;
            if is_so(&cart) { Ok(cart) } else { Err((cart.status, cart.spec)) }
        })
        .await
    }

    /// Waits for a status of `Ready`; the condition and how long it took.
    pub(crate) async fn until_ready(
        &self,
        status: &str,
        within: Duration,
    ) -> (Condition, Duration) {
        let is_so =
            |cart: &RedisSync| condition(cart, "Ready").is_some_and(|ready| ready.status == status);
        let (cart, took) = self.until_cart(&format!("Ready={status}"), within, is_so).await;
        (condition(&cart, "Ready").expect("it was there"), took)
    }

    pub(crate) async fn stateful_set(&self) -> StatefulSet {
        let name = names::workload(CART);
        let api = self.space.api::<StatefulSet>();
        until("the StatefulSet is there", SOON, async || api.get(&name).await).await.0
    }

    pub(crate) async fn config_map(&self) -> ConfigMap {
        let name = names::workload(CART);
        let api = self.space.api::<ConfigMap>();
        until("the ConfigMap is there", SOON, async || api.get(&name).await).await.0
    }

    /// The syncer's file.
    pub(crate) async fn config_text(&self) -> String {
        let config_map = self.config_map().await;
        config_map.data.and_then(|mut data| data.remove(names::CONFIG_FILE)).unwrap_or_default()
    }

    /// Waits for an event of the object; its note.
    pub(crate) async fn event(&self, reason: &str) -> String {
        let api = self.space.api::<k8s_openapi::api::events::v1::Event>();
        until(&format!("the event {reason}"), SOON, async || {
            let all = api.list(&Default::default()).await.expect("events can be listed").items;
            let ours = |event: &&k8s_openapi::api::events::v1::Event| {
                event.reason.as_deref() == Some(reason)
                    && event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(CART)
            };
            let found = all.iter().find(ours).and_then(|event| event.note.clone());
            found.ok_or_else(|| all.into_iter().map(|event| event.reason).collect::<Vec<_>>())
        })
        .await
        .0
    }
}

/// A condition of the object.
pub(crate) fn condition(object: &RedisSync, type_: &str) -> Option<Condition> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_).cloned()
}
