//! The command line: nouns, then verbs; one file per command.
//!
//! Results go to stdout, messages to stderr; `--json` prints results for machines. Exit 0: done, 1:
//! failed, 2: wrong usage; `enroll`, `renew` and `loadtest` have more ([`enroll`], [`renew`], [`loadtest`]). Secrets come from a file, stdin or the
//! environment and are never arguments, which every user of a machine can see.

mod admin;
mod agent;
mod api_client;
mod audit;
mod backup;
mod completions;
mod component;
mod config;
mod confirmation;
mod connection;
mod console;
mod customer;
mod db;
mod device;
mod doctor;
mod enroll;
mod expiry;
mod group;
mod init;
mod key;
mod key_source;
mod listing;
mod loadtest;
mod man;
mod management;
mod pepper;
mod quickstart;
mod renew;
mod restore;
mod secret_input;
mod secret_output;
mod secrets;
mod selector;
mod serve;
mod service;
mod shown;
mod signing_cert;
mod systemd;
mod table;
mod tls_anchor;
mod version;
mod webhook;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::app::PassedSockets;

/// Devices present a provisioning key, Muster signs their certificate.
#[derive(Parser)]
#[command(name = "muster", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Manage administrators: people who sign in with a password
    #[command(subcommand)]
    Admin(admin::Command),
    /// Keep this device's certificate valid: enroll at boot, renew in time
    Agent(agent::Arguments),
    /// Manage API clients: programs that sign in with an id and a secret
    #[command(subcommand)]
    ApiClient(api_client::Command),
    /// Read the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Copy the whole store into one file, while the service goes on
    Backup(backup::Arguments),
    /// Print a shell's completion script
    Completions(completions::Arguments),
    /// Manage components: what enrollments made
    #[command(subcommand)]
    Component(component::Command),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Manage customers: the tenants of this service
    #[command(subcommand)]
    Customer(customer::Command),
    /// Manage the database that nodes share
    #[command(subcommand)]
    Db(db::Command),
    /// Check the store for what must always be true
    Doctor(doctor::Arguments),
    /// Enroll this device: the device's side
    Enroll(enroll::Arguments),
    /// Manage groups
    #[command(subcommand)]
    Group(group::Command),
    /// Do the first start alone: keys, certificates, the first administrator
    Init(init::Arguments),
    /// Manage provisioning keys
    #[command(subcommand)]
    Key(key::Command),
    /// Send a boot storm of devices and say how the service took it
    Loadtest(loadtest::Arguments),
    /// Print manual pages
    Man(man::Arguments),
    /// Manage the peppers: what key strings and secrets are digested under
    #[command(subcommand)]
    Pepper(pepper::Command),
    /// Show everything in a throw-away service: four devices enroll, wrong ones are refused
    Quickstart(quickstart::Arguments),
    /// Renew this device's certificate: the device's side
    Renew(renew::Arguments),
    /// Put a backup in the place of a store that is gone
    Restore(restore::Arguments),
    /// Manage the master keys: what seals the secrets in the store
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Run the service
    Serve(serve::Arguments),
    /// Manage signing certificates: the CAs that sign components
    #[command(subcommand)]
    SigningCert(signing_cert::Command),
    /// Manage the TLS trust anchor: the CA above the service's own TLS certificates
    #[command(subcommand)]
    TlsAnchor(tls_anchor::Command),
    /// Print the version, and what it was built from
    Version(version::Arguments),
    /// Manage webhooks: URLs that are told of what happens
    #[command(subcommand)]
    Webhook(webhook::Command),
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
struct Failure {
    code: u8,
    /// `None`: it was told already.
    error: Option<anyhow::Error>,
}

impl Failure {
    /// A failure that was told already.
    fn told(code: u8) -> Self {
        Self { code, error: None }
    }

    /// The command was used wrongly in a way that the parser cannot see.
    fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, error: Some(anyhow::Error::msg(text.into())) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.as_ref().map_or(Ok(()), |error| write!(f, "{error:#}"))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: 1, error: Some(error.into()) }
    }
}

/// Runs the command in this process's arguments. Wrong usage ends the process with exit code 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    leave_no_dump();
    let sockets = systemd::take_sockets();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command, sockets)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, error }) => {
            if let Some(error) = error {
                eprintln!("error: {error:#}");
            }
            ExitCode::from(code)
        }
    }
}

/// A crash writes the process's memory to no file: there are secrets in it, whichever command runs. Whoever needs a dump
/// gives the running process a limit again (`prlimit --core`).
fn leave_no_dump() {
    let maximum = getrlimit(Resource::Core).maximum;
    // To lower a limit is everybody's right.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

async fn run(command: Command, sockets: anyhow::Result<PassedSockets>) -> Result<(), Failure> {
    match command {
        Command::Admin(command) => admin::run(command).await,
        Command::Agent(arguments) => agent::run(arguments).await,
        Command::ApiClient(command) => api_client::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Backup(arguments) => backup::run(arguments).await,
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Component(command) => component::run(command).await,
        Command::Config(command) => config::run(command),
        Command::Customer(command) => customer::run(command).await,
        Command::Db(command) => db::run(command).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Enroll(arguments) => enroll::run(arguments).await,
        Command::Group(command) => group::run(command).await,
        Command::Init(arguments) => init::run(arguments).await,
        Command::Key(command) => key::run(command).await,
        Command::Loadtest(arguments) => loadtest::run(arguments).await,
        Command::Man(arguments) => man::run(&arguments),
        Command::Pepper(command) => pepper::run(command).await,
        Command::Quickstart(arguments) => quickstart::run(arguments).await,
        Command::Renew(arguments) => renew::run(arguments).await,
        Command::Restore(arguments) => restore::run(arguments).await,
        Command::Secrets(command) => secrets::run(command).await,
        Command::Serve(arguments) => serve::run(arguments, sockets?).await,
        Command::SigningCert(command) => signing_cert::run(command).await,
        Command::TlsAnchor(command) => tls_anchor::run(command).await,
        Command::Version(arguments) => version::run(&arguments),
        Command::Webhook(command) => webhook::run(command).await,
    }
}

/// Prints a result for machines.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print(format_args!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes a result to stdout. Whoever stops reading has read enough: that is no failure.
fn print(result: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{result}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret() {
        fn visit(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let takes_secret = ["private_key", "secret", "password", "token"].iter().any(|word| id.contains(word));
                let names_file = id.ends_with("_file");
                assert!(!takes_secret || names_file, "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn the_readme_lists_every_noun_with_its_verbs() {
        let readme = include_str!("../../README.md");
        for command in Cli::command().get_subcommands() {
            let verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            let expected = match verbs[..] {
                [] => format!("`{}`", command.get_name()),
                _ => {
                    let about = command.get_about().expect("every command says what it does");
                    format!("| `{}` | {} | {about} |\n", command.get_name(), verbs.join(", "))
                }
            };
            assert!(readme.contains(&expected), "README.md lacks: {expected}");
        }
    }

    #[test]
    fn every_command_and_flag_says_what_it_does() {
        fn visit(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let speaks_for_itself = ["description", "disable", "enable", "name", "role"].contains(&id);
                assert!(argument.get_help().is_some() || speaks_for_itself, "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(visit);
        }
        Cli::command().get_subcommands().for_each(visit);
    }
}
