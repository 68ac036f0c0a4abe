//! A key string that is shown, and how a device comes to have it. Finished words for `details.html`, which a page
//! includes with a field `details`: the wizard's last step, and wherever a key is shown again.
//!
//! What administrators choose stands in lines that are pasted into shells and YAML. It comes as [`Name`] and
//! [`Cloud`], which hold nothing that either would read as more than text.

use zeroize::Zeroizing;

use crate::domain::{Cloud, KeySecret, Kind, Name, ProvisioningKey};
use crate::id::CustomerId;
use crate::server::portal::frame::Place;

/// Where devices look for their key.
const KEY_FILE: &str = "/etc/muster/provision_key";

/// Characters of a secret that stand together.
const TOGETHER: usize = 8;

/// A key with its string.
pub(in crate::server::portal) struct KeyDetails {
    string: KeySecret,
    /// Where the string comes as a file; `None`: it is not kept, and no later request could have it.
    pub(in crate::server::portal) download: Option<String>,
    pub(in crate::server::portal) tabs: Vec<Tab>,
}

/// One way to deploy a key.
pub(in crate::server::portal) struct Tab {
    pub(in crate::server::portal) label: &'static str,
    pub(in crate::server::portal) text: String,
    pub(in crate::server::portal) code: Code,
    pub(in crate::server::portal) is_first: bool,
}

/// Lines to be copied. They may hold the key.
pub(in crate::server::portal) struct Code(Zeroizing<String>);

impl KeyDetails {
    /// `string` is the key's. `cloud`: the service's own, for keys that name none.
    pub(in crate::server::portal) fn new(
        customer: CustomerId,
        key: &ProvisioningKey,
        string: KeySecret,
        cloud: &Cloud,
    ) -> Self {
        let named = string.expose().split('|').nth(1).and_then(|cloud| cloud.parse().ok());
        let tabs = tabs(key.kind, &key.name, &string, named.as_ref().unwrap_or(cloud));
        let address = format!("{}/{}/download", Place::Keys(key.kind).address(customer), key.id);
        Self { string, download: key.is_exportable().then_some(address), tabs }
    }

    /// Version and cloud, with the `|` behind each.
    pub(in crate::server::portal) fn prefix(&self) -> &str {
        &self.string.expose()[..self.secret_at()]
    }

    fn secret(&self) -> &str {
        &self.string.expose()[self.secret_at()..]
    }

    fn secret_at(&self) -> usize {
        self.string.expose().rfind('|').map_or(0, |index| index + 1)
    }

    /// The secret in groups, to be read by people. Together they are the secret, without anything between.
    pub(in crate::server::portal) fn groups(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.secret();
        std::iter::from_fn(move || {
            let end = rest.char_indices().nth(TOGETHER).map_or(rest.len(), |(index, _)| index);
            let (group, after) = rest.split_at(end);
            rest = after;
            (!group.is_empty()).then_some(group)
        })
    }

    /// To check a paste by.
    pub(in crate::server::portal) fn remark(&self) -> String {
        let secret = self.secret();
        let tail = secret.char_indices().rev().nth(3).map_or(secret, |(index, _)| &secret[index..]);
        format!("{}-character secret, ends in {tail}", secret.chars().count())
    }
}

impl Code {
    /// Whether each is a comment, and its text.
    pub(in crate::server::portal) fn lines(&self) -> impl Iterator<Item = (bool, &str)> {
        self.0.lines().map(|line| (line.starts_with('#'), line))
    }
}

fn tabs(kind: Kind, name: &Name, key: &KeySecret, cloud: &Cloud) -> Vec<Tab> {
    let tab = |label, text: String, code: String| Tab {
        label,
        text,
        code: Code(Zeroizing::new(code)),
        is_first: label == "muster enroll",
    };
    let mut tabs = vec![
        tab(
            "Key file",
            format!(
                "For a device that enrolls later: the key where muster looks for it, and nobody but root reads it. \
                 It will call {cloud}."
            ),
            key_file(),
        ),
        tab(
            "muster enroll",
            format!(
                "On the device. The key is read from standard input, so it stays out of the shell’s history and the \
                 process list. It tells the device to call {cloud}."
            ),
            enroll(),
        ),
        tab(
            "cloud-init",
            "As user data of an image that has muster. It holds the key: whoever reads a machine’s user data has \
             it, so give such keys a low maximum or an end."
                .to_owned(),
            cloud_init(name, key),
        ),
    ];
    if kind == Kind::Machine {
        tabs.push(tab(
            "MDM profile",
            "In the profile rule of Client Connector, Machine Token is the name of this key. The rule takes the \
             name, never the key."
                .to_owned(),
            name.to_string(),
        ));
    }
    tabs.push(tab(
        "curl + openssl",
        "Where muster is not installed. The key comes from a file into a file, never into an argument. Beside it lies \
         tls-trust-anchor.pem, from the service’s data directory."
            .to_owned(),
        curl(cloud),
    ));
    tabs
}

/// In one command, so that a shell that reads what is pasted line by line has read all of it before the
/// key is asked for.
fn key_file() -> String {
    format!(
        "# paste the key, then Enter and Ctrl-D\n\
         sudo install -d -m 755 /etc/muster &&\n\
         sudo install -m 600 /dev/stdin {KEY_FILE}"
    )
}

