"""Security contexts, names and resolvers of pods: what is stored, and what is refused in upstream's words."""

from __future__ import annotations

import pytest

from tests.unit.apiserver.strategies.answers import NOT_IP, SUBDOMAIN, Change, on_create, stored, table

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
  - {name: web, image: "nginx:1"}
"""
RESTRICTED = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 2000
    fsGroupChangePolicy: OnRootMismatch
    supplementalGroups: [4000]
    supplementalGroupsPolicy: Strict
    seccompProfile: {type: RuntimeDefault}
    sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]
  containers:
  - name: web
    image: nginx:1
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}
      seccompProfile: {type: Localhost, localhostProfile: profiles/web.json}
      procMount: Default
      appArmorProfile: {type: Localhost, localhostProfile: web}
"""
OUT_OF_RANGE = "must be between 0 and 2147483647, inclusive"
SEARCHES = ", ".join(['"a"'] * 33)
PROFILES = 'supported values: "Localhost", "RuntimeDefault", "Unconfined"'


def test_a_pod_of_the_level_restricted_is_stored_as_it_is() -> None:
    assert on_create(RESTRICTED, {}) == []
    spec = stored(RESTRICTED, {}).spec
    assert spec.securityContext.supplementalGroupsPolicy == "Strict"
    assert list(spec.containers[0].securityContext.capabilities.drop) == ["ALL"]


