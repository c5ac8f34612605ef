"""``kctl create clusterrole``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.rbac import rules
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class ClusterRoleOptions(GenerateOptions):
    aggregation_rule: tuple[str, ...]
    non_resource_url: tuple[str, ...]
    resource: tuple[str, ...]
    resource_name: tuple[str, ...]
    verb: tuple[str, ...]


def _create(session: Session, args: tuple[str, ...], options: ClusterRoleOptions) -> int:
    from kubelab.api.rbac.v1 import rbac_pb2
    from kubelab.kctl.create.generated import create_one

    obj = rbac_pb2.ClusterRole()
    labels = _pairs(session, options.aggregation_rule)
    obj.metadata.name = only_name(session, args)
    if labels:
        if options.non_resource_url or options.verb or options.resource or options.resource_name:
            raise UsageProblem(
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames"
            )
        obj.aggregationRule.clusterRoleSelectors.add(matchLabels=labels)
        return create_one(session, obj, options)
    verbs, resources, urls = rules.verbs_of(options.verb), rules.named(options.resource), options.non_resource_url
    if not verbs:
        raise UsageProblem("at least one verb must be specified")
    if not resources and not urls:
        raise UsageProblem("one of resource or nonResourceURL must be specified")
    if resources:
        rules.warn_of_verbs(verbs)
        resources = rules.resolve(session, resources, verbs)
    if urls:
        _check_urls(verbs, urls)
    obj.rules.extend(rules.rules(verbs, resources, options.resource_name, urls))
    return create_one(session, obj, options)


def _check_urls(verbs: Sequence[str], urls: Sequence[str]) -> None:
    for verb in verbs:
        if verb not in rules.URL_VERBS:
            raise UsageProblem(f"invalid verb: '{verb}' for nonResourceURL")
    for url in urls:
        if url == rules.ANY:
            continue
        if not url.startswith("/"):
            raise UsageProblem("nonResourceURL should start with /")
        if rules.ANY in url[:-1]:
            raise UsageProblem("nonResourceURL only supports wildcard matches when '*' is at the end")


def _pairs(session: Session, words: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            message = f'invalid argument "{word}" for "--aggregation-rule" flag: malformed pair, expect string=string'
            raise UsageProblem(message, session.command_path, hint="flag")
        found[key.strip()] = value.strip()
    return found


CLUSTER_ROLE = Command(
    "clusterrole",
    run=_create,
    options=ClusterRoleOptions,
    flags=(
        Flag("--aggregation-rule", kind="csv", help="An aggregation label selector for combining ClusterRoles."),
        Flag("--non-resource-url", kind="csv", help="A partial url that user should have access to."),
        rules.RESOURCE,
        rules.RESOURCE_NAME,
        rules.VERB,
        *GENERATE_FLAGS,
    ),
    about="Create a cluster role.",
    examples="""\
# Create a cluster role named "pod-reader" that allows user to perform "get", "watch" and "list" on pods
kctl create clusterrole pod-reader --verb=get,list,watch --resource=pods

# Create a cluster role named "pod-reader" with ResourceName specified
kctl create clusterrole pod-reader --verb=get --resource=pods --resource-name=readablepod --resource-name=anotherpod

# Create a cluster role named "foo" with API Group specified
kctl create clusterrole foo --verb=get,list,watch --resource=rs.apps

# Create a cluster role named "foo" with SubResource specified
kctl create clusterrole foo --verb=get,list,watch --resource=pods,pods/status

# Create a cluster role name "foo" with NonResourceURL specified
kctl create clusterrole "foo" --verb=get --non-resource-url=/logs/*

# Create a cluster role name "monitoring" with AggregationRule specified
kctl create clusterrole monitoring --aggregation-rule="rbac.example.com/aggregate-to-monitoring=true"
""",
    usage="kctl create clusterrole NAME --verb=verb --resource=resource.group [--resource-name=resourcename] "
    "[--dry-run=server|client|none]",
)
