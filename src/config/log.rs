//! `[log]`: what is written about what happens.

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use super::check::Checker;
use crate::telemetry::LogFormat;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: LevelFilter,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shape {
    format: String,
    level: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self { format: "text".into(), level: "info".into() }
    }
}

impl Shape {
    pub fn check(&self, checker: &mut Checker<'_>) -> Option<LogSettings> {
        let format = checker.parse("log.format", &self.format, "\"text\" or \"json\"", |text| match text {
            "json" => Some(LogFormat::Json),
            "text" => Some(LogFormat::Text),
            _ => None,
        });
        let accepted = "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
        let level = checker.parse("log.level", &self.level, accepted, |text| match text {
            "off" => Some(LevelFilter::OFF),
            "error" => Some(LevelFilter::ERROR),
            "warn" => Some(LevelFilter::WARN),
            "info" => Some(LevelFilter::INFO),
            "debug" => Some(LevelFilter::DEBUG),
            "trace" => Some(LevelFilter::TRACE),
            _ => None,
        });
        Some(LogSettings { format: format?, level: level? })
    }
}
