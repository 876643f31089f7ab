//! A disk that loses power.
//!
//! It keeps what a real one may keep: bytes whose durable write or sync has returned, names whose
//! directory was synced; and of all the rest whatever the seed says: nothing, all of it, or torn at
//! sectors. Each call is one or two numbered points at which the power can go, or the call can fail.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use queue::{Buf, Disk};
use tokio::sync::Notify;

const SECTOR: usize = 512;
const EIO: i32 = 5;
const EROFS: i32 = 30;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EDQUOT: i32 = 122;

/// Deterministic choices (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

/// Batch memory: a heap block that pretends to lie in an arena.
pub(crate) struct HeapBuf {
    bytes: Vec<u8>,
    offset: u64,
    state: Rc<RefCell<State>>,
}

impl Deref for HeapBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for HeapBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Buf for HeapBuf {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn shrink_to(&mut self, bytes: usize) {
        let kept = bytes.next_multiple_of(4096).min(self.bytes.len());
        self.state.borrow_mut().memory_used -= self.bytes.len() - kept;
        self.bytes.truncate(kept);
    }
}

impl Drop for HeapBuf {
    fn drop(&mut self) {
        self.state.borrow_mut().memory_used -= self.bytes.len();
    }
}

#[derive(Clone, Default)]
struct Inode {
    /// What reads see.
    bytes: Vec<u8>,
    /// What survives in any case.
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum NameChange {
    Add(String, usize),
    Remove(String),
}

#[derive(Default)]
pub(crate) struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    memory_used: usize,
    memory_max: usize,
    drawn: u64,
    /// How many points were passed.
    pub(crate) points: usize,
    halt_at: Option<usize>,
    halted: bool,
    fail_at: Option<usize>,
    /// Reads of this file fail.
    pub(crate) unreadable: Option<String>,
    /// How long reading a byte takes; nothing at all unless a test says otherwise.
    pub(crate) read_time: Duration,
    /// No segment can be made, no file written.
    pub(crate) full: bool,
    /// What a full disk says: ENOSPC, or EDQUOT where a quota is what is used up.
    pub(crate) full_errno: i32,
    /// The file system gave up: whatever would change it is refused.
    pub(crate) read_only: bool,
    /// What was done, in order, for golden tests.
    pub(crate) trace: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct SimDisk {
    pub(crate) state: Rc<RefCell<State>>,
    halted: Rc<Notify>,
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        let state =
            State { memory_max: 64 << 20, drawn: 1, full_errno: ENOSPC, ..State::default() };
        Self { state: Rc::new(RefCell::new(state)), halted: Rc::new(Notify::new()) }
    }

    /// The power goes at this point, counted from now.
    pub(crate) fn halt_after(&self, points: usize) {
        let mut state = self.state.borrow_mut();
        state.halt_at = Some(state.points + points);
    }

    /// The call at this point, counted from now, fails with EIO.
    pub(crate) fn fail_after(&self, points: usize) {
        let mut state = self.state.borrow_mut();
        state.fail_at = Some(state.points + points);
    }

    pub(crate) fn limit_memory(&self, bytes: usize) {
        self.state.borrow_mut().memory_max = bytes;
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.state.borrow().halted
    }

    /// Runs until it ends (`Some`) or the power goes (`None`).
    pub(crate) async fn until_halted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.halted.notified() => None,
            value = work => Some(value),
        }
    }

    /// What is on the disk after a power cut.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let old = self.state.borrow();
        let mut names = old.durable_names.clone();
        for change in &old.name_changes {
            // Changes of names that were not synced may or may not have been written, in any order.
            if dice.chance(50) {
                apply_name(&mut names, change);
            }
        }
        let inodes = old.inodes.iter().map(|inode| {
            let mut bytes = inode.durable.clone();
            for (offset, written) in &inode.unsynced {
                tear(&mut bytes, *offset, written, dice);
            }
            Inode { durable: bytes.clone(), bytes, unsynced: Vec::new() }
        });
        old.successor(inodes.collect(), names)
    }

    /// What is on the disk after the process alone was killed: all that it had handed over; of a write
    /// in flight whatever the kernel got to.
    pub(crate) fn after_kill(&self) -> Self {
        let old = self.state.borrow();
        let inodes = old.inodes.iter().map(|inode| Inode {
            durable: inode.bytes.clone(),
            bytes: inode.bytes.clone(),
            unsynced: Vec::new(),
        });
        old.successor(inodes.collect(), old.names.clone())
    }

    pub(crate) fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        state.names.get(name).map(|inode| state.inodes[*inode].bytes.clone())
    }

    pub(crate) fn change_file(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.borrow_mut();
        let inode = state.names[name];
        let inode = &mut state.inodes[inode];
        change(&mut inode.bytes);
        inode.durable = inode.bytes.clone();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.borrow().names.keys().cloned().collect()
    }

    /// A place where the power can go. True: the call is to fail.
    async fn point(&self, what: impl FnOnce() -> String) -> bool {
        let fails = {
            let mut state = self.state.borrow_mut();
            state.points += 1;
            if state.halt_at == Some(state.points) {
                state.halted = true;
                self.halted.notify_one();
            }
            let what = what();
            state.trace.push(what);
            state.fail_at == Some(state.points) || state.read_only
        };
        if self.is_halted() {
            std::future::pending::<()>().await;
        }
        // Others go on while the disk works.
        tokio::task::yield_now().await;
        if self.is_halted() {
            std::future::pending::<()>().await;
        }
        fails
    }

    /// What a call that fails says.
    fn refusal(&self) -> io::Error {
        let read_only = self.state.borrow().read_only;
        io::Error::from_raw_os_error(if read_only { EROFS } else { EIO })
    }

    fn full(&self) -> Option<io::Error> {
        let state = self.state.borrow();
        state.full.then(|| io::Error::from_raw_os_error(state.full_errno))
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.state.borrow().names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }
}

