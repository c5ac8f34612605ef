"""What the webhooks of a configuration must be (upstream: pkg/apis/admissionregistration/validation)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from kubelab.api.admissionregistration.v1 import admissionregistration_pb2 as pb
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.resources.admissionregistration import expressions, rules
from kubelab.apiserver.strategies import causes, labelselectors

Webhook = pb.MutatingWebhook | pb.ValidatingWebhook
REVIEW_VERSIONS = ("v1", "v1beta1")
TIMEOUT_SECONDS, MAX_TIMEOUT = 10, 30


def default(webhooks: Iterable[Webhook]) -> None:
    """Fill in what upstream fills in."""
    for webhook in webhooks:
        for field, value in (("failurePolicy", "Fail"), ("matchPolicy", "Equivalent")):
            if not webhook.HasField(field):  # pyright: ignore[reportArgumentType]
                setattr(webhook, field, value)
        if not webhook.HasField("timeoutSeconds"):
            webhook.timeoutSeconds = TIMEOUT_SECONDS
        webhook.namespaceSelector.SetInParent()
        webhook.objectSelector.SetInParent()
        if isinstance(webhook, pb.MutatingWebhook) and not webhook.HasField("reinvocationPolicy"):
            webhook.reinvocationPolicy = "Never"
        if webhook.clientConfig.HasField("service") and not webhook.clientConfig.service.HasField("port"):
            webhook.clientConfig.service.port = 443
        rules.default(webhook.rules)


def validate(webhooks: Sequence[Webhook]) -> list[Cause]:
    """All complaints about the webhooks of a configuration."""
    complaints: list[Cause] = []
    seen: set[str] = set()
    for number, webhook in enumerate(webhooks):
        here = f"webhooks[{number}]"
        complaints += _webhook(webhook, here)
        if webhook.name in seen:
            complaints.append(causes.duplicate(f"{here}.name", webhook.name))
        seen.add(webhook.name)
    return complaints


def _webhook(webhook: Webhook, here: str) -> list[Cause]:
    complaints = _name(webhook.name, f"{here}.name")
    for number, rule in enumerate(webhook.rules):
        complaints += rules.validate(rule, f"{here}.rules[{number}]")
    complaints += causes.one_of(f"{here}.failurePolicy", webhook.failurePolicy, ("Fail", "Ignore"))
    complaints += causes.one_of(f"{here}.matchPolicy", webhook.matchPolicy, ("Equivalent", "Exact"))
    if not webhook.HasField("sideEffects"):
        complaints.append(causes.required(f"{here}.sideEffects", "must specify one of None, NoneOnDryRun"))
    else:
        complaints += causes.one_of(f"{here}.sideEffects", webhook.sideEffects, ("None", "NoneOnDryRun"))
    if not 1 <= webhook.timeoutSeconds <= MAX_TIMEOUT:
        why = f"the timeout value must be between 1 and {MAX_TIMEOUT} seconds"
        complaints.append(causes.invalid(f"{here}.timeoutSeconds", webhook.timeoutSeconds, why))
    complaints += labelselectors.validate(webhook.namespaceSelector, f"{here}.namespaceSelector")
    complaints += labelselectors.validate(webhook.objectSelector, f"{here}.objectSelector")
    complaints += _client(webhook.clientConfig, f"{here}.clientConfig")
    complaints += _versions(webhook.admissionReviewVersions, f"{here}.admissionReviewVersions")
    if isinstance(webhook, pb.MutatingWebhook):
        policy = webhook.reinvocationPolicy
        complaints += causes.one_of(f"{here}.reinvocationPolicy", policy, ("IfNeeded", "Never"))
    return complaints + expressions.match_conditions(webhook.matchConditions, f"{here}.matchConditions")


def _name(name: str, field: str) -> list[Cause]:
    """A webhook's name is fully qualified: at least three segments."""
    if not name:
        return [causes.required(field)]
    complaints = causes.each(field, name, names.dns_subdomain(name))
    if not complaints and name.count(".") < 2:
        complaints.append(
            causes.invalid(field, name, "should be a domain with at least three segments separated by dots")
        )
    return complaints


def _client(config: pb.WebhookClientConfig, here: str) -> list[Cause]:
    has_url, has_service = config.HasField("url"), config.HasField("service")
    if has_url == has_service:
        return [causes.required(here, "exactly one of url or service is required")]
    return _url(config.url, f"{here}.url") if has_url else _service(config.service, f"{here}.service")


def _url(url: str, field: str) -> list[Cause]:
    parts = urlsplit(url)
    complaints: list[Cause] = []
    if parts.scheme != "https":
        why = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        complaints.append(causes.invalid(field, parts.scheme, why))
    if not parts.hostname:
        complaints.append(causes.invalid(field, "", "host must be specified; desired format: https://host[/path]"))
    if parts.username is not None:
        complaints.append(causes.invalid(field, parts.username, "user information is not permitted in the URL"))
    if parts.fragment:
        complaints.append(causes.invalid(field, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        complaints.append(causes.invalid(field, parts.query, "query parameters are not permitted in the URL"))
    return complaints


def _service(service: pb.ServiceReference, here: str) -> list[Cause]:
    complaints: list[Cause] = []
    if not service.name:
        complaints.append(causes.required(f"{here}.name", "service name is required"))
    if not service.namespace:
        complaints.append(causes.required(f"{here}.namespace", "service namespace is required"))
    if not 0 < service.port < 65536:
        why = "port is not valid: must be between 1 and 65535, inclusive"
        complaints.append(causes.invalid(f"{here}.port", service.port, why))
    if service.HasField("path") and service.path and not service.path.startswith("/"):
        complaints.append(causes.invalid(f"{here}.path", service.path, "must start with a '/'"))
    return complaints


def _versions(versions: Sequence[str], field: str) -> list[Cause]:
    if not versions:
        what = ", ".join(REVIEW_VERSIONS)
        return [causes.required(field, f"must specify one of {what}")]
    if not any(version in REVIEW_VERSIONS for version in versions):
        why = f"must include at least one of {', '.join(REVIEW_VERSIONS)}"
        return [causes.invalid(field, list(versions), why)]
    return []
