"""The formats of ``-o`` that take an expression, against what kubectl 1.32 prints (golden/jsonpath.json,
golden/go-template.json: the object of golden/templated.yaml through many templates), and their use in ``get``."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kubelab.kctl.documentprinters import PrintFlags, printer_of
from kubelab.kctl.flags import UsageProblem
from kubelab.kctl.session import Failed
from kubelab.kctl.sorting import natural
from tests.support.objects import pod as make_pod
from tests.unit.kctl.conftest import GOLDEN, Shell

DOCUMENT: dict[str, Any] = yaml.safe_load((GOLDEN / "templated.yaml").read_text())
CASES = [
    pytest.param(name, case, id=f"{name}={case['template']}" + ("" if case["missing"] else " strict"))
    for name in ("jsonpath", "go-template")
    for case in json.loads((GOLDEN / f"{name}.json").read_text())
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_templates_as_kubectl(name: str, case: dict[str, Any]) -> None:
    try:
        flags = PrintFlags(f"{name}={case['template']}", allow_missing_keys=case["missing"])
        text, error = printer_of(flags).render(DOCUMENT), ""
    except UsageProblem as problem:
        text, error = "", problem.lines()
    except Failed as failed:
        text, error = "", str(failed).partition(". Printing more")[0]
    assert (text, error) == (case["stdout"], case["stderr"])


@pytest.fixture(autouse=True)
def objects(shell: Shell) -> None:
    for name, node, cpu in (("web-10", "b", "1"), ("web-2", "a", "500m"), ("db", "", "250m")):
        pod = make_pod(name, uid=f"u-{name}")
        pod.spec.nodeName = node
        pod.spec.containers[0].resources.requests["cpu"].string = cpu
        shell.server.add(pod)


PRINTED = {
    "get pods -o jsonpath={.items[*].metadata.name}": "db web-10 web-2",
    "get pods -o jsonpath-as-json={.items[*].metadata.name}": '[\n    "db",\n    "web-10",\n    "web-2"\n]\n',
    'get pods -o jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}': "db\nweb-10\nweb-2\n",
    "get pod db -o jsonpath={.metadata.uid}": "u-db",
    "get pod db -o=jsonpath --template={.metadata.uid}": "u-db",
    "get pod db --template={{.metadata.uid}}": "u-db",
    "get pods -o go-template={{range .items}}{{.metadata.name}},{{end}}": "db,web-10,web-2,",
    "get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName": """\
NAME     NODE
db       <none>
web-10   b
web-2    a
""",
    "get pods -o custom-columns=N:metadata.name --no-headers": "db\nweb-10\nweb-2\n",
    "get pods -o custom-columns=IMAGES:{.spec.containers[*].image},X:.spec --field-selector=metadata.name=no": (
        "IMAGES   X\n"
    ),
    "get pods --sort-by=.metadata.name --no-headers -o custom-columns=N:.metadata.name": "db\nweb-2\nweb-10\n",
    "get pods --sort-by={.spec.containers[0].resources.requests.cpu} -o name": "pod/db\npod/web-2\npod/web-10\n",
    "get pods --sort-by=.spec.nodeName --no-headers": """\
