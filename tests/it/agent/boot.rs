//! From a device's first boot to its first certificate.

use std::fs;
use std::process::Command;
use std::time::Duration;

use muster::domain::key_string::{Inspection, inspect};
use muster::domain::{KeySecret, KeyVersion};
use rustix::process::{Resource, Rlimit, Signal, prlimit};

use super::{Site, record};
use crate::support::agent::{AgentProcess, serial_number};
use crate::support::{Random, Service, eventually, faketime};

#[test]
fn it_enrolls_once_and_keeps_the_certificate() {
    let site = Site::new("");
    let mut agent = site.agent(&["--remove-key-file"]);
    agent.says("notice:Checking Enrollment");
    agent.says("notice:No valid certificate. Attempting to enroll");
    agent.says(&format!("notice:Enroll: Connecting to localhost via {}.", site.service.enroll));
    agent.says("notice:Certificate enrolled. component(");
    assert!(agent.stop().success());
    assert!(!site.key_file().exists(), "the key is not needed any more");
    let serial = serial_number(&site.state());

    let mut again = site.agent(&[]);
    let line = again.says("notice:Certificate found. component(");
    let record = record(&site.state());
    assert!(line.contains(record["notAfter"].as_str().unwrap()), "{line}");
    assert!(again.stop().success());
    assert_eq!((serial_number(&site.state()), site.uses()), (serial, 1));
}

#[test]
fn it_waits_for_a_service_that_is_away() {
    let mut site = Site::new("");
    site.service.kill();
    let mut agent = site.agent(&[]);
    agent.says("error:Login request failed - server(localhost) is unreachable");
    agent.says("notice:Trying again in ");
    site.service.launch();
    agent.says("notice:Certificate enrolled.");
}

#[test]
fn it_waits_for_a_key() {
    let site = Site::new("");
    fs::remove_file(site.key_file()).unwrap();
    let mut agent = site.agent(&[]);
    agent.says("provision_key: No such file");
    site.put_key("\n");
    agent.signal(Signal::HUP);
    agent.says("error:no provisioning key");
    site.put_key(&site.key);
    agent.signal(Signal::HUP);
    agent.says("notice:Certificate enrolled.");
}

#[test]
fn a_wrong_key_is_told_as_field_engineers_know_it_and_tried_again_after_an_hour() {
    let site = Site::new("");
    let Inspection::Usable { cloud, pin } = inspect(&site.key) else { panic!("the service makes good keys") };
    let unknown = KeySecret::generate(KeyVersion::Bootstrap, &cloud, pin);
    site.put_key(unknown.expose());
    let mut agent = site.agent(&[]);
    let secret = unknown.expose().rsplit('|').next().unwrap();
    agent.says(&format!(
        "error:Login request failed - http status(401) nonce(<3|localhost:8443|{}...>) fingerprint(<oXaN4RRiMc...>)",
        &secret[..7],
    ));
    agent.says("notice:Certificate enrollment failed.");
    let line = agent.says("notice:Trying again in ");
    let seconds: u64 = line.split(' ').nth(3).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!((2_700..=4_500).contains(&seconds), "{line}");

    site.put_key(&site.key);
    agent.signal(Signal::HUP);
    agent.says("notice:Certificate enrolled.");
}

#[test]
fn kills_at_any_moment_take_one_use() {
    let site = Site::new("");
    let mut random = Random::seeded();
    for _ in 0..15 {
        let agent = site.agent(&[]);
        std::thread::sleep(Duration::from_millis(random.below(60)));
        agent.kill();
    }
    let mut agent = site.agent(&[]);
    // Whichever of them came so far.
    agent.says("notice:Certificate ");
    assert!(agent.stop().success());
    serial_number(&site.state());
    assert_eq!(site.uses(), 1);
    site.service.assert_healthy();
}

#[test]
fn a_directory_has_one_agent() {
    let site = Site::new("");
    let mut first = site.agent(&[]);
    first.says("notice:Certificate enrolled.");
    let (status, said) = site.agent(&[]).ended();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("error: another muster works on "), "{said}");
}

