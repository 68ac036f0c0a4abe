//! What stands around every page: navigation, who is signed in, the notice, the footer.

use super::Portal;
use super::assets::ASSETS;
use super::kinds::words;
use super::reply::{Notice, Trouble};
use super::visit::Visit;
use super::words as say;
use crate::domain::administrator::ActorIdentity;
use crate::domain::{Kind, Role};
use crate::id::CustomerId;
use crate::management::sessions::Session;
use crate::store::{CustomerField, ListQuery, Sort};

/// Most customers that the switch lists; the page Customers has all.
const CUSTOMERS_MAX: u32 = 50;

/// Finished words for `base.html`. Pages hold one in their view model.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icons: &'static str,
    pub(super) mark: &'static str,
    /// `light` or `dark`; `None`: as the system has it.
    pub(super) theme: Option<String>,
    pub(super) form_token: String,
    pub(super) notice: Option<Notice>,
    /// The page's own address without the notice, for its ×.
    pub(super) address: String,
    /// `None`: nobody is signed in, and there is no navigation.
    pub(super) account: Option<Account>,
    pub(super) cloud: String,
    pub(super) version: &'static str,
}

/// Who is signed in, and where one can go.
pub(super) struct Account {
    pub(super) name: String,
    /// One or two letters.
    pub(super) face: String,
    pub(super) role: &'static str,
    pub(super) customer_name: String,
    pub(super) home: Leaf,
    pub(super) sections: Vec<Section>,
    pub(super) more: Vec<Leaf>,
    /// Customers to switch to, for owners; empty for others.
    pub(super) customers: Vec<Leaf>,
    pub(super) account_address: String,
    pub(super) is_account_current: bool,
}

/// A third level of the navigation, below two captions.
pub(super) struct Section {
    /// Caption over this and the following sections; empty where the one before goes on.
    pub(super) caption: &'static str,
    /// Second line of the caption.
    pub(super) caption_detail: &'static str,
    pub(super) label: &'static str,
    pub(super) icon: &'static str,
    pub(super) is_open: bool,
    pub(super) leaves: Vec<Leaf>,
}

pub(super) struct Leaf {
    pub(super) label: String,
    pub(super) address: String,
    pub(super) icon: &'static str,
    pub(super) is_current: bool,
}

/// Which page of the navigation one is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Home,
    Components(Kind),
    Groups(Kind),
    Keys(Kind),
    SigningCertificates,
    CheckKey,
    Audit,
    Administrators,
    ApiClients,
    Webhooks,
    Customers,
    /// One's own account; in the navigation's foot.
    Account,
}

impl Place {
    /// Where it is, below a customer.
    pub(super) fn address(self, customer: CustomerId) -> String {
        let of_kind = |kind: Kind, what: &str| format!("/c/{customer}/{kind}/{what}");
        let of_customer = |what: &str| format!("/c/{customer}/{what}");
        match self {
            Self::Home => format!("/c/{customer}"),
            Self::Components(kind) => of_kind(kind, "components"),
            Self::Groups(kind) => of_kind(kind, "groups"),
            Self::Keys(kind) => of_kind(kind, "keys"),
            Self::SigningCertificates => of_customer("signing-certificates"),
            Self::CheckKey => of_customer("check"),
            Self::Audit => of_customer("audit"),
            Self::Administrators => of_customer("administrators"),
            Self::ApiClients => of_customer("api-clients"),
            Self::Webhooks => of_customer("webhooks"),
            Self::Customers => "/c".to_owned(),
            // Around which customer, for owners, who have none.
            Self::Account => format!("/account?customer={customer}"),
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Components(kind) => words(kind).components,
            Self::Groups(kind) => words(kind).groups,
            Self::Keys(kind) => words(kind).keys,
            Self::SigningCertificates => "Signing Certificates",
            Self::CheckKey => "Check a Key",
            Self::Audit => "Audit",
            Self::Administrators => "Administrators",
            Self::ApiClients => "API Clients",
            Self::Webhooks => "Webhooks",
            Self::Customers => "Customers",
            Self::Account => "Account",
        }
    }

    const fn icon(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Components(_) | Self::Groups(_) | Self::Keys(_) => "",
            Self::SigningCertificates => "cert",
            Self::CheckKey => "probe",
            Self::Audit => "audit",
            Self::Administrators | Self::Account => "user",
            Self::ApiClients => "api",
            Self::Webhooks => "link",
            Self::Customers => "house",
        }
    }

    fn kind(self) -> Option<Kind> {
        match self {
            Self::Components(kind) | Self::Groups(kind) | Self::Keys(kind) => Some(kind),
            _ => None,
        }
    }
}

impl Frame {
    /// Around a page of a customer. Costs one look-up of the customer's name, and for owners one list
    /// of customers.
    pub(super) async fn around(
        portal: &Portal,
        visit: &Visit,
        session: &Session,
        customer: CustomerId,
        place: Place,
        title: impl Into<String>,
    ) -> Result<Self, Trouble> {
        let mut frame = Self::empty(portal, title.into());
        frame.theme = visit.preferences.theme().map(str::to_owned);
        visit.form_token.clone_into(&mut frame.form_token);
        frame.notice.clone_from(&visit.notice);
        visit.address.clone_into(&mut frame.address);
        frame.account = Some(Account::look_up(portal, session, customer, place).await?);
        Ok(frame)
    }

