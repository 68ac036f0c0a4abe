//! A certificate's life in the hands of `muster renew` and `muster agent`.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use muster::clock::{Clock as _, SystemClock};
use rustix::process::Signal;

use super::{Site, record};
use crate::support::agent::serial_number;
use crate::support::service::muster;
use crate::support::wire::Wire;
use crate::support::{Random, eventually};

/// An enrolled device, and nobody at work.
fn enrolled(config: &str) -> Site {
    let site = Site::new(config);
    let mut agent = site.agent(&[]);
    agent.says("notice:Certificate enrolled.");
    assert!(agent.stop().success());
    site
}

fn renew(site: &Site, more: &[&str]) -> Output {
    let mut command = muster();
    command.args(["renew", "--state-dir", site.state().to_str().unwrap()]).args(more);
    if !more.contains(&"--connect") {
        command.args(["--connect", &site.service.enroll.to_string()]);
    }
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn outcome(site: &Site) -> String {
    record(&site.state())["outcome"].as_str().unwrap().to_owned()
}

fn key(site: &Site) -> Vec<u8> {
    fs::read(site.state().join("key.pem")).unwrap()
}

#[test]
fn what_is_not_due_is_left_alone_unless_forced() {
    let site = enrolled("");
    let (serial, old_key) = (serial_number(&site.state()), key(&site));
    let kept = renew(&site, &["--connect", "127.0.0.1:1"]);
    assert_eq!(kept.status.code(), Some(0), "{}", stderr(&kept));
    assert!(stderr(&kept).contains("notice:Renewal is not due, nothing to do. component("), "{}", stderr(&kept));
    assert_eq!(serial_number(&site.state()), serial);

    let renewed = renew(&site, &["--force", "--json"]);
    assert_eq!(renewed.status.code(), Some(0), "{}", stderr(&renewed));
    let lines = stderr(&renewed);
    assert!(lines.contains(&format!("notice:Renew: Connecting to localhost via {}.", site.service.enroll)), "{lines}");
    assert!(lines.contains("notice:Certificate renewed. component("), "{lines}");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&renewed.stdout).unwrap(), record(&site.state()));
    assert_eq!((outcome(&site).as_str(), key(&site) == old_key), ("renewed", true));

    let rekeyed = renew(&site, &["--force", "--rekey"]);
    assert_eq!(rekeyed.status.code(), Some(0), "{}", stderr(&rekeyed));
    assert_eq!((outcome(&site).as_str(), key(&site) == old_key), ("rekeyed", false));
    assert!(!site.state().join("key.next.pem").exists());
    assert_ne!(serial_number(&site.state()), serial);
    assert_eq!(site.uses(), 1);
    site.service.assert_healthy();
}

#[test]
fn exit_codes_say_what_to_do_next() {
    let mut site = enrolled("");
    let missing = muster().args(["renew", "--state-dir"]).arg(site.service.dir().join("none")).output().unwrap();
    assert_eq!(missing.status.code(), Some(1), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("holds no certificate for its key; enroll first"), "{}", stderr(&missing));

    let other = crate::support::Service::start();
    let untrusted = renew(&site, &["--force", "--timeout", "0", "--connect", &other.enroll.to_string()]);
    assert_eq!(untrusted.status.code(), Some(6), "{}", stderr(&untrusted));

    let component = record(&site.state())["componentId"].as_str().unwrap().to_owned();
    site.service.cli_ok(&["component", "disable", &component]);
    let refused = renew(&site, &["--force"]);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    let line = "error:Renewal request failed - http status(403) code(component-disabled) reference(";
    assert!(stderr(&refused).contains(line), "{}", stderr(&refused));

    site.service.cli_ok(&["component", "revoke", &component, "--yes"]);
    let revoked = renew(&site, &["--force"]);
    assert_eq!(revoked.status.code(), Some(3), "{}", stderr(&revoked));
    assert!(stderr(&revoked).contains("code(client-certificate-refused)"), "{}", stderr(&revoked));

    site.service.kill();
    let away = renew(&site, &["--force", "--timeout", "0"]);
    assert_eq!(away.status.code(), Some(5), "{}", stderr(&away));
}

#[test]
fn a_lost_answer_is_repaired_with_either_key_pair() {
    for more in [&["--force"][..], &["--force", "--rekey"]] {
        let site = enrolled("");
        let wire = Wire::that_loses_the_first_answer(site.service.enroll);
        let connect = wire.address.to_string();
        let before = serial_number(&site.state());
        let arguments = [more, &["--timeout", "0", "--connect", &connect]].concat();
        let lost = renew(&site, &arguments);
        assert_eq!(lost.status.code(), Some(5), "{}", stderr(&lost));
        assert_eq!(serial_number(&site.state()), before, "the old one stands");
        let repaired = renew(&site, &arguments);
        assert_eq!(repaired.status.code(), Some(0), "{}", stderr(&repaired));
        assert_eq!(outcome(&site), "replayed");
        assert_ne!(serial_number(&site.state()), before);
        assert_eq!(renew(&site, more).status.code(), Some(0), "and life goes on");
    }
}

