//! The tables.

use crate::latency::Latency;
use crate::load::Cost;
use crate::{Contender, Outcome, Parts, Plan, Scenario, middle};

/// Least share of its core that a server must have had.
const LOAD_MIN: f64 = 0.7;
/// Threads that cost less than this per enrollment are told together.
const THREAD_US_MIN: f64 = 0.5;

pub fn run(plan: &Plan, contender: &Contender, parts: &Parts, outcome: &Outcome) {
    println!("\n{}", name(plan, contender));
    steps(parts, outcome);
    servers(parts, outcome);
    println!("  {:<44} {:8.2}", "ratio to the floor", outcome.ratio(parts));
    if outcome.cost.server_load < LOAD_MIN && !plan.is_smoke {
        println!("  NOT VALID: the service had less than {:.0} % of its core", LOAD_MIN * 100.0);
    }
    details(parts, outcome);
    latencies(&outcome.latency);
}

/// What the runs agree on.
pub fn summary(plan: &Plan, runs: &[(Parts, Vec<Outcome>)]) {
    println!("\nall runs");
    for (place, contender) in plan.contenders.iter().enumerate() {
        println!("\n{}", name(plan, contender));
        let row = |what: &str, digits: usize, value: &dyn Fn(&Parts, &Outcome) -> f64| {
            let values: Vec<f64> = runs.iter().map(|(parts, outcomes)| value(parts, &outcomes[place])).collect();
            let all: Vec<String> = values.iter().map(|value| format!("{value:.digits$}")).collect();
            println!("  {what:<44} {:8.digits$}   of {}", middle(values), all.join(", "));
        };
        row("ratio to the floor", 2, &|parts, outcome| outcome.ratio(parts));
        row("floor, µs", 1, &|parts, outcome| outcome.floor_us(parts));
        row("server CPU per durable enrollment, µs", 1, &|_, outcome| outcome.cost.cpu_us);
        row("enrollments per second", 0, &|_, outcome| outcome.cost.per_second);
        row("mean batch", 1, &|_, outcome| outcome.batches.mean());
        let first = plan.contenders.iter().position(|other| other.scenario == contender.scenario);
        if let Some(first) = first.filter(|first| *first != place) {
            let quotients = runs.iter().map(|(_, outcomes)| outcomes[place].cost.cpu_us / outcomes[first].cost.cpu_us);
            let quotients: Vec<f64> = quotients.collect();
            let all: Vec<String> = quotients.iter().map(|quotient| format!("{quotient:.3}")).collect();
            let what = "server CPU to that of the first program";
            println!("  {what:<44} {:8.3}   of {}", middle(quotients), all.join(", "));
        }
        for load in 0..runs[0].1[place].latency.len() {
            let of =
                |share: f64| middle(runs.iter().map(|(_, outcomes)| outcomes[place].latency[load].quantile(share)));
            let what = format!("p50, p99, p99.9 at {:.0} %, ms", runs[0].1[place].latency[load].share * 100.0);
            println!("  {what:<44} {:8.2} {:8.2} {:8.2}", of(0.5), of(0.99), of(0.999));
        }
    }
}

fn name(plan: &Plan, contender: &Contender) -> String {
    let keys = match contender.scenario {
        Scenario::Hot => "one hot key".to_owned(),
        Scenario::Many => format!("{} keys", plan.keys(contender.scenario)),
    };
    format!("{keys}, {}", contender.program.display())
}

/// The floor, one step after the other.
fn steps(parts: &Parts, outcome: &Outcome) {
    println!("  {:<44} {:>8} {:>8}", "step", "µs", "sum");
    let append = format!("append, in batches of {:.1}", outcome.batches.mean());
    let mut sum = 0.0;
    for (step, cost) in [
        ("TLS handshake in memory", parts.floor.handshake),
        ("CSR verified", parts.floor.verify),
        ("certificate signed", parts.floor.sign),
        ("plain connection with request and answer", parts.peers[0].cpu_us),
        (append.as_str(), outcome.append.cpu_us),
    ] {
        sum += cost;
        println!("  {step:<44} {cost:8.1} {sum:8.1}");
    }
}

