//! What a Sentinel, or who answers at its address, may say.

use redissync_syncer::{
    resp::frame,
    sentinel::{
        reply::{Event, parse_address, parse_event, parse_master, parse_sentinels},
        role::{parse_info, parse_role},
    },
    source::info::History,
};

/// One answer in RESP, or the text of INFO.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_info(text);
        if let Some(history) = History::parse(text) {
            let _ = history.shared_end(history.replid);
        }
    }
    let mut at = 0;
    while let Ok(Some((reply, length))) = frame::decode(&data[at..]) {
        assert!(length > 0);
        at += length;
        if let Ok(Some(address)) = parse_address(&reply) {
            is_address(&address);
        }
        if let Ok(master) = parse_master(&reply) {
            is_address(&master.address);
        }
        for sentinel in parse_sentinels(&reply).unwrap_or_default() {
            is_address(&sentinel.address);
        }
        if let Some(Event::SwitchMaster { new, .. }) = parse_event(&reply) {
            is_address(&new);
        }
        let _ = parse_role(&reply);
    }
}

/// Something that could be dialled: a host, and a port that is none of nobody.
fn is_address(address: &str) {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    assert!(!host.is_empty(), "{address:?}");
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{address:?}");
}
