use super::*;

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.as_bytes().to_vec())
}

fn list(texts: &[&str]) -> Frame {
    Frame::Array(texts.iter().map(|text| bulk(text)).collect())
}

#[test]
fn master_is_read_from_any_order_of_fields_with_unknown_ones_between() {
    let reply = list(&[
        "name",
        "mymaster",
        "new-field-of-2030",
        "ip",
        "port",
        "6379",
        "flags",
        "master,s_down",
        "ip",
        "redis-node-0.redis-headless",
        "config-epoch",
        "7",
        "role-reported",
        "master",
        "num-other-sentinels",
        "2",
        "quorum",
        "2",
        "down-after-milliseconds",
        "60000",
    ]);
    let expected = MasterReply {
        address: "redis-node-0.redis-headless:6379".into(),
        config_epoch: Some(7),
        flags: "master,s_down".into(),
        role_reported: Some("master".into()),
        num_other_sentinels: Some(2),
        quorum: Some(2),
        down_after_milliseconds: Some(60000),
    };
    assert_eq!(parse_master(&reply), Ok(expected));
}

#[test]
fn odd_values_are_absent_and_a_missing_address_is_an_error() {
    let odd = parse_master(&list(&["ip", "10.0.0.1", "port", "6379", "config-epoch", "-1", "x"]));
    assert_eq!(odd.unwrap().config_epoch, None);
    for (ip, port) in [("", "6379"), ("10.0.0.1", "0"), ("10.0.0.1", "x"), ("10.0.0.1", "65536")] {
        let reply = parse_master(&list(&["ip", ip, "port", port]));
        assert_eq!(reply, Err(ReplyError::NoAddress), "{ip}:{port}");
    }
    assert_eq!(parse_master(&Frame::Array(vec![])), Err(ReplyError::NoAddress));
    assert_eq!(parse_master(&Frame::Integer(3)), Err(ReplyError::NotFields));
    let binary = Frame::Array(vec![bulk("ip"), Frame::Bulk(vec![0xff]), bulk("port"), bulk("1")]);
    assert_eq!(parse_master(&binary), Err(ReplyError::NoAddress));
}

#[test]
fn address_is_told_from_a_name_that_is_not_known() {
    assert_eq!(parse_address(&list(&["::1", "6379"])), Ok(Some("[::1]:6379".into())));
    assert_eq!(parse_address(&Frame::Null), Ok(None));
    assert_eq!(parse_address(&list(&["10.0.0.1"])), Err(ReplyError::NoAddress));
    assert_eq!(parse_address(&bulk("10.0.0.1:6379")), Err(ReplyError::NoAddress));
}

#[test]
fn sentinels_without_a_usable_address_are_left_out() {
    let reply = Frame::Array(vec![
        list(&["ip", "10.0.0.1", "port", "26379", "runid", "aa", "flags", "sentinel"]),
        list(&["ip", "10.0.0.2", "port", "0", "runid", "bb"]),
        list(&["ip", "10.0.0.3", "port", "26379", "runid", ""]),
        Frame::Null,
    ]);
    let entry = |address: &str, run_id: Option<&str>, flags: &str| SentinelEntry {
        address: address.into(),
        run_id: run_id.map(str::to_owned),
        flags: flags.into(),
    };
    let expected =
        vec![entry("10.0.0.1:26379", Some("aa"), "sentinel"), entry("10.0.0.3:26379", None, "")];
    assert_eq!(parse_sentinels(&reply), Ok(expected));
    assert_eq!(parse_sentinels(&Frame::Null), Err(ReplyError::NotFields));
}

#[test]
fn events_name_their_master() {
    let event = |channel, payload| parse_event(&list(&["message", channel, payload]));
    let switched = event("+switch-master", "mymaster fd00::1 6379 10.0.0.2 6380");
    let expected = Event::SwitchMaster {
        master_name: "mymaster".into(),
        old: "[fd00::1]:6379".into(),
        new: "10.0.0.2:6380".into(),
    };
    assert_eq!(switched, Some(expected));
    for (channel, payload, master_name) in [
        ("+odown", "master mymaster 10.0.0.1 6379 #quorum 2/2", Some("mymaster")),
        ("+promoted-slave", "slave n:1 10.0.0.2 6379 @ mymaster 10.0.0.1 6379", Some("mymaster")),
        ("+tilt", "#tilt mode entered", None),
        ("+switch-master", "mymaster 10.0.0.1 6379 10.0.0.2", None),
        ("+switch-master", "mymaster 10.0.0.1 6379 10.0.0.2 x", None),
    ] {
        let expected = Event::Other {
            channel: channel.into(),
            master_name: master_name.map(str::to_owned),
            payload: payload.into(),
        };
        assert_eq!(event(channel, payload), Some(expected), "{payload}");
    }
}

#[test]
fn what_is_no_message_is_no_event() {
    let confirmation = Frame::Array(vec![bulk("subscribe"), bulk("+odown"), Frame::Integer(1)]);
    assert_eq!(parse_event(&confirmation), None);
    assert_eq!(parse_event(&list(&["pong", ""])), None);
    assert_eq!(parse_event(&Frame::Error("NOPERM".into())), None);
}
