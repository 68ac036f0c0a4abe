//! `connectorSchedule`, `serviceEdgeSchedule`, `networkConnectorSchedule`, `machineSchedule`.

use serde::Serialize;

use super::members::Members;
use super::{Epoch, ModifiedBy, Text};
use crate::domain::{CleanUpSchedule, Kind};
use crate::id::{CleanUpScheduleId, CustomerId};
use crate::management::Input;
use crate::management::clean_up::CleanUpInput;
use crate::server::api::schema::{Form, Member, Shape};

/// The part of the path that says a schedule's kind.
pub const fn schedule_type(kind: Kind) -> &'static str {
    match kind {
        Kind::AppConnector => "connectorSchedule",
        Kind::ServiceEdge => "serviceEdgeSchedule",
        Kind::NetworkConnector => "networkConnectorSchedule",
        Kind::Machine => "machineSchedule",
    }
}

pub static CLEAN_UP_SCHEDULE: Shape = Shape::new(
    "CleanUpSchedule",
    &[
        Member::id("id", "Its id"),
        Member::epoch("modifiedTime", "When it was changed last"),
        Member::epoch("creationTime", "When it was made"),
        Member::new("modifiedBy", Form::ModifiedBy, "Who changed it last"),
        Member::id("customerId", "Whose it is"),
        Member::flag("enabled", "Whether anything is cleaned up; true by default").writable(),
        Member::flag("deleteDisabled", "Whether disabled components go too; false by default").writable(),
        Member::flag("delete_disabled", "Another spelling of deleteDisabled").write_only(),
        Member::word("frequency", &[FREQUENCY], "The unit of frequencyInterval").writable(),
        Member::word("frequencyInterval", INTERVALS, "Components go this long after their certificates ended")
            .required()
            .or_spelled("frequency_interval"),
        Member::word("frequency_interval", INTERVALS, "Another spelling of frequencyInterval").write_only(),
    ],
);

/// As [`CleanUpDays::ALL`](crate::domain::CleanUpDays::ALL).
const INTERVALS: &[&str] = &["5", "7", "14", "30", "60", "90"];

/// `frequency`: intervals are counted in days and in nothing else.
const FREQUENCY: &str = "days";

/// Reads what a caller says about a schedule. One public client writes its updates in snake case.
///
/// Ignored: `customerId`, which the path says.
pub fn decode(members: &Members) -> CleanUpInput {
    let frequency = members.text("frequency");
    let days = match members.number("frequencyInterval") {
        Input::Absent => members.number("frequency_interval"),
        given => given,
    };
    CleanUpInput {
        enabled: members.flag("enabled"),
        delete_disabled: match members.flag("deleteDisabled") {
            Input::Absent => members.flag("delete_disabled"),
            given => given,
        },
        days: match frequency {
            Input::Given(unit) if unit != FREQUENCY => Input::Malformed("is counted in days; frequency must be days"),
            Input::Malformed(_) => Input::Malformed("is counted in days; frequency must be days"),
            Input::Given(_) | Input::Absent | Input::Cleared => days,
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanUpScheduleBody {
    id: CleanUpScheduleId,
    modified_time: Epoch,
    creation_time: Epoch,
    modified_by: ModifiedBy,
    customer_id: CustomerId,
    enabled: bool,
    delete_disabled: bool,
    frequency: &'static str,
    frequency_interval: Text<u8>,
}

impl CleanUpScheduleBody {
    pub fn new(schedule: &CleanUpSchedule) -> Self {
        Self {
            id: schedule.id,
            modified_time: Epoch(schedule.modified_at),
            creation_time: Epoch(schedule.created_at),
            modified_by: ModifiedBy(schedule.modified_by),
            customer_id: schedule.customer_id,
            enabled: schedule.enabled,
            delete_disabled: schedule.delete_disabled,
            frequency: FREQUENCY,
            frequency_interval: Text(schedule.days.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> CleanUpInput {
        decode(&Members::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn both_spellings_and_types_are_read() {
        for json in [
            r#"{"customerId":"1","enabled":true,"deleteDisabled":false,"frequency":"days","frequencyInterval":"30"}"#,
            r#"{"customer_id":"1","enabled":true,"delete_disabled":false,"frequency":"days","frequency_interval":30}"#,
            r#"{"enabled":"true","deleteDisabled":"false","frequency":null,"frequencyInterval":30}"#,
        ] {
            let input = decoded(json);
            assert_eq!((input.enabled, input.delete_disabled), (Input::Given(true), Input::Given(false)), "{json}");
            assert_eq!(input.days, Input::Given(30), "{json}");
        }
        for json in [r#"{"frequency":"weeks","frequencyInterval":"5"}"#, r#"{"frequency":7,"frequencyInterval":"5"}"#] {
            assert!(matches!(decoded(json).days, Input::Malformed(_)), "{json}");
        }
    }
}
