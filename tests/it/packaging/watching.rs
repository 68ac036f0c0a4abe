//! The dashboard and the alert rules: what they ask for is there, and the alerts come when they should.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::repository;
use crate::support::Service;
use crate::support::tools::deb_tool;

const RULES: &str = "packaging/prometheus/muster.rules.yml";

/// What Prometheus makes by itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// A name with its matchers, as it stands in an expression: `name`, `label`, `value`.
type Selector = (String, Vec<(String, String)>);

fn promtool(arguments: &[&str], directory: &Path) {
    let output = Command::new(deb_tool("prometheus", "usr/bin/promtool"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Every text below `name` in the dashboard.
fn texts<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(members) => members.iter().for_each(|member| texts(member, name, found)),
        Value::Object(members) => {
            found.extend(members.get(name).and_then(Value::as_str));
            members.values().for_each(|member| texts(member, name, found));
        }
        _ => {}
    }
}

fn dashboard() -> Value {
    let text = fs::read_to_string(repository("packaging/grafana/muster.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// The dashboard's expressions, as Grafana would send them.
fn dashboard_expressions(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    texts(dashboard, "expr", &mut found);
    found.iter().map(|text| text.replace("$__rate_interval", "5m").replace("$instance", ".*")).collect()
}

/// The metrics that an expression reads. Names are what stands before `{`, or what begins like one of ours.
fn selectors(expression: &str) -> Vec<Selector> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let after = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |length| start + length);
        let name = &rest[start..after];
        rest = &rest[after..];
        let matchers = rest.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        if let Some((inside, behind)) = matchers {
            let mut pairs = Vec::new();
            for matcher in inside.split("\", ").map(|matcher| matcher.trim_end_matches('"')) {
                let (label, value) = matcher.split_once('"').expect("a quoted value");
                pairs.push((label.to_owned(), value.to_owned()));
            }
            found.push((name.to_owned(), pairs));
            rest = behind;
        } else if name.starts_with("muster_") || name.starts_with("process_") {
            found.push((name.to_owned(), Vec::new()));
        }
    }
    found
}

/// Each matcher of a label that the service sets has a series, and one for each of its alternatives.
fn assert_scraped(scrape: &str, expression: &str) {
    let selectors = selectors(expression);
    assert!(!selectors.is_empty(), "{expression}");
    for (name, matchers) in selectors {
        if OF_PROMETHEUS.contains(&name.as_str()) {
            continue;
        }
        let series: Vec<_> = scrape
            .lines()
            .filter(|line| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .collect();
        assert!(!series.is_empty(), "{name} is not in a scrape: {expression}");
        for (label, value) in matchers {
            let (label, operator) = label.split_at(label.find(['=', '!']).expect("an operator"));
            // Those two are Prometheus' own, and of certificates only the patterns are known.
            if ["job", "instance", "certificate"].contains(&label) {
                continue;
            }
            assert!(["=", "=~"].contains(&operator), "{expression}");
            for alternative in value.split('|') {
                let wanted = format!("{label}=\"{alternative}\"");
                assert!(series.iter().any(|line| line.contains(&wanted)), "no {name} has {wanted}: {expression}");
            }
        }
    }
}

/// The expressions of the rules file; a folded one is one line.
fn rule_expressions(rules: &str) -> Vec<String> {
    let mut expressions = Vec::new();
    for block in rules.split("\n        expr: ").skip(1) {
        let end = ["\n        for:", "\n        labels:"].iter().filter_map(|next| block.find(next)).min();
        let text = &block[..end.expect("labels stand behind")];
        expressions.push(text.trim_start_matches(">-").split_whitespace().collect::<Vec<_>>().join(" "));
    }
    expressions
}

#[test]
fn promtool_takes_the_rules_and_the_alerts_come_when_they_should() {
    let directory = repository("packaging/prometheus");
    promtool(&["check", "rules", "muster.rules.yml"], &directory);
    promtool(&["test", "rules", "muster.rules.test.yml"], &directory);
}

#[test]
fn promtool_takes_every_expression_of_the_dashboard() {
    let dashboard = dashboard();
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (place, expression) in dashboard_expressions(&dashboard).iter().enumerate() {
        let quoted = serde_json::to_string(expression).unwrap();
        rules.push_str(&format!("      - record: panel:{place}\n        expr: {quoted}\n"));
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("dashboard.yml"), rules).unwrap();
    promtool(&["check", "rules", "dashboard.yml"], directory.path());
}

#[test]
fn every_metric_that_is_asked_for_is_in_a_scrape() {
    let service = Service::start();
    let (status, scrape) = service.ops("/metrics");
    assert_eq!(status, 200);
    let rules = fs::read_to_string(repository(RULES)).unwrap();
    let expressions = rule_expressions(&rules);
    assert_eq!(expressions.len(), rules.matches("- alert: ").count());
    for expression in expressions.iter().chain(&dashboard_expressions(&dashboard())) {
        assert_scraped(&scrape, expression);
    }
    // The reader of expressions can fail.
    let (known, unknown) = ("rate(muster_enroll_requests_total{outcome=\"enrolled\"}[5m])", "muster_ready");
    assert_scraped(&scrape, known);
    for wrong in [unknown.to_owned(), known.replace("enrolled", "enroled"), known.replace("_total", "")] {
        assert!(std::panic::catch_unwind(|| assert_scraped(&scrape, &wrong)).is_err(), "{wrong}");
    }
}

/// Whoever is woken by an alert finds what to do.
#[test]
fn every_alert_leads_to_its_advice() {
    let rules = fs::read_to_string(repository(RULES)).unwrap();
    let guide = fs::read_to_string(repository("docs/operating.md")).unwrap();
    let told: BTreeSet<_> = guide.lines().filter_map(|line| line.strip_prefix("#### ")).collect();
    let mut alerts = BTreeSet::new();
    for block in rules.split("- alert: ").skip(1) {
        let name = block.lines().next().expect("a name");
        let runbook = format!("runbook: docs/operating.md#{}\n", name.to_lowercase());
        assert!(block.contains(&runbook), "{name} has no {runbook}");
        alerts.insert(name);
    }
    assert_eq!(told, alerts, "headings of docs/operating.md and alerts");
}
