//! How a watch asks for a reconcile of its object.

use futures::{Stream, StreamExt as _};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::crd::RedisSync;

/// Requests wait here while the controller takes them over, which is quick: it only notes them.
const REQUESTS_MAX: usize = 256;

/// Asks for a reconcile of one object.
#[derive(Clone, Debug)]
pub struct Trigger {
    object: ObjectRef<RedisSync>,
    requests: mpsc::Sender<ObjectRef<RedisSync>>,
}

/// Makes triggers.
#[derive(Clone, Debug)]
pub struct Triggers(mpsc::Sender<ObjectRef<RedisSync>>);

impl Triggers {
    /// The triggers, and the requests for the controller.
    pub fn new() -> (Self, impl Stream<Item = ObjectRef<RedisSync>> + Send + 'static) {
        let (sender, mut receiver) = mpsc::channel(REQUESTS_MAX);
        (Self(sender), futures::stream::poll_fn(move |ctx| receiver.poll_recv(ctx)))
    }

    /// One for this object.
    pub fn of(&self, object: ObjectRef<RedisSync>) -> Trigger {
        Trigger { object, requests: self.0.clone() }
    }
}

/// Waits for the stores to be filled, and throws away what their watches ask for meanwhile: the controller begins with a
/// pass over every object. Without this a watch would wait for room among the requests, the stores for the watch, and
/// the controller, which makes room, for the stores.
pub async fn discard_until<T>(
    requests: &mut (impl Stream<Item = ObjectRef<RedisSync>> + Unpin),
    filled: impl Future<Output = T>,
) -> T {
    let mut filled = std::pin::pin!(filled);
    loop {
        tokio::select! {
            // What is filled first: later requests are the controller's.
            biased;
            outcome = &mut filled => return outcome,
            Some(_) = requests.next() => {}
        }
    }
}

impl Trigger {
    /// Asks. Waits while the queue is full; a request is never lost while the controller runs.
    pub async fn fire(&self) {
        // The controller has ended: nobody is left to reconcile.
        let _ = self.requests.send(self.object.clone()).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn more_objects_than_requests_fit_do_not_hold_up_the_start() {
        let (triggers, mut requests) = Triggers::new();
        let (done, filled) = oneshot::channel();
        // As a watch does it: one request for each object, and only then the store is filled.
        let watch = async move {
            for index in 0..REQUESTS_MAX * 4 {
                triggers.of(ObjectRef::new(&index.to_string())).fire().await;
            }
            done.send(()).unwrap();
        };
        let start = discard_until(&mut requests, filled);
        let both = async { tokio::join!(watch, start).1 };
        let limit = std::time::Duration::from_secs(10);
        tokio::time::timeout(limit, both).await.unwrap().unwrap();
    }
}
