//! How much memory the process holds, the gateway and whoever attacks it together.

/// How much more of it an attack may cost.
pub(crate) const MEMORY_LIMIT: u64 = 32 << 20;

pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

/// Checks that no more than may be was taken since `before`.
pub(crate) fn is_flat(before: u64) {
    let grown = resident().saturating_sub(before);
    assert!(grown < MEMORY_LIMIT, "{grown} bytes more");
}
