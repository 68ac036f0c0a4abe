//! Tests that are named as proofs are there.

use std::fs;

use super::{code_spans, document, root, rows};

/// `path::test` → what is wrong with it.
fn fault(name: &str) -> Option<String> {
    let Some((path, test)) = name.split_once("::") else { return Some(format!("{name} is no path::test")) };
    let Ok(text) = fs::read_to_string(root().join(path)) else { return Some(format!("{path} is not there")) };
    let declared = text.match_indices(&format!("fn {test}(")).any(|(at, _)| {
        // Above it stands that it is one.
        let above: Vec<_> = text[..at].lines().rev().take(4).collect();
        above
            .iter()
            .any(|line| line.contains("#[test]") || line.contains("#[tokio::test") || line.contains("proptest!"))
    });
    (!declared).then(|| format!("{path} has no test {test}"))
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    assert_eq!(fault("tests/it/documents/names.rs::a_test_that_is_not_there_is_noticed"), None);
    for name in ["tests/it/documents/names.rs::fault", "tests/it/documents/nowhere.rs::x", "nowhere"] {
        assert!(fault(name).is_some(), "{name}");
    }
}

#[test]
fn every_incident_has_tests_that_are_there() {
    let incidents = rows(&document("docs/security.md"), "## What went wrong elsewhere");
    assert_eq!(incidents.len(), 28, "one row for each");
    let mut faults = Vec::new();
    for row in &incidents {
        let [incident, _, _, tests] = &row[..] else { panic!("four cells: {row:?}") };
        let named = code_spans(tests);
        faults.extend(named.iter().copied().filter_map(fault));
        if named.is_empty() {
            faults.push(format!("{incident} names no test"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Files, from the root or from where tests stand.
#[test]
fn every_promise_is_held_by_files_that_are_there() {
    let promises = document("docs/promises.md");
    let mut checked = 0;
    for row in promises.lines().filter(|line| line.starts_with('|')) {
        let held_by = row.trim_end_matches([' ', '|']).rsplit(" | ").next().expect("a cell");
        for name in code_spans(held_by).into_iter().filter(|name| name.ends_with(".rs") || name.ends_with('/')) {
            let is_there = ["", "tests/it", "src"].iter().any(|folder| root().join(folder).join(name).exists());
            assert!(is_there, "docs/promises.md names {name}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}
