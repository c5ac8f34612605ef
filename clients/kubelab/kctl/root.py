"""The commands that there are, in the order and under the headings of kubectl's help."""

from __future__ import annotations

from kubelab.kctl.command import Command, CommandEntry

BEGINNER = "Basic Commands (Beginner):"
INTERMEDIATE = "Basic Commands (Intermediate):"
DEPLOY = "Deploy Commands:"
CLUSTER = "Cluster Management Commands:"
DEBUG = "Troubleshooting and Debugging Commands:"
ADVANCED = "Advanced Commands:"
SETTINGS = "Settings Commands:"
OTHER = "Other Commands:"

ROOT = Command(
    "kctl",
    about="kctl controls the cluster manager of a kubelab cluster.\n\n Its commands, flags and words are kubectl's.",
    usage="kctl [flags]",
    children=(
        CommandEntry("create", "Create a resource from a file or from stdin", "create.command:CREATE", BEGINNER),
        CommandEntry(
            "expose",
            "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service",
            "expose:EXPOSE",
            BEGINNER,
        ),
        CommandEntry("run", "Run a particular image on the cluster", "run:RUN", BEGINNER),
        CommandEntry("set", "Set specific features on objects", "set.command:SET", BEGINNER),
        CommandEntry("explain", "Get documentation for a resource", "explain:EXPLAIN", INTERMEDIATE),
        CommandEntry("get", "Display one or many resources", "get.command:GET", INTERMEDIATE),
        CommandEntry("edit", "Edit a resource on the server", "edit.command:EDIT", INTERMEDIATE),
        CommandEntry(
            "delete",
            "Delete resources by file names, stdin, resources and names, or by resources and label selector",
            "delete:DELETE",
            INTERMEDIATE,
        ),
        CommandEntry("rollout", "Manage the rollout of a resource", "rollout.command:ROLLOUT", DEPLOY),
        CommandEntry(
            "scale", "Set a new size for a deployment, replica set, or replication controller", "scale:SCALE", DEPLOY
        ),
        CommandEntry(
            "autoscale",
            "Auto-scale a deployment, replica set, stateful set, or replication controller",
            "autoscale:AUTOSCALE",
            DEPLOY,
        ),
        CommandEntry("certificate", "Modify certificate resources", "certificate:CERTIFICATE", CLUSTER),
        CommandEntry("top", "Display resource (CPU/memory) usage", "top:TOP", CLUSTER),
        CommandEntry("cluster-info", "Display cluster information", "clusterinfo:CLUSTER_INFO", CLUSTER),
        CommandEntry("cordon", "Mark node as unschedulable", "nodes.cordon:CORDON", CLUSTER),
        CommandEntry("uncordon", "Mark node as schedulable", "nodes.cordon:UNCORDON", CLUSTER),
        CommandEntry("drain", "Drain node in preparation for maintenance", "nodes.drain:DRAIN", CLUSTER),
        CommandEntry("taint", "Update the taints on one or more nodes", "nodes.taint:TAINT", CLUSTER),
        CommandEntry(
            "describe", "Show details of a specific resource or group of resources", "describe.command:DESCRIBE", DEBUG
        ),
        CommandEntry("logs", "Print the logs for a container in a pod", "logs:LOGS", DEBUG, aliases=("log",)),
        CommandEntry("attach", "Attach to a running container", "remotecommand.attach:ATTACH", DEBUG),
        CommandEntry("exec", "Execute a command in a container", "remotecommand.exec:EXEC", DEBUG),
        CommandEntry("port-forward", "Forward one or more local ports to a pod", "portforward:PORT_FORWARD", DEBUG),
        CommandEntry("events", "List events", "events:EVENTS", DEBUG),
        CommandEntry("proxy", "Run a proxy to the Kubernetes API server", "proxy:PROXY", DEBUG),
        CommandEntry("cp", "Copy files and directories to and from containers", "remotecommand.cp:CP", DEBUG),
        CommandEntry("auth", "Inspect authorization", "auth.command:AUTH", DEBUG),
        CommandEntry("diff", "Diff the live version against a would-be applied version", "diff:DIFF", ADVANCED),
        CommandEntry(
            "apply", "Apply a configuration to a resource by file name or stdin", "apply.command:APPLY", ADVANCED
        ),
        CommandEntry("patch", "Update fields of a resource", "patch:PATCH", ADVANCED),
        CommandEntry("replace", "Replace a resource by file name or stdin", "replace:REPLACE", ADVANCED),
        CommandEntry("wait", "Wait for a specific condition on one or many resources", "wait:WAIT", ADVANCED),
        CommandEntry("label", "Update the labels on a resource", "metadata.label:LABEL", SETTINGS),
        CommandEntry("annotate", "Update the annotations on a resource", "metadata.annotate:ANNOTATE", SETTINGS),
        CommandEntry(
            "completion",
            "Output shell completion code for the specified shell (bash, zsh, or fish)",
            "completion.command:COMPLETION",
            SETTINGS,
        ),
        CommandEntry(
            "api-resources", "Print the supported API resources on the server", "discovery:API_RESOURCES", OTHER
        ),
        CommandEntry(
            "api-versions",
            'Print the supported API versions on the server, in the form of "group/version"',
            "discovery:API_VERSIONS",
            OTHER,
        ),
        CommandEntry("config", "Modify kubeconfig files", "config.command:CONFIG", OTHER),
        CommandEntry("plugin", "Provides utilities for interacting with plugins", "plugins:PLUGIN", OTHER),
        CommandEntry("version", "Print the client and server version information", "discovery:VERSION", OTHER),
        CommandEntry("options", "Print the flags that every command takes", "options:OPTIONS", OTHER, hidden=True),
        CommandEntry("help", "Help about any command", "options:HELP_COMMAND", OTHER, hidden=True),
    ),
)
