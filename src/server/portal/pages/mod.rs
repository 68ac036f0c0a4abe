//! One file per page, or per object with its pages.

pub(super) mod home;
pub(super) mod keys;
pub(super) mod preferences;
pub(super) mod sign_in;
