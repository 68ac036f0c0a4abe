# A group of connectors, a provisioning key for ten of them, and the user data that makes a machine one of them. The provider is
# the one of the ZPA; docs/managing.md says how its requests reach Muster. Credentials come from the environment: ZPA_CLIENT_ID,
# ZPA_CLIENT_SECRET, ZPA_CUSTOMER_ID, ZPA_CLOUD.

terraform {
  required_version = ">= 1.5"
  required_providers {
    zpa = {
      source  = "zscaler/zpa"
      version = "~> 4.4"
    }
  }
}

provider "zpa" {
  use_legacy_client = true
}

# The signing certificate that every customer has from the first start.
data "zpa_enrollment_cert" "connector" {
  name = "Connector"
}

resource "zpa_app_connector_group" "headquarters" {
  name           = "Headquarters"
  description    = "Connectors of the headquarters"
  enabled        = true
  city_country   = "San Jose, US"
  country_code   = "US"
  latitude       = "37.33874"
  longitude      = "-121.8852525"
  location       = "San Jose, CA, USA"
  upgrade_day    = "SUNDAY"
  dns_query_type = "IPV4_IPV6"
}

resource "zpa_provisioning_key" "headquarters" {
  name               = "headquarters-connectors"
  association_type   = "CONNECTOR_GRP"
  max_usage          = "10"
  enrollment_cert_id = data.zpa_enrollment_cert.connector.id
  zcomponent_id      = zpa_app_connector_group.headquarters.id
}

# For whatever makes the machines. The state of Terraform holds the key: keep it as you keep secrets.
output "user_data" {
  description = "cloud-init user data of a connector"
  sensitive   = true
  value = replace(
    file("${path.module}/../cloud-init/connector.yaml"),
    "PROVISIONING_KEY",
    zpa_provisioning_key.headquarters.provisioning_key,
  )
}
