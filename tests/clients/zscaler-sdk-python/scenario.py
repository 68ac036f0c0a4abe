"""Everything that the SDK does with what Muster has, the same for both sign-ins."""

from checks import CUSTOMER_ID, PRESET_CERTIFICATES, decimal, enroll, equal, holds, is_refused


def done(what, outcome):
    """The result of a call that must succeed."""
    result, _, error = outcome
    holds(f"{what}: no error", error is None, error)
    return result


def refused(what, outcome, status, code, params=None):
    _, _, error = outcome
    found = getattr(error, "status_code", None), getattr(error, "error_code", None)
    equal(f"{what}: refused", found, (status, code))
    if params is not None:
        equal(f"{what}: what is at fault", error.params, params)


def pages(what, outcome, model):
    """The names on each page, from the first to the last. Pages after the first come as plain members or as
    objects, as the SDK pleases."""
    first, response, error = outcome
    holds(f"{what}: no error", error is None, error)
    found = [[row.name for row in first]]
    while response.has_next():
        rows, _, error = response.next()
        holds(f"{what}: no error on page {len(found) + 1}", error is None, error)
        found.append([row.name if isinstance(row, model) else row["name"] for row in rows])
    return found


def run(zpa):
    certificates = look_around(zpa)
    connector_group = groups(zpa, certificates)
    service_edge_group = edge_groups(zpa, certificates)
    keys(zpa, certificates, connector_group, service_edge_group)
    key = device(zpa, certificates)
    leave(zpa, connector_group, service_edge_group)
    connectors(zpa, key)
    service_edges(zpa, certificates)
    schedules(zpa)


def look_around(zpa):
    """What is there before anything is made; the ids of certificates by their names."""
    listed = done("certificates", zpa.enrollment_certificates.list_enrolment())
    ids = {certificate.name: certificate.id for certificate in listed}
    holds("the preset certificates are there", ids.keys() >= PRESET_CERTIFICATES, ids)
    search = {"search": "Connector"}
    found = done("search for a certificate", zpa.enrollment_certificates.list_enrolment(query_params=search))
    equal("a plain word finds one name", [certificate.name for certificate in found], ["Connector"])
    found = done("certificate by name", zpa.enrollment_certificates.get_enrolment_by_name("service edge"))
    equal("names are found in any case", found.id, ids["Service Edge"])
    found = done("certificate", zpa.enrollment_certificates.get_enrolment(ids["Connector"]))
    equal("its parent", (found.parent_cert_id, found.parent_cert_name), (ids["Root"], "Root"))
    equal("it signs", (found.allow_signing, found.private_key_present), (True, True))
    equal("its kind", found.client_cert_type, "NONE")
    holds("it is shown as PEM", found.certificate.startswith("-----BEGIN CERTIFICATE-----\n"), found.certificate)
    for member in ["id", "serial_no", "valid_from_in_epoch_sec", "valid_to_in_epoch_sec", "creation_time"]:
        decimal(f"certificate.{member}", getattr(found, member))
    missing = zpa.enrollment_certificates.get_enrolment("4711")
    refused("an unknown certificate", missing, 404, "resource.not.found", ["4711"])

    profiles = zpa.customer_version_profile
    found = [(profile.id, profile.name) for profile in done("version profiles", profiles.list_version_profiles())]
    equal("version profiles", found, [("0", "Default"), ("1", "Previous Default"), ("2", "New Release")])
    equal("the profile", done("its profile", profiles.get_associated_version_profile()).name, "Default")
    done("choosing it", profiles.update_version_profile("0", True))
    other = profiles.update_version_profile("2", True)
    refused("choosing another", other, 400, "config.change.not.allowed.sku.not.enabled")
    refused("choosing none", profiles.update_version_profile("7", True), 404, "resource.not.found")

    machines = done("machine groups", zpa.machine_groups.list_machine_groups())
    equal("machine groups", [(group.name, group.enabled) for group in machines], [("Laptops", True), ("Tills", True)])
    found = done("machine group", zpa.machine_groups.get_group(machines[1].id))
    equal("machine group", (found.id, found.name), (machines[1].id, "Tills"))
    found = done("search for one", zpa.machine_groups.list_machine_groups(query_params={"search": "tills"}))
    equal("machine groups are searched", [group.name for group in found], ["Tills"])
    found = done("summary", zpa.machine_groups.list_machine_group_summary())
    equal("machine groups in short", [group.name for group in found], ["Laptops", "Tills"])
    refused("an unknown machine group", zpa.machine_groups.get_group("4711"), 404, "resource.not.found", ["4711"])
    return ids


