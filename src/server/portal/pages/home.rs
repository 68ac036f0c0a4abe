//! Home: where a sign-in leads to, what needs attention, and what happened of late.

mod attention;
mod beginning;
mod health;

use askama::Template;

use self::attention::{AttentionPanel, attention_panel};
use self::beginning::beginning;
use self::health::{HealthPanel, health_panel};
use crate::clock::Timestamp;
use crate::domain::ledger::RefusalSum;
use crate::domain::{Kind, Refusal};
use crate::id::CustomerId;
use crate::management::sessions::Session;
use crate::server::portal::chart::{self, Chart, Range};
use crate::server::portal::empty::Empty;
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::{Link, PageHead};
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;
use crate::server::portal::{Portal, filters};
use crate::store::{CustomerField, EndingComponent, ListQuery, Sort};

/// Most certificates that are told to expire; the lists have all.
const EXPIRING_MAX: u32 = 10;

/// From so few days on an end is grave, and from so few it is near.
const DAYS_GRAVE: u64 = 3;
const DAYS_NEAR: u64 = 10;

#[derive(Template)]
#[template(path = "home.html", config = "src/server/portal/askama.toml")]
struct HomePage {
    frame: Frame,
    head: PageHead,
    attention: AttentionPanel,
    health: HealthPanel,
    chart: Chart,
    refusals: Vec<RefusalRow>,
    expiring: Vec<ExpiringRow>,
}

/// Of a customer that has nothing yet.
#[derive(Template)]
#[template(path = "empty_page.html", config = "src/server/portal/askama.toml")]
struct BeginningPage {
    frame: Frame,
    head: PageHead,
    empty: Empty,
}

/// Why devices were refused, and where one sees them.
struct RefusalRow {
    reason: &'static str,
    count: String,
    /// Of the most frequent reason: `8.2%`.
    share: String,
    /// The key that was refused most for it, which leads to its refusals.
    most: Option<Link>,
    /// "all with" or "mostly with" that one.
    share_of_most: &'static str,
}

/// A component whose certificate ends soon.
struct ExpiringRow {
    component: Link,
    kind: &'static str,
    left: String,
    /// `tag-bad`, `tag-warn` or none.
    class: &'static str,
}

/// `/`: the Home of one's customer; of an owner's, who has none, the first by name.
pub(in crate::server::portal) async fn redirect(
    portal: &Portal,
    _visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let actor = &session.actor;
    let customer = if actor.customer_id == CustomerId::SERVICE {
        let sort = Some(Sort { field: CustomerField::Name, descending: false });
        let first = portal.management().list_customers(actor, &ListQuery { sort, ..ListQuery::first(1) }).await?;
        first.rows.first().map(|customer| customer.id)
    } else {
        Some(actor.customer_id)
    };
    let place = if customer.is_some() { Place::Home } else { Place::Customers };
    Ok(Reply::see_other(place.address(customer.unwrap_or(CustomerId::SERVICE))))
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, management, actor, now) = (visit.customer()?, portal.management(), &session.actor, portal.now());
    if customer == CustomerId::SERVICE {
        // The service has no devices of its own; it has customers.
        return Ok(Reply::see_other(Place::Customers.address(customer)));
    }
    let frame = Frame::around(portal, visit, session, customer, Place::Home, "Home").await?;
    let head = PageHead { lead: say::whole_date(now), ..PageHead::new("Home") };
    let attention = management.attention(actor, customer).await?;
    let refusals = management.refusals_of_last_day(actor, customer).await?;
    if attention.rows.is_empty() && refusals.is_empty() {
        let mut counts = Vec::new();
        for kind in Kind::ALL {
            counts.push((kind, management.kind_counts(actor, customer, kind).await?));
        }
        if let Some(empty) = beginning(customer, actor.role, &counts) {
            return Ok(Reply::ok(&BeginningPage { frame, head, empty }));
        }
    }
    let range = Range::read(visit, &Range::OF_ENROLLMENTS, Range::Hours24);
    let enrollments = management.enrollments_over_time(actor, customer, range.buckets(now)).await?;
    let expiring = management.ending_components(actor, customer, EXPIRING_MAX).await?;
    let page = HomePage {
        frame,
        head,
        attention: attention_panel(customer, actor.role, &attention, now),
        health: health_panel(&portal.parts.health.check().await, actor.customer_id == CustomerId::SERVICE, now),
        chart: chart::of_enrollments(range, &enrollments, &Place::Home.address(customer)),
        refusals: refusal_rows(customer, &refusals),
        expiring: expiring.iter().map(|ending| expiring_row(customer, ending, now)).collect(),
    };
    Ok(Reply::ok(&page))
}

