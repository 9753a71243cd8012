//! Signals that ask to stop, and who sees to it that the process ends.
//!
//! The first asks the work to stop at its next safe point. Most work gets there at once, and training saves its state. What
//! doesn't get there in time (a long step, a file that takes long to decode) is ended: whatever is on disk is whole, since
//! files are renamed into place. A second signal ends the process at once, unless it is the hang-up of a closed terminal: nobody
//! is impatient there.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use dyntta_train::{Saving, Stop};

use crate::out::note;

/// How long work has to get to a safe point.
const PATIENCE: Duration = Duration::from_millis(1600);
/// How long it has where a state is being saved.
const SAVING: Duration = Duration::from_secs(20);
/// How long a message to the terminal may take: nobody may read it.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A second signal so soon after the first is the same one: `timeout` sends it to the process and to its group, a shell that
/// ends sends on what the terminal has sent already.
const SAME: Duration = Duration::from_millis(200);

/// The first signal that came, 0 before, and when.
static FIRST: AtomicI32 = AtomicI32::new(0);
static SINCE: OnceLock<Instant> = OnceLock::new();

/// The number of the signal of a terminal that is gone.
#[cfg(unix)]
const HANG_UP: i32 = libc::SIGHUP;
#[cfg(not(unix))]
const HANG_UP: i32 = 1;

/// What the process exits with when it was stopped: 128 and the number of the signal, as shells have it.
pub fn code() -> u8 {
    u8::try_from(128 + FIRST.load(Ordering::SeqCst)).unwrap_or(1)
}

/// Takes a signal: what every platform's handler calls.
fn received(signal: i32, stop: &Stop) {
    let since = SINCE.get_or_init(Instant::now);
    if FIRST.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        if since.elapsed() > SAME && signal != HANG_UP {
            end();
        }
        return;
    }
    // The request first: saying so may fail, or wait for a terminal that nobody reads.
    stop.request();
    let watching = thread::Builder::new().name("watchdog".into()).spawn(watch);
    say_soon("\nstopping at the next safe point; once more to stop at once");
    if watching.is_err() {
        watch();
    }
}

/// Ends the process when it doesn't end by itself.
fn watch() {
    let asked = Instant::now();
    let mut saved = None;
    loop {
        thread::sleep(Duration::from_millis(20));
        let now = Instant::now();
        if Saving::under_way() {
            saved = Some(now);
        }
        // After a state is saved there is a little left to do and to say.
        let late = asked + PATIENCE < now && saved.is_none_or(|at| at + PATIENCE / 4 < now);
        if late || asked + SAVING < now {
            say_soon("stopped before the next safe point; what was saved before is whole");
            end();
        }
    }
}

/// A message that is not waited for longer than [`LAST_WORDS`].
fn say_soon(text: &'static str) {
    let (done, wait) = mpsc::channel();
    let said = thread::Builder::new().spawn(move || {
        note!("{text}");
        let _ = done.send(());
    });
    if said.is_ok() {
        let _ = wait.recv_timeout(LAST_WORDS);
    }
}

/// Ends the process now.
fn end() -> ! {
    // Without running what the C library runs at an exit: other threads are still at work.
    #[cfg(unix)]
    // SAFETY: it only ends the process.
    unsafe {
        libc::_exit(i32::from(code()))
    }
    #[cfg(not(unix))]
    std::process::exit(i32::from(code()))
}

/// Has signals to stop taken.
///
/// # Errors
/// If the system doesn't let them be taken.
#[cfg(unix)]
pub fn install(stop: &Stop) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let mut wanted = vec![SIGINT, SIGTERM];
    // `nohup` has it ignored, and means it.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let stop = stop.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || signals.forever().for_each(|signal| received(signal, &stop)))?;
    Ok(())
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: with no new action only the old one is written, to memory that is there.
    unsafe {
        let mut old = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal, std::ptr::null(), &mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

/// Has signals to stop taken.
///
/// # Errors
/// If the system doesn't let them be taken.
#[cfg(not(unix))]
pub fn install(stop: &Stop) -> std::io::Result<()> {
    /// What Ctrl-C counts as, whatever the system calls it.
    const INTERRUPT: i32 = 2;
    let stop = stop.clone();
    ctrlc::set_handler(move || received(INTERRUPT, &stop)).map_err(std::io::Error::other)
}