def groups(zpa, certificates):
    """App Connector groups; the id of one that stays."""
    api = zpa.app_connector_groups
    place = {"latitude": "37.3382082", "longitude": "-121.8863286", "location": "San Jose, CA, USA"}
    made = done(
        "a group",
        api.add_connector_group(
            name="HQ one",
            description="d",
            enabled=True,
            city_country="San Jose, US",
            country_code="US",
            upgrade_day="SUNDAY",
            upgrade_time_in_secs="66600",
            override_version_profile=True,
            version_profile_id="2",
            dns_query_type="IPV4_IPV6",
            **place,
        ),
    )
    decimal("group.id", made.id)
    equal("the SDK's certificate for it", made.enrollment_cert_id, certificates["Connector"])
    equal("the profile's name goes with its id", made.version_profile_name, "New Release")
    again = api.add_connector_group(name="hq ONE", **place)
    refused("the same name again", again, 400, "duplicate.resource.name", ["name"])
    bad = api.add_connector_group(name="bad", enrollment_cert_id="4711", **place)
    refused("a certificate that is not there", bad, 400, "invalid.resource.argument", ["enrollmentCertId"])
    for name in ["HQ two", "Branch"]:
        done(name, api.add_connector_group(name=name, **place))

    found = done("group", api.get_connector_group(made.id))
    equal("it reads as it was made", found.as_dict(), made.as_dict())
    for member in ["creation_time", "modified_time", "modified_by", "version_profile_id", "upgrade_time_in_secs"]:
        decimal(f"group.{member}", getattr(found, member))
    equal("coordinates are strings", (found.latitude, found.longitude), ("37.3382082", "-121.8863286"))
    equal("its flags", (found.enabled, found.override_version_profile, found.pra_enabled), (True, True, False))
    with_servers = done("with its server groups", api.get_connector_group_sg(made.id))
    equal("there are none", (with_servers.id, list(with_servers.server_groups)), (made.id, []))

    done("edit", api.update_connector_group(made.id, name="HQ one", description="e"))
    found = done("group", api.get_connector_group(made.id))
    equal("an edit keeps the rest", (found.description, found.latitude), ("e", "37.3382082"))
    done("disable", api.update_connector_group(made.id, enabled=False))
    equal("it is disabled", done("group", api.get_connector_group(made.id)).enabled, False)
    done("enable", api.update_connector_group(made.id, enabled=True))

    query = {"page": "1", "page_size": "2"}
    listed = pages("pages of groups", api.list_connector_groups(query_params=query), type(made))
    equal("pages", listed, [["HQ one", "HQ two"], ["Branch"]])
    past = done("a page past the end", api.list_connector_groups(query_params={"page": "9", "page_size": "2"}))
    equal("it is empty", past, [])
    for search, names in [
        ("HQ two", ["HQ two"]),
        ("hq TWO", ["HQ two"]),
        ("HQ", []),
        ("name+EQ+hq two", ["HQ two"]),
        ("name+CONTAINS+q o", ["HQ one"]),
        ("name+STARTSWITH+hq", ["HQ one", "HQ two"]),
        ("name+ENDSWITH+CH", ["Branch"]),
        ("name+NE+Branch", ["HQ one", "HQ two"]),
    ]:
        found = done(f"search {search}", api.list_connector_groups(query_params={"search": search}))
        equal(f"search {search!r}", [group.name for group in found], names)
    found = done("summary", api.list_connector_groups_summary())
    equal("groups in short", [group.name for group in found], ["HQ one", "HQ two", "Branch"])

    others = [group for group in done("groups", api.list_connector_groups()) if group.id != made.id]
    for group in others:
        done(f"delete {group.name}", api.delete_connector_group(group.id))
    refused("delete it again", api.delete_connector_group(others[0].id), 404, "resource.not.found", [others[0].id])
    refused("a deleted group", api.get_connector_group(others[0].id), 404, "resource.not.found", [others[0].id])
    refused("edit it", api.update_connector_group(others[0].id, description="x"), 404, "resource.not.found")
    return made.id


