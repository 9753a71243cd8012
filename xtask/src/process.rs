//! The command under limits, and what it took.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How a process ended.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
    /// The most memory it ever held, in bytes.
    pub memory: u64,
    /// Processor time, its own and the system's for it.
    pub time: Duration,
}

impl Ended {
    /// The exit status, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Bounds that the system holds a process to.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Seconds of processor time, after which it is ended.
    pub seconds: u64,
    /// Bytes of addresses.
    pub memory: u64,
}

/// The binary under test as an absolute path.
///
/// # Errors
/// If it isn't there.
pub fn binary(path: &Path) -> Result<PathBuf> {
    let found = std::fs::canonicalize(path).ok().filter(|p| p.is_file());
    let build = "build it with `cargo build --release --workspace --bins`";
    found.with_context(|| format!("no command at {}; {build}", path.display()))
}

/// Runs a command to its end under bounds; what it prints goes through files in `folder`, which keeps it from waiting for a
/// reader.
pub fn run(command: &mut Command, bounds: Bounds, folder: &Path) -> Result<Ended> {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?);
    // SAFETY: `setrlimit` may be called between fork and exec, and the closure does nothing else.
    unsafe {
        command.pre_exec(move || {
            limit(libc::RLIMIT_CPU as i32, bounds.seconds)?;
            limit(libc::RLIMIT_AS as i32, bounds.memory)?;
            limit(libc::RLIMIT_CORE as i32, 0)
        });
    }
    let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let (status, memory, time) = wait(child.id())?;
    Ok(Ended { status, out: read(&out)?, err: read(&err)?, memory, time })
}

fn limit(what: i32, value: u64) -> io::Result<()> {
    let bounds = libc::rlimit { rlim_cur: value as libc::rlim_t, rlim_max: value as libc::rlim_t };
    // SAFETY: the struct is only read.
    match unsafe { libc::setrlimit(what as _, &bounds) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for a child and asks what it took, which the standard library doesn't tell.
fn wait(child: u32) -> Result<(ExitStatus, u64, Duration)> {
    let mut status = 0;
    // SAFETY: the struct is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to be written to, and the child is ours and was not waited for yet.
    while unsafe { libc::wait4(child as i32, &mut status, 0, &mut usage) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            bail!("cannot wait for the command: {error}");
        }
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    // Kilobytes on Linux, bytes on a Mac.
    let unit = if cfg!(target_os = "linux") { 1024 } else { 1 };
    let memory = usage.ru_maxrss as u64 * unit;
    Ok((ExitStatus::from_raw(status), memory, time(usage.ru_utime) + time(usage.ru_stime)))
}

/// The first 256 KiB of a file.
fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(256 << 10).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends a signal to a process.
pub fn signal(process: u32, signal: i32) {
    // SAFETY: no memory is involved. The process is a child that was not waited for, so its number is still its own.
    unsafe { libc::kill(process as i32, signal) };
}

/// All files below a folder with their contents, by their path in it; folders end with `/`.
pub fn tree(folder: &Path) -> Result<std::collections::BTreeMap<String, Vec<u8>>> {
    fn step(
        folder: &Path,
        top: &Path,
        found: &mut std::collections::BTreeMap<String, Vec<u8>>,
    ) -> Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.strip_prefix(top)?.to_string_lossy().into_owned();
            let kind = std::fs::symlink_metadata(&path)?;
            if kind.is_dir() {
                found.insert(name + "/", Vec::new());
                step(&path, top, found)?;
            } else if kind.is_file() {
                found.insert(name, std::fs::read(&path)?);
            } else {
                found.insert(name, b"(no file)".to_vec());
            }
        }
        Ok(())
    }
    let mut found = std::collections::BTreeMap::new();
    step(folder, folder, &mut found)?;
    Ok(found)
}
