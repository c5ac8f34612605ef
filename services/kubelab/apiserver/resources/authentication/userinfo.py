"""A user as the API shows it."""

from __future__ import annotations

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.auth.users import User


def user_info(user: User) -> authentication_pb2.UserInfo:
    """Give name, uid, groups and extra values."""
    info = authentication_pb2.UserInfo(username=user.name, uid=user.uid, groups=sorted(user.groups))
    for key, values in user.extra:
        info.extra[key].items.extend(values)
    return info
