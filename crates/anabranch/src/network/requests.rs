//! The questions that one socket's peer owes an answer to.
//!
//! An answer is matched by the number that went out with the question. One that comes too late, or to a question
//! that nobody asked, changes nothing: it is counted and dropped.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The questions of one socket; `T` is an answer.
#[derive(Debug)]
pub(super) struct Requests<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    /// The number given out last; 0 before the first.
    last: u32,
    /// Whether all numbers were given out once.
    wrapped: bool,
    waiting: BTreeMap<u32, oneshot::Sender<T>>,
    closed: bool,
}

/// Why a question cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The peer owes as many answers as it may.
    TooMany,
    /// The socket is closed.
    Closed,
}

/// An answer that nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    /// Its question was given up, or answered before.
    Late,
    /// There never was such a question.
    Unasked,
}

/// A question under way. It is given up when this is dropped.
#[derive(Debug)]
pub(super) struct Asked<T> {
    requests: Arc<Requests<T>>,
    pub(super) number: u32,
    pub(super) answer: oneshot::Receiver<T>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        let inner = Inner { last: 0, wrapped: false, waiting: BTreeMap::new(), closed: false };
        Self { inner: Mutex::new(inner) }
    }
}

impl<T> Requests<T> {
    /// Gives a question its number.
    pub(super) fn ask(self: &Arc<Self>, max: NonZeroUsize) -> Result<Asked<T>, Refused> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if inner.waiting.len() >= max.get() {
            return Err(Refused::TooMany);
        }
        let number = inner.next_number();
        let (to, answer) = oneshot::channel();
        inner.waiting.insert(number, to);
        Ok(Asked { requests: self.clone(), number, answer })
    }

    /// Hands an answer to who asked.
    pub(super) fn answer(&self, number: u32, answer: T) -> Result<(), Stray> {
        let mut inner = self.lock();
        let Some(to) = inner.waiting.remove(&number) else {
            let was_asked = number != 0 && (inner.wrapped || number <= inner.last);
            return Err(if was_asked { Stray::Late } else { Stray::Unasked });
        };
        drop(inner);
        to.send(answer).map_err(|_| Stray::Late)
    }

    /// The socket is closed: nobody is answered any more.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        drop(waiting);
    }

    /// How many questions are under way.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Whoever panicked here left a map that is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    /// The next number that no question under way has: there are far fewer than numbers.
    fn next_number(&mut self) -> u32 {
        loop {
            match self.last.checked_add(1) {
                Some(next) => self.last = next,
                None => (self.last, self.wrapped) = (1, true),
            }
            if !self.waiting.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.requests.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    #[test]
    fn an_answer_reaches_who_asked() {
        let requests = Arc::<Requests<u8>>::default();
        let (mut one, mut two) = (requests.ask(TWO).unwrap(), requests.ask(TWO).unwrap());
        assert_eq!(requests.ask(TWO).unwrap_err(), Refused::TooMany);
        assert_eq!(requests.answer(two.number, 22), Ok(()));
        assert_eq!(requests.answer(one.number, 11), Ok(()));
        assert_eq!((one.answer.try_recv(), two.answer.try_recv()), (Ok(11), Ok(22)));
    }

    #[test]
    fn answers_that_nobody_waits_for_are_harmless_and_told_apart() {
        let requests = Arc::<Requests<u8>>::default();
        assert_eq!(requests.answer(0, 1), Err(Stray::Unasked));
        assert_eq!(requests.answer(1, 1), Err(Stray::Unasked));
        let given_up = requests.ask(TWO).unwrap();
        let number = given_up.number;
        drop(given_up);
        assert_eq!(requests.len(), 0);
        assert_eq!(requests.answer(number, 1), Err(Stray::Late));
        assert_eq!(requests.answer(number + 1, 1), Err(Stray::Unasked));
        let asked = requests.ask(TWO).unwrap();
        assert_eq!(requests.answer(asked.number, 1), Ok(()));
        assert_eq!(requests.answer(asked.number, 2), Err(Stray::Late));
    }

    #[test]
    fn numbers_are_used_again_but_not_while_they_are_under_way() {
        let requests = Arc::<Requests<u8>>::default();
        let first = requests.ask(TWO).unwrap();
        requests.lock().last = u32::MAX;
        let second = requests.ask(TWO).unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(requests.answer(u32::MAX, 1), Err(Stray::Late));
    }

    #[test]
    fn nobody_waits_for_a_closed_socket() {
        let requests = Arc::<Requests<u8>>::default();
        let mut asked = requests.ask(TWO).unwrap();
        requests.close();
        assert!(asked.answer.try_recv().is_err());
        assert_eq!(requests.ask(TWO).unwrap_err(), Refused::Closed);
        assert_eq!(requests.answer(asked.number, 1), Err(Stray::Late));
    }
}
