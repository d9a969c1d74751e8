use redissync_e2e::tls::Authority;
use redissync_syncer::credentials::Secret;

use super::{fixtures::*, *};
use crate::controller::tls_secrets;

const SPEC: &str = r"
sites:
- name: beijing
  sentinel: {masterName: m, endpoints: ['s:1'], auth: {username: watcher, passwordSecretRef: {name: sentinels, key: pw}}}
- name: shanghai
  standalone: {address: 'h:1'}
  auth: {passwordSecretRef: {name: redis, key: redis-password}}
primary: shanghai
";

#[test]
fn source_and_target_follow_from_primary() {
    let sync = validated(SPEC);
    assert_eq!((sync.source.name.as_str(), sync.target.name.as_str()), ("shanghai", "beijing"));
    assert_eq!(sync.config.source.name, "shanghai");
    assert_eq!(sync.config.pair_id, "shop/cart");
    assert_eq!(validated(&format!("{SPEC}pairID: p1\n")).config.pair_id, "p1");
}

#[test]
fn what_the_schema_cannot_know_names_the_field_and_the_remedy() {
    for (spec, field, remedy) in [
        (SPEC.replace("h:1", "h:70000"), "spec.sites[shanghai].standalone.address", "65535"),
        (SPEC.replace("'s:1'", "'s:0'"), "spec.sites[beijing].sentinel.endpoints", ""),
        (SPEC.replace("primary: shanghai", "primary: shangai"), "spec.primary", "'shanghai'"),
        (SPEC.replace("name: shanghai", "name: beijing"), "spec.sites", "different names"),
        (format!("{SPEC}spool: {{maxBytes: 1Gi, retention: {{bytes: 2Gi}}}}\n"), "spec.spool.retention.bytes", ""),
        (format!("{SPEC}spool: {{retention: {{age: 9000h}}}}\n"), "spec.spool.retention.age", "8760h"),
        (
            SPEC.replace("sentinel: {masterName: m, endpoints: ['s:1'], auth: {username: watcher, passwordSecretRef: {name: sentinels, key: pw}}}", "standalone: {address: 'h:1'}"),
            "spec.",
            "",
        ),
    ] {
        let object = object(&spec);
        let invalid = validate(&object, &found(&object)).unwrap_err();
        assert_eq!(invalid.reason, InvalidReason::InvalidSpec, "{spec}");
        assert!(invalid.message.starts_with(field), "{}", invalid.message);
        assert!(invalid.message.contains(remedy), "{}", invalid.message);
    }
}

#[test]
fn a_name_that_no_pod_can_have_is_told() {
    let mut object = object(SPEC);
    object.metadata.name = Some("cart.eu".to_owned());
    let invalid = validate(&object, &found(&object)).unwrap_err();
    assert!(
        invalid.message.starts_with("metadata.name 'cart.eu' has a dot"),
        "{}",
        invalid.message
    );
}

#[test]
fn a_missing_password_names_the_field_the_secret_and_the_remedy() {
    let object = object(SPEC);
    let redis = PasswordSecretRef { name: "redis".into(), key: "redis-password".into() };
    for (fault, reason, text) in [
        (
            SecretFault::NoSecret,
            InvalidReason::SecretNotFound,
            "no Secret 'redis' in namespace 'shop': create it",
        ),
        (SecretFault::NoKey, InvalidReason::SecretInvalid, "no key 'redis-password'"),
        (SecretFault::NoPassword, InvalidReason::SecretInvalid, "holds no password"),
        (SecretFault::Forbidden, InvalidReason::SecretInvalid, "grant it 'get'"),
    ] {
        let mut dereferenced = found(&object);
        dereferenced.passwords.insert(redis.clone(), Err(fault));
        let invalid = validate(&object, &dereferenced).unwrap_err();
        assert_eq!(invalid.reason, reason);
        assert!(invalid.message.starts_with("spec.sites[shanghai].auth.passwordSecretRef: "));
        assert!(invalid.message.contains(text), "{}", invalid.message);
    }
}

