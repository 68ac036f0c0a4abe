"""Everything that pyzscaler does with what Muster has. Its knobs are options of the client, taken from the
environment: ZPA_OVERRIDE_URL, ZPA_CLIENT_ID, ZPA_CLIENT_SECRET, ZPA_CUSTOMER_ID.

It asks for pages until one is empty and waits a second after each, so lists are read sparingly here."""

from checks import CUSTOMER_ID, PRESET_CERTIFICATES, decimal, enroll, equal, holds, is_refused
from pyzscaler import ZPA
from restfly.errors import APIError


def refused(what, call, status, code, params=None):
    try:
        found = call()
    except APIError as error:
        body = error.response.json()
        equal(f"{what}: refused", (error.code, body["id"]), (status, code))
        if params is not None:
            equal(f"{what}: what is at fault", body["params"], params)
    else:
        holds(f"{what}: refused", False, found)


def names(listed):
    return [row.name for row in listed]


def look_around(zpa):
    """What is there before anything is made; the ids of certificates by their names."""
    ids = {certificate.name: certificate.id for certificate in zpa.certificates.list_enrolment()}
    holds("the preset certificates are there", ids.keys() >= PRESET_CERTIFICATES, ids)
    found = zpa.certificates.get_enrolment(ids["Service Edge"])
    equal("its parent", (found.parent_cert_id, found.parent_cert_name), (ids["Root"], "Root"))
    equal("it signs", (found.allow_signing, found.private_key_present), (True, True))
    decimal("certificate.serial_no", found.serial_no)
    refused("an unknown certificate", lambda: zpa.certificates.get_enrolment("4711"), 404, "resource.not.found", ["4711"])

    machines = zpa.machine_groups.list_groups()
    equal("machine groups", names(machines), ["Laptops", "Tills"])
    equal("machine group", zpa.machine_groups.get_group(machines[1].id).name, "Tills")
    refused("an unknown machine group", lambda: zpa.machine_groups.get_group("4711"), 404, "resource.not.found", ["4711"])
    return ids


def groups(zpa, certificates):
    """App Connector groups; the id of one that stays."""
    api = zpa.connectors
    place = {"latitude": "37.3", "longitude": "-121.8", "location": "San Jose, CA, USA"}
    made = api.add_connector_group(name="HQ one", version_profile="new_release", **place)
    decimal("group.id", made.id)
    equal("its certificate is the default one", made.enrollment_cert_id, certificates["Connector"])
    equal("a number became an id", (made.version_profile_id, made.override_version_profile), ("2", True))
    refused("the same name again", lambda: api.add_connector_group(name="hq ONE", **place), 400, "duplicate.resource.name", ["name"])
    bad = {"name": "bad", "enrollment_cert_id": "4711"}
    refused("a bad certificate", lambda: api.add_connector_group(**bad, **place), 400, "invalid.resource.argument", ["enrollmentCertId"])
    two = api.add_connector_group(name="HQ two", **place)

    equal("it reads as it was made", api.get_connector_group(made.id).to_dict(), made.to_dict())
    edited = api.update_connector_group(made.id, description="e", version_profile="default")
    equal("the edit", (edited.description, edited.version_profile_id), ("e", "0"))
    equal("and the rest", (edited.name, edited.latitude, edited.enabled), ("HQ one", "37.3", True))
    equal("disabled", api.update_connector_group(made.id, enabled=False).enabled, False)
    equal("enabled", api.update_connector_group(made.id, enabled=True).enabled, True)
    equal("pages of one", names(api.list_connector_groups(pagesize=1)), ["HQ one", "HQ two"])
    equal("a search", names(api.list_connector_groups(search="TWO")), ["HQ two"])
    equal("deleted", api.delete_connector_group(two.id), 204)
    refused("deleted again", lambda: api.delete_connector_group(two.id), 404, "resource.not.found", [two.id])
    refused("edit of a deleted one", lambda: api.update_connector_group(two.id, description="x"), 404, "resource.not.found")
    return made.id


