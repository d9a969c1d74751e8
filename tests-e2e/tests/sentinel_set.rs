use std::time::{Duration, Instant};

use redissync_e2e::{
    CompareOptions, Load, LoadOptions, SentinelSet, ServerVersion, SetOptions, compare, wait_until,
};

const TIMEOUT: Duration = Duration::from_secs(40);

#[test]
fn killed_master_is_followed_by_a_load_and_comes_back_as_an_equal_replica() {
    let begun = Instant::now();
    let options = SetOptions::new().password("data").sentinel_password("watch").master_name("cart");
    let mut set = SentinelSet::start(ServerVersion::Redis70, &options).unwrap();
    println!("started after {:?}", begun.elapsed());
    let load = Load::start(LoadOptions::new(set.load_endpoint()).seed(5)).unwrap();
    let acknowledged = |count| {
        wait_until("the load", TIMEOUT, || Ok((load.counts().acknowledged >= count).then_some(())))
            .unwrap();
    };
    acknowledged(5_000);
    let old = set.kill_master9().unwrap();
    assert!(set.revive(old).is_err(), "a master must not come back empty under its own name");
    let new = set.wait_for_new_master(old, TIMEOUT).unwrap();
    println!("failed over after {:?}", begun.elapsed());
    assert_ne!(new, old);
    let before = load.counts().acknowledged;
    acknowledged(before + 5_000);
    set.revive(old).unwrap();
    assert_eq!(set.wait_until_healthy(TIMEOUT).unwrap(), new);
    println!("healthy after {:?}", begun.elapsed());
    let ledger = load.stop().unwrap();
    println!("{ledger}");

    let mut master = set.connect_master().unwrap();
    let mut revived = set.node(old).unwrap().connect().unwrap();
    let (_, offset, _): (String, u64, redis::Value) =
        redis::cmd("ROLE").query(&mut master).unwrap();
    wait_until("the revived replica to catch up", TIMEOUT, || {
        let role: (String, String, u16, String, u64) = redis::cmd("ROLE").query(&mut revived)?;
        Ok((role.4 >= offset).then_some(()))
    })
    .unwrap();
    let found = compare(&mut master, &mut revived, &CompareOptions::default()).unwrap();
    println!("{found}");
    assert!(found.is_equal(), "{found}");
    assert!(found.keys > 1000);
    println!("{}", ledger.verify_not_repeated(&mut master).unwrap());
}

#[test]
fn asked_failover_moves_the_master_without_a_kill() {
    let mut set = SentinelSet::start(ServerVersion::Valkey91, &SetOptions::new()).unwrap();
    let before = set.master_view().unwrap();
    let old = set.failover().unwrap();
    let new = set.wait_for_new_master(old, TIMEOUT).unwrap();
    assert_eq!(set.wait_until_healthy(TIMEOUT).unwrap(), new);
    let after = set.master_view().unwrap();
    assert!(after.config_epoch > before.config_epoch, "{before:?} {after:?}");
    assert_eq!(set.index_of(&after.address), Some(new));
    set.config_set("repl-timeout", "7").unwrap();
}