db       ready-db       status-db       restarts-db       1s
web-2    ready-web-2    status-web-2    restarts-web-2    1s
web-10   ready-web-10   status-web-10   restarts-web-10   1s
""",
    "get pod db --subresource=status -o name": "pod/db\n",
    "get --raw=/api": '{"kind":"APIVersions","versions":["v1"]}\n',
}


@pytest.mark.parametrize("line", PRINTED)
def test_get(shell: Shell, line: str) -> None:
    typed = shell(*_split(line))
    assert (typed.code, typed.stderr, typed.stdout) == (0, "", PRINTED[line])


def _split(line: str) -> list[str]:
    """Split at a space that begins a flag; templates have spaces of their own."""
    command, *flags = line.split(" -")
    return [*command.split(" "), *(word for flag in flags for word in f"-{flag}".split(" ", flag.startswith("o ")))]


REFUSED = {
    "get pods -o custom-columns": "error: custom-columns format specified but no custom columns given",
    "get pods -o custom-columns=a": ("error: unexpected custom-columns spec: a, expected <header>:<json-path-expr>"),
    "get pods -o custom-columns=a:{b}{c}": (
        "error: unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or "
        "'{.name1.name2}'"
    ),
    "get pods -o jsonpath": "error: template format specified but no template given",
    "get pods -o jsonpath-file=/nope": "error: error reading --template /nope, open /nope: no such file or directory",
    "get pods -o nope": (
        'error: unable to match a printer suitable for the output format "nope", allowed formats are: custom-columns,'
        "custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,"
        "templatefile,wide,yaml"
    ),
    "get pods --sort-by=.nope": 'error: couldn\'t find any field with path "{.nope}" in the list of objects',
    "get pods --subresource=status": "error: subresource cannot be used when bulk resources are specified",
    "get pods --show-labels -o json": "error: --show-labels option cannot be used with json printer",
    "get pods --output-watch-events": (
        "error: --output-watch-events option can only be used with --watch or --watch-only"
    ),
    "get pods --raw=/api": "error: arguments may not be passed when --raw is specified",
    "get --raw=api": 'error: --raw must be a valid URL path: parse "api": invalid URI for request',
    "get --raw=/api -o json": "error: --raw and --output are mutually exclusive",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused(shell: Shell, line: str) -> None:
    typed = shell(*line.split(" "))
    assert (typed.code, typed.stdout, typed.stderr) == (1, "", f"{REFUSED[line]}\n")


def test_raw_lists(shell: Shell) -> None:
    listed = json.loads(shell("get", "--raw=/api/v1/namespaces/default/pods?limit=2").stdout)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["db", "web-10"]
    assert listed["kind"] == "PodList"
    assert listed["metadata"]["remainingItemCount"] == 1
    one = json.loads(shell("get", "--raw=/api/v1/namespaces/default/pods/db").stdout)
    assert (one["kind"], one["metadata"]["name"]) == ("Pod", "db")
    assert json.loads(shell("get", "--raw=/api/v1/namespaces").stdout)["kind"] == "NamespaceList"


def test_columns_from_a_file(shell: Shell, tmp_path: Any) -> None:
    file = tmp_path / "columns"
    file.write_text("NAME          ID\n{metadata.name} metadata.uid\n")
    assert shell("get", "pod", "db", f"-o=custom-columns-file={file}").stdout == "NAME   ID\ndb     u-db\n"


def test_the_scale_of_a_controller(shell: Shell) -> None:
    shell.add(
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: web, namespace: default}\n"
        "spec: {replicas: 3, selector: {app: web}}\nstatus: {replicas: 2}\n"
    )
    shown = shell("get", "rc", "web", "--subresource=scale")
    assert shown.stdout.splitlines()[0] == "NAME   DESIRED   AVAILABLE   AGE"
    assert shown.stdout.splitlines()[1].split()[:3] == ["web", "3", "2"]
    assert shell("get", "rc", "web", "--subresource=scale", "-o", "jsonpath={.kind}").stdout == "Scale"


def test_natural_order() -> None:
    shuffled = ["a10", "b", "a01", "a-1", "a2", "ab", "a1"]
    assert sorted(shuffled, key=natural) == ["a-1", "a1", "a01", "a2", "a10", "ab", "b"]


def test_write_commands_take_templates(shell: Shell) -> None:
    line = ("run", "x", "--image=y", "--dry-run=client")
    assert shell(*line, "--template={{.metadata.name}}").stdout == "x"
    assert shell(*line, "-o", "go-template", "--template={{.kind}}").stdout == "Pod"
    strict = shell(*line, "-o", "jsonpath={.foo}", "--allow-missing-template-keys=false")
    assert (strict.code, strict.stdout) == (1, "")
    assert "foo is not found" in strict.stderr
    made = shell("run", "x", "--image=y", "--dry-run=client", "-o", "jsonpath={.spec.containers[0].image}")
    assert (made.code, made.stdout) == (0, "y")
