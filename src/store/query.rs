//! What a list is asked for: conditions, an order, a page.
//!
//! Values are flags, numbers (ids, counters and instants in unix seconds are numbers too) or text.
//! Text is compared without regard to ASCII case and ordered by its lower-case bytes. A field that an
//! object does not have (no limit, never used) meets [`Comparison::NotEquals`] and nothing else, and
//! stands before all values in an ascending order.

use std::cmp::Ordering;

use super::Page;

/// Which part of a list is wanted, of objects with the fields `F`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery<F> {
    /// All must hold.
    pub conditions: Vec<Condition<F>>,
    /// Those that are alike, and all if there is none: in order of id.
    pub sort: Option<Sort<F>>,
    /// Rows to skip.
    pub offset: u64,
    /// At most this many rows, 1 to [`PageRequest::LIMIT_MAX`].
    pub limit: u32,
}

/// Which part of a list that is neither searched nor sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows to skip.
    pub offset: u64,
    /// At most this many rows, 1 to [`Self::LIMIT_MAX`].
    pub limit: u32,
}

/// Which part of a customer's audit log is wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// All must hold.
    pub conditions: Vec<Condition<AuditField>>,
    pub page: PageRequest,
}

/// One thing that must be true of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition<F> {
    pub field: F,
    pub comparison: Comparison,
    pub value: Value,
}

/// How a field is held against a value. What does not suit the value's kind is true of no object,
/// and so is a value that is not of the field's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Contains,
    EndsWith,
    Equals,
    Greater,
    GreaterOrEquals,
    Less,
    LessOrEquals,
    NotEquals,
    StartsWith,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    Flag,
    Number,
    Text,
}

/// By which field a list is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort<F> {
    pub field: F,
    /// Turns the order of id among those that are alike, too.
    pub descending: bool,
}

/// The fields of one kind of object.
pub trait ListField: Copy + Eq + std::fmt::Debug + Send + Sync + 'static {
    fn value_kind(self) -> ValueKind;
}

impl<F> ListQuery<F> {
    pub const LIMIT_MAX: u32 = PageRequest::LIMIT_MAX;

    /// The first `limit` rows of all, in order of id.
    pub const fn first(limit: u32) -> Self {
        Self { conditions: Vec::new(), sort: None, offset: 0, limit }
    }

    /// The first `limit` of those that meet a condition.
    pub fn first_where(limit: u32, field: F, comparison: Comparison, value: impl Into<Value>) -> Self {
        Self { conditions: vec![Condition::new(field, comparison, value)], ..Self::first(limit) }
    }
}

impl<F: ListField> ListQuery<F> {
    /// What a store does, for lists that are held in memory. `rows` are in order of id.
    pub fn select<T>(&self, mut rows: Vec<T>, value_of: impl Fn(&T, F) -> Option<Value>) -> Page<T> {
        rows.retain(|row| {
            self.conditions.iter().all(|condition| condition.holds(value_of(row, condition.field).as_ref()))
        });
        if let Some(sort) = self.sort {
            rows.sort_by(|a, b| order(value_of(a, sort.field).as_ref(), value_of(b, sort.field).as_ref()));
            if sort.descending {
                rows.reverse();
            }
        }
        let total = rows.len() as u64;
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        Page { rows: rows.into_iter().skip(offset).take(self.limit as usize).collect(), total }
    }
}

impl PageRequest {
    pub const LIMIT_MAX: u32 = 500;

    pub const fn first(limit: u32) -> Self {
        Self { offset: 0, limit }
    }

    /// Limit and offset that databases take: 1 to [`Self::LIMIT_MAX`], and at most 2⁶³ − 1.
    pub(super) fn bounds(self) -> (u32, i64) {
        (self.limit.clamp(1, Self::LIMIT_MAX), i64::try_from(self.offset).unwrap_or(i64::MAX))
    }
}

impl<F> From<&ListQuery<F>> for PageRequest {
    fn from(query: &ListQuery<F>) -> Self {
        Self { offset: query.offset, limit: query.limit }
    }
}

impl<F> Condition<F> {
    pub fn new(field: F, comparison: Comparison, value: impl Into<Value>) -> Self {
        Self { field, comparison, value: value.into() }
    }
}

