"""kube-proxy: services as nftables rules."""
