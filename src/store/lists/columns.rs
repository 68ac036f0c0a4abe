//! The fields of each list. As far as they can be the expressions are such that both databases take them.

use std::borrow::Cow;

use super::{Column, Columns, Values};
use crate::store::{
    AdministratorField, ApiClientField, AuditField, ComponentField, CustomerField, GroupField, KeyField,
    SigningCertificateField, WebhookField,
};

impl Columns for AdministratorField {
    fn column(self, _: &mut Values) -> Column {
        own(match self {
            Self::CreatedAt => "created_at",
            Self::Description => "description",
            Self::Enabled => "enabled",
            Self::Id => "id",
            Self::LastSignInAt => "last_sign_in_at",
            Self::ModifiedAt => "modified_at",
            Self::Role => "role",
            Self::Username => "username",
        })
    }
}

impl Columns for ApiClientField {
    fn column(self, _: &mut Values) -> Column {
        own(match self {
            Self::ClientId => "client_id",
            Self::CreatedAt => "created_at",
            Self::Enabled => "enabled",
            Self::Id => "id",
            Self::Label => "managing",
            Self::LastUsedAt => "last_used_at",
            Self::Managing => "(managing IS NOT NULL)",
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
            Self::Role => "role",
        })
    }
}

impl Columns for AuditField {
    fn column(self, _: &mut Values) -> Column {
        own(match self {
            Self::Action => "action",
            Self::ActorId => "actor_id",
            Self::ActorName => "actor_name",
            Self::ActorType => "actor_type",
            Self::At => "at",
            Self::ObjectId => "object_id",
            Self::ObjectName => "object_name",
            Self::ObjectType => "object_type",
            Self::Sequence => "sequence",
        })
    }
}

impl Columns for ComponentField {
    fn column(self, values: &mut Values) -> Column {
        own(match self {
            Self::CertificateNotAfter => NOT_AFTER,
            Self::Description => "description",
            Self::Enabled => "enabled",
            Self::EnrolledAt => "enrolled_at",
            Self::Fingerprint => "fingerprint",
            Self::GroupId => "group_id",
            Self::GroupName => return Column::NameOf { table: "groups", reference: "components.group_id" },
            Self::Hostname => "hostname",
            Self::Id => "id",
            Self::KeyId => "key_id",
            Self::KeyName => return Column::NameOf { table: "provisioning_keys", reference: "components.key_id" },
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
            Self::Platform => "platform",
            Self::RemoteAddress => return Column::Own(values.dialect.address("remote_address").into()),
            Self::SerialNumber => return Column::Own(values.dialect.hex("current_serial").into()),
            Self::SoftwareVersion => "software_version",
            // As Component::badge.
            Self::State => {
                let now = values.bind_now();
                return words(
                    values,
                    &format!(
                        "CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN NOT enabled THEN 'disabled'
                         WHEN {NOT_AFTER} <= {now} THEN 'expired' ELSE 'live' END"
                    ),
                );
            }
        })
    }

    fn is_unique(self) -> bool {
        matches!(self, Self::Id | Self::Name)
    }
}

impl Columns for CustomerField {
    fn column(self, _: &mut Values) -> Column {
        own(match self {
            Self::CreatedAt => "created_at",
            Self::Enabled => "enabled",
            Self::Id => "id",
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
        })
    }
}

impl Columns for GroupField {
    fn column(self, _: &mut Values) -> Column {
        own(match self {
            Self::CreatedAt => "created_at",
            Self::Description => "description",
            Self::Enabled => "enabled",
            Self::Id => "id",
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
            Self::SigningCertificateId => "signing_certificate_id",
            Self::SigningCertificateName => {
                return Column::NameOf { table: "signing_certificates", reference: "groups.signing_certificate_id" };
            }
        })
    }

    fn is_unique(self) -> bool {
        matches!(self, Self::Id | Self::Name)
    }
}

