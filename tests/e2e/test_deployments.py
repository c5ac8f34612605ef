"""The chapter on deployments: created, scaled, rolled out, undone, deleted with all that belongs to it."""

from __future__ import annotations

import re

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, Tutorial, eventually

STOP_SIGNAL = "SIGKILL"
NAMES = "[bcdfghjklmnpqrstvwxz2456789]"
REPLICA_SET = rf"hello-deploy-{NAMES}{{5,10}}"
POD = rf"{REPLICA_SET}-{NAMES}{{5}}"


def second_image(tutorial: Tutorial) -> str:
    """Build the tutorial's app once more, under another tag."""
    name = tutorial.image.rpartition(":")[0] + ":v-2.0.0"
    Tutorial(tutorial.terminal, name, tutorial.base).build(stop_signal=STOP_SIGNAL)
    return name


def none_left(terminal: Terminal) -> bool:
    return not terminal.type("kctl get deploy,rs,pods -l app=hello-deploy", code=None).stdout


def test_there_is_no_selector_flag(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    command = f"create deploy hello-deploy --port=8080 --image='{tutorial.image}' --replicas=3 --selector='app=node'"
    told = terminal.type(f"kctl {command}", code=1)
    assert told.stderr == "error: unknown flag: --selector\nSee 'kctl create deployment --help' for usage.\n"


def test_a_deployment_is_created(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    created = terminal.type(f"kctl create deploy hello-deploy --port=8080 --image='{tutorial.image}' --replicas=3")
    assert created.stdout == "deployment.apps/hello-deploy created\n"
    done = terminal.type("kctl rollout status deployment/hello-deploy").lines[-1]
    assert done == 'deployment "hello-deploy" successfully rolled out'
    for spelling in ("deploy", "deployments", "deployment", "deployment.apps", "deploy hello-deploy"):
        table = terminal.type(f"kctl get {spelling}").rows
        assert table[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
        assert table[1][:4] == ["hello-deploy", "3/3", "3", "3"]
    wide = terminal.type("kctl get deploy -o wide").rows
    assert wide[0][5:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert wide[1][6:] == [tutorial.image, "app=hello-deploy"]
    for spelling in ("rs", "replicaset", "replicasets.apps"):
        table = terminal.type(f"kctl get {spelling}").rows
        assert table[0] == ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]
        assert re.fullmatch(REPLICA_SET, table[1][0])
        assert table[1][1:4] == ["3", "3", "3"]
    pods = terminal.running("app=hello-deploy", 3)
    assert all(re.fullmatch(POD, row[0]) for row in pods)
    everything = terminal.type("kctl get all -l app=hello-deploy").stdout
    for name in ("deployment.apps/hello-deploy", "replicaset.apps/hello-deploy-", "pod/hello-deploy-"):
        assert name in everything


def test_it_is_described(tutorial: Tutorial) -> None:
    described = tutorial.terminal.type("kctl describe deploy hello-deploy").stdout
    for line in (
        r"Labels: +app=hello-deploy",
        r"Annotations: +deployment.kubernetes.io/revision: 1",
        r"Replicas: +3 desired \| 3 updated \| 3 total \| 3 available \| 0 unavailable",
        r"StrategyType: +RollingUpdate",
        r"RollingUpdateStrategy: +25% max unavailable, 25% max surge",
        r"  Available +True +MinimumReplicasAvailable",
        r"  Progressing +True +NewReplicaSetAvailable",
        r"OldReplicaSets: +<none>",
        rf"NewReplicaSet: +{REPLICA_SET} \(3/3 replicas created\)",
        rf"  Normal +ScalingReplicaSet +\S+ +deployment-controller +Scaled up replica set {REPLICA_SET} from 0 to 3",
    ):
        assert re.search(f"^{line}$", described, re.MULTILINE), (line, described)


def test_a_pod_that_is_deleted_is_replaced(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    gone = terminal.running("app=hello-deploy", 3)[0][0]
    terminal.type(f"kctl delete pod {gone}")
    assert gone not in [row[0] for row in terminal.running("app=hello-deploy", 3)]


def test_it_is_scaled(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    assert (
        terminal.type("kctl scale deploy hello-deploy --replicas=5").stdout == "deployment.apps/hello-deploy scaled\n"
    )
    terminal.running("app=hello-deploy", 5)
    assert terminal.type("kctl scale --replicas=2 deployment/hello-deploy").code == 0
    terminal.running("app=hello-deploy", 2)


def test_a_new_image_is_rolled_out_and_undone(tutorial: Tutorial) -> None:
    terminal, image = tutorial.terminal, second_image(tutorial)
    changed = terminal.type(f"kctl set image deploy/hello-deploy '*={image}'")
    assert changed.stdout == "deployment.apps/hello-deploy image updated\n"
    terminal.type("kctl rollout status deploy hello-deploy --timeout=60s")
    history = terminal.type("kctl rollout history deploy/hello-deploy").lines
    title = ["deployment.apps/hello-deploy ", "REVISION  CHANGE-CAUSE"]
    assert history == [*title, "1         <none>", "2         <none>", ""]
    detail = terminal.type("kctl rollout history deploy/hello-deploy --revision=1").stdout
    assert f"Image:\t{tutorial.image}" in detail
    sizes = terminal.type("kctl get rs -l app=hello-deploy --no-headers").rows
    assert sorted(row[1] for row in sizes) == ["0", "2"]
    undone = terminal.type("kctl rollout undo deploy/hello-deploy")
    assert undone.stdout == "deployment.apps/hello-deploy rolled back\n"
    terminal.type("kctl rollout status deploy/hello-deploy --timeout=60s")
    history = terminal.type("kctl rollout history deploy hello-deploy").lines
    assert history == [*title, "2         <none>", "3         <none>", ""]
    images = terminal.type("kctl get deploy hello-deploy -o jsonpath='{.spec.template.spec.containers[*].image}'")
    assert images.stdout == tutorial.image


def test_it_is_paused_resumed_and_restarted(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    assert terminal.type("kctl rollout pause deploy/hello-deploy").stdout == "deployment.apps/hello-deploy paused\n"
    told = terminal.type("kctl rollout pause deploy/hello-deploy", code=1).stderr
    assert told == 'error: deployments.apps "hello-deploy" is already paused\n'
    assert terminal.type("kctl rollout resume deploy/hello-deploy").stdout == "deployment.apps/hello-deploy resumed\n"
    before = {row[0] for row in terminal.running("app=hello-deploy", 2)}
    restarted = terminal.type("kctl rollout restart deploy hello-deploy").stdout
    assert restarted == "deployment.apps/hello-deploy restarted\n"
    terminal.type("kctl rollout status deploy/hello-deploy --timeout=60s")
    assert before.isdisjoint(row[0] for row in terminal.running("app=hello-deploy", 2))


def test_its_deletion_takes_replica_sets_and_pods_along(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    assert terminal.type("kctl delete deploy hello-deploy").stdout == 'deployment.apps "hello-deploy" deleted\n'
    eventually(lambda: none_left(terminal))


@pytest.mark.parametrize("policy", ["orphan", "foreground"])
def test_how_deletions_propagate(tutorial: Tutorial, policy: str) -> None:
    terminal = tutorial.terminal
    terminal.type(f"kctl create deployment hello-deploy --image={tutorial.image} --replicas=1")
    terminal.type("kctl rollout status deploy/hello-deploy --timeout=60s")
    terminal.type(f"kctl delete deploy/hello-deploy --cascade={policy}")
    if policy == "foreground":
        assert none_left(terminal)
        return
    terminal.running("app=hello-deploy", 1)
    terminal.type("kctl delete rs -l app=hello-deploy --cascade=orphan")
    terminal.running("app=hello-deploy", 1)
    terminal.type("kctl delete pods -l app=hello-deploy")
    eventually(lambda: none_left(terminal))


def test_a_file_with_a_deployment_and_its_service(tutorial: Tutorial) -> None:
    terminal = tutorial.terminal
    if not (terminal.folder / "assets").samefile(OWN_FILES):
        pytest.skip("the tutorial's own files have no deployment")
    created = terminal.type("kctl create -f assets/00003/00001.yml")
    assert created.lines == ["deployment.apps/rolling created", "service/rolling created"]
    terminal.type("kctl rollout status -f assets/00003/00001.yml", code=None)
    terminal.running("app=rolling", 3)
    terminal.type("kctl delete -f assets/00003/00001.yml")
