//! Step 7, I/O: writes the status, if it differs, and sends the events. The only writer of `.status`.

use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::Patch,
    runtime::events::{Event, Recorder},
};
use serde_json::json;
use tracing::warn;

use super::apply::server_side;
use crate::crd::{RedisSync, RedisSyncStatus};

/// The status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to apply the status")]
pub struct UpdateStatusError(#[source] kube::Error);

/// Writes what is new.
pub async fn update_status(
    client: &Client,
    recorder: &Recorder,
    object: &RedisSync,
    status: &RedisSyncStatus,
    events: Vec<Event>,
) -> Result<(), UpdateStatusError> {
    if object.status.as_ref() != Some(status) {
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<RedisSync> = Api::namespaced(client.clone(), &namespace);
        let patch = json!({
            "apiVersion": RedisSync::api_version(&()),
            "kind": RedisSync::kind(&()),
            "metadata": { "uid": object.uid() },
            "status": status,
        });
        let outcome =
            api.patch_status(&object.name_any(), &server_side(), &Patch::Apply(&patch)).await;
        match outcome {
            Ok(_) => {}
            // Deleted in the meantime, or deleted and created anew: not ours any more.
            Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => return Ok(()),
            Err(err) => return Err(UpdateStatusError(err)),
        }
    }
    // After the status: an event that could not be sent is not worth a second status.
    for event in events {
        if let Err(err) = recorder.publish(&event, &object.object_ref(&())).await {
            warn!(error = %err, reason = event.reason, "an event could not be sent");
        }
    }
    Ok(())
}
