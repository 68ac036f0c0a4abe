//! What a query asks for: a page, and a search in all the spellings that public clients use.

use super::form;
use super::refusal::Refusal;
use super::schema::{Parameter, ParameterForm};
use crate::store::{ListQuery, NameFilter};

const PAGE_SIZE_DEFAULT: u32 = 20;

/// What lists look at.
pub(super) static LIST: &[Parameter] = &[
    Parameter::new(
        "page",
        ParameterForm::Number(1, u32::MAX as u64),
        "Pages begin with 1; past the end they are empty",
    ),
    Parameter::new(
        "pagesize",
        ParameterForm::Number(1, ListQuery::LIMIT_MAX as u64),
        "Objects on a page, 20 by default",
    ),
    Parameter::new(
        "search",
        ParameterForm::Text,
        "`name EQ value`, also NE, LIKE, CONTAINS, STARTSWITH, ENDSWITH, joined by AND; a plain word is looked for in names",
    ),
];

/// Conditions that one search may join: each is a term of the statement that the store runs.
const CONDITIONS_MAX: usize = 16;

/// The members of a query that lists understand. Others (`microtenantId`, `sortBy`…) are ignored: the
/// public clients send them as they please.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    page: Option<String>,
    page_size: Option<String>,
    searches: Vec<String>,
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
                _ => {}
            }
        }
        Ok(query)
    }

    /// # Errors
    /// [`Refusal::Query`] with the member at fault.
    pub(super) fn list_query(&self) -> Result<ListQuery, Refusal> {
        let page = number("page", self.page.as_deref(), 1, u32::MAX)?.unwrap_or(1);
        let limit = number("pagesize", self.page_size.as_deref(), 1, ListQuery::LIMIT_MAX)?;
        let limit = limit.unwrap_or(PAGE_SIZE_DEFAULT);
        let mut filter = Vec::new();
        for search in &self.searches {
            parse_search(search, &mut filter)?;
            if filter.len() > CONDITIONS_MAX {
                let detail = format!("joins more than {CONDITIONS_MAX} conditions");
                return Err(Refusal::Query { member: "search", detail });
            }
        }
        Ok(ListQuery { filter, offset: u64::from(page - 1) * u64::from(limit), limit })
    }
}

fn number(member: &'static str, text: Option<&str>, min: u32, max: u32) -> Result<Option<u32>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = text.parse().ok().filter(|number| (min..=max).contains(number));
    let wrong = || Refusal::Query { member, detail: format!("must be a whole number from {min} to {max}") };
    parsed.map(Some).ok_or_else(wrong)
}

/// ```text
/// search    = condition *( sep "AND" sep condition ) / plain
/// condition = field sep operator sep value
/// sep       = 1*( " " / "+" )       ; public clients escape the plus, so it arrives as one
/// plain     = anything else         ; names that contain it
/// ```
/// In a value a plus is a space, as names have none; spaces inside it count.
fn parse_search(search: &str, filter: &mut Vec<NameFilter>) -> Result<(), Refusal> {
    let spaced = search.replace('+', " ");
    let text = spaced.trim_matches(' ');
    let Some(mut condition) = Condition::split(text) else {
        if !text.is_empty() {
            filter.push(NameFilter::Contains(text.to_owned()));
        }
        return Ok(());
    };
    while let Some((value, next)) = condition.split_next() {
        filter.push(Condition { value, ..condition }.name_filter()?);
        condition = next;
    }
    filter.push(condition.name_filter()?);
    Ok(())
}

#[derive(Clone, Copy)]
struct Condition<'a> {
    field: &'a str,
    operator: Operator,
    value: &'a str,
}

impl<'a> Condition<'a> {
    const JOINT: &'static str = " AND ";

    fn split(text: &'a str) -> Option<Self> {
        let (field, rest) = text.split_once(' ')?;
        let (operator, value) = rest.trim_start_matches(' ').split_once(' ')?;
        Some(Self { field, operator: Operator::parse(operator)?, value: value.trim_matches(' ') })
    }

    /// Where the value ends in a joint and another condition follows: the value proper, and that one.
    fn split_next(&self) -> Option<(&'a str, Self)> {
        self.value.match_indices(Self::JOINT).find_map(|(at, joint)| {
            let next = Self::split(self.value[at + joint.len()..].trim_start_matches(' '))?;
            Some((self.value[..at].trim_end_matches(' '), next))
        })
    }

    fn name_filter(&self) -> Result<NameFilter, Refusal> {
        let wrong = |detail: String| Refusal::Query { member: "search", detail };
        if !self.field.eq_ignore_ascii_case("name") {
            let field: String = self.field.chars().take(64).collect();
            return Err(wrong(format!("by {field:?} is not known; name is accepted")));
        }
        let value = self.value.to_owned();
        Ok(match self.operator {
            Operator::Contains => NameFilter::Contains(value),
            Operator::EndsWith => NameFilter::EndsWith(value),
            Operator::Equals => NameFilter::Equals(value),
            Operator::Like => like(&value),
            Operator::NotEquals => NameFilter::NotEquals(value),
            Operator::Order => return Err(wrong("compares a name by size; EQ, NE and LIKE are accepted".to_owned())),
            Operator::StartsWith => NameFilter::StartsWith(value),
        })
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Contains,
    EndsWith,
    Equals,
    Like,
    NotEquals,
    StartsWith,
    /// Known, and of no use on a name.
    Order,
}

impl Operator {
    fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_uppercase().as_str() {
            "CONTAINS" => Self::Contains,
            "ENDSWITH" => Self::EndsWith,
            "EQ" => Self::Equals,
            "LIKE" => Self::Like,
            "NE" => Self::NotEquals,
            "STARTSWITH" => Self::StartsWith,
            "GT" | "LT" | "GE" | "LE" | "GTEQ" | "LTEQ" => Self::Order,
            _ => return None,
        })
    }
}

