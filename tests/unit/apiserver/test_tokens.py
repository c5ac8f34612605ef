"""Service accounts' tokens at an api-server in memory: what they say, what they open, and when they end."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.api.authentication.v1 import authentication_pb2 as pb
from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.scheme import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from kubelab.apiserver.authn.signingkeys import SigningKey
from kubelab.client.client import Client
from kubelab.component.config import ConfigError
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.tokens import signing_key, with_tokens

ISSUER = "https://kubernetes.default.svc.cluster.local"


class Clock(SystemClock):
    """Tells the time that a test sets."""

    now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


class Lab:
    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.server = ApiServerInMemory(clock=self.clock, config=with_tokens(folder))
        self.server.add_default_roles()
        self.admin = self.server.client()
        self.server.add(serviceaccounts_pb2.ServiceAccount(metadata=_meta("robot", uid="sa-uid")))

    def pod(self, name: str = "web", node: str = "node-1", uid: str = "pod-uid") -> core_pb2.Pod:
        pod = make.pod(name)
        pod.metadata.uid, pod.spec.serviceAccountName, pod.spec.nodeName = uid, "robot", node
        self.server.add(core_pb2.Node(metadata=meta_pb2.ObjectMeta(name=node, uid=f"uid-{node}")), pod)
        return pod

    async def token(self, **spec: Any) -> pb.TokenRequest:
        return await self.admin.create_token("robot", "default", pb.TokenRequest(spec=pb.TokenRequestSpec(**spec)))

    def bearer(self, token: str) -> Client:
        return self.server.client("robot", (("authorization", f"Bearer {token}"),))

    async def review(self, token: str, *audiences: str) -> pb.TokenReviewStatus:
        spec = pb.TokenReviewSpec(token=token, audiences=audiences)
        return (await self.admin.create(pb.TokenReview(spec=spec))).status


def _meta(name: str, uid: str = "") -> meta_pb2.ObjectMeta:
    return meta_pb2.ObjectMeta(name=name, namespace="default", uid=uid)


def bound(kind: str, name: str, uid: str = "", version: str = "v1") -> pb.BoundObjectReference:
    return pb.BoundObjectReference(kind=kind, apiVersion=version, name=name, uid=uid)


def parts(token: str) -> list[dict[str, Any]]:
    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def test_what_a_token_says(lab: Lab) -> None:
    lab.pod()
    made = await lab.token(boundObjectRef=bound("Pod", "web"), expirationSeconds=900)
    header, claims = parts(made.status.token)
    assert (header["alg"], header["typ"]) == ("ES256", "JWT")
    now = int(lab.clock.now)
    assert claims.pop("jti")
    assert claims == {
        "aud": [ISSUER],
        "exp": now + 900,
        "iat": now,
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": "default",
            "node": {"name": "node-1", "uid": "uid-node-1"},
            "pod": {"name": "web", "uid": "pod-uid"},
            "serviceaccount": {"name": "robot", "uid": "sa-uid"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:default:robot",
    }
    assert (made.metadata.name, made.metadata.namespace) == ("robot", "default")
    assert made.status.expirationTimestamp.seconds == now + 900
    assert list(made.spec.audiences) == [ISSUER]


async def test_a_token_is_its_accounts(lab: Lab) -> None:
    lab.pod()
    token = (await lab.token(boundObjectRef=bound("Pod", "web"))).status.token
    user = (await lab.bearer(token).create(pb.SelfSubjectReview())).status.userInfo
    assert (user.username, user.uid) == ("system:serviceaccount:default:robot", "sa-uid")
    assert list(user.groups) == ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:default"]
    extra = {key.partition("/")[2]: list(value.items) for key, value in user.extra.items()}
    assert extra.pop("credential-id")[0].startswith("JTI=")
    assert extra == {
        "node-name": ["node-1"],
        "node-uid": ["uid-node-1"],
        "pod-name": ["web"],
        "pod-uid": ["pod-uid"],
    }
    with pytest.raises(errors.Forbidden) as told:
        await lab.bearer(token).list(PODS, "default")
    assert 'User "system:serviceaccount:default:robot" cannot list resource "pods"' in told.value.message


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"expirationSeconds": 599}, errors.Invalid, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**32 + 1}, errors.Invalid, r"may not specify a duration larger than 2\^32 seconds"),
        ({"boundObjectRef": bound("Pod", "none")}, errors.NotFound, 'pods "none" not found'),
        ({"boundObjectRef": bound("Secret", "none")}, errors.NotFound, 'secrets "none" not found'),
        (
            {"boundObjectRef": bound("Deployment", "x", version="apps/v1")},
            errors.BadRequest,
            'cannot bind token for serviceaccount "robot" to object of type apps/v1, Kind=Deployment',
        ),
        (
            {"boundObjectRef": bound("Pod", "other")},
            errors.BadRequest,
            'cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name.',
        ),
        (
            {"boundObjectRef": bound("Pod", "web", uid="old")},
            errors.Conflict,
            r"the UID in the bound object reference \(old\) does not match the UID in record",
        ),
    ],
)
async def test_what_no_token_is_given_for(lab: Lab, spec: Any, error: type[Exception], message: str) -> None:
    lab.pod()
    other = make.pod("other")
    other.spec.serviceAccountName = "default"
    lab.server.add(other)
    with pytest.raises(error, match=message):
        await lab.token(**spec)


async def test_an_account_that_is_not_there_has_no_token(lab: Lab) -> None:
    with pytest.raises(errors.NotFound, match='serviceaccounts "nobody" not found'):
        await lab.admin.create_token("nobody", "default", pb.TokenRequest())


def _delete_pod(lab: Lab) -> None:
    lab.server.remove(PODS, "default/web")


def _replace_pod(lab: Lab) -> None:
    lab.server.remove(PODS, "default/web")
    lab.pod(uid="another")


def _finish_pod(lab: Lab) -> None:
    pod = lab.pod()
    pod.metadata.deletionTimestamp.seconds = int(lab.clock.now) - 61
    lab.server.add(pod)


def _replace_account(lab: Lab) -> None:
    lab.server.remove(SERVICE_ACCOUNTS, "default/robot")
    lab.server.add(serviceaccounts_pb2.ServiceAccount(metadata=_meta("robot", uid="another")))


def _delete_account(lab: Lab) -> None:
    lab.server.remove(SERVICE_ACCOUNTS, "default/robot")


def _pass_time(lab: Lab) -> None:
    lab.clock.now += 3600 + 61


def _set_back(lab: Lab) -> None:
    lab.clock.now -= 120


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (_delete_pod, "service account token has been invalidated"),
        (_replace_pod, "service account token has been invalidated"),
        (_finish_pod, "service account token has been invalidated"),
        (_delete_account, 'serviceaccounts "robot" not found'),
        (_replace_account, "service account UID (another) does not match claim (sa-uid)"),
        (_pass_time, "service account token has expired"),
        (_set_back, "service account token is not valid yet"),
    ],
)
async def test_when_a_token_ends(lab: Lab, end: Any, error: str) -> None:
    lab.pod()
    token = (await lab.token(boundObjectRef=bound("Pod", "web"))).status.token
    assert (await lab.review(token)).authenticated
    end(lab)
    status = await lab.review(token)
    assert not status.authenticated
    assert status.error == f"[invalid bearer token, {error}]"
    with pytest.raises(errors.Unauthorized, match="Unauthorized"):
        await lab.bearer(token).create(pb.SelfSubjectReview())


async def test_a_pod_that_is_ending_may_use_its_token(lab: Lab) -> None:
    pod = lab.pod()
    token = (await lab.token(boundObjectRef=bound("Pod", "web"))).status.token
    pod.metadata.deletionTimestamp.seconds = int(lab.clock.now) - 30
    lab.server.add(pod)
    assert (await lab.review(token)).authenticated


@pytest.mark.parametrize("kind", ["Secret", "Node"])
async def test_a_token_ends_with_any_object_that_it_is_bound_to(lab: Lab, kind: str) -> None:
    lab.pod()
    lab.server.add(core_pb2.Secret(metadata=_meta("s")))
    resource, key = (SECRETS, "default/s") if kind == "Secret" else (NODES, "node-1")
    token = (await lab.token(boundObjectRef=bound(kind, key.rpartition("/")[2]))).status.token
    assert (await lab.review(token)).authenticated
    lab.server.remove(resource, key)
    assert (await lab.review(token)).error == "[invalid bearer token, service account token has been invalidated]"


async def test_audiences(lab: Lab) -> None:
    token = (await lab.token(audiences=["vault", "other"])).status.token
    assert (await lab.review(token)).error == (
        f'[invalid bearer token, token audiences ["vault" "other"] is invalid for the target audiences ["{ISSUER}"]]'
    )
    with pytest.raises(errors.Unauthorized):
        await lab.bearer(token).create(pb.SelfSubjectReview())
    status = await lab.review(token, "vault", "third")
    assert (status.authenticated, list(status.audiences)) == (True, ["vault"])
    assert status.user.username == "system:serviceaccount:default:robot"


async def test_tokens_that_are_none(lab: Lab, tmp_path: Path) -> None:
    token = (await lab.token()).status.token
    header, claims, signature = token.split(".")
    (tmp_path / "other").mkdir()
    other = Lab(tmp_path / "other")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    hostile = base64.urlsafe_b64encode(b"[" * 9000).decode()
    for bad in (
        "x",
        "a.b.c",
        f"{header}.{claims}.",
        f"{none}.{claims}.",
        f"{header}.{claims[:-2]}.{signature}",
        f"{header}.{hostile}.{signature}",
        f"{hostile}.{claims}.{signature}",
        token + "A" * 20_000,
        (await other.token()).status.token,
    ):
        status = await lab.review(bad)
        assert not status.authenticated, bad
        assert status.error.startswith("[invalid bearer token, ")
        with pytest.raises(errors.Unauthorized):
            await lab.bearer(bad).create(pb.SelfSubjectReview())
    with pytest.raises(errors.BadRequest, match="token is required for TokenReview in authentication"):
        await lab.review("")


async def test_impersonation(lab: Lab) -> None:
    async def whoami(*headers: tuple[str, str]) -> pb.UserInfo:
        return (await lab.server.client("x", headers).create(pb.SelfSubjectReview())).status.userInfo

    jane = await whoami(("impersonate-user", "jane"), ("impersonate-group", "dev"), ("impersonate-group", "ops"))
    assert (jane.username, list(jane.groups)) == ("jane", ["dev", "ops", "system:authenticated"])
    robot = await whoami(("impersonate-user", "system:serviceaccount:default:robot"))
    assert list(robot.groups) == ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:default"]
    with pytest.raises(errors.Forbidden, match='User "system:anonymous" cannot create'):
        await whoami(("impersonate-user", "system:anonymous"))
    rich = await whoami(
        ("impersonate-user", "jane"), ("impersonate-uid", "7"), ("impersonate-extra-acme.com%2fproject", "a")
    )
    assert (rich.uid, list(rich.extra["acme.com/project"].items)) == ("7", ["a"])
    with pytest.raises(errors.BadRequest, match="without impersonating a user"):
        await whoami(("impersonate-group", "dev"))
    with pytest.raises(errors.Forbidden, match='User "jane" cannot list resource "pods"'):
        await lab.server.client("x", (("impersonate-user", "jane"),)).list(PODS, "default")
    token = ("authorization", f"Bearer {(await lab.token()).status.token}")
    for header, refused in (
        (
            ("impersonate-user", "jane"),
            'users "jane" is forbidden: .* cannot impersonate resource "users"',
        ),
        (
            ("impersonate-user", "system:serviceaccount:default:x"),
            'serviceaccounts "x" is forbidden: .* cannot impersonate resource "serviceaccounts" .* namespace "default"',
        ),
    ):
        with pytest.raises(errors.Forbidden, match=refused):
            await whoami(token, header)


async def test_a_server_without_a_key_knows_no_tokens(tmp_path: Path) -> None:
    server = ApiServerInMemory()
    with pytest.raises(errors.NotFound, match="could not find the requested resource"):
        await server.client().create_token("default", "default", pb.TokenRequest())
    with pytest.raises(errors.Unauthorized):
        await server.client("x", (("authorization", "Bearer x"),)).create(pb.SelfSubjectReview())
    (tmp_path / "bad").write_text("no key")
    with pytest.raises(ConfigError, match="holds no private key in PEM"):
        SigningKey.load(tmp_path / "bad")
    with pytest.raises(ConfigError, match="No such file"):
        SigningKey.load(tmp_path / "missing")


def test_the_key_set_names_the_key_of_the_tokens(tmp_path: Path) -> None:
    key = SigningKey.load(signing_key(tmp_path))
    (shown,) = key.key_set()["keys"]
    assert set(shown) == {"use", "kty", "kid", "alg", "crv", "x", "y"}, "the private half stays here"
    assert (shown["kid"], shown["alg"], shown["crv"], shown["kty"]) == (key.id, "ES256", "P-256", "EC")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bound to nothing": ({}, "node requested token not bound to a pod"),
    "without a uid": ({"boundObjectRef": bound("Pod", "web")}, "node requested token with a pod binding without a uid"),
    "for another node's pod": (
        {"boundObjectRef": bound("Pod", "far", "far-uid")},
        "node requested token bound to a pod scheduled on a different node",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_node_gets_tokens_for_its_own_pods_alone(lab: Lab, case: str) -> None:
    lab.pod()
    lab.pod("far", node="node-2", uid="far-uid")
    kubelet = lab.server.client(
        "kubelet", (("impersonate-user", "system:node:node-1"), ("impersonate-group", "system:nodes"))
    )
    spec, why = REFUSED[case]
    with pytest.raises(errors.Forbidden, match=why):
        await kubelet.create_token("robot", "default", pb.TokenRequest(spec=pb.TokenRequestSpec(**spec)))
    own = pb.TokenRequestSpec(boundObjectRef=bound("Pod", "web", "pod-uid"))
    assert (await kubelet.create_token("robot", "default", pb.TokenRequest(spec=own))).status.token