def edge_groups(zpa, certificates):
    """Private Service Edge groups; the id of one that stays."""
    api = zpa.service_edges
    made = api.add_service_edge_group(name="Edges", latitude="1", longitude="2", location="x", is_public=True)
    equal("its certificate is the default one", made.enrollment_cert_id, certificates["Service Edge"])
    equal("a boolean became a switch", made.is_public, "TRUE")
    edited = api.update_service_edge_group(made.id, description="e")
    equal("an edit keeps the rest", (edited.description, edited.is_public, edited.latitude), ("e", "TRUE", "1"))
    equal("found by its name", names(api.list_service_edge_groups(search="edges")), ["Edges"])
    refused("it is no App Connector group", lambda: zpa.connectors.get_connector_group(made.id), 404, "resource.not.found", [made.id])
    return made.id


def keys(zpa, certificates, connector_group, service_edge_group):
    api = zpa.provisioning
    connector = {"enrollment_cert_id": certificates["Connector"], "component_id": connector_group}
    edge = {"enrollment_cert_id": certificates["Service Edge"], "component_id": service_edge_group}

    made = api.add_provisioning_key("connector", name="k one", max_usage=2, enabled=True, **connector)
    decimal("key.id", made.id)
    equal("its counters", (made.max_usage, made.usage_count), ("2", "0"))
    equal("it is enabled", made.enabled, True)
    off = api.add_provisioning_key("service_edge", name="k one", max_usage="1", enabled=False, **edge)
    equal("made disabled", off.enabled, False)

    def add(**body):
        return lambda: api.add_provisioning_key("connector", **{"name": "k two", "max_usage": 1, **connector, **body})

    refused("the same name again", add(name="K ONE"), 400, "duplicate.resource.name", ["name"])
    refused("no maximum", add(max_usage=None), 400, "missing.mandatory.params", ["maxUsage"])
    refused("a bad certificate", add(enrollment_cert_id="4711"), 400, "invalid.resource.argument", ["enrollmentCertId"])
    refused("a group of another kind", add(component_id=service_edge_group), 400, "invalid.resource.argument", ["zcomponentId"])

    found = api.get_provisioning_key(made.id, "connector")
    equal("names come with ids", (found.zcomponent_name, found.enrollment_cert_name), ("HQ one", "Connector"))
    equal("the string is shown again", found.provisioning_key, made.provisioning_key)
    refused("it is none of the other kind", lambda: api.get_provisioning_key(made.id, "service_edge"), 404, "resource.not.found", [made.id])

    # It reads the key and writes all of it back, counters and string too.
    edited = api.update_provisioning_key(made.id, "connector", max_usage=10)
    equal("the edit", (edited.max_usage, edited.name, edited.provisioning_key), ("10", "k one", made.provisioning_key))
    edited = api.update_provisioning_key(made.id, "connector", name="k 1", enabled=False)
    equal("another", (edited.name, edited.enabled, edited.max_usage), ("k 1", False, "10"))
    is_refused("a disabled key", made.provisioning_key, "disabled", "key-disabled")
    unknown = lambda: api.update_provisioning_key("4711", "connector", max_usage=1)
    refused("edit of none", unknown, 404, "resource.not.found", ["4711"])
    wrong = lambda: api.update_provisioning_key(made.id, "connector", max_usage=0)
    refused("a bad edit", wrong, 400, "invalid.resource.argument", ["maxUsage"])

    for n in [2, 3]:
        api.add_provisioning_key("connector", name=f"k {n}", max_usage=1, **connector)
    equal("pages of two", names(api.list_provisioning_keys("connector", pagesize=2)), ["k 1", "k 2", "k 3"])
    equal("at most two", names(api.list_provisioning_keys("connector", max_items=2)), ["k 1", "k 2"])
    equal("a search is for a part", names(api.list_provisioning_keys("connector", search="3")), ["k 3"])

    in_use = lambda: zpa.connectors.delete_connector_group(connector_group)
    refused("a group in use", in_use, 400, "resource.referenced")
    for key in api.list_provisioning_keys("connector"):
        equal(f"deleted {key.name}", api.delete_provisioning_key(key.id, "connector"), 204)
    equal("deleted", api.delete_provisioning_key(off.id, "service_edge"), 204)
    refused("a deleted key", lambda: api.get_provisioning_key(made.id, "connector"), 404, "resource.not.found", [made.id])
    equal("no keys are left", names(api.list_provisioning_keys("service_edge")), [])
    status, _ = enroll(made.provisioning_key, "deleted")
    equal("a deleted key enrolls nothing", status, 401)


