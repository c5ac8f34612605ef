"""The commands that there are, in the order and under the headings of kubectl's help."""

from __future__ import annotations

from kubelab.kctl.command import Command, Entry

BEGINNER = "Basic Commands (Beginner):"
INTERMEDIATE = "Basic Commands (Intermediate):"
DEPLOY = "Deploy Commands:"
CLUSTER = "Cluster Management Commands:"
DEBUG = "Troubleshooting and Debugging Commands:"
ADVANCED = "Advanced Commands:"
OTHER = "Other Commands:"

ROOT = Command(
    "kctl",
    about="kctl controls the cluster manager of a kubelab cluster.\n\n Its commands, flags and words are kubectl's.",
    usage="kctl [flags]",
    children=(
        Entry("create", "Create a resource from a file or from stdin", "create.command:CREATE", BEGINNER),
        Entry("run", "Run a particular image on the cluster", "run:RUN", BEGINNER),
        Entry("get", "Display one or many resources", "get.command:GET", INTERMEDIATE),
        Entry(
            "delete",
            "Delete resources by file names, stdin, resources and names, or by resources and label selector",
            "delete:DELETE",
            INTERMEDIATE,
        ),
        Entry("scale", "Set a new size for a replication controller", "scale:SCALE", DEPLOY),
        Entry("cluster-info", "Display cluster information", "clusterinfo:CLUSTER_INFO", CLUSTER),
        Entry(
            "describe", "Show details of a specific resource or group of resources", "describe.command:DESCRIBE", DEBUG
        ),
        Entry("logs", "Print the logs for a container in a pod", "logs:LOGS", DEBUG, aliases=("log",)),
        Entry("wait", "Wait for a specific condition on one or many resources", "wait:WAIT", ADVANCED),
        Entry("api-resources", "Print the supported API resources on the server", "discovery:API_RESOURCES", OTHER),
        Entry("config", "Look into kubeconfig files, and change the context", "config:CONFIG", OTHER),
        Entry("version", "Print the client and server version information", "discovery:VERSION", OTHER),
        Entry("options", "Print the flags that every command takes", "options:OPTIONS", OTHER, hidden=True),
        Entry("help", "Help about any command", "options:HELP_COMMAND", OTHER, hidden=True),
    ),
)
