use super::*;

/// `a@5` is a view of master `a` at epoch 5; `?` does not know the name, `!` refuses, `/` has no TLS with us.
fn views(text: &str) -> Vec<View> {
    let answer = |word: &str| match word {
        "?" => Answer::NameUnknown,
        "!" => Answer::NotAuthorised,
        "/" => Answer::NotTrusted,
        word => {
            let (address, epoch) = word.split_once('@').unwrap();
            Answer::Master { address: address.into(), config_epoch: epoch.parse().unwrap() }
        }
    };
    let view = |(n, word)| View { sentinel: format!("s{n}"), answer: answer(word) };
    text.split_whitespace().enumerate().map(view).collect()
}

fn last(text: &str) -> Option<Candidate> {
    let (address, epoch) = text.split_once('@')?;
    Some(Candidate {
        address: address.into(),
        dial: address.into(),
        config_epoch: epoch.parse().ok(),
        sentinel: Some("earlier".into()),
        previous: None,
    })
}

fn shown(pick: Pick) -> String {
    match pick {
        Pick::Follow { address, config_epoch, .. } => format!("{address}@{config_epoch}"),
        Pick::Keep(_) => "keep".into(),
        Pick::Wait(why) => format!("{why:?}"),
    }
}

#[test]
fn rules() {
    for (rule, said, before, known, expected) in [
        ("nobody answers", "", "", 3, "NoSentinelReachable"),
        ("nobody answers, whatever was known", "", "a@5", 3, "NoSentinelReachable"),
        ("all refuse us", "! !", "", 3, "NotAuthorised"),
        ("nobody has TLS with us", "/ /", "", 3, "NotTrusted"),
        ("a refusal outranks it", "/ !", "", 3, "NotAuthorised"),
        ("one voice without TLS is enough", "/ a@0", "", 3, "a@0"),
        ("nobody knows the name", "? ?", "", 2, "MasterNameUnknown"),
        ("a name unknown outranks a refusal", "! ?", "", 2, "MasterNameUnknown"),
        ("who knows the name outvotes who does not", "? ! a@0", "", 3, "a@0"),
        ("one voice is enough at first", "a@3", "", 3, "a@3"),
        ("all agree", "a@3 a@3 a@3", "", 3, "a@3"),
        ("the highest epoch wins against the majority", "a@3 a@3 b@4", "", 3, "b@4"),
        ("the highest epoch wins against the last one", "a@3 b@4 a@3", "a@3", 3, "b@4"),
        ("a failover that only its leader has finished yet", "b@4", "a@3", 3, "b@4"),
        ("the same epoch: the majority", "a@3 b@3 b@3", "", 3, "b@3"),
        ("the same epoch: the majority against the last one", "a@3 b@3 b@3", "a@3", 3, "b@3"),
        ("majority counts at the highest epoch only", "a@2 a@2 a@3 b@3", "", 4, "Disagreement"),
        ("a draw: the last one", "a@3 b@3", "b@2", 3, "b@3"),
        ("a draw without a last one", "a@3 b@3", "", 3, "Disagreement"),
        ("a draw and the last one is neither", "a@3 b@3", "c@2", 3, "Disagreement"),
        ("most votes are no majority", "a@3 a@3 b@3 c@3", "", 4, "Disagreement"),
        ("the same epoch and another address", "b@3 b@3", "a@3", 3, "b@3"),
        ("a cut-off voice is not followed back", "a@3", "b@4", 3, "OlderEpochRefused"),
        ("nor are two of three", "a@3 a@3", "b@4", 3, "OlderEpochRefused"),
        ("an older word for the same address", "b@3 b@3", "b@4", 3, "keep"),
        ("all of all say the older one", "a@0 a@0 a@0", "b@4", 3, "a@0"),
        ("all of all, though their epochs differ", "a@0 a@1 a@0", "b@4", 3, "a@1"),
        ("all of all, for the same address: epochs start anew", "b@0 b@0", "b@4", 2, "b@0"),
        ("all answer but one does not agree", "a@1 a@1 b@0", "b@4", 3, "OlderEpochRefused"),
        ("all answer but one knows no name", "a@1 a@1 ?", "b@4", 3, "OlderEpochRefused"),
        ("more answer than are known", "a@1 a@1", "b@4", 1, "a@1"),
        ("older and a draw: the last one stands", "a@3 b@3", "b@4", 2, "keep"),
        ("a last one without an epoch holds nobody back", "a@0", "b@none", 3, "a@0"),
    ] {
        let pick = pick_master(&views(said), last(before).as_ref(), known);
        assert_eq!(shown(pick), expected, "{rule}");
    }
}

#[test]
fn a_sentinel_that_said_it_is_named() {
    let Pick::Follow { sentinel, .. } = pick_master(&views("a@3 b@4 ?"), None, 3) else {
        panic!("a master is known");
    };
    assert_eq!(sentinel, "s1");
}
