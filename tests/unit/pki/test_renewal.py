"""Certificates of a cluster that runs for years."""

from __future__ import annotations

import asyncio
import datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from structlog.testing import CapturingLogger

from kubelab.pki import certificates, renewal
from kubelab.topology.record import Record
from tests.support.clock import FakeClock
from tests.support.polling import until_true

DAY = 86_400.0


def now(clock: FakeClock) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.time(), datetime.UTC)


def end_of(record: Record, name: str) -> datetime.datetime:
    return x509.load_pem_x509_certificate((record.pki / f"{name}.crt").read_bytes()).not_valid_after_utc


async def asleep(clock: FakeClock) -> None:
    """Wait for the thread that reads and writes files."""
    await until_true(lambda: clock.next_at is not None, within=30)


async def test_certificates_are_renewed_in_time_while_the_cluster_runs(tmp_path: Path) -> None:
    clock, record = FakeClock(), Record.new(tmp_path, "lab", 2)
    certificates.ensure(record.pki, record.nodes, now(clock))
    first, authority = end_of(record, "admin"), end_of(record, "ca")
    log: Any = CapturingLogger()
    task = asyncio.create_task(renewal.keep(partial(certificates.renew, record.pki, record.nodes), clock, log))
    try:
        for _ in range(11 * 30):  # eleven months
            await asleep(clock)
            await clock.advance(DAY)
            assert end_of(record, "admin") > now(clock)
        await asleep(clock)
        assert [call.args for call in log.calls] == [("certificates renewed",)]
        assert all(end_of(record, path.stem) > first for path in record.pki.glob("*.crt"))
        assert end_of(record, "ca") == authority
    finally:
        task.cancel()


async def test_a_date_that_is_set_forward_is_noticed_within_a_day_and_a_full_disk_is_survived(tmp_path: Path) -> None:
    clock, record = FakeClock(), Record.new(tmp_path, "lab", 2)
    certificates.ensure(record.pki, record.nodes, now(clock))
    first, key = end_of(record, "admin"), record.pki / "ca.key"
    key.rename(aside := tmp_path / "aside")
    log: Any = CapturingLogger()
    task = asyncio.create_task(renewal.keep(partial(certificates.renew, record.pki, record.nodes), clock, log))
    try:
        await asleep(clock)
        assert log.calls[0].args == ("certificates cannot be renewed",)
        aside.rename(key)
        clock._wall += 330 * DAY
        await clock.advance(DAY)
        await asleep(clock)
        assert end_of(record, "admin") > first
    finally:
        task.cancel()