/// The certificate that comes again has ended by then; it still leads to the next one.
#[test]
fn an_answer_that_was_lost_for_long_is_repaired() {
    for more in [&["--force"][..], &["--force", "--rekey"]] {
        let mut site = enrolled("[enroll]\nrenew_grace = 600\n");
        site.service.shorten_certificates(1);
        let wire = Wire::that_loses_the_first_answer(site.service.enroll);
        let lost = renew(&site, &[more, &["--timeout", "0", "--connect", &wire.address.to_string()]].concat());
        assert_eq!(lost.status.code(), Some(5), "{}", stderr(&lost));
        let made = SystemClock.now();
        eventually("the end of the certificate", || (SystemClock.now().since(made).as_secs() > 2).then_some(()));
        let repaired = renew(&site, more);
        assert_eq!(repaired.status.code(), Some(0), "{}", stderr(&repaired));
        assert_eq!(outcome(&site), if more.len() == 1 { "renewed" } else { "rekeyed" });
        assert_eq!(site.uses(), 1);
    }
}

#[test]
fn a_deleted_key_does_not_end_renewals() {
    let site = enrolled("");
    site.service.cli_ok(&["key", "delete", "--kind", super::KIND, "k", "--yes"]);
    let renewed = renew(&site, &["--force"]);
    assert_eq!(renewed.status.code(), Some(0), "{}", stderr(&renewed));
}

#[test]
fn the_agent_renews_on_hangup_and_runs_its_command() {
    let site = enrolled("");
    let said = site.service.dir().join("said");
    let command = format!("echo $MUSTER_OUTCOME >> {}", said.display());
    let mut agent = site.agent(&["--on-change", &command, "--rekey"]);
    agent.says("notice:Certificate found.");
    eventually("the command for what was there", || fs::read_to_string(&said).ok().filter(|text| text == "enrolled\n"));
    agent.signal(Signal::HUP);
    agent.says("notice:Renew: Connecting to localhost via ");
    agent.says("notice:Certificate renewed.");
    eventually("the command", || fs::read_to_string(&said).ok().filter(|text| text == "enrolled\nrekeyed\n"));
    assert!(agent.stop().success());
}

/// Kills it in the midst of renewals, with the same key pair and with new ones.
#[test]
fn kills_at_any_moment_leave_a_certificate_with_its_key() {
    let site = enrolled("");
    let mut random = Random::seeded();
    let before = serial_number(&site.state());
    for n in 0..24 {
        let mut agent = site.agent(if n % 2 == 0 { &["--rekey"] } else { &[] });
        agent.says("notice:Certificate found.");
        agent.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(random.below(30)));
        agent.kill();
        serial_number(&site.state());
    }
    let renewed = renew(&site, &["--force"]);
    assert_eq!(renewed.status.code(), Some(0), "{}", stderr(&renewed));
    assert_ne!(serial_number(&site.state()), before);
    assert_eq!(site.uses(), 1, "it is the same component");
    site.service.assert_healthy();
}

#[test]
fn a_revoked_component_says_why_and_asks_its_key() {
    let site = enrolled("");
    let component = record(&site.state())["componentId"].as_str().unwrap().to_owned();
    site.service.cli_ok(&["component", "revoke", &component, "--yes"]);
    let mut agent = site.agent(&[]);
    agent.says("notice:Certificate found.");
    agent.signal(Signal::HUP);
    agent.says("error:Renewal request failed - http status(401) code(client-certificate-refused)");
    agent.says("notice:No valid certificate. Attempting to enroll");
    agent.says("error:Login request failed - http status(403) code(component-revoked)");
    agent.says("notice:Certificate enrollment failed.");
    agent.says("notice:Trying again in ");

    // A deleted component is a new device, if the key has a use for it.
    site.service.cli_ok(&["component", "delete", &component, "--yes"]);
    site.service.cli_ok(&["key", "edit", "--kind", super::KIND, "k", "--max-uses", "2"]);
    agent.signal(Signal::HUP);
    agent.says("notice:Certificate enrolled.");
    assert!(agent.stop().success());
    assert_ne!(record(&site.state())["componentId"].as_str(), Some(component.as_str()));
}

/// A directory restored from a backup of two certificates ago.
#[test]
fn an_older_certificate_leads_back_through_the_key() {
    let site = enrolled("");
    let backup = site.service.dir().join("backup");
    let copied = Command::new("cp").arg("-a").arg(site.state()).arg(&backup).status().unwrap();
    assert!(copied.success());
    for _ in 0..2 {
        assert_eq!(renew(&site, &["--force", "--rekey"]).status.code(), Some(0));
    }
    fs::remove_dir_all(site.state()).unwrap();
    fs::rename(&backup, site.state()).unwrap();
    site.service.cli_ok(&["key", "edit", "--kind", super::KIND, "k", "--allow-re-enrollment"]);
    let mut agent = site.agent(&[]);
    agent.says("notice:Certificate found.");
    agent.signal(Signal::HUP);
    agent.says("notice:Certificate renewal failed.");
    agent.says("notice:Certificate enrolled.");
    assert!(agent.stop().success());
    assert_eq!((outcome(&site).as_str(), site.uses()), ("re-enrolled", 1));
}
