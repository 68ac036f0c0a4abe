"""What the fuzzer cannot know: ids of objects that are there, credentials that are good.

Half of the requests get them, and half of those say nothing else, so that both what succeeds and what does
not is visited. The file that OBJECTS names holds lists of ids by resource ("machineGroup",
"provisioningKey MACHINE_GRP", "administrators/sessions" where a part of the path follows the id), and values of members by name or by name and association type.
"""

import itertools
import json
import os
import random

import schemathesis

with open(os.environ["OBJECTS"], encoding="utf-8") as file:
    OBJECTS = json.load(file)

choices = random.Random(1)
numbers = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    if choices.random() < 0.5:
        return
    parameters = case.path_parameters or {}
    association = str(parameters.get("associationType", ""))
    before, has_id, after = case.operation.path.partition("/{id}")
    if has_id and "id" in parameters:
        resource = before.rsplit("/", 1)[-1]
        part = "/".join(after.split("/")[:2])
        ids = known(OBJECTS["ids"], f"{resource}{part}", association) or known(OBJECTS["ids"], resource, association)
        if ids:
            parameters["id"] = choices.choice(ids)
    if "sessionId" in parameters:
        parameters["sessionId"] = choices.choice(OBJECTS["ids"]["sessionId"])
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = "*"
    if isinstance(case.body, dict):
        says_more = choices.random() < 0.5
        for member in list(case.body):
            values = known(OBJECTS["members"], member, association)
            if member == "name":
                case.body[member] = f"fuzz {next(numbers)}"
            elif values:
                case.body[member] = choices.choice(values)
            elif not says_more:
                del case.body[member]


def known(values, name, association):
    return values.get(f"{name} {association}") or values.get(name)
