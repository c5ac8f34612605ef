"""The aggregation controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.apimachinery.rbac.rules import Rule, rules_of
from kubelab.apimachinery.scheme import CLUSTER_ROLES
from tests.support.apiserver import ApiServerInMemory
from tests.unit.apiserver.rbac.support import cluster_role, rule
from tests.unit.controllermanager.conftest import Run

VIEW = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
FOOS = rule("get list watch", "foos", "example.com")


def rules(server: ApiServerInMemory, name: str) -> list[Rule]:
    role = server.get(CLUSTER_ROLES, name)
    assert role is not None
    return list(rules_of(role.rules))


async def test_a_role_with_the_label_becomes_a_part_of_view_edit_and_admin(running: Run) -> None:
    server = ApiServerInMemory()
    server.add_default_roles()
    before = {name: rules(server, name) for name in ("view", "edit", "admin")}
    async with running(server, "clusterroleaggregation"):
        server.add(cluster_role("foo-view", FOOS, labels=VIEW))
        await server.until(lambda: all(FOOS in rules(server, name) for name in before))
        server.remove(CLUSTER_ROLES, "foo-view")
        await server.until(lambda: {name: rules(server, name) for name in before} == before)


async def test_what_somebody_else_writes_into_an_aggregated_role_goes(running: Run) -> None:
    server = ApiServerInMemory()
    made = cluster_role("sum", rule("*", "*", "*"))
    made.aggregationRule.clusterRoleSelectors.add(matchLabels={"part": "one"})
    made.aggregationRule.clusterRoleSelectors.add(matchLabels={"part": "two"})
    server.add(
        made,
        cluster_role("z", rule("get", "pods"), labels={"part": "one"}),
        cluster_role("a", rule("get", "pods"), rule("get", "nodes"), labels={"part": "two"}),
        cluster_role("sums-are-no-parts-of-themselves", FOOS),
    )
    async with running(server, "clusterroleaggregation"):
        await server.until(lambda: rules(server, "sum") == [rule("get", "pods"), rule("get", "nodes")])


async def test_a_cluster_as_the_api_server_made_it_needs_no_write(running: Run) -> None:
    """The rules that the api-server writes into aggregated roles are the controller's."""
    server = ApiServerInMemory()
    server.add_default_roles()
    async with running(server, "clusterroleaggregation"):
        server.add(cluster_role("marker", FOOS, labels=VIEW))
        await server.until(lambda: FOOS in rules(server, "admin"))
    written = [call.name for call in server.calls_of("update", CLUSTER_ROLES)]
    assert sorted(written) == ["admin", "edit", "view"]
