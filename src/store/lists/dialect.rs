//! What the databases do not say alike.

use crate::clock::Timestamp;
use crate::store::postgres;

/// Whose SQL it is. `now` is the time by the store's clock, for fields that depend on it.
#[derive(Clone, Copy)]
pub(in crate::store) enum Dialect {
    /// Without a time it is the database's.
    Postgres {
        now: Option<Timestamp>,
    },
    Sqlite {
        now: Timestamp,
    },
}

impl Dialect {
    /// What stands for a value, by its number from 1 on.
    pub(super) fn parameter(self, number: usize) -> String {
        match self {
            Self::Postgres { .. } => format!("${number}"),
            Self::Sqlite { .. } => format!("?{number}"),
        }
    }

    /// The time that `parameter` was bound to. PostgreSQL: one for all rows of a statement.
    pub(super) fn now(self, parameter: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("(SELECT {})", postgres::now(parameter)),
            Self::Sqlite { .. } => parameter.to_owned(),
        }
    }

    /// Text without regard to ASCII case, as the indexes on names have it. What it is held against is in lower case.
    pub(super) fn folded(self, text: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("lower({text})"),
            Self::Sqlite { .. } => format!("{text} COLLATE NOCASE"),
        }
    }

    /// Folds, too.
    pub(super) fn contains(self, text: &str, part: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("strpos(lower({text}), {part}) > 0"),
            Self::Sqlite { .. } => format!("instr(lower({text}), {part}) > 0"),
        }
    }

    /// Folds, too. PostgreSQL finds an index for it.
    pub(super) fn starts_with(self, text: &str, start: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("starts_with(lower({text}), {start})"),
            Self::Sqlite { .. } => format!("substr(lower({text}), 1, length({start})) = {start}"),
        }
    }

    /// Text that is in no column. PostgreSQL: by its bytes, as columns are.
    pub(super) fn text(self, expression: &str) -> String {
        match self {
            Self::Postgres { .. } => format!("({expression} COLLATE \"C\")"),
            Self::Sqlite { .. } => format!("({expression})"),
        }
    }

    /// In lower case.
    pub(super) fn hex(self, bytes: &str) -> String {
        match self {
            Self::Postgres { .. } => self.text(&format!("encode({bytes}, 'hex')")),
            Self::Sqlite { .. } => format!("lower(hex({bytes}))"),
        }
    }

    /// An address of 4 or 16 bytes as people write it.
    pub(super) fn address(self, bytes: &str) -> String {
        let inet =
            |bytes: &str| format!(r"host(regexp_replace(encode({bytes}, 'hex'), '(....)(?=.)', '\1:', 'g')::inet)");
        match self {
            // PostgreSQL ends ::/96 in the way of IPv4, RFC 5952 does not: so it is written as 1000::/96.
            Self::Postgres { .. } => self.text(&format!(
                r"CASE WHEN length({bytes}) = 4
                      THEN concat_ws('.', get_byte({bytes}, 0), get_byte({bytes}, 1), get_byte({bytes}, 2),
                          get_byte({bytes}, 3))
                  WHEN substr({bytes}, 1, 12) = '\x000000000000000000000000' THEN substr({low}, 5)
                  ELSE {any} END",
                low = inet(&format!(r"overlay({bytes} PLACING '\x10' FROM 1)")),
                any = inet(bytes),
            )),
            Self::Sqlite { .. } => format!("address_text({bytes})"),
        }
    }
}
