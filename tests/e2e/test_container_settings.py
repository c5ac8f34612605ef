"""What a container asks for in its spec, and what it gets: users, limits, last words, volumes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.e2e.terminal import OWN_FILES, Terminal, eventually


@pytest.fixture(scope="module", autouse=True)
def images(terminal: Terminal) -> None:
    (terminal.folder / "assets").symlink_to(OWN_FILES)
    terminal.type("kubelab image build -t kubelab/hello:v-1.0.0 assets/00000")


# What the Pod Security level "restricted" asks for (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
RESTRICTED = """\
apiVersion: v1
kind: Pod
metadata: {name: restricted, labels: {app: restricted}}
spec:
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 2000
    seccompProfile: {type: RuntimeDefault}
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    command: [sh, -c, "grep -E '^(Uid|Groups|CapEff|NoNewPrivs|Seccomp):' /proc/self/status; sleep infinity"]
"""


def test_a_restricted_pod_runs_and_is_restricted(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=RESTRICTED)
    terminal.running("app=restricted", 1)
    told = dict(re.split(r":\s+", line.strip(), maxsplit=1) for line in terminal.type("kctl logs restricted").lines)
    assert told["Uid"].split() == ["1000"] * 4
    assert set(told["Groups"].split()) == {"2000", "3000"}
    assert (told["CapEff"], told["NoNewPrivs"], told["Seccomp"]) == ("0" * 16, "1", "2")
    terminal.type("kctl delete pod restricted --grace-period=1")


HUNGRY = """\
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
    command: [python3, -c, "held = bytearray(256 << 20); print(len(held))"]
    resources: {limits: {memory: 48Mi}}
"""


def test_a_container_that_takes_more_memory_than_its_limit_is_oomkilled(terminal: Terminal) -> None:
    if "LimitsEnforced   True" not in re.sub(" +", "   ", terminal.type("kctl describe node node-1").stdout):
        pytest.skip("this machine has no control groups that can be used")
    terminal.type("kctl create -f -", stdin=HUNGRY)
    eventually(lambda: terminal.type("kctl get pod hungry --no-headers").rows[0][2] == "OOMKilled", what="OOMKilled")
    described = re.sub(" +", " ", terminal.type("kctl describe pod hungry").stdout)
    assert " State: Terminated\n Reason: OOMKilled\n Exit Code: 137\n" in described
    assert "\nStatus: Failed\n" in described
    terminal.type("kctl delete pod hungry")


OWN_USERS = """\
apiVersion: v1
kind: Pod
metadata: {name: own-users, labels: {app: own-users}}
spec:
  hostUsers: false
  containers:
  - name: app
    image: kubelab/hello:v-1.0.0
    command:
    - sh
    - -ec
    - id -u; cat /proc/self/uid_map; echo own > /dev/termination-log; echo own > /own; echo wrote; sleep infinity
