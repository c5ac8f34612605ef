"""A service's own addresses: the first is said twice, in ``clusterIP`` and in ``clusterIPs``, and never changes
(upstream: NormalizeClusterIPs, ValidateServiceClusterIPsRelatedFields, validateUpgradeDowngradeClusterIPs)."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import addresses, causes

NONE = "None"
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_FIELD = "spec.clusterIPs"
_FIXED = "may not change once set"


def is_headless(spec: core_pb2.ServiceSpec) -> bool:
    return list(spec.clusterIPs) == [NONE]


def normalize(new: core_pb2.ServiceSpec, old: core_pb2.ServiceSpec | None) -> None:
    """Divine what a client meant that knows only ``clusterIP``."""
    if old is None:
        if new.clusterIP and not new.clusterIPs:
            new.clusterIPs.append(new.clusterIP)
        return
    before = list(old.clusterIPs)
    if new.clusterIP == old.clusterIP:
        if not new.clusterIPs:
            new.clusterIPs.extend(before)
    elif list(new.clusterIPs) in (before, []):
        del new.clusterIPs[:]
        if new.clusterIP:
            new.clusterIPs.append(new.clusterIP)


def validate(spec: core_pb2.ServiceSpec) -> list[Cause]:
    """All invalid about the addresses of a service that has some."""
    ips, families = list(spec.clusterIPs), list(spec.ipFamilies)
    complaints: list[Cause] = []
    if spec.clusterIP and not ips:
        complaints.append(causes.required(_FIELD))
    elif spec.clusterIP and ips[0] != spec.clusterIP:
        complaints.append(causes.invalid(_FIELD, ips, "first value must match `clusterIP`"))
    elif not spec.clusterIP and ips:
        complaints.append(causes.invalid(_FIELD, ips, "must be empty when `clusterIP` is not specified"))
    complaints += _families(spec, families)
    misplaced = False
    for i, ip in enumerate(ips):
        if i == 0 and ip == NONE:
            if len(ips) > 1:
                misplaced = True
                complaints.append(causes.invalid(_FIELD, ips, "'None' must be the first and only value"))
            continue
        invalid = addresses.valid(f"{_FIELD}[{i}]", ip)
        misplaced = misplaced or bool(invalid)
        complaints += invalid
    if len(ips) > 2:
        complaints.append(causes.invalid(_FIELD, ips, "may only hold up to 2 values"))
    if misplaced:
        return complaints
    if len(ips) > 1 and len({address.version for ip in ips if (address := addresses.read(ip)) is not None}) < 2:
        complaints.append(causes.invalid(_FIELD, ips, "may specify no more than one IP for each IP family"))
    for i, (ip, family) in enumerate(zip(ips, families, strict=False)):
        address = addresses.read(ip)
        if address is not None and family in FAMILIES and addresses.family(address) != family:
            message = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
            complaints.append(causes.invalid(f"{_FIELD}[{i}]", ip, message))
    return complaints


def _families(spec: core_pb2.ServiceSpec, families: list[str]) -> list[Cause]:
    complaints: list[Cause] = []
    for i, family in enumerate(families):
        field = f"spec.ipFamilies[{i}]"
        if family not in FAMILIES:
            complaints.append(causes.unsupported(field, family, FAMILIES))
        if family in families[:i]:
            complaints.append(causes.duplicate(field, family))
    policy = spec.ipFamilyPolicy
    if spec.HasField("ipFamilyPolicy") and policy not in FAMILY_POLICIES:
        complaints.append(causes.unsupported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES))
    return complaints


def validate_for_cluster(spec: core_pb2.ServiceSpec) -> list[Cause]:
    """All complaints about what a cluster with an IPv4 service network cannot give (upstream: initIPFamilyFields).
    That a headless service without selector may have what it likes is upstream's, too."""
    if spec.type == "ExternalName":
        return []
    ips, families, policy = list(spec.clusterIPs), list(spec.ipFamilies), spec.ipFamilyPolicy or "SingleStack"
    complaints: list[Cause] = []
    if policy == "SingleStack":
        message = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
        for several, what in ((ips, "cluster IPs"), (families, "IP families")):
            if len(several) == 2:
                complaints.append(causes.invalid("spec.ipFamilyPolicy", policy, message.format(what)))
    for i, ip in enumerate(ips[len(families) :], start=len(families)):
        address = addresses.read(ip)
        if address is not None and address.version == 6:
            complaints.append(causes.invalid(f"{_FIELD}[{i}]", ips, "IPv6 is not configured on this cluster"))
    if is_headless(spec) and not spec.selector:
        return complaints
    if policy == "RequireDualStack":
        message = "this cluster is not configured for dual-stack services"
        complaints.append(causes.invalid("spec.ipFamilyPolicy", policy, message))
    for i, family in enumerate(families):
        if family == "IPv6":
            complaints.append(causes.invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    return complaints


def validate_update(new: core_pb2.ServiceSpec, old: core_pb2.ServiceSpec) -> list[Cause]:
    """Complain of a first address or family that changes. ExternalName services have none."""
    if "ExternalName" in (new.type, old.type) or (is_headless(new) and is_headless(old)):
        return []
    complaints: list[Cause] = []
    had, has = list(old.clusterIPs), list(new.clusterIPs)
    if had and not has:
        complaints.append(causes.invalid(f"{_FIELD}[0]", has, "primary clusterIP can not be unset"))
    for i, (before, after) in enumerate(zip(had, has, strict=False)):
        if before != after and (i == 0 or len(had) == len(has)):
            complaints.append(causes.invalid(f"{_FIELD}[{i}]", has, _FIXED))
    if is_headless(new) == is_headless(old):
        complaints += _families_kept(list(new.ipFamilies), list(old.ipFamilies), has)
    return complaints


def _families_kept(new: list[str], old: list[str], ips: list[str]) -> list[Cause]:
    field = "spec.ipFamilies[0]"
    if len(old) == len(new):
        return [causes.invalid(field, new, _FIXED)] if old != new else []
    complaints: list[Cause] = []
    if len(old) > len(new) and not ips:
        complaints.append(causes.invalid(field, new, "primary ipFamily can not be unset"))
    if old and new and old[0] != new[0]:
        complaints.append(causes.invalid(field, ips, _FIXED))  # upstream shows the addresses here
    return complaints
