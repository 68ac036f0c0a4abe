//! Edits as read, change, write, done anew when others were faster.

use std::fmt;

use super::{Error, Object};

/// How often an edit is tried when others change the same object meanwhile and the caller named no
/// revision.
const ATTEMPTS_MAX: usize = 5;

/// What one attempt came to.
pub(super) enum Attempt<T> {
    Done(T),
    /// Another edit was committed after this one had read the object. Nothing was written.
    Overtaken,
}

impl<T> Attempt<T> {
    pub(super) fn map<U>(self, of_done: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Self::Done(done) => Attempt::Done(of_done(done)),
            Self::Overtaken => Attempt::Overtaken,
        }
    }
}

/// Makes the edit anew until nobody overtakes it. An attempt begins with reading the object, so that
/// it keeps what others changed, and a caller's expected revision is compared each time.
///
/// # Errors
/// The attempt's own; [`Error::Contended`] when it was overtaken [`ATTEMPTS_MAX`] times.
pub(super) async fn until_not_overtaken<T, A>(
    object: Object,
    id: impl fmt::Display,
    attempt: impl Fn() -> A,
) -> Result<T, Error>
where
    A: Future<Output = Result<Attempt<T>, Error>>,
{
    for _ in 0..ATTEMPTS_MAX {
        if let Attempt::Done(done) = attempt().await? {
            return Ok(done);
        }
    }
    Err(Error::Contended { object, id: id.to_string() })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The outcome of an edit that is overtaken the first `times`, and how often it was tried.
    async fn overtaken(times: usize) -> (Result<usize, Error>, usize) {
        let tried = Cell::new(0);
        let outcome = until_not_overtaken(Object::Group, 7, || async {
            tried.set(tried.get() + 1);
            Ok(if tried.get() > times { Attempt::Done(tried.get()) } else { Attempt::Overtaken })
        });
        (outcome.await, tried.get())
    }

    #[tokio::test]
    async fn an_overtaken_edit_is_tried_five_times() {
        for times in 0..ATTEMPTS_MAX {
            assert_eq!(overtaken(times).await.0.unwrap(), times + 1);
        }
        let (outcome, tried) = overtaken(ATTEMPTS_MAX).await;
        assert!(matches!(outcome, Err(Error::Contended { object: Object::Group, id }) if id == "7"));
        assert_eq!(tried, ATTEMPTS_MAX);
    }

    #[tokio::test]
    async fn a_refusal_ends_it_at_once() {
        let tried = Cell::new(0);
        let outcome: Result<(), _> = until_not_overtaken(Object::Group, 7, || async {
            tried.set(tried.get() + 1);
            Err(Error::not_found(Object::Group, 7))
        })
        .await;
        assert!(matches!(outcome, Err(Error::NotFound { .. })));
        assert_eq!(tried.get(), 1);
    }
}
