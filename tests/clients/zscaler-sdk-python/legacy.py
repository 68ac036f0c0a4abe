"""The SDK with the legacy sign-in. Its only knob is the dictionary of base URLs."""

import checks
import scenario
from zscaler.constants import ZPA_BASE_URLS
from zscaler.oneapi_client import LegacyZPAClient

ZPA_BASE_URLS["SELF"] = checks.BASE_URL


def client(secret):
    config = {"clientId": checks.CLIENT_ID, "clientSecret": secret, "customerId": checks.CUSTOMER_ID, "cloud": "SELF"}
    return LegacyZPAClient(config)


def wrong_secret():
    try:
        client("wrong")
    except Exception as error:
        return str(error)
    return None


checks.equal("a wrong secret does not sign in", wrong_secret(), "Failed to login using provided credentials.")
with client(checks.CLIENT_SECRET) as signed_in:
    scenario.run(signed_in.zpa)
