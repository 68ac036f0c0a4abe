//! What a query asks for: a page, an order, and a search in all the spellings that public clients use.

use std::fmt::Display;
use std::str::FromStr;

use super::refusal::Refusal;
use super::schema::{Parameter, ParameterForm};
use super::wire::Listed;
use crate::clock::Timestamp;
use crate::management::audit::EXPORT_ROWS_MAX;
use crate::server::http::form;
use crate::store::{AuditField, AuditQuery, Comparison, Condition, ListQuery, PageRequest, Sort, Value, ValueKind};

const PAGE_SIZE_DEFAULT: u32 = 20;

const PAGE_NUMBER: Parameter = Parameter::new(
    "page",
    ParameterForm::Number(1, u32::MAX as u64),
    "Pages begin with 1; past the end they are empty",
);
const PAGE_SIZE: Parameter = Parameter::new(
    "pagesize",
    ParameterForm::Number(1, PageRequest::LIMIT_MAX as u64),
    "Objects on a page, 20 by default",
);

const SEARCH: Parameter = Parameter::new(
    "search",
    ParameterForm::Text,
    "`field EQ value`, also NE, LIKE, CONTAINS, STARTSWITH, ENDSWITH, GT, GE, LT, LE, joined by AND; a plain word is looked for in names",
);

/// What lists look at.
pub(super) static LIST: &[Parameter] = &[
    PAGE_NUMBER,
    PAGE_SIZE,
    SEARCH,
    Parameter::new("sortBy", ParameterForm::Text, "A member to order by; ids by default"),
    Parameter::new("sortDir", ParameterForm::Text, "`ASC` by default, or `DESC`; `sortOrder` is the same"),
];

/// Flags that queries read.
const FLAGS: [&str; 4] = ["dryRun", "force", "releaseUse", "revoke"];

/// What a deletion looks at that can be tried.
pub(super) static DRY_RUN: &[Parameter] =
    &[Parameter::new("dryRun", ParameterForm::Flag, "`true`: nothing is deleted, and what would be is answered")];

/// What the deletion of a key looks at.
pub(super) static REVOKE: &[Parameter] =
    &[Parameter::new("revoke", ParameterForm::Flag, "`true`: what came of the key is revoked with it")];

/// What the deletion of a group looks at.
pub(super) static FORCE: &[Parameter] =
    &[Parameter::new("force", ParameterForm::Flag, "`true`: all that belongs to it goes with it")];

/// What the deletion of a component looks at.
pub(super) static RELEASE_USE: &[Parameter] =
    &[Parameter::new("releaseUse", ParameterForm::Flag, "`true`: the use that it took is given back to its key")];

/// A page of what can be neither searched nor sorted.
pub(super) static PAGE: &[Parameter] = &[PAGE_NUMBER, PAGE_SIZE];

/// What the list of the audit log looks at.
pub(super) static AUDIT: &[Parameter] = &[
    PAGE_NUMBER,
    PAGE_SIZE,
    SEARCH,
    Parameter::new("from", ParameterForm::Text, "Events from then on: RFC 3339, or seconds since the epoch"),
    Parameter::new("to", ParameterForm::Text, "Events before then: RFC 3339, or seconds since the epoch"),
];

/// What the export of the audit log looks at.
pub(super) static EXPORT: &[Parameter] = &[
    Parameter::new(
        "after",
        ParameterForm::Number(0, i64::MAX as u64),
        "Events after the one with this sequence: that of the last line goes on where the answer before ended; 0 by default",
    ),
    Parameter::new(
        "limit",
        ParameterForm::Number(1, EXPORT_ROWS_MAX as u64),
        "Most events; as many as possible by default",
    ),
];

/// Conditions that one search may join: each is a term of the statement that the store runs.
const CONDITIONS_MAX: usize = 16;

