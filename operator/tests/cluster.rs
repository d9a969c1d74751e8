//! The API server of the tests: the one that KUBECONFIG names, else the one of `make cluster-up`.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use redissync_operator::crd::RedisSync;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::wait::until;

/// As the repository has it: what users apply.
const CRD_YAML: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/redissyncs.redissync.dev.yaml"));
const HOW: &str =
    "run 'make cluster-up' first, or let KUBECONFIG name a cluster that may be used for tests";

/// Where the kubeconfig is.
pub(crate) fn kubeconfig() -> PathBuf {
    if let Some(path) = env::var_os("KUBECONFIG").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let directory = |name| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = directory("REDISSYNC_CACHE").unwrap_or_else(|| {
        directory("XDG_CACHE_HOME")
            .or_else(|| directory("HOME").map(|home| home.join(".cache")))
            .expect("HOME is set")
            .join("redissync")
    });
    cache.join("cluster/state/kubeconfig")
}

/// Writes a kubeconfig whose way to the API server leads over `proxy`.
pub(crate) fn write_kubeconfig_over(proxy: SocketAddr, path: &Path) {
    let mut kubeconfig = Kubeconfig::read_from(kubeconfig()).expect("there is a kubeconfig");
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        let server = cluster.server.clone().expect("it names a server");
        let host = host_and_port(&server).0;
        // The certificate is the server's, not the proxy's.
        cluster.tls_server_name.get_or_insert(host);
        cluster.server = Some(format!("https://{proxy}"));
    }
    let text = serde_yaml::to_string(&kubeconfig).expect("it is YAML");
    fs::write(path, text).expect("a file is written");
}

/// `host:port` of the API server.
pub(crate) async fn api_server() -> String {
    let kubeconfig = Kubeconfig::read_from(kubeconfig()).expect("there is a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let (host, port) = host_and_port(&config.expect("it is a kubeconfig").cluster_url.to_string());
    format!("{host}:{port}")
}

/// Of a URL.
fn host_and_port(url: &str) -> (String, u16) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host.to_owned(), port.parse().expect("a port"))
        }
        _ => (authority.to_owned(), 443),
    }
}

/// A client for it, with the CustomResourceDefinition of this repository applied. Fails the test where there is none.
pub(crate) async fn client() -> Client {
    static IS_PREPARED: OnceCell<()> = OnceCell::const_new();
    let path = kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&path).unwrap_or_else(|err| {
        panic!("no cluster: {} cannot be read ({err}); {HOW}", path.display())
    });
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap_or_else(|err| {
            panic!("no cluster: {} is no kubeconfig ({err}); {HOW}", path.display())
        });
    let url = config.cluster_url.clone();
    let client = client_of(config);
    IS_PREPARED
        .get_or_init(|| async {
            if let Err(err) = client.apiserver_version().await {
                panic!("no cluster: {url} does not answer ({err}); {HOW}");
            }
            apply_crd(&client).await;
        })
        .await;
    client
}

fn client_of(config: Config) -> Client {
    // Two providers are compiled in; the first call decides, the others change nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::try_from(config).expect("the kubeconfig's certificates can be used")
}

/// The definition as `kubectl apply --server-side` sends it.
pub(crate) fn crd() -> Value {
    serde_yaml::from_str(CRD_YAML).expect("the definition is YAML")
}

async fn apply_crd(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("redissync-tests").force();
    let name = "redissyncs.redissync.dev";
    api.patch(name, &params, &Patch::Apply(crd())).await.expect("the API server takes the CRD");
    let objects: Api<RedisSync> = Api::all(client.clone());
    until("the kind RedisSync is served", Duration::from_secs(20), async || {
        objects.list(&Default::default()).await.map(drop)
    })
    .await;
}

/// The tests run an operator that looks after every namespace: it must not lay hands on what others have there.
pub(crate) async fn must_be_ours(client: &Client) {
    let objects: Api<RedisSync> = Api::all(client.clone());
    let all = objects.list(&Default::default()).await.expect("RedisSyncs can be listed");
    let foreign = all.items.iter().find(|object| {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        !namespace.starts_with(crate::space::PREFIX)
    });
    if let Some(object) = foreign {
        panic!(
            "the cluster holds a RedisSync that is not of these tests ({}/{}), and the operator under test would take it \
             over: use another cluster, or delete it",
            object.metadata.namespace.as_deref().unwrap_or_default(),
            object.metadata.name.as_deref().unwrap_or_default(),
        );
    }
}
