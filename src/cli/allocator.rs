//! How the allocator of glibc keeps what was freed.
//!
//! By default it keeps buffers of up to 32 MiB and eight arenas per core, in which large buffers that come
//! and go (bodies, what is folded, pieces of builds) leave gaps: while a million rows were imported on two
//! cores it held 680 MiB, and with these settings 270 to 360 at about the same rate. mimalloc held 640, or,
//! told to return what is freed at once, 320 at two thirds of the rate.

/// From this size on, in bytes, a buffer goes back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const RETURNED: usize = 8 << 20;
/// So much that is free at the end of an arena stays. Said here, since glibc would go down to 128 KiB once it
/// is told the size above, and return and fetch memory with each query.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARE: usize = 2 * RETURNED;
/// Arenas per core: with one, threads wait for each other.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: usize = 2;

/// To be called before there are threads.
pub(super) fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        set(libc::M_ARENA_MAX, ARENAS * cores);
        set(libc::M_MMAP_THRESHOLD, RETURNED);
        set(libc::M_TRIM_THRESHOLD, SPARE);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no library sets these")]
fn set(parameter: libc::c_int, value: usize) {
    // SAFETY: it reads two numbers; one that it does not know it refuses, which changes nothing.
    unsafe { libc::mallopt(parameter, libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX)) };
}
