//! What the machine has, for defaults that follow it.

use std::sync::OnceLock;

use sysinfo::{MemoryRefreshKind, System};

/// What is assumed where the system does not tell.
const UNKNOWN: u64 = 2 << 30;

/// Bytes of memory that this process may use: the machine's, or fewer if its control group has less.
/// Asked once.
pub fn memory() -> u64 {
    static MEMORY: OnceLock<u64> = OnceLock::new();
    *MEMORY.get_or_init(|| ask().unwrap_or(UNKNOWN))
}

fn ask() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let group = system.cgroup_limits().map(|limits| limits.total_memory);
    let told = [Some(system.total_memory()), group].into_iter().flatten();
    told.filter(|bytes| *bytes > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory() {
        assert!((64 << 20..1 << 50).contains(&memory()), "{}", memory());
    }
}
