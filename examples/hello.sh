#!/bin/sh
# The tutorial's first chapter in one go: a pod, a service in front of it, an answer through the service, and how the
# pod came to be. Run again, it starts over with the same cluster.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
run() { say "$*"; "$@"; }
fetch() { # curl is not on every machine; Python is
    say "curl $1"
    python3 -c 'import sys, urllib.request as r # and no proxy: 127.0.0.1 is here
print(r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=10).read().decode())' "$1"
}

kubelab up
kctl delete pod/hello-kube service/node --ignore-not-found >/dev/null

run kubelab image build -t kubelab/hello:v-1.0.0 "$here/tutorial/00000"
run kctl run hello-kube --restart=Always --port=8080 --labels=app=node --image=kubelab/hello:v-1.0.0
run kctl create service loadbalancer node --tcp=80:8080
run kctl wait --for=condition=Ready pod/hello-kube --timeout=60s
run kctl get pods -o wide
run kubelab service node
fetch "$(kubelab service node --url | head -n 1)"
run kubelab flow pod/hello-kube

cat <<'END'

The cluster is up. `kubelab down` stops it and keeps its objects; `kubelab down --delete` removes everything.
END
if [ -d "$here/../.venv" ]; then
    printf 'kctl and kubelab are in .venv/bin; to have them in this shell, type:\n   . .venv/bin/activate\n'
fi
printf 'Then try:\n   kctl get pods\n   kctl describe service node\n   kubelab status\n'