/// Whole servers, each with what it costs more than the one before it.
fn servers(parts: &Parts, outcome: &Outcome) {
    println!(
        "  {:<44} {:>8} {:>8} {:>8}   {:>6} {:>6} {:>7}",
        "server", "µs", "more", "a second", "it has", "others", "clients"
    );
    let mut before = None;
    let [plain, handshake, echo] = &parts.peers;
    for (server, cost) in [
        ("HTTP without TLS", plain),
        ("TLS accepted and closed", handshake),
        ("HTTP over TLS", echo),
        ("enrollment", &outcome.cost),
    ] {
        let Cost { cpu_us, per_second, server_load, others_load, client_core_load, .. } = cost;
        let more = before.map_or_else(String::new, |before| format!("{:+.1}", cpu_us - before));
        let [has, others, clients] = [server_load, others_load, client_core_load].map(|load| load * 100.0);
        let note = if cost.is_clients_fault() { "   the clients were no faster" } else { "" };
        println!(
            "  {server:<44} {cpu_us:8.1} {more:>8} {per_second:8.0}   {has:4.0} % {others:4.0} % {clients:5.0} %{note}"
        );
        before = Some(*cpu_us);
    }
}

fn details(parts: &Parts, outcome: &Outcome) {
    let cpu_us = outcome.cost.cpu_us;
    let mut threads: Vec<_> = outcome.cost.threads.iter().filter(|(_, cost)| **cost >= THREAD_US_MIN).collect();
    threads.sort_by(|a, b| b.1.total_cmp(a.1));
    let rest = cpu_us - threads.iter().map(|(_, cost)| **cost).sum::<f64>();
    let threads: Vec<String> = threads.iter().map(|(name, cost)| format!("{name} {cost:.1}")).collect();
    let above = cpu_us - outcome.floor_us(parts);
    let done = parts.floor.verify + parts.floor.sign + outcome.append.cpu_us;
    let beyond = cpu_us - parts.peers[2].cpu_us - done;
    let rounds: Vec<String> = outcome.rounds_us.iter().map(|round| format!("{round:.1}")).collect();
    println!(
        "  above the floor {above:.1} µs; above HTTP over TLS with verification, signature and append {beyond:.1} µs"
    );
    println!("  by threads: {}, rest {rest:.1} µs", threads.join(", "));
    println!("  rounds: {} µs", rounds.join(", "));
    println!(
        "  handshake in memory as the listener does it, a certificate asked for: {:.1} µs",
        parts.floor.handshake_asking
    );
    println!("  one append with its fdatasync took {:.2} ms", outcome.append.sync_us / 1e3);
    println!("  commits, by size: {}; mean {:.1}", outcome.batches, outcome.batches.mean());
}

fn latencies(all: &[Latency]) {
    if all.is_empty() {
        return;
    }
    println!(
        "  {:>5} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7}  commits, by size",
        "load", "a second", "p50 ms", "p99 ms", "p99.9 ms", "late p99", "CPU µs", "clients"
    );
    for latency in all {
        let [median, slow, slowest] = [0.5, 0.99, 0.999].map(|share| latency.quantile(share));
        println!(
            "  {:3.0} % {:8.0} {median:8.2} {slow:8.2} {slowest:8.2} {:9.2} {:8.1} {:5.0} %  {}; mean {:.1}",
            latency.share * 100.0,
            latency.offered_per_second,
            latency.late_quantile(0.99),
            latency.cost.cpu_us,
            latency.cost.client_core_load * 100.0,
            latency.batches,
            latency.batches.mean(),
        );
        if latency.is_clients_fault() {
            println!("        the clients themselves were late: what is told is no better than they are");
        }
        if let Some(first) = latency.faults.first() {
            println!("        {} devices were not served, the first: {first}", latency.faults.len());
        }
    }
}
