//! What `/readyz` finds in the running service.

use crate::support::Service;

#[test]
fn a_service_that_accepts_is_ready_in_every_part() {
    let service = Service::start();
    assert_eq!(
        service.ops("/readyz"),
        (200, r#"{"ready":true,"store":true,"signing":true,"index":true,"clock":true}"#.to_owned())
    );
}