/// The members of a query that lists understand. Others (`microtenantId`…) are ignored: the public
/// clients send them as they please.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Of [`FLAGS`], in the order in which they were sent.
    flags: Vec<(&'static str, String)>,
    page: Option<String>,
    page_size: Option<String>,
    searches: Vec<String>,
    sort_by: Option<String>,
    /// With the name that it was given under: `sortDir` or `sortOrder`.
    direction: Option<(&'static str, String)>,
    after: Option<String>,
    from: Option<String>,
    limit: Option<String>,
    to: Option<String>,
}

impl Query {
    /// # Errors
    /// [`Refusal::Query`] when the text is not form-encoded.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::Query { member: "query", detail: "is not form-encoded UTF-8".to_owned() };
        let mut query = Self::default();
        for (name, value) in form::parse(text).ok_or_else(malformed)? {
            match &*name {
                "page" => query.page = Some(value.to_string()),
                "pagesize" | "pageSize" => query.page_size = Some(value.to_string()),
                "search" => query.searches.push(value.to_string()),
                "sortBy" => query.sort_by = Some(value.to_string()),
                "sortDir" => query.direction = Some(("sortDir", value.to_string())),
                "sortOrder" => query.direction = Some(("sortOrder", value.to_string())),
                "after" => query.after = Some(value.to_string()),
                "from" => query.from = Some(value.to_string()),
                "limit" => query.limit = Some(value.to_string()),
                "to" => query.to = Some(value.to_string()),
                name => {
                    let flag = FLAGS.iter().find(|flag| **flag == name);
                    query.flags.extend(flag.map(|flag| (*flag, value.to_string())));
                }
            }
        }
        Ok(query)
    }

    /// A flag; false when it is not there.
    ///
    /// # Errors
    /// [`Refusal::Query`] when it is neither `true` nor `false`: what was meant as a question does nothing else.
    ///
    /// # Panics
    /// When no query reads such a flag ([`FLAGS`]).
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Refusal> {
        assert!(FLAGS.contains(&name), "{name} is read");
        match self.flags.iter().rev().find(|(found, _)| *found == name).map(|(_, value)| value.as_str()) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::Query { member: name, detail: "must be true or false".to_owned() }),
        }
    }

    /// # Errors
    /// [`Refusal::Query`] with the member at fault.
    pub(super) fn list_query<F: Listed>(&self) -> Result<ListQuery<F>, Refusal> {
        let PageRequest { offset, limit } = self.page()?;
        Ok(ListQuery { conditions: self.conditions()?, sort: self.sort()?, offset, limit })
    }

    /// Of the audit log: a search, and `from` (inclusive) and `to` (exclusive), each RFC 3339 or seconds
    /// since the epoch.
    ///
    /// # Errors
    /// [`Refusal::Query`] with the member at fault.
    pub(super) fn audit_query(&self) -> Result<AuditQuery, Refusal> {
        let mut conditions = self.conditions()?;
        for (member, text, comparison) in
            [("from", &self.from, Comparison::GreaterOrEquals), ("to", &self.to, Comparison::Less)]
        {
            let at = instant(member, text.as_deref())?;
            conditions.extend(at.map(|at| Condition::new(AuditField::At, comparison, at.unix_seconds())));
        }
        Ok(AuditQuery { conditions, page: self.page()? })
    }

    /// Of an export: after which row, and how many.
    ///
    /// # Errors
    /// [`Refusal::Query`] with the member at fault.
    pub(super) fn export_bounds(&self) -> Result<(u64, u32), Refusal> {
        let after = number("after", self.after.as_deref(), 0, i64::MAX as u64)?.unwrap_or(0);
        let limit = number("limit", self.limit.as_deref(), 1, EXPORT_ROWS_MAX)?.unwrap_or(EXPORT_ROWS_MAX);
        Ok((after, limit))
    }

    fn conditions<F: Listed>(&self) -> Result<Vec<Condition<F>>, Refusal> {
        let mut conditions = Vec::new();
        for search in &self.searches {
            parse_search(search, &mut conditions)?;
            if conditions.len() > CONDITIONS_MAX {
                let detail = format!("joins more than {CONDITIONS_MAX} conditions");
                return Err(Refusal::Query { member: "search", detail });
            }
        }
        Ok(conditions)
    }

    /// The page alone, for lists that are neither searched nor sorted.
    ///
    /// # Errors
    /// [`Refusal::Query`] with the member at fault.
    pub(super) fn page(&self) -> Result<PageRequest, Refusal> {
        let page = number("page", self.page.as_deref(), 1, u32::MAX)?.unwrap_or(1);
        let limit = number("pagesize", self.page_size.as_deref(), 1, PageRequest::LIMIT_MAX)?;
        let limit = limit.unwrap_or(PAGE_SIZE_DEFAULT);
        Ok(PageRequest { offset: u64::from(page - 1) * u64::from(limit), limit })
    }

    /// A direction alone is that of the order of id.
    fn sort<F: Listed>(&self) -> Result<Option<Sort<F>>, Refusal> {
        let direction = self.direction.as_ref().filter(|(_, text)| !text.is_empty());
        let descending = match direction {
            None => None,
            Some((_, text)) if text.eq_ignore_ascii_case("ASC") => Some(false),
            Some((_, text)) if text.eq_ignore_ascii_case("DESC") => Some(true),
            Some((member, _)) => return Err(Refusal::Query { member, detail: "must be ASC or DESC".to_owned() }),
        };
        let field = match self.sort_by.as_deref().filter(|text| !text.is_empty()) {
            Some(member) => field("sortBy", member)?,
            None if descending.is_none() => return Ok(None),
            None => field("sortBy", "id")?,
        };
        Ok(Some(Sort { field, descending: descending.unwrap_or(false) }))
    }
}