fn refusal_rows(customer: CustomerId, refusals: &[RefusalSum]) -> Vec<RefusalRow> {
    let most = refusals.iter().map(|sum| sum.count).max().unwrap_or_default().max(1);
    let row = |sum: &RefusalSum| {
        let per_mille = u128::from(sum.count) * 1_000 / u128::from(most);
        RefusalRow {
            reason: reason(sum.refusal),
            count: say::number(sum.count),
            share: format!("{}.{}%", per_mille / 10, per_mille % 10),
            share_of_most: match &sum.most_refused {
                Some((_, count)) if *count >= sum.count => "all with",
                _ => "mostly with",
            },
            most: sum.most_refused.as_ref().map(|(key, _)| Link {
                label: key.name.to_string(),
                address: format!("{}/{}/refusals", Place::Keys(key.kind).address(customer), key.id),
            }),
        }
    };
    refusals.iter().map(row).collect()
}

/// In two or three words.
const fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::AddressNotAllowed => "Address not allowed",
        Refusal::ClientCertificateSuperseded => "Certificate superseded",
        Refusal::ComponentDisabled => "Component disabled",
        Refusal::ComponentRevoked => "Component revoked",
        Refusal::CustomerDisabled => "Customer disabled",
        Refusal::FingerprintMismatch => "Other hardware",
        Refusal::GroupDisabled => "Group disabled",
        Refusal::InvalidCsr => "CSR refused",
        Refusal::KeyDisabled => "Key disabled",
        Refusal::KeyExhausted => "Key exhausted",
        Refusal::KeyExpired => "Key expired",
        Refusal::ReEnrollmentLimit => "Re-enrolled too often",
        Refusal::ReEnrollmentNotAllowed => "Re-enrollment not allowed",
        Refusal::SigningCertificateUnavailable => "Signing certificate cannot sign",
    }
}