def edge_groups(zpa, certificates):
    """Private Service Edge groups; the id of one that stays."""
    api = zpa.service_edge_group
    place = {"latitude": "37.3", "longitude": "-121.8", "location": "San Jose, CA, USA"}
    made = done("an edge group", api.add_service_edge_group(name="Edges", is_public=False, city_country="San Jose, US", **place))
    equal("the SDK's certificate for it", made.enrollment_cert_id, certificates["Service Edge"])
    found = done("edge group", api.get_service_edge_group(made.id))
    equal("as it was made", (found.name, found.is_public, found.city_country), ("Edges", "FALSE", "San Jose, US"))
    done("edit", api.update_service_edge_group(made.id, name="Edges", description="e"))
    found = done("edge group", api.get_service_edge_group(made.id))
    equal("an edit keeps the rest", (found.description, found.longitude), ("e", "-121.8"))
    found = done("search", api.list_service_edge_groups(query_params={"search": "edges"}))
    equal("found by its name", [group.id for group in found], [made.id])
    other = zpa.app_connector_groups.get_connector_group(made.id)
    refused("it is no App Connector group", other, 404, "resource.not.found", [made.id])
    return made.id


def keys(zpa, certificates, connector_group, service_edge_group):
    api = zpa.provisioning
    connector = {"enrollment_cert_id": certificates["Connector"], "component_id": connector_group}
    edge = {"enrollment_cert_id": certificates["Service Edge"], "component_id": service_edge_group}

    made = done("a key", api.add_provisioning_key("connector", name="k one", max_usage="10", **connector))
    decimal("key.id", made.id)
    equal("its counters", (made.max_usage, made.usage_count), ("10", "0"))
    equal("what it belongs to", (made.zcomponent_id, made.enrollment_cert_id), (connector_group, certificates["Connector"]))
    equal("it is enabled", made.enabled, True)
    version, cloud, secret = made.provisioning_key.split("|")
    equal("its string", (version, cloud, len(secret)), ("3", "localhost:8443", 96))

    taken = api.add_provisioning_key("connector", name="K ONE", max_usage="10", **connector)
    refused("the same name again", taken, 400, "duplicate.resource.name", ["name"])
    forgotten = api.add_provisioning_key("connector", name="k two", **connector)
    refused("no maximum", forgotten, 400, "missing.mandatory.params", ["maxUsage"])
    for name, more in [
        ("no certificate like it", connector | {"enrollment_cert_id": "4711"}),
        ("a group of another kind", connector | {"component_id": service_edge_group}),
    ]:
        member = "enrollmentCertId" if "4711" in more.values() else "zcomponentId"
        bad = api.add_provisioning_key("connector", name="k two", max_usage="1", **more)
        refused(name, bad, 400, "invalid.resource.argument", [member])
    all_at_once = api.add_provisioning_key("connector", name="a|b", max_usage="0", **connector)
    refused("all faults at once", all_at_once, 400, "invalid.resource.argument", ["name", "maxUsage"])

    off = done("another kind", api.add_provisioning_key("service_edge", name="k one", max_usage=2, enabled=False, **edge))
    equal("numbers are taken, made disabled", (off.max_usage, off.enabled), ("2", False))

    found = done("key", api.get_provisioning_key(made.id, "connector"))
    equal("names come with ids", (found.zcomponent_name, found.enrollment_cert_name), ("HQ one", "Connector"))
    equal("the string is shown again", found.provisioning_key, made.provisioning_key)
    for member in ["creation_time", "modified_time", "modified_by"]:
        decimal(f"key.{member}", getattr(found, member))
    other = api.get_provisioning_key(made.id, "service_edge")
    refused("it is none of the other kind", other, 404, "resource.not.found", [made.id])
    refused("an unknown key", api.get_provisioning_key("4711", "connector"), 404, "resource.not.found", ["4711"])
    # The SDK forgets a slash here.
    broken = api.get_provisioning_key_by_zcomponent(connector_group, "connector")
    refused("a path that is none", broken, 404, "resource.not.found")

    done("raise the maximum", api.update_provisioning_key(made.id, "connector", max_usage="20"))
    microtenant = {"name": "k 1", "component_id": connector_group, "microtenant_id": "0"}
    done("rename", api.update_provisioning_key(made.id, "connector", **microtenant))
    found = done("key", api.get_provisioning_key(made.id, "connector"))
    equal("both edits hold", (found.name, found.max_usage), ("k 1", "20"))
    done("disable", api.update_provisioning_key(made.id, "connector", enabled=False))
    is_refused("a disabled key", made.provisioning_key, "disabled", "key-disabled")
    equal("it is disabled", done("key", api.get_provisioning_key(made.id, "connector")).enabled, False)
    wrong = api.update_provisioning_key(made.id, "connector", max_usage="0", enrollment_cert_id="4711")
    refused("a bad edit", wrong, 400, "invalid.resource.argument", ["maxUsage", "enrollmentCertId"])
    refused("edit of none", api.update_provisioning_key("4711", "connector", max_usage="2"), 404, "resource.not.found")

    for n in range(2, 6):
        done(f"k {n}", api.add_provisioning_key("connector", name=f"k {n}", max_usage="1", **connector))
    query = {"page": "1", "page_size": "2"}
    listed = pages("pages of keys", api.list_provisioning_keys("connector", query_params=query), type(made))
    equal("pages", listed, [["k 1", "k 2"], ["k 3", "k 4"], ["k 5"]])
    for search, names in [("K 3", ["k 3"]), ("k", []), ("name+CONTAINS+5", ["k 5"])]:
        query = {"search": search, "page": "1", "page_size": "500"}
        found = done(f"search {search}", api.list_provisioning_keys("connector", query_params=query))
        equal(f"search {search!r}", [key.name for key in found], names)
    found = done("keys of the other kind", api.list_provisioning_keys("service_edge"))
    equal("kinds are apart", [(key.id, key.zcomponent_name) for key in found], [(off.id, "Edges")])

    in_use = zpa.app_connector_groups.delete_connector_group(connector_group)
    refused("a group in use", in_use, 400, "resource.referenced")
    for key in done("keys", api.list_provisioning_keys("connector")):
        done(f"delete {key.name}", api.delete_provisioning_key(key.id, "connector"))
    done("delete", api.delete_provisioning_key(off.id, "service_edge"))
    for kind, key in [("connector", made.id), ("service_edge", off.id)]:
        refused("a deleted key", api.get_provisioning_key(key, kind), 404, "resource.not.found", [key])
        refused("delete it again", api.delete_provisioning_key(key, kind), 404, "resource.not.found", [key])
        equal("no keys are left", done("keys", api.list_provisioning_keys(kind)), [])
    status, _ = enroll(made.provisioning_key, "deleted")
    equal("a deleted key enrolls nothing", status, 401)


