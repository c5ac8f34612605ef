"""The session of a command: the kubeconfig, the client, standard input and the clock."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kubelab.apimachinery import durations
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.terminal import escaped
from kubelab.client.kubeconfig import (
    DEFAULT_NAMESPACE,
    Access,
    Kubeconfig,
    KubeconfigMissing,
    impersonation_headers,
    servers_of,
)
from kubelab.client.loadingrules import LoadingRules
from kubelab.kctl.flags import CommandLine, UsageProblem

if TYPE_CHECKING:
    from kubelab.client.client import Client

R = TypeVar("R")
CALLER = "kctl"
CLUSTER = "KUBELAB_CLUSTER"  # names the cluster for kctl and kubelab alike


LOG_FILES = 6  # the level of -v from which on files and calls are shown


class Failed(Exception):
    """The command failed; the message is printed as it is."""


def connect(access: Access, clock: Clock) -> Client:
    """Make the real client; its import is most of what a command weighs."""
    from kubelab.client.client import Client

    return Client.from_kubeconfig(access, caller=CALLER, clock=clock)


def _standard_input() -> bytes:
    """Read standard input; only commands that do so import what reads manifests."""
    from kubelab.apimachinery.manifest.read import standard_input

    return standard_input()


@dataclass(frozen=True, slots=True)
class Factory:
    """Makes what a command works with; tests replace its fields (kubectl's ``cmdutil.Factory``)."""

    connect: Callable[[Access, Clock], Client] = connect
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = field(default_factory=SystemClock)
    stdin: Callable[[], bytes] = field(default_factory=lambda: _standard_input)
    read_line: Callable[[], str] = field(default_factory=lambda: sys.stdin.readline)  # the answer to a question; blocks


@dataclass(frozen=True, slots=True)
class ConfigFlags:
    """The values of the flags that every command takes (kubectl's ``genericclioptions.ConfigFlags``)."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    request_timeout: str = "0"
    server: str = ""
    tls_server_name: str = ""
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    match_server_version: bool = False
    warnings_as_errors: bool = False
    v: int = 0
    as_user: str = ""
    as_group: tuple[str, ...] = ()
    as_uid: str = ""
    token: str = ""
    username: str = ""
    password: str = ""
    insecure_skip_tls_verify: bool = False
    profile: str = "none"
    profile_output: str = ""
    cache_dir: str = ""
    disable_compression: bool = False
    log_flush_frequency: float = 0.0
    vmodule: str = ""

    def unsupported(self) -> str:
        """Give the first flag that asks for what no call over gRPC can have; "" when there is none."""
        asked = {
            "--username": self.username,
            "--password": self.password,
            "--insecure-skip-tls-verify": self.insecure_skip_tls_verify,
            "--profile": self.profile != "none",
        }
        return next((flag for flag, value in asked.items() if value), "")


class Session:
    """One run of a command. ``namespace`` is where it works; ``namespace_flag`` is the value of ``-n``, "" without."""

    def __init__(self, factory: Factory, config: ConfigFlags, line: CommandLine, command_path: str) -> None:
        self.line, self.command_path = line, command_path  # such as "kctl get"
        self.factory = factory
        self.clock = factory.clock
        self.context = config.context or factory.environ.get(CLUSTER, "")  # "" for the current one
        self.rules = LoadingRules.of(config.kubeconfig, factory.environ)
        self._config, self._server, self._timeout = config, config.server, config.request_timeout
        self.namespace_flag = config.namespace
        self._warned: set[str] = set()

    @cached_property
    def kubeconfig(self) -> Kubeconfig:
        """Read the file. Raises Failed with how to get one when it is missing."""
        try:
            return self.rules.load()
        except KubeconfigMissing as err:
            raise Failed(
                f"error: there is no cluster to talk to: {err}\n"
                "Start one with 'kubelab up', or name a file with --kubeconfig."
            ) from err

    @cached_property
    def access(self) -> Access:
        config = self._config
        if flag := config.unsupported():
            raise UsageProblem(
                f"{flag} is not supported: kctl talks gRPC, authenticates with a client certificate or a token and "
                "checks the server's certificate"
            )
        access = self.kubeconfig.access(self.context, cluster=config.cluster, user=config.user)
        files = {
            field: _read(flag, path)
            for field, flag, path in (
                ("ca", "certificate-authority", config.certificate_authority),
                ("certificate", "client-certificate", config.client_certificate),
                ("key", "client-key", config.client_key),
            )
            if path
        }
        if files:
            access = dataclasses.replace(access, files=None, **files)
        if config.tls_server_name:
            access = dataclasses.replace(access, server_name=config.tls_server_name)
        if config.token:
            access = dataclasses.replace(access, token=config.token)
        if config.as_user or config.as_group or config.as_uid:
            asked = impersonation_headers(config.as_user, config.as_group, config.as_uid)
            access = dataclasses.replace(access, impersonation=asked)
        if self._server:
            access = dataclasses.replace(access, servers=servers_of(self._server))
        return access

    @property
    def servers(self) -> tuple[str, ...]:
        """``host:port`` of every server, once they were needed; for messages."""
        access = self.__dict__.get("access")
        return access.servers if access else ()

    @property
    def server(self) -> str:
        """The server as people write it, ``https://127.0.0.1:6443``."""
        return self._server or self.kubeconfig.server(self.context)

    @property
    def namespace(self) -> str:
        return self.namespace_flag or self.access.namespace

    @property
    def likely_namespace(self) -> str:
        """The namespace for a client-side dry run, which needs no cluster."""
        return self.namespace if self.namespace_flag or self.rules.exist() else DEFAULT_NAMESPACE

    def run(self, work: Callable[[Client], Coroutine[Any, Any, R]], *, endless: bool = False) -> R:
        """Run a command's requests; ``endless`` ones (watch, follow) are not subject to ``--request-timeout``."""
        seconds = None if endless else self.request_seconds()
        access = self.access
        if self._config.v >= LOG_FILES:
            from kubelab.kctl import verbose

            for file in self.rules.files:
                if file.exists():
                    verbose.log(f"Config loaded from file:  {file}", self.clock)

        async def body() -> R:
            from kubelab.rpc import warnings

            async with self._observed(self.factory.connect(access, self.clock)) as client:
                try:
                    with warnings.listening(self.warn):
                        async with self.clock.timeout(seconds):
                            if self._config.match_server_version:
                                await _check_version(client)
                            return await work(client)
                except TimeoutError as err:
                    raise Failed("Unable to connect to the server: request timed out") from err

        return asyncio.run(body())

    def _observed(self, client: Client) -> Client:
        """Give the client, with its calls shown where ``-v`` asks for it."""
        level = self._config.v
        if level < LOG_FILES:
            return client
        from kubelab.kctl.verbose import LoggedTransport

        return client.through(lambda transport: LoggedTransport(transport, level, self.clock))

    def exit_code(self, code: int) -> int:
        """Give a command's exit code: with ``--warnings-as-errors`` a warning makes it a failure."""
        count = len(self._warned) if self._config.warnings_as_errors else 0
        if count and not code:
            print(f"error: {count} warning{'s' if count > 1 else ''} received", file=sys.stderr)
        return code or int(count > 0)

    def warn(self, text: str) -> None:
        """Print a warning such as the server sends, each text once."""
        if text not in self._warned:
            self._warned.add(text)
            print(f"Warning: {escaped(text)}", file=sys.stderr)

    def request_seconds(self) -> float | None:
        """Read ``--request-timeout``; None for no limit. Raises UsageProblem."""
        text = f"{self._timeout}s" if self._timeout.isdigit() else self._timeout
        try:
            return durations.parse(text) or None
        except ValueError as err:
            raise UsageProblem(
                "Invalid timeout value. Timeout must be a single integer in seconds, or an integer "
                "followed by a corresponding time unit (e.g. 1s | 2m | 3h)"
            ) from err


async def _check_version(client: Client) -> None:
    from kubelab.apimachinery.version import GIT_VERSION

    served = (await client.server_version()).git_version
    if served != GIT_VERSION:
        raise Failed(f"error: server version ({served}) differs from client version ({GIT_VERSION})!")


def _read(flag: str, path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as err:
        raise UsageProblem(f"unable to read {flag} {path}: {(err.strerror or '').lower()}") from err
