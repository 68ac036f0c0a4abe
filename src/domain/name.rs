//! Names and descriptions that administrators give.

use std::fmt;

/// A name: 1 to 255 ASCII letters, digits, spaces (not at an end), `.`, `-`, `_`.
///
/// Unique without regard to case per customer, kind and type of object; refused when wrong, never
/// silently changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Name(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("is empty; 1 to 255 characters were expected")]
    Empty,
    #[error("has {found} characters; at most 255 are accepted")]
    TooLong { found: usize },
    #[error("contains {found:?}; ASCII letters, digits, space, '.', '-' and '_' are accepted")]
    Character { found: char },
    #[error("starts or ends with a space")]
    OuterSpace,
}

impl Name {
    pub const BYTES_MAX: usize = 255;

    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        let accepted = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_');
        if let Some(found) = text.chars().find(|&c| !accepted(c)) {
            return Err(InvalidName::Character { found });
        }
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidName::TooLong { found: text.len() });
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(InvalidName::OuterSpace);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Free text of at most [`Description::BYTES_MAX`] bytes of UTF-8 without control characters
/// (line breaks and tabs are fine). May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Description(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDescription {
    #[error("has {found} bytes; at most 1024 are accepted")]
    TooLong { found: usize },
    #[error("contains a control character")]
    ControlCharacter,
}

impl Description {
    pub const BYTES_MAX: usize = 1024;

    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidDescription> {
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidDescription::TooLong { found: text.len() });
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(InvalidDescription::ControlCharacter);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_length_at_its_bounds() {
        assert_eq!(Name::new(""), Err(InvalidName::Empty));
        assert!(Name::new("a").is_ok());
        assert!(Name::new(&"a".repeat(255)).is_ok());
        assert_eq!(Name::new(&"a".repeat(256)), Err(InvalidName::TooLong { found: 256 }));
    }

    #[test]
    fn names_with_foreign_characters_are_refused() {
        assert!(Name::new("HQ east.2_b-c").is_ok());
        for found in ['ä', '\n', '\0', '/', '|', '<', '\u{a0}', '"'] {
            assert_eq!(Name::new(&format!("a{found}b")), Err(InvalidName::Character { found }));
        }
        for text in [" a", "a ", " "] {
            assert_eq!(Name::new(text), Err(InvalidName::OuterSpace), "{text:?}");
        }
    }
}
