//! Lists as SQL: what both stores ask of their tables, each in its [`Dialect`]. How a list is read is their own.

mod columns;
mod dialect;

use std::borrow::Cow;

use super::{AuditField, AuditQuery, Comparison, Condition, ListField, ListQuery, Sort, Value, ValueKind};
use crate::clock::Timestamp;
use crate::domain::Kind;
use crate::id::CustomerId;

pub(super) use dialect::Dialect;

/// Where a table keeps the fields of its list.
pub(super) trait Columns: ListField {
    fn column(self, values: &mut Values) -> Column;

    /// Whether each object has a value, few the same, and an index leads there. Of no use in short lists.
    fn is_unique(self) -> bool {
        false
    }
}

/// Where a field is found.
pub(super) enum Column {
    /// An expression over the list's own row.
    Own(Cow<'static, str>),
    /// The name of what the row refers to by this qualified column.
    NameOf { table: &'static str, reference: &'static str },
}

/// What a statement binds, in the order of its numbers.
pub(super) struct Values {
    pub(super) bound: Vec<Bound>,
    dialect: Dialect,
}

/// One of them.
pub(super) enum Bound {
    Customer(CustomerId),
    Kind(Kind),
    /// `None`: the database's own clock is asked.
    Now(Option<Timestamp>),
    Value(Value),
}

impl Values {
    /// What stands for `value` in the statement, e.g. `?3`.
    pub(super) fn bind(&mut self, value: Bound) -> String {
        self.bound.push(value);
        self.dialect.parameter(self.bound.len())
    }

    fn bind_now(&mut self) -> String {
        let now = match self.dialect {
            Dialect::Postgres { now } => now,
            Dialect::Sqlite { now } => Some(now),
        };
        let parameter = self.bind(Bound::Now(now));
        self.dialect.now(&parameter)
    }
}

/// What a list chooses from: `FROM table WHERE condition`, with the condition's values.
pub(super) struct List {
    pub(super) columns: &'static str,
    pub(super) table: &'static str,
    pub(super) condition: String,
    pub(super) values: Values,
    /// How many rows are asked for, if that is counted somewhere.
    pub(super) length: Option<u64>,
}

impl List {
    /// All rows of the service.
    pub(super) fn of_service(columns: &'static str, table: &'static str, dialect: Dialect) -> Self {
        let values = Values { bound: Vec::new(), dialect };
        Self { columns, table, condition: "TRUE".to_owned(), values, length: None }
    }

    /// A customer's rows. The customer is the first value of whatever is added.
    pub(super) fn of_customer(
        columns: &'static str,
        table: &'static str,
        customer: CustomerId,
        dialect: Dialect,
    ) -> Self {
        let mut list = Self::of_service(columns, table, dialect);
        list.condition = format!("customer_id = {}", list.values.bind(Bound::Customer(customer)));
        list
    }

    /// A customer's rows of one kind, which is the second value.
    pub(super) fn of_kind(
        columns: &'static str,
        table: &'static str,
        customer: CustomerId,
        kind: Kind,
        dialect: Dialect,
    ) -> Self {
        let mut list = Self::of_customer(columns, table, customer, dialect);
        let kind = list.values.bind(Bound::Kind(kind));
        list.restrict(&format!("kind = {kind}"));
        list
    }

    /// Spares counting what is asked for.
    pub(super) fn of_length(self, length: u64) -> Self {
        Self { length: Some(length), ..self }
    }

    pub(super) fn restrict(&mut self, condition: &str) {
        self.condition = format!("{} AND {condition}", self.condition);
    }

    /// To those that meet all of these, too.
    pub(super) fn narrow<F: Columns>(&mut self, conditions: &[Condition<F>]) {
        for condition in conditions {
            let term = self.term(condition);
            self.restrict(&term);
        }
    }

    /// What the rows are ordered by, or, `is_reversed`, read from the end.
    pub(super) fn order<F: Columns>(&mut self, sort: Option<Sort<F>>, is_reversed: bool) -> String {
        let is_descending = sort.is_some_and(|sort| sort.descending) != is_reversed;
        let (direction, nulls) = if is_descending { ("DESC", "LAST") } else { ("ASC", "FIRST") };
        match sort {
            None => format!("id {direction}"),
            // Beside a word on what no row lacks, PostgreSQL would not find the index.
            Some(sort) if sort.field.is_unique() => {
                format!("{} {direction}, id {direction}", self.sort_key(sort.field))
            }
            Some(sort) => format!("{} {direction} NULLS {nulls}, id {direction}", self.sort_key(sort.field)),
        }
    }

