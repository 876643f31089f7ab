//! The file in the maildrop: there whole and durable, or not at all.
//!
//! It is written under a name that pickup passes over, made durable, given its own name, and then the
//! directory is made durable. A signal removes it; what a killed postdrop leaves, pickup removes after a
//! day.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fchmod, fstat, fsync, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;
use signal_hook::iterator::Signals;

/// What Postfix's pickup expects to be told: to wake up.
const WAKE_UP: &[u8] = b"W";

/// A file that is not finished.
struct Begun {
    directory: OwnedFd,
    name: String,
}

impl Begun {
    fn remove(&self) {
        // Pickup will, if this does not.
        let _ = unlinkat(&self.directory, &*self.name, AtFlags::empty());
    }
}

/// Who removes the file if it is not finished: whoever takes it out of here.
type Shared = Arc<Mutex<Option<Begun>>>;

fn take(shared: &Shared) -> Option<Begun> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A message on its way into the maildrop. Dropped before it is finished, it is removed.
pub(crate) struct Leaving {
    file: File,
    begun: Shared,
}

impl Leaving {
    /// Makes the file.
    pub(crate) fn begin() -> io::Result<Self> {
        let directory = open_directory()?;
        let begun = Shared::default();
        // Before there is something to be removed.
        remove_at_signals(Arc::clone(&begun))?;
        let mut begun_now = begun.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, name) = loop {
            let prefix = maildrop::UNFINISHED_PREFIX;
            let name = format!("{prefix}{:X}.{}", micros(), std::process::id());
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&directory, &*name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => break (File::from(file), name),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        };
        *begun_now = Some(Begun { directory, name });
        drop(begun_now);
        Ok(Self { file, begun })
    }

    /// Makes it durable under its own name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        fchmod(&self.file, Mode::from_raw_mode(maildrop::MODE | maildrop::FINISHED))?;
        fsync(&self.file)?;
        // From here on a signal removes nothing.
        let Some(begun) = take(&self.begun) else { return Err(io::ErrorKind::Interrupted.into()) };
        let done = settle(&begun, &self.file);
        if done.is_err() {
            begun.remove();
        }
        done
    }
}

impl Write for Leaving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(begun) = take(&self.begun) {
            begun.remove();
        }
    }
}

/// Gives the file its name, by when it was left and what no other file is called.
fn settle(begun: &Begun, file: &File) -> io::Result<()> {
    let Begun { directory, name } = begun;
    let number = fstat(file)?.st_ino;
    loop {
        let to = format!("{:X}{number:X}", micros());
        match renameat_with(directory, &**name, directory, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                // Pickup may have it already: then it is in the queue, and this does no harm.
                return match fsync(directory) {
                    // Opened without the right to read it. File systems that log their changes in order
                    // make the name durable with the file.
                    Err(Errno::BADF) => Ok(fsync(file)?),
                    synced => Ok(synced?),
                };
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The maildrop as it can be opened: making its entries durable takes the right to read it.
fn open_directory() -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |more| openat(CWD, maildrop::DIRECTORY, flags | more, Mode::empty());
    match open(OFlags::RDONLY) {
        Err(Errno::ACCESS) => Ok(open(OFlags::PATH)?),
        opened => Ok(opened?),
    }
}

fn micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

/// On a thread, where more can be done than in a signal handler. What the caller has the program ignore
/// (nohup) stays ignored.
fn remove_at_signals(begun: Shared) -> io::Result<()> {
    let ignored = ignored_signals();
    let wanted = [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
    let wanted = wanted.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = Signals::new(wanted)?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            if let Some(begun) = take(&begun) {
                begun.remove();
            }
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// A bit for each signal. A thread of this process has no other way to ask that is safe.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Wakes pickup, if it runs; it looks by itself from time to time.
pub(crate) fn wake(service: &str) {
    let waken = || -> Result<(), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(format!("public/{service}"))?)?;
        rustix::net::send(&socket, WAKE_UP, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    // Where nobody listens, or too many wait for that, somebody will look.
    let _ = waken();
}