def device(zpa, certificates):
    """A key made here enrolls a device made with openssl; the key is full then."""
    group = zpa.connectors.add_connector_group(name="Devices", latitude="1", longitude="2", location="x")
    body = {"enrollment_cert_id": certificates["Connector"], "component_id": group.id}
    key = zpa.provisioning.add_provisioning_key("connector", name="edge", max_usage=1, **body)
    status, answer = enroll(key.provisioning_key, "first")
    equal("the first one enrolls", (status, answer.get("outcome"), answer.get("componentName")), (200, "enrolled", "edge-1"))
    equal("where it belongs", (answer["customerId"], answer["groupId"]), (CUSTOMER_ID, group.id))
    used = [(key.name, key.usage_count, key.max_usage) for key in zpa.provisioning.list_provisioning_keys("connector")]
    equal("the list counts it", used, [("edge", "1", "1")])
    is_refused("no use is left", key.provisioning_key, "second", "key-exhausted")
    zpa.provisioning.update_provisioning_key(key.id, "connector", max_usage=3)
    for name in ["second", "third"]:
        equal(f"the {name} one enrolls now", enroll(key.provisioning_key, name)[0], 200)
    return key


def connectors(zpa, key):
    """What the devices have become; then everything goes."""
    api = zpa.connectors
    listed = api.list_connectors(pagesize=2)
    equal("connectors", names(listed), ["edge-1", "edge-2", "edge-3"])
    found = api.get_connector(listed[0].id)
    equal("its fingerprint", found.fingerprint, "openssl+curl.first")
    equal("its key", (found.provisioning_key_id, found.provisioning_key_name), (key.id, "edge"))
    equal("its group", (found.app_connector_group_id, found.app_connector_group_name), (key.zcomponent_id, "Devices"))
    refused("an unknown one", lambda: api.get_connector("4711"), 404, "resource.not.found", ["4711"])
    # It reads the connector and writes all of it back.
    edited = api.update_connector(found.id, name="front", description="d", enabled=False)
    equal("the edit", (edited.name, edited.description, edited.enabled), ("front", "d", False))
    equal("and the rest", (edited.fingerprint, edited.issued_cert_id), (found.fingerprint, found.issued_cert_id))
    is_refused("a disabled one", key.provisioning_key, "first", "component-disabled")
    equal("deleted", api.delete_connector(found.id), 204)
    refused("deleted again", lambda: api.delete_connector(found.id), 404, "resource.not.found", [found.id])
    status = api.bulk_delete_connectors([connector.id for connector in listed[1:]])
    holds("the others deleted", status in (200, 204), status)
    equal("none is left", names(api.list_connectors()), [])
    equal("its key deleted", zpa.provisioning.delete_provisioning_key(key.id, "connector"), 204)
    equal("its group deleted", api.delete_connector_group(key.zcomponent_id), 204)


def wrong_secret():
    return ZPA(client_secret="wrong")


refused("a wrong secret", wrong_secret, 401, "access.denied")
zpa = ZPA()
certificates = look_around(zpa)
connector_group = groups(zpa, certificates)
service_edge_group = edge_groups(zpa, certificates)
keys(zpa, certificates, connector_group, service_edge_group)
key = device(zpa, certificates)
equal("deleted", zpa.connectors.delete_connector_group(connector_group), 204)
zpa.service_edges.delete_service_edge_group(service_edge_group)
equal("no edge groups are left", names(zpa.service_edges.list_service_edge_groups()), [])
connectors(zpa, key)
