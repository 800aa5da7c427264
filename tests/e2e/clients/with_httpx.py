"""httpx, the synchronous client: one for all lanes, which are threads."""
import httpx

from plan import TIMEOUT_S, Attempt, Plan

plan = Plan()
n = len(plan.lanes)
limits = httpx.Limits(max_connections=n, max_keepalive_connections=n)

with httpx.Client(base_url=plan.base, verify=plan.ca, limits=limits, timeout=TIMEOUT_S) as client:
    def lane(items):
        for item in items:
            with Attempt(item) as attempt:
                request = client.build_request(item["method"], item["path"], headers=plan.headers(item),
                                               json=item["body"])
                attempt.sending(request.read())
                answer = client.send(request)
                attempt.done(answer.status_code, answer.content)

    plan.in_threads(lane)
