//! A namespace that is deleted with everything in it goes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use redissync_e2e::{cluster::Kind, wait_until};

use crate::suite::{is_namespaced, with_pair};

/// The syncer drains for 20 s at most, a Redis node hands over for as long.
const GONE_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_namespace_with_everything_in_it_goes_within_ninety_seconds() {
    if is_namespaced() {
        println!("left out: an operator of some namespaces has no finalizer that could hold one");
        return;
    }
    with_pair("removal", |suite, pair, traffic| {
        let object = pair.sync.object()?;
        let finalizers = object["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
        ensure!(finalizers == 1, "the object has {finalizers} finalizers");
        pair.compare(traffic, false)?;
        let begun = Instant::now();
        suite.cluster.delete(Kind::Namespace, "", &pair.namespace, None)?;
        wait_until("the namespace to be gone", GONE_WITHIN, || {
            Ok(suite.cluster.find(Kind::Namespace, "", &pair.namespace)?.is_none().then_some(()))
        })?;
        println!("gone after {:.1?}", begun.elapsed());
        Ok(())
    });
}
