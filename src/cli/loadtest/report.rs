//! A load's report for people.

use std::fmt::Write as _;

use indicatif::HumanCount;

use crate::client::load::{Devices, Ended, Interval, Latency, Plan, Report, Spacing, Timeline};

/// Characters of the longest bar of a histogram.
const BAR_CHARACTERS: u64 = 40;
/// Rows of the table over time.
const ROWS_MAX: usize = 12;

/// Several lines; the last one ends too.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report)
        .and_then(|()| answers(&mut text, report))
        .and_then(|()| latencies(&mut text, report))
        .and_then(|()| over_time(&mut text, &report.timeline))
        .and_then(|()| client(&mut text, report))
        .expect("a String takes everything");
    text
}

fn head(text: &mut String, report: &Report) -> std::fmt::Result {
    let Devices { started, enrolled, re_enrolled, replayed, refused, failed, unfinished } = report.devices;
    let addresses: Vec<_> = report.plan.addresses.iter().map(ToString::to_string).collect();
    writeln!(text, "Load test {}: {} → {}", report.name, plan(&report.plan), addresses.join(", "))?;
    if report.ended == Ended::Interrupted {
        writeln!(text, "INTERRUPTED after {:.1} s", report.wall_seconds)?;
    }
    writeln!(text)?;
    let rows = [
        ("devices", started, format!(" in {:.1} s", report.wall_seconds)),
        ("enrolled", enrolled, format!(" {:.1}/s", report.enrolled_per_second)),
        ("re-enrolled", re_enrolled, String::new()),
        ("replayed", replayed, String::new()),
        ("refused", refused, String::new()),
        ("failed", failed, String::new()),
        ("unfinished", unfinished, String::new()),
    ];
    for (title, count, more) in rows.into_iter().filter(|row| row.1 > 0) {
        writeln!(text, "{title:<12} {:>12} {more}", HumanCount(count).to_string())?;
    }
    Ok(())
}

/// `10,000 devices, 500/s (poisson, ramp 5 s), 2 keys`
fn plan(plan: &Plan) -> String {
    let mut parts = Vec::new();
    parts.extend(plan.devices.map(|devices| format!("{} devices", HumanCount(devices))));
    parts.extend(plan.concurrency.map(|concurrency| format!("{} at a time", HumanCount(concurrency as u64))));
    parts.extend(plan.rate_per_second.map(|rate| match plan.spacing {
        Some(Spacing::Even) => format!("{rate}/s evenly"),
        _ => format!("{rate}/s"),
    }));
    parts.extend((plan.ramp_seconds > 0.0).then(|| format!("ramp {} s", plan.ramp_seconds)));
    parts.extend(plan.duration_seconds.map(|duration| format!("for {duration} s")));
    parts.extend((plan.timeout_seconds <= 0.0).then(|| "one attempt each".to_owned()));
    parts.extend((plan.keys > 1).then(|| format!("{} keys", HumanCount(plan.keys as u64))));
    parts.extend((plan.sources > 0).then(|| format!("from {} addresses", HumanCount(plan.sources))));
    parts.join(", ")
}

fn answers(text: &mut String, report: &Report) -> std::fmt::Result {
    if report.refusals.is_empty() && report.failures.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n{:<32} {:>12} {:>12}", "no certificate", "attempts", "gave up")?;
    let refusals = report.refusals.iter().map(|refusal| {
        let code = refusal.code.as_deref().unwrap_or("no code of ours");
        (format!("{} {code}", refusal.status), refusal.attempts, refusal.devices)
    });
    let failures = report.failures.iter().map(|failure| (failure.kind.to_string(), failure.attempts, failure.devices));
    for (what, attempts, devices) in refusals.chain(failures) {
        writeln!(text, "{what:<32} {:>12} {:>12}", HumanCount(attempts).to_string(), HumanCount(devices).to_string())?;
    }
    Ok(())
}

