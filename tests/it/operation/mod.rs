//! The service in operation.
