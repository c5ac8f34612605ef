"""Which subresources are streams, and who answers for each."""

from __future__ import annotations

from kubelab.apimachinery.clock import Clock
from kubelab.apiserver.endpoints.podcommands import PodCommands
from kubelab.apiserver.endpoints.portforward import PodPortForwards
from kubelab.apiserver.endpoints.proxying import Proxies
from kubelab.apiserver.httpfront.routes import Routes
from kubelab.apiserver.httpfront.streams.commands import CommandStreams
from kubelab.apiserver.httpfront.streams.portforward import PortForwardStreams
from kubelab.apiserver.httpfront.streams.proxy import ProxyStreams


def register(routes: Routes, forwards: PodPortForwards, proxies: Proxies, commands: PodCommands, clock: Clock) -> None:
    """Register all of them."""
    routes.add_stream("", "pods", "portforward", PortForwardStreams(forwards, clock))
    proxy = ProxyStreams(proxies, clock)
    for plural in ("pods", "services"):
        routes.add_stream("", plural, "proxy", proxy)
    routes.add_stream("", "nodes", "proxy", proxy.node)
    streams = CommandStreams(commands, clock)
    routes.add_stream("", "pods", "exec", streams.exec)
    routes.add_stream("", "pods", "attach", streams.attach)
