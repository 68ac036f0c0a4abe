//! The words of a kind, as administrators of the product we follow know them.

use crate::domain::Kind;

/// One kind's words. Labels are in title case, everything else in a sentence's.
pub(super) struct KindWords {
    pub(super) component: &'static str,
    pub(super) components: &'static str,
    /// One component and many, where they are counted: "4,790 connectors".
    pub(super) nouns: (&'static str, &'static str),
    pub(super) group: &'static str,
    pub(super) groups: &'static str,
    pub(super) key: &'static str,
    pub(super) keys: &'static str,
    /// Column head of a key's maximum.
    pub(super) maximum: &'static str,
    /// Third level of the navigation.
    pub(super) section: &'static str,
    pub(super) icon: &'static str,
    /// The path to its pages, outermost first.
    pub(super) captions: &'static [&'static str],
    /// What its components are and how they come here: two sentences, as the two below.
    pub(super) components_lead: &'static str,
    pub(super) groups_lead: &'static str,
    /// What its keys are for and what one has of them.
    pub(super) keys_lead: &'static str,
}

pub(super) const fn words(kind: Kind) -> &'static KindWords {
    match kind {
        Kind::AppConnector => &KindWords {
            component: "App Connector",
            components: "App Connectors",
            nouns: ("connector", "connectors"),
            group: "App Connector Group",
            groups: "App Connector Groups",
            key: "App Connector Provisioning Key",
            keys: "App Connector Provisioning Keys",
            maximum: "Maximum # of App Connectors",
            section: "App Connector Management",
            icon: "connector",
            captions: &["Configuration & Control", "Private Infrastructure"],
            components_lead: "An App Connector appears here when it has enrolled with a provisioning key, with the certificate that it got. \
                        Watch until when certificates last, keep a connector out, or attach it to another key of its group.",
            groups_lead: "A group holds App Connectors that belong together, such as those of a site, and the keys that they enroll \
                        with. It names the signing certificate of new keys and may say from which networks they are used.",
            keys_lead: "An App Connector presents one of these keys when it first starts, joins the key’s group and \
                        gets its certificate. Limit how often a key is used, watch the count, change the limit later, \
                        and choose the certificate that signs.",
        },
        Kind::ServiceEdge => &KindWords {
            component: "Private Service Edge",
            components: "Private Service Edges",
            nouns: ("service edge", "service edges"),
            group: "Private Service Edge Group",
            groups: "Private Service Edge Groups",
            key: "Private Service Edge Provisioning Key",
            keys: "Private Service Edge Provisioning Keys",
            maximum: "Maximum # of Private Service Edges",
            section: "Private Service Edge Management",
            icon: "edge",
            captions: &["Configuration & Control", "Private Infrastructure"],
            components_lead: "A Private Service Edge appears here when it has enrolled with a provisioning key, with the certificate that it \
                        got. Watch until when certificates last, keep one out, or attach it to another key of its group.",
            groups_lead: "A group holds Private Service Edges that belong together, such as those of a site, and the keys that they \
                        enroll with. It names the signing certificate of new keys and may say from which networks they are used.",
            keys_lead: "A Private Service Edge presents one of these keys when it first starts, joins the key’s group \
                        and gets its certificate. Limit how often a key is used, watch the count, change the limit \
                        later, and choose the certificate that signs.",
        },
        Kind::NetworkConnector => &KindWords {
            component: "Network Connector",
            components: "Network Connectors",
            nouns: ("network connector", "network connectors"),
            group: "Network Connector Group",
            groups: "Network Connector Groups",
            key: "Network Connector Provisioning Key",
            keys: "Network Connector Provisioning Keys",
            maximum: "Maximum # of Network Connectors",
            section: "Network Connectors",
            icon: "network",
            captions: &["VPN (for Legacy Apps)"],
            components_lead: "A Network Connector appears here when it has enrolled with a provisioning key, with the certificate that it \
                        got. Watch until when certificates last, keep one out, or attach it to another key of its group.",
            groups_lead: "A group holds Network Connectors that belong together, such as those of a site, and the keys that they enroll \
                        with. It names the signing certificate of new keys and may say from which networks they are used.",
            keys_lead: "A Network Connector presents one of these keys when it first starts, joins the key’s group \
                        and gets its certificate. Watch how often a key is used, limit it where you like, and choose \
                        the certificate that signs.",
        },
        Kind::Machine => &KindWords {
            component: "Machine",
            components: "Machines",
            nouns: ("machine", "machines"),
            group: "Machine Group",
            groups: "Machine Groups",
            key: "Machine Provisioning Key",
            keys: "Machine Provisioning Keys",
            maximum: "Maximum # of Machines",
            section: "Device Authentication",
            icon: "machine",
            captions: &["Authentication"],
            components_lead: "A machine appears here when it has enrolled with a provisioning key, before anyone logged in to it. Watch until \
                        when certificates last, keep a machine out, or attach it to another key of its group.",
            groups_lead: "A group holds machines that belong together, such as those of a department, and the keys that they enroll with. \
                        It names the signing certificate of new keys and may say from which networks they are used.",
            keys_lead: "A machine presents one of these keys to enroll before anyone logs in, so that its tunnel \
                        stands at the sign-in screen. Tie a key to a group, limit how often it is used, see and edit \
                        the count, and choose the certificate that signs.",
        },
    }
}
