//! What holds of every set of manifests, however it was made.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::process::{run, tree};

/// The objects of a set of manifests.
pub(super) struct Manifests {
    /// Where it comes from, for messages.
    name: String,
    pub(super) objects: Vec<Value>,
}

impl Manifests {
    pub(super) fn parse(name: &str, text: &str) -> Self {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name} is not YAML: {error}"));
        let objects = objects.into_iter().filter(|object| !object.is_null()).collect();
        Self { name: name.to_owned(), objects }
    }

    pub(super) fn of_kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let kind = kind.to_owned();
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    #[track_caller]
    pub(super) fn only(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.of_kind(kind).collect();
        let [one] = found[..] else { panic!("{}: {} of kind {kind}", self.name, found.len()) };
        one
    }

    fn pod(&self) -> &Value {
        &self.only("Deployment")["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().unwrap();
        containers.iter().find(|container| container["name"] == "landfall").unwrap()
    }

    /// All that can be said of a set without a cluster.
    pub(super) fn check(&self) {
        self.kinds_know_every_field();
        self.objects_have_names();
        self.one_bot_at_a_time();
        self.selectors_meet();
        self.the_pod_is_restricted();
        self.probes_ask_the_server();
        self.volumes_are_mounted();
        self.the_account_has_what_it_needs();
        self.the_configuration_loads();
    }

    /// Each object is one of its kind, and has no key that the kind does not have: the API server would drop it in silence.
    fn kinds_know_every_field(&self) {
        for object in &self.objects {
            let known = match object["kind"].as_str().unwrap() {
                "ClusterRole" => round_trip::<ClusterRole>(object),
                "ClusterRoleBinding" => round_trip::<ClusterRoleBinding>(object),
                "ConfigMap" => round_trip::<ConfigMap>(object),
                "Deployment" => round_trip::<Deployment>(object),
                "Ingress" => round_trip::<Ingress>(object),
                "Namespace" => round_trip::<Namespace>(object),
                "NetworkPolicy" => round_trip::<NetworkPolicy>(object),
                "PersistentVolumeClaim" => round_trip::<PersistentVolumeClaim>(object),
                "PodDisruptionBudget" => round_trip::<PodDisruptionBudget>(object),
                "Role" => round_trip::<Role>(object),
                "RoleBinding" => round_trip::<RoleBinding>(object),
                "Service" => round_trip::<Service>(object),
                "ServiceAccount" => round_trip::<ServiceAccount>(object),
                // A custom resource, of which there is no type here.
                "ServiceMonitor" => continue,
                other => panic!("{}: what is a {other}?", self.name),
            };
            let known = known.unwrap_or_else(|error| panic!("{}: {error}: {object}", self.name));
            covered(object, &known, &format!("{}: {}", self.name, object["kind"]));
        }
    }

    fn objects_have_names(&self) {
        let mut seen = std::collections::BTreeSet::new();
        for object in &self.objects {
            let name = ["kind", "apiVersion"].map(|key| object[key].as_str().unwrap().to_owned());
            let place = ["name", "namespace"].map(|key| object["metadata"][key].as_str().unwrap_or("").to_owned());
            assert!(!place[0].is_empty(), "{}: {object} has no name", self.name);
            assert!(seen.insert((name.clone(), place.clone())), "{}: {name:?} {place:?} is there twice", self.name);
        }
    }

    fn one_bot_at_a_time(&self) {
        let spec = &self.only("Deployment")["spec"];
        let leases = |role: &Value| role["rules"][0]["resources"][0] == "leases";
        if self.of_kind("Role").any(leases) {
            assert!(spec["replicas"].as_u64() > Some(1), "{}", self.name);
            assert_eq!(spec["strategy"]["type"], "RollingUpdate", "{}", self.name);
            assert!(
                self.of_kind("PersistentVolumeClaim").next().is_none(),
                "{}: each has a state of its own",
                self.name
            );
        } else {
            let alone = (&1.into(), &"Recreate".into());
            assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), alone, "{}", self.name);
        }
        // With one pod, a budget that asks for one would keep every node from being drained.
        for budget in self.of_kind("PodDisruptionBudget") {
            assert_eq!(budget["spec"]["maxUnavailable"], 1, "{}", self.name);
        }
    }

    /// Whoever selects pods selects this one; whoever selects Services, the one here.
    fn selectors_meet(&self) {
        let deployment = self.only("Deployment");
        let pod = &deployment["spec"]["template"]["metadata"]["labels"];
        let covers = |selector: &Value, labels: &Value, what: &str| {
            let selector = selector.as_object().unwrap_or_else(|| panic!("{}: {what} selects nothing", self.name));
            assert!(!selector.is_empty(), "{}: {what} selects everything", self.name);
            for (key, value) in selector {
                assert_eq!(&labels[key], value, "{}: {key} of {what}", self.name);
            }
        };
        covers(&deployment["spec"]["selector"]["matchLabels"], pod, "the Deployment");
        for service in self.of_kind("Service") {
            covers(&service["spec"]["selector"], pod, "the Service");
            self.ports(service);
        }
        for budget in self.of_kind("PodDisruptionBudget") {
            covers(&budget["spec"]["selector"]["matchLabels"], pod, "the PodDisruptionBudget");
        }
        for policy in self.of_kind("NetworkPolicy") {
            covers(&policy["spec"]["podSelector"]["matchLabels"], pod, "the NetworkPolicy");
            assert_eq!(policy["spec"]["policyTypes"].as_array().unwrap().len(), 2, "{}", self.name);
        }
        for monitor in self.of_kind("ServiceMonitor") {
            let service = self.only("Service");
            covers(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"], "the ServiceMonitor");
            let endpoint = &monitor["spec"]["endpoints"][0];
            assert_eq!(
                (&endpoint["port"], &endpoint["path"]),
                (&service["spec"]["ports"][0]["name"], &"/metrics".into())
            );
            assert!(endpoint["authorization"]["credentials"]["key"].is_string(), "metrics are read with a token");
        }
        for ingress in self.of_kind("Ingress") {
            let paths = ingress["spec"]["rules"][0]["http"]["paths"].as_array().unwrap();
            assert_eq!(paths.len(), 1, "only webhooks come from outside: {ingress}");
            assert_eq!(paths[0]["path"], "/webhooks");
            assert_eq!(paths[0]["backend"]["service"]["name"], self.only("Service")["metadata"]["name"]);
        }
    }

    fn ports(&self, service: &Value) {
        let named =
            |name: &Value| self.container()["ports"].as_array().unwrap().iter().any(|port| &port["name"] == name);
        assert!(named(&service["spec"]["ports"][0]["targetPort"]), "{}: {service}", self.name);
    }

    /// What the strictest of the Pod Security Standards asks for, a bound on memory, and an image that says which one it is.
    fn the_pod_is_restricted(&self) {
        let (pod, container) = (self.pod(), self.container());
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{}", self.name);
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{}", self.name);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{}", self.name);
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[key].is_null(), "{}: {key}", self.name);
        }
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true, "{}", self.name);
        assert_eq!(context["allowPrivilegeEscalation"], false, "{}", self.name);
        assert_eq!(context["capabilities"]["drop"][0], "ALL", "{}", self.name);
        assert!(container["resources"]["limits"]["memory"].is_string(), "{}", self.name);
        let image = container["image"].as_str().unwrap();
        let tag = image.rsplit('/').next().unwrap().split_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| !tag.is_empty() && !tag.starts_with("latest")), "{}: {image}", self.name);
    }

    fn probes_ask_the_server(&self) {
        let container = self.container();
        let port = container["ports"][0]["containerPort"].as_u64();
        for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            let get = &container[probe]["httpGet"];
            match port {
                Some(_) => assert_eq!((&get["path"], &get["port"]), (&path.into(), &container["ports"][0]["name"])),
                None => assert!(get.is_null(), "{}: {probe} asks a server that is not there", self.name),
            }
        }
        // A pod that never becomes ready would be the price of asking another port.
        if let (Some(port), Some(config)) = (port, self.configuration()) {
            let listen: Value = serde_saphyr::from_str(config).unwrap();
            assert_eq!(listen["server"]["listen"], format!("0.0.0.0:{port}"), "{}", self.name);
        }
    }

    fn volumes_are_mounted(&self) {
        let names = |list: &Value| -> std::collections::BTreeSet<String> {
            list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&self.container()["volumeMounts"]), names(&self.pod()["volumes"]), "{}", self.name);
        let mounted = |path: &str| {
            let mounts = self.container()["volumeMounts"].as_array().unwrap();
            mounts.iter().find(|mount| mount["mountPath"] == path).is_some_and(|mount| mount["readOnly"] != true)
        };
        assert!(mounted("/var/lib/landfall") && mounted("/tmp"), "{}: where it writes is a volume", self.name);
        for claim in self.of_kind("PersistentVolumeClaim") {
            let volumes = self.pod()["volumes"].as_array().unwrap();
            let name = &claim["metadata"]["name"];
            assert!(
                volumes.iter().any(|volume| &volume["persistentVolumeClaim"]["claimName"] == name),
                "{}",
                self.name
            );
        }
    }

    /// A token of the API server where there is a right to use it with, and nowhere else.
    fn the_account_has_what_it_needs(&self) {
        let bindings: Vec<&Value> = self.of_kind("ClusterRoleBinding").chain(self.of_kind("RoleBinding")).collect();
        assert_eq!(self.pod()["automountServiceAccountToken"], !bindings.is_empty(), "{}", self.name);
        let account = &self.only("ServiceAccount")["metadata"]["name"];
        assert_eq!(&self.pod()["serviceAccountName"], account, "{}", self.name);
        for binding in bindings {
            assert_eq!(&binding["subjects"][0]["name"], account, "{}", self.name);
            let kind = binding["roleRef"]["kind"].as_str().unwrap();
            assert!(self.of_kind(kind).any(|role| role["metadata"]["name"] == binding["roleRef"]["name"]), "{binding}");
        }
    }

    /// landfall.yaml of the ConfigMap that the pod mounts.
    fn configuration(&self) -> Option<&str> {
        let volumes = self.pod()["volumes"].as_array().unwrap();
        let mounted = &volumes.iter().find(|volume| volume["name"] == "config").unwrap()["configMap"]["name"];
        let map = self.of_kind("ConfigMap").find(|map| &map["metadata"]["name"] == mounted)?;
        map["data"]["landfall.yaml"].as_str()
    }

    /// The configuration and the policies load with the program itself, without a warning.
    fn the_configuration_loads(&self) {
        let Some(config) = self.configuration() else { return };
        let mut files = vec![("landfall.yaml", config)];
        let maps = self.of_kind("ConfigMap").filter_map(|map| map["data"].as_object()).flatten();
        let policies = maps.filter(|(name, _)| *name != "landfall.yaml");
        let policies: Vec<(String, &Value)> = policies.map(|(name, text)| (format!("policies/{name}"), text)).collect();
        files.extend(policies.iter().filter_map(|(name, text)| Some((name.as_str(), text.as_str()?))));
        let folder = tree(&files);
        // In the pod the policies are a mount of their own.
        let here = config.replace("/etc/landfall-policies", "policies");
        std::fs::write(folder.path().join("landfall.yaml"), here).unwrap();
        run(folder.path(), &["check", "--strict", "--config", "landfall.yaml"]).ends(0);
    }
}

/// What is left of an object once its kind has read it.
fn round_trip<K: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<K>(object.clone())?)
}

/// Every value of `object` is in `known`; what is empty may be left out.
fn covered(object: &Value, known: &Value, at: &str) {
    match (object, known) {
        (Value::Object(fields), _) => {
            for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                covered(value, &known[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(items), Value::Array(same)) if items.len() == same.len() => {
            items.iter().zip(same).for_each(|(item, same)| covered(item, same, at));
        }
        _ => assert_eq!(object, known, "{at}"),
    }
}

#[test]
fn a_key_that_no_kind_has_is_found() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { port: [] }\n";
    let found = std::panic::catch_unwind(|| Manifests::parse("x", service).kinds_know_every_field()).unwrap_err();
    let message = found.downcast_ref::<String>().unwrap();
    assert!(message.contains("spec.port"), "{message}");
}
