//! How a watch asks for a reconcile of its object.

use futures::Stream;
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

impl Trigger {
    /// Asks. Waits while the queue is full; a request is never lost while the controller runs.
    pub async fn fire(&self) {
        // The controller has ended: nobody is left to reconcile.
        let _ = self.requests.send(self.object.clone()).await;
    }
}
