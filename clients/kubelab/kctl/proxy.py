"""``kctl proxy``: serves the api-server's REST interface on this machine, with the credentials of the kubeconfig.

What may come in is filtered as kubectl filters it: by host, path and method.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubelab.kctl.command import Command, unexpected
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.session import Failed, Session

if TYPE_CHECKING:
    from kubelab.kctl.httpproxy import Filter

HOSTS = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$"
REJECTED_PATHS = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"
REJECTED_METHODS = "^$"


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    accept_hosts: str
    accept_paths: str
    address: str
    api_prefix: str
    append_server_path: bool
    disable_filter: bool
    keepalive: float
    port: int
    reject_methods: str
    reject_paths: str
    unix_socket: str
    www: str
    www_prefix: str


def _proxy(session: Session, args: tuple[str, ...], options: ProxyOptions) -> int:
    unexpected(session, args)
    if session.line.changed("port") and options.unix_socket:
        raise UsageProblem("cannot set --unix-socket and --port at the same time")
    if options.www and not Path(options.www).is_dir():
        print(f"W: --www {options.www}: no such directory", flush=True)
    filtered = _filter(options)
    asyncio.run(_run(session, options, filtered))
    return 0


def _filter(options: ProxyOptions) -> Filter | None:
    """Compile the expressions; None where nothing is filtered."""
    from kubelab.kctl.httpproxy import Filter

    if options.disable_filter:
        if not options.unix_socket:
            message = "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious"
            print(message, file=sys.stderr)
        return None
    return Filter(
        accept_hosts=_patterns("accept-hosts", options.accept_hosts),
        accept_paths=_patterns("accept-paths", options.accept_paths),
        reject_paths=_patterns("reject-paths", options.reject_paths),
        reject_methods=_patterns("reject-methods", options.reject_methods),
    )


def _patterns(flag: str, text: str) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(part) for part in text.split(","))
    except re.error as err:
        raise UsageProblem(f"--{flag}: error parsing regexp: {err}") from None


async def _run(session: Session, options: ProxyOptions, filtered: Filter | None) -> None:
    from kubelab.kctl.httpproxy import HTTPProxy, Upstream, serving

    proxy = HTTPProxy(
        Upstream.of(session.server, session.access),
        filtered,
        prefix=_prefix(options.api_prefix),
        static=(_prefix(options.www_prefix), Path(options.www)) if options.www else None,
    )
    listener = _listen(options)
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in a main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
    try:
        async with serving(listener, proxy):
            print(f"Starting to serve on {_where(listener)}", flush=True)
            await stopped.wait()
    finally:
        _close(listener, options.unix_socket)


def _prefix(text: str) -> str:
    """``/static/``; ``/`` for all there is."""
    inner = text.strip("/")
    return f"/{inner}/" if inner else "/"


def _listen(options: ProxyOptions) -> socket.socket:
    """Listen on a port or a unix socket. Failed, in Go's words."""
    try:
        if options.unix_socket:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.bind(options.unix_socket)
            sock.listen()
        else:
            family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
            sock = socket.create_server((options.address, options.port), family=family)
    except (OSError, OverflowError) as err:
        where = options.unix_socket or f"{options.address}:{options.port}"
        network = "unix" if options.unix_socket else "tcp"
        reason = (err.strerror or str(err)).lower() if isinstance(err, OSError) else "invalid port"
        raise Failed(f"error: listen {network} {where}: bind: {reason}") from err
    sock.setblocking(False)
    return sock


def _close(listener: socket.socket, path: str) -> None:
    listener.close()
    if path:
        Path(path).unlink(missing_ok=True)


def _where(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return name
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


PROXY = Command(
    "proxy",
    run=_proxy,
    options=ProxyOptions,
    flags=(
        Flag("--accept-hosts", default=HOSTS, help="Regular expression for hosts that the proxy should accept."),
        Flag("--accept-paths", default="^.*", help="Regular expression for paths that the proxy should accept."),
        Flag("--address", default="127.0.0.1", help="The IP address on which to serve on."),
        Flag("--api-prefix", default="/", help="Prefix to serve the proxied API under."),
        Flag(
            "--append-server-path",
            kind="bool",
            help="If true, enables automatic path appending of the kube context server path to each request.",
        ),
        Flag(
            "--disable-filter",
            kind="bool",
            help="If true, disable request filtering in the proxy. This is dangerous, and can leave you vulnerable to "
            "XSRF attacks, when used with an accessible port.",
        ),
        Flag(
            "--keepalive",
            kind="duration",
            help="keepalive specifies the keep-alive period for an active network connection. Set to 0 to disable "
            "keepalive.",
        ),
        Flag(
            "--port",
            "-p",
            kind="int",
            default=8001,
            help="The port on which to run the proxy. Set to 0 to pick a random port.",
        ),
        Flag(
            "--reject-methods",
            default=REJECTED_METHODS,
            help="Regular expression for HTTP methods that the proxy should reject (example "
            "--reject-methods='POST,PUT,PATCH').",
        ),
        Flag(
            "--reject-paths",
            default=REJECTED_PATHS,
            help="Regular expression for paths that the proxy should reject. Paths specified here will be rejected "
            "even accepted by --accept-paths.",
        ),
        Flag("--unix-socket", "-u", help="Unix socket on which to run the proxy."),
        Flag(
            "--www",
            "-w",
            help="Also serve static files from the given directory under the specified prefix.",
        ),
        Flag(
            "--www-prefix",
            "-P",
            default="/static/",
            help="Prefix to serve static files under, if static file directory is specified.",
        ),
    ),
    about="Creates a proxy server or application-level gateway between localhost and the Kubernetes API server. It "
    "also allows serving static content over specified HTTP path. All incoming data enters through one port and gets "
    "forwarded to the remote Kubernetes API server port, except for the path matching the static content path.",
    examples="""\
# To proxy all of the Kubernetes API and nothing else
kctl proxy --api-prefix=/

# To proxy only part of the Kubernetes API and also some static files
# You can get pods info with 'curl localhost:8001/api/v1/pods'
kctl proxy --www=/my/files --www-prefix=/static/ --api-prefix=/api/

# To proxy the entire Kubernetes API at a different root
# You can get pods info with 'curl localhost:8001/custom/api/v1/pods'
kctl proxy --api-prefix=/custom/

# Run a proxy to the Kubernetes API server on port 8011, serving static content from ./local/www/
kctl proxy --port=8011 --www=./local/www/

# Run a proxy to the Kubernetes API server on an arbitrary local port
# The chosen port for the server will be output to stdout
kctl proxy --port=0""",
    usage="kctl proxy [--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix] [options]",
)
