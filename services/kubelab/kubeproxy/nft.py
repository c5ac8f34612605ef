"""Run ``nft`` with one transaction; a failure raises nft's own message."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

from kubelab.apimachinery.clock import Clock
from kubelab.linux.nftables import Fragment, script


class NftError(Exception):
    """nft refused a transaction; nothing of it was applied."""


class Nft:
    """Applies transactions in the network namespace of this process, one at a time."""

    def __init__(self, clock: Clock, *, deadline: float = 30.0, program: str | None = None) -> None:
        self._clock, self._deadline = clock, deadline
        self._program = program or shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin")
        self._one_at_a_time = asyncio.Lock()

    async def apply(self, transaction: Fragment) -> None:
        """Hand a script to the kernel as one transaction: all of it or nothing (nft(8), ``-f``)."""
        await self._run("-f", "-", stdin=script(transaction))

    async def list_table(self, table: str) -> str:
        """Read a table back, as text; NftError when it is not there."""
        return await self._run("list", "table", *table.split())

    async def _run(self, *arguments: str, stdin: bytes = b"") -> str:
        if self._program is None:
            raise NftError("nft: not found; install the package nftables")
        async with self._one_at_a_time:
            try:
                process = await asyncio.create_subprocess_exec(
                    self._program,
                    *arguments,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
            except OSError as err:  # no process (EAGAIN), memory or descriptor is free just now
                raise NftError(f"nft: {err.strerror}") from err
            try:
                async with self._clock.timeout(self._deadline):
                    out, err = await process.communicate(stdin)
            except TimeoutError:
                raise NftError(f"nft: no answer within {self._deadline:g} s") from None
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
        if process.returncode != 0:
            raise NftError(err.decode(errors="replace").strip() or f"nft: exit code {process.returncode}")
        return out.decode()
