"""kube-proxy: services, endpoint slices and nodes → informers → one work queue → nftables."""

from __future__ import annotations

import asyncio
import sys

from kubelab.apimachinery.scheme import ENDPOINT_SLICES, NODES, SERVICES
from kubelab.client.informer import Informer
from kubelab.client.workqueue import WorkQueue
from kubelab.component.component import Component
from kubelab.component.environment import Environment
from kubelab.kubeproxy.config import ProxyConfig
from kubelab.kubeproxy.conntrack import Conntrack
from kubelab.kubeproxy.metrics import ProxyMetrics
from kubelab.kubeproxy.nft import Nft
from kubelab.kubeproxy.proxier import Proxier
from kubelab.kubeproxy.rules import Table


async def run(config: ProxyConfig, env: Environment) -> None:
    """Forward services until stopped. The rules stay, so services go on working."""
    async with env.client() as client:
        services = Informer(client, SERVICES, clock=env.clock, registry=env.registry, log=env.log)
        slices = Informer(client, ENDPOINT_SLICES, clock=env.clock, registry=env.registry, log=env.log)
        nodes = Informer(client, NODES, clock=env.clock, registry=env.registry, log=env.log)
        proxier = Proxier(
            services=services,
            slices=slices,
            nodes=nodes,
            queue=WorkQueue("kube-proxy", clock=env.clock, registry=env.registry),
            nft=Nft(env.clock),
            conntrack=Conntrack(),
            node=config.node_name or env.node,
            clock=env.clock,
            log=env.log,
            metrics=ProxyMetrics.on(env.registry),
            min_sync_period=config.min_sync_period,
            table=Table(config.pods(), config.masquerade_outside_pods),
        )
        async with env.serve(ready=False), asyncio.TaskGroup() as group:
            group.create_task(services.run(), name="services")
            group.create_task(slices.run(), name="endpointslices")
            group.create_task(nodes.run(), name="nodes")
            group.create_task(proxier.run(), name="proxier")
            await proxier.first_sync.wait()
            await env.health.set_serving()


COMPONENT = Component("kube-proxy", ProxyConfig, run)

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
