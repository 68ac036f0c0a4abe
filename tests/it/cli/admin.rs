//! `muster admin recover`: back in when nobody knows an owner's password.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::{muster, stderr};
use crate::api::support::Client;
use crate::support::Service;

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_gets_a_new_password_while_the_service_is_stopped() {
    let mut service = Service::start();
    let owner = Client::owner(&service).await;
    let refused = service.cli(&["admin", "recover"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("is in use by process"), "{}", stderr(&refused));
    assert!(service.stop().success());

    let refused = service.cli(&["admin", "recover", "--username", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("the owners are: admin"), "{}", stderr(&refused));
    let done = service.cli(&["admin", "recover", "--username", "ADMIN"]);
    assert!(done.status.success() && done.stdout.is_empty(), "{}", stderr(&done));
    let file = service.data_dir().join("recovered.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let recovered: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let password = recovered["password"].as_str().unwrap();
    assert!(!stderr(&done).contains(password), "nobody watches, so it is not told");

    service.launch();
    let anybody = Client::of(&service, "0");
    let mut before = Client::of(&service, "0");
    before.token = owner.token;
    assert_eq!(before.get("administrators").await.status, 401, "its sessions have ended");
    let after = anybody.signed_in("admin", password).await;
    assert_eq!(after.get("auditEvents?search=action+EQ+recover").await.json()["totalCount"], "1");
    service.assert_healthy();
}

#[test]
fn without_a_store_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let output = muster(&["admin", "recover", "--data-dir", data_dir.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no store"), "{}", stderr(&output));
    assert!(!data_dir.exists());
}
