//! Amounts for the columns of `kubectl get`: short, and never better than they are.

/// `40ms`, `1.2s`, `3m`, `5h`, `2d`.
pub fn milliseconds(value: i64) -> String {
    let value = value.max(0);
    let tenths = |unit: i64| format!("{}.{}", value / unit, value % unit * 10 / unit);
    match value {
        0..1_000 => format!("{value}ms"),
        1_000..10_000 => format!("{}s", tenths(1_000)),
        10_000..120_000 => format!("{}s", value / 1_000),
        120_000..7_200_000 => format!("{}m", value / 60_000),
        7_200_000..172_800_000 => format!("{}h", value / 3_600_000),
        _ => format!("{}d", value / 86_400_000),
    }
}

/// `512`, `1.8Ki`, `40Mi`.
pub fn bytes(value: i64) -> String {
    const UNITS: [&str; 5] = ["Ki", "Mi", "Gi", "Ti", "Pi"];
    let value = value.max(0);
    if value < 1024 {
        return value.to_string();
    }
    let (mut unit, mut size) = (0, 1024);
    while value / size >= 1024 && unit + 1 < UNITS.len() {
        unit += 1;
        size *= 1024;
    }
    let (whole, tenth) = (value / size, value % size * 10 / size);
    if whole < 10 {
        format!("{whole}.{tenth}{}", UNITS[unit])
    } else {
        format!("{whole}{}", UNITS[unit])
    }
}

/// A node's `host:port`; of a host name only the first label, which names the pod. An address stays as it is.
pub fn node(address: &str) -> String {
    let Some((host, port)) = address.rsplit_once(':') else {
        return address.to_owned();
    };
    let is_name = host.contains(|c: char| c.is_ascii_alphabetic()) && !host.starts_with('[');
    match host.split_once('.') {
        Some((label, _)) if is_name => format!("{label}:{port}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (value, text) in [
            (0, "0ms"),
            (-5, "0ms"),
            (40, "40ms"),
            (999, "999ms"),
            (1_250, "1.2s"),
            (59_999, "59s"),
            (180_000, "3m"),
            (7_200_000, "2h"),
            (259_200_000, "3d"),
        ] {
            assert_eq!(milliseconds(value), text);
        }
        for (value, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0Ki"),
            (1_900, "1.8Ki"),
            (40 << 20, "40Mi"),
            (i64::MAX, "8191Pi"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn a_node_is_shown_by_its_pods_name_or_by_its_address() {
        for (address, text) in [
            ("redis-node-0.redis-headless.shop.svc.cluster.local:6379", "redis-node-0:6379"),
            ("redis:6379", "redis:6379"),
            ("10.1.2.3:6379", "10.1.2.3:6379"),
            ("[fd00::a]:6379", "[fd00::a]:6379"),
            ("odd", "odd"),
        ] {
            assert_eq!(node(address), text);
        }
    }
}
