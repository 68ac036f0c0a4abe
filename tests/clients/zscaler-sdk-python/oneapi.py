"""The SDK with the OneAPI sign-in. Its knobs are a request executor of one's own, which is an option of
the client, and the address of the token endpoint."""

import checks
import scenario
from zscaler import ZscalerClient
from zscaler.oneapi_oauth_client import OAuth
from zscaler.request_executor import RequestExecutor


class Executor(RequestExecutor):
    def get_base_url(self, endpoint):
        return checks.BASE_URL


OAuth._get_auth_url = lambda self, vanity_domain, cloud: f"{checks.BASE_URL}/oauth2/v1/token"


def client(secret):
    config = {"clientId": checks.CLIENT_ID, "clientSecret": secret, "customerId": checks.CUSTOMER_ID}
    config |= {"vanityDomain": "self", "cloud": "production", "requestExecutor": Executor}
    return ZscalerClient(config)


def wrong_secret():
    try:
        with client("wrong") as refused:
            refused.zpa.machine_groups.list_machine_groups()
    except Exception as error:
        return str(error)
    return ""


refusal = wrong_secret()
checks.holds("a wrong secret does not sign in", "401" in refusal and "invalid_client" in refusal, refusal)
with client(checks.CLIENT_SECRET) as signed_in:
    scenario.run(signed_in.zpa)
