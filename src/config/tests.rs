use std::num::NonZeroU32;

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::layers::variable_of;
use super::*;
use crate::store::postgres::PostgresSettings;

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn from_file(text: &str) -> Inputs {
    Inputs { file: Some(("muster.toml".into(), text.to_owned())), ..Inputs::default() }
}

fn problems(inputs: &Inputs) -> Vec<String> {
    inputs.load().unwrap_err().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_says_the_defaults() {
    let example: Shape = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(example, Shape::default());
    let loaded = from_file(EXAMPLE).load().unwrap();
    assert_eq!(loaded.settings, Inputs::default().load().unwrap().settings);
}

#[test]
fn the_example_names_every_key_and_its_variable() {
    let example: Table = EXAMPLE.parse().unwrap();
    let code = Table::try_from(Shape::default()).unwrap();
    let keys = |table: &Table| -> Vec<String> {
        let keys = table.iter().flat_map(|(name, value)| match value {
            Value::Table(section) => section.keys().map(|key| format!("{name}.{key}")).collect(),
            _ => vec![name.clone()],
        });
        keys.collect()
    };
    assert_eq!(keys(&example), keys(&code));
    for key in keys(&code) {
        let variable = format!("nvironment {}.", variable_of(&key));
        assert!(EXAMPLE.contains(&variable), "{variable}");
    }
}

#[test]
fn defaults_are_loopback_and_the_contracts_ports() {
    let settings = Inputs::default().load().unwrap().settings;
    assert_eq!(settings.enroll.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(settings.admin.listen.to_string(), "127.0.0.1:8444");
    assert_eq!(settings.metrics.listen.unwrap().to_string(), "127.0.0.1:9090");
    assert_eq!(settings.cloud.as_str(), "localhost:8443");
    assert_eq!(settings.enroll.failures_per_second, NonZeroU32::new(20));
    assert_eq!(settings.enroll.tls, None);
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let mut inputs =
        from_file("[admin]\nlisten = \"127.0.0.1:1\"\n[enroll]\nlisten = \"127.0.0.1:1\"\nin_flight_max = 7");
    inputs.environment = vec![
        ("MUSTER_ADMIN_LISTEN".into(), "127.0.0.1:2".into()),
        ("MUSTER_ENROLL_LISTEN".into(), "127.0.0.1:2".into()),
        ("MUSTER_ENROLL_TRUSTED_PROXIES".into(), "192.0.2.1, 2001:db8::/32".into()),
        ("MUSTER_CERTIFICATES_SVID_EKU".into(), "true".into()),
        ("PATH".into(), "/bin".into()),
    ];
    inputs.flags = vec![("--admin-listen", "admin.listen", "127.0.0.1:3".into())];
    let loaded = inputs.load().unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.admin.listen.port(), 3);
    assert_eq!(settings.enroll.listen.port(), 2);
    assert_eq!(settings.enroll.in_flight_max, 7);
    assert_eq!(settings.enroll.trusted_proxies.len(), 2);
    assert!(settings.certificates.svid_eku);
    let effective = loaded.to_toml();
    assert!(effective.contains("listen = \"127.0.0.1:3\" # --admin-listen\n"), "{effective}");
    assert!(effective.contains("listen = \"127.0.0.1:2\" # MUSTER_ENROLL_LISTEN\n"), "{effective}");
    assert!(effective.contains("in_flight_max = 7 # muster.toml\n"), "{effective}");
    assert!(effective.contains("queue_max = 4096 # default\n"), "{effective}");
    assert_eq!(from_file(&effective).load().unwrap().settings, *settings);
}

#[test]
fn an_unknown_key_is_named_with_what_is_accepted() {
    let found = problems(&from_file("colour = 1\n[metrics]\nlisten = \"\"\nport = 1\n[metric]\nlisten = \"\""));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("colour (muster.toml): there is no such key; accepted here: "), "{}", found[0]);
    assert!(found[1].starts_with("metric (muster.toml): there is no such key"), "{}", found[1]);
    assert!(found[1].contains("metrics"), "{}", found[1]);
    assert_eq!(found[2], "metrics.port (muster.toml): there is no such key; accepted here: listen");
}

