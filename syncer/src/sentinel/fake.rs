//! A Sentinel that says what a test tells it to: on loopback, over real sockets, and able to stall, to hang up and
//! to be another one behind the same address.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{broadcast, watch},
};

use crate::resp::{frame, frame::Frame};

/// What the fake answers with, from the next question on.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// The answer to `SENTINEL MYID`; `None` for a server before 6.2.
    pub(super) id: Option<String>,
    /// Host, port, config epoch; `None` if the name is not known.
    pub(super) master: Option<(String, u16, u64)>,
    /// What `SENTINEL MASTER` says instead of the host, as during a failover.
    pub(super) host_in_map: Option<String>,
    /// Ids and addresses of the others.
    pub(super) others: Vec<(String, String)>,
    pub(super) password: Option<String>,
    /// Reads and answers nothing, without closing: a silent cut.
    pub(super) is_stalled: bool,
    /// Counts `SENTINEL MASTER`.
    pub(super) poll_count: u64,
    pub(super) subscription_count: u64,
    pub(super) connection_count: u64,
}

pub(super) struct FakeSentinel {
    pub(super) address: String,
    script: Arc<Mutex<Script>>,
    messages: broadcast::Sender<(String, String)>,
    generation: watch::Sender<u64>,
    listening: tokio::task::JoinHandle<()>,
}

impl FakeSentinel {
    pub(super) async fn start(id: &str, master: Option<(&str, u16, u64)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let script = Arc::new(Mutex::new(Script {
            id: Some(id.to_owned()),
            master: master.map(|(host, port, epoch)| (host.to_owned(), port, epoch)),
            ..Script::default()
        }));
        let messages = broadcast::Sender::new(16);
        let generation = watch::Sender::new(0);
        let listening = tokio::spawn(accept(
            listener,
            Arc::clone(&script),
            messages.clone(),
            generation.subscribe(),
        ));
        Self { address, script, messages, generation, listening }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(super) fn set_master(&self, host: &str, port: u16, epoch: u64) {
        self.script().master = Some((host.to_owned(), port, epoch));
    }

    pub(super) fn publish(&self, channel: &str, payload: &str) {
        self.messages.send((channel.to_owned(), payload.to_owned())).unwrap();
    }

    /// Closes every connection; new ones are accepted.
    pub(super) fn hang_up(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Closes every connection and the listening socket.
    pub(super) fn kill(&self) {
        self.listening.abort();
        self.hang_up();
    }
}

impl Drop for FakeSentinel {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(
    listener: TcpListener,
    script: Arc<Mutex<Script>>,
    messages: broadcast::Sender<(String, String)>,
    generation: watch::Receiver<u64>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        script.lock().unwrap().connection_count += 1;
        let (script, messages) = (Arc::clone(&script), messages.subscribe());
        let mut generation = generation.clone();
        generation.mark_unchanged();
        tokio::spawn(async move {
            tokio::select! {
                _ = generation.changed() => {}
                _ = serve(stream, script, messages) => {}
            }
        });
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<Script>>,
    mut messages: broadcast::Receiver<(String, String)>,
) -> std::io::Result<()> {
    let (mut buf, mut channels, mut is_known) = (Vec::new(), Vec::<String>::new(), false);
    loop {
        while let Some((command, length)) = frame::decode(&buf).unwrap() {
            buf.drain(..length);
            let words: Vec<String> = command.array().unwrap().iter().map(text).collect();
            if script.lock().unwrap().is_stalled {
                continue;
            }
            let out = answer(&words, &mut script.lock().unwrap(), &mut channels, &mut is_known);
            stream.write_all(out.as_bytes()).await?;
        }
        tokio::select! {
            count = stream.read_buf(&mut buf) => if count? == 0 { return Ok(()) },
            Ok((channel, payload)) = messages.recv() => if channels.contains(&channel) {
                stream.write_all(list(&["message", &channel, &payload]).as_bytes()).await?;
            }
        }
    }
}

fn answer(
    words: &[String],
    script: &mut Script,
    channels: &mut Vec<String>,
    is_known: &mut bool,
) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["AUTH", .., password] = words.as_slice() {
        *is_known = script.password.as_deref() == Some(*password);
        return if *is_known { "+OK\r\n" } else { "-WRONGPASS no\r\n" }.to_owned();
    }
    if script.password.is_some() && !*is_known {
        return "-NOAUTH Authentication required.\r\n".to_owned();
    }
    match words.as_slice() {
        ["SENTINEL", "MYID"] => match &script.id {
            Some(id) => bulk(id),
            None => "-ERR Unknown sentinel subcommand 'MYID'\r\n".to_owned(),
        },
        ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"] => match &script.master {
            Some((host, port, _)) => list(&[host, &port.to_string()]),
            None => "*-1\r\n".to_owned(),
        },
        ["SENTINEL", "MASTER", "mymaster"] => {
            script.poll_count += 1;
            match &script.master {
                Some((host, port, epoch)) => list(&[
                    "ip",
                    script.host_in_map.as_ref().unwrap_or(host),
                    "port",
                    &port.to_string(),
                    "config-epoch",
                    &epoch.to_string(),
                ]),
                None => "-ERR No such master with that name\r\n".to_owned(),
            }
        }
        ["SENTINEL", "SENTINELS", "mymaster"] => {
            let entries = script.others.iter().map(|(id, address)| {
                let (ip, port) = address.rsplit_once(':').unwrap();
                list(&["ip", ip, "port", port, "runid", id, "flags", "sentinel"])
            });
            let entries: Vec<String> = entries.collect();
            format!("*{}\r\n{}", entries.len(), entries.concat())
        }
        ["SUBSCRIBE", more @ ..] => {
            script.subscription_count += 1;
            channels.extend(more.iter().map(|&channel| channel.to_owned()));
            more.iter().map(|channel| list(&["subscribe", channel, "1"])).collect()
        }
        ["PING"] => list(&["pong", ""]),
        _ => "-ERR unknown command\r\n".to_owned(),
    }
}

fn text(frame: &Frame) -> String {
    frame.text().unwrap().to_owned()
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn list(texts: &[&str]) -> String {
    let bulks: Vec<String> = texts.iter().map(|text| bulk(text)).collect();
    format!("*{}\r\n{}", texts.len(), bulks.concat())
}
