//! The StatefulSet of one syncer: one pod with one volume, under the restricted Pod Security Standard and without
//! credentials for the Kubernetes API.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, HTTPGetAction,
            KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSecurityContext,
            PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements,
            SeccompProfile, SecretProjection, SecretVolumeSource, SecurityContext, Volume,
            VolumeMount, VolumeProjection, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity, apis::meta::v1::LabelSelector, util::intstr::IntOrString,
    },
};
use kube::api::ObjectMeta;

use super::{
    SyncerImage, metadata,
    syncer_config::{
        self, CA_FILE, CERTIFICATE_KEY, DRAIN_SECONDS, PRIVATE_KEY, Servers, password_dir, tls_dir,
    },
};
use crate::{
    controller::{tls_secrets, validate::ValidatedSync},
    crd::{PasswordSecretRef, SiteSpec, StorageSpec, TemplateSpec, TlsSpec},
    names,
};

/// The image's user. Numeric, so that Kubernetes can see that it is not root.
const USER: i64 = 65532;
/// Readable for the owner (root) and the pod's group.
const FILE_MODE: i32 = 0o440;
/// What remains to the kubelet after the syncer has drained.
const GRACE_SECONDS: i64 = DRAIN_SECONDS as i64 + 10;

pub(super) fn build(sync: &ValidatedSync, image: &SyncerImage) -> StatefulSet {
    let mut set = StatefulSet {
        metadata: metadata(sync),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            selector: LabelSelector {
                match_labels: Some(names::selector(&sync.name)),
                ..LabelSelector::default()
            },
            // Parallel: else a pod that never gets ready is not replaced when its template is put right.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some("Delete".to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            revision_history_limit: Some(3),
            template: template(sync, image),
            volume_claim_templates: Some(vec![claim(&sync.spec.syncer.storage)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    };
    let spec = serde_json::to_string(&set.spec).unwrap_or_default();
    let annotations = [
        (names::TEMPLATE_HASH, names::hash(&spec)),
        (names::SPEC_HASH, names::hash(&template_inputs(sync))),
    ];
    set.metadata.annotations = Some(annotations.map(|(key, value)| (key.to_owned(), value)).into());
    set
}

/// What of the object the template follows from, and nothing that is the operator's own.
fn template_inputs(sync: &ValidatedSync) -> String {
    let sites = sync.spec.sites.iter().map(|site| {
        let data = site.auth.as_ref().map(|auth| &auth.password_secret_ref);
        let sentinel = site.sentinel.as_ref().and_then(|sentinel| sentinel.auth.as_ref());
        (site.name.as_str(), data, sentinel.map(|auth| &auth.password_secret_ref))
    });
    let inputs = serde_json::to_string(&(
        &sync.spec.syncer,
        &sync.spec.full_copy,
        &sync.spec.spool,
        sites.collect::<Vec<_>>(),
    ))
    .unwrap_or_default();
    // Newer than the first version: only where it is used, so that no other object's hash changes with the operator's.
    let tls: Vec<_> = tls_secrets::of_spec(&sync.spec)
        .filter(|(_, _, tls)| tls_secrets::names(tls).next().is_some())
        .map(|(site, of, tls)| {
            (&site.name, tls_dir(&site.name, of), &tls.ca_secret_ref, &tls.certificate_secret_ref)
        })
        .collect();
    match tls.is_empty() {
        true => inputs,
        false => format!("{inputs}{}", serde_json::to_string(&tls).unwrap_or_default()),
    }
}

fn template(sync: &ValidatedSync, image: &SyncerImage) -> PodTemplateSpec {
    let TemplateSpec {
        labels,
        annotations,
        node_selector,
        affinity,
        tolerations,
        topology_spread_constraints,
        priority_class_name,
        image_pull_secrets,
    } = sync.spec.syncer.template.clone();
    let mut annotations = annotations;
    let restart_hash = names::hash(&syncer_config::restart_text(&sync.config));
    annotations.insert(names::RESTART_HASH.to_owned(), restart_hash);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            // The operator's own go last: the selector must match.
            labels: Some(labels.into_iter().chain(names::labels(&sync.name)).collect()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container(sync, image)],
            volumes: Some(volumes(sync)),
            node_selector: (!node_selector.is_empty()).then_some(node_selector),
            affinity,
            tolerations: (!tolerations.is_empty()).then_some(tolerations),
            topology_spread_constraints: (!topology_spread_constraints.is_empty())
                .then_some(topology_spread_constraints),
            priority_class_name,
            image_pull_secrets: (!image_pull_secrets.is_empty()).then_some(image_pull_secrets),
            ..PodSpec::default()
        }),
    }
}

fn container(sync: &ValidatedSync, image: &SyncerImage) -> Container {
    let config = format!("{}/{}", names::CONFIG_MOUNT, names::CONFIG_FILE);
    Container {
        name: names::CONTAINER.to_owned(),
        image: Some(image.name.clone()),
        image_pull_policy: Some(image.pull_policy.clone()),
        args: Some(
            ["run", "--config", &config, "--log-format", "json"].map(str::to_owned).to_vec(),
        ),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: i32::from(names::HTTP_PORT),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(sync.spec.syncer.resources.clone().unwrap_or_else(default_resources)),
        // A syncer that waits or halts is alive: only one that does not answer at all is restarted.
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts(sync)),
        ..Container::default()
    }
}

