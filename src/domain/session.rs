//! Sessions: what is remembered of the tokens that were given out.

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::id::{AdministratorId, CustomerId};

/// One token, from sign-in to its end.
///
/// Those of administrators have a row from the start, so that they can be listed and ended. A token of
/// an API client has one only when it was signed out before its end: such clients sign in often, and
/// nobody looks at their sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The token's `jti`. Names the session and opens nothing.
    pub id: String,
    /// [`CustomerId::SERVICE`] for owners.
    pub customer_id: CustomerId,
    /// `None`: an API client's.
    pub administrator_id: Option<AdministratorId>,
    pub created_at: Timestamp,
    /// From this instant on the token is refused, and the row may be dropped.
    pub expires_at: Timestamp,
    /// Set when it was ended before.
    pub ended_at: Option<Timestamp>,
    /// Where the sign-in came from; `None` for API clients.
    pub remote_address: Option<IpAddr>,
    /// What the sign-in said of its program, at most [`USER_AGENT_CHARACTERS_MAX`] characters without
    /// control characters; may be empty.
    pub user_agent: String,
}

pub const USER_AGENT_CHARACTERS_MAX: usize = 200;

impl SessionRecord {
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}

/// A `User-Agent` as it may be kept: cut, and without control characters.
pub fn kept_user_agent(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(USER_AGENT_CHARACTERS_MAX).collect()
}
