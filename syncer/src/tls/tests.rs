use std::{fs, time::Instant};

use redissync_e2e::tls::Authority;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{files::TlsFiles, *};

fn pem(from: &str, text: &str) -> Pem {
    Pem { from: from.to_owned(), bytes: text.as_bytes().to_vec() }
}

struct Texts {
    ca: String,
    certificate: String,
    key: String,
}

fn issued(name: &str) -> Texts {
    let directory = tempfile::tempdir().unwrap();
    let files = Authority::new(name).unwrap().issue(directory.path(), &["a.example"]).unwrap();
    let [ca, certificate, key] =
        [files.ca, files.certificate, files.key].map(|path| fs::read_to_string(path).unwrap());
    Texts { ca, certificate, key }
}

#[test]
fn what_cannot_be_used_is_told_with_where_it_comes_from_and_never_shown() {
    let (one, other) = (issued("one"), issued("other"));
    let told = |ca: Option<&str>, own: Option<(&str, &str)>| {
        let material = TlsMaterial {
            ca: ca.map(|text| pem("/ca", text)),
            certificate: own.map(|(certificate, key)| (pem("/crt", certificate), pem("/key", key))),
            server_name: None,
        };
        let outcome = Tls::new(&material);
        let shown = format!("{material:?} {outcome:?}");
        let secret = one.key.lines().nth(1).unwrap();
        assert!(!shown.contains(secret) && !shown.contains(&format!("{:?}", one.key.as_bytes())));
        outcome.map_or_else(|why| why.to_string(), |_| "fine".to_owned())
    };
    let both = format!("{}{}", one.ca, other.ca);
    for (ca, own, words) in [
        (None, None, "fine"),
        (Some(&*one.ca), None, "fine"),
        (Some(&*both), Some((&*one.certificate, &*one.key)), "fine"),
        (Some("no PEM"), None, "/ca holds no certificate"),
        (Some(&*one.key), None, "/ca holds no certificate"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None,
            "/ca holds a certificate that cannot be read",
        ),
        (None, Some((&*one.key, &*one.key)), "/crt holds no certificate"),
        (None, Some((&*one.certificate, "no PEM")), "/key holds no private key"),
        (
            None,
            Some((&*one.certificate, &*other.key)),
            "key of /key does not fit the certificate of /crt",
        ),
    ] {
        let told = told(ca, own);
        assert!(told.contains(words), "{words}: {told}");
    }
    let named = |name: &str| {
        Tls::new(&TlsMaterial { server_name: Some(name.to_owned()), ..TlsMaterial::default() })
    };
    assert!(named("a.example").is_ok() && named("fd00::1").is_ok() && named("10.0.0.1").is_ok());
    assert_eq!(named("a b").unwrap_err(), InvalidTls::ServerName("a b".to_owned()));
}

#[test]
fn files_are_read_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let files = TlsFiles { ca: Some(directory.path().join("ca")), ..TlsFiles::default() };
    assert!(files.read().unwrap_err().to_string().contains("failed to read the file"));
    fs::write(directory.path().join("ca"), "half").unwrap();
    assert!(files.read().unwrap_err().to_string().contains("holds no certificate"));
    fs::write(directory.path().join("ca"), issued("one").ca).unwrap();
    files.read().unwrap();
    fs::write(directory.path().join("ca"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(files.read().unwrap_err().to_string().contains("larger than 1 MiB"));
}

#[test]
fn a_server_is_verified_under_the_name_that_it_is_called_by_not_where_it_is_dialled() {
    let peer = |address: &str| Peer { address: address.into(), dial: "elsewhere:1".into() };
    for (address, name) in
        [("redis-0.a:6379", "redis-0.a"), ("10.0.0.1:1", "10.0.0.1"), ("[fd00::1]:1", "fd00::1")]
    {
        assert_eq!(host(&peer(address)), Some(name.to_owned().try_into().unwrap()));
    }
    assert_eq!(host(&peer("no address")), None);
}

/// A server that says this after the first bytes, or nothing.
async fn server(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        match answer {
            Some(bytes) => stream.write_all(bytes).await.unwrap(),
            None => std::future::pending().await,
        }
    });
    address
}

#[tokio::test]
async fn a_probe_tells_what_is_spoken_and_does_not_wait_for_who_is_silent() {
    assert!(probe::speaks_plain(&server(Some(b"-NOAUTH\r\n")).await).await);
    assert!(!probe::speaks_plain(&server(Some(b"\x15\x03\x03")).await).await);
    assert!(probe::speaks_tls(&server(Some(b"\x16\x03\x03")).await).await);
    assert!(!probe::speaks_tls(&server(Some(b"-ERR\r\n")).await).await);
    let begun = Instant::now();
    assert!(!probe::speaks_tls(&server(None).await).await);
    assert!(begun.elapsed().as_secs() < 3);
}
