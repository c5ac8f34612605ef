"""``kctl auth whoami``: prints the user that the server takes the caller for."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from kubelab.kctl import tables
from kubelab.kctl.command import Command, unexpected
from kubelab.kctl.commonflags import OUTPUT
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class WhoamiOptions:
    output: str


def _whoami(session: Session, args: tuple[str, ...], options: WhoamiOptions) -> int:
    from kubelab.api.authentication.v1 import authentication_pb2

    unexpected(session, args)
    review = session.run(lambda client: client.create(authentication_pb2.SelfSubjectReview()))
    if options.output:
        sys.stdout.write(ResultPrinter.of(options.output, "none").show(review, ""))
        return 0
    user = review.status.userInfo
    rows = [["ATTRIBUTE", "VALUE"]]
    if user.username:
        rows.append(["Username", user.username])
    if user.uid:
        rows.append(["UID", user.uid])
    if user.groups:
        rows.append(["Groups", f"[{' '.join(user.groups)}]"])
    rows += [[f"Extra: {key}", f"[{' '.join(user.extra[key].items)}]"] for key in sorted(user.extra)]
    sys.stdout.write(tables.render(rows))
    return 0


WHOAMI = Command(
    "whoami",
    run=_whoami,
    options=WhoamiOptions,
    flags=(OUTPUT,),
    about="Experimental: Check who you are and your attributes (groups, extra).\n\n"
    " The server answers with the user of the client certificate that the kubeconfig has.",
    examples="# Get your subject attributes\nkctl auth whoami\n\n"
    "# Get your subject attributes in JSON format\nkctl auth whoami -o json",
    usage="kctl auth whoami",
)