impl Columns for KeyField {
    fn column(self, values: &mut Values) -> Column {
        own(match self {
            Self::AllowReEnrollment => "allow_re_enrollment",
            Self::CreatedAt => "created_at",
            Self::Description => "description",
            Self::Enabled => "enabled",
            Self::ExpiresAt => "expires_at",
            Self::Exportable => "(sealed_string IS NOT NULL)",
            Self::GroupId => "group_id",
            Self::GroupName => {
                return Column::NameOf { table: "groups", reference: "provisioning_keys.group_id" };
            }
            Self::Hint => "hint",
            Self::Id => "id",
            Self::KeyId => "key_id",
            Self::LastUsedAt => "last_used_at",
            Self::LastUsedBy => "last_used_by",
            Self::Managed => "(managed_by_client_id IS NOT NULL)",
            Self::ManagedBy => "managed_by_label",
            Self::ManagedById => "managed_by_client_id",
            Self::Maximum => "maximum",
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
            Self::ReEnrollments => "re_enrollments",
            Self::SigningCertificateId => "signing_certificate_id",
            Self::SigningCertificateName => {
                let reference = "provisioning_keys.signing_certificate_id";
                return Column::NameOf { table: "signing_certificates", reference };
            }
            // As ProvisioningKey::state.
            Self::State => {
                let now = values.bind_now();
                return words(
                    values,
                    &format!(
                        "CASE WHEN NOT enabled THEN 'disabled' WHEN expires_at <= {now} THEN 'expired'
                         WHEN uses >= maximum THEN 'exhausted' ELSE 'active' END"
                    ),
                );
            }
            Self::SuccessorId => "successor_id",
            Self::UsedPercent => "(uses * 100 / maximum)",
            Self::Uses => "uses",
            Self::Version => "nullif(version, 0)",
        })
    }

    fn is_unique(self) -> bool {
        matches!(self, Self::Id | Self::Name)
    }
}

impl Columns for SigningCertificateField {
    fn column(self, values: &mut Values) -> Column {
        own(match self {
            Self::AllowSigning => "allow_signing",
            Self::CreatedAt => "created_at",
            Self::Description => "description",
            Self::Id => "id",
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
            Self::NotAfter => "(CASE WHEN certificate IS NOT NULL THEN not_after END)",
            Self::NotBefore => "(CASE WHEN certificate IS NOT NULL THEN not_before END)",
            Self::ParentId => "parent_id",
            Self::ParentName => {
                let reference = "signing_certificates.parent_id";
                return Column::NameOf { table: "signing_certificates", reference };
            }
            Self::PrivateKeyPresent => "(sealed_private_key IS NOT NULL)",
            Self::Purpose => {
                let case =
                    "CASE purpose WHEN 1 THEN 'isolation_client' WHEN 2 THEN 'none' WHEN 3 THEN 'zapp_client' END";
                return words(values, case);
            }
            // As SigningCertificate::state.
            Self::State => {
                let now = values.bind_now();
                return words(
                    values,
                    &format!(
                        "CASE WHEN certificate IS NULL THEN 'awaits-certificate'
                         WHEN sealed_private_key IS NULL THEN 'no-private-key' WHEN not_after <= {now} THEN 'expired'
                         WHEN not_before > {now} THEN 'not-yet-valid' WHEN NOT allow_signing THEN 'not-allowed'
                         ELSE 'active' END"
                    ),
                );
            }
        })
    }

    fn is_unique(self) -> bool {
        matches!(self, Self::Id | Self::Name)
    }
}

/// Of a component's current certificate.
const NOT_AFTER: &str = "(SELECT t.not_after FROM certificates t
                          WHERE t.customer_id = components.customer_id AND t.component_id = components.id
                              AND t.serial = components.current_serial)";

impl Columns for WebhookField {
    fn column(self, _: &mut Values) -> Column {
        own(match self {
            Self::CreatedAt => "created_at",
            Self::Enabled => "enabled",
            Self::Id => "id",
            Self::ModifiedAt => "modified_at",
            Self::Name => "name",
            Self::Url => "url",
        })
    }
}

/// A column of the list's own row, or what both databases make of one in the same way.
const fn own(expression: &'static str) -> Column {
    Column::Own(Cow::Borrowed(expression))
}

/// A word that no column holds.
fn words(values: &Values, case: &str) -> Column {
    Column::Own(values.dialect.text(case).into())
}
