//! What a process has used: CPU time and the peak of its memory, as the kernel counts them.

use std::fs;

use anyhow::{Context, Result};

/// The kernel tells CPU time to programs in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of a running process, of all its threads, in user and kernel mode.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    ticks(&pid.to_string(), 11)
}

/// CPU seconds of all children of this process that have ended and were waited for.
pub fn ended_children_cpu_seconds() -> Result<f64> {
    ticks("self", 13)
}

/// The peak of a running process's memory (VmHWM), in MiB.
pub fn peak_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<f64>().ok())
        .with_context(|| format!("{path} tells no VmHWM"))?;
    Ok(kib / 1024.0)
}

/// Two neighbouring fields of `/proc/<process>/stat`, counted from the state, which follows the name.
fn ticks(process: &str, first: usize) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let sum = after_name
        .split_whitespace()
        .skip(first)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>();
    Ok(sum / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use std::{process, time::Instant};

    use super::*;

    #[test]
    fn busy_process_is_seen_to_use_its_time() {
        let before = cpu_seconds(process::id()).unwrap();
        let begun = Instant::now();
        let mut spins = 0_u64;
        while cpu_seconds(process::id()).unwrap() < before + 0.05 {
            spins += 1;
            assert!(begun.elapsed().as_secs() < 30, "{spins} looks, and no time used");
        }
        assert!(peak_mib(process::id()).unwrap() > 0.5);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