/// With `%` or `*` at one end, the rest stands at the other; without, or with both, anywhere.
fn like(pattern: &str) -> NameFilter {
    let wildcard = |c: char| matches!(c, '%' | '*');
    let text = pattern.trim_matches(wildcard).to_owned();
    match (pattern.starts_with(wildcard), pattern.ends_with(wildcard)) {
        (true, false) => NameFilter::EndsWith(text),
        (false, true) => NameFilter::StartsWith(text),
        (true, true) | (false, false) => NameFilter::Contains(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_query(text: &str) -> Result<ListQuery, Refusal> {
        Query::parse(text)?.list_query()
    }

    fn filter(text: &str) -> Vec<NameFilter> {
        list_query(text).unwrap().filter
    }

    #[test]
    fn every_spelling_of_a_search_by_name() {
        let equals = |text: &str| vec![NameFilter::Equals(text.into())];
        for text in [
            "search=name%2BEQ%2BService+Edge",   // Python and Go, OneAPI
            "search=name%2BEQ%2BService%20Edge", // Go, legacy
            "search=name%2BEQ%2BService%2BEdge",
            "search=name%20EQ%20Service%20Edge", // as documented
            "search=name+EQ+Service+Edge",
            "page=1&pagesize=500&search=name+eq+Service+Edge&microtenantId=0",
        ] {
            assert_eq!(filter(text), equals("Service Edge"), "{text}");
        }
        // pyzscaler
        assert_eq!(filter("search=probe-1&page=1"), [NameFilter::Contains("probe-1".into())]);
        assert_eq!(filter("search=two+words"), [NameFilter::Contains("two words".into())]);
        assert_eq!(filter("search="), []);
    }

    #[test]
    fn every_operator_on_a_name() {
        for (search, expected) in [
            ("name NE a", NameFilter::NotEquals("a".into())),
            ("name CONTAINS a", NameFilter::Contains("a".into())),
            ("name STARTSWITH a", NameFilter::StartsWith("a".into())),
            ("name ENDSWITH a", NameFilter::EndsWith("a".into())),
            ("name LIKE a", NameFilter::Contains("a".into())),
            ("name LIKE a%25", NameFilter::StartsWith("a".into())),
            ("name LIKE %25a", NameFilter::EndsWith("a".into())),
            ("name LIKE *a*", NameFilter::Contains("a".into())),
        ] {
            assert_eq!(filter(&format!("search={}", search.replace(' ', "%20"))), [expected], "{search}");
        }
    }

    #[test]
    fn conditions_join_and_names_may_contain_the_word() {
        let both = [NameFilter::StartsWith("a".into()), NameFilter::NotEquals("a b".into())];
        assert_eq!(filter("search=name+STARTSWITH+a+AND+name+NE+a+b"), both);
        assert_eq!(filter("search=name+STARTSWITH+a&search=name+NE+a+b"), both);
        for name in ["R AND D", "AND", "a AND", "two  spaces", "EQ", "name EQ"] {
            let search = format!("search=name%20EQ%20{}", name.replace(' ', "%20"));
            assert_eq!(filter(&search), [NameFilter::Equals(name.into())], "{name:?}");
        }
    }

    #[test]
    fn conditions_are_counted() {
        for count in [CONDITIONS_MAX - 1, CONDITIONS_MAX] {
            assert_eq!(filter(&"&search=x".repeat(count)).len(), count);
        }
        let joined = format!("search=name+NE+x{}", "+AND+name+NE+x".repeat(CONDITIONS_MAX));
        for text in ["&search=x".repeat(CONDITIONS_MAX + 1), "&search=x".repeat(1_200), joined] {
            assert!(matches!(list_query(&text), Err(Refusal::Query { member: "search", .. })), "{text:.40}");
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused_and_not_ignored() {
        for text in ["search=enabled+EQ+true", "search=name+GT+a", "search=name+EQ+a+AND+id+EQ+7"] {
            assert!(matches!(list_query(text), Err(Refusal::Query { member: "search", .. })), "{text}");
        }
        assert!(matches!(list_query("search=%f"), Err(Refusal::Query { member: "query", .. })));
    }

    #[test]
    fn pages_at_their_bounds() {
        assert_eq!(list_query("").unwrap(), ListQuery { filter: vec![], offset: 0, limit: 20 });
        let last = list_query("page=4294967295&pagesize=500").unwrap();
        assert_eq!((last.offset, last.limit), (4_294_967_294 * 500, 500));
        assert_eq!(list_query("page=3&pageSize=1").unwrap().offset, 2);
        for text in ["page=0", "page=-1", "page=x", "page=4294967296", "pagesize=0", "pagesize=501"] {
            assert!(matches!(list_query(text), Err(Refusal::Query { .. })), "{text}");
        }
    }
}