#[test]
fn what_is_wrong_with_a_secret_for_tls_names_the_field_and_never_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let issue = |name: &str| {
        let files = Authority::new(name).unwrap().issue(&directory.path().join(name), &["a"]);
        let files = files.unwrap();
        [files.ca, files.certificate, files.key].map(|path| std::fs::read(path).unwrap())
    };
    let ([ca, certificate, key], [_, _, other]) = (issue("one"), issue("other"));
    let spec = SPEC.replace(
        "standalone: {address: 'h:1'}",
        "standalone: {address: 'h:1'}\n  tls: {caSecretRef: {name: ca}, certificateSecretRef: {name: own}}",
    );
    let object = object(&spec);
    let told = |secrets: &[(&str, &str, &[u8])]| {
        let mut dereferenced = found(&object);
        for (site, servers, tls) in tls_secrets::of_spec(&object.spec) {
            let resolved = tls_secrets::resolve(tls, |name, key| {
                if secrets.iter().all(|(secret, ..)| *secret != name) {
                    return Err(SecretFault::NoSecret);
                }
                let entry = secrets.iter().find(|(secret, of, _)| (*secret, *of) == (name, key));
                entry.map(|(.., bytes)| bytes.to_vec()).ok_or(SecretFault::NoKey)
            });
            dereferenced.tls.insert((site.name.clone(), servers), resolved);
        }
        let secret = String::from_utf8(key.clone()).unwrap();
        assert!(!format!("{dereferenced:?}").contains(secret.lines().nth(1).unwrap()));
        validate(&object, &dereferenced).map(|_| ())
    };
    let own = ("own", "tls.crt", &*certificate);
    let its_key = ("own", "tls.key", &*key);
    told(&[("ca", "ca.crt", &ca), own, its_key]).unwrap();
    use InvalidReason::{SecretInvalid, SecretNotFound};
    for (secrets, reason, words) in [
        (vec![own, its_key], SecretNotFound, "tls.caSecretRef: there is no Secret 'ca'"),
        (
            vec![("ca", "x", &*ca), own, its_key],
            SecretInvalid,
            "tls.caSecretRef: the Secret 'ca' has no key 'ca.crt'",
        ),
        (
            vec![("ca", "ca.crt", &*ca), own],
            SecretInvalid,
            "tls.certificateSecretRef: the Secret 'own' has no key 'tls.key'",
        ),
        (
            vec![("ca", "ca.crt", b"x"), own, its_key],
            SecretInvalid,
            "tls: key 'ca.crt' of the Secret 'ca' holds no certificate",
        ),
        (
            vec![("ca", "ca.crt", &*ca), own, ("own", "tls.key", &*other)],
            SecretInvalid,
            "tls: the private key of key 'tls.key' of the Secret 'own' does not fit",
        ),
    ] {
        let invalid = told(&secrets).unwrap_err();
        assert_eq!(invalid.reason, reason, "{}", invalid.message);
        let whole = format!("spec.sites[shanghai].{words}");
        assert!(invalid.message.starts_with(&whole), "{}", invalid.message);
    }
}

#[test]
fn no_password_is_in_the_configuration_or_in_what_is_printed() {
    let object = object(SPEC);
    let sync = validate(&object, &found(&object)).unwrap();
    assert!(!sync.config_text.contains(PASSWORD));
    assert!(!format!("{sync:?}{:?}", found(&object)).contains(PASSWORD));
}

#[test]
fn logins_are_those_of_their_own_end() {
    let object = object(SPEC);
    let sync = validate(&object, &found(&object)).unwrap();
    let target = logins(&sync.target, &found(&object));
    assert_eq!(target.data.credentials, None);
    let sentinel = target.sentinel.credentials.unwrap();
    assert_eq!(sentinel.username.as_deref(), Some("watcher"));
    assert_eq!(sentinel.password, Secret::new(PASSWORD.to_owned()));
}
