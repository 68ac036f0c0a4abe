"""What the scenarios of all clients share: checks that say what they are about, the service that the
test runs, and a device made with openssl and curl."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BASE_URL = os.environ["ZPA_OVERRIDE_URL"]
ENROLL_URL = os.environ["ENROLL_URL"]
CLIENT_ID = os.environ["ZPA_CLIENT_ID"]
CLIENT_SECRET = os.environ["ZPA_CLIENT_SECRET"]
CUSTOMER_ID = os.environ["ZPA_CUSTOMER_ID"]
TRUST_ANCHOR = os.environ["REQUESTS_CA_BUNDLE"]

# The certificates that a tenant starts with, as the vendor's do.
PRESET_CERTIFICATES = {"Root", "Client", "Connector", "Service Edge", "Isolation Client"}


def equal(what, found, expected):
    """Ends the scenario unless `found` is `expected`, type included: "1" is not 1, True is not 1."""
    if found != expected or type(found) is not type(expected):
        sys.exit(f"FAILED {what}\n  found    {found!r}\n  expected {expected!r}")
    print(f"ok {what}", flush=True)


def holds(what, condition, found=""):
    if not condition:
        sys.exit(f"FAILED {what} {found!r}")
    print(f"ok {what}", flush=True)


def decimal(what, found):
    """An id, a counter or an instant: a string of digits."""
    holds(f"{what} is a decimal string", isinstance(found, str) and found.isdigit(), found)


def enroll(key, device):
    """Presents a key string with a new key pair: the status, and the answer's members."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        generate = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        generate += ["-nodes", "-subj", "/CN=ignored", "-keyout", "key.pem", "-out", "csr.pem"]
        subprocess.run(generate, cwd=directory, check=True, capture_output=True)
        csr = (directory / "csr.pem").read_text()
        request = {"provisioningKey": key, "fingerprint": f"openssl+curl.{device}", "csr": csr}
        (directory / "request.json").write_text(json.dumps(request))
        send = ["curl", "-sS", "--cacert", TRUST_ANCHOR, "-H", "content-type: application/json"]
        send += ["--data-binary", "@request.json", "--write-out", "\n%{http_code}", ENROLL_URL]
        sent = subprocess.run(send, cwd=directory, check=True, capture_output=True, text=True)
    body, status = sent.stdout.rsplit("\n", 1)
    return int(status), json.loads(body)


def is_refused(what, key, device, code):
    status, answer = enroll(key, device)
    equal(f"{what}: refused", (status, answer["code"]), (403, code))
