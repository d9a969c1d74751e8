//! The operator as a process: started with a stand-in for the syncers' reports, ended by its pid when the test ends.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{cluster, space::Space, wait::until};

/// Up means: it listens. With a machine under load that takes a while.
const START: Duration = Duration::from_secs(30);

/// How it is started.
pub(crate) struct Setup {
    arguments: Vec<String>,
    log_filter: &'static str,
    kubeconfig: PathBuf,
}

impl Setup {
    /// For all namespaces, without leader election.
    pub(crate) fn new() -> Self {
        let kubeconfig = cluster::kubeconfig();
        Self { arguments: Vec::new(), log_filter: "info", kubeconfig }
            .option("leader-election", "false")
    }

    /// For one namespace only: no finalizers, no nodes.
    pub(crate) fn only(space: &Space) -> Self {
        Self::new().option("watch-namespaces", &space.name)
    }

    /// Sets an option; the last one counts.
    pub(crate) fn option(mut self, name: &str, value: impl ToString) -> Self {
        let flag = format!("--{name}");
        if let Some(index) = self.arguments.iter().position(|known| *known == flag) {
            self.arguments.drain(index..index + 2);
        }
        self.arguments.extend([flag, value.to_string()]);
        self
    }

    pub(crate) fn reports(self, stand_in: SocketAddr) -> Self {
        self.option("report-stand-in", stand_in)
    }

    pub(crate) fn image(self, image: &str) -> Self {
        self.option("syncer-image", image)
    }

    pub(crate) fn log_filter(mut self, log_filter: &'static str) -> Self {
        self.log_filter = log_filter;
        self
    }

    /// Another way to the API server.
    pub(crate) fn kubeconfig(self, kubeconfig: PathBuf) -> Self {
        Self { kubeconfig, ..self }
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(self) -> Operator {
        let listen = free_address();
        let mut setup = self.option("listen", listen);
        if !setup.arguments.iter().any(|argument| argument == "--syncer-image") {
            setup = setup.image("redissync-syncer:first");
        }
        let directory = tempfile::tempdir().expect("a directory for the log");
        let log = File::create(directory.path().join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_redissync-operator"))
            .arg("run")
            .args(&setup.arguments)
            .env("KUBECONFIG", &setup.kubeconfig)
            .env("RUST_LOG", setup.log_filter)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log twice"))
            .stderr(log)
            .spawn()
            .expect("the operator starts");
        let operator = Operator { child, listen, directory };
        until("the operator listens", START, async || {
            TcpStream::connect(listen).await.map(drop).map_err(|err| (err, operator.log()))
        })
        .await;
        operator
    }
}

/// A running operator.
pub(crate) struct Operator {
    child: Child,
    listen: SocketAddr,
    directory: TempDir,
}

impl Operator {
    /// For one namespace, with reports from nowhere.
    pub(crate) async fn start_in(space: &Space) -> Self {
        Setup::only(space).reports(free_address()).start().await
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A file of `/proc/<pid>`, as bytes.
    pub(crate) fn proc(&self, file: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{file}", self.pid())).expect("the operator runs")
    }

    /// The most memory that it has ever had, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = String::from_utf8(self.proc("status")).expect("it is text");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    /// What it answers at `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.listen).await.expect("the operator listens");
        let request = "GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Tells it to end, as a kubelet does: SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(status.success(), "the operator runs");
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// Ends it without a warning: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(8_000);
            let tail = log.get(start..).unwrap_or(&log);
            eprintln!("== the end of the operator's log\n{tail}");
        }
    }
}

/// An address of this machine where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address")
}