#[test]
fn the_key_does_not_come_from_stdin() {
    let site = Site::new("");
    let mut command = crate::support::service::muster();
    command.args(site.arguments("agent")).args(["--key-file", "-"]);
    let (status, said) = AgentProcess::start(command).ended();
    assert_eq!(status.code(), Some(2), "{said}");
}

#[test]
fn a_command_hears_of_the_certificate_and_not_of_the_key() {
    let site = Site::new("");
    let said = site.service.dir().join("said");
    let command = format!("env > {0}.new; mv {0}.new {0}", said.display());
    let mut agent = site.command(&["--on-change", &command]);
    agent.env("MUSTER_PROVISIONING_KEY", &site.key).env("CREDENTIALS_DIRECTORY", "/x");
    let agent = AgentProcess::start(agent);
    let environment = eventually("the command", || fs::read_to_string(&said).ok());
    assert!(agent.stop().success());
    let record = record(&site.state());
    for (name, value) in [
        ("MUSTER_OUTCOME", "enrolled"),
        ("MUSTER_COMPONENT_ID", record["componentId"].as_str().unwrap()),
        ("MUSTER_SERIAL_NUMBER", record["serialNumber"].as_str().unwrap()),
        ("MUSTER_NOT_AFTER", record["notAfter"].as_str().unwrap()),
        ("MUSTER_CERT_FILE", site.state().join("cert.pem").to_str().unwrap()),
        ("MUSTER_KEY_FILE", site.state().join("key.pem").to_str().unwrap()),
    ] {
        assert!(environment.lines().any(|line| line == format!("{name}={value}")), "{name}: {environment}");
    }
    let secret = site.key.rsplit('|').next().unwrap();
    assert!(!environment.contains(secret) && !environment.contains("CREDENTIALS_DIRECTORY"), "{environment}");
}

/// A limit of what a file may take does what a full disk does: the key pair fits, the certificate does not.
#[test]
fn a_full_disk_is_waited_for_and_loses_nothing() {
    let site = Site::new("");
    let agent = site.command(&[]);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -S -f 1; exec "$0" "$@""#]).arg(agent.get_program());
    limited.args(agent.get_args()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let mut agent = AgentProcess::start(limited);
    agent.says("File too large");
    agent.says("notice:Trying again in ");
    let key = fs::read(site.state().join("key.pem")).unwrap();
    let left: Vec<_> = fs::read_dir(site.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".new")), "{left:?}");

    prlimit(Some(agent.pid()), Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    agent.signal(Signal::HUP);
    agent.says("notice:Certificate enrolled.");
    assert!(agent.stop().success());
    assert_eq!(fs::read(site.state().join("key.pem")).unwrap(), key);
    assert_eq!(record(&site.state())["outcome"], "replayed");
    assert_eq!(site.uses(), 1);
}

fn at(offset: &str, mut agent: Command) -> AgentProcess {
    agent.env("LD_PRELOAD", faketime::library()).env("FAKETIME", offset);
    AgentProcess::start(agent)
}

#[test]
fn a_clock_that_is_off_is_told_and_does_not_hinder() {
    let site = Site::new("");
    let mut agent = at("+7200s", site.command(&[]));
    let line = agent.says("notice:Clock differs by ");
    assert!(line.ends_with(" s: it is ahead of the server's."), "{line}");
    agent.says("notice:Certificate enrolled.");
    assert!(agent.stop().success());
}

#[test]
fn a_clock_that_makes_the_server_look_wrong_is_named() {
    let site = Site::new("");
    let mut agent = at("-400d", site.command(&[]));
    agent.says("error:Login request failed - server(localhost) is not trusted: ");
    agent.says("notice:This machine's clock says(202");
    agent.says("notice:Trying again in ");
    assert!(agent.stop().success());
    assert_eq!(site.uses(), 0);
}

#[test]
fn a_service_of_the_same_name_is_not_trusted() {
    let site = Site::new("");
    let other = Service::start();
    let mut agent = site.agent(&["--connect", &other.enroll.to_string()]);
    agent.says("error:Login request failed - server(localhost) is not trusted: ");
    agent.says("notice:Trying again in ");
    assert!(agent.stop().success());
}