    /// The table without what is joined to it, which adds no rows.
    pub(super) fn base(&self) -> &'static str {
        self.table.split(' ').next().unwrap_or(self.table)
    }

    fn term<F: Columns>(&mut self, condition: &Condition<F>) -> String {
        let Condition { field, comparison, value } = condition;
        if !condition.makes_sense() {
            return "FALSE".to_owned();
        }
        // No text that is kept has a NUL, and PostgreSQL takes none.
        if let Value::Text(text) = value
            && let Some((before, _)) = text.split_once('\0')
        {
            let comparison = match comparison {
                Comparison::Contains | Comparison::EndsWith | Comparison::Equals | Comparison::StartsWith => {
                    return "FALSE".to_owned();
                }
                Comparison::Greater | Comparison::GreaterOrEquals => Comparison::Greater,
                Comparison::Less | Comparison::LessOrEquals => Comparison::LessOrEquals,
                Comparison::NotEquals => return "TRUE".to_owned(),
            };
            return self.term(&Condition::new(*field, comparison, before));
        }
        match field.column(&mut self.values) {
            Column::Own(expression) => term(&mut self.values, &expression, *comparison, value),
            // Few are referred to by many, so the few are searched.
            Column::NameOf { table, reference } => {
                let customer = self.customer();
                let among = |term: &str| {
                    format!(
                        "{reference} IN (SELECT named.id FROM {table} named WHERE named.customer_id = {customer} AND {term})"
                    )
                };
                match comparison {
                    Comparison::NotEquals => {
                        let equals = term(&mut self.values, "named.name", Comparison::Equals, value);
                        format!("({}) IS NOT TRUE", among(&equals))
                    }
                    other => among(&term(&mut self.values, "named.name", *other, value)),
                }
            }
        }
    }

    fn sort_key<F: Columns>(&mut self, field: F) -> String {
        let expression = match field.column(&mut self.values) {
            Column::Own(expression) => expression,
            Column::NameOf { table, reference } => {
                let customer = self.customer();
                format!(
                    "(SELECT named.name FROM {table} named WHERE named.customer_id = {customer} AND named.id = {reference})"
                )
                .into()
            }
        };
        match field.value_kind() {
            ValueKind::Flag | ValueKind::Number => expression.into_owned(),
            ValueKind::Text => self.values.dialect.folded(&expression),
        }
    }

    fn customer(&self) -> String {
        self.values.dialect.parameter(1)
    }
}

/// One comparison of an expression with a value that suits it. Only text is folded: beside a collation that is not
/// its own, an index on a number is of no use.
fn term(values: &mut Values, expression: &str, comparison: Comparison, value: &Value) -> String {
    let dialect = values.dialect;
    let (folded, value) = match value {
        Value::Text(text) => (dialect.folded(expression), Value::Text(text.to_ascii_lowercase())),
        other => (expression.to_owned(), other.clone()),
    };
    let value = values.bind(Bound::Value(value));
    match comparison {
        Comparison::Contains => dialect.contains(expression, &value),
        Comparison::EndsWith => {
            format!("substr(lower({expression}), length({expression}) - length({value}) + 1) = {value}")
        }
        Comparison::Equals => format!("{folded} = {value}"),
        Comparison::Greater => format!("{folded} > {value}"),
        Comparison::GreaterOrEquals => format!("{folded} >= {value}"),
        Comparison::Less => format!("{folded} < {value}"),
        Comparison::LessOrEquals => format!("{folded} <= {value}"),
        Comparison::NotEquals => format!("{folded} IS DISTINCT FROM {value}"),
        Comparison::StartsWith => dialect.starts_with(expression, &value),
    }
}

/// Whether a list is gone through, and not just read at one place: then others are not to wait for it.
pub(super) fn is_walk<F: Columns>(query: &ListQuery<F>) -> bool {
    let is_unfiltered = query.conditions.is_empty() && query.sort.is_none_or(|sort| sort.field.is_unique());
    let is_sought =
        |condition: &Condition<F>| condition.comparison == Comparison::Equals && condition.field.is_unique();
    !is_unfiltered && !query.conditions.iter().any(is_sought)
}

/// Whether a search reads the chain from its end, and not just one page or what was done to one object.
pub(super) fn is_walk_of_audit(query: &AuditQuery) -> bool {
    let is_of_object = |condition: &Condition<AuditField>| {
        condition.field == AuditField::ObjectId && condition.comparison == Comparison::Equals
    };
    !query.conditions.is_empty() && !query.conditions.iter().any(is_of_object)
}
