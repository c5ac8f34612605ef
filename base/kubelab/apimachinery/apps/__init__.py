"""The rules of the workloads of the group ``apps``, for servers and clients alike."""
