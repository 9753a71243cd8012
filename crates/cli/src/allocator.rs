//! Large buffers come and go at every step of training. By default glibc maps and unmaps each, and the kernel clears
//! its pages anew; kept in the heap they are reused.

/// Lets the C library keep freed memory for reuse; does nothing where it is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest threshold that glibc takes.
        const MMAP_THRESHOLD: i32 = 32 << 20;
        const TRIM_THRESHOLD: i32 = 1 << 30;
        // SAFETY: mallopt only sets parameters of the allocator; called before other threads are started.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        }
    }
}
