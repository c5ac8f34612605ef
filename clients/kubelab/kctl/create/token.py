"""``kctl create token``: asks for a token of a service account and prints it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from kubelab.kctl.command import Command, only_name
from kubelab.kctl.commonflags import OUTPUT
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Failed, Session

BOUND_KINDS = ("Node", "Pod", "Secret")


@dataclass(frozen=True, slots=True)
class TokenOptions:
    output: str
    audience: tuple[str, ...]
    bound_object_kind: str
    bound_object_name: str
    bound_object_uid: str
    duration: float


def _create_token(session: Session, args: tuple[str, ...], options: TokenOptions) -> int:
    from kubelab.api.authentication.v1 import authentication_pb2
    from kubelab.apimachinery.errors import ApiError
    from kubelab.kctl.failures import is_unreachable
    from kubelab.kctl.printers import ResultPrinter

    name = only_name(session, args)
    _check(options)
    request = authentication_pb2.TokenRequest()
    request.spec.audiences.extend(options.audience)
    if options.duration:
        request.spec.expirationSeconds = int(options.duration)
    if options.bound_object_kind:
        bound = request.spec.boundObjectRef
        bound.kind, bound.apiVersion = options.bound_object_kind, "v1"
        bound.name, bound.uid = options.bound_object_name, options.bound_object_uid
    printer = ResultPrinter.of(options.output, "none") if options.output else None
    try:
        made = session.run(lambda client: client.create_token(name, session.namespace, request))
    except ApiError as err:
        if is_unreachable(err):
            raise
        raise Failed(f"error: failed to create token: {err.message}") from err
    if not made.status.token:
        raise Failed("error: failed to create token: no token in server response")
    if printer is None:
        print(made.status.token)
        return 0
    from kubelab.apimachinery.manifest import encode

    document = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", **encode.message_to_dict(made)}
    sys.stdout.write(printer.show_document(document, f"tokenrequest.authentication.k8s.io/{name}", "created"))
    return 0


def _check(options: TokenOptions) -> None:
    """Raise Failed in kubectl's words for flags that do not belong together."""
    if options.duration < 0:
        raise Failed("error: --duration must be greater than or equal to 0")
    if options.duration % 1:
        raise Failed("error: --duration cannot be expressed in units less than seconds")
    if not options.bound_object_kind:
        for flag, value in (("name", options.bound_object_name), ("uid", options.bound_object_uid)):
            if value:
                raise Failed(f"error: --bound-object-{flag} can only be set if --bound-object-kind is provided")
        return
    if options.bound_object_kind not in BOUND_KINDS:
        raise Failed(f"error: supported --bound-object-kind values are {', '.join(BOUND_KINDS)}")
    if not options.bound_object_name:
        raise Failed("error: --bound-object-name is required if --bound-object-kind is provided")


TOKEN = Command(
    "token",
    run=_create_token,
    options=TokenOptions,
    flags=(
        OUTPUT,
        Flag(
            "--audience",
            kind="list",
            help="Audience of the requested token. If unset, defaults to requesting a token for use with the "
            "Kubernetes API server. May be repeated to request a token valid for multiple audiences.",
        ),
        Flag(
            "--bound-object-kind",
            help="Kind of an object to bind the token to. Supported kinds are Node, Pod, Secret. If set, "
            "--bound-object-name must be provided.",
        ),
        Flag(
            "--bound-object-name",
            help="Name of an object to bind the token to. The token will expire when the object is deleted. Requires "
            "--bound-object-kind.",
        ),
        Flag(
            "--bound-object-uid",
            help="UID of an object to bind the token to. Requires --bound-object-kind and --bound-object-name. If "
            "unset, the UID of the existing object is used.",
        ),
        Flag(
            "--duration",
            kind="duration",
            default=0.0,
            help="Requested lifetime of the issued token. If not set or if set to 0, the lifetime will be determined "
            "by the server automatically. The server may return a token with a longer or shorter lifetime.",
        ),
    ),
    about="Request a service account token.",
    examples="""\
# Request a token to authenticate to the kube-apiserver as the service account "myapp" in the current namespace
kctl create token myapp

# Request a token for a service account in a custom namespace
kctl create token myapp --namespace myns

# Request a token with a custom expiration
kctl create token myapp --duration 10m

# Request a token with a custom audience
kctl create token myapp --audience https://example.com

# Request a token bound to an instance of a Secret object
kctl create token myapp --bound-object-kind Secret --bound-object-name mysecret

# Request a token bound to an instance of a Secret object with a specific UID
kctl create token myapp --bound-object-kind Secret --bound-object-name mysecret --bound-object-uid \
0d4691ed-659b-4935-a832-355f77ee47cc""",
    usage="kctl create token SERVICE_ACCOUNT_NAME",
)
