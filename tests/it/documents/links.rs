//! Who reads on finds what was promised.

use std::collections::BTreeSet;
use std::fs;

use super::{document, documents, root};

/// The anchor that is made of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let prose: String = text.split("```").step_by(2).collect();
    prose.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let prose: String = document.text.split("```").step_by(2).collect();
        for target in prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let here = root().join(&document.name);
            let path = if file.is_empty() { here } else { here.parent().expect("a folder").join(file) };
            let is_there = path.exists()
                && (heading.is_empty() || fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(heading)));
            if !is_there {
                dead.push(format!("{}: {target}", document.name));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn the_index_names_every_document() {
    let index = document("docs/README.md");
    for document in documents() {
        let Some(file) = document.name.strip_prefix("docs/").filter(|file| *file != "README.md") else { continue };
        assert!(index.contains(&format!("]({file})")), "docs/README.md does not lead to {file}");
    }
    assert!(document("README.md").contains("](docs/README.md)"));
}