fn number<T: Copy + Display + FromStr + PartialOrd>(
    member: &'static str,
    text: Option<&str>,
    min: T,
    max: T,
) -> Result<Option<T>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = text.parse().ok().filter(|number| (min..=max).contains(number));
    let wrong = || Refusal::Query { member, detail: format!("must be a whole number from {min} to {max}") };
    parsed.map(Some).ok_or_else(wrong)
}

/// The field that the resource's `name` shows, for the query's `member`.
fn field<F: Listed>(member: &'static str, name: &str) -> Result<F, Refusal> {
    F::of_member(name).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        let accepted: Vec<_> = F::MEMBERS.iter().map(|(member, _)| *member).collect();
        Refusal::Query { member, detail: format!("by {name:?} is not known; accepted are {}", accepted.join(", ")) }
    })
}

/// ```text
/// search    = term *( sep "AND" sep term ) / plain
/// term      = field sep operator sep value
/// sep       = 1*( " " / "+" )       ; public clients escape the plus, so it arrives as one
/// plain     = anything else         ; names that contain it
/// ```
/// Which of the two a value means is for its field to say ([`Listed::holds_spaces`]). Where that is a space
/// those inside it count and those around it do not; elsewhere all behind one separator is the value.
fn parse_search<F: Listed>(search: &str, conditions: &mut Vec<Condition<F>>) -> Result<(), Refusal> {
    let Some(mut term) = Term::split(search) else {
        let text = spaced(search);
        if !text.is_empty() {
            conditions.push(Condition::new(field("search", F::NAME)?, Comparison::Contains, text.as_str()));
        }
        return Ok(());
    };
    while let Some((value, next)) = term.split_next() {
        conditions.push(Term { value, ..term }.condition()?);
        term = next;
    }
    conditions.push(term.condition()?);
    Ok(())
}

/// RFC 3339, or seconds since the epoch.
fn instant(member: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.parse().ok().and_then(Timestamp::checked_from_unix_seconds);
    let instant = seconds.or_else(|| Timestamp::from_rfc3339(text).ok());
    let wrong =
        || Refusal::Query { member, detail: "must be an RFC 3339 instant or seconds since the epoch".to_owned() };
    instant.map(Some).ok_or_else(wrong)
}

const SEPARATORS: [char; 2] = [' ', '+'];

/// The text with spaces for pluses, and none around it.
fn spaced(text: &str) -> String {
    text.trim_matches(SEPARATORS).replace('+', " ")
}

#[derive(Clone, Copy)]
struct Term<'a> {
    field: &'a str,
    operator: Operator,
    /// As it was sent.
    value: &'a str,
}

impl<'a> Term<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (field, rest) = text.trim_start_matches(SEPARATORS).split_once(SEPARATORS)?;
        let (operator, value) = rest.trim_start_matches(SEPARATORS).split_once(SEPARATORS)?;
        Some(Self { field, operator: Operator::parse(operator)?, value })
    }

    /// Where the value ends in a joint and another term follows: the value proper, and that one.
    fn split_next(&self) -> Option<(&'a str, Self)> {
        self.value.match_indices("AND").find_map(|(at, joint)| {
            let value = self.value[..at].strip_suffix(SEPARATORS)?;
            let next = self.value[at + joint.len()..].strip_prefix(SEPARATORS)?;
            Some((value, Self::split(next)?))
        })
    }

    fn condition<F: Listed>(&self) -> Result<Condition<F>, Refusal> {
        let wrong = |problem: &str| {
            let field: String = self.field.chars().take(64).collect();
            Refusal::Query { member: "search", detail: format!("by {field}: {problem}") }
        };
        let field: F = field("search", self.field)?;
        let kind = field.value_kind();
        let value = if field.holds_spaces() { spaced(self.value) } else { self.value.replace(' ', "+") };
        let (comparison, text) = match self.operator {
            Operator::Comparison(comparison) => (comparison, value.as_str()),
            Operator::Like => like(&value),
        };
        if !comparison.suits(kind) {
            return Err(wrong(match kind {
                ValueKind::Flag => "only EQ and NE apply",
                ValueKind::Number => "only EQ, NE, GT, GE, LT and LE apply",
                ValueKind::Text => "the operator does not apply",
            }));
        }
        let value = match kind {
            ValueKind::Flag if text.eq_ignore_ascii_case("true") => Value::Flag(true),
            ValueKind::Flag if text.eq_ignore_ascii_case("false") => Value::Flag(false),
            ValueKind::Flag => return Err(wrong("the value must be true or false")),
            ValueKind::Number => Value::Number(text.parse().map_err(|_| wrong("the value must be a whole number"))?),
            ValueKind::Text => Value::Text(text.to_owned()),
        };
        Ok(Condition { field, comparison, value })
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Comparison(Comparison),
    /// Which one depends on where the pattern has its wildcards.
    Like,
}

