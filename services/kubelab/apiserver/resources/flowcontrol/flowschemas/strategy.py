"""Flow schemas: which requests they are about (upstream: pkg/apis/flowcontrol/validation, ValidateFlowSchema)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kubelab.api.flowcontrol.v1 import flowcontrol_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.flowcontrol import defaultobjects
from kubelab.apiserver.resources.flowcontrol import conditions
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy

DEFAULT_PRECEDENCE, MAX_PRECEDENCE = 1000, 10_000
ALL = "*"
_METHODS = ("ByNamespace", "ByUser")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "


class FlowSchemaStrategy(Strategy[pb.FlowSchema]):
    has_generation: ClassVar[bool] = True

    def default(self, obj: pb.FlowSchema) -> None:
        obj.spec.matchingPrecedence = obj.spec.matchingPrecedence or DEFAULT_PRECEDENCE

    def validate_content(self, obj: pb.FlowSchema) -> list[Cause]:
        name, spec = obj.metadata.name, obj.spec
        complaints = _precedence(name, spec.matchingPrecedence)
        if spec.HasField("distinguisherMethod") and spec.distinguisherMethod.type not in _METHODS:
            shown = causes.Raw(
                f"flowcontrol.FlowDistinguisherMethod{{Type:{causes.quoted(spec.distinguisherMethod.type)}}}"
            )
            complaints.append(causes.unsupported("spec.distinguisherMethod.type", shown, _METHODS))
        level, field = spec.priorityLevelConfiguration.name, "spec.priorityLevelConfiguration.name"
        if level:
            complaints += causes.each(field, level, names.dns_subdomain(level))
        else:
            complaints.append(causes.required(field, "must reference a priority level"))
        for i, rule in enumerate(spec.rules):
            complaints += _rule(rule, f"spec.rules[{i}]")
        mandatory = defaultobjects.MANDATORY_SCHEMAS.get(name)
        if mandatory is not None and spec != mandatory.spec:
            why = f"spec of '{name}' must equal the fixed value"
            complaints.append(causes.invalid("spec", causes.Raw("flowcontrol.FlowSchemaSpec{…}"), why))
        return complaints

    def validate_status_update(self, obj: pb.FlowSchema, old: pb.FlowSchema) -> list[Cause]:
        return super().validate_status_update(obj, old) + conditions.validate(obj.status.conditions)


def _precedence(name: str, value: int) -> list[Cause]:
    field = "spec.matchingPrecedence"
    if value <= 0:
        return [causes.invalid(field, value, "must be a positive value")]
    if value > MAX_PRECEDENCE:
        return [causes.invalid(field, value, f"must not be greater than {MAX_PRECEDENCE}")]
    if value == 1 and name != defaultobjects.EXEMPT:
        return [causes.invalid(field, value, "only the schema named 'exempt' may have matchingPrecedence 1")]
    return []


def _rule(rule: pb.PolicyRulesWithSubjects, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not rule.subjects:
        complaints.append(causes.required(f"{field}.subjects", "subjects must contain at least one value"))
    for i, subject in enumerate(rule.subjects):
        complaints += _subject(subject, f"{field}.subjects[{i}]")
    if not rule.resourceRules and not rule.nonResourceRules:
        why = "at least one of resourceRules and nonResourceRules has to be non-empty"
        complaints.append(causes.required(field, why))
    for i, one in enumerate(rule.resourceRules):
        complaints += _resource_rule(one, f"{field}.resourceRules[{i}]")
    for i, one in enumerate(rule.nonResourceRules):
        complaints += _non_resource_rule(one, f"{field}.nonResourceRules[{i}]")
    return complaints


def _subject(subject: pb.Subject, field: str) -> list[Cause]:
    if subject.kind not in _SUBJECTS:
        return [causes.unsupported(f"{field}.kind", subject.kind, _SUBJECTS)]
    own = _SUBJECTS[subject.kind]
    complaints: list[Cause] = []
    given = {part.name for part, _ in subject.ListFields()}
    if own not in given:
        complaints.append(causes.required(f"{field}.{own}", f"{own} is required when subject kind is '{subject.kind}'"))
    elif own == "serviceAccount":
        complaints += _service_account(subject.serviceAccount, f"{field}.serviceAccount")
    elif not (subject.user.name if own == "user" else subject.group.name):
        complaints.append(causes.required(f"{field}.{own}.name"))
    for kind, part in _SUBJECTS.items():
        if part != own and part in given:
            why = f"{part} is forbidden when subject kind is not '{kind}'"
            complaints.append(causes.forbidden(f"{field}.{part}", why))
    return complaints


def _service_account(account: pb.ServiceAccountSubject, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not account.name:
        complaints.append(causes.required(f"{field}.name"))
    elif account.name != ALL:
        complaints += causes.each(f"{field}.name", account.name, names.dns_subdomain(account.name))
    if account.namespace:
        complaints += causes.each(f"{field}.namespace", account.namespace, names.dns_label(account.namespace))
    else:
        complaints.append(causes.required(f"{field}.namespace", "must specify namespace for service account"))
    return complaints


def _verbs(verbs: Sequence[str], field: str) -> list[Cause]:
    if not verbs:
        return [causes.required(field, "verbs must contain at least one value")]
    if ALL in verbs:
        return _alone(verbs, field, "verbs")
    return [] if set(verbs) <= set(_VERBS) else [causes.unsupported(field, list(verbs), _VERBS)]


def _alone(values: Sequence[str], field: str, what: str) -> list[Cause]:
    """Complain of a wildcard that is not the only one of its list."""
    if ALL not in values or len(values) == 1:
        return []
    return [causes.invalid(field, list(values), f"if '*' is present, must not specify other {what}")]


def _resource_rule(rule: pb.ResourcePolicyRule, field: str) -> list[Cause]:
    complaints = _verbs(rule.verbs, f"{field}.verbs")
    for part, values, one, more in (
        ("apiGroups", rule.apiGroups, "api group", "api groups"),
        ("resources", rule.resources, "resource", "resources"),
    ):
        if values:
            complaints += _alone(values, f"{field}.{part}", more)
        else:
            complaints.append(causes.required(f"{field}.{part}", f"resource rules must supply at least one {one}"))
    where = f"{field}.namespaces"
    if not rule.namespaces and not rule.clusterScope:
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        complaints.append(causes.required(where, why))
    elif ALL in rule.namespaces:
        complaints += _alone(rule.namespaces, where, "namespaces")
    else:
        for i, namespace in enumerate(rule.namespaces):
            problems = [_NAMESPACE + problem for problem in names.dns_label(namespace)]
            complaints += causes.each(f"{where}[{i}]", namespace, problems)
    return complaints


def _non_resource_rule(rule: pb.NonResourcePolicyRule, field: str) -> list[Cause]:
    complaints = _verbs(rule.verbs, f"{field}.verbs")
    where = f"{field}.nonResourceURLs"
    if not rule.nonResourceURLs:
        complaints.append(causes.required(where, "nonResourceURLs must contain at least one value"))
    elif ALL in rule.nonResourceURLs:
        complaints += _alone(rule.nonResourceURLs, where, "non-resource URLs")
    else:
        for i, url in enumerate(rule.nonResourceURLs):
            if problem := _url(url):
                complaints.append(causes.invalid(f"{where}[{i}]", url, problem))
    return complaints


def _url(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count(ALL) > 1 or (ALL in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""
