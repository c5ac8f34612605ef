"""Commands in containers, and containers' own streams: ``exec``, ``attach``, ``cp`` and what ``run`` has of them."""
