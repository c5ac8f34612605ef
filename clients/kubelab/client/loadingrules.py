"""Choose the kubeconfig files to read, and the one to change, by kubectl's rules.

``--kubeconfig`` names one file. Else ``$KUBECONFIG`` names one or several, separated by ``:``. Else it is
``~/.kube/config``. Several files are merged: the first one that has an entry, or a current context, wins. A change goes
to the file that holds the entry; a new entry goes to the first file that exists.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#merging-kubeconfig-files
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.apimachinery.backoff import jittered
from kubelab.client.kubeconfig import (
    DEFAULT_NAMESPACE,
    SECTIONS,
    Kubeconfig,
    KubeconfigError,
    KubeconfigMissing,
    give_to_invoker,
)

ENVIRONMENT = "KUBECONFIG"
LOCK_TRIES = 20
LOCK_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class LoadingRules:
    """Files in the order of their precedence. ``explicit`` ones must exist."""

    files: tuple[Path, ...]
    explicit: bool = False

    @classmethod
    def of(cls, flag: str | Path = "", environ: Mapping[str, str] = os.environ) -> LoadingRules:
        """Apply kubectl's rules to a ``--kubeconfig`` flag and an environment."""
        if flag:
            return cls((_expanded(str(flag), environ),), explicit=True)
        named = [part for part in environ.get(ENVIRONMENT, "").split(os.pathsep) if part]
        if named:
            return cls(tuple(dict.fromkeys(_expanded(part, environ) for part in named)))
        return cls((_expanded("~/.kube/config", environ),))

    @property
    def default_file(self) -> Path:
        """The file that new entries go to: the first that exists, else the last one that is named."""
        return next((file for file in self.files if file.exists()), self.files[-1])

    def exist(self) -> bool:
        """Say whether any of the files exists."""
        return any(file.exists() for file in self.files)

    def load(self) -> Kubeconfig:
        """Merge the files. Raises KubeconfigMissing when there is none, KubeconfigError for one that cannot be read."""
        configs = [config for _, config in self._read()]
        if not configs:
            raise KubeconfigMissing(f"{os.pathsep.join(map(str, self.files))}: no such file")
        return configs[0] if len(configs) == 1 else _merged(configs)

    def load_or_new(self) -> Kubeconfig:
        """The same; an empty kubeconfig when there is no file."""
        try:
            return self.load()
        except KubeconfigMissing:
            return Kubeconfig(path=self.default_file)

    def set_cluster(
        self,
        name: str,
        *,
        server: str,
        ca: bytes,
        certificate: bytes,
        key: bytes,
        https: str = "",
        namespace: str = DEFAULT_NAMESPACE,
        make_current: bool = True,
    ) -> None:
        """Add or replace cluster, user and context of one name, as :meth:`Kubeconfig.set_cluster` does.

        What other files say of this name is taken away, so that no older entry hides the new one.
        """

        def change(config: Kubeconfig) -> None:
            config.set_cluster(
                name,
                server=server,
                ca=ca,
                certificate=certificate,
                key=key,
                https=https,
                namespace=namespace,
                make_current=make_current,
            )

        target = self.default_file
        for file, config in self._read():
            if file != target and config.has_cluster(name):
                _edit(file, lambda edited: edited.remove_cluster(name))
        _edit(target, change)

    def remove_cluster(self, name: str) -> None:
        """Take away what :meth:`set_cluster` added, from every file. What is not there is no error."""
        for file, config in self._read():
            if config.has_cluster(name) or config.current_context == name:
                _edit(file, lambda edited: edited.remove_cluster(name))

    def use_context(self, name: str) -> None:
        """Make a context the current one; "" for none. KubeconfigError when there is no such context."""
        if name:
            self.load().use_context(name)  # it may stand in another file than the one that is written
            _edit(self.default_file, lambda edited: edited.use_context(name, in_other_file=True))
            return
        for file, config in self._read():
            if config.current_context:
                _edit(file, lambda edited: edited.use_context(""))

    def file_of(self, section: str, name: str) -> Path | None:
        """Give the file whose entry of this name counts; None when no file has one."""
        return next((file for file, config in self._existing() if config.entry(section, name) is not None), None)

    def edit_entry(self, section: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the entry that counts, where it stands; a new one goes to :attr:`default_file`."""

        def edit(config: Kubeconfig) -> None:
            body = copy.deepcopy(config.entry(section, name) or {})
            change(body)
            config.put_entry(section, name, body)

        _edit(self.file_of(section, name) or self.default_file, edit)

    def remove_entry(self, section: str, name: str) -> None:
        """Take the entry that counts away."""
        file = self.file_of(section, name)
        if file is not None:
            _edit(file, lambda edited: edited.remove_entry(section, name))

    def edit(self, change: Callable[[Kubeconfig], None], *, every: bool = False) -> None:
        """Change :attr:`default_file`; with ``every`` all files that exist instead."""
        files = [file for file, _ in self._existing()] if every else []
        for file in files or [self.default_file]:
            _edit(file, change)

    def _existing(self) -> list[tuple[Path, Kubeconfig]]:
        """Read the files that exist; also an explicit one need not, where it is to be written."""
        return self._read() if self.exist() else []

    def _read(self) -> list[tuple[Path, Kubeconfig]]:
        configs: list[tuple[Path, Kubeconfig]] = []
        for file in self.files:
            with contextlib.ExitStack() as stack:
                if not self.explicit:
                    stack.enter_context(contextlib.suppress(KubeconfigMissing))
                configs.append((file, Kubeconfig.load(file)))
        return configs


def _expanded(text: str, environ: Mapping[str, str]) -> Path:
    if text == "~" or text.startswith("~/"):
        home = environ.get("HOME") or str(Path.home())
        return Path(home) / text[2:]
    return Path(text).absolute()


def _merged(configs: list[Kubeconfig]) -> Kubeconfig:
    """One document of several; the first entry of a name wins. Relative paths become absolute: each has its folder."""
    document: dict[str, Any] = {}
    entries: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for config in configs:
        for section in SECTIONS:
            for entry in config.absolute_entries(section):
                entries[section].setdefault(entry["name"], entry)
        for key, value in config.document.items():
            if value and not document.get(key):
                document[key] = value
    document |= {section: list(by_name.values()) for section, by_name in entries.items()}
    document.setdefault("current-context", "")
    return Kubeconfig(document, configs[0].path)


def _edit(file: Path, change: Callable[[Kubeconfig], None]) -> None:
    """Change one file under its lock. A file that has no entries left is removed."""
    target = Path(os.path.realpath(file))  # a link stays a link
    if not target.parent.exists():
        target.parent.mkdir(parents=True, mode=0o755)
        give_to_invoker(target.parent)
    with _locked(target):
        try:
            config = Kubeconfig.load(target)
        except KubeconfigMissing:
            config = Kubeconfig(path=target)
        change(config)
        if config.document == Kubeconfig().document:
            target.unlink(missing_ok=True)
        else:
            config.write(target)


@contextlib.contextmanager
def _locked(file: Path) -> Generator[None]:
    """Hold kubectl's lock, ``FILE.lock``, which is the file's existence. KubeconfigError when another one holds it."""
    lock = file.with_name(f"{file.name}.lock")
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            break
        except FileExistsError as err:
            if not tries_left:
                message = f"{file}: another program is changing it; if none is, remove {lock}"
                raise KubeconfigError(message) from err
            threading.Event().wait(jittered(LOCK_PAUSE_SECONDS))
        except OSError as err:
            raise KubeconfigError(f"{lock}: {err.strerror}") from err
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
