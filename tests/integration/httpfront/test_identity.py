"""Who a request over HTTPS comes from: a certificate, a token, or nobody; and as whom it is answered."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tests.support.https import Answer, HTTPClient

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"
NAMESPACE = "/api/v1/namespaces/default/"
POD, CSV = {"kind": "Pod", "apiVersion": "v1"}, {"Content-Type": "text/csv"}
ACCOUNT = "system:serviceaccount:default:default"


async def token_of(admin: HTTPClient) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": None}}
    made = await admin.send("POST", TOKEN, request)
    assert made.code == 201, made.json
    assert (made.json["kind"], made.json["metadata"]["name"]) == ("TokenRequest", "default")
    return made.json["status"]["token"]


async def whoami(client: HTTPClient, **headers: str) -> Answer:
    return await client.send("POST", WHOAMI, REVIEW, **headers)


async def test_a_token_without_a_certificate(http: HTTPClient, nobody: HTTPClient) -> None:
    bearer = {"Authorization": f"Bearer {await token_of(http)}"}
    who = await whoami(nobody, **bearer)
    assert who.code == 201, who.json
    assert who.json["status"]["userInfo"]["username"] == ACCOUNT
    refused = await nobody.send("GET", "/api/v1/namespaces/default/pods", **bearer)
    assert refused.code == 403
    assert f'User "{ACCOUNT}" cannot list resource "pods"' in refused.json["message"]


async def test_a_certificate_wins_over_a_token(http: HTTPClient, jane: HTTPClient) -> None:
    who = await whoami(jane, Authorization=f"Bearer {await token_of(http)}")
    assert who.json["status"]["userInfo"]["username"] == "jane"


async def test_what_proves_nothing(nobody: HTTPClient) -> None:
    for authorization in ("Bearer x", "Bearer ", "Basic eDp5", "x"):
        refused = await whoami(nobody, Authorization=authorization)
        assert (refused.code, refused.json["reason"]) == (401, "Unauthorized")
    assert (await whoami(nobody)).code == 401
    for path in ("/api", "/version", "/metrics", "/openid/v1/jwks", "/api/v1/pods"):
        assert (await nobody.send("GET", path)).code == 401, path
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await nobody.send("GET", path)).code == 200, path


async def test_impersonation_by_headers(http: HTTPClient, jane: HTTPClient) -> None:
    who = await whoami(http, Impersonate_User="joe", Impersonate_Group="dev")
    assert who.json["status"]["userInfo"] == {"username": "joe", "groups": ["dev", "system:authenticated"]}
    refused = await whoami(jane, Impersonate_User="joe")
    assert refused.code == 403
    assert refused.json["message"] == (
        'users "joe" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope'
    )


async def test_anybody_can_check_a_token_by_the_published_keys(http: HTTPClient, nobody: HTTPClient) -> None:
    token = await token_of(http)
    bearer = {"Authorization": f"Bearer {token}"}
    found = await nobody.send("GET", "/.well-known/openid-configuration", **bearer)
    assert found.json["issuer"] == "https://kubernetes.default.svc.cluster.local"
    assert found.json["jwks_uri"].endswith("/openid/v1/jwks")
    keys = await nobody.send("GET", "/openid/v1/jwks", **bearer)
    assert keys.headers["Content-Type"].startswith("application/jwk-set+json")
    key = jwt.PyJWKSet.from_dict(keys.json)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, audience=found.json["issuer"], issuer=found.json["issuer"])
    assert claims["sub"] == ACCOUNT


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "verb", "target"),
    [
        ("POST", "configmaps", "{nonsense", {}, 400, "create", "configmaps"),
        (
            "POST",
            "configmaps",
            POD,
            {},
            400,
            "create",
            "configmaps",
        ),
        (
            "POST",
            "configmaps",
            "x",
            CSV,
            415,
            "create",
            "configmaps",
        ),
        ("PUT", "configmaps/a", "{nonsense", {}, 400, "update", "configmaps"),
        (
            "PATCH",
            "pods/a/status",
            "{}",
            CSV,
            415,
            "patch",
            "pods/status",
        ),
        ("GET", "pods?limit=many", None, {}, 400, "list", "pods"),
        ("GET", "pods", None, {"Accept": "text/csv"}, 406, "list", "pods"),
        ("GET", "things", None, {}, 404, "list", "things"),
        ("DELETE", "things/a", None, {}, 404, "delete", "things"),
        ("PUT", "configmaps", "{}", {}, 405, "update", "configmaps"),
    ],
)
async def test_only_who_may_send_it_is_told_what_is_wrong_with_a_request(
    http: HTTPClient,
    jane: HTTPClient,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    code: int,
    verb: str,
    target: str,
) -> None:
    assert (await http.send(method, NAMESPACE + path, body, **headers)).code == code
    refused = await jane.send(method, NAMESPACE + path, body, **headers)
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    words = f'User "jane" cannot {verb} resource "{target}" in API group "" in the namespace "default"'
    assert words in refused.json["message"]
