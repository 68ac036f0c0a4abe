//! The queue in front of the handshakes, and the one who lets in.

use std::sync::Arc;

use shuttle::future::block_on;

use super::gate::Gate;
use crate::domain::address::SourcePrefix;

/// Five that wait, of two sources, one of whom goes away at some moment: all others are let in, and nobody is left.
pub fn everybody_is_let_in() {
    block_on(async {
        let gate = Arc::new(Gate::new(1));
        let waiting: Vec<_> = (0..5)
            .map(|number| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.wait(SourcePrefix(number % 2)).await })
            })
            .collect();
        let usher = {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.usher().await })
        };
        waiting[2].abort();
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert!(matches!(waiting.await, Ok(Ok(()))) || number == 2);
        }
        assert_eq!(gate.waiting(), 0, "somebody is counted who is not there");
        usher.abort();
    });
}