    /// Around a page that stands alone: signing in, troubles.
    pub(super) fn bare(portal: &Portal, form_token: String, title: impl Into<String>) -> Self {
        Self { form_token, ..Self::empty(portal, title.into()) }
    }

    fn empty(portal: &Portal, title: String) -> Self {
        Self {
            title,
            style: ASSETS.style.path(),
            script: ASSETS.script.path(),
            icons: ASSETS.icons.path(),
            mark: ASSETS.mark.path(),
            theme: None,
            form_token: String::new(),
            notice: None,
            address: String::new(),
            account: None,
            cloud: portal.parts.cloud.load().to_string(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[cfg(test)]
impl Frame {
    /// Around a page that a test looks at.
    pub(super) fn for_tests() -> Self {
        Self {
            title: "Test".to_owned(),
            style: ASSETS.style.path(),
            script: ASSETS.script.path(),
            icons: ASSETS.icons.path(),
            mark: ASSETS.mark.path(),
            theme: None,
            form_token: "form-token".to_owned(),
            notice: None,
            address: "/".to_owned(),
            account: Some(Account::for_tests()),
            cloud: "localhost:8443".to_owned(),
            version: "0",
        }
    }
}

#[cfg(test)]
impl Account {
    /// Somebody who can go nowhere.
    pub(super) fn for_tests() -> Self {
        let home = Leaf { label: "Home".to_owned(), address: "/c/7".to_owned(), icon: "home", is_current: false };
        Self {
            name: "test".to_owned(),
            face: "T".to_owned(),
            role: "Owner",
            customer_name: "Test".to_owned(),
            account_address: "/account".to_owned(),
            home,
            sections: Vec::new(),
            more: Vec::new(),
            customers: Vec::new(),
            is_account_current: false,
        }
    }
}

impl Account {
    async fn look_up(portal: &Portal, session: &Session, customer: CustomerId, place: Place) -> Result<Self, Trouble> {
        let actor = &session.actor;
        let is_owner = actor.role == Role::Owner;
        let leaf = |other: Place| Leaf {
            label: other.label().to_owned(),
            address: other.address(customer),
            icon: other.icon(),
            is_current: other == place,
        };
        let customers = if is_owner {
            let sort = Some(Sort { field: CustomerField::Name, descending: false });
            let query = ListQuery { sort, ..ListQuery::first(CUSTOMERS_MAX) };
            portal.management().list_customers(actor, &query).await?.rows
        } else {
            Vec::new()
        };
        let customer_name = match customers.iter().find(|row| row.id == customer) {
            Some(found) => found.name.to_string(),
            None if customer == CustomerId::SERVICE => "This service".to_owned(),
            None => portal.management().find_customer(actor, customer).await?.name.to_string(),
        };
        let mut last = "";
        // The service itself has administrators and no devices.
        let kinds: &[Kind] = if customer == CustomerId::SERVICE { &[] } else { &Kind::ALL };
        let sections = kinds.iter().map(|&kind| {
            let words = words(kind);
            let (caption, caption_detail) = (words.captions[0], words.captions.get(1).copied().unwrap_or_default());
            let caption = if caption == last { "" } else { caption };
            last = words.captions[0];
            Section {
                caption,
                caption_detail,
                label: words.section,
                icon: words.icon,
                is_open: place.kind() == Some(kind),
                leaves: [Place::Components(kind), Place::Groups(kind), Place::Keys(kind)].map(leaf).into(),
            }
        });
        let mut more = if kinds.is_empty() { Vec::new() } else { vec![Place::SigningCertificates, Place::CheckKey] };
        more.extend([Place::Audit, Place::Administrators, Place::ApiClients]);
        // What it tells of is its customers'.
        more.extend((!kinds.is_empty()).then_some(Place::Webhooks));
        more.extend(is_owner.then_some(Place::Customers));
        let name = match &actor.identity {
            ActorIdentity::Administrator { username, .. } => username.clone(),
            ActorIdentity::ApiClient { client_id, .. } => client_id.clone(),
            ActorIdentity::System => String::new(),
        };
        Ok(Self {
            face: face(&name),
            name,
            role: say::role(actor.role),
            customer_name,
            home: leaf(Place::Home),
            account_address: Place::Account.address(customer),
            is_account_current: place == Place::Account,
            sections: sections.collect(),
            more: more.into_iter().map(leaf).collect(),
            customers: customers
                .into_iter()
                .map(|row| Leaf {
                    label: row.name.to_string(),
                    address: Place::Home.address(row.id),
                    icon: "",
                    is_current: row.id == customer,
                })
                .collect(),
        })
    }
}

/// First letters of the first two words of a name.
fn face(name: &str) -> String {
    let words = name.split([' ', '.', '-', '_', '@']).filter_map(|word| word.chars().next());
    words.take(2).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_one_or_two_letters() {
        for (name, expected) in [("jana.rieger", "JR"), ("admin", "A"), ("a b c", "AB"), ("", ""), ("-x", "X")] {
            assert_eq!(face(name), expected, "{name:?}");
        }
    }
}
