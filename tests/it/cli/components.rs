//! `muster component …`, and what a group or key does to its components, against a real service.

use super::{asked, enroll_device, error, question, rows};
use crate::support::Service;

/// A service with a key for App Connectors and these devices enrolled.
fn with_components(names: &[&str]) -> (Service, Vec<String>) {
    let service = Service::start();
    service.create_group("app-connector", "HQ");
    let key = service.create_key("app-connector", "HQ", "k", &["--max-uses", "10"]);
    let ids = names.iter().map(|name| enroll_device(&service, &key, name)).collect();
    (service, ids)
}

#[test]
fn components_are_listed_shown_and_edited() {
    let (service, ids) = with_components(&["one", "two"]);
    let table = service.cli_ok(&["component", "list", "--sort", "name:desc"]);
    let rows = rows(&table);
    assert_eq!(rows[0][..6], ["ID", "KIND", "NAME", "GROUP", "KEY", "HOSTNAME"]);
    assert_eq!(rows[1][..5], [ids[1].as_str(), "app-connector", "k-2", "HQ", "k"]);
    assert_eq!(rows.len(), 3);
    let found = asked(&service, &["component", "list", "--kind", "app-connector", "--search", "name EQ k-1"]);
    assert_eq!((found.as_array().unwrap().len(), &found[0]["id"]), (1, &ids[0].as_str().into()));

    let edited = asked(&service, &["component", "edit", "k-1", "--name", "attic", "--description", "north"]);
    assert_eq!((&edited["name"], &edited["kind"]), (&"attic".into(), &"app-connector".into()));
    let shown = service.cli_ok(&["component", "show", "attic"]);
    for line in [
        "name                 attic",
        "group                HQ",
        "key                  k",
        "description          north",
        "fingerprint          one-------------",
        "renewed              never",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line:?} in {shown}");
    }
    let pem = service.cli_ok(&["component", "certificate", &ids[0]]);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && pem.ends_with("-----END CERTIFICATE-----"), "{pem}");
    assert!(error(&service, &["component", "show", "none"]).starts_with("there is no component \"none\""));
}

#[test]
fn components_are_disabled_revoked_and_deleted() {
    let (service, ids) = with_components(&["one", "two", "three"]);
    for (verb, enabled) in [("disable", false), ("enable", true)] {
        service.cli_ok(&["component", verb, "k-1"]);
        assert_eq!(asked(&service, &["component", "show", "k-1"])["enabled"], enabled);
    }
    assert!(question(&service, &["component", "revoke", "k-1"]).contains("cannot be undone"));
    service.cli_ok(&["component", "revoke", "k-1", "--yes"]);
    assert_eq!(asked(&service, &["component", "show", &ids[0]])["state"], "revoked");

    assert!(question(&service, &["component", "delete", "k-2"]).contains("its use stays taken"));
    service.cli_ok(&["component", "delete", "k-2", "--yes"]);
    assert_eq!(service.uses("app-connector", "k"), 3);
    assert!(question(&service, &["component", "delete", "k-3", "--release-use"]).contains("its use is given back"));
    service.cli_ok(&["component", "delete", "k-3", "--release-use", "--yes"]);
    assert_eq!(service.uses("app-connector", "k"), 2);
    service.assert_healthy();
}

#[test]
fn a_component_is_attached_to_another_key() {
    let (service, _) = with_components(&["one"]);
    service.create_key("app-connector", "HQ", "other", &["--max-uses", "1"]);
    service.cli_ok(&["component", "attach", "k-1", "--key", "other"]);
    assert_eq!(asked(&service, &["component", "show", "k-1"])["provisioningKeyName"], "other");
    assert_eq!(service.uses("app-connector", "other"), 0, "it takes no use");
    let told = error(&service, &["component", "attach", "k-1", "--key", "none"]);
    assert!(told.contains("there is no app-connector provisioning key \"none\""), "{told}");
}

#[test]
fn a_group_goes_with_all_that_it_has_only_by_force() {
    let (service, _) = with_components(&["one", "two"]);
    assert!(error(&service, &["group", "delete", "HQ", "--yes"]).contains("resource.referenced"));
    let told = question(&service, &["group", "delete", "HQ", "--force"]);
    assert!(told.contains("its keys (1)") && told.contains("its components (2)"), "{told}");
    service.cli_ok(&["group", "delete", "HQ", "--force", "--yes"]);
    assert_eq!(asked(&service, &["component", "list"]), serde_json::json!([]));
    service.assert_healthy();
}

#[test]
fn a_key_takes_its_components_along_when_asked() {
    let (service, ids) = with_components(&["one"]);
    assert!(question(&service, &["key", "delete", "k", "--revoke"]).contains("uses: 1"));
    service.cli_ok(&["key", "delete", "k", "--revoke", "--yes"]);
    assert_eq!(asked(&service, &["component", "show", &ids[0]])["state"], "revoked");
}

#[test]
fn a_clean_up_is_set_and_shown() {
    let service = Service::start();
    let clean_up = |more: &[&str]| service.cli_ok(&[&["component", "clean-up", "--kind", "machine"], more].concat());
    assert_eq!(clean_up(&[]), "machine: components are not cleaned up.");
    assert_eq!(clean_up(&["--off"]), "machine: components are not cleaned up.");
    assert!(
        clean_up(&["--after", "30"])
            .contains("30 days after their certificate ended unrenewed; disabled ones are left")
    );
    assert!(
        clean_up(&["--include-disabled"])
            .contains("30 days after their certificate ended unrenewed; disabled ones too")
    );
    assert!(clean_up(&["--after", "5", "--spare-disabled"]).contains("5 days"));
    assert_eq!(asked(&service, &["component", "clean-up", "--kind", "machine"])["frequencyInterval"], "5");
    assert_eq!(clean_up(&["--off"]), "machine: components are not cleaned up.");
    assert!(service.cli_ok(&["component", "clean-up", "--kind", "app-connector"]).contains("not cleaned up"));
    let output = service.cli(&["component", "clean-up", "--kind", "app-connector", "--include-disabled"]);
    assert_eq!(output.status.code(), Some(2), "there is none to change");
}
