"""What a Job runs, in a Job or in a CronJob's template: defaults and rules (upstream: ``pkg/apis/batch``)."""

from __future__ import annotations

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.batch import indexes
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, podtemplate, podwarnings

INDEXED, NON_INDEXED = "Indexed", "NonIndexed"
TERMINATING_OR_FAILED, FAILED = "TerminatingOrFailed", "Failed"
MAX_INT32 = 2**31 - 1
MAX_INDEXED = 100_000  # pods at once, and failed indexes, of an indexed Job
MAX_PARALLEL_WHEN_LARGE = 10_000
MAX_MANAGED_BY = 63
RESTART_POLICIES = ("OnFailure", "Never")
MAX_RULES, MAX_PATTERNS, MAX_EXIT_CODES = 20, 20, 255
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
STATUSES = ("False", "True", "Unknown")
MAX_INDEXES_LENGTH = 64 * 1024


def default(spec: batch_pb2.JobSpec) -> None:
    """Fill in what is not said."""
    if not spec.HasField("completions") and not spec.HasField("parallelism"):
        spec.completions = spec.parallelism = 1
    if not spec.HasField("parallelism"):
        spec.parallelism = 1
    if not spec.HasField("backoffLimit"):
        spec.backoffLimit = MAX_INT32 if spec.HasField("backoffLimitPerIndex") else 6
    if not spec.HasField("completionMode"):
        spec.completionMode = NON_INDEXED
    if not spec.HasField("suspend"):
        spec.suspend = False
    if not spec.HasField("podReplacementPolicy"):
        spec.podReplacementPolicy = FAILED if spec.HasField("podFailurePolicy") else TERMINATING_OR_FAILED
    if not spec.HasField("manualSelector"):
        spec.manualSelector = False
    for rule in spec.podFailurePolicy.rules:
        for pattern in rule.onPodConditions:
            pattern.status = pattern.status or "True"
    podtemplate.default(spec.template)