fn expiring_row(customer: CustomerId, ending: &EndingComponent, now: Timestamp) -> ExpiringRow {
    let left = ending.not_after.since(now);
    ExpiringRow {
        component: Link {
            label: ending.name.clone(),
            address: format!("{}/{}", Place::Components(ending.kind).address(customer), ending.id),
        },
        kind: words(ending.kind).component,
        left: say::span(left),
        class: match left.as_secs() / u64::from(crate::clock::DAY_SECONDS) {
            ..DAYS_GRAVE => "tag-bad",
            DAYS_GRAVE..DAYS_NEAR => "tag-warn",
            _ => "",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::attention::{GroupName, SigningCertificateName};
    use crate::domain::key::KeyName;
    use crate::domain::{Attention, Name, Role};
    use crate::enrollment::ClockDifference;
    use crate::id::{ComponentId, GroupId, Id as _, ProvisioningKeyId, SigningCertificateId};
    use crate::management::home::{EnrollmentCounts, EnrollmentsOverTime};
    use crate::server::health::{ClockHealth, EndpointHealth, Health, IndexHealth, SigningHealth, StoreHealth};
    use crate::store::{KindCounts, Page};

    const HOSTILE: &str = "\"><script>alert(1)</script>";

    fn now() -> Timestamp {
        Timestamp::from_rfc3339("2026-11-20T16:06:00Z").unwrap()
    }

    fn ahead(days: u64) -> Timestamp {
        now().saturating_add(Duration::from_secs(days * 86_400))
    }

    fn ago(hours: u64) -> Timestamp {
        now().saturating_sub(Duration::from_secs(hours * 3_600))
    }

    fn customer() -> CustomerId {
        CustomerId::from_raw(7)
    }

    fn key(name: &str) -> KeyName {
        KeyName { id: ProvisioningKeyId::from_raw(12), kind: Kind::AppConnector, name: Name::new(name).unwrap() }
    }

    fn health(is_ready: bool) -> Health {
        Health {
            store: StoreHealth {
                is_ready,
                engine: "embedded",
                commit_took: is_ready.then_some(Duration::from_micros(1_840)),
            },
            signing: SigningHealth { meant: 6, able: 6 },
            index: IndexHealth { is_ready: true, keys: 1_204, changes_behind: Some(0) },
            clock: ClockHealth { is_after_first_start: true, difference: ClockDifference::default() },
            endpoints: vec![
                EndpointHealth { listener: "admin", not_after: ahead(9) },
                EndpointHealth { listener: "enroll", not_after: ahead(61) },
            ],
            anchor: None,
            unknown_keys: 13,
            last_backup: Some(ago(3)),
        }
    }

    fn render(
        role: Role,
        attention: Vec<Attention>,
        refusals: &[RefusalSum],
        expiring: &[EndingComponent],
        is_ready: bool,
    ) -> String {
        let range = Range::Hours24;
        let buckets = range.buckets(now());
        let mut counts = vec![EnrollmentCounts::default(); buckets.count()];
        counts[3].enrolled = refusals.len() as u64;
        let total = attention.len() as u64;
        let page = HomePage {
            frame: Frame::for_tests(),
            head: PageHead::new("Home"),
            attention: attention_panel(customer(), role, &Page { rows: attention, total }, now()),
            health: health_panel(&health(is_ready), role == Role::Owner, now()),
            chart: chart::of_enrollments(range, &EnrollmentsOverTime { buckets, counts }, "/c/7"),
            refusals: refusal_rows(customer(), refusals),
            expiring: expiring.iter().map(|ending| expiring_row(customer(), ending, now())).collect(),
        };
        page.render().unwrap()
    }

    #[test]
    fn nothing_to_tell_is_told() {
        let html = render(Role::Operator, vec![], &[], &[], true);
        for sentence in [
            "Nothing needs attention",
            "No device was refused over the last 24 hours.",
            "No component’s certificate expires within 30 days.",
            "No device enrolled and none was refused over the last 24 hours.",
        ] {
            assert!(html.contains(sentence), "{sentence}");
        }
    }

    #[test]
    fn what_needs_attention_is_a_sentence_its_figures_and_a_remedy() {
        let group = GroupName { id: GroupId::from_raw(5), kind: Kind::Machine, name: Name::new("Kiosks").unwrap() };
        let certificate =
            SigningCertificateName { id: SigningCertificateId::from_raw(9), name: Name::new("Edge").unwrap() };
        let all = vec![
            Attention::SigningCertificateExpired { certificate: certificate.clone(), expired_at: ago(72), keys: 1 },
            Attention::KeyExhausted { key: key("k"), uses: 800, maximum: 800, refusals: 243, since: ago(2) },
            Attention::GroupDisabled { group, refusals: 1, since: ago(20) },
            Attention::KeyDisabled { key: key("k"), refusals: 2, since: ago(2) },
            Attention::KeyExpired { key: key("k"), expired_at: ago(3), uses: 87, maximum: None },
            Attention::KeyNearlyExhausted { key: key("k"), uses: 4_812, maximum: 5_000, uses_last_day: 644 },
            Attention::KeyExpiring { key: key("k"), expires_at: ahead(5), uses: 87, maximum: Some(120) },
            Attention::SigningCertificateExpiring { certificate, expires_at: ahead(24), keys: 3 },
        ];
        let page = Page { rows: all, total: 30 };
        let panel = attention_panel(customer(), Role::Admin, &page, now());
        assert_eq!(panel.count, "The gravest 8 of 30");
        let told: Vec<_> = panel
            .items
            .iter()
            .map(|item| {
                let remedy = item.remedy.as_ref().unwrap();
                let sentence = format!("{} {} {}", item.before, item.name.label, item.after);
                (sentence.trim().to_owned(), &*item.figures, &*remedy.label, &*remedy.address)
            })
            .collect();
        let told: Vec<_> = told.iter().map(|(a, b, c, d)| (&**a, *b, *c, *d)).collect();
        let key = "/c/7/app-connector/keys/12/edit";
        assert_eq!(
            told,
            [
                (
                    "Signing certificate Edge expired 3 days ago",
                    "It signs nothing any more; 1 key uses it.",
                    "Replace it",
                    "/c/7/signing-certificates/9/replace"
                ),
                (
                    "k is exhausted",
                    "243 requests refused since 14:06. Raise the maximum of 800 or leave it closed.",
                    "Edit maximum",
                    &*format!("{key}#maximum")
                ),
                (
                    "Machine Group Kiosks is disabled",
                    "1 request refused since 19 Nov 2026, 20:06. Enable it or leave it closed.",
                    "Edit group",
                    "/c/7/machine/groups/5/edit"
                ),
                (
                    "k is disabled",
                    "2 requests refused since 14:06. Enable it or leave it closed.",
                    "Edit status",
                    &*format!("{key}#enabled")
                ),
                ("k expired 3 h ago", "20 Nov 2026, 13:06. 87 uses.", "Edit expiry", &*format!("{key}#expires")),
                (
                    "k has 188 uses left",
                    "4,812 of 5,000. At today’s rate full in about 7 h.",
                    "Edit maximum",
                    &*format!("{key}#maximum")
                ),
                (
                    "k expires in 5 days",
                    "25 Nov 2026, 16:06. 87 of 120 uses.",
                    "Edit expiry",
                    &*format!("{key}#expires")
                ),
                (
                    "Signing certificate Edge expires in 24 days",
                    "14 Dec 2026. No certificate that it signs lasts longer; 3 keys use it.",
                    "Replace it",
                    "/c/7/signing-certificates/9/replace"
                ),
            ]
        );
        let auditor = attention_panel(customer(), Role::Auditor, &page, now());
        assert!(auditor.items.iter().all(|item| item.remedy.is_none()), "no button that the role cannot use");
    }

    #[test]
    fn what_others_named_is_text() {
        let exhausted = Attention::KeyExhausted { key: key("k"), uses: 1, maximum: 1, refusals: 3, since: ago(2) };
        let sum = RefusalSum {
            refusal: Refusal::KeyExhausted,
            count: 4,
            last_minute: ago(1),
            most_refused: Some((key("k"), 3)),
        };
        let ending = EndingComponent {
            id: ComponentId::from_raw(3),
            kind: Kind::Machine,
            name: HOSTILE.to_owned(),
            not_after: ahead(2),
        };
        let html = render(Role::Admin, vec![exhausted], &[sum], &[ending], true);
        assert!(!html.contains("<script>alert"));
        assert!(html.contains("href=\"/c/7/app-connector/keys/12/refusals\""));
        assert!(html.contains("href=\"/c/7/machine/components/3\""));
        assert!(html.contains("mostly with"));
        assert!(html.contains("tag-bad\">2 days"));
    }

    #[test]
    fn numbers_over_all_customers_are_for_owners() {
        let of_owner = render(Role::Owner, vec![], &[], &[], true);
        for words in ["embedded, 1.8 ms", "6 of 6 ready", "1,204 keys, current", "61 days left", "13 since the start"] {
            assert!(of_owner.contains(words), "{words}");
        }
        let of_admin = render(Role::Admin, vec![], &[], &[], true);
        assert!(!of_admin.contains("1,204") && !of_admin.contains("since the start") && !of_admin.contains("6 of 6"));
        assert!(render(Role::Admin, vec![], &[], &[], false).contains("Not ready"));
    }

    #[test]
    fn the_next_step_follows_from_what_is_there() {
        let counts = |groups, keys, components| [(Kind::Machine, KindCounts { components, groups, keys })];
        let title =
            |counts: [(Kind, KindCounts); 1]| beginning(customer(), Role::Operator, &counts).map(|empty| empty.title);
        assert_eq!(title(counts(0, 0, 0)).unwrap(), "Nothing enrolls here yet");
        assert_eq!(title(counts(1, 0, 0)).unwrap(), "No provisioning keys yet");
        assert_eq!(title(counts(1, 1, 0)).unwrap(), "No device has enrolled yet");
        assert!(title(counts(1, 1, 1)).is_none());
        let of_auditor = beginning(customer(), Role::Auditor, &counts(1, 0, 0)).unwrap();
        assert!(of_auditor.action.is_none());
    }
}
