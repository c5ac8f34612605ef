// What the README of @kubernetes/client-node shows, on a namespace of its own; prints what it saw as one JSON object.
// usage: node operations.mjs MODULE NAMESPACE     MODULE: the path of the installed library
const [library, namespace] = process.argv.slice(2);
const k8s = await import(library);

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const seen = {};

function configMap(name, data) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace, labels: { made: "by-node" } }, data };
}

const container = { name: "main", image: "kubelab/sh:1", command: ["sh", "-c", "echo hello; sleep 1000"] };
const template = {
  metadata: { labels: { app: "web" } },
  spec: { terminationGracePeriodSeconds: 0, containers: [container] },
};

async function objectsAndErrors() {
  await core.createNamespacedConfigMap({ namespace, body: configMap("a", { x: "1" }) });
  await core.createNamespacedConfigMap({ namespace, body: configMap("b", { x: "2" }) });
  const first = await core.listNamespacedConfigMap({ namespace, labelSelector: "made=by-node", limit: 1 });
  const rest = await core.listNamespacedConfigMap({
    namespace, labelSelector: "made=by-node", limit: 1, _continue: first.metadata._continue,
  });
  seen.pages = [first, rest].map((page) => page.items.map((one) => one.metadata.name));
  const patched = await core.patchNamespacedConfigMap(
    { name: "a", namespace, body: { data: { y: "2" } } },
    k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.StrategicMergePatch),
  );
  seen.patched = patched.data;
  const stale = { ...patched, metadata: { ...patched.metadata, resourceVersion: "1" } };
  const failures = [
    () => core.readNamespacedConfigMap({ name: "none", namespace }),
    () => core.createNamespacedConfigMap({ namespace, body: configMap("a", {}) }),
    () => core.replaceNamespacedConfigMap({ name: "a", namespace, body: stale }),
    () => core.createNamespacedConfigMap({ namespace, body: configMap("Not A Name", {}) }),
  ];
  seen.errors = [];
  for (const failing of failures) {
    try {
      await failing();
      seen.errors.push([0, "no error"]);
    } catch (error) {
      seen.errors.push([error.code, JSON.parse(error.body).reason]);
    }
  }
}

async function anyObject() {
  const applied = await objects.patch(
    configMap("applied", { z: "3" }), undefined, undefined, "by-node", true, k8s.PatchStrategy.ServerSideApply,
  );
  seen.applied = applied.metadata.managedFields.map((entry) => [entry.manager, entry.operation]);
  const listed = await objects.list("v1", "ConfigMap", namespace, undefined, undefined, undefined, undefined, "made=by-node");
  seen.listed = listed.items.map((one) => one.metadata.name).sort();
  await objects.delete(configMap("applied", {}));
}

// An informer: a list, then a watch. Ends when the config map's last change was seen.
async function informer() {
  const list = () => core.listNamespacedConfigMap({ namespace });
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, "made=by-node");
  const events = [];
  const done = new Promise((resolve, reject) => {
    informer.on("add", (one) => events.push(["add", one.metadata.name]));
    informer.on("update", (one) => events.push(["update", one.metadata.name]));
    informer.on("delete", (one) => {
      events.push(["delete", one.metadata.name]);
      resolve();
    });
    informer.on("error", reject);
  });
  await informer.start();
  await core.patchNamespacedConfigMap(
    { name: "b", namespace, body: [{ op: "replace", path: "/data/x", value: "9" }] },
    k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.JsonPatch),
  );
  await core.deleteNamespacedConfigMap({ name: "b", namespace });
  await done;
  await informer.stop();
  seen.events = events.filter(([, name]) => name === "b");
}

// Watch a path until an event satisfies a condition; gives its object.
function watched(path, query, condition) {
  return new Promise((resolve, reject) => {
    const watch = new k8s.Watch(config);
    let request;
    const onEvent = (type, object) => {
      if (condition(type, object)) {
        resolve(object);
        request.then((controller) => controller.abort());
      }
    };
    request = watch.watch(path, query, onEvent, (error) => error && error.name !== "AbortError" && reject(error));
  });
}

async function workload() {
  const spec = { replicas: 1, selector: { matchLabels: { app: "web" } }, template };
  await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: "web" }, spec } });
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const ready = await watched(path, {}, (_, one) => one.status?.availableReplicas === 1);
  seen.available = ready.status.availableReplicas;
  const scale = await apps.readNamespacedDeploymentScale({ name: "web", namespace });
  scale.spec.replicas = 2;
  const scaled = await apps.replaceNamespacedDeploymentScale({ name: "web", namespace, body: scale });
  seen.scaled = scaled.spec.replicas;
}

async function podAndLogs() {
  const body = { metadata: { name: "one", labels: { app: "one" } }, spec: { ...template.spec, restartPolicy: "Never" } };
  await core.createNamespacedPod({ namespace, body });
  const running = (_, one) => one.metadata.name === "one" && one.status?.phase === "Running";
  await watched(`/api/v1/namespaces/${namespace}/pods`, { labelSelector: "app=one" }, running);
  seen.log = await core.readNamespacedPodLog({ name: "one", namespace });
  await core.deleteNamespacedPod({ name: "one", namespace, gracePeriodSeconds: 0 });
}

for (const part of [objectsAndErrors, anyObject, informer, workload, podAndLogs]) {
  await part();
}
console.log(JSON.stringify(seen));
process.exit(0);