def warnings(spec: batch_pb2.JobSpec, field: str) -> list[str]:
    """What is allowed and hardly meant; ``field`` is such as ``spec``."""
    told: list[str] = []
    if spec.completionMode == INDEXED and spec.completions > MAX_INDEXED and spec.parallelism > MAX_PARALLEL_WHEN_LARGE:
        told.append(
            "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
            "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    template = spec.template
    return told + podwarnings.of_spec(template.spec, template.metadata, f"{field}.template.", is_pod=False)


def name_warnings(name: str) -> list[str]:
    """Warn of a name that no pod's host name can have."""
    problems = names.dns_label(name) if name else []
    if not problems:
        return []
    message = "this is used in Pod names and hostnames, which can result in surprising behavior"
    return [f"metadata.name: {message}; a DNS label is recommended: [{' '.join(problems)}]"]


def validate(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    """All complaints but those about the selector."""
    complaints: list[Cause] = []
    for name in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        complaints += causes.non_negative(f"{field}.{name}", getattr(spec, name))
    if spec.HasField("maxFailedIndexes") and not spec.HasField("backoffLimitPerIndex"):
        complaints.append(causes.required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.HasField("managedBy"):
        complaints += _managed_by(spec.managedBy, f"{field}.managedBy")
    complaints += _completion_mode(spec, field)
    if spec.HasField("podFailurePolicy"):
        complaints += _failure_policy(spec, f"{field}.podFailurePolicy.rules")
    if spec.HasField("successPolicy"):
        complaints += _success_policy(spec, f"{field}.successPolicy")
    complaints += _replacement_policy(spec, f"{field}.podReplacementPolicy")
    return complaints + _template(spec, f"{field}.template")


def _managed_by(value: str, field: str) -> list[Cause]:
    domain, slash, path = value.partition("/")
    if not slash or not domain or not path:
        return [causes.invalid(field, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    complaints = causes.each(field, domain, names.dns_subdomain(domain))
    return [*complaints, causes.too_long(field, MAX_MANAGED_BY)] if len(value) > MAX_MANAGED_BY else complaints


def _completion_mode(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    if spec.completionMode not in (NON_INDEXED, INDEXED):
        return [causes.unsupported(f"{field}.completionMode", spec.completionMode, (INDEXED, NON_INDEXED))]
    if spec.completionMode == INDEXED:
        return _indexed(spec, field)
    message = "requires indexed completion mode"
    return [
        causes.invalid(f"{field}.{name}", getattr(spec, name), message)
        for name in ("backoffLimitPerIndex", "maxFailedIndexes")
        if spec.HasField(name)
    ]


def _indexed(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not spec.HasField("completions"):
        complaints.append(causes.required(f"{field}.completions", f"when completion mode is {INDEXED}"))
    if spec.parallelism > MAX_INDEXED:
        message = f"must be less than or equal to {MAX_INDEXED} when completion mode is {INDEXED}"
        complaints.append(causes.invalid(f"{field}.parallelism", spec.parallelism, message))
    failed = f"{field}.maxFailedIndexes"
    if spec.HasField("completions") and spec.maxFailedIndexes > spec.completions:
        complaints.append(causes.invalid(failed, spec.maxFailedIndexes, "must be less than or equal to completions"))
    if spec.maxFailedIndexes > MAX_INDEXED:
        message = f"must be less than or equal to {MAX_INDEXED}"
        complaints.append(causes.invalid(failed, spec.maxFailedIndexes, message))
    if spec.completions > MAX_INDEXED and spec.HasField("backoffLimitPerIndex"):
        if not spec.HasField("maxFailedIndexes"):
            complaints.append(causes.required(failed, f"must be specified when completions is above {MAX_INDEXED}"))
        if spec.parallelism > MAX_PARALLEL_WHEN_LARGE:
            message = (
                f"must be less than or equal to {MAX_PARALLEL_WHEN_LARGE} when completions are above {MAX_INDEXED} "
                "and used with backoff limit per index"
            )
            complaints.append(causes.invalid(f"{field}.parallelism", spec.parallelism, message))
    return complaints


def _template(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    complaints = podtemplate.validate(spec.template, field)
    policy, here = spec.template.spec.restartPolicy, f"{field}.spec.restartPolicy"
    if policy == "Always":  # the default: perhaps nothing was said
        valid = ", ".join(causes.quoted(one) for one in RESTART_POLICIES)
        return [*complaints, causes.required(here, f"valid values: {valid}")]
    complaints += podtemplate.restart_policy(spec.template, field, RESTART_POLICIES)
    for name in ("podFailurePolicy", "backoffLimitPerIndex"):
        if spec.HasField(name) and policy == "OnFailure":
            complaints.append(causes.invalid(here, policy, f'only "Never" is supported when {name} is specified'))
    return complaints


def _replacement_policy(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    policy = spec.podReplacementPolicy
    supported = (FAILED,) if spec.HasField("podFailurePolicy") else (FAILED, TERMINATING_OR_FAILED)
    return [] if policy in supported else [causes.unsupported(field, policy, supported)]


def _failure_policy(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    rules = spec.podFailurePolicy.rules
    complaints = causes.at_most(field, len(rules), MAX_RULES)
    pod = spec.template.spec
    containers = {container.name for container in (*pod.containers, *pod.initContainers)}
    for i, rule in enumerate(rules):
        complaints += _rule(spec, rule, f"{field}[{i}]", containers)
    return complaints


def _rule(
    spec: batch_pb2.JobSpec, rule: batch_pb2.PodFailurePolicyRule, field: str, containers: set[str]
) -> list[Cause]:
    complaints = _required_choice(f"{field}.action", rule.action, ACTIONS)
    if rule.action == "FailIndex" and not spec.HasField("backoffLimitPerIndex"):
        message = "requires the backoffLimitPerIndex to be set"
        complaints.append(causes.invalid(f"{field}.action", rule.action, message))
    if rule.HasField("onExitCodes"):
        complaints += _exit_codes(rule.onExitCodes, f"{field}.onExitCodes", containers)
    complaints += causes.at_most(f"{field}.onPodConditions", len(rule.onPodConditions), MAX_PATTERNS)
    for i, pattern in enumerate(rule.onPodConditions):
        here = f"{field}.onPodConditions[{i}]"
        complaints += causes.each(f"{here}.type", pattern.type, names.qualified_name(pattern.type))
        complaints += _required_choice(f"{here}.status", pattern.status, STATUSES)
    given = rule.HasField("onExitCodes") + bool(rule.onPodConditions)
    if given == 2:
        message = "specifying both OnExitCodes and OnPodConditions is not supported"
        complaints.append(causes.invalid_whole(field, message))
    elif not given:
        message = "specifying one of OnExitCodes and OnPodConditions is required"
        complaints.append(causes.invalid_whole(field, message))
    return complaints


def _required_choice(field: str, value: str, supported: tuple[str, ...]) -> list[Cause]:
    if value:
        return causes.one_of(field, value, supported)
    listed = " ".join(causes.quoted(one) for one in supported)
    return [causes.required(field, f"valid values: [{listed}]")]


def _exit_codes(
    codes: batch_pb2.PodFailurePolicyOnExitCodesRequirement, field: str, containers: set[str]
) -> list[Cause]:
    complaints = _required_choice(f"{field}.operator", codes.operator, OPERATORS)
    if codes.HasField("containerName") and codes.containerName not in containers:
        message = "must be one of the container or initContainer names in the pod template"
        complaints.append(causes.invalid(f"{field}.containerName", codes.containerName, message))
    here, values = f"{field}.values", list(codes.values)
    shown = causes.Raw(f"[]int32{{{', '.join(str(value) for value in values)}}}")
    if not values:
        return [*complaints, causes.invalid(here, shown, "at least one value is required")]
    if len(values) > MAX_EXIT_CODES:
        return [*complaints, *causes.at_most(here, len(values), MAX_EXIT_CODES)]
    for i, value in enumerate(values):
        if value == 0 and codes.operator == "In":
            complaints.append(causes.invalid(f"{here}[{i}]", value, "must not be 0 for the In operator"))
        if value in values[:i]:
            complaints.append(causes.duplicate(f"{here}[{i}]", value))
    return [*complaints, causes.invalid(here, shown, "must be ordered")] if values != sorted(values) else complaints


def _success_policy(spec: batch_pb2.JobSpec, field: str) -> list[Cause]:
    if spec.completionMode != INDEXED:
        return [causes.invalid_whole(field, "requires indexed completion mode")]
    rules = spec.successPolicy.rules
    if not rules:
        message = "at least one rules must be specified when the successPolicy is specified"
        return [causes.required(f"{field}.rules", message)]
    complaints = causes.at_most(f"{field}.rules", len(rules), MAX_RULES)
    for i, rule in enumerate(rules):
        complaints += _success_rule(rule, spec.completions, f"{field}.rules[{i}]")
    return complaints


def _success_rule(rule: batch_pb2.SuccessPolicyRule, completions: int, field: str) -> list[Cause]:
    counted, indexed = rule.HasField("succeededCount"), rule.HasField("succeededIndexes")
    if not counted and not indexed:
        return [causes.required(field, "at least one of succeededCount or succeededIndexes must be specified")]
    complaints: list[Cause] = []
    of_these: int | None = None
    if indexed:
        here = f"{field}.succeededIndexes"
        if len(rule.succeededIndexes) > MAX_INDEXES_LENGTH:
            return [causes.too_long(here, MAX_INDEXES_LENGTH)]
        try:
            of_these = indexes.size(indexes.parse(rule.succeededIndexes, completions))
        except ValueError as err:
            message = f"error parsing succeededIndexes: {err}"
            complaints.append(causes.invalid(here, rule.succeededIndexes, message))
    if counted:
        here, count = f"{field}.succeededCount", rule.succeededCount
        complaints += causes.non_negative(here, count)
        if count > completions:
            message = f"must be less than or equal to {completions} (the number of specified completions)"
            complaints.append(causes.invalid(here, count, message))
        if of_these is not None and count > of_these:
            inside = "(the number of indexes in the specified succeededIndexes field)"
            complaints.append(causes.invalid(here, count, f"must be less than or equal to {of_these} {inside}"))
    return complaints