@table(
    ({"privileged": True, "runAsUser": 2**31 - 1},),
    ({"runAsNonRoot": True, "procMount": "Default"},),
    ({"procMount": "Some"}, 'procMount: Unsupported value: "Some": supported values: "Default", "Unmasked"'),
    ({"procMount": "Unmasked"}, 'procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'),
    ({"seccompProfile": {}}, "seccompProfile.type: Required value: type is required when seccompProfile is set"),
    ({"seccompProfile": {"type": "Default"}}, f'seccompProfile.type: Unsupported value: "Default": {PROFILES}'),
    (
        {"seccompProfile": {"type": "Localhost"}},
        "seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
    ),
    (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "/etc/../x"}},
        'seccompProfile.localhostProfile: Invalid value: "/etc/../x": must be a relative path',
        "seccompProfile.localhostProfile: Invalid value: \"/etc/../x\": must not contain '..'",
    ),
    (
        {"seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}},
        'seccompProfile.localhostProfile: Invalid value: core.SeccompProfile{Type:"Unconfined", '
        'LocalhostProfile:(*string)("x")}: can only be set when seccomp type is Localhost',
    ),
    ({"appArmorProfile": {}}, "appArmorProfile.type: Required value: type is required when appArmorProfile is set"),
    ({"appArmorProfile": {"type": "x"}}, f'appArmorProfile.type: Unsupported value: "x": {PROFILES}'),
    (
        {"appArmorProfile": {"type": "Localhost", "localhostProfile": " x"}},
        'appArmorProfile.localhostProfile: Invalid value: " x": must not be padded with whitespace',
    ),
    (
        {"appArmorProfile": {"type": "Localhost"}},
        "appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost",
    ),
    (
        {"appArmorProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}},
        'appArmorProfile.localhostProfile: Invalid value: "x": can only be set when AppArmor type is Localhost',
    ),
    ({"windowsOptions": {}}, "windowsOptions: Forbidden: windows options cannot be set for a linux pod"),
)
def test_a_container(change: Change, told: list[str]) -> None:
    said = on_create(MANIFEST, {"spec.containers[0].securityContext": change})
    assert said == [f"spec.containers[0].securityContext.{one}" for one in told]


@pytest.mark.parametrize(
    ("change", "shown", "told"),
    [
        (
            {"privileged": True},
            "Capabilities:(*core.Capabilities)(nil), Privileged:(*bool)(true)",
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
        (
            {"capabilities": {"add": ["CAP_SYS_ADMIN"]}},
            "Capabilities:(*core.Capabilities)({…}), Privileged:(*bool)(nil)",
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        ),
    ],
)
def test_what_escalates_cannot_be_kept_from_it(change: Change, shown: str, told: str) -> None:
    context = {"allowPrivilegeEscalation": False, **change}
    assert on_create(MANIFEST, {"spec.containers[0].securityContext": context}) == [
        f"spec.containers[0].securityContext: Invalid value: core.SecurityContext{{{shown}, "
        "SELinuxOptions:(*core.SELinuxOptions)(nil), WindowsOptions:(*core.WindowsSecurityContextOptions)(nil), "
        "RunAsUser:(*int64)(nil), RunAsGroup:(*int64)(nil), RunAsNonRoot:(*bool)(nil), "
        "ReadOnlyRootFilesystem:(*bool)(nil), AllowPrivilegeEscalation:(*bool)(false), "
        "ProcMount:(*core.ProcMountType)(nil), SeccompProfile:(*core.SeccompProfile)(nil), "
        f"AppArmorProfile:(*core.AppArmorProfile)(nil)}}: {told}"
    ]


@table(
    (
        {"fsGroup": -1, "runAsUser": -1, "runAsGroup": 2**31, "supplementalGroups": [1, -1]},
        f"fsGroup: Invalid value: -1: {OUT_OF_RANGE}",
        f"runAsUser: Invalid value: -1: {OUT_OF_RANGE}",
        f"runAsGroup: Invalid value: 2147483648: {OUT_OF_RANGE}",
        f"supplementalGroups[1]: Invalid value: -1: {OUT_OF_RANGE}",
    ),
    (
        {"fsGroupChangePolicy": "Never"},
        'fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"',
    ),
    (
        {"supplementalGroupsPolicy": "None"},
        'supplementalGroupsPolicy: Unsupported value: "None": supported values: "Merge", "Strict"',
    ),
    ({"sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}]},),
    (
        {"sysctls": [{"name": "a..b"}, {"name": "a.b"}, {"name": "a.b"}, {}]},
        'sysctls[0].name: Invalid value: "a..b": must have at most 253 characters and match regex '
        r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        'sysctls[2].name: Duplicate value: "a.b"',
        "sysctls[3].name: Required value",
    ),
    ({"windowsOptions": {}}, "windowsOptions: Forbidden: windows options cannot be set for a linux pod"),
)
def test_a_pod(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, {"spec.securityContext": change}) == [f"spec.securityContext.{one}" for one in told]


@table(
    ({"hostUsers": False},),
    ({"hostUsers": False, "containers[0].securityContext.procMount": "Unmasked"},),
    ({"hostUsers": False, "hostNetwork": True}, "hostNetwork: Forbidden: when `hostUsers` is false"),
    (
        {"hostNetwork": True, "securityContext.sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]},
        'securityContext.sysctls[0].name: Invalid value: "net.ipv4.tcp_rmem": may not be specified when '
        "'hostNetwork' is true",
    ),
    ({"hostAliases": [{"ip": "10.1.2.3", "hostnames": ["a.example", "b"]}]},),
    (
        {"hostAliases": [{"ip": "x", "hostnames": ["a_b"]}]},
        f'hostAliases[0].ip: Invalid value: "x": {NOT_IP}',
        f'hostAliases[0].hostnames[0]: Invalid value: "a_b": {SUBDOMAIN}',
    ),
    ({"dnsPolicy": "None"}, "dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    (
        {"dnsPolicy": "None", "dnsConfig": {}},
        "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
    ),
    ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b."]}},),
    (
        {"dnsConfig": {"nameservers": ["1.1.1.1"] * 3 + ["x"], "searches": ["A"], "options": [{}, {"name": "a\nb"}]}},
        'dnsConfig.nameservers: Invalid value: []string{"1.1.1.1", "1.1.1.1", "1.1.1.1", "x"}: must not have more '
        "than 3 nameservers",
        f'dnsConfig.nameservers[3]: Invalid value: "x": {NOT_IP}',
        f'dnsConfig.searches[0]: Invalid value: "A": {SUBDOMAIN}',
        "dnsConfig.options[0]: Required value: must not be empty",
        'dnsConfig.options[1]: Invalid value: "a\\nb": must not contain whitespace',
    ),
    (
        {"dnsConfig": {"searches": ["a"] * 33}},
        f"dnsConfig.searches: Invalid value: []string{{{SEARCHES}}}: must not have more than 32 search paths",
    ),
)
def test_a_spec(change: Change, told: list[str]) -> None:
    said = on_create(MANIFEST, {f"spec.{path}": value for path, value in change.items()})
    assert said == [f"spec.{one}" for one in told]
