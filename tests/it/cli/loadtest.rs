//! `muster loadtest` against a real service.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::{json, muster, stderr, stdout, with_stdin};
use crate::support::Service;
use crate::support::patience::eventually;

const KIND: &str = "machine";

fn service() -> Service {
    let service = Service::start();
    service.create_group(KIND, "Load");
    service
}

/// `muster loadtest --json`, the key on stdin, calling the service where it is.
fn loadtest(service: &Service, more: &[&str]) -> Command {
    let mut command = muster(&["loadtest", "--json", "--key-file", "-"]);
    command.arg("--connect").arg(service.enroll.to_string()).args(more);
    command
}

fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {report}"))
}

fn report(output: &Output) -> Value {
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", stderr(output));
    json(&stdout(output))
}

/// `member` or `member/member`, with what its value is; `null` for what may be absent.
fn shape(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let below = |name| if path.is_empty() { String::clone(name) } else { format!("{path}/{name}") };
            members.iter().for_each(|(name, value)| shape(value, &below(name), into));
        }
        Value::Array(items) => match items.first() {
            Some(item) => shape(item, &format!("{path}[]"), into),
            None => into.push(format!("{path}[]")),
        },
        _ => into.push(path.to_owned()),
    }
}

#[test]
fn every_device_gets_in_and_is_found_again() {
    let service = service();
    let key = service.create_key(KIND, "Load", "k", &["--max-uses", "40"]);
    let file = service.dir().join("report.json");
    let more = ["--devices", "40", "--concurrency", "8", "--name", "first", "--yes", "--from", "127.1.0.0/29"];
    let output = with_stdin(loadtest(&service, &[&more[..], &["--report", file.to_str().unwrap()]].concat()), &key);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = report(&output);
    assert_eq!(json(&fs::read_to_string(file).unwrap()), report);
    for (pointer, expected) in [
        ("/schemaVersion", 1),
        ("/plan/sources", 6),
        ("/devices/started", 40),
        ("/devices/enrolled", 40),
        ("/attempts/total", 40),
        ("/deviceLatencyMs/count", 40),
        ("/attemptLatencyMs/count", 40),
    ] {
        assert_eq!(number(&report, pointer), expected, "{pointer}");
    }
    assert_eq!(service.uses(KIND, "k"), 40);

    // As it says at the end.
    let search = "fingerprint STARTSWITH loadtest-first-";
    assert!(stderr(&output).contains(&format!("muster component list --search \"{search}\"")), "{}", stderr(&output));
    let found = json(&service.cli_ok(&["component", "list", "--json", "--search", search]));
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 40);
    let mut sources: Vec<_> = found.iter().map(|component| component["remoteAddress"].as_str().unwrap()).collect();
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), 6, "{sources:?}");
    service.cli_ok(&["group", "delete", "--force", "--yes", "--kind", KIND, "Load"]);
    assert_eq!(service.cli_ok(&["component", "list", "--json"]), "[]");
}

#[test]
fn an_exhausted_key_is_counted_and_ends_with_1() {
    let service = service();
    let key = service.create_key(KIND, "Load", "k", &["--max-uses", "5"]);
    let output = with_stdin(loadtest(&service, &["--devices", "12", "--yes"]), &key);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = report(&output);
    assert_eq!((number(&report, "/devices/enrolled"), number(&report, "/devices/refused")), (5, 7));
    let refusal = &report["refusals"][0];
    assert_eq!(refusal.as_object().unwrap().len(), 4, "{refusal}");
    assert_eq!((number(refusal, "/status"), refusal["code"].as_str()), (403, Some("key-exhausted")));
    assert_eq!((number(refusal, "/attempts"), number(refusal, "/devices")), (7, 7));
    assert_eq!(number(&report, "/attempts/retried"), 0, "a final refusal is not repeated");
}

#[test]
fn keys_of_several_files_and_lines_take_turns() {
    let service = service();
    let keys: Vec<_> =
        ["a", "b", "c"].iter().map(|name| service.create_key(KIND, "Load", name, &["--max-uses", "4"])).collect();
    let file = service.dir().join("keys");
    fs::write(&file, format!("{}\n\n {}\r\n", keys[0], keys[1])).unwrap();
    let more = ["--key-file", file.to_str().unwrap(), "--devices", "12", "--yes"];
    let output = with_stdin(loadtest(&service, &more), &keys[2]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["a", "b", "c"] {
        assert_eq!(service.uses(KIND, name), 4, "{name}");
    }
    assert!(stderr(&output).contains("can be read by others"), "{}", stderr(&output));
}

#[test]
fn devices_outlast_a_restart() {
    let mut service = service();
    service.keep_enroll_address();
    let key = service.create_key(KIND, "Load", "k", &[]);
    let command = loadtest(&service, &["--rate", "25", "--spacing", "even", "--duration", "8", "--yes"]);
    let running = start(command, &key);
    eventually("some devices are in", || (service.uses(KIND, "k") > 20).then_some(()));
    service.kill();
    service.launch();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let report = report(&output);
    assert!(number(&report, "/attempts/failed") > 0, "{report}");
    assert_eq!(number(&report, "/attempts/failed"), number(&report, "/attempts/retried"));
    assert_eq!(number(&report, "/devices/started"), 200);
    assert_eq!(service.uses(KIND, "k"), 200, "an answer that was lost came again");
    service.assert_healthy();
}

fn start(mut command: Command, key: &str) -> Child {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    child
}

#[test]
fn a_signal_ends_it_early_with_the_report() {
    let service = service();
    let key = service.create_key(KIND, "Load", "k", &[]);
    for (signal, more) in [("INT", &["--rate", "20", "--duration", "3600"][..]), ("TERM", &["--duration", "3600"])] {
        let before = service.uses(KIND, "k");
        let running = start(loadtest(&service, &[more, &["--yes"]].concat()), &key);
        eventually("some devices are in", || (service.uses(KIND, "k") > before + 5).then_some(()));
        let kill = Command::new("kill").arg(format!("-{signal}")).arg(running.id().to_string()).status().unwrap();
        assert!(kill.success());
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal}: {}", stderr(&output));
        let report = report(&output);
        assert_eq!(report["ended"], "interrupted");
        let sum: u64 = ["enrolled", "replayed", "refused", "failed", "unfinished"]
            .iter()
            .map(|member| number(&report, &format!("/devices/{member}")))
            .sum();
        assert_eq!(number(&report, "/devices/started"), sum, "{report}");
    }
}

