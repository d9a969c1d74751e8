//! Which nodes a volume is tied to, pure: a volume that others can reach too is never given up for a lost node.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume};

/// The label that a node's kubelet gives it; most often its name, but not everywhere.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The one field that an affinity can name.
const NAME_FIELD: &str = "metadata.name";

/// A node, as a volume's affinity names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// By its label [`HOSTNAME`].
    Hostname(String),
    /// By its name.
    Name(String),
}

/// All the nodes from which the volume can be reached. `None`: they are not named one by one (a network volume, one of
/// a zone, one that is tied by a label which we do not know), so it may be attached elsewhere.
pub fn ties(volume: &PersistentVolume) -> Option<BTreeSet<Tie>> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?;
    // Terms are alternatives: a single one that names no node may be met anywhere.
    let terms = affinity.required.as_ref()?.node_selector_terms.iter().map(tied);
    let ties: BTreeSet<Tie> = terms.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    (!ties.is_empty()).then_some(ties)
}

/// The requirements of a term hold together, so one that names nodes is enough.
fn tied(term: &NodeSelectorTerm) -> Option<Vec<Tie>> {
    let named = |of: &Option<Vec<NodeSelectorRequirement>>, key, tie: fn(String) -> Tie| {
        let mut requirements = of.iter().flatten();
        let found = requirements.find(|it| it.key == key && it.operator == "In")?;
        let values = found.values.clone().unwrap_or_default();
        (!values.is_empty()).then(|| values.into_iter().map(tie).collect())
    };
    named(&term.match_expressions, HOSTNAME, Tie::Hostname)
        .or_else(|| named(&term.match_fields, NAME_FIELD, Tie::Name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn on(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"key": key, "operator": operator, "values": values})
    }

    #[test]
    fn only_a_volume_whose_nodes_are_named_one_by_one_is_tied() {
        let host = |names: &[&str]| on(HOSTNAME, "In", names);
        let zone = on("topology.kubernetes.io/zone", "In", &["east"]);
        let rows = [
            ("a network volume", json!(null), None),
            ("an affinity that asks for nothing", json!([]), None),
            ("of a zone", json!([{"matchExpressions": [zone]}]), None),
            ("of one node", json!([{"matchExpressions": [host(&["a"])]}]), Some("a")),
            ("of a node in a zone", json!([{"matchExpressions": [zone, host(&["a"])]}]), Some("a")),
            ("of either node", json!([{"matchExpressions": [host(&["a", "b"])]}]), Some("a b")),
            (
                "of a node or of another",
                json!([{"matchExpressions": [host(&["a"])]}, {"matchExpressions": [host(&["b"])]}]),
                Some("a b"),
            ),
            (
                "of a node or of a whole zone",
                json!([{"matchExpressions": [host(&["a"])]}, {"matchExpressions": [zone]}]),
                None,
            ),
            (
                "of a node by its name",
                json!([{"matchFields": [on(NAME_FIELD, "In", &["n"])]}]),
                Some("n!"),
            ),
            (
                "of all nodes but one",
                json!([{"matchExpressions": [on(HOSTNAME, "NotIn", &["a"])]}]),
                None,
            ),
            (
                "of any node that has a name",
                json!([{"matchExpressions": [on(HOSTNAME, "Exists", &[])]}]),
                None,
            ),
            (
                "of a driver's own label",
                json!([{"matchExpressions": [on("x.io/node", "In", &["a"])]}]),
                None,
            ),
            ("of no node", json!([{"matchExpressions": [host(&[])]}]), None),
        ];
        for (name, terms, expected) in rows {
            let affinity = json!({"required": {"nodeSelectorTerms": terms}});
            let affinity = if terms.is_null() { terms } else { affinity };
            let volume = json!({"metadata": {"name": "v"}, "spec": {"nodeAffinity": affinity}});
            let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
            let told = ties(&volume).map(|ties| {
                let shown = ties.into_iter().map(|tie| match tie {
                    Tie::Hostname(value) => value,
                    Tie::Name(value) => format!("{value}!"),
                });
                shown.collect::<Vec<_>>().join(" ")
            });
            assert_eq!(told.as_deref(), expected, "{name}");
        }
    }
}
