//! The three promises, through the front door of the real binary: exact limits, no answered
//! enrollment lost, no secret in clear. And what an unknown caller can make the service do: nothing.

mod bystanders;
mod canary;
mod exact;
mod flood;
mod fresh;
mod gate;
mod headers;
mod layouts;
mod lost_answer;
mod roles;
