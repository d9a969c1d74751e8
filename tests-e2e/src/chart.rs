//! The operator's Helm chart: rendered for tests that need nothing, installed for tests that have a cluster.
//!
//! Values are JSON, so that a test says `["tools"]` and not what helm's own syntax makes of it. Nothing here talks to the
//! API server itself: helm does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kubeconfig;

/// The version that templates are rendered for when no cluster is asked.
const KUBE_VERSION: &str = "1.34.0";

/// Values of the chart, as path (`operator.image.tag`) and value.
pub type ChartValues<'a> = [(&'a str, Value)];

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart() -> PathBuf {
    repository().join("charts/redissync-operator")
}

/// `helm lint --strict` of the chart; what it says when it passes.
pub fn lint_chart(values: &ChartValues<'_>) -> Result<String> {
    run(helm()?.arg("lint").arg("--strict").arg(chart()).args(as_arguments(values)))
}

/// The objects that `helm template` makes of the chart.
pub fn render_chart(
    release: &str,
    namespace: &str,
    values: &ChartValues<'_>,
) -> Result<Vec<Value>> {
    let text = run(helm()?
        .args(["template", release])
        .arg(chart())
        .args(["--namespace", namespace, "--kube-version", KUBE_VERSION])
        .args(as_arguments(values)))?;
    parse_yaml(&text)
}

/// The documents of a YAML file, empty ones left out.
pub fn parse_yaml(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).context("failed to read YAML"))
        .collect::<Result<Vec<_>>>()?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// How the chart is installed into the cluster that `KUBECONFIG` names.
#[derive(Debug, Clone)]
pub struct ChartOptions {
    namespace: String,
    values: Vec<(String, Value)>,
    timeout: Duration,
}

impl ChartOptions {
    /// In a namespace of its own, which is made if it is not there. The release has the namespace's name, so that two
    /// tests do not take each other's ClusterRoles.
    pub fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_string(),
            values: Vec::new(),
            timeout: Duration::from_secs(120),
        }
    }

    /// The tag of both images. They must be in the cluster already: nothing is pulled.
    pub fn image_tag(self, tag: &str) -> Self {
        self.value("operator.image.tag", json!(tag))
            .value("syncer.image.tag", json!(tag))
            .value("operator.image.pullPolicy", json!("Never"))
            .value("syncer.image.pullPolicy", json!("Never"))
    }

    /// Sets a value, such as `watchNamespaces` to `["tools"]`.
    pub fn value(mut self, path: &str, value: Value) -> Self {
        self.values.push((path.to_string(), value));
        self
    }

    /// How long the operator may take until it is ready.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// An installed chart. It is uninstalled when this is dropped; the CRD stays, as the chart has it.
#[derive(Debug)]
pub struct InstalledChart {
    /// Of the release, and its name. None: it was uninstalled.
    namespace: Option<String>,
}

/// Installs the chart, or upgrades what is there, and waits until the operator is ready.
pub fn install_chart(options: &ChartOptions) -> Result<InstalledChart> {
    let ChartOptions { namespace, values, timeout } = options;
    let values: Vec<_> =
        values.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
    // Made first: what helm leaves of a failed installation is taken away as well.
    let installed = InstalledChart { namespace: Some(namespace.clone()) };
    // The CRD that an earlier release left behind still bears that release's name.
    let outcome = run(helm()?
        .args(["upgrade", "--install", "--create-namespace", "--take-ownership", namespace])
        .arg(chart())
        .args(["--namespace", namespace, "--wait", "--timeout", &format!("{}s", timeout.as_secs())])
        .args(as_arguments(&values)));
    outcome.with_context(|| {
        format!("the operator is not ready; seen at its end: {}", pods(namespace))
    })?;
    Ok(installed)
}

impl InstalledChart {
    /// Uninstalls it, and says whether that worked.
    pub fn uninstall(mut self) -> Result<()> {
        self.namespace.take().map_or(Ok(()), |namespace| uninstall(&namespace))
    }
}

impl Drop for InstalledChart {
    fn drop(&mut self) {
        if let Some(namespace) = &self.namespace
            && let Err(err) = uninstall(namespace)
        {
            eprintln!("the chart in {namespace} stays: {err:#}");
        }
    }
}

/// The namespace's pods and events, for a message: helm only says that the time is up.
fn pods(namespace: &str) -> String {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["--request-timeout=10s", "--namespace", namespace, "get", "pods,events"]);
    run(&mut kubectl).unwrap_or_else(|err| format!("nothing ({err:#})"))
}

fn uninstall(namespace: &str) -> Result<()> {
    run(helm()?.args([
        "uninstall",
        namespace,
        "--namespace",
        namespace,
        "--wait",
        "--timeout",
        "60s",
    ]))?;
    Ok(())
}

fn as_arguments(values: &ChartValues<'_>) -> Vec<String> {
    values
        .iter()
        .flat_map(|(path, value)| ["--set-json".to_string(), format!("{path}={value}")])
        .collect()
}

/// A helm 3, wherever `.ci/helm.sh` finds or builds it.
pub(crate) fn helm() -> Result<Command> {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    if HELM.get().is_none() {
        let found = run(&mut Command::new(repository().join(".ci/helm.sh")))?;
        // Another thread may have been quicker, with the same answer.
        let _ = HELM.set(PathBuf::from(found.trim_end()));
    }
    let mut helm = Command::new(HELM.get().context("helm's path was just set")?);
    // Rendering needs no cluster, so none is no fault here.
    if let Ok(kubeconfig) = kubeconfig::path() {
        helm.env("KUBECONFIG", kubeconfig);
    }
    Ok(helm)
}

/// What the command prints; its words of error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = format!("{} {}", command.get_program().display(), first_argument(command));
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("failed to start {name}"))?;
    let stdout = String::from_utf8(stdout).with_context(|| format!("{name} prints no UTF-8"))?;
    if !status.success() {
        bail!("{name}: {status}: {}{stdout}", String::from_utf8_lossy(&stderr));
    }
    Ok(stdout)
}

fn first_argument(command: &Command) -> String {
    command.get_args().next().map(|argument| argument.display().to_string()).unwrap_or_default()
}
