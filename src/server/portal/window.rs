//! A window of its own, without the navigation: the steps of a task at the side, what was chosen under each.
//! Finished words for `window.html`, which a page extends with fields `frame` and `window`.

use super::frame::Frame;

pub(super) struct Window {
    pub(super) title: String,
    pub(super) customer: String,
    pub(super) home: String,
    /// Where one comes to by leaving; nothing is kept. `None` once there is something to be lost.
    pub(super) cancel: Option<String>,
    pub(super) steps: Vec<RailStep>,
}

/// A step at the side.
pub(super) struct RailStep {
    pub(super) title: &'static str,
    /// What was chosen in it.
    pub(super) choice: String,
    pub(super) state: RailState,
    /// The value of `go` that leads back to it.
    pub(super) go: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RailState {
    Ahead,
    Done,
    Now,
}

impl Window {
    pub(super) fn new(title: String, frame: &Frame, cancel: Option<String>, steps: Vec<RailStep>) -> Self {
        let (customer, home) = frame
            .account
            .as_ref()
            .map_or_else(Default::default, |account| (account.customer_name.clone(), account.home.address.clone()));
        Self { title, customer, home, cancel, steps }
    }

    /// "Step 2 of 5".
    pub(super) fn progress(&self) -> String {
        let now = self.steps.iter().position(|step| step.state == RailState::Now).unwrap_or_default();
        format!("Step {} of {}", now + 1, self.steps.len())
    }
}

impl RailStep {
    /// The `number`th step while one is at the `now`th, both from 1.
    pub(super) fn new(title: &'static str, number: usize, now: usize, choice: String) -> Self {
        let state = match number.cmp(&now) {
            std::cmp::Ordering::Less => RailState::Done,
            std::cmp::Ordering::Equal => RailState::Now,
            std::cmp::Ordering::Greater => RailState::Ahead,
        };
        let choice = if state == RailState::Done { choice } else { String::new() };
        Self { title, choice, state, go: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == RailState::Done
    }

    pub(super) fn is_now(&self) -> bool {
        self.state == RailState::Now
    }
}
