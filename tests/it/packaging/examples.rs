//! What makes connectors in a cloud: user data for cloud-init, and Terraform's example (played in `clients/terraform.rs`).

use std::fs;
use std::process::{Command, Output};

use super::repository;
use crate::support::tools::{deb_tool, python};

/// cloud-init's own check of user data.
fn check(user_data: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("user-data.yaml");
    fs::write(&file, user_data).unwrap();
    Command::new(python("packaging"))
        .args(["-W", "ignore", "-m", "cloudinit.config.schema", "--config-file"])
        .arg(&file)
        .env("PYTHONPATH", deb_tool("cloud-init", "usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("it starts")
}

fn connector() -> String {
    fs::read_to_string(repository("packaging/cloud-init/connector.yaml")).expect("the example")
}

#[test]
fn cloud_init_takes_the_user_data() {
    let output = check(&connector());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The check can fail.
    assert!(!check(&connector().replace("permissions: \"0600\"", "permissions: 600")).status.success());
}

/// What the user data writes is what the agent's unit reads, before the agent starts.
#[test]
fn the_user_data_fits_the_agents_unit() {
    let user_data = connector();
    let unit = fs::read_to_string(repository("packaging/systemd/muster-agent.service")).unwrap();
    let credential = unit.lines().find_map(|line| line.strip_prefix("LoadCredential=")).expect("a credential");
    let (_, path) = credential.split_once(':').expect("a file");
    assert!(user_data.contains(&format!("  - path: {path}\n")), "{path}");
    assert!(user_data.contains("[systemctl, enable, --now, muster-agent.service]"));
    assert_eq!(user_data.matches("\n      PROVISIONING_KEY\n").count(), 1);
}
