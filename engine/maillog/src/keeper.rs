//! The thread that keeps the log.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::RecvTimeoutError;
use mail::Time;
use mail::log::{Event, Formatter, Record};

use crate::{Buffer, Destination, GATHER_MS, Inbox, Order, Output, Shared, lock};

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    inbox: Inbox,
    destination: Destination,
    output: Output,
    /// The last write failed: the destination is opened again before the next.
    broken: bool,
    /// A write ended within a line.
    torn: bool,
    /// Lines lost and not yet reported, and why the last ones were.
    lost: u64,
    cause: String,
    formatter: Formatter,
    /// Goes back and forth with the buffers, so that none is ever allocated anew.
    spare: Vec<u8>,
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        inbox: Inbox,
        destination: Destination,
        output: Output,
        formatter: Formatter,
    ) -> Self {
        Self {
            shared,
            inbox,
            destination,
            output,
            broken: false,
            torn: false,
            lost: 0,
            cause: String::new(),
            formatter,
            spare: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) {
        // Asleep until there is an order; then awake for as long as each turn finds lines.
        while let Ok(order) = self.inbox.recv() {
            if self.obey(order) {
                return;
            }
            while self.write_all() {
                if self.gather() {
                    return;
                }
            }
        }
    }

    /// Waits for [`GATHER_MS`], less where a buffer fills up; orders that come are obeyed. True where
    /// the thread has to end.
    fn gather(&mut self) -> bool {
        let end = Instant::now() + Duration::from_millis(GATHER_MS);
        loop {
            match self.inbox.recv_deadline(end) {
                Ok(Order::Filled) => return false,
                Ok(order) => {
                    if self.obey(order) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Wake | Order::Filled => false,
            Order::Reopen(done) => {
                self.write_all();
                self.reopen();
                let _ = done.send(());
                false
            }
            Order::Flush(done) => {
                self.write_all();
                let _ = done.send(());
                false
            }
            Order::Stop(done) => {
                self.write_all();
                let _ = done.send(());
                true
            }
        }
    }

    /// Takes what all pens have written and writes it out; false where there was nothing.
    fn write_all(&mut self) -> bool {
        // Before the buffers are taken: what is written after that wakes the thread once more.
        self.shared.awake.store(false, Ordering::Release);
        let buffers = self.buffers();
        let mut found = false;
        for buffer in buffers {
            std::mem::swap(&mut lock(&buffer.page).text, &mut self.spare);
            let batch = std::mem::take(&mut self.spare);
            if !batch.is_empty() {
                found = true;
                self.put(&batch);
            }
            self.spare = batch;
            self.spare.clear();
            let lost = buffer.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                self.lost += lost;
                self.cause = "the log was too slow".to_owned();
            }
        }
        if found {
            self.report_losses();
        }
        found
    }

    /// The buffers of all pens; those that are empty and whose pens are gone are given up.
    fn buffers(&self) -> Vec<Arc<Buffer>> {
        let mut all = lock(&self.shared.buffers);
        all.retain(|buffer| Arc::strong_count(buffer) > 1 || !lock(&buffer.page).text.is_empty());
        all.clone()
    }

    /// Writes a batch, or counts its lines as lost.
    fn put(&mut self, batch: &[u8]) {
        self.report_losses();
        let result = self.emit(batch);
        if let Err((written, why)) = result {
            let lost = batch[written..].iter().filter(|&&b| b == b'\n').count() as u64;
            self.lost += lost;
            self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            self.cause = why.to_string();
        }
    }

    /// Says how many lines are missing at this place, as soon as the log takes lines at all.
    fn report_losses(&mut self) {
        if self.lost == 0 {
            return;
        }
        let text = format!("{} log lines lost: {}", self.lost, self.cause);
        if self.emit_warning(&text).is_ok() {
            self.lost = 0;
        }
    }

    fn emit_warning(&mut self, text: &str) -> Result<(), (usize, io::Error)> {
        let mut line = Vec::new();
        let event = Event::Warning { text };
        let record = Record { time: Time::now(), name: None, service: "log", session: 0, event };
        self.formatter.write(&record, &mut line);
        self.emit(&line)
    }

    /// Writes bytes; where that fails, the error comes with how many were written.
    fn emit(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.broken {
            self.output = self.destination.open().map_err(|why| (0, why))?;
            self.broken = false;
        }
        let mut written = 0;
        if self.torn {
            self.output.write_all(b"\n").map_err(|why| self.broke(0, why))?;
            self.torn = false;
        }
        while written < bytes.len() {
            match self.output.write(&bytes[written..]) {
                Ok(0) => return Err(self.broke(written, io::ErrorKind::WriteZero.into())),
                Ok(some) => {
                    written += some;
                    self.torn = bytes[written - 1] != b'\n';
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(self.broke(written, why)),
            }
        }
        Ok(())
    }

    fn broke(&mut self, written: usize, why: io::Error) -> (usize, io::Error) {
        self.broken = true;
        (written, why)
    }

    fn reopen(&mut self) {
        match self.destination.open() {
            Ok(output) => {
                self.output = output;
                self.broken = false;
                self.torn = false;
            }
            Err(why) => {
                // Not being able to say so either is counted where the next line fails.
                let _ = self.emit_warning(&format!(
                    "cannot reopen the log, going on with the old one: {why}"
                ));
            }
        }
    }
}