def device(zpa, certificates):
    """A key made here enrolls a device made with openssl; the key is full then."""
    api = zpa.provisioning
    group = done("a group for it", zpa.app_connector_groups.add_connector_group(name="Devices", latitude="1", longitude="2", location="x"))
    body = {"enrollment_cert_id": certificates["Connector"], "component_id": group.id}
    key = done("its key", api.add_provisioning_key("connector", name="edge", max_usage="1", **body))
    status, answer = enroll(key.provisioning_key, "first")
    equal("the first one enrolls", (status, answer.get("outcome")), (200, "enrolled"))
    equal("as what it is", (answer["kind"], answer["componentName"]), ("app-connector", "edge-1"))
    equal("where it belongs", (answer["customerId"], answer["groupId"], answer["groupName"]), (CUSTOMER_ID, group.id, "Devices"))
    used = [(key.name, key.usage_count, key.max_usage) for key in done("keys", api.list_provisioning_keys("connector"))]
    equal("the list counts it", used, [("edge", "1", "1")])
    is_refused("no use is left", key.provisioning_key, "second", "key-exhausted")
    done("raise the maximum", api.update_provisioning_key(key.id, "connector", max_usage="3"))
    for n, name in [(2, "second"), (3, "third")]:
        status, answer = enroll(key.provisioning_key, name)
        equal(f"the {name} one enrolls now", (status, answer.get("componentName")), (200, f"edge-{n}"))
    equal("and is counted", done("key", api.get_provisioning_key(key.id, "connector")).usage_count, "3")
    return key


def leave(zpa, connector_group, service_edge_group):
    done("delete the group", zpa.app_connector_groups.delete_connector_group(connector_group))
    done("delete the edge group", zpa.service_edge_group.delete_service_edge_group(service_edge_group))
    equal("no edge groups are left", done("edge groups", zpa.service_edge_group.list_service_edge_groups()), [])


