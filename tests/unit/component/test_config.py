"""Configuration: defaults, then the file, then flags; whatever is wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest

from kubelab.apiserver.config import ApiServerConfig
from kubelab.component.config import TLS, BaseConfig, ConfigError, Duration, HelpShown, Range, load
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubeproxy.config import ProxyConfig
from kubelab.nodeagent.config import NodeAgentConfig
from kubelab.runtime.config import RuntimeConfig
from kubelab.scheduler.config import SchedulerConfig
from kubelab.tunnels.config import TunnelsConfig


@dataclass(kw_only=True)
class Election:
    enabled: bool = True
    lease_duration: float = 15.0


@dataclass(kw_only=True)
class Weight:
    plugin: str
    weight: int = 1


@dataclass(kw_only=True)
class Config(BaseConfig):
    bind_address: str = "0.0.0.0:10259"
    parallelism: Annotated[int, Range(1, 100)] = 16
    pause: Duration = 1.0
    pod_cidr: str = field(default="10.244.0.0/16", metadata={"yaml": "podCIDR"})
    election: Election = field(default_factory=Election)
    etcd: tuple[str, ...] = ()
    plugins: tuple[Weight, ...] = ()
    labels: dict[str, str] = field(default_factory=dict[str, str])
    mode: Literal["nft", "user"] = "nft"

    def __post_init__(self) -> None:
        if self.parallelism == 13:
            raise ValueError("parallelism: must not be unlucky")


def read(tmp_path: Path, text: str, *flags: str) -> Config:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return load(Config, ["--config", str(file), *flags], prog="test")


def test_nothing_given_is_all_defaults() -> None:
    assert load(Config, [], prog="test") == Config()


def test_the_file_wins_over_defaults_and_flags_over_the_file(tmp_path: Path) -> None:
    text = """
        name: scheduler@cp-1
        parallelism: 4
        podCIDR: 10.0.0.0/8
        election: {leaseDuration: 1m30s}
        etcd: [a:1, b:2]
        plugins: [{plugin: fit, weight: 2}, {plugin: spread}]
        labels: {zone: west}
        tls: {ca: ca.crt, certificate: a.crt, key: a.key}
        """
    flags = ("--parallelism", "8", "--election-enabled=false", "--etcd", "c:3,d:4", "--mode", "user")
    got = read(tmp_path, text, *flags)
    assert got == Config(
        name="scheduler@cp-1",
        parallelism=8,
        pod_cidr="10.0.0.0/8",
        election=Election(enabled=False, lease_duration=90.0),
        etcd=("c:3", "d:4"),
        plugins=(Weight(plugin="fit", weight=2), Weight(plugin="spread")),
        labels={"zone": "west"},
        mode="user",
        tls=TLS(ca=Path("ca.crt"), certificate=Path("a.crt"), key=Path("a.key")),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paralelism: 4", ["c.yaml: unknown key 'paralelism'", "parallelism"]),
        ("parallelism: many", ["c.yaml: parallelism: got 'many', expected integer"]),
        ("parallelism: true", ["parallelism: got True, expected integer"]),
        ("election: {leaseDuration: soon}", ["c.yaml: election.leaseDuration: got 'soon', expected number"]),
        ("election: {leese: 1}", ["unknown key 'election.leese'"]),
        ("election: 5", ["election: got 5, expected a mapping"]),
        ("etcd: a:1", ["etcd: got 'a:1', expected list of text"]),
        ("etcd: [1]", ["etcd[0]: got 1, expected text"]),
        ("plugins: [{weight: 1}]", ["plugins[0].plugin: required value, expected text"]),
        ("mode: magic", ["mode: got 'magic', expected nft | user"]),
        ("tls: {ca: ca.crt}", ["tls.certificate: required value, expected file"]),
        ("[1, 2]", ["c.yaml: expected a mapping of keys to values"]),
        ("a: [", ["c.yaml: while parsing"]),
        ("parallelism: 13", ["c.yaml: parallelism: must not be unlucky"]),
        ("parallelism: 0", ["c.yaml: parallelism: got 0, expected integer from 1 to 100"]),
        ("parallelism: 101", ["c.yaml: parallelism: got 101, expected integer from 1 to 100"]),
        ("pause: -4", ["c.yaml: pause: got -4, expected number from 0 to 604800"]),
        ("pause: -4s", ["c.yaml: pause: got '-4s', expected number from 0 to 604800"]),
        ("pause: .nan", ["c.yaml: pause: got nan, expected number from 0 to 604800"]),
        ("pause: nan", ["c.yaml: pause: got 'nan', expected number from 0 to 604800"]),
        ("pause: .inf", ["c.yaml: pause: got inf, expected number from 0 to 604800"]),
        ("pause: inf", ["c.yaml: pause: got 'inf', expected number from 0 to 604800"]),
        ("pause: '5_0'", ["c.yaml: pause: got '5_0', expected number from 0 to 604800"]),
        ("pause: 8d", ["c.yaml: pause: got '8d', expected number from 0 to 604800"]),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--parallelism", "many"], "command line: --parallelism: got 'many', expected integer from 1 to 100"),
        (["--election-lease-duration=soon"], "--election-lease-duration: got 'soon', expected number"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (["--plugins=x"], "unrecognized arguments: --plugins=x"),  # mappings are the file's alone
        (["--config", "/nowhere/c.yaml"], "/nowhere/c.yaml: No such file or directory"),
        (["--tls-ca", "ca.crt"], "tls.certificate: required value"),
    ],
)
def test_a_mistake_in_a_flag_is_named(flags: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Config, flags, prog="test")
    assert says in str(caught.value)


def test_help_is_shown_and_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HelpShown):
        load(Config, ["--help"], prog="kube-thing")
    shown = capsys.readouterr().out
    assert "--election-lease-duration" in shown
    assert "--plugins" not in shown


COMPONENTS: list[type[BaseConfig]] = [
    ApiServerConfig,
    ControllerManagerConfig,
    KubeletConfig,
    NodeAgentConfig,
    ProxyConfig,
    RuntimeConfig,
    SchedulerConfig,
    TunnelsConfig,
]


def settings(kind: type[Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting below a configuration, with its type."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        inner = next((h for h in (hint, *get_args(hint)) if is_dataclass(h)), None)
        if isinstance(inner, type):
            yield from settings(inner, f"{above}{name}.")
        else:
            yield f"{above}{name}", hint


def defaults(value: Any, path: list[str]) -> Iterator[Any]:
    """Every value at a path; of a list, those of all its items."""
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from defaults(item, path)
    elif path:
        yield from defaults(getattr(value, path[0]), path[1:])
    else:
        yield value


@pytest.mark.parametrize("kind", COMPONENTS, ids=lambda kind: kind.__name__)
def test_every_number_has_a_range_and_its_default_is_in_it(kind: type[BaseConfig]) -> None:
    numbers = {name: hint for name, hint in settings(kind) if hint in (int, float)}
    assert not numbers
    default = load(kind, [], prog="test") if kind not in (NodeAgentConfig, TunnelsConfig) else None
    for name, hint in settings(kind):
        if get_origin(hint) is Annotated and default is not None:
            for value in defaults(default, name.split(".")):
                assert value in get_args(hint)[1], name