impl<F: ListField> Condition<F> {
    /// Whether it could be true of some object: the comparison suits the value, and that the field.
    pub fn makes_sense(&self) -> bool {
        self.value.kind() == self.field.value_kind() && self.comparison.suits(self.value.kind())
    }

    /// Whether it is true of an object whose field has this value, or none.
    fn holds(&self, found: Option<&Value>) -> bool {
        let comparison = self.comparison;
        match (found, &self.value) {
            _ if !self.makes_sense() => false,
            (None, _) => comparison == Comparison::NotEquals,
            (Some(Value::Text(found)), Value::Text(wanted)) => {
                let (found, wanted) = (found.to_ascii_lowercase(), wanted.to_ascii_lowercase());
                match comparison {
                    Comparison::Contains => found.contains(&wanted),
                    Comparison::EndsWith => found.ends_with(&wanted),
                    Comparison::StartsWith => found.starts_with(&wanted),
                    _ => comparison.accepts(found.cmp(&wanted)),
                }
            }
            (found, wanted) => comparison.accepts(order(found, Some(wanted))),
        }
    }
}

impl Comparison {
    pub const ALL: [Self; 9] = [
        Self::Contains,
        Self::EndsWith,
        Self::Equals,
        Self::Greater,
        Self::GreaterOrEquals,
        Self::Less,
        Self::LessOrEquals,
        Self::NotEquals,
        Self::StartsWith,
    ];

    /// Whether it can be true of a value of this kind.
    pub const fn suits(self, kind: ValueKind) -> bool {
        match self {
            Self::Equals | Self::NotEquals => true,
            Self::Greater | Self::GreaterOrEquals | Self::Less | Self::LessOrEquals => !matches!(kind, ValueKind::Flag),
            Self::Contains | Self::EndsWith | Self::StartsWith => matches!(kind, ValueKind::Text),
        }
    }

    /// Whether a found value may stand so to the wanted one.
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEquals => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEquals => order.is_le(),
            Self::NotEquals => order.is_ne(),
            Self::Contains | Self::EndsWith | Self::StartsWith => false,
        }
    }
}

impl Value {
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Flag(_) => ValueKind::Flag,
            Self::Number(_) => ValueKind::Number,
            Self::Text(_) => ValueKind::Text,
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Of values of one kind; none comes first.
fn order(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::Flag(a)), Some(Value::Flag(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.cmp(b),
        (Some(Value::Text(a)), Some(Value::Text(b))) => a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$field_doc])* $field,)+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$field),+];
        }

        impl ListField for $name {
            fn value_kind(self) -> ValueKind {
                match self {
                    $(Self::$field => ValueKind::$kind,)+
                }
            }
        }
    };
}

fields! {
    /// What administrators are searched and sorted by.
    AdministratorField {
        CreatedAt: Number,
        Description: Text,
        Enabled: Flag,
        Id: Number,
        /// None: never.
        LastSignInAt: Number,
        ModifiedAt: Number,
        Role: Text,
        Username: Text,
    }
}

fields! {
    /// What API clients are searched and sorted by.
    ApiClientField {
        ClientId: Text,
        CreatedAt: Number,
        Enabled: Flag,
        Id: Number,
        /// None when it does not manage what it makes.
        Label: Text,
        /// None: never.
        LastUsedAt: Number,
        Managing: Flag,
        ModifiedAt: Number,
        Name: Text,
        Role: Text,
    }
}

fields! {
    /// What audit rows are searched by.
    AuditField {
        Action: Text,
        ActorId: Text,
        ActorName: Text,
        ActorType: Text,
        At: Number,
        ObjectId: Text,
        ObjectName: Text,
        ObjectType: Text,
        Sequence: Number,
    }
}

fields! {
    /// What components are searched and sorted by.
    ComponentField {
        CertificateNotAfter: Number,
        Description: Text,
        Enabled: Flag,
        EnrolledAt: Number,
        Fingerprint: Text,
        GroupId: Number,
        GroupName: Text,
        Hostname: Text,
        Id: Number,
        KeyId: Number,
        /// None when the key was deleted.
        KeyName: Text,
        ModifiedAt: Number,
        Name: Text,
        Platform: Text,
        /// As people write it, IPv6 in the form of RFC 5952.
        RemoteAddress: Text,
        /// 32 hex digits, of the current certificate.
        SerialNumber: Text,
        SoftwareVersion: Text,
        /// `revoked`, else `disabled`, else `live`.
        State: Text,
    }
}

