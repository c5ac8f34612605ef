"""What a container may do: capabilities, groups, system calls; and what is refused instead of left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.host import capabilities
from kubelab.runtime.host.capabilities import DEFAULT, Bounds, CapabilityError
from kubelab.runtime.pods import spec
from kubelab.runtime.seccomp import profile
from kubelab.runtime.seccomp.calls import ALLOWED, BY_CAPABILITY, NEVER
from kubelab.runtime.seccomp.compiled import ANNOTATION, Filters

BOUNDS = Bounds((*DEFAULT, "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_MKNOD"), 0)


@pytest.mark.parametrize(
    "given",
    [
        {"command": ["a\0b"]},
        {"args": ["x", "\0"]},
        {"working_dir": "/\0"},
        {"envs": [cri.KeyValue(key="A", value="\0")]},
        {"envs": [cri.KeyValue(key="\0", value="")]},
        {"mounts": [cri.Mount(container_path="/a\0", host_path="/b")]},
        {"mounts": [cri.Mount(container_path="/a", host_path="/\0b")]},
    ],
    ids=str,
)
def test_a_nul_byte_is_no_part_of_a_text(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected text without NUL bytes"):
        spec.check(cri.ContainerConfig(**given), Bounds())


def context(**more: Any) -> cri.LinuxContainerSecurityContext:
    return cri.LinuxContainerSecurityContext(**more)


def asking(add: list[str], drop: list[str]) -> cri.LinuxContainerSecurityContext:
    return context(capabilities=cri.Capability(add_capabilities=add, drop_capabilities=drop))


@pytest.mark.parametrize(
    ("add", "drop", "granted"),
    [
        ([], [], [*DEFAULT]),
        (["NET_ADMIN"], [], [*DEFAULT, "CAP_NET_ADMIN"]),
        ([], ["NET_RAW"], [name for name in DEFAULT if name != "CAP_NET_RAW"]),
        ([], ["CAP_NET_RAW"], [name for name in DEFAULT if name != "CAP_NET_RAW"]),
        ([], ["ALL"], []),
        (["net_bind_service"], ["ALL"], ["CAP_NET_BIND_SERVICE"]),
        (["ALL"], ["SYS_ADMIN"], [*DEFAULT, "CAP_NET_ADMIN"]),
        (["ALL"], ["ALL"], []),
        (["CHOWN"], ["CHOWN"], [name for name in DEFAULT if name != "CAP_CHOWN"]),
    ],
)
def test_capabilities(add: list[str], drop: list[str], granted: list[str]) -> None:
    assert sorted(capabilities.granted(asking(add, drop), BOUNDS)) == sorted(granted)


@pytest.mark.parametrize(
    ("add", "drop", "told"),
    [
        (["NET_ADMN"], [], 'unknown capability "NET_ADMN"'),
        ([], ["NETRAW"], 'unknown capability "NETRAW"'),
        (["SYS_TIME"], [], "capability SYS_TIME: this machine has it not to give"),
        (["MKNOD"], [], "capability MKNOD: only a privileged container can have it"),
    ],
)
def test_capabilities_that_are_none(add: list[str], drop: list[str], told: str) -> None:
    with pytest.raises(CapabilityError, match=told):
        capabilities.granted(asking(add, drop), BOUNDS)


def actions(section: profile.Section, call: str) -> set[tuple[str, int]]:
    rules = [rule for rule in section["syscalls"] if call in rule["names"]]
    return {(rule["action"], rule.get("errnoRet", 0)) for rule in rules}


def test_no_call_has_two_rules_without_arguments() -> None:
    for held in (frozenset(DEFAULT), frozenset(BY_CAPABILITY)):
        rules = [rule for rule in profile.default(held)["syscalls"] if "args" not in rule]
        names = [name for rule in rules for name in rule["names"]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "call", ["unshare", "setns", "mount", "bpf", "keyctl", "add_key", "request_key", "open_by_handle_at"]
)
def test_what_is_closed_by_default(call: str) -> None:
    assert actions(profile.default(frozenset(DEFAULT)), call) == {(profile.REFUSE, 1)}


def test_a_capability_opens_what_it_is_for_and_keyrings_stay_closed() -> None:
    section = profile.default(frozenset({"CAP_SYS_ADMIN"}))
    assert all(actions(section, call) == {(profile.ALLOW, 0)} for call in BY_CAPABILITY["CAP_SYS_ADMIN"])
    assert actions(section, "keyctl") == {(profile.REFUSE, 1)}
    assert not ALLOWED & NEVER


def test_clone_is_allowed_without_namespaces_alone_and_clone3_sends_to_it() -> None:
    section = profile.default(frozenset(DEFAULT))
    rules = [rule["args"][0] for rule in section["syscalls"] if rule["names"] == ["clone"]]
    assert [one["valueTwo"] for one in rules] == [0, *profile.NAMESPACE_FLAGS]
    assert rules[0]["value"] == 0x7E020000
    assert actions(section, "clone3") == {(profile.REFUSE, 38)}


def test_who_has_no_filter() -> None:
    unconfined = cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)
    assert profile.section(context(seccomp=unconfined), DEFAULT) is None
    assert profile.section(context(privileged=True), DEFAULT) is None
    assert profile.section(context(), DEFAULT) is profile.default(frozenset(DEFAULT))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"defaultAction": 1}', "[" * 100_000, b"\xff\xfe", " " * (1 << 21)])
def test_a_profile_that_is_none(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    local = cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=str(path))
    with pytest.raises(profile.ProfileError, match=r"seccomp profile.*p\.json"):
        profile.section(context(seccomp=local), DEFAULT)


def test_a_profile_that_is_not_there() -> None:
    local = cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref="/no/such.json")
    with pytest.raises(profile.ProfileError) as caught:
        spec.check(cri.ContainerConfig(linux=cri.LinuxContainerConfig(security_context=context(seccomp=local))), BOUNDS)
    assert str(caught.value) == 'cannot load seccomp profile "/no/such.json": No such file or directory'


@pytest.mark.parametrize(
    ("security", "told"),
    [
        (context(apparmor=cri.SecurityProfile()), "AppArmor: this runtime has no default profile"),
        (context(selinux_options=cri.SELinuxOption(level="s0")), "SELinux: this runtime sets no labels"),
    ],
)
def test_what_is_not_kept_is_refused(security: cri.LinuxContainerSecurityContext, told: str) -> None:
    with pytest.raises(spec.SpecError, match=told):
        spec.check(cri.ContainerConfig(linux=cri.LinuxContainerConfig(security_context=security)), BOUNDS)


def test_a_compiled_filter_takes_the_place_of_its_profile(tmp_path: Path) -> None:
    def bundle(capability: str) -> dict[str, Any]:
        return {"linux": {"seccomp": profile.default(frozenset({capability}))}}

    filters, first = Filters(tmp_path), bundle("CAP_CHOWN")
    filters.use(first)
    assert "annotations" not in first
    with pytest.raises(FileNotFoundError):
        filters.learn(first, "one")
    (tmp_path / "one").mkdir()
    (tmp_path / "one/seccomp.bpf").write_bytes(b"12345678")
    filters.learn(first, "one")
    again, other = bundle("CAP_CHOWN"), bundle("CAP_SYS_BOOT")
    filters.use(again)
    filters.use(other)
    assert again == {"linux": {}, "annotations": {ANNOTATION: "MTIzNDU2Nzg="}}
    assert "seccomp" in other["linux"], json.dumps(other)[:80]