fn default_resources() -> ResourceRequirements {
    let amounts = |pairs: &[(&str, &str)]| {
        let pairs =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned())));
        Some(pairs.collect::<BTreeMap<_, _>>())
    };
    ResourceRequirements {
        requests: amounts(&[("cpu", "100m"), ("memory", "64Mi")]),
        // One unit is held whole, up to 544 MiB, beside the buffers.
        limits: amounts(&[("memory", "1Gi")]),
        ..ResourceRequirements::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(3),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// The passwords of a site, with their directories.
fn passwords(site: &SiteSpec) -> Vec<(Servers, &PasswordSecretRef)> {
    let data = site.auth.as_ref().map(|auth| (Servers::DataNodes, &auth.password_secret_ref));
    let sentinel = site.sentinel.as_ref().and_then(|sentinel| sentinel.auth.as_ref());
    let sentinel = sentinel.map(|auth| (Servers::Sentinels, &auth.password_secret_ref));
    data.into_iter().chain(sentinel).collect()
}

/// `auth-0-data`: by the site's place in the list of names, since a volume's name is short and a site's may be long.
fn auth_volume(index: usize, of: Servers) -> String {
    match of {
        Servers::DataNodes => format!("auth-{index}-data"),
        Servers::Sentinels => format!("auth-{index}-sentinel"),
    }
}

/// The Secrets that a site's TLS is made from, as sources of one volume for each kind of servers.
fn tls_sources(site: &SiteSpec) -> Vec<(Servers, Vec<VolumeProjection>)> {
    let source = |name: &str, files: &[(&str, &str)]| {
        let items = files.iter().map(|(key, path)| KeyToPath {
            key: (*key).to_owned(),
            path: (*path).to_owned(),
            mode: None,
        });
        VolumeProjection {
            secret: Some(SecretProjection {
                name: name.to_owned(),
                items: Some(items.collect()),
                optional: None,
            }),
            ..VolumeProjection::default()
        }
    };
    let of = |of: Servers| {
        let TlsSpec { ca_secret_ref, certificate_secret_ref, server_name: _ } =
            tls_secrets::of(site, of)?;
        let ca = ca_secret_ref.as_ref().map(|ca| source(&ca.name, &[(&ca.key, CA_FILE)]));
        let own = certificate_secret_ref.as_ref().map(|own| {
            let files = [(CERTIFICATE_KEY, CERTIFICATE_KEY), (PRIVATE_KEY, PRIVATE_KEY)];
            source(&own.name, &files)
        });
        let sources: Vec<VolumeProjection> = ca.into_iter().chain(own).collect();
        (!sources.is_empty()).then_some((of, sources))
    };
    Servers::ALL.into_iter().filter_map(of).collect()
}

/// As [`auth_volume`].
fn tls_volume(index: usize, of: Servers) -> String {
    match of {
        Servers::DataNodes => format!("tls-{index}-data"),
        Servers::Sentinels => format!("tls-{index}-sentinel"),
    }
}

/// The sites by name: their order in the list is of no meaning and may change.
fn sorted_sites(sync: &ValidatedSync) -> Vec<&SiteSpec> {
    let mut sites: Vec<&SiteSpec> = sync.spec.sites.iter().collect();
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    sites
}

fn mounts(sync: &ValidatedSync) -> Vec<VolumeMount> {
    let mount = |name: String, path: String, is_read_only: bool| VolumeMount {
        name,
        mount_path: path,
        read_only: Some(is_read_only),
        ..VolumeMount::default()
    };
    let mut mounts = vec![
        mount("config".to_owned(), names::CONFIG_MOUNT.to_owned(), true),
        mount(names::SPOOL_VOLUME.to_owned(), names::SPOOL_MOUNT.to_owned(), false),
    ];
    for (index, site) in sorted_sites(sync).into_iter().enumerate() {
        for (of, _) in passwords(site) {
            mounts.push(mount(auth_volume(index, of), password_dir(&site.name, of), true));
        }
        for (of, _) in tls_sources(site) {
            mounts.push(mount(tls_volume(index, of), tls_dir(&site.name, of), true));
        }
    }
    mounts
}

fn volumes(sync: &ValidatedSync) -> Vec<Volume> {
    let mut volumes = vec![Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::workload(&sync.name),
            default_mode: Some(FILE_MODE),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }];
    for (index, site) in sorted_sites(sync).into_iter().enumerate() {
        for (of, reference) in passwords(site) {
            volumes.push(Volume {
                name: auth_volume(index, of),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(reference.name.clone()),
                    default_mode: Some(FILE_MODE),
                    items: Some(vec![KeyToPath {
                        key: reference.key.clone(),
                        path: names::PASSWORD_FILE.to_owned(),
                        mode: None,
                    }]),
                    optional: None,
                }),
                ..Volume::default()
            });
        }
        for (of, sources) in tls_sources(site) {
            volumes.push(Volume {
                name: tls_volume(index, of),
                projected: Some(ProjectedVolumeSource {
                    sources: Some(sources),
                    default_mode: Some(FILE_MODE),
                }),
                ..Volume::default()
            });
        }
    }
    volumes
}

fn claim(storage: &StorageSpec) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::SPOOL_VOLUME.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![storage.access_mode.as_str().to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    Quantity(storage.size.clone()),
                )])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
