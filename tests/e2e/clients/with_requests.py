"""Python requests: a Session for each lane. chunked: the body is a generator. Option of the plan: proxy, the URL of
one to be used."""
import requests

from plan import TIMEOUT_S, Attempt, Plan, in_chunks

plan = Plan()


def run(session, item):
    with Attempt(item) as attempt:
        request = requests.Request(item["method"], plan.base + item["path"], headers=plan.headers(item),
                                   json=item["body"])
        body = session.prepare_request(request).body or b""
        if item["chunked"]:
            request.headers["Content-Type"] = "application/json"
            request.json, request.data = None, in_chunks(body)
        attempt.sending(body)
        proxies = {"https": plan.options["proxy"]} if "proxy" in plan.options else {}
        answer = session.send(session.prepare_request(request), verify=plan.ca, timeout=TIMEOUT_S, proxies=proxies)
        attempt.done(answer.status_code, answer.content)


def lane(items):
    with requests.Session() as session:
        for item in items:
            run(session, item)


plan.in_threads(lane)
