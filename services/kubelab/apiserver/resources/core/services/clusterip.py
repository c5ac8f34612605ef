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
    """All complaints about the addresses of a service that has some."""
    ips, families = list(spec.clusterIPs), list(spec.ipFamilies)
    found: list[Cause] = []
    if spec.clusterIP and not ips:
        found.append(causes.required(_FIELD))
    elif spec.clusterIP and ips[0] != spec.clusterIP:
        found.append(causes.invalid(_FIELD, ips, "first value must match `clusterIP`"))
    elif not spec.clusterIP and ips:
        found.append(causes.invalid(_FIELD, ips, "must be empty when `clusterIP` is not specified"))
    found += _families(spec, families)
    misplaced = False
    for i, ip in enumerate(ips):
        if i == 0 and ip == NONE:
            if len(ips) > 1:
                misplaced = True
                found.append(causes.invalid(_FIELD, ips, "'None' must be the first and only value"))
            continue
        complaints = addresses.valid(f"{_FIELD}[{i}]", ip)
        misplaced = misplaced or bool(complaints)
        found += complaints
    if len(ips) > 2:
        found.append(causes.invalid(_FIELD, ips, "may only hold up to 2 values"))
    if misplaced:
        return found
    if len(ips) > 1 and len({address.version for ip in ips if (address := addresses.read(ip)) is not None}) < 2:
        found.append(causes.invalid(_FIELD, ips, "may specify no more than one IP for each IP family"))
    for i, (ip, wanted) in enumerate(zip(ips, families, strict=False)):
        address = addresses.read(ip)
        if address is not None and wanted in FAMILIES and addresses.family(address) != wanted:
            told = f"expected an {wanted} value as indicated by `ipFamilies[{i}]`"
            found.append(causes.invalid(f"{_FIELD}[{i}]", ip, told))
    return found


def _families(spec: core_pb2.ServiceSpec, families: list[str]) -> list[Cause]:
    found: list[Cause] = []
    for i, wanted in enumerate(families):
        field = f"spec.ipFamilies[{i}]"
        if wanted not in FAMILIES:
            found.append(causes.unsupported(field, wanted, FAMILIES))
        if wanted in families[:i]:
            found.append(causes.duplicate(field, wanted))
    policy = spec.ipFamilyPolicy
    if spec.HasField("ipFamilyPolicy") and policy not in FAMILY_POLICIES:
        found.append(causes.unsupported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES))
    return found


def validate_for_cluster(spec: core_pb2.ServiceSpec) -> list[Cause]:
    """All complaints about what a cluster with an IPv4 service network cannot give (upstream: initIPFamilyFields).
    That a headless service without selector may have what it likes is upstream's, too."""
    if spec.type == "ExternalName":
        return []
    ips, families, policy = list(spec.clusterIPs), list(spec.ipFamilies), spec.ipFamilyPolicy or "SingleStack"
    found: list[Cause] = []
    if policy == "SingleStack":
        told = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
        for several, what in ((ips, "cluster IPs"), (families, "IP families")):
            if len(several) == 2:
                found.append(causes.invalid("spec.ipFamilyPolicy", policy, told.format(what)))
    for i, ip in enumerate(ips[len(families) :], start=len(families)):
        address = addresses.read(ip)
        if address is not None and address.version == 6:
            found.append(causes.invalid(f"{_FIELD}[{i}]", ips, "IPv6 is not configured on this cluster"))
    if is_headless(spec) and not spec.selector:
        return found
    if policy == "RequireDualStack":
        told = "this cluster is not configured for dual-stack services"
        found.append(causes.invalid("spec.ipFamilyPolicy", policy, told))
    for i, family in enumerate(families):
        if family == "IPv6":
            found.append(causes.invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    return found


def validate_update(new: core_pb2.ServiceSpec, old: core_pb2.ServiceSpec) -> list[Cause]:
    """Complain of a first address or family that changes. ExternalName services have none."""
    if "ExternalName" in (new.type, old.type) or (is_headless(new) and is_headless(old)):
        return []
    found: list[Cause] = []
    had, has = list(old.clusterIPs), list(new.clusterIPs)
    if had and not has:
        found.append(causes.invalid(f"{_FIELD}[0]", has, "primary clusterIP can not be unset"))
    for i, (before, after) in enumerate(zip(had, has, strict=False)):
        if before != after and (i == 0 or len(had) == len(has)):
            found.append(causes.invalid(f"{_FIELD}[{i}]", has, _FIXED))
    if is_headless(new) == is_headless(old):
        found += _families_kept(list(new.ipFamilies), list(old.ipFamilies), has)
    return found


def _families_kept(new: list[str], old: list[str], ips: list[str]) -> list[Cause]:
    field = "spec.ipFamilies[0]"
    if len(old) == len(new):
        return [causes.invalid(field, new, _FIXED)] if old != new else []
    found: list[Cause] = []
    if len(old) > len(new) and not ips:
        found.append(causes.invalid(field, new, "primary ipFamily can not be unset"))
    if old and new and old[0] != new[0]:
        found.append(causes.invalid(field, ips, _FIXED))  # upstream shows the addresses here
    return found
