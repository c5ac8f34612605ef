"""Kinds that a server has and the contract does not: CustomResourceDefinitions add them.

A command asks for them when it meets a word, or a kind in a file, that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kubelab.apimachinery import scheme
from kubelab.kctl.resource import UnknownType
from kubelab.kctl.session import Session

R = TypeVar("R")


def learn(session: Session) -> None:
    """Ask the server for its kinds."""
    scheme.learn(session.run(lambda client: client.server_resources()))


def retried(session: Session, work: Callable[[], R]) -> R:
    """Do something again, with the server's kinds, where it names a type that is not known. UnknownType."""
    try:
        return work()
    except UnknownType:
        if not session.rules.exist():
            raise  # there is no server to ask
        learn(session)
        return work()
