"""Find the leader of a compose cluster's etcd: ``etcdctl`` queries each member in its own container."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

from kubelab.apimachinery.errors import ApiError
from kubelab.cluster.containers import ComposeContainer
from kubelab.cluster.docker import Docker

ASK_SECONDS = 5.0
FOLDER = "/etc/kubelab"


async def leading(docker: Docker, containers: Sequence[ComposeContainer]) -> str:
    """Return the member that leads: of those that claim to, the one with the latest term. "" when none does."""
    members = [c for c in containers if c.identity.component == "etcd" and c.status == "running"]
    claims = await asyncio.gather(*(_claim(docker, member) for member in members))
    terms = {member.name: term for member, term in zip(members, claims, strict=True) if term}
    return max(terms, key=lambda name: terms[name]) if terms else ""


async def _claim(docker: Docker, member: ComposeContainer) -> int:
    """The raft term in which a member leads; 0 when it does not, or does not answer."""
    folder = f"{FOLDER}/{member.name}"
    try:
        done = await docker.run(
            *("exec", "--env", "ETCDCTL_API=3", member.id, "etcdctl", "--endpoints", "https://127.0.0.1:2379"),
            *("--cacert", f"{folder}/ca.crt", "--cert", f"{folder}/tls.crt", "--key", f"{folder}/tls.key"),
            *("--dial-timeout", "2s", "--command-timeout", "2s", "endpoint", "status", "--write-out", "json"),
            timeout=ASK_SECONDS,
        )
    except ApiError:  # a member that is going down has no say
        return 0
    return 0 if done.code else claim_of(done.stdout)


def claim_of(printed: bytes) -> int:
    """Read ``etcdctl endpoint status``: the raft term in which the member that answered leads, or 0."""
    answers = cast(list[dict[str, Any]], json.loads(printed) if printed.strip() else [])
    for answer in answers:
        status = cast(dict[str, Any], answer["Status"])
        if status["header"].get("member_id") == status.get("leader"):
            return int(status.get("raftTerm") or 1)
    return 0
