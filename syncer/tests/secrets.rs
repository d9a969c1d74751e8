//! What the process tells of itself holds no secret, and of the data neither keys nor values.

use anyhow::{Result, ensure};
use redissync_e2e::{node::NodeOptions, tls::Authority};

use crate::{
    bed::PATIENCE,
    pair::{Pair, get, run, write_some},
};

const PASSWORDS: [&str; 2] = ["Quelle-der-Geheimnisse-17", "Ziel-der-Geheimnisse-23"];

const DATA: [&str; 4] = ["customer:4711", "iban:DE02120300000000202051", "some:counter", "fill:"];

#[test]
fn neither_passwords_nor_private_keys_nor_keys_nor_values_are_told() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = Authority::new("test")?.issue(directory.path(), &["127.0.0.1"])?;
    let key = std::fs::read_to_string(&files.key)?;
    let key: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    ensure!(key.iter().any(|line| line.len() > 20), "no key");
    let [of_source, of_target] =
        PASSWORDS.map(|word| NodeOptions::new().password(word).tls(&files));
    let mut pair = Pair::streaming_with(1000, &of_source, &of_target)?;
    write_some(&pair.source, 20)?;
    run(&pair.source, "SET customer:4711 iban:DE02120300000000202051")?;
    pair.settle_equal()?;
    let check = |pair: &Pair, when: &str| -> Result<()> {
        let told = [
            ("the log", pair.syncer.logs()),
            ("/report", pair.syncer.http_get("/report")?.body),
            ("/metrics", pair.syncer.http_get("/metrics")?.body),
            ("/healthz", pair.syncer.http_get("/healthz")?.body),
            ("/readyz", pair.syncer.http_get("/readyz")?.body),
            (
                "the arguments",
                std::fs::read_to_string(format!("/proc/{}/cmdline", pair.syncer.pid()))?,
            ),
            ("the configuration", std::fs::read_to_string(pair.syncer.config_path())?),
        ];
        for (place, text) in told {
            ensure!(text.len() > 1, "{place} tells nothing {when}");
            for word in PASSWORDS.iter().chain(&DATA).chain(&key) {
                ensure!(!text.contains(word), "{word} stands in {place} {when}:\n{text}");
            }
        }
        Ok(())
    };
    check(&pair, "while it streams")?;

    // Whoever refuses a command repeats its arguments.
    run(&pair.target, "DEL some:list")?;
    run(&pair.target, "SET some:list x")?;
    write_some(&pair.source, 1)?;
    pair.wait_for_halt("CommandRejected")?;
    ensure!(get(&pair.target, "some:list")? == "x");
    check(&pair, "in a halt")?;
    let told = pair.release_refused(&["--skip-unit", "1"])?;
    ensure!(PASSWORDS.iter().chain(&DATA).all(|word| !told.contains(word)), "{told}");

    pair.syncer.rewrite_config(|options| {
        options.target.password = Some(format!("{}x", PASSWORDS[1]));
    })?;
    pair.syncer.restart()?;
    pair.wait_for_reason(&["TargetAuth"], PATIENCE)?;
    check(&pair, "with a wrong password")?;

    // A key in the place of the certificate, and one that does not fit.
    for broken in ["certificate", "key"] {
        pair.syncer.rewrite_config(|options| {
            let tls = options.target.tls.get_or_insert_default();
            match broken {
                "certificate" => tls.certificate_file = Some(files.key.clone()),
                _ => tls.key_file = Some(files.ca.clone()),
            }
        })?;
        pair.syncer.restart()?;
        pair.wait_for_reason(&["TargetTLS"], PATIENCE)?;
        check(&pair, &format!("with a wrong {broken} file"))?;
    }
    Ok(())
}