impl Operator {
    fn parse(word: &str) -> Option<Self> {
        Some(Self::Comparison(match word.to_ascii_uppercase().as_str() {
            "CONTAINS" => Comparison::Contains,
            "ENDSWITH" => Comparison::EndsWith,
            "EQ" => Comparison::Equals,
            "GE" | "GTEQ" => Comparison::GreaterOrEquals,
            "GT" => Comparison::Greater,
            "LE" | "LTEQ" => Comparison::LessOrEquals,
            "LIKE" => return Some(Self::Like),
            "LT" => Comparison::Less,
            "NE" => Comparison::NotEquals,
            "STARTSWITH" => Comparison::StartsWith,
            _ => return None,
        }))
    }
}

/// With `%` or `*` at one end, the rest stands at the other; without, or with both, anywhere.
fn like(pattern: &str) -> (Comparison, &str) {
    let wildcard = |c: char| matches!(c, '%' | '*');
    let comparison = match (pattern.starts_with(wildcard), pattern.ends_with(wildcard)) {
        (true, false) => Comparison::EndsWith,
        (false, true) => Comparison::StartsWith,
        (true, true) | (false, false) => Comparison::Contains,
    };
    (comparison, pattern.trim_matches(wildcard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ComponentField, KeyField, SigningCertificateField};

    fn list_query(text: &str) -> Result<ListQuery<KeyField>, Refusal> {
        Query::parse(text)?.list_query()
    }

    fn conditions(text: &str) -> Vec<Condition<KeyField>> {
        list_query(text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}")).conditions
    }

    fn escaped(search: &str) -> String {
        format!("search={}", search.replace('%', "%25").replace(' ', "%20"))
    }

    fn by_name(comparison: Comparison, name: &str) -> Condition<KeyField> {
        Condition::new(KeyField::Name, comparison, name)
    }

    #[test]
    fn every_spelling_of_a_search_by_name() {
        for text in [
            "search=name%2BEQ%2BService+Edge",   // Python and Go, OneAPI
            "search=name%2BEQ%2BService%20Edge", // Go, legacy
            "search=name%2BEQ%2BService%2BEdge",
            "search=name%20EQ%20Service%20Edge", // as documented
            "search=name+EQ+Service+Edge",
            "page=1&pagesize=500&search=name+eq+Service+Edge&microtenantId=0",
        ] {
            assert_eq!(conditions(text), [by_name(Comparison::Equals, "Service Edge")], "{text}");
        }
        // pyzscaler
        assert_eq!(conditions("search=probe-1&page=1"), [by_name(Comparison::Contains, "probe-1")]);
        assert_eq!(conditions("search=two+words"), [by_name(Comparison::Contains, "two words")]);
        assert_eq!(conditions("search="), []);
    }

    #[test]
    fn a_plus_in_a_value_is_one_where_no_space_can_be() {
        let by = |field, value: &str| Condition::new(field, Comparison::Equals, value);
        let found = by(KeyField::KeyId, "+a+/b++");
        for text in [
            "search=keyId%20EQ%20%2Ba%2B/b%2B%2B", // escaped
            "search=keyId+EQ+%2Ba%2B/b%2B%2B",
            "search=keyId%2BEQ%2B%2Ba%2B/b%2B%2B", // with its separators, as public clients do
            "search=keyId+EQ++a+/b++",             // not escaped at all
        ] {
            assert_eq!(conditions(text), std::slice::from_ref(&found), "{text}");
            let joined = format!("{text}+AND+name+EQ+two%2Bwords+");
            assert_eq!(conditions(&joined), [found.clone(), by(KeyField::Name, "two words")], "{joined}");
        }
        let hint = Condition::new(KeyField::Hint, Comparison::StartsWith, "3|a|+b");
        assert_eq!(conditions("search=keyHint+LIKE+3|a|%2Bb%25"), [hint]);
        let fingerprint = Query::parse("search=fingerprint+EQ+a+b%2Bc").unwrap().list_query().unwrap();
        let expected = Condition::new(ComponentField::Fingerprint, Comparison::Equals, "a+b+c");
        assert_eq!(fingerprint.conditions, [expected]);
    }

    #[test]
    fn every_operator() {
        for (word, comparison) in [
            ("NE", Comparison::NotEquals),
            ("contains", Comparison::Contains),
            ("STARTSWITH", Comparison::StartsWith),
            ("ENDSWITH", Comparison::EndsWith),
            ("LIKE", Comparison::Contains),
            ("GT", Comparison::Greater),
            ("GE", Comparison::GreaterOrEquals),
            ("GTEQ", Comparison::GreaterOrEquals),
            ("LT", Comparison::Less),
            ("LE", Comparison::LessOrEquals),
            ("LTEQ", Comparison::LessOrEquals),
        ] {
            assert_eq!(conditions(&escaped(&format!("name {word} a"))), [by_name(comparison, "a")], "{word}");
        }
        for (pattern, comparison) in
            [("a%", Comparison::StartsWith), ("%a", Comparison::EndsWith), ("*a*", Comparison::Contains)]
        {
            assert_eq!(conditions(&escaped(&format!("name LIKE {pattern}"))), [by_name(comparison, "a")], "{pattern}");
        }
    }

    #[test]
    fn values_are_read_as_their_field_has_them() {
        let number = Condition::new(KeyField::Maximum, Comparison::GreaterOrEquals, 10);
        assert_eq!(conditions("search=maxUsage+GE+10"), [number]);
        let flag = Condition::new(KeyField::Enabled, Comparison::NotEquals, true);
        assert_eq!(conditions("search=ENABLED%2BNE%2BTrue"), [flag]);
        let text = Condition::new(KeyField::State, Comparison::Equals, "expired");
        assert_eq!(conditions("search=state+EQ+expired"), [text]);
        let certificates = Query::parse("search=privateKeyPresent EQ true").unwrap();
        let expected = Condition::new(SigningCertificateField::PrivateKeyPresent, Comparison::Equals, true);
        assert_eq!(certificates.list_query().unwrap().conditions, [expected]);
    }

    fn audit_query(text: &str) -> Result<AuditQuery, Refusal> {
        Query::parse(text)?.audit_query()
    }

    #[test]
    fn the_audit_log_is_searched_by_its_own_members_and_between_instants() {
        let query = audit_query("search=actorName+EQ+eve&search=HQ&from=100&to=1970-01-01T00:03:20Z").unwrap();
        let expected = [
            Condition::new(AuditField::ActorName, Comparison::Equals, "eve"),
            Condition::new(AuditField::ObjectName, Comparison::Contains, "HQ"),
            Condition::new(AuditField::At, Comparison::GreaterOrEquals, 100),
            Condition::new(AuditField::At, Comparison::Less, 200),
        ];
        assert_eq!(query.conditions, expected);
        assert_eq!(audit_query("from=&to=").unwrap().conditions, []);
        for (text, at_fault) in [
            ("from=yesterday", "from"),
            ("from=253402300800", "from"),
            ("to=1.5", "to"),
            ("search=before+EQ+x", "search"),
        ] {
            assert!(matches!(audit_query(text), Err(Refusal::Query { member, .. }) if member == at_fault), "{text}");
        }
    }

    #[test]
    fn an_export_has_its_bounds() {
        let bounds = |text: &str| Query::parse(text)?.export_bounds();
        assert_eq!(bounds("").unwrap(), (0, EXPORT_ROWS_MAX));
        let most = format!("after={}&limit={EXPORT_ROWS_MAX}", i64::MAX);
        assert_eq!(bounds(&most).unwrap(), (i64::MAX as u64, EXPORT_ROWS_MAX));
        assert_eq!(bounds("after=0&limit=1").unwrap(), (0, 1));
        let over = format!("limit={}", EXPORT_ROWS_MAX + 1);
        for text in ["after=-1", "after=9223372036854775808", "limit=0", &over] {
            assert!(matches!(bounds(text), Err(Refusal::Query { .. })), "{text}");
        }
    }

    #[test]
    fn terms_join_and_names_may_contain_the_word() {
        let both = [by_name(Comparison::StartsWith, "a"), by_name(Comparison::NotEquals, "a b")];
        assert_eq!(conditions("search=name+STARTSWITH+a+AND+name+NE+a+b"), both);
        assert_eq!(conditions("search=name+STARTSWITH+a&search=name+NE+a+b"), both);
        let mixed = [by_name(Comparison::Equals, "a"), Condition::new(KeyField::Id, Comparison::Equals, 7)];
        assert_eq!(conditions("search=name+EQ+a+AND+id+EQ+7"), mixed);
        for name in ["R AND D", "AND", "a AND", "two  spaces", "EQ", "name EQ"] {
            assert_eq!(
                conditions(&escaped(&format!("name EQ {name}"))),
                [by_name(Comparison::Equals, name)],
                "{name:?}"
            );
        }
    }

    #[test]
    fn conditions_are_counted() {
        for count in [CONDITIONS_MAX - 1, CONDITIONS_MAX] {
            assert_eq!(conditions(&"&search=x".repeat(count)).len(), count);
        }
        let joined = format!("search=name+NE+x{}", "+AND+name+NE+x".repeat(CONDITIONS_MAX));
        for text in ["&search=x".repeat(CONDITIONS_MAX + 1), "&search=x".repeat(1_200), joined] {
            assert!(matches!(list_query(&text), Err(Refusal::Query { member: "search", .. })), "{text:.40}");
        }
    }

    #[test]
    fn orders_in_both_spellings() {
        let by = |field, descending| Some(Sort { field, descending });
        for (text, expected) in [
            ("", None),
            ("sortBy=name", by(KeyField::Name, false)),
            ("sortBy=usageCount&sortDir=DESC", by(KeyField::Uses, true)),
            ("sortOrder=desc&sortBy=creationTime", by(KeyField::CreatedAt, true)),
            ("sortBy=NAME&sortOrder=Asc", by(KeyField::Name, false)),
            ("sortDir=DESC", by(KeyField::Id, true)),
            ("sortBy=&sortDir=", None),
        ] {
            assert_eq!(list_query(text).unwrap().sort, expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_refused_and_not_ignored() {
        for (text, at_fault) in [
            ("search=provisioningKey+EQ+x", "search"),
            ("search=name+EQ+a+AND+colour+EQ+red", "search"),
            ("search=enabled+GT+false", "search"),
            ("search=enabled+LIKE+t", "search"),
            ("search=enabled+EQ+yes", "search"),
            ("search=maxUsage+CONTAINS+1", "search"),
            ("search=maxUsage+EQ+many", "search"),
            ("search=maxUsage+EQ+1.5", "search"),
            ("search=id+EQ+9223372036854775808", "search"),
            ("search=%f", "query"),
            ("sortBy=provisioningKey", "sortBy"),
            ("sortBy=name&sortDir=down", "sortDir"),
            ("sortBy=name&sortOrder=1", "sortOrder"),
        ] {
            let refused = list_query(text);
            assert!(matches!(refused, Err(Refusal::Query { member, .. }) if member == at_fault), "{text}: {refused:?}");
        }
    }

    #[test]
    fn a_flag_is_true_or_false() {
        let flag = |text| Query::parse(text).unwrap().flag("revoke");
        for (text, expected) in [("", false), ("revoke=false", false), ("dryRun=x&revoke=true", true)] {
            assert_eq!(flag(text).unwrap(), expected, "{text:?}");
        }
        for text in ["revoke", "revoke=", "revoke=1", "revoke=TRUE"] {
            assert!(matches!(flag(text), Err(Refusal::Query { member: "revoke", .. })), "{text}");
        }
        assert!(!Query::parse("releaseUse=true").unwrap().flag("force").unwrap());
    }

    #[test]
    fn pages_at_their_bounds() {
        assert_eq!(list_query("").unwrap(), ListQuery::first(20));
        let last = list_query("page=4294967295&pagesize=500").unwrap();
        assert_eq!((last.offset, last.limit), (4_294_967_294 * 500, 500));
        assert_eq!(list_query("page=3&pageSize=1").unwrap().offset, 2);
        for text in ["page=0", "page=-1", "page=x", "page=4294967296", "pagesize=0", "pagesize=501"] {
            assert!(matches!(list_query(text), Err(Refusal::Query { .. })), "{text}");
        }
    }
}
