//! What a source holds before it is copied: every type and encoding of its version that the target can have.

use anyhow::{Context, Result};
use redissync_e2e::{
    node::Node,
    servers::ServerVersion::{self, Redis28, Redis62, Redis74, Redis82, Valkey91},
};

use crate::values::{self, Kinds};

/// The script that the golden files are made by.
const GOLDEN: &str = include_str!("../golden/fill.lua");

/// What both ends can have.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    kinds: Kinds,
}

impl Carried {
    pub(super) fn by(source: ServerVersion, target: ServerVersion) -> Self {
        let both = |has: fn(ServerVersion) -> bool| has(source) && has(target);
        Self {
            kinds: Kinds {
                streams: both(|version| version != Redis28),
                functions: both(has_functions),
                field_expiry: both(|version| matches!(version, Redis74 | Redis82 | Valkey91)),
            },
        }
    }
}

fn has_functions(version: ServerVersion) -> bool {
    !matches!(version, Redis28 | Redis62)
}

/// Small and large values; what the target cannot have is left away.
pub(super) fn fill(source: &Node, carried: Carried) -> Result<()> {
    let connection = &mut source.connect()?;
    redis::cmd("EVAL").arg(GOLDEN).arg(0).exec(connection).context("the golden script")?;
    let connection = &mut source.connect()?;
    if !carried.kinds.streams {
        redis::cmd("DEL")
            .arg(&["stream", "stream:empty", "stream:backlen"])
            .exec(connection)
            .context("DEL")?;
    }
    if !carried.kinds.field_expiry {
        redis::cmd("DEL").arg(&["hash:ttl", "hash:ttl:table"]).exec(connection).context("DEL")?;
    }
    // Streams of its own, with groups, consumers and pending entries, under the same name.
    redis::cmd("DEL").arg("hash").arg("list").exec(connection)?;
    if carried.kinds.streams {
        redis::cmd("RENAME").arg("stream").arg("stream:golden").exec(connection)?;
    }
    values::fill(source, carried.kinds)?;
    redis::pipe().cmd("SELECT").arg(11).cmd("SET").arg("swapped").arg("v").exec(connection)?;
    Ok(())
}

/// The libraries of functions with their code, in order; none where there cannot be any.
pub(super) fn functions(node: &Node) -> Result<Vec<String>> {
    if !has_functions(node.version()) {
        return Ok(Vec::new());
    }
    let libraries: Vec<redis::Value> = redis::cmd("FUNCTION")
        .arg("LIST")
        .arg("WITHCODE")
        .query(&mut node.connect()?)
        .context("FUNCTION LIST")?;
    let mut shown: Vec<String> = libraries.iter().map(|library| format!("{library:?}")).collect();
    shown.sort();
    Ok(shown)
}
