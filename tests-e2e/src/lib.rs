//! Real servers, loads, faults and comparisons: what the process tests, the demo and the benchmark share.
