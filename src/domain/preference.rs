//! What the portal keeps for one administrator: how a page is shown, and sets of filters by name.

use std::borrow::Borrow;
use std::fmt;

use crate::id::{AdministratorId, CustomerId};

/// How one administrator has one page: columns, sort, page size, theme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// [`CustomerId::SERVICE`] for owners.
    pub customer_id: CustomerId,
    pub administrator_id: AdministratorId,
    pub page: PageName,
    pub value: QueryText,
}

/// A set of filters of a page that an administrator gave a name, to find it again in later sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFilter {
    /// [`CustomerId::SERVICE`] for owners.
    pub customer_id: CustomerId,
    pub administrator_id: AdministratorId,
    pub page: PageName,
    /// Unique per administrator and page, without regard to ASCII case.
    pub name: FilterName,
    pub query: QueryText,
}

/// Most preferences of one administrator.
pub const PREFERENCES_MAX: u32 = 200;

/// Most saved filters of one administrator, of all pages.
pub const SAVED_FILTERS_MAX: u32 = 500;

/// Most saved filters of one administrator and page.
pub const SAVED_FILTERS_OF_PAGE_MAX: u32 = 50;

/// What the portal calls one of its pages: 1 to 64 lower-case ASCII letters, digits, `-` and `/`, e.g.
/// `app-connector/keys`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageName(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no name of a page")]
pub struct InvalidPageName;

impl PageName {
    pub const BYTES_MAX: usize = 64;

    /// # Errors
    /// [`InvalidPageName`], whatever is wrong: no person types it.
    pub fn new(text: &str) -> Result<Self, InvalidPageName> {
        let accepted = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'/');
        let is_good = (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(accepted);
        if is_good { Ok(Self(text.into())) } else { Err(InvalidPageName) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map is asked with a text.
impl Borrow<str> for PageName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a saved filter: 1 to 60 visible characters of any script, and spaces that do not stand at an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterName(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilterName {
    #[error("is empty; 1 to 60 characters were expected")]
    Empty,
    #[error("has {found} characters; at most 60 are accepted")]
    TooLong { found: usize },
    #[error("contains a character that cannot be seen")]
    Invisible,
    #[error("starts or ends with a space")]
    OuterSpace,
}

impl FilterName {
    pub const CHARACTERS_MAX: usize = 60;

    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidFilterName> {
        if text.is_empty() {
            return Err(InvalidFilterName::Empty);
        }
        if text.chars().any(is_invisible) {
            return Err(InvalidFilterName::Invisible);
        }
        let found = text.chars().count();
        if found > Self::CHARACTERS_MAX {
            return Err(InvalidFilterName::TooLong { found });
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(InvalidFilterName::OuterSpace);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Controls, spaces that are none of U+0020, and what only steers how its neighbours are shown: two names that
/// look alike would be two, and one could turn the line that it stands in.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text as it stands in an address behind the `?`: at most 2 KiB of visible ASCII characters. May be empty.
///
/// So it can be put into a header or a link as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryText(Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQueryText {
    #[error("has {found} bytes; at most 2048 are accepted")]
    TooLong { found: usize },
    #[error("contains something else than visible ASCII characters")]
    Character,
}

impl QueryText {
    pub const BYTES_MAX: usize = 2_048;

    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidQueryText> {
        if text.len() > Self::BYTES_MAX {
            return Err(InvalidQueryText::TooLong { found: text.len() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidQueryText::Character);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueryText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_names_at_their_bounds() {
        for good in ["theme", "app-connector/keys", "a", &"a".repeat(64)] {
            assert_eq!(PageName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "Theme", "a b", "a?b", "ä", "a\n", &"a".repeat(65)] {
            assert_eq!(PageName::new(bad), Err(InvalidPageName), "{bad:?}");
        }
    }

    #[test]
    fn filter_names_are_seen_as_they_are() {
        for good in ["a", "Läuft bald ab", "<b>", "東京 / 大阪", &"ü".repeat(60)] {
            assert_eq!(FilterName::new(good).unwrap().as_str(), good);
        }
        assert_eq!(FilterName::new(""), Err(InvalidFilterName::Empty));
        assert_eq!(FilterName::new(&"ü".repeat(61)), Err(InvalidFilterName::TooLong { found: 61 }));
        for bad in ["\t", "a\nb", "a\0", "a\u{a0}b", "a\u{200b}", "\u{202e}b", "\u{feff}a"] {
            assert_eq!(FilterName::new(bad), Err(InvalidFilterName::Invisible), "{bad:?}");
        }
        for bad in [" ", " a", "a "] {
            assert_eq!(FilterName::new(bad), Err(InvalidFilterName::OuterSpace), "{bad:?}");
        }
    }

    #[test]
    fn query_texts_at_their_bounds() {
        for good in ["", "columns=name,uses&sort=-uses&rows=50", "name=%C3%BC", &"a".repeat(2_048)] {
            assert_eq!(QueryText::new(good).unwrap().as_str(), good);
        }
        assert_eq!(QueryText::new(&"a".repeat(2_049)), Err(InvalidQueryText::TooLong { found: 2_049 }));
        for bad in ["a b", "a\r\nb", "ü", "\0", "\x7f"] {
            assert_eq!(QueryText::new(bad), Err(InvalidQueryText::Character), "{bad:?}");
        }
    }
}
