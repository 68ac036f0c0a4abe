//! The steps that ask.

use askama::Template;

use super::answers::{CERTIFICATE, GROUP, GROUP_NAME, NAME, Step};
use super::{OFFERED_MAX, Wizard, cannot_sign, key_choice};
use crate::domain::{Group, KeyVersion, Kind, Role};
use crate::server::portal::filters;
use crate::server::portal::form::{self, Control, Faults, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Fields;
use crate::server::portal::window::{RailStep, Window};
use crate::server::portal::words as say;
use crate::store::{GroupField, ListQuery, Sort};

/// A step that asks.
#[derive(Template)]
#[template(path = "wizard.html", config = "src/server/portal/askama.toml")]
struct StepPage {
    frame: Frame,
    window: Window,
    title: &'static str,
    lead: String,
    form: Form,
    body: Body,
    is_create: bool,
    action: String,
    /// What the step does not ask.
    hidden: Vec<(&'static str, String)>,
    back: Option<&'static str>,
    next: &'static str,
    next_label: &'static str,
    /// Something was answered that would be lost.
    is_begun: bool,
}

enum Body {
    Certificate {
        /// Where one makes a certificate, when none can sign.
        making: Option<String>,
    },
    Group {
        /// `None` for those whose role does not allow it.
        create: Option<Vec<Field>>,
    },
    Key,
    Review(Vec<Section>),
}

struct Section {
    title: &'static str,
    go: &'static str,
    pairs: Vec<Pair>,
}

struct Pair {
    label: &'static str,
    value: String,
    is_new: bool,
}

impl Wizard<'_> {
    /// A step with what was typed, and what is wrong with it.
    pub(super) async fn show(&self, step: Step, faults: &Faults) -> Result<Reply, Trouble> {
        let title = self.title();
        let frame = Frame::around(
            self.portal,
            self.visit,
            self.session,
            self.customer,
            self.place(),
            format!("{}, {title}", step.title()),
        )
        .await?;
        let group = if step == Step::Certificate { None } else { self.selected_group().await? };
        let (lead, form, body) = match step {
            Step::Certificate => self.ask_certificate(),
            Step::Group => self.ask_group(faults, group.as_ref()).await?,
            Step::Key => self.ask_key(),
            Step::Review | Step::Details => self.review(group.as_ref()),
        };
        let window = Window::new(title, &frame, Some(self.list()), self.rail(step, group.as_ref()));
        let own = step.fields();
        let hidden = self.answers.pairs().filter(|(name, _)| !own.contains(name));
        let hidden = hidden.map(|(name, value)| (name, value.to_owned()));
        let page = StepPage {
            frame,
            window,
            title: step.title(),
            lead,
            form: form.with_faults(faults),
            body,
            is_create: self.answers.creates_group(),
            action: format!("{}/add", Place::Keys(self.kind).address(self.customer)),
            hidden: hidden.chain([("step", step.value().to_owned())]).collect(),
            back: step.before().map(Step::value),
            next: step.next().value(),
            next_label: if step == Step::Review { "Save" } else { "Next" },
            is_begun: step != Step::Certificate || !faults.is_empty(),
        };
        Ok(if faults.is_empty() { Reply::ok(&page) } else { Reply::unprocessable(&page) })
    }

    fn rail(&self, now: Step, group: Option<&Group>) -> Vec<RailStep> {
        let answers = &self.answers;
        let choice = |step| match step {
            Step::Certificate => {
                self.chosen_certificate().map_or_else(String::new, |certificate| certificate.name.to_string())
            }
            Step::Group if answers.creates_group() => format!("{} (new)", answers.text(GROUP_NAME)),
            Step::Group => group.map_or_else(String::new, |group| group.name.to_string()),
            Step::Key => key_choice(answers.text(NAME), form::number(answers.text("maximum")).given()),
            Step::Review | Step::Details => String::new(),
        };
        let rail = Step::ALL.into_iter().map(|step| {
            let rail_step = RailStep::new(step.title(), step.number(), now.number(), choice(step));
            let is_done = rail_step.is_done();
            RailStep { go: is_done.then_some(step.value()), ..rail_step }
        });
        rail.collect()
    }

    fn ask_certificate(&self) -> (String, Form, Body) {
        let now = self.portal.now();
        let usable: Vec<_> = self.certificates.iter().filter(|certificate| certificate.is_usable(now)).collect();
        let offered = usable.iter().map(|certificate| {
            let until = say::day(certificate.not_after);
            (certificate.id.to_string(), format!("{}, valid until {until}", certificate.name))
        });
        let default = self.default_certificate().filter(|_| !self.answers.is_on(CERTIFICATE));
        let warning =
            default.filter(|default| !default.is_usable(now)).map(|default| cannot_sign(default, self.portal));
        let field =
            chooser(CERTIFICATE, "Signing Certificate", &self.answers.0, "Choose a signing certificate", offered)
                .hint("Only those that can sign now are offered.")
                .warn(warning);
        let making = usable.is_empty().then(|| format!("{}/add", Place::SigningCertificates.address(self.customer)));
        let lead = format!("It signs the certificates of the {} that use this key.", words(self.kind).components);
        (lead, Form::new(vec![field]), Body::Certificate { making })
    }

    async fn ask_group(&self, faults: &Faults, selected: Option<&Group>) -> Result<(String, Form, Body), Trouble> {
        let (words, values) = (words(self.kind), &self.answers.0);
        let sort = Some(Sort { field: GroupField::Name, descending: false });
        let query = ListQuery { sort, ..ListQuery::first(OFFERED_MAX) };
        let page = self.portal.management().list_groups(&self.session.actor, self.customer, self.kind, &query).await?;
        let mut groups: Vec<_> = page.rows.into_iter().map(|view| view.group).collect();
        groups.extend(selected.filter(|group| groups.iter().all(|other| other.id != group.id)).cloned());
        let hint = if page.total > u64::from(OFFERED_MAX) {
            format!(
                "The first {OFFERED_MAX} of {} groups are offered. For another one start from the group’s page.",
                say::number(page.total)
            )
        } else if groups.is_empty() {
            format!("There is no {} yet.", words.group)
        } else {
            String::new()
        };
        let offered = groups.iter().map(|group| {
            let state = if group.enabled { "" } else { " (disabled)" };
            (group.id.to_string(), format!("{}{state}", group.name))
        });
        let select = chooser(GROUP, words.group, values, "Select a group", offered).hint(hint);
        let create = (self.session.actor.role >= Role::Admin).then(|| {
            let fields = vec![
                Field::text(GROUP_NAME, "Name", values).hint("Letters, digits, space, “.”, “-” and “_”, up to 255."),
                Field::text("group-description", "Description", values).optional(),
                Field::tick("group-enabled", "Status: Enabled", values, true),
            ];
            Form::new(fields).with_faults(faults).fields
        });
        let lead = format!("{} that use this key join the group.", words.components);
        Ok((lead, Form::new(vec![select]), Body::Group { create }))
    }

    /// What the kind is known for, the rest folded away.
    fn ask_key(&self) -> (String, Form, Body) {
        let (words, values) = (words(self.kind), &self.answers.0);
        let view = Field::tick("view", "View or Export Provisioning Key After Creation", values, true).hint(
            "The key can be shown, copied and downloaded later. Off: it is shown once, in the last step. This cannot be \
             switched on later.",
        );
        let name = Field::text(NAME, "Name", values).hint(format!(
            "Letters, digits, space, “.”, “-” and “_”, up to 255. {} from this key are named after it.",
            words.components
        ));
        let maximum = Field::number("maximum", words.maximum, values);
        let maximum = if self.kind.requires_maximum() {
            maximum.hint("How many deployments the key allows. Can be changed at any time.")
        } else {
            maximum.optional().hint("How many deployments the key allows. Empty: no limit.")
        };
        let status = Field::tick("enabled", "Status: Enabled", values, true);
        let re_enrollment = Field::tick("allow-re-enrollment", "Allow re-enrollment", values, false)
            .hint(format!("Whoever holds the key and knows a fingerprint can then become that {}.", words.component));
        let last = [
            Field::time("expires", "Expires", values),
            Field::code("addresses", "Addresses", values, 3)
                .optional()
                .hint("One network per line, such as 203.0.113.0/24. Empty: from anywhere."),
            Field::text("description", "Description", values).optional(),
            Field::select(
                "version",
                "Key version",
                values,
                [
                    ("3".to_owned(), "3, bootstrap: also tells the device whom to trust".to_owned()),
                    ("1".to_owned(), "1, bare: for short passwords (EST)".to_owned()),
                ],
            ),
        ];
        let (first, more, summary) = match self.kind {
            Kind::AppConnector | Kind::ServiceEdge => (
                vec![view, name, maximum],
                vec![status, re_enrollment],
                "Status, re-enrollment, expiry, addresses, description, key version",
            ),
            Kind::NetworkConnector => (
                vec![view, name],
                vec![maximum, status, re_enrollment],
                "Maximum, status, re-enrollment, expiry, addresses, description, key version",
            ),
            Kind::Machine => (
                vec![view, name, status, re_enrollment],
                vec![maximum],
                "Maximum, expiry, addresses, description, key version",
            ),
        };
        let more = more.into_iter().chain(last).collect();
        let lead = "The key itself is made when you save. Nothing is stored before.".to_owned();
        (lead, Form::new(first).with_more(summary, more), Body::Key)
    }

    fn review(&self, group: Option<&Group>) -> (String, Form, Body) {
        let answers = &self.answers;
        let pair = |label, value: String| Pair { label, value, is_new: false };
        let status = |is_on| pair("Status", if is_on { "Enabled" } else { "Disabled" }.to_owned());
        let typed = |label, name| Some(pair(label, answers.text(name).to_owned())).filter(|_| answers.is_on(name));
        let certificate = self.chosen_certificate();
        let of_certificate = certificate.into_iter().flat_map(|certificate| {
            [pair("Name", certificate.name.to_string()), pair("Expires", say::day(certificate.not_after))]
        });
        let (lead, of_group) = if answers.creates_group() {
            let name = Pair { is_new: true, ..pair("Name", answers.text(GROUP_NAME).to_owned()) };
            let description = typed("Description", "group-description");
            let pairs = [name].into_iter().chain(description).chain([status(answers.is_on("group-enabled"))]).collect();
            ("Save makes the group and the key together, or neither.", pairs)
        } else {
            let pairs =
                group.map_or_else(Vec::new, |group| vec![pair("Name", group.name.to_string()), status(group.enabled)]);
            ("Save makes the key. Nothing is stored before.", pairs)
        };
        let components = words(self.kind);
        let maximum = match form::number(answers.text("maximum")).given() {
            Some(maximum) => say::counted(maximum, components.component, components.components),
            None => "No limit".to_owned(),
        };
        let or = |text: Option<String>, otherwise: &str| text.unwrap_or_else(|| otherwise.to_owned());
        let on_or_off = |is_on, on: &str, off: &str| if is_on { on } else { off }.to_owned();
        let addresses = form::lines(answers.text("addresses")).given().map(|lines| lines.join(", "));
        let of_key = [
            pair("Name", answers.text(NAME).to_owned()),
            pair("Maximum", maximum),
            pair(
                "View or export",
                on_or_off(answers.is_on("view"), "On, can be switched off later", "Off: shown once, in the next step"),
            ),
            status(answers.is_on("enabled")),
            pair("Re-enrollment", on_or_off(answers.is_on("allow-re-enrollment"), "Allowed", "Off")),
            pair("Expires", or(form::instant(answers.text("expires")).given().map(say::minute), "Never")),
            pair("Addresses", or(addresses, "From anywhere")),
            pair("Key version", on_or_off(answers.version() == Some(KeyVersion::Bare), "1, bare", "3, bootstrap")),
        ];
        let of_key = of_key.into_iter().chain(typed("Description", "description"));
        let section = |step: Step, title, pairs| Section { title, go: step.value(), pairs };
        let sections = vec![
            section(Step::Certificate, "Signing Certificate", of_certificate.collect()),
            section(Step::Group, "Group", of_group),
            section(Step::Key, "Provisioning Key", of_key.collect()),
        ];
        (lead.to_owned(), Form::default(), Body::Review(sections))
    }
}

/// A drop-down whose first entry is none.
pub(in crate::server::portal::pages) fn chooser(
    name: &'static str,
    label: &'static str,
    values: &Fields,
    none: &str,
    offered: impl Iterator<Item = (String, String)>,
) -> Field {
    Field::select(name, label, values, [(String::new(), none.to_owned())].into_iter().chain(offered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::portal::pages::wizard::answers::Answers;

    const HOSTILE: &str = "\"><script>alert(1)</script>";

    fn answers(text: &str) -> Answers {
        Answers::of_form(&Fields::parse(text).unwrap())
    }

    fn rendered(step: Step, answers: &Answers, form: Form, body: Body) -> String {
        let frame = Frame::for_tests();
        let steps = Step::ALL
            .map(|other| RailStep::new(other.title(), other.number(), step.number(), answers.text(NAME).to_owned()));
        let window =
            Window::new("Add Machine Provisioning Key".to_owned(), &frame, Some("/c/7".to_owned()), steps.into());
        let hidden = answers.pairs().filter(|(name, _)| !step.fields().contains(name));
        let page = StepPage {
            frame,
            window,
            title: step.title(),
            lead: String::new(),
            form,
            body,
            is_create: answers.creates_group(),
            action: "/c/7/machine/keys/add".to_owned(),
            hidden: hidden.map(|(name, value)| (name, value.to_owned())).collect(),
            back: step.before().map(Step::value),
            next: step.next().value(),
            next_label: "Next",
            is_begun: false,
        };
        page.render().unwrap()
    }

    #[test]
    fn what_a_step_does_not_ask_is_carried_along_and_no_key_string_is() {
        let given =
            answers("nonce=a&name=laptops&group-name=Berlin&addresses=192.0.2.0%2F24%0D%0A10.0.0.0%2F8&key=3%7Cx%7Cy");
        let html = rendered(Step::Certificate, &given, Form::default(), Body::Certificate { making: None });
        for (name, value) in
            [("nonce", "a"), ("name", "laptops"), ("group-name", "Berlin"), ("addresses", "192.0.2.0/24\r\n10.0.0.0/8")]
        {
            let field = format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
            assert!(html.contains(&field), "{field}");
        }
        assert!(!html.contains("3|x|y"));
    }

    #[test]
    fn enter_presses_next_as_the_first_button_of_the_form() {
        let html = rendered(Step::Group, &answers(""), Form::default(), Body::Group { create: None });
        let first = html.split("<button").nth(1).unwrap();
        assert!(first.starts_with(" class=\"vh\" form=\"w\" name=\"go\" value=\"3\" tabindex=\"-1\""), "{first}");
    }

    #[test]
    fn groups_none_one_and_many_are_offered_as_text() {
        for count in [0, 1, 300] {
            let offered = (0..count).map(|index| (index.to_string(), format!("{HOSTILE} {index}")));
            let select = chooser(GROUP, "Machine Group", &Fields::default(), "Select a group", offered);
            let values = answers(&format!("group-name={HOSTILE}&way=create"));
            let create = Some(vec![Field::text(GROUP_NAME, "Name", &values.0)]);
            let html = rendered(Step::Group, &values, Form::new(vec![select]), Body::Group { create });
            assert_eq!(html.matches("<option").count(), count + 1);
            assert!(!html.contains("<script>alert"), "{html}");
            assert!(html.contains("value=\"create\" checked"));
        }
        let html = rendered(Step::Group, &answers(""), Form::default(), Body::Group { create: None });
        assert!(!html.contains("Create Group"), "who may not make groups is not offered it");
    }

    #[test]
    fn without_a_certificate_that_signs_the_way_to_one_is_shown() {
        let making = Some("/c/7/signing-certificates/add".to_owned());
        let html = rendered(Step::Certificate, &answers(""), Form::default(), Body::Certificate { making });
        assert!(html.contains("<a href=\"/c/7/signing-certificates/add\">Make a signing certificate</a>"));
    }

    #[test]
    fn a_review_shows_all_that_was_typed_as_text() {
        let pairs = vec![
            Pair { label: "Name", value: HOSTILE.to_owned(), is_new: true },
            Pair { label: "Status", value: "Enabled".to_owned(), is_new: false },
        ];
        let sections = vec![Section { title: "Group", go: "2", pairs }];
        let html = rendered(Step::Review, &answers(""), Form::default(), Body::Review(sections));
        assert!(
            !html.contains("<script>alert") && html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;")
        );
        assert_eq!(html.matches("badge-line").count(), 1);
        assert!(html.contains("name=\"go\" value=\"2\">Change"));
    }
}
