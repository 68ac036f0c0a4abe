//! Whether two sets of times come from the same distribution, by Welch's t-test as dudect uses it.

/// Percentages of the times of both classes, the lowest first, that are looked at: what an interrupt or a cold cache
/// stretched says nothing about the code and hides what does.
const KEPT_PERCENT: [f64; 7] = [100.0, 99.9, 99.0, 95.0, 90.0, 75.0, 50.0];

/// From here on |t| means that the classes are told apart.
pub const SEPARABLE: f64 = 4.5;

/// The comparison of two classes.
#[derive(Clone, Copy)]
pub struct Comparison {
    /// The t value that is farthest from 0 among all croppings.
    pub t: f64,
    /// The smallest difference of means, in nanoseconds, that one of the croppings would have told.
    pub told_from_ns: f64,
}

impl Comparison {
    /// `one` and `other`: nanoseconds, in any order, at least two each.
    pub fn of(one: &[f64], other: &[f64]) -> Self {
        let mut both: Vec<f64> = one.iter().chain(other).copied().collect();
        both.sort_by(f64::total_cmp);
        let croppings = KEPT_PERCENT.map(|percent| {
            let last = (both.len() as f64 * percent / 100.0) as usize;
            let limit = both[last.clamp(1, both.len()) - 1];
            welch(Moments::of(one, limit), Moments::of(other, limit))
        });
        let by_t = |a: &&(f64, f64), b: &&(f64, f64)| a.0.abs().total_cmp(&b.0.abs());
        let (t, _) = *croppings.iter().max_by(by_t).expect("there are croppings");
        let error = croppings.iter().map(|(_, error)| *error).fold(f64::INFINITY, f64::min);
        Self { t, told_from_ns: SEPARABLE * error }
    }

    pub fn is_separable(&self) -> bool {
        self.t.abs() >= SEPARABLE
    }
}

#[derive(Clone, Copy)]
pub struct Moments {
    count: f64,
    pub mean: f64,
    variance: f64,
}

impl Moments {
    /// Of the values up to `limit`.
    pub fn of(values: &[f64], limit: f64) -> Self {
        let kept = || values.iter().copied().filter(|value| *value <= limit);
        let count = kept().count() as f64;
        let mean = kept().sum::<f64>() / count;
        let variance = kept().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, mean, variance }
    }
}

/// t, and the standard error of the difference.
fn welch(one: Moments, other: Moments) -> (f64, f64) {
    let error = (one.variance / one.count + other.variance / other.count).sqrt();
    // Both the same throughout, which a coarse clock can make them.
    let t = if one.mean == other.mean { 0.0 } else { (one.mean - other.mean) / error };
    (t, error)
}
