"""Configuration: defaults, then the file, then flags; whatever is wrong is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from kubelab.component.config import TLS, BaseConfig, ConfigError, HelpShown, duration, load


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
    parallelism: int = 16
    pod_cidr: str = field(default="10.244.0.0/16", metadata={"yaml": "podCIDR"})
    election: Election = field(default_factory=Election)
    etcd: tuple[str, ...] = ()
    plugins: tuple[Weight, ...] = ()
    labels: dict[str, str] = field(default_factory=dict[str, str])
    mode: Literal["nft", "user"] = "nft"

    def __post_init__(self) -> None:
        if self.parallelism < 1:
            raise ValueError("parallelism: must be greater than zero")


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
        ("parallelism: 0", ["c.yaml: parallelism: must be greater than zero"]),
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
        (["--parallelism", "many"], "command line: --parallelism: got 'many', expected integer"),
        (["--election-lease-duration=soon"], "--election-lease-duration: got 'soon', expected number"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag"),
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
    assert "--election-lease-duration" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("500ms", 0.5), ("1m30s", 90.0), ("1h", 3600.0), ("", None), ("5x", None), ("m", None), ("1m3", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds
