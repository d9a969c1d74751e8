//! Prints what the documentation has from the code: `crd` (docs/crd.md, each field of the kind) or `conditions`
//! (docs/conditions.md, each reason, event and metric of the operator). `make reference` writes the files,
//! `make check-generated` fails where they differ.

mod conditions;
mod fields;

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("crd") => print!("{}", fields::page()?),
        Some("conditions") => print!("{}", conditions::page()?),
        _ => {
            eprintln!("reference: name a page, crd or conditions");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A text as one line of a table's cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
