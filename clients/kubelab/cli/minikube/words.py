"""Which words minikube has that kubelab's own commands do not, and where each is done.

https://minikube.sigs.k8s.io/docs/commands/
"""

from __future__ import annotations

# A module of this package, and the name of the command in it.
COMMANDS = {
    "start": ("lifecycle", "start", "Start a cluster: kubelab up"),
    "stop": ("lifecycle", "stop", "Stop a cluster; its objects are kept: kubelab down"),
    "delete": ("lifecycle", "delete", "Remove a cluster and its objects: kubelab down --delete"),
    "pause": ("lifecycle", "pause", "Freeze the control plane and the kubelets; pods go on"),
    "unpause": ("lifecycle", "unpause", "Let what was paused go on"),
    "ip": ("nodes", "ip", "Print a node's address"),
    "node": ("nodes", "node", "List, stop and start nodes"),
    "ssh": ("nodes", "ssh", "Open a shell inside a node: kubelab shell"),
    "profile": ("profiles", "profile", "Show the clusters, or make one the current one"),
    "update-context": ("profiles", "update_context", "Put a cluster into the kubeconfig again"),
    "config": ("profiles", "config", "Show what a cluster's components were given by --set"),
    "kubectl": ("passing", "kubectl", "Run kctl on a cluster"),
    "tunnel": ("passing", "tunnel", "Open tunnels to every service of type LoadBalancer"),
    "version": ("passing", "version", "Print kubelab's version"),
}

_NO_ADDONS = "kubelab has no addons: all that it has runs from the start. Look at: kubelab status"
_IN_STORE = "the nodes of a local cluster share one image store: what is built or loaded is there"
# What kubelab has no command for, by the word that is typed; docker's words of the tutorial too.
ELSEWHERE = {
    "addons": _NO_ADDONS,
    "dashboard": "there is no dashboard. To look inside: kubelab status -w, kubelab flow pod/NAME, kctl get all -A",
    "docker-env": "a node has no Docker. Images are built by: kubelab image build -t NAME FOLDER",
    "podman-env": "a node has no Podman. Images are built by: kubelab image build -t NAME FOLDER",
    "cache": "nothing has to be cached. Images are brought in by: kubelab image load FILE",
    "mount": "the nodes are this machine: its folders are there already. Look at: kubelab shell",
    "cp": "the nodes are this machine: its files are there already. Look at: kubelab shell",
    "ssh-key": "nodes are entered without SSH, by: kubelab shell",
    "ssh-host": "nodes are entered without SSH, by: kubelab shell",
    "build": "images are built by: kubelab image build -t NAME FOLDER",
    "push": f"{_IN_STORE}. To bring one in: docker save NAME | kubelab image load -",
    "pull": "kubelets pull images by themselves. To bring one in: docker save NAME | kubelab image load -",
    "images": "images are listed by: kubelab image ls",
    "rmi": "images are removed by: kubelab image rm NAME",
    "run": "a container runs in a pod: kctl run NAME --image=IMAGE --port=8080; then, for docker's -p: "
    "kctl create service nodeport NAME --tcp=8080 and kubelab service NAME",
    "ps": "containers run in pods: kctl get pods -A",
}
