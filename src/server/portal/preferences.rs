//! How an administrator likes the portal: the theme, and what is shown of each list. Kept by the service, so
//! that it is there in the next session and on another machine.

use std::collections::HashMap;

use super::visit::Fields;
use crate::server::http::form::encode_into;

/// All of one administrator's, by page.
#[derive(Clone, Debug, Default)]
pub(super) struct Preferences(pub(super) HashMap<String, String>);

/// Of one list: what to show when the address does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListPreference {
    /// Column ids, separated by commas.
    pub(super) columns: Option<String>,
    pub(super) sort: Option<String>,
    pub(super) rows: Option<String>,
}

impl Preferences {
    /// The name that the theme is kept under.
    pub(super) const THEME: &str = "theme";

    /// `light` or `dark`; `None`: as the system has it.
    pub(super) fn theme(&self) -> Option<&str> {
        self.0.get(Self::THEME).map(String::as_str).filter(|theme| matches!(*theme, "light" | "dark"))
    }

    pub(super) fn list(&self, page: &str) -> ListPreference {
        self.0.get(page).map(|text| ListPreference::parse(text)).unwrap_or_default()
    }
}

impl ListPreference {
    fn parse(text: &str) -> Self {
        let Ok(fields) = Fields::parse(text) else { return Self::default() };
        let field = |name| fields.find(name).map(str::to_owned);
        Self { columns: field("columns"), sort: field("sort"), rows: field("rows") }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let pairs = [("columns", &self.columns), ("sort", &self.sort), ("rows", &self.rows)];
        for (name, value) in pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            text.push_str(if text.is_empty() { "" } else { "&" });
            text.push_str(name);
            text.push('=');
            encode_into(&mut text, value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let kept = ListPreference { columns: Some("name,max".to_owned()), sort: Some("-max".to_owned()), rows: None };
        assert_eq!(ListPreference::parse(&kept.to_text()), kept);
        assert_eq!(ListPreference::parse("%"), ListPreference::default());
    }
}
