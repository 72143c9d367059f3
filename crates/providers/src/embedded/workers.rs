//! Threads that compute: few, below the priority of the threads that carry sound, with a queue that has a limit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// How nice the threads are to others (0 to 19): above nothing that carries sound, below what merely passes time.
const NICENESS: i32 = 5;

/// What comes first when a thread is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits on a line for it.
    Now,
    /// Of use only if there is time.
    Later,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

type Job<M> = Box<dyn FnOnce(&mut M) + Send>;

struct Queue<M> {
    now: VecDeque<Job<M>>,
    later: VecDeque<Job<M>>,
    limit: usize,
    closed: bool,
}

struct Shared<M> {
    queue: Mutex<Queue<M>>,
    work: Condvar,
}

/// A thread for each model, and the jobs that wait for one. They end when this is dropped; jobs that wait then are dropped.
pub(super) struct Workers<M> {
    shared: Arc<Shared<M>>,
    count: usize,
}

impl<M: Send + 'static> Workers<M> {
    /// Starts a thread for each model. `limit` jobs of each urgency may wait.
    pub(super) fn start(name: &'static str, models: Vec<M>, limit: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                now: VecDeque::new(),
                later: VecDeque::new(),
                limit,
                closed: false,
            }),
            work: Condvar::new(),
        });
        let workers = Self {
            shared: Arc::clone(&shared),
            count: models.len(),
        };
        for mut model in models {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                // On Linux a thread's own number is a valid process number here, and names this thread alone.
                let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
                while let Some(job) = shared.next() {
                    if catch_unwind(AssertUnwindSafe(|| job(&mut model))).is_err() {
                        tracing::error!(worker = name, "a job of speech panicked");
                    }
                }
            })?;
        }
        Ok(workers)
    }

    /// Hands over a job.
    pub(super) fn submit(&self, urgency: Urgency, job: impl FnOnce(&mut M) + Send + 'static) -> Result<(), Full> {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = queue.limit;
        let line = match urgency {
            Urgency::Now => &mut queue.now,
            Urgency::Later => &mut queue.later,
        };
        if line.len() >= limit {
            return Err(Full);
        }
        line.push_back(Box::new(job));
        drop(queue);
        self.shared.work.notify_one();
        Ok(())
    }

    /// How many threads there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl<M> Shared<M> {
    fn next(&self) -> Option<Job<M>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.now.pop_front() {
                return Some(job);
            }
            if let Some(job) = queue.later.pop_front() {
                return Some(job);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<M> Drop for Workers<M> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        let (now, later) = (std::mem::take(&mut queue.now), std::mem::take(&mut queue.later));
        drop(queue);
        self.shared.work.notify_all();
        // Outside the lock: what a job holds may have something to say when it is dropped.
        drop((now, later));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn what_is_urgent_comes_first_and_a_full_queue_refuses() {
        let workers = Workers::start("test", vec![()], 2).expect("a thread");
        let (open, gate) = sync_channel::<()>(0);
        let (said, heard) = sync_channel(8);
        let (began, begun) = sync_channel::<()>(1);
        workers
            .submit(Urgency::Now, move |()| {
                let _ = began.send(());
                let _ = gate.recv();
            })
            .expect("room");
        begun.recv().expect("begun");
        let mut results = Vec::new();
        for (urgency, name) in [
            (Urgency::Later, "later 1"),
            (Urgency::Later, "later 2"),
            (Urgency::Later, "later 3"),
            (Urgency::Now, "now 1"),
        ] {
            let said = said.clone();
            results.push(workers.submit(urgency, move |()| said.send(name).expect("a listener")));
        }
        assert_eq!(results, [Ok(()), Ok(()), Err(Full), Ok(())]);
        open.send(()).expect("a worker");
        let order: Vec<_> = (0..3).map(|_| heard.recv().expect("a word")).collect();
        assert_eq!(order, ["now 1", "later 1", "later 2"]);
    }

    #[test]
    fn a_job_that_panics_does_not_end_its_thread() {
        let workers = Workers::start("test", vec![0_u32], 4).expect("a thread");
        let (said, heard) = sync_channel(1);
        workers.submit(Urgency::Now, |_| panic!("on purpose")).expect("room");
        workers
            .submit(Urgency::Now, move |_| said.send(()).expect("a listener"))
            .expect("room");
        assert_eq!(heard.recv(), Ok(()));
    }
}
