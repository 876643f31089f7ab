//! Waiting for an answer on a thread that may wait.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Waits for a lookup where there is no runtime: in a delivery thread, in a command.
///
/// Never on a shard, which has other sessions to serve meanwhile. Costs nothing where the tables answer
/// at once.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_another_thread_answers_is_waited_for() {
        let (wakers, woken) = mpsc::channel::<Waker>();
        let answering = thread::spawn(move || woken.recv().unwrap().wake());
        let mut polls = 0;
        let answer = block_on(std::future::poll_fn(|context| {
            polls += 1;
            match polls {
                1 => Poll::Pending,
                2 => {
                    wakers.send(context.waker().clone()).unwrap();
                    Poll::Pending
                }
                _ => Poll::Ready("here"),
            }
        }));
        assert_eq!(answer, "here");
        answering.join().unwrap();
    }
}
