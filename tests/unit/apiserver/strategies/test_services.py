"""Services: ports, addresses, types, traffic policies."""

from __future__ import annotations

import pytest

from tests.unit.apiserver.strategies.answers import (
    GONE,
    LABEL,
    LABEL_VALUE,
    NOT_IP,
    PORT,
    QUALIFIED,
    RFC1035,
    RULES,
    SUBDOMAIN,
    Change,
    changed,
    on_create,
    on_status,
    on_update,
    said,
    stored,
    table,
    updated,
)

MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""
ADDRESS = "10.96.0.17"
GIVEN = {"spec.clusterIP": ADDRESS, "spec.ipFamilies": ["IPv4"], "spec.ipFamilyPolicy": "SingleStack"}
HEADLESS = {"spec.clusterIP": "None"}
EXTERNAL = {"spec.type": "ExternalName", "spec.externalName": "example.com", "spec.ports": GONE, "spec.selector": GONE}
BALANCED = {"spec.type": "LoadBalancer"}


@table(
    ({},),
    ({"metadata.name": "1st"}, f'metadata.name: Invalid value: "1st": {RFC1035}'),
    ({"metadata.name": "a.b"}, f'metadata.name: Invalid value: "a.b": {RFC1035}'),
    ({"metadata.name": "a" * 64}, f'metadata.name: Invalid value: "{"a" * 64}": must be no more than 63 characters'),
    ({"spec.ports": []}, "spec.ports: Required value"),
    ({"spec.ports": [], **HEADLESS},),
    ({"spec.selector[a]": "b c"}, f'spec.selector: Invalid value: "b c": {LABEL_VALUE}'),
    (
        {"spec.sessionAffinity": "Cookie"},
        'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"',
    ),
    ({"spec.sessionAffinity": "ClientIP"},),
    *(
        (
            {
                "spec.sessionAffinity": "ClientIP",
                "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}},
            },
            f"spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: {seconds}: must be greater than 0 and "
            "less than 86400",
        )
        for seconds in (0, -1, 86401)
    ),
    (
        {"spec.type": "Public"},
        'spec.type: Unsupported value: "Public": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
        '"NodePort"',
    ),
    (
        {"spec.internalTrafficPolicy": "Near"},
        'spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ),
    (
        {"spec.externalTrafficPolicy": "Local"},
        'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ),
    (
        {"spec.type": "NodePort", "spec.externalTrafficPolicy": "Near"},
        'spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"',
    ),
    (
        {"spec.allocateLoadBalancerNodePorts": True},
        "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
    ),
    (
        {**BALANCED, "spec.ports[0].port": 10250},
        "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet",
    ),
    (
        {**BALANCED, **HEADLESS},
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
    ),
    (
        {"spec.type": "NodePort", **HEADLESS},
        "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
    ),
    (EXTERNAL,),
    ({**EXTERNAL, "spec.externalName": "example.com."},),
    ({**EXTERNAL, "spec.externalName": ""}, "spec.externalName: Required value"),
    ({**EXTERNAL, "spec.externalName": "a_b"}, f'spec.externalName: Invalid value: "a_b": {SUBDOMAIN}'),
    (
        {**EXTERNAL, **GIVEN},
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
        "spec.ipFamilies: Forbidden: may not be set for ExternalName services",
        "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
    ),
    ({"spec.externalIPs": ["80.11.12.10"]},),
    ({"spec.externalIPs": ["80.11.12"]}, f'spec.externalIPs[0]: Invalid value: "80.11.12": {NOT_IP}'),
    (
        {"spec.externalIPs": ["0.0.0.0", "127.0.0.1"]},
        'spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
        'spec.externalIPs[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ),
    (
        {
            "metadata.name": "A",
            "spec.ports": [{"port": 0}, {"name": "A", "port": 80, "protocol": "X", "targetPort": "A"}],
            "spec.type": "X",
            "spec.internalTrafficPolicy": "X",
        },
        f'metadata.name: Invalid value: "A": {RFC1035}',
        "spec.ports[0].name: Required value",
        f"spec.ports[0].port: Invalid value: 0: {PORT}",
        f"spec.ports[0].targetPort: Invalid value: 0: {PORT}",
        f'spec.ports[1].name: Invalid value: "A": {LABEL}',
        'spec.ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        'spec.ports[1].targetPort: Invalid value: "A": must contain only alpha-numeric characters (a-z, 0-9), and '
        "hyphens (-)",
        'spec.ports[1].targetPort: Invalid value: "A": must contain at least one letter (a-z)',
        'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
        'spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"',
    ),
)
def test_new(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({"spec.ports[0].targetPort": "http"},),
    ({"spec.ports[0].targetPort": 70000}, f"spec.ports[0].targetPort: Invalid value: 70000: {PORT}"),
    ({"spec.ports[0].port": 65536, "spec.ports[0].targetPort": 1}, f"spec.ports[0].port: Invalid value: 65536: {PORT}"),
    ({"spec.ports[0].appProtocol": "example.com/x"},),
    ({"spec.ports[0].appProtocol": "a b"}, f'spec.ports[0].appProtocol: Invalid value: "a b": {QUALIFIED}'),
    (
        {"spec.ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
        'spec.ports[1].name: Duplicate value: "a"',
    ),
    (
        {"spec.ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
        'spec.ports[1]: Duplicate value: core.ServicePort{Name:"", Protocol:"TCP", AppProtocol:(*string)(nil), '
        "Port:80, "
        'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}',
    ),
    ({"spec.ports": [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]},),
    (
        {"spec.ports[0].nodePort": 30000},
        "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (
        {
            "spec.type": "NodePort",
            "spec.ports": [{"name": "a", "port": 80, "nodePort": 30000}, {"name": "b", "port": 81, "nodePort": 30000}],
        },
        "spec.ports[1].nodePort: Duplicate value: 30000",
    ),
)
def test_ports(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


def shown(*ips: str) -> str:
    """Addresses as Go prints them."""
    quoted = ", ".join(f'"{ip}"' for ip in ips)
    return f"[]string{{{quoted}}}"


TWO = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"


@table(
    ({"spec.clusterIP": ADDRESS},),
    ({"spec.clusterIP": ADDRESS, "spec.clusterIPs": [ADDRESS]},),
    (HEADLESS,),
    (
        {"spec.clusterIP": ADDRESS, "spec.clusterIPs": ["10.96.0.18"]},
        f"spec.clusterIPs: Invalid value: {shown('10.96.0.18')}: first value must match `clusterIP`",
    ),
    (
        {"spec.clusterIPs": [ADDRESS]},
        f"spec.clusterIPs: Invalid value: {shown(ADDRESS)}: must be empty when `clusterIP` is not specified",
    ),
    ({"spec.clusterIP": "10.96.0"}, f'spec.clusterIPs[0]: Invalid value: "10.96.0": {NOT_IP}'),
    (
        {"spec.clusterIP": "None", "spec.clusterIPs": ["None", ADDRESS]},
        f"spec.clusterIPs: Invalid value: {shown('None', ADDRESS)}: 'None' must be the first and only value",
        f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {TWO} cluster IPs are specified',
    ),
    (
        {"spec.clusterIP": ADDRESS, "spec.clusterIPs": [ADDRESS, "10.96.0.18"]},
        f"spec.clusterIPs: Invalid value: {shown(ADDRESS, '10.96.0.18')}: may specify no more than one IP for each IP "
        "family",
        f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {TWO} cluster IPs are specified',
    ),
    (
        {"spec.clusterIP": ADDRESS, "spec.clusterIPs": [ADDRESS, "fd00::1", "fd00::2"], "spec.ipFamilies": ["IPv4"]},
        f"spec.clusterIPs: Invalid value: {shown(ADDRESS, 'fd00::1', 'fd00::2')}: may only hold up to 2 values",
        f"spec.clusterIPs[1]: Invalid value: {shown(ADDRESS, 'fd00::1', 'fd00::2')}: IPv6 is not configured on this "
        "cluster",
        f"spec.clusterIPs[2]: Invalid value: {shown(ADDRESS, 'fd00::1', 'fd00::2')}: IPv6 is not configured on this "
        "cluster",
    ),
    (
        {"spec.ipFamilies": ["IPv5"]},
        'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
    ),
    (
        {"spec.ipFamilies": ["IPv4", "IPv4"]},
        'spec.ipFamilies[1]: Duplicate value: "IPv4"',
        f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {TWO} IP families are specified',
    ),
    (
        {"spec.ipFamilyPolicy": "Both"},
        'spec.ipFamilyPolicy: Unsupported value: "Both": supported values: "PreferDualStack", "RequireDualStack", '
        '"SingleStack"',
    ),
    (
        {"spec.clusterIP": ADDRESS, "spec.ipFamilies": ["IPv6"]},
        f'spec.clusterIPs[0]: Invalid value: "{ADDRESS}": expected an IPv6 value as indicated by `ipFamilies[0]`',
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    ),
    (
        {"spec.clusterIP": "fd00::1", "spec.ipFamilies": ["IPv4"]},
        'spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
    ),
    (
        {"spec.clusterIP": "fd00::1"},
        f"spec.clusterIPs[0]: Invalid value: {shown('fd00::1')}: IPv6 is not configured on this cluster",
    ),
    (
        {"spec.ipFamilyPolicy": "RequireDualStack"},
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack '
        "services",
    ),
    ({"spec.ipFamilyPolicy": "PreferDualStack"},),
    (
        {"spec.ipFamilyPolicy": "PreferDualStack", "spec.ipFamilies": ["IPv4", "IPv6"]},
        'spec.ipFamilies[1]: Invalid value: "IPv6": not configured on this cluster',
    ),
    ({**HEADLESS, "spec.selector": GONE, "spec.ipFamilyPolicy": "RequireDualStack"},),
)
def test_addresses(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@table(
    ({},),
    ({"spec.ports[0].port": 81, "spec.selector[tier]": "b"},),
    ({"spec.type": "NodePort"},),
    ({"spec.type": "LoadBalancer"},),
    ({"metadata.name": "other"}, 'metadata.name: Invalid value: "other": field is immutable'),
    (
        {"spec.clusterIP": "10.96.0.18"},
        f"spec.clusterIPs[0]: Invalid value: {shown('10.96.0.18')}: may not change once set",
    ),
    (
        {"spec.clusterIP": GONE},
        "spec.clusterIPs[0]: Invalid value: []string(nil): primary clusterIP can not be unset",
    ),
    (
        {"spec.clusterIP": GONE, "spec.ipFamilies": GONE},
        "spec.clusterIPs[0]: Invalid value: []string(nil): primary clusterIP can not be unset",
        "spec.ipFamilies[0]: Invalid value: []string(nil): primary ipFamily can not be unset",
    ),
    (HEADLESS, f"spec.clusterIPs[0]: Invalid value: {shown('None')}: may not change once set"),
    (
        {"spec.ipFamilies": ["IPv6"]},
        f"spec.ipFamilies[0]: Invalid value: {shown('IPv6')}: may not change once set",
        f'spec.clusterIPs[0]: Invalid value: "{ADDRESS}": expected an IPv6 value as indicated by `ipFamilies[0]`',
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    ),
    (
        {"spec.ipFamilies": ["IPv6", "IPv4"], "spec.ipFamilyPolicy": "PreferDualStack"},
        f"spec.ipFamilies[0]: Invalid value: {shown(ADDRESS)}: may not change once set",
        f'spec.clusterIPs[0]: Invalid value: "{ADDRESS}": expected an IPv6 value as indicated by `ipFamilies[0]`',
        'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    ),
    ({"spec.type": "ExternalName", "spec.externalName": "example.com"},),
    (
        {"spec.type": "ExternalName", "spec.externalName": "example.com", "spec.clusterIP": "10.96.0.18"},
        "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
    ),
)
def test_changes(change: Change, told: list[str]) -> None:
    assert on_update(MANIFEST, change, GIVEN) == told


def test_what_has_no_address_may_get_one() -> None:
    assert on_update(MANIFEST, {**GIVEN, "spec.type": "ClusterIP", "spec.ports": [{"port": 80}]}, EXTERNAL) == []
    assert on_update(MANIFEST, {"spec.ipFamilies": ["IPv4"]}, HEADLESS) == []


@pytest.mark.parametrize(
    ("before", "change", "left"),
    [
        ({"spec.type": "NodePort", "spec.ports[0].nodePort": 30000}, {"spec.type": "ClusterIP"}, (0, "", False)),
        (
            {"spec.type": "NodePort", "spec.ports[0].nodePort": 30000},
            {"spec.type": "ClusterIP", "spec.ports[0].nodePort": 30001},
            (30001, "", False),
        ),
        ({**BALANCED, "spec.externalTrafficPolicy": "Local"}, {"spec.type": "ClusterIP"}, (0, "", False)),
        ({**BALANCED, "spec.externalTrafficPolicy": "Local"}, {"spec.type": "NodePort"}, (0, "Local", False)),
        ({"spec.type": "ClusterIP"}, BALANCED, (0, "Cluster", True)),
        ({"spec.type": "ClusterIP", "spec.externalIPs": ["80.11.12.10"]}, {"spec.externalIPs": []}, (0, "", False)),
    ],
)
def test_what_only_the_former_type_had_goes(before: Change, change: Change, left: tuple[int, str, bool]) -> None:
    spec = updated(MANIFEST, change, before)[0].spec
    assert (spec.ports[0].nodePort, spec.externalTrafficPolicy, spec.HasField("allocateLoadBalancerNodePorts")) == left


BALANCER = MANIFEST.replace("  selector", "  type: LoadBalancer\n  selector")


@table(
    ({"status.loadBalancer.ingress": [{"ip": "10.96.0.17"}, {"hostname": "example.com"}]},),
    ({"status.loadBalancer.ingress[0].ip": "x"}, f'[0].ip: Invalid value: "x": {NOT_IP}'),
    (
        {"status.loadBalancer.ingress[0]": {"ip": "10.0.0.1", "ipMode": "Direct"}},
        '[0].ipMode: Unsupported value: "Direct": supported values: "Proxy", "VIP"',
    ),
    (
        {"status.loadBalancer.ingress[0]": {"hostname": "a", "ipMode": "VIP"}},
        "[0].ipMode: Forbidden: may not be specified when `ip` is not set",
    ),
    ({"status.loadBalancer.ingress[0].hostname": "a_b"}, f'[0].hostname: Invalid value: "a_b": {SUBDOMAIN}'),
    (
        {"status.loadBalancer.ingress[0].hostname": "10.0.0.1"},
        '[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ),
)
def test_status(change: Change, told: list[str]) -> None:
    assert on_status(BALANCER, change) == [f"status.loadBalancer.ingress{one}" for one in told]


def test_only_load_balancers_have_points() -> None:
    told = ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
    assert on_status(MANIFEST, {"status.loadBalancer.ingress[0].ip": "10.0.0.1"}) == told


def test_what_defaults_keep_from_users() -> None:
    """These messages are for clients that write what no default has seen."""
    service, _ = changed(MANIFEST, {"spec.type": "LoadBalancer", "spec.clusterIP": ADDRESS})
    assert said(RULES["services"].validate(service)) == [
        "spec.ports[0].protocol: Required value",
        f"spec.ports[0].targetPort: Invalid value: 0: {PORT}",
        "spec.sessionAffinity: Required value",
        "spec.clusterIPs: Required value",
        "allocateLoadBalancerNodePorts: Required value",
        "spec.externalTrafficPolicy: Required value",
        "spec.internalTrafficPolicy: Required value",
    ]


def test_what_field_selectors_can_ask_for() -> None:
    fields = RULES["services"].selectable_fields(stored(MANIFEST, GIVEN))
    assert (fields["spec.clusterIP"], fields["spec.type"]) == (ADDRESS, "ClusterIP")