fn enroll() -> String {
    "# paste the key, then Enter and Ctrl-D\n\
     sudo muster enroll --key-file -"
        .to_owned()
}

fn cloud_init(name: &Name, key: &KeySecret) -> String {
    let key = key.expose();
    format!(
        "#cloud-config\n\
         # provisioning key: {name}\n\
         write_files:\n\
         \x20 - path: {KEY_FILE}\n\
         \x20   owner: root:root\n\
         \x20   permissions: '0600'\n\
         \x20   content: '{key}'\n\
         runcmd:\n\
         \x20 - [muster, enroll, --remove-key-file]"
    )
}

/// As in `docs/enrolling-a-device.md`.
fn curl(cloud: &Cloud) -> String {
    format!(
        r#"# the key is in the file provision_key
umask 077
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -key key.pem -subj /CN=any -outform DER -out csr.der
cat > request.json <<END
{{
  "provisioningKey": "$(cat provision_key)",
  "fingerprint": "$(openssl rand -hex 16)",
  "csr": "$(openssl base64 -A -in csr.der)"
}}
END
curl --silent --show-error --fail-with-body --cacert tls-trust-anchor.pem \
  --header 'content-type: application/json' --data-binary @request.json \
  --output answer.json 'https://{cloud}/v1/enroll' &&
for member in certificate chain trustAnchors; do
  sed -e 's/.*"'$member'":"\([^"]*\)".*/\1/' -e 's/\\n/\
/g' answer.json > $member.pem
done && rm request.json provision_key"#
    )
}

#[cfg(test)]
mod tests {
    use askama::Template;

    use super::*;
    use crate::domain::{KeyVersion, TrustPin};
    use crate::server::portal::filters;
    use crate::server::portal::frame::Frame;

    #[derive(Template)]
    #[template(source = "{% include \"details.html\" %}", ext = "html", config = "src/server/portal/askama.toml")]
    struct Page {
        frame: Frame,
        details: KeyDetails,
    }

    /// What is left of HTML when one copies it.
    fn text_of(html: &str) -> String {
        let parts = html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
        parts.collect::<String>().replace("&#39;", "'").replace("&#34;", "\"").replace("&#38;", "&")
    }

    fn page(version: KeyVersion, kind: Kind, download: Option<String>) -> Page {
        let cloud: Cloud = "id.northgate.example".parse().unwrap();
        let string = KeySecret::generate(version, &cloud, TrustPin::from_bytes([7; TrustPin::BYTES]));
        let tabs = tabs(kind, &Name::new("eu-warehouse").unwrap(), &string, &cloud);
        Page { frame: Frame::for_tests(), details: KeyDetails { string, download, tabs } }
    }

    #[test]
    fn what_is_selected_is_the_key_and_nothing_else() {
        for (version, groups) in [(KeyVersion::Bootstrap, 12), (KeyVersion::Bare, 6)] {
            let page = page(version, Kind::Machine, None);
            let html = page.render().unwrap();
            let (_, from) = html.split_once("aria-label=\"Provisioning key\">").unwrap();
            let (shown, _) = from.split_once("</div>").unwrap();
            assert_eq!(text_of(shown), page.details.string.expose());
            assert_eq!(shown.matches("<i>").count(), groups);
            assert!(page.details.prefix().ends_with("|id.northgate.example|"));
        }
    }

    #[test]
    fn a_paste_is_checked_by_its_length_and_its_end() {
        let details = page(KeyVersion::Bootstrap, Kind::Machine, None).details;
        let end = &details.string.expose()[details.string.expose().len() - 4..];
        assert_eq!(details.remark(), format!("96-character secret, ends in {end}"));
    }

    #[test]
    fn a_key_that_is_not_kept_is_copied_and_not_downloaded() {
        let kept = page(KeyVersion::Bootstrap, Kind::Machine, Some("/download".to_owned())).render().unwrap();
        assert!(kept.contains("Download .txt") && !kept.contains("there is no file to download"));
        let not_kept = page(KeyVersion::Bootstrap, Kind::Machine, None).render().unwrap();
        assert!(!not_kept.contains("Download .txt") && not_kept.contains("there is no file to download"));
    }

    #[test]
    fn only_machines_have_a_profile_rule() {
        let labels = |kind| {
            let tabs = page(KeyVersion::Bare, kind, None).details.tabs;
            tabs.iter().map(|tab| tab.label).collect::<Vec<_>>()
        };
        let all = ["Key file", "muster enroll", "cloud-init", "MDM profile", "curl + openssl"];
        assert_eq!(labels(Kind::Machine), all);
        for kind in [Kind::AppConnector, Kind::ServiceEdge, Kind::NetworkConnector] {
            assert_eq!(labels(kind), all.into_iter().filter(|label| *label != "MDM profile").collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_key_is_in_no_line_that_is_run() {
        let details = page(KeyVersion::Bootstrap, Kind::Machine, None).details;
        for tab in &details.tabs {
            for (_, line) in tab.code.lines().filter(|(_, line)| line.contains(details.secret())) {
                assert_eq!(tab.label, "cloud-init");
                assert_eq!(line, format!("    content: '{}'", details.string.expose()));
            }
        }
        let curl = &details.tabs.last().unwrap().code.0;
        assert!(curl.contains("'https://id.northgate.example/v1/enroll'"), "{}", **curl);
    }
}
