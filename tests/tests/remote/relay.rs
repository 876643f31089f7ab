//! What stands between a table and its server: passes on what is said, or does not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::wait;

/// What becomes of the server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They arrive.
    Pass,
    /// They arrive, byte by byte.
    Bytes,
    /// They never arrive, and the connection stays.
    Hang,
    /// Their first half arrives, then the connection ends.
    Cut,
    /// Something else arrives, then the connection ends.
    Garbage,
    /// Something else arrives, and does not end.
    Flood,
    /// The connection ends at once.
    Close,
}

/// A relay on a free port.
pub(crate) struct Relay {
    port: u16,
    state: Arc<State>,
}

struct State {
    target: PathBuf,
    mode: Mutex<Mode>,
    /// Answers that were kept back.
    held: AtomicUsize,
    /// Connections that are open.
    open: AtomicUsize,
    /// Connections there have been.
    all: AtomicUsize,
    /// What clients have said.
    said: Mutex<Vec<u8>>,
}

impl Relay {
    /// Relays to the server on this socket.
    pub(crate) fn to(target: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(State {
            target: target.to_owned(),
            mode: Mutex::new(Mode::Pass),
            held: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            all: AtomicUsize::new(0),
            said: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        // It ends with the process: nobody else can reach it.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(client));
            }
        });
        Self { port, state }
    }

    /// Where it listens, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on, for connections that are open as well.
    pub(crate) fn set(&self, mode: Mode) {
        *self.state.mode.lock().expect("no thread of a relay panics") = mode;
    }

    /// Waits until an answer is being kept back: the server has been asked.
    pub(crate) fn wait_for_held(&self) {
        wait::until_true("an answer is held", || self.state.held.load(Ordering::SeqCst) > 0);
        self.state.held.store(0, Ordering::SeqCst);
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// All that clients have said.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.state.said.lock().expect("no thread of a relay panics").clone()
    }

    /// Connections there have been.
    pub(crate) fn all(&self) -> usize {
        self.state.all.load(Ordering::SeqCst)
    }
}

impl State {
    fn mode(&self) -> Mode {
        *self.mode.lock().expect("no thread of a relay panics")
    }

    fn serve(self: &Arc<Self>, client: TcpStream) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
        let served = self.relay(&client);
        // Where one side has ended, so has the other.
        let _ = (served, client.shutdown(Shutdown::Both));
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// Passes questions on, and notes them.
    fn questions(&self, mut client: TcpStream, server: &mut UnixStream) -> std::io::Result<()> {
        let mut chunk = [0; 65_536];
        loop {
            let read = client.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            let mut said = self.said.lock().expect("no thread of a relay panics");
            said.extend_from_slice(&chunk[..read]);
            drop(said);
            server.write_all(&chunk[..read])?;
        }
    }

    fn relay(self: &Arc<Self>, client: &TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let server = UnixStream::connect(&self.target)?;
        let (from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let state = Arc::clone(self);
        let asking = thread::spawn(move || {
            let _ = state.questions(from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let result = self.answers(server, client);
        let _ = client.shutdown(Shutdown::Both);
        asking.join().expect("no thread of a relay panics");
        result
    }

    fn answers(&self, mut server: UnixStream, mut client: &TcpStream) -> std::io::Result<()> {
        let mut chunk = [0; 65_536];
        loop {
            let read = server.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            let answer = &chunk[..read];
            match self.mode() {
                Mode::Pass => client.write_all(answer)?,
                Mode::Bytes => {
                    for byte in answer {
                        client.write_all(&[*byte])?;
                        thread::yield_now();
                    }
                }
                Mode::Hang => {
                    self.held.fetch_add(1, Ordering::SeqCst);
                }
                Mode::Cut => {
                    client.write_all(&answer[..read / 2])?;
                    return Ok(());
                }
                // No protocol has this: too long for a length, no code, no status, an odd tag.
                Mode::Garbage => {
                    client.write_all(&[0xff; 64])?;
                    return Ok(());
                }
                Mode::Flood => loop {
                    client.write_all(&[b'A'; 65_536])?;
                },
                Mode::Close => return Ok(()),
            }
        }
    }
}