def connectors(zpa, key):
    """What the devices have become; then everything goes."""
    api = zpa.app_connectors
    listed = done("connectors", api.list_connectors())
    equal("connectors", [connector.name for connector in listed], ["edge-1", "edge-2", "edge-3"])
    query = {"page": "1", "page_size": "2"}
    equal("pages", pages("pages", api.list_connectors(query_params=query), type(listed[0])), [["edge-1", "edge-2"], ["edge-3"]])
    found = done("search", api.list_connectors(query_params={"search": "EDGE-2"}))
    equal("found by its name", [connector.id for connector in found], [listed[1].id])
    found = done("connector", api.get_connector(listed[0].id))
    decimal("connector.id", found.id)
    decimal("connector.enrollment_time", found.enrollment_time)
    equal("its fingerprint", found.fingerprint, "openssl+curl.first")
    equal("its key", (found.provisioning_key_id, found.provisioning_key_name), (key.id, "edge"))
    equal("its group", (found.app_connector_group_id, found.app_connector_group_name), (key.zcomponent_id, "Devices"))
    refused("an unknown one", api.get_connector("4711"), 404, "resource.not.found", ["4711"])

    done("edit", api.update_connector(found.id, name="front", description="d", enabled=False))
    found = done("connector", api.get_connector(found.id))
    equal("the edit holds", (found.name, found.description, found.enabled), ("front", "d", False))
    is_refused("a disabled one", key.provisioning_key, "first", "component-disabled")
    refused("edit of none", api.update_connector("4711", name="x"), 404, "resource.not.found")

    done("delete", api.delete_connector(found.id))
    refused("delete it again", api.delete_connector(found.id), 404, "resource.not.found", [found.id])
    in_use = zpa.app_connector_groups.delete_connector_group(key.zcomponent_id)
    refused("its group is in use", in_use, 400, "resource.referenced")
    done("delete the others", api.bulk_delete_connectors([connector.id for connector in listed[1:]]))
    equal("none is left", done("connectors", api.list_connectors()), [])
    found = done("key", zpa.provisioning.get_provisioning_key(key.id, "connector"))
    equal("deleting gives no use back", found.usage_count, "3")
    done("delete its key", zpa.provisioning.delete_provisioning_key(key.id, "connector"))
    done("delete its group", zpa.app_connector_groups.delete_connector_group(key.zcomponent_id))


def service_edges(zpa, certificates):
    """The same for what becomes a Private Service Edge."""
    api = zpa.service_edges
    place = {"latitude": "1", "longitude": "2", "location": "x"}
    group = done("an edge group", zpa.service_edge_group.add_service_edge_group(name="Edges", **place))
    body = {"enrollment_cert_id": certificates["Service Edge"], "component_id": group.id}
    key = done("its key", zpa.provisioning.add_provisioning_key("service_edge", name="pse", max_usage="2", **body))
    for name in ["east", "west"]:
        status, answer = enroll(key.provisioning_key, name)
        equal(f"the one in the {name} enrolls", (status, answer.get("kind")), (200, "service-edge"))
    listed = done("service edges", api.list_service_edges())
    equal("service edges", [edge.name for edge in listed], ["pse-1", "pse-2"])
    found = done("service edge", api.get_service_edge(listed[0].id))
    equal("its group", (found.service_edge_group_id, found.service_edge_group_name), (group.id, "Edges"))
    refused("it is no App Connector", zpa.app_connectors.get_connector(found.id), 404, "resource.not.found", [found.id])
    done("edit", api.update_service_edge(found.id, name="east"))
    equal("the edit holds", done("service edge", api.get_service_edge(found.id)).name, "east")
    done("delete", api.delete_service_edge(found.id))
    done("delete the other", api.bulk_delete_service_edges([listed[1].id]))
    equal("none is left", done("service edges", api.list_service_edges()), [])
    done("delete the key", zpa.provisioning.delete_provisioning_key(key.id, "service_edge"))
    done("delete the group", zpa.service_edge_group.delete_service_edge_group(group.id))


def schedules(zpa):
    """When components that ended are deleted. The SDK writes its updates in snake case."""
    api = zpa.app_connector_schedule
    refused("there is none at first", api.get_connector_schedule(), 404, "resource.not.found")
    terms = {"frequency": "days", "enabled": True, "delete_disabled": False}
    wrong = api.add_connector_schedule(frequency_interval="6", **terms)
    refused("another interval", wrong, 400, "invalid.resource.argument", ["frequencyInterval"])
    made = done("a schedule", api.add_connector_schedule(frequency_interval="30", **terms))
    decimal("schedule.id", made.id)
    done("edit", api.update_connector_schedule(made.id, **(terms | {"frequency_interval": "60", "enabled": False})))
    found = done("schedule", api.get_connector_schedule())
    equal("the edit holds", (found.id, found.frequency, found.frequency_interval), (made.id, "days", "60"))
    equal("its flags", (found.enabled, found.delete_disabled), (False, False))
