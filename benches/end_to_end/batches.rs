//! How many enrollments shared a commit, as the service's metrics tell.

use std::fmt;
use std::ops::Sub;

const METRIC: &str = "muster_store_commit_batch_size";

#[derive(Clone, Debug)]
pub struct Batches {
    /// Enrollments in all of them.
    enrollments: f64,
    commits: f64,
    /// Commits of at most this size, smallest first, each including those before it. The last has no bound.
    at_most: Vec<(f64, f64)>,
}

impl Batches {
    pub fn from_metrics(text: &str) -> Self {
        let samples = || text.lines().filter_map(|line| line.strip_prefix(METRIC)?.rsplit_once(' '));
        let one = |name: &str| {
            let value = samples().find_map(|(sample, value)| (sample == name).then_some(value));
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {METRIC}{name} in\n{text}"))
        };
        let at_most = samples().filter_map(|(sample, commits)| {
            let bound = sample.strip_prefix("_bucket{le=\"")?.strip_suffix("\"}")?;
            Some((bound.parse().expect("a bound"), commits.parse().expect("a count")))
        });
        Self { enrollments: one("_sum"), commits: one("_count"), at_most: at_most.collect() }
    }

    pub fn mean(&self) -> f64 {
        self.enrollments / self.commits.max(1.0)
    }
}

/// What came since.
impl Sub for &Batches {
    type Output = Batches;

    fn sub(self, before: &Batches) -> Batches {
        let buckets = self.at_most.iter().zip(&before.at_most);
        Batches {
            enrollments: self.enrollments - before.enrollments,
            commits: self.commits - before.commits,
            at_most: buckets.map(|((bound, now), (_, before))| (*bound, now - before)).collect(),
        }
    }
}

/// `≤1 2 %, ≤2 3 %, ≤4 11 %`: the shares of the commits, those without any left out.
impl fmt::Display for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut below = 0.0;
        let mut separator = "";
        for (bound, at_most) in &self.at_most {
            let share = 100.0 * (at_most - below) / self.commits.max(1.0);
            below = *at_most;
            if share > 0.0 {
                let digits = usize::from(share < 1.0);
                match bound.is_finite() {
                    true => write!(f, "{separator}≤{bound} {share:.digits$} %")?,
                    false => write!(f, "{separator}more {share:.digits$} %")?,
                }
                separator = ", ";
            }
        }
        Ok(())
    }
}