impl State {
    /// Other numbers than another disk draws.
    pub(crate) fn set_drawn(&mut self, drawn: u64) {
        self.drawn = drawn;
    }

    fn successor(&self, inodes: Vec<Inode>, names: BTreeMap<String, usize>) -> SimDisk {
        SimDisk {
            state: Rc::new(RefCell::new(Self {
                inodes,
                durable_names: names.clone(),
                names,
                memory_max: self.memory_max,
                full_errno: self.full_errno,
                drawn: self.drawn,
                read_time: self.read_time,
                ..Self::default()
            })),
            halted: Rc::new(Notify::new()),
        }
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Add(name, inode) => names.insert(name.clone(), *inode),
        NameChange::Remove(name) => names.remove(name),
    };
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    if bytes.len() < offset + written.len() {
        bytes.resize(offset + written.len(), 0);
    }
    bytes[offset..offset + written.len()].copy_from_slice(written);
}

/// Lost, whole, or any of its sectors.
fn tear(bytes: &mut Vec<u8>, offset: usize, written: &[u8], dice: &mut Dice) {
    match dice.roll(4) {
        0 => {}
        1 => put(bytes, offset, written),
        _ => {
            for (n, sector) in written.chunks(SECTOR).enumerate() {
                if dice.chance(50) {
                    put(bytes, offset + n * SECTOR, sector);
                }
            }
        }
    }
}

