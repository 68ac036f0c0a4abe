//! Random numbers that can be had again: the seed is printed when the test fails.

use std::time::{SystemTime, UNIX_EPOCH};

/// xorshift64*. `SEED=… tests/run name` repeats a run.
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    pub fn seeded() -> Self {
        let given = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            since.as_nanos() as u64 | 1
        });
        Self { seed, state: seed.max(1) }
    }

    /// From 0 up to `bound`, exclusive.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={} repeats this run", self.seed);
        }
    }
}
