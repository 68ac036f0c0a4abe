//! One file per page, or per object with its pages.

pub(super) mod account;
pub(super) mod add_component;
pub(super) mod administrator;
pub(super) mod administrators;
pub(super) mod api_client;
pub(super) mod api_clients;
pub(super) mod audit;
pub(super) mod check;
pub(super) mod clean_up;
pub(super) mod components;
pub(super) mod customers;
pub(super) mod details;
pub(super) mod groups;
pub(super) mod home;
pub(super) mod key;
pub(super) mod keys;
pub(super) mod preferences;
pub(super) mod sign_in;
pub(super) mod signing_certificate;
pub(super) mod signing_certificate_add;
pub(super) mod signing_certificates;
pub(super) mod webhook;
pub(super) mod webhooks;
pub(super) mod wizard;
