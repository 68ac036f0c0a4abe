//! Which service, as whom, for which customer.

use std::fs;

use serde_json::Value;

use super::{error, json, muster, stderr, stdout};
use crate::support::Service;

fn first_start(service: &Service) -> Value {
    json(&fs::read_to_string(service.data_dir().join("first-start.json")).unwrap())
}

#[test]
fn an_owner_is_taken_from_the_first_start_and_it_is_said() {
    let service = Service::start();
    let output = service.cli(&["customer", "list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("first-start.json"), "{}", stderr(&output));
    assert!(!stderr(&output).contains(first_start(&service)["administrator"]["password"].as_str().unwrap()));
    // What takes no owner does not use it.
    assert_eq!(stderr(&service.cli(&["group", "list"])), "");

    fs::remove_file(service.data_dir().join("first-start.json")).unwrap();
    let output = muster(&["customer", "list", "--data-dir", service.data_dir().to_str().unwrap()]).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    assert!(stderr(&output).contains("MUSTER_USERNAME"), "{}", stderr(&output));
}

#[test]
fn an_administrator_signs_in_with_a_password_from_the_environment_or_a_file() {
    let service = Service::start();
    let administrator = first_start(&service)["administrator"].clone();
    let (username, password) =
        (administrator["username"].as_str().unwrap(), administrator["password"].as_str().unwrap());
    let file = service.dir().join("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    let run = |variables: &[(&str, &str)]| {
        let data_dir = service.data_dir();
        let mut command = muster(&["customer", "list", "--json", "--data-dir", data_dir.to_str().unwrap()]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    for (name, value) in [("MUSTER_PASSWORD", password), ("MUSTER_PASSWORD_FILE", file.to_str().unwrap())] {
        let output = run(&[("MUSTER_USERNAME", username), (name, value)]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert_eq!(json(&stdout(&output)).as_array().unwrap().len(), 1);
    }
    let output = run(&[("MUSTER_USERNAME", username), ("MUSTER_PASSWORD", "not the password")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not accepted with this password"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("not the password"));
    let output = run(&[("MUSTER_USERNAME", username)]);
    assert!(stderr(&output).contains("MUSTER_PASSWORD_FILE"), "{}", stderr(&output));
}

#[test]
fn a_customer_is_chosen_and_others_stay_closed() {
    let service = Service::start();
    let other = service.cli_ok(&["customer", "create", "--name", "Other"]);
    // Not the API client's own: the owner is asked for.
    service.cli_ok(&["group", "create", "--customer", &other, "--kind", "machine", "--name", "Theirs"]);
    assert_eq!(json(&service.cli_ok(&["group", "list", "--json"])), Value::Array(vec![]));
    let theirs = json(&service.cli_ok(&["group", "list", "--json", "--customer", &other]));
    assert_eq!(theirs[0]["name"], "Theirs");

    let client = json(&fs::read_to_string(service.data_dir().join("api-client.json")).unwrap());
    let mut command = muster(&["group", "list", "--data-dir", service.data_dir().to_str().unwrap()]);
    command.env("MUSTER_CLIENT_ID", client["clientId"].as_str().unwrap());
    command.env("MUSTER_CLIENT_SECRET", client["clientSecret"].as_str().unwrap());
    let output = command.env("MUSTER_CUSTOMER_ID", &other).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("resource.not.found"), "{}", stderr(&output));

    let told = error(&service, &["customer", "show", "Nobody"]);
    assert!(told.contains("there is no customer \"Nobody\""), "{told}");
}

#[test]
fn what_a_role_may_not_is_refused() {
    let service = Service::start();
    let made = json(&service.cli_ok(&["api-client", "create", "--name", "reader", "--role", "auditor", "--json"]));
    let run = |arguments: &[&str]| {
        let mut command = muster(arguments);
        command.arg("--data-dir").arg(service.data_dir());
        command.env("MUSTER_CLIENT_ID", made["clientId"].as_str().unwrap());
        command.env("MUSTER_CLIENT_SECRET", made["clientSecret"].as_str().unwrap()).output().unwrap()
    };
    assert_eq!(run(&["group", "list"]).status.code(), Some(0));
    for arguments in [&["group", "create", "--kind", "machine", "--name", "x"][..], &["customer", "list"]] {
        let output = run(arguments);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{arguments:?}");
        assert!(stderr(&output).contains("http status 403"), "{}", stderr(&output));
    }
}
