use std::time::Duration;

use redis::Connection;
use redissync_e2e::{
    Node, NodeOptions, ServerVersion, connection::connect_with_timeout, info::info, wait_until,
};

fn set(connection: &mut Connection, key: &str, value: &str) {
    redis::cmd("SET").arg(key).arg(value).exec(connection).unwrap();
}

fn get(connection: &mut Connection, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(connection).unwrap()
}

#[test]
fn every_version_starts_and_says_which_it_is() {
    for version in ServerVersion::ALL {
        if version == ServerVersion::Redis28 && version.program().is_err() {
            println!("left out, since it is not installed: {version}");
            continue;
        }
        let node = Node::start(version, &NodeOptions::new().password("secret")).unwrap();
        let fields = info(&mut node.connect().unwrap(), "server").unwrap();
        let field = format!("{}_version", version.product());
        assert_eq!(fields[&field], version.number(), "{version}");
        assert_eq!(fields["process_id"], node.pid().to_string());
    }
}

#[test]
fn password_and_options_are_the_servers() {
    let options = NodeOptions::new().password("secret").option("repl-backlog-size", "2mb");
    let node = Node::start(ServerVersion::Redis70, &options).unwrap();
    assert!(connect_with_timeout(&node.address(), Some("wrong"), Duration::from_secs(1)).is_err());
    let (_, value): (String, String) = redis::cmd("CONFIG")
        .arg("GET")
        .arg("repl-backlog-size")
        .query(&mut node.connect().unwrap())
        .unwrap();
    assert_eq!(value, "2097152");
}

#[test]
fn wrong_option_is_an_error_that_shows_the_servers_words() {
    let options = NodeOptions::new().option("no-such-option", 1);
    let err = Node::start(ServerVersion::Redis70, &options).unwrap_err().to_string();
    assert!(err.contains("ended at its start"), "{err}");
    assert!(err.contains("no-such-option"), "{err}");
}

#[test]
fn restart_keeps_the_port_and_the_files_and_restart_empty_drops_them() {
    let mut node = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let (address, pid) = (node.address(), node.pid());
    let mut connection = node.connect().unwrap();
    set(&mut connection, "old", "1");
    redis::cmd("SAVE").exec(&mut connection).unwrap();
    set(&mut connection, "new", "1");

    node.kill9().unwrap();
    assert!(!node.is_running());
    node.restart().unwrap();
    assert_eq!(node.address(), address);
    assert_ne!(node.pid(), pid);
    let mut connection = node.connect().unwrap();
    assert_eq!(get(&mut connection, "old").as_deref(), Some("1"));
    assert_eq!(get(&mut connection, "new"), None);

    node.restart_empty().unwrap();
    assert_eq!(get(&mut node.connect().unwrap(), "old"), None);
}

#[test]
fn stopped_server_does_not_answer_until_it_continues() {
    let mut node = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let ask = |node: &Node| -> anyhow::Result<String> {
        let short = Duration::from_millis(200);
        let mut connection = connect_with_timeout(&node.address(), None, short)?;
        Ok(redis::cmd("PING").query(&mut connection)?)
    };
    assert_eq!(ask(&node).unwrap(), "PONG");
    node.stop().unwrap();
    assert!(node.is_running());
    assert!(ask(&node).is_err());
    node.cont().unwrap();
    wait_until("an answer", Duration::from_secs(5), || ask(&node).map(Some)).unwrap();
}

#[test]
fn replica_copies_its_master() {
    for version in [ServerVersion::Redis62, ServerVersion::Redis70, ServerVersion::Valkey91] {
        let options = NodeOptions::new().password("secret");
        let master = Node::start(version, &options).unwrap();
        set(&mut master.connect().unwrap(), "key", "value");
        let replica = Node::start(version, &options.replica_of(&master.address())).unwrap();
        wait_until("the replica's copy", Duration::from_secs(10), || {
            Ok((get(&mut replica.connect()?, "key").as_deref() == Some("value")).then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn nothing_outlives_its_node() {
    let node = Node::start(ServerVersion::Redis70, &NodeOptions::new()).unwrap();
    let (address, directory) = (node.address(), node.directory().to_path_buf());
    drop(node);
    assert!(connect_with_timeout(&address, None, Duration::from_secs(1)).is_err());
    assert!(!directory.exists());
}
