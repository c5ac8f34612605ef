"""Environments: expansion, references, the services' variables."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.podreferences import config_map_names, secret_names
from kubelab.kubelet.containers.environment import ConfigError, Sources, environment, expand, service_variables


def pod_of() -> core_pb2.Pod:
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.namespace, pod.metadata.uid = "web", "shop", "u1"
    pod.metadata.labels["app"] = "node"
    pod.metadata.annotations["note"] = "hi"
    pod.spec.nodeName = "node-1"
    pod.spec.containers.add(name="app", image="app:v1")
    return pod


def service(name: str, ip: str, *ports: tuple[str, int, str], namespace: str = "shop") -> core_pb2.Service:
    made = core_pb2.Service()
    made.metadata.name, made.metadata.namespace, made.spec.clusterIP = name, namespace, ip
    for port_name, number, protocol in ports:
        made.spec.ports.add(name=port_name, port=number, protocol=protocol)
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$$$(A)", "$1"),
        ("", ""),
    ],
)
def test_expand(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}, {"A": "hidden", "B": "2"}) == expected


def test_fields_and_order() -> None:
    pod = pod_of()
    env = pod.spec.containers[0].env
    for name, path in {
        "NAME": "metadata.name",
        "LABEL": "metadata.labels['app']",
        "NOTE": "metadata.annotations['note']",
        "NODE": "spec.nodeName",
        "IP": "status.podIP",
        "HOST": "status.hostIP",
    }.items():
        env.add(name=name).valueFrom.fieldRef.fieldPath = path
    env.add(name="URL", value="http://$(IP):80/$(LATER)")
    env.add(name="LATER", value="x")
    made = environment(pod, pod.spec.containers[0], Sources(host_ip="192.168.49.3", pod_ips=("10.244.1.2",)))
    assert made == {
        "NAME": "web",
        "LABEL": "node",
        "NOTE": "hi",
        "NODE": "node-1",
        "IP": "10.244.1.2",
        "HOST": "192.168.49.3",
        "URL": "http://10.244.1.2:80/$(LATER)",
        "LATER": "x",
    }


def test_config_maps_and_secrets() -> None:
    pod = pod_of()
    app = pod.spec.containers[0]
    app.envFrom.add(prefix="CFG_").configMapRef.localObjectReference.name = "settings"
    app.env.add(name="PASSWORD").valueFrom.secretKeyRef.key = "password"
    app.env[0].valueFrom.secretKeyRef.localObjectReference.name = "login"
    gone = app.env.add(name="GONE").valueFrom.configMapKeyRef
    gone.localObjectReference.name, gone.key, gone.optional = "nothing", "x", True
    assert config_map_names(pod.spec) == {"settings", "nothing"}
    assert secret_names(pod.spec) == {"login"}
    sources = Sources(
        {"settings": core_pb2.ConfigMap(data={"color": "green"})}, {"login": core_pb2.Secret(data={"password": b"pw"})}
    )
    assert environment(pod, app, sources) == {"CFG_color": "green", "PASSWORD": "pw"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (Sources(), 'configmap "settings" not found'),
        (
            Sources({"settings": core_pb2.ConfigMap()}),
            "couldn't find key color in ConfigMap shop/settings",
        ),
    ],
)
def test_a_reference_that_leads_nowhere(sources: Sources, message: str) -> None:
    pod = pod_of()
    ref = pod.spec.containers[0].env.add(name="COLOR").valueFrom.configMapKeyRef
    ref.localObjectReference.name, ref.key = "settings", "color"
    with pytest.raises(ConfigError) as caught:
        environment(pod, pod.spec.containers[0], sources)
    assert str(caught.value) == message


def test_services_are_told_in_upstream_s_names() -> None:
    services = [
        service("my-db", "10.96.0.7", ("", 5432, "TCP")),
        service("kubernetes", "10.96.0.1", ("https", 443, "TCP"), namespace="default"),
        service("other", "10.96.0.8", ("", 1, "TCP"), namespace="elsewhere"),
        service("headless", "None", ("", 1, "TCP")),
    ]
    pod = pod_of()
    made = service_variables(pod, services)
    assert made == {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
        "MY_DB_SERVICE_HOST": "10.96.0.7",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_PORT": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.7:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.7",
    }
    pod.spec.enableServiceLinks = False
    assert {k for k in service_variables(pod, services) if not k.startswith("KUBERNETES")} == set()