fields! {
    /// What customers are searched and sorted by.
    CustomerField {
        CreatedAt: Number,
        Enabled: Flag,
        Id: Number,
        ModifiedAt: Number,
        Name: Text,
    }
}

fields! {
    /// What groups are searched and sorted by.
    GroupField {
        CreatedAt: Number,
        Description: Text,
        Enabled: Flag,
        Id: Number,
        ModifiedAt: Number,
        Name: Text,
        SigningCertificateId: Number,
        SigningCertificateName: Text,
    }
}

fields! {
    /// What provisioning keys are searched and sorted by.
    KeyField {
        AllowReEnrollment: Flag,
        CreatedAt: Number,
        Description: Text,
        Enabled: Flag,
        /// None: never.
        ExpiresAt: Number,
        Exportable: Flag,
        GroupId: Number,
        GroupName: Text,
        Hint: Text,
        Id: Number,
        /// The public key id.
        KeyId: Text,
        LastUsedAt: Number,
        LastUsedBy: Number,
        Managed: Flag,
        /// Who manages it.
        ManagedBy: Text,
        /// The API client that manages it.
        ManagedById: Number,
        /// None: no limit.
        Maximum: Number,
        ModifiedAt: Number,
        Name: Text,
        ReEnrollments: Number,
        SigningCertificateId: Number,
        SigningCertificateName: Text,
        /// The words of [`KeyState`](crate::domain::key::KeyState), by the store's clock.
        State: Text,
        SuccessorId: Number,
        /// Uses in percent of the maximum, rounded down; above 100 where the maximum was lowered since. None
        /// without a maximum.
        UsedPercent: Number,
        Uses: Number,
        /// None when it was imported.
        Version: Number,
    }
}

fields! {
    /// What webhooks are searched and sorted by.
    WebhookField {
        CreatedAt: Number,
        Enabled: Flag,
        Id: Number,
        ModifiedAt: Number,
        Name: Text,
        Url: Text,
    }
}

fields! {
    /// What signing certificates are searched and sorted by.
    SigningCertificateField {
        AllowSigning: Flag,
        CreatedAt: Number,
        Description: Text,
        Id: Number,
        ModifiedAt: Number,
        Name: Text,
        /// None while there is no certificate; so is [`Self::NotBefore`].
        NotAfter: Number,
        NotBefore: Number,
        ParentId: Number,
        ParentName: Text,
        PrivateKeyPresent: Flag,
        /// `isolation_client`, `none`, `zapp_client`.
        Purpose: Text,
        /// The words of [`SigningState`](crate::domain::certificate::SigningState), by the store's clock.
        State: Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn conditions_hold_as_they_say() {
        let (name, maximum, enabled) = (KeyField::Name, KeyField::Maximum, KeyField::Enabled);
        let cases = [
            (name, Some(text("Berlin")), Comparison::Contains, text("ERL"), true),
            (name, Some(text("Berlin")), Comparison::EndsWith, text("LIN"), true),
            (name, Some(text("Berlin")), Comparison::StartsWith, text("lin"), false),
            (name, Some(text("Berlin")), Comparison::Equals, text("bERLIN"), true),
            (name, Some(text("Berlin")), Comparison::Less, text("CHICAGO"), true),
            (name, Some(text("a_")), Comparison::Less, text("aA"), true), // _ stands before the lower-case letters
            (maximum, Some(Value::Number(7)), Comparison::GreaterOrEquals, Value::Number(7), true),
            (maximum, Some(Value::Number(7)), Comparison::Greater, Value::Number(7), false),
            (maximum, Some(Value::Number(7)), Comparison::Contains, Value::Number(7), false),
            (maximum, Some(Value::Number(7)), Comparison::NotEquals, text("8"), false),
            (enabled, Some(Value::Flag(true)), Comparison::Equals, Value::Flag(true), true),
            (enabled, Some(Value::Flag(true)), Comparison::Greater, Value::Flag(false), false),
            (maximum, None, Comparison::NotEquals, Value::Number(7), true),
            (maximum, None, Comparison::NotEquals, text("8"), false),
            (maximum, None, Comparison::Less, Value::Number(7), false),
        ];
        for (field, found, comparison, value, expected) in cases {
            let condition = Condition { field, comparison, value };
            assert_eq!(condition.holds(found.as_ref()), expected, "{found:?} {condition:?}");
        }
    }
}