"""


def test_a_pod_with_users_of_its_own(terminal: Terminal) -> None:
    """Its root is an unprivileged user of the machine; where the machine cannot, its events say so."""
    terminal.type("kctl create -f -", stdin=OWN_USERS)
    refusal = "runtime does not support user namespaces"
    ended = eventually(lambda: re.search(f"{refusal}|Started container", described(terminal, "own-users")))
    if ended[0] != refusal:
        terminal.running("app=own-users", 1)
        logs = eventually(lambda: wrote(terminal), what="its log")
        root, mapping = logs[:2]
        assert root == "0"
        inside, outside, length = map(int, mapping.split())
        assert (inside, length) == (0, 65_536)
        assert outside >= 65_536
    terminal.type("kctl delete pod own-users --grace-period=1")


def wrote(terminal: Terminal) -> list[str]:
    lines = terminal.type("kctl logs own-users").lines
    return lines if lines[-1:] == ["wrote"] else []


def described(terminal: Terminal, pod: str) -> str:
    return terminal.type(f"kctl describe pod {pod}").stdout


LAST_WORDS = """\
apiVersion: v1
kind: Pod
metadata: {name: last-words}
spec:
  restartPolicy: Never
  containers:
  - name: file
    image: kubelab/hello:v-1.0.0
    securityContext: {runAsUser: 1000}
    command: [sh, -c, "echo the disk is full > /dev/termination-log; exit 3"]
  - name: log
    image: kubelab/hello:v-1.0.0
    terminationMessagePath: /tmp/why
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, "echo no route; exit 4"]
"""


def test_what_a_container_leaves_as_its_last_words_is_told(terminal: Terminal) -> None:
    terminal.type("kctl create -f -", stdin=LAST_WORDS)

    def failed() -> list[dict[str, Any]] | None:
        status = json.loads(terminal.type("kctl get pod last-words -o json").stdout)["status"]
        return status["containerStatuses"] if status["phase"] == "Failed" else None

    statuses = eventually(failed)
    ended = {one["name"]: one["state"]["terminated"] for one in statuses}
    assert (ended["file"]["exitCode"], ended["file"]["message"]) == (3, "the disk is full\n")
    assert (ended["log"]["exitCode"], ended["log"]["message"]) == (4, "no route\n")
    assert re.search(r"Message: +the disk is full\n", terminal.type("kctl describe pod last-words").stdout)
    terminal.type("kctl delete pod last-words")


VOLUMES = """\
apiVersion: v1
kind: Pod
metadata: {name: volumes, labels: {app: volumes}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 1000, fsGroup: 2000}
  volumes:
  - {name: config, configMap: {name: settings}}
  - {name: secret, secret: {secretName: keys, defaultMode: 0400}}
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: about, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - name: token
    projected: {sources: [{serviceAccountToken: {path: token, audience: vault}}]}
  containers:
  - name: writer
    image: kubelab/hello:v-1.0.0
    command: [sh, -c, "echo shared > /disk/file; head -c 2000000 /dev/zero > /memory/x || echo full; sleep infinity"]
    volumeMounts:
    - {name: disk, mountPath: /disk}
    - {name: memory, mountPath: /memory}
  - name: reader
    image: kubelab/hello:v-1.0.0
    command:
    - sh
    - -c
    - |
      cd /etc/app; echo "$(cat greeting) $(cat /only) $(cat /keys/password) $(cat /about/labels) $(stat -fc %T /memory)"
      echo x > greeting || echo read-only; cut -d. -f1 /token/token | head -c 3; echo
      until [ -f /disk/file ]; do sleep 0.05; done; cat /disk/file; stat -c %g /disk/file
      until [ "$(cat greeting)" = changed ]; do sleep 0.05; done; echo changed; sleep infinity
    volumeMounts:
    - {name: config, mountPath: /etc/app}
    - {name: config, mountPath: /only, subPath: greeting}
    - {name: secret, mountPath: /keys}
    - {name: disk, mountPath: /disk}
    - {name: memory, mountPath: /memory}
    - {name: about, mountPath: /about}
    - {name: token, mountPath: /token}
"""


def test_volumes_show_what_they_are_made_of(terminal: Terminal) -> None:
    """A pod waits for its config map, has its volumes, and sees the config map change."""
    terminal.type("kctl create secret generic keys --from-literal=password=s3cret")
    terminal.type("kctl create -f -", stdin=VOLUMES)
    text = 'MountVolume.SetUp failed for volume "config" : configmap "settings" not found'
    eventually(lambda: text in described(terminal, "volumes"), what="FailedMount")
    terminal.type("kctl create configmap settings --from-literal=greeting=hello")
    terminal.running("app=volumes", 1)

    def read(lines: int) -> list[str] | None:
        found = terminal.type("kctl logs volumes -c reader").lines
        return found if len(found) >= lines else None

    told = eventually(lambda: read(6), what="what the reader found")
    refusals = [line for line in told if "read-only" in line.lower()]  # the shell's, and what it says of it
    assert len(refusals) == 2
    said = [line for line in told if line not in refusals]  # of the two streams neither waits for the other
    assert said == ['hello hello s3cret app="volumes" tmpfs', "eyJ", "shared", "2000"]
    assert "full" in terminal.type("kctl logs volumes -c writer").lines
    terminal.type('kctl patch configmap settings -p \'{"data":{"greeting":"changed"}}\'')
    eventually(lambda: (terminal.type("kctl logs volumes -c reader").lines or [""])[-1] == "changed", what="a change")
    terminal.type("kctl delete pod volumes")
    folder = terminal.home / "clusters" / terminal.cluster  # a compose cluster's nodes have theirs in Docker's volumes
    assert not list(folder.glob("kubelet/*/pods/*"))
    terminal.type("kctl delete configmap/settings secret/keys")


def test_a_program_in_a_pod_asks_the_api_server_as_its_account(terminal: Terminal) -> None:
    """Every pod has a token, the authority's certificate and its namespace; the service ``kubernetes`` leads there."""
    example = OWN_FILES.parent / "volumes" / "whoami.yaml"
    terminal.type(f"kctl create -f {example}")
    eventually(lambda: terminal.type("kctl get pod whoami --no-headers").rows[0][2] == "Completed", what="its answer")
    assert terminal.type("kctl logs whoami").lines == ["system:serviceaccount:default:default", "default"]
    told = re.sub(" +", " ", described(terminal, "whoami"))
    assert re.search(
        r" Mounts:\n /var/run/secrets/kubernetes\.io/serviceaccount from kube-api-access-[a-z0-9]{5} \(ro\)\n", told
    )
    assert " TokenExpirationSeconds: 3607\n ConfigMapName: kube-root-ca.crt\n" in told
    terminal.type("kctl delete pod whoami")
