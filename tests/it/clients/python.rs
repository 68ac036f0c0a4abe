//! The published Python clients, each with a scenario in `tests/clients/` that asserts every step by itself.

use std::path::Path;
use std::process::Command;

use crate::support::Service;
use crate::support::tools::python;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `tests/clients/<client>/<scenario>.py` against a fresh service, and shows all it said when it fails.
fn run(client: &str, scenario: &str) {
    let service = Service::start();
    for group in ["Laptops", "Tills"] {
        service.create_group("machine", group);
    }
    let clients = repository().join("tests/clients");
    let credentials = service.api_client();
    let member = |name: &str| credentials[name].as_str().expect("a string");
    let output = Command::new(python(client))
        .arg(clients.join(client).join(scenario).with_extension("py"))
        .current_dir(service.dir())
        // Nothing of the host's: neither proxies nor credentials nor other packages.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a PATH"))
        .env("HOME", service.dir())
        .env("PYTHONPATH", &clients)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("REQUESTS_CA_BUNDLE", service.data_dir().join("tls-trust-anchor.pem"))
        .env("ZSCALER_CLIENT_CACHE_ENABLED", "false")
        .env("ZPA_OVERRIDE_URL", format!("https://localhost:{}", service.admin.port()))
        .env("ZPA_CLIENT_ID", member("clientId"))
        .env("ZPA_CLIENT_SECRET", member("clientSecret"))
        .env("ZPA_CUSTOMER_ID", member("customerId"))
        .env("ENROLL_URL", format!("https://localhost:{}/v1/enroll", service.enroll.port()))
        .output()
        .expect("the scenario starts");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{client}/{scenario}: {}\n{said}{complained}", output.status);
    service.assert_healthy();
}

#[test]
fn the_python_sdk_manages_everything_with_the_legacy_sign_in() {
    run("zscaler-sdk-python", "legacy");
}

#[test]
fn the_python_sdk_manages_everything_with_the_oneapi_sign_in() {
    run("zscaler-sdk-python", "oneapi");
}

#[test]
fn pyzscaler_manages_everything() {
    run("pyzscaler", "scenario");
}
