"""etcd's quota: is it reached, and can room be made?

A member whose database has reached its quota raises the alarm NOSPACE. Then no member takes anything new, but reads,
deletions and compaction go on. The database's file does not become smaller by them: the space that compaction freed is
inside it until the member is defragmented, and the alarm stays until it is disarmed
(https://etcd.io/docs/v3.4/op-guide/maintenance/#space-quota).
"""

from __future__ import annotations

import grpc
import structlog
from aetcd import rpc

from kubelab.apiserver.storage.etcdconvert import translate
from kubelab.apiserver.storage.members import Member, Members

log = structlog.get_logger()

DEFRAGMENT_SECONDS = 120.0  # in which a member answers nothing else; some seconds for two gigabytes
_GET, _DISARM, _NOSPACE = 0, 2, 1  # AlarmRequest.AlarmAction, AlarmType


async def full(members: Members) -> bool:
    """Whether a member has raised the alarm."""
    return bool(await _alarms(members))


async def make_room(members: Members) -> bool:
    """Defragment every member, one after the other, and disarm the alarm if one of them became smaller.

    False when none did. A member that does not answer is left as it is. Where the quota is reached all the
    same, the next write raises the alarm again.
    """
    freed = False
    for member in [*members.all]:
        try:
            freed = await _defragment(member, members.timeout) or freed
        except grpc.aio.AioRpcError as err:
            log.warning("cannot defragment etcd", member=member.address, error=translate(err).message)
    if freed:
        for member_id in await _alarms(members):
            request = rpc.AlarmRequest(action=_DISARM, memberID=member_id, alarm=_NOSPACE)
            await members.read(lambda member: member.alarm, request)
    return freed


async def _alarms(members: Members) -> list[int]:
    """The ids of the members that have raised it."""
    answer = await members.read(lambda member: member.alarm, rpc.AlarmRequest(action=_GET, alarm=_NOSPACE))
    return [alarm.memberID for alarm in answer.alarms if alarm.alarm == _NOSPACE]


async def _defragment(member: Member, seconds: float) -> bool:
    # What is free in the file cannot be asked: dbSizeInUse is counted before the pages of the last commit are free.
    before = await member.ask(member.status, rpc.StatusRequest(), seconds)
    await member.ask(member.defragment, rpc.DefragmentRequest(), DEFRAGMENT_SECONDS)
    after = await member.ask(member.status, rpc.StatusRequest(), seconds)
    log.info("defragmented etcd", member=member.address, before=before.dbSize, after=after.dbSize)
    return after.dbSize < before.dbSize
