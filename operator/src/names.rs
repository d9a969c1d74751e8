//! The names of everything that the operator makes or marks: objects, labels, annotations, paths in the pod.
//!
//! A name that is changed here loses what exists under the old one; so none is changed without a decision in
//! ARCHITECTURE.md.

use std::collections::BTreeMap;

/// The field manager of server-side apply, and the reporter of events.
pub const FIELD_MANAGER: &str = "redissync-operator";
/// Holds an object until its syncer has drained.
pub const FINALIZER: &str = "redissync.dev/drain";
/// The value of `app.kubernetes.io/name` of each syncer's objects.
pub const SYNCER_APP: &str = "redissync-syncer";
/// The label of every object that the operator made; its value is [`FIELD_MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Selects every object that the operator made.
pub const MANAGED_SELECTOR: &str = "app.kubernetes.io/managed-by=redissync-operator";

/// On the pod: the configuration that the operator asked the kubelet to show to it. Changing it makes the kubelet look
/// at the pod's volumes at once, instead of within a minute.
pub const CONFIG_HASH: &str = "redissync.dev/config-hash";
/// On the pod: the versions of the Secrets that the operator asked the kubelet to show to it.
pub const SECRET_VERSIONS: &str = "redissync.dev/secret-versions";
/// On the StatefulSet: the hash of all that the operator wants it to be.
pub const TEMPLATE_HASH: &str = "redissync.dev/template-hash";
/// On the StatefulSet: the hash of that part of the object's spec which the template follows from. If it is the same and
/// the template's hash is not, the operator itself has changed, and the change takes its turn.
pub const SPEC_HASH: &str = "redissync.dev/spec-hash";
/// On the StatefulSet: how its link was (`well`, `unwell`) when an upgrade restarted it, until its pod is back and it is
/// applied again. An operator that was restarted knows by it whose turn it is.
pub const TURN: &str = "redissync.dev/turn";
/// On the pod's template: the hash of the settings whose change needs a restart.
pub const RESTART_HASH: &str = "redissync.dev/restart-hash";

/// The name of the container.
pub const CONTAINER: &str = "syncer";
/// The name of the volume and of its claim's template.
pub const SPOOL_VOLUME: &str = "spool";
/// Where the spool's volume is in the pod.
pub const SPOOL_MOUNT: &str = "/var/lib/redissync";
/// The spool's directory: below the mount, where some file systems put a `lost+found`.
pub const SPOOL_DIR: &str = "/var/lib/redissync/spool";
/// Where the configuration is in the pod.
pub const CONFIG_MOUNT: &str = "/etc/redissync/config";
/// The configuration's key in the ConfigMap and its file's name.
pub const CONFIG_FILE: &str = "syncer.yaml";
/// Below it, a directory for each password.
pub const AUTH_MOUNT: &str = "/etc/redissync/auth";
/// The file in each of these directories.
pub const PASSWORD_FILE: &str = "password";
/// Beside it, a directory for each kind of servers that TLS is spoken with.
pub const TLS_MOUNT: &str = "/etc/redissync/tls";
/// The port of `/report`, `/metrics` and the probes.
pub const HTTP_PORT: u16 = 9250;

/// The name of the StatefulSet and of the ConfigMap.
pub fn workload(sync: &str) -> String {
    format!("{sync}-redissync")
}

/// The name of the syncer's pod.
pub fn pod(sync: &str) -> String {
    format!("{sync}-redissync-0")
}

/// The name of the claim of the syncer's volume.
pub fn claim(sync: &str) -> String {
    format!("{SPOOL_VOLUME}-{sync}-redissync-0")
}

/// The labels by which the syncer's pod is found.
pub fn selector(sync: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", SYNCER_APP), ("app.kubernetes.io/instance", sync)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels of everything that is made for an object.
pub fn labels(sync: &str) -> BTreeMap<String, String> {
    let mut labels = selector(sync);
    labels.insert(MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "redissync".to_owned());
    labels
}

/// A hash that is the same in every build of the operator: FNV-1a, 64 bits. It tells changes, it guards nothing.
pub fn hash(text: &str) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_change_between_builds() {
        assert_eq!(hash(""), "cbf29ce484222325");
        assert_eq!(hash("foobar"), "85944171f73967e8");
    }

    #[test]
    fn the_longest_name_leaves_room_for_what_kubernetes_adds() {
        let longest = "x".repeat(40);
        // A StatefulSet's pods carry its name and a hash of ten characters in a label of at most 63.
        assert!(workload(&longest).len() + 11 <= 63);
    }
}