fn directory(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Disk for SimDisk {
    type Buf = HeapBuf;
    type File = (String, usize);

    fn alloc(&self, bytes: usize) -> Option<HeapBuf> {
        let bytes = bytes.next_multiple_of(4096);
        let mut state = self.state.borrow_mut();
        if state.memory_used + bytes > state.memory_max {
            return None;
        }
        state.memory_used += bytes;
        // Not zeros: whoever forgets to clear padding is found out.
        let buf = HeapBuf { bytes: vec![0xa5; bytes], offset: 0, state: Rc::clone(&self.state) };
        drop(state);
        Some(buf)
    }

    fn draw(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.drawn += 1;
        Dice(state.drawn).roll(u64::MAX)
    }

    async fn create_segment(&self, name: &str, head: Vec<u8>, bytes: u64) -> io::Result<()> {
        let fails = self.point(|| format!("make {name}")).await;
        if let Some(error) = self.full() {
            return Err(error);
        }
        if fails {
            return Err(self.refusal());
        }
        let mut state = self.state.borrow_mut();
        let mut content = head;
        content.resize(bytes as usize, 0);
        let inode = state.inodes.len();
        state.inodes.push(Inode { durable: content.clone(), bytes: content, unsynced: vec![] });
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
        Ok(())
    }

    async fn open_segment(&self, name: &str) -> io::Result<Self::File> {
        Ok((name.to_owned(), self.inode(name)?))
    }

    async fn write_durably(
        &self,
        file: &Self::File,
        buf: HeapBuf,
        offset: u64,
    ) -> (io::Result<()>, HeapBuf) {
        assert_eq!((buf.len() % 4096, offset % 4096), (0, 0), "not aligned for O_DIRECT");
        let (name, inode) = file;
        let at = offset as usize;
        if self.point(|| format!("write {name} {at}+{}", buf.len())).await {
            let half = if self.state.borrow().read_only { 0 } else { buf.len() / 2 };
            let mut state = self.state.borrow_mut();
            put(&mut state.inodes[*inode].bytes, at, &buf[..half]);
            state.inodes[*inode].unsynced.push((at, buf[..half].to_vec()));
            drop(state);
            return (Err(self.refusal()), buf);
        }
        {
            let mut state = self.state.borrow_mut();
            let inode = &mut state.inodes[*inode];
            assert!(at + buf.len() <= inode.bytes.len(), "written behind the end of {name}");
            put(&mut inode.bytes, at, &buf);
            inode.unsynced.push((at, buf.to_vec()));
        }
        let fails = self.point(|| format!("done {name} {at}")).await;
        if fails {
            return (Err(self.refusal()), buf);
        }
        let mut state = self.state.borrow_mut();
        let inode = &mut state.inodes[*inode];
        inode.unsynced.pop();
        put(&mut inode.durable, at, &buf);
        drop(state);
        (Ok(()), buf)
    }

    async fn read_at(
        &self,
        file: &Self::File,
        mut buf: Vec<u8>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<u8>) {
        let (n, time) = {
            let state = self.state.borrow();
            if state.unreadable.as_ref() == Some(&file.0) {
                return (Err(self.refusal()), buf);
            }
            let bytes = &state.inodes[file.1].bytes;
            let from = (offset as usize).min(bytes.len());
            let n = buf.len().min(bytes.len() - from);
            buf[..n].copy_from_slice(&bytes[from..from + n]);
            (n, state.read_time * n as u32)
        };
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        (Ok(n), buf)
    }

    async fn create(&self, name: &str) -> io::Result<Self::File> {
        if self.point(|| format!("create {name}")).await {
            return Err(self.refusal());
        }
        if self.inode(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut state = self.state.borrow_mut();
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        state.name_changes.push(NameChange::Add(name.to_owned(), inode));
        Ok((name.to_owned(), inode))
    }

    async fn open(&self, name: &str) -> io::Result<Self::File> {
        Ok((name.to_owned(), self.inode(name)?))
    }

    async fn write_at(
        &self,
        file: &Self::File,
        buf: Vec<u8>,
        offset: u64,
    ) -> (io::Result<()>, Vec<u8>) {
        if self.point(|| format!("write {} {offset}+{}", file.0, buf.len())).await {
            return (Err(self.refusal()), buf);
        }
        if let Some(error) = self.full() {
            return (Err(error), buf);
        }
        let mut state = self.state.borrow_mut();
        let inode = &mut state.inodes[file.1];
        put(&mut inode.bytes, offset as usize, &buf);
        inode.unsynced.push((offset as usize, buf.clone()));
        (Ok(()), buf)
    }

    async fn sync(&self, file: &Self::File) -> io::Result<()> {
        if self.point(|| format!("sync {}", file.0)).await {
            // As Linux does: the pages are clean now, and lost.
            self.state.borrow_mut().inodes[file.1].unsynced.clear();
            return Err(self.refusal());
        }
        let mut state = self.state.borrow_mut();
        let inode = &mut state.inodes[file.1];
        inode.unsynced.clear();
        inode.durable = inode.bytes.clone();
        Ok(())
    }

    async fn sync_dir(&self, synced: &str) -> io::Result<()> {
        if self.point(|| format!("sync directory {synced}")).await {
            return Err(self.refusal());
        }
        let mut state = self.state.borrow_mut();
        let changes = std::mem::take(&mut state.name_changes);
        for change in changes {
            let (NameChange::Add(name, _) | NameChange::Remove(name)) = &change;
            if directory(name) == synced {
                apply_name(&mut state.durable_names, &change);
            } else {
                state.name_changes.push(change);
            }
        }
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        if self.point(|| format!("remove {name}")).await {
            return Err(self.refusal());
        }
        let mut state = self.state.borrow_mut();
        state.names.remove(name);
        state.name_changes.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    async fn remove_segment(&self, name: &str) -> io::Result<()> {
        self.remove(name).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if self.point(|| format!("rename {from} {to}")).await {
            return Err(self.refusal());
        }
        let inode = self.inode(from)?;
        let mut state = self.state.borrow_mut();
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state.name_changes.push(NameChange::Remove(from.to_owned()));
        state.name_changes.push(NameChange::Add(to.to_owned(), inode));
        Ok(())
    }

    async fn list(&self, wanted: &str) -> io::Result<Vec<String>> {
        let state = self.state.borrow();
        let names = state.names.keys().filter(|name| directory(name) == wanted);
        Ok(names.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }
}