#[test]
fn nobody_asked_nothing_done() {
    let service = service();
    let key = service.create_key(KIND, "Load", "k", &[]);
    let output = with_stdin(loadtest(&service, &["--devices", "1"]), &key);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("real components on localhost:8443") && text.contains("add --yes"), "{text}");
    assert_eq!((stdout(&output), service.uses(KIND, "k")), (String::new(), 0));
}

#[test]
fn what_cannot_begin_says_why_and_sends_nobody() {
    let (ours, other) = (service(), Service::start());
    let key = ours.create_key(KIND, "Load", "k", &[]);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let connect = other.enroll.to_string();
    let earlier = ours.dir().join("earlier.json");
    fs::write(&earlier, "{}").unwrap();
    let report = ["--report", earlier.to_str().unwrap()];
    let damaged = &key[..key.len() - 1];
    for (key, more, code, expected) in [
        (damaged, &[][..], 3, "error: key 1 of 1: the provisioning key is damaged, copy it again"),
        (&key, &["--connect", &elsewhere][..], 5, "error: no device was sent: localhost is unreachable: "),
        (&key, &["--connect", &connect][..], 6, "error: no device was sent: localhost is not trusted: "),
        (&key, &["--from", "192.0.2.1"][..], 5, "error: no device was sent: localhost is unreachable: "),
        ("", &[][..], 1, "error: - holds no provisioning key"),
    ] {
        let output = with_stdin(loadtest(&ours, &[&["--devices", "3", "--yes"], &report[..], more].concat()), key);
        assert_eq!(output.status.code(), Some(code), "{expected}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{expected}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    for more in [&[][..], &["--devices", "0"], &["--devices", "1", "--rate", "0"], &["--devices", "1", "--from", "x"]] {
        let output = with_stdin(loadtest(&ours, &[more, &report[..]].concat()), &key);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(&earlier).unwrap(), "{}", "the report of an earlier one stays");
    assert_eq!((ours.uses(KIND, "k"), other.metric("muster_enroll_requests_total{outcome=\"invalid-key\"}")), (0, 0.0));
}

/// docs/capacity.md lists the members; a program may rely on them.
#[test]
fn the_report_has_the_documented_members() {
    let service = service();
    let key = service.create_key(KIND, "Load", "k", &["--max-uses", "1"]);
    let output = with_stdin(loadtest(&service, &["--devices", "2", "--no-retry", "--yes"]), &key);
    let report = report(&output);
    let mut members = Vec::new();
    shape(&report, "", &mut members);
    let guide = include_str!("../../../docs/capacity.md");
    for member in members.iter().flat_map(|path| path.split(['/', '[', ']'])).filter(|name| !name.is_empty()) {
        assert!(guide.contains(&format!("`{member}`")), "docs/capacity.md does not say what {member} is");
    }
}

#[test]
fn people_get_a_summary_and_no_bar_in_a_pipe() {
    let service = service();
    let key = service.create_key(KIND, "Load", "k", &["--max-uses", "3"]);
    let mut command = muster(&["loadtest", "--key-file", "-", "--devices", "4", "--name", "x", "--yes"]);
    command.arg("--connect").arg(service.enroll.to_string());
    let output = with_stdin(command, &key);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let mut lines = BufReader::new(&output.stdout[..]).lines().map(Result::unwrap);
    let first = format!("Load test x: 4 devices, 64 at a time → {}", service.enroll);
    assert_eq!(lines.next(), Some(first));
    let rest: Vec<Vec<String>> = lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    for expected in [&["devices", "4"][..], &["enrolled", "3"], &["refused", "1"], &["403", "key-exhausted", "1", "1"]]
    {
        assert!(
            rest.iter().any(|line| line.iter().zip(expected).filter(|(a, b)| a == b).count() == expected.len()),
            "{expected:?}: {rest:?}"
        );
    }
    assert!(!stderr(&output).contains('\u{1b}') && !stdout(&output).contains('\u{1b}'));
}
