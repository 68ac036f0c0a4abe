//! The life of a certificate after its first day: renewed, rekeyed, replayed, refused.

mod authority;
mod front;
mod matrix;
mod nodes;
mod races;
mod refusals;
mod replaced;