#[test]
fn an_unknown_variable_with_our_prefix_is_reported_and_not_fatal() {
    let environment = vec![
        ("MUSTER_ENROLL_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned()),
        ("MUSTER_PROVISIONING_KEY".to_owned(), "x".to_owned()),
    ];
    let loaded = Inputs { environment, ..Inputs::default() }.load().unwrap();
    assert_eq!(loaded.unknown_variables, ["MUSTER_ENROLL_SERVICE_HOST"]);
}

#[test]
fn wrong_values_name_key_origin_value_and_what_is_accepted() {
    for (text, expected) in [
        (
            "cloud = \"Example.com\"",
            "cloud (muster.toml): found \"Example.com\"; accepted: a lower-case DNS name, an IPv4 address or [IPv6], optionally with :port",
        ),
        ("data_dir = \"\"", "data_dir (muster.toml): found \"\"; accepted: a path"),
        ("drain_timeout = 3601", "drain_timeout (muster.toml): found 3601; accepted: a number from 0 to 3600"),
        ("drain_timeout = -1", "drain_timeout (muster.toml): found -1; accepted: a number from 0 to 3600"),
        ("drain_timeout = \"30s\"", "drain_timeout (muster.toml): found \"30s\"; accepted: a whole number"),
        ("enroll = 1", "enroll (muster.toml): found 1; accepted: a section"),
        (
            "[enroll]\nlisten = \"localhost\"",
            "enroll.listen (muster.toml): found \"localhost\"; accepted: an address and a port such as 127.0.0.1:8443 or [::]:8443",
        ),
        (
            "[enroll]\ntls_key = \"k.pem\"",
            "enroll.tls_certificate (default): found nothing; accepted: a PEM file, as enroll.tls_key is set; or neither of the two",
        ),
        (
            "[enroll]\npublic_url = \"ftp://x\"",
            "enroll.public_url (muster.toml): found \"ftp://x\"; accepted: nothing, or http:// or https:// with a host and optionally a port",
        ),
        ("[admin]\ntrusted_proxies = [1]", "admin.trusted_proxies (muster.toml): found [1]; accepted: a list of texts"),
        (
            "[store]\nengine = \"redis\"",
            "store.engine (muster.toml): found \"redis\"; accepted: \"embedded\" or \"postgres\"",
        ),
        (
            "[store]\nengine = \"postgres\"",
            "store.url (default): found nothing; accepted: postgres://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE, with sslmode and other parameters behind a ?; or store.url_file, a file that holds it",
        ),
        (
            "[store]\nengine = \"postgres\"\nurl = \"postgres://db\"\nurl_file = \"f\"",
            "store.url_file (muster.toml): found a file; accepted: nothing, as store.url is set; or the other way round",
        ),
        (
            "[store]\nengine = \"postgres\"\nurl = \"postgres://db\"\nconnections_max = 3",
            "store.connections_max (muster.toml): found 3; accepted: a number from 4 to 500",
        ),
        (
            "[store]\nconnections_max = 501",
            "store.connections_max (muster.toml): found 501; accepted: a number from 4 to 500",
        ),
        (
            "[store]\nca_file = \"ca.pem\"",
            "store.ca_file (muster.toml): found \"ca.pem\"; accepted: nothing, as the embedded store lives in data_dir; engine = \"postgres\" uses it",
        ),
        (
            "[certificates]\nlifetime_days = 0",
            "certificates.lifetime_days (muster.toml): found 0; accepted: a number from 1 to 3650",
        ),
        (
            "[certificates]\ntrust_domain = \"A\"",
            "certificates.trust_domain (muster.toml): found \"A\"; accepted: nothing, or 1 to 255 lower-case letters, digits, '.', '-' and '_'",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "log.level (muster.toml): found \"loud\"; accepted: \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        ),
        ("[log]\nformat = \"xml\"", "log.format (muster.toml): found \"xml\"; accepted: \"text\" or \"json\""),
    ] {
        assert_eq!(problems(&from_file(text)), [expected]);
    }
}

#[test]
fn a_wrong_number_in_the_environment_names_the_variable() {
    let environment = vec![("MUSTER_STORE_QUEUE_MAX".to_owned(), "many".to_owned())];
    let inputs = Inputs { environment, ..Inputs::default() };
    let expected = "store.queue_max (MUSTER_STORE_QUEUE_MAX): found \"many\"; accepted: a whole number";
    assert_eq!(problems(&inputs), [expected]);
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems(&from_file("cloud = \"\"\n[log]\nlevel = \"\"\n[store]\nqueue_max = 0\nx = 1"));
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let found = problems(&from_file("\n[enroll\n"));
    assert!(found[0].starts_with("muster.toml: not TOML: ") && found[0].contains("line 2"), "{found:?}");
}

const PASSWORD: &str = "canary";

fn database(settings: &Settings) -> &PostgresSettings {
    match &settings.store.engine {
        StoreEngine::Postgres(database) => database,
        StoreEngine::Embedded => panic!("the settings name a database"),
    }
}

#[test]
fn a_database_is_named_in_the_words_of_libpq() {
    let url = format!("postgres://u:{PASSWORD}@a,b/muster?sslmode=verify-full&sslrootcert=/etc/ca.pem");
    let mut inputs = from_file("[store]\nengine = \"postgres\"");
    inputs.environment = vec![("MUSTER_STORE_URL".into(), url)];
    let loaded = inputs.load().unwrap();
    let expected = PostgresSettings {
        url: Zeroizing::new(format!("postgres://u:{PASSWORD}@a,b/muster?sslmode=require")),
        ca_file: Some("/etc/ca.pem".into()),
        connections_max: 16,
    };
    assert!(*database(&loaded.settings) == expected);
    inputs.file = Some(("f".into(), "[store]\nengine = \"postgres\"\nca_file = \"/ours.pem\"".into()));
    assert_eq!(database(&inputs.load().unwrap().settings).ca_file, Some("/ours.pem".into()));
}

#[test]
fn the_address_of_the_database_comes_from_a_file_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    let text = format!("[store]\nengine = \"postgres\"\nurl_file = {path:?}");
    let missing = problems(&from_file(&text));
    assert!(missing[0].starts_with("store.url_file (muster.toml): found \"/"), "{missing:?}");
    assert!(missing[0].ends_with("accepted: a file that holds the address"), "{missing:?}");
    std::fs::write(&path, format!("postgres://u:{PASSWORD}@db/muster\n")).unwrap();
    let settings = from_file(&text).load().unwrap().settings;
    assert_eq!(*database(&settings).url, format!("postgres://u:{PASSWORD}@db/muster"));
    std::fs::write(&path, PASSWORD).unwrap();
    let expected = format!(
        "store.url_file (muster.toml): found an address that cannot be used; accepted: {}",
        database_address::FORM
    );
    assert_eq!(problems(&from_file(&text)), [expected]);
}

#[test]
fn a_password_in_an_address_is_never_shown() {
    let url = format!("postgres://muster:{PASSWORD}@db/muster");
    let given = from_file(&format!("[store]\nengine = \"postgres\"\nurl = \"{url}\""));
    let loaded = given.load().unwrap();
    assert!(loaded.to_toml().contains("url = \"...\" # muster.toml\n"), "{}", loaded.to_toml());
    let shown = [loaded.to_toml(), format!("{loaded:?}")];
    assert!(!shown.concat().contains(PASSWORD), "{shown:?}");
    for text in [
        format!("[store]\nurl = \"{url}\""),
        format!("[store]\nengine = \"postgres\"\nurl = \"{url}?sslmode=allow\""),
        format!("[store]\nengine = \"postgres\"\nurl = \"mysql://u:{PASSWORD}@db\""),
        format!("[store]\nengine = \"postgres\"\nurl_file = \"{url}\""),
        format!("[store]\nengine = \"postgres\"\nurl = [\"{url}\"]"),
        format!("store = \"{url}\""),
        format!("[store]\nurl = \"{url}"),
        format!("[store]\nurl = {url}"),
        format!("[store]\nurl = \"{url}\" \"{url}\""),
    ] {
        let error = from_file(&text).load().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("store") || told.contains("line 2, column "), "{told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
}

#[test]
fn nothing_switches_the_metrics_listener_and_the_failure_limit_off() {
    let settings = from_file("[metrics]\nlisten = \"\"\n[enroll]\nfailures_per_second = 0").load().unwrap().settings;
    assert_eq!(settings.metrics.listen, None);
    assert_eq!(settings.enroll.failures_per_second, None);
}
