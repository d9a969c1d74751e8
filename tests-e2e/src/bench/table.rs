//! Medians and spreads as markdown, and the machine they come from.

use std::{fmt, fs, thread};

use anyhow::Result;

use super::BenchOptions;

/// Rows in the order in which they were first added, one figure of each round in each.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    unit: String,
    figures: Vec<f64>,
}

impl Table {
    /// Adds a round's figure.
    pub(super) fn add(&mut self, what: &str, unit: &str, figure: f64) {
        match self.rows.iter_mut().find(|row| row.what == what) {
            Some(row) => row.figures.push(figure),
            None => self.rows.push(Row {
                what: what.to_string(),
                unit: unit.to_string(),
                figures: vec![figure],
            }),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | median | min – max | unit |\n|---|---:|---:|---|")?;
        for Row { what, unit, figures } in &self.rows {
            let mut sorted = figures.clone();
            sorted.sort_by(f64::total_cmp);
            let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { continue };
            let (median, least, most) = (figure(median(&sorted)), figure(*least), figure(*most));
            writeln!(f, "| {what} | {median} | {least} – {most} | {unit} |")?;
        }
        Ok(())
    }
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// Three digits that count.
fn figure(number: f64) -> String {
    match number.abs() {
        0.0..10.0 => format!("{number:.2}"),
        10.0..1000.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// One line on what was measured where.
pub(super) fn machine(options: &BenchOptions) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(format!(
        "{} cores of {model}, Linux {}, {}; load before the run {}; {} rounds, scale {}\n",
        thread::available_parallelism()?,
        kernel.trim(),
        options.version,
        load.split(' ').next().unwrap_or_default(),
        options.pairs,
        options.scale,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_stands_between_its_spread() {
        let mut table = Table::default();
        for number in [3.0, 1.0, 2000.0] {
            table.add("wall", "s", number);
        }
        assert!(table.to_string().ends_with("| wall | 3.00 | 1.00 – 2000 | s |\n"), "{table}");
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
