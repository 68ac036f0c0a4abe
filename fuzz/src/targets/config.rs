//! The configuration: a file, and the environment over it.

use muster::config::Inputs;

/// Stands in a place where nobody may repeat it.
const SECRET: &str = "canary-of-a-password";

/// A file; behind a NUL variables, one a line.
///
/// Holds: what is effective, written as a file, is the same configuration; a password in the database's address is neither
/// shown nor told of in a refusal; a refusal has a reason.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let pairs = variables.lines().filter_map(|line| line.split_once('='));
    let environment: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let inputs = |file: &str, environment| Inputs {
        file: Some(("muster.toml".into(), file.to_owned())),
        environment,
        ..Inputs::default()
    };
    match inputs(file, environment.clone()).load() {
        Ok(loaded) => {
            let effective = loaded.to_toml();
            let again = inputs(&effective, Vec::new()).load();
            // Of the database's address it is only shown that there is one.
            if !effective.contains("url = \"...\"") {
                assert_eq!(again.expect("what is effective").settings, loaded.settings);
            }
            assert!(loaded.unknown_variables.iter().all(|name| name.starts_with("MUSTER_")));
        }
        Err(refused) => assert!(!refused.problems.is_empty() && !refused.to_string().is_empty()),
    }
    conceals(file, environment);
}

/// With an address in the environment, over whatever the file says.
fn conceals(file: &str, mut environment: Vec<(String, String)>) {
    if file.contains(SECRET) || environment.iter().any(|(name, value)| name.contains(SECRET) || value.contains(SECRET))
    {
        return;
    }
    environment.push(("MUSTER_STORE_URL".to_owned(), format!("postgres://muster:{SECRET}@localhost/muster{file:.16}")));
    let inputs = Inputs { file: Some(("muster.toml".into(), file.to_owned())), environment, ..Inputs::default() };
    let told = match inputs.load() {
        Ok(loaded) => loaded.to_toml(),
        Err(refused) => refused.to_string(),
    };
    assert!(!told.contains(SECRET), "{told}");
}
