"""API Priority and Fairness: which request is executed, which waits, and which is refused
(https://kubernetes.io/docs/concepts/cluster-administration/flow-control/, KEP-1040).

``defaultobjects`` has what every cluster begins with, ``matching`` finds a request's schema, ``shuffling`` and
``queueset`` share a level's seats among its flows, ``concurrency`` shares the server's seats among the levels, ``gate``
is what requests pass, and ``controller`` keeps the gate and the stored objects the same."""
