"""``kctl config`` and the commands below it."""

from __future__ import annotations

from kubelab.kctl.command import Command, CommandEntry

CONFIG = Command(
    "config",
    children=(
        CommandEntry("current-context", "Display the current-context", "config.contexts:CURRENT_CONTEXT"),
        CommandEntry(
            "delete-cluster", "Delete the specified cluster from the kubeconfig", "config.clusters:DELETE_CLUSTER"
        ),
        CommandEntry(
            "delete-context", "Delete the specified context from the kubeconfig", "config.contexts:DELETE_CONTEXT"
        ),
        CommandEntry("delete-user", "Delete the specified user from the kubeconfig", "config.users:DELETE_USER"),
        CommandEntry("get-clusters", "Display clusters defined in the kubeconfig", "config.clusters:GET_CLUSTERS"),
        CommandEntry("get-contexts", "Describe one or many contexts", "config.contexts:GET_CONTEXTS"),
        CommandEntry("get-users", "Display users defined in the kubeconfig", "config.users:GET_USERS"),
        CommandEntry("rename-context", "Rename a context from the kubeconfig file", "config.contexts:RENAME_CONTEXT"),
        CommandEntry("set", "Set an individual value in a kubeconfig file", "config.properties:SET"),
        CommandEntry("set-cluster", "Set a cluster entry in kubeconfig", "config.clusters:SET_CLUSTER"),
        CommandEntry("set-context", "Set a context entry in kubeconfig", "config.contexts:SET_CONTEXT"),
        CommandEntry("set-credentials", "Set a user entry in kubeconfig", "config.users:SET_CREDENTIALS"),
        CommandEntry("unset", "Unset an individual value in a kubeconfig file", "config.properties:UNSET"),
        CommandEntry(
            "use-context",
            "Set the current-context in a kubeconfig file",
            "config.contexts:USE_CONTEXT",
            aliases=("use",),
        ),
        CommandEntry("view", "Display merged kubeconfig settings or a specified kubeconfig file", "config.view:VIEW"),
    ),
    about=(
        'Modify kubeconfig files using subcommands like "kctl config set current-context my-context".\n\n'
        " The loading order follows these rules:\n\n"
        "  1.  If the --kubeconfig flag is set, then only that file is loaded. The flag may only be set once and no "
        "merging takes place.\n"
        "  2.  If $KUBECONFIG environment variable is set, then it is used as a list of paths (normal path delimiting "
        "rules for your system). These paths are merged. When a value is modified, it is modified in the file that "
        "defines the stanza. When a value is created, it is created in the first file that exists. If no files in the "
        "chain exist, then it creates the last file in the list.\n"
        "  3.  Otherwise, ${HOME}/.kube/config is used and no merging takes place."
    ),
    usage="kctl config SUBCOMMAND",
)