fn latencies(text: &mut String, report: &Report) -> std::fmt::Result {
    let rows = [
        ("device until it was in", &report.device_latency_ms),
        ("attempt that got in", &report.attempt_latency_ms),
        ("refused attempt", &report.refusal_latency_ms),
    ];
    let mut is_first = true;
    for (title, of) in rows {
        let Some(Latency { p50, p90, p99, p999, max, .. }) = of else { continue };
        if std::mem::take(&mut is_first) {
            writeln!(text, "\n{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}", "latency", "p50", "p90", "p99", "p99.9", "max")?;
        }
        write!(text, "{title:<24}")?;
        for value in [p50, p90, p99, p999, max] {
            write!(text, " {:>9}", latency(*value))?;
        }
        writeln!(text)?;
    }
    let Some(Latency { histogram, .. }) = &report.device_latency_ms else { return Ok(()) };
    writeln!(text, "\ndevices by the time until they were in")?;
    let most = histogram.iter().map(|bucket| bucket.count).max().unwrap_or(1).max(1);
    for bucket in histogram {
        // At least a character for what is not nothing.
        let length = (bucket.count * BAR_CHARACTERS).div_ceil(most) as usize;
        let line = format!(
            "{:>9} {:>12} {}",
            format!("≤ {}", bound(bucket.up_to)),
            HumanCount(bucket.count).to_string(),
            "█".repeat(length)
        );
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

fn over_time(text: &mut String, timeline: &Timeline) -> std::fmt::Result {
    let together = timeline.intervals.len().div_ceil(ROWS_MAX).max(1);
    let seconds = timeline.interval_seconds * together as u64;
    if timeline.intervals.len() < 2 {
        return Ok(());
    }
    writeln!(text, "\n{:>9} {:>12} {:>12} {:>12} {:>12}", "per second", "started", "in", "refused", "failed")?;
    for (row, intervals) in timeline.intervals.chunks(together).enumerate() {
        let per_second = |count: fn(&Interval) -> u64| {
            let sum: u64 = intervals.iter().map(count).sum();
            sum as f64 / (intervals.len() as u64 * timeline.interval_seconds) as f64
        };
        writeln!(
            text,
            "{:>8} s {:>12.1} {:>12.1} {:>12.1} {:>12.1}",
            row as u64 * seconds,
            per_second(|interval| interval.started),
            per_second(|interval| interval.enrolled),
            per_second(|interval| interval.refused),
            per_second(|interval| interval.failed),
        )?;
    }
    Ok(())
}

fn client(text: &mut String, report: &Report) -> std::fmt::Result {
    let client = &report.client;
    write!(
        text,
        "\nclient: {:.0} % of {} processors, {:.0} % in the busiest second",
        client.cpu_share * 100.0,
        client.processors,
        client.cpu_share_max * 100.0
    )?;
    match client.lag_p99_ms {
        Some(lag) => writeln!(text, ", {} late (p99)", latency(lag)),
        None => writeln!(text),
    }
}

/// Three digits: `0.42 ms`, `31.3 ms`, `812 ms`, `1.24 s`.
pub fn latency(ms: f64) -> String {
    let (value, unit) = if ms < 999.5 { (ms, "ms") } else { (ms / 1e3, "s") };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

/// Of a bucket: 0.01, 0.015, 0.02, … ms are spelt as they are.
fn bound(ms: f64) -> String {
    if ms < 1e3 { format!("{ms} ms") } else { format!("{} s", ms / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits() {
        for (ms, expected) in [
            (0.0, "0.00 ms"),
            (0.417, "0.42 ms"),
            (9.994, "9.99 ms"),
            (9.996, "10.0 ms"),
            (31.25, "31.2 ms"),
            (812.4, "812 ms"),
            (999.6, "1.00 s"),
            (61_300.0, "61.3 s"),
        ] {
            assert_eq!(latency(ms), expected, "{ms}");
        }
        assert_eq!((bound(0.05), bound(200.0), bound(5_000.0)), ("0.05 ms".into(), "200 ms".into(), "5 s".into()));
    }

    #[test]
    fn long_runs_are_told_in_few_rows() {
        let interval = Interval { started: 4, enrolled: 2, refused: 1, failed: 0 };
        let timeline = Timeline { interval_seconds: 2, intervals: vec![interval; 25] };
        let mut text = String::new();
        over_time(&mut text, &timeline).unwrap();
        let rows: Vec<Vec<_>> = text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 9);
        assert_eq!(rows[1], ["6", "s", "2.0", "1.0", "0.5", "0.0"]);
        assert_eq!(rows[8], ["48", "s", "2.0", "1.0", "0.5", "0.0"], "a row that is not whole has its own length");
    }
}
