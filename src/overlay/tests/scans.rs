//! Files and the pins in them.

use super::{check, check_with, path, version};
use crate::model::{KeyPaths, PathPattern, RepoPath, SkipReason, Tag, Version};
use crate::overlay::{MAX_BYTES, PinEdit, edit, is_candidate, scan_file, scan_with};

const KUSTOMIZATION: &str = "apps/web/kustomization.yaml";

#[test]
fn kustomize_entries() {
    check(
        KUSTOMIZATION,
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n  - name: web\n    newName: ghcr.io/acme/web\n    \
         newTag: \"1.2.3\" # why\n  - name: api\n    newTag: v1\n    digest: @a@\n  - digest: '@b@'\n    name: db\n  - newTag: 1.0\n  - \
         name: bare\n    newName: ghcr.io/acme/bare\n",
        &[
            "6:14 kustomize images[0].newTag ghcr.io/acme/web 1.2.3",
            "8:13 kustomize images[1].newTag api v1@a",
            "10:14 kustomize images[2].digest db @b",
        ],
        &["12: the entry names no image", "13: no tag or digest"],
    );
    for name in ["kustomization.yml", "x/Kustomization"] {
        check(name, "images: [{name: a, newTag: v1}]\n", &["1:28 kustomize images[0].newTag a v1"], &[]);
    }
    check(
        KUSTOMIZATION,
        r#"{"images": [{"name": "a", "newName": "b/c", "newTag": "v1"}, {name: d, newTag: 1.10, digest: ""}]}"#,
        &["1:56 kustomize images[0].newTag b/c v1", "1:80 kustomize images[1].newTag d 1.10"],
        &[],
    );
    check(
        "components/x/any.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n- {name: a, newTag: v1}\n",
        &["4:21 kustomize images[0].newTag a v1"],
        &[],
    );
    check(
        "flux.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  images:\n  - name: a\n    newTag: v1\n",
        &["6:13 kustomize spec.images[0].newTag a v1"],
        &[],
    );
}

#[test]
fn kustomize_leaves_alone_what_it_cannot_tell() {
    check(
        KUSTOMIZATION,
        "images:\n- name: a\n  newTag: ${TAG}\n- name: b\n  newTag: '{{ .tag }}'\n- name: c\n  newTag: \"\"\n- name: d\n  newTag:\n- name: \
         UPPER\n  newTag: v1\n- name: e\n  newTag: not a tag\n- x\npatches:\n- patch: |-\n    - op: replace\n      path: \
         /spec/containers/0/image\n      value: x:1\n- patch: |-\n    metadata: {}\n",
        &[],
        &[
            "3: a template",
            "5: a template",
            "7: no tag or digest",
            "9: no tag or digest",
            "11: `UPPER` is not an image reference",
            "13: `not a tag` is not",
            "14: not an entry",
            "17: a patch written as text sets an image",
        ],
    );
}

#[test]
fn containers_wherever_a_pod_template_stands() {
    check(
        "all.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      initContainers:\n      - image: busybox:1.36\n      \
         containers:\n      - name: web\n        image: 'ghcr.io/acme/web:1.2.3@@a@'\n      - name: side\n---\napiVersion: \
         batch/v1\nkind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{image: \
         \"localhost:5000/job@@b@\"}]}}}}}\n---\napiVersion: example.com/v1\nkind: Fleet\nspec:\n  pods:\n    containers:\n    - image: x:1\n    \
         ephemeralContainers:\n    - image: y:2\n",
        &[
            "7:24 container spec.template.spec.initContainers[0].image busybox 1.36",
            "10:34 container spec.template.spec.containers[0].image ghcr.io/acme/web 1.2.3@a",
            "15:88 container [1].spec.jobTemplate.spec.template.spec.containers[0].image localhost:5000/job @b",
            "22:16 container [2].spec.pods.containers[0].image x 1",
            "24:16 container [2].spec.pods.ephemeralContainers[0].image y 2",
        ],
        &[],
    );
    check(
        "list.json",
        r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "a:1"}]}},
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"template": {"spec": {"containers": [{"image": "b:2"}]}}}},
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "spec": {"source": {"kustomize": {"images": ["c=d:3"]}}}}]}"#,
        &[
            "2:86 container items[0].spec.containers[0].image a 1",
            "3:130 container items[1].spec.template.spec.containers[0].image b 2",
            "4:125 argo-application items[2].spec.source.kustomize.images[0] d 3",
        ],
        &[],
    );
    check(
        "patch.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{image: a}, {image: \"\"}, {image: {{ .x }}}, \
         {image: $(X)}]}}}\n",
        &[],
        &[
            "3: no tag or digest is written",
            "3: no tag or digest: the image is empty",
            "3: a template",
            "3: a template",
        ],
    );
    check(
        "json6902.yaml",
        "- op: replace\n  path: /spec/x/image\n  value: a:1\n",
        &[],
        &["3: a JSON patch sets an image"],
    );
    // As istioctl and sidecar injectors write them: whole containers are added.
    check(
        "json6902.yaml",
        "- op: add\n  path: /spec/template/spec/containers/-\n  value:\n    image: docker.io/acme/proxy:1.18.5\n    name: proxy\n- {op: \
         add, path: /spec/x, value: [{name: init, image: \"busybox:1\"}]}\n- [ghcr.io/acme/web:1.2.3]\n",
        &[],
        &["4: a JSON patch sets an image", "6: a JSON patch sets an image", "7: looks like an image, but under a key"],
    );
    check(
        "x.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    containers: [{image: a:1}]\n",
        &[],
        &["5: text inside this value names an image"],
    );
}

#[test]
fn helm_values_blocks() {
    check(
        "values.yaml",
        "image:\n  repository: ghcr.io/acme/web\n  tag: \"1.2.3\"\nside:\n  proxyImage: {registry: quay.io, repository: acme/proxy, tag: v2, digest: \
         @a@}\nglobal:\n  imageRegistry: registry.example.com\n  imagePullSecrets: [x]\nextra:\n- repository: a/b\n  tag: 1.0@@b@\njob:\n  image: \
         acme/job:7\nold:\n  image: docker.io/acme/old\n  imageTag: \"8\"\ncontroller:\n  image:\n    registry: registry.k8s.io\n    image: \
         ingress/controller\n    tag: v1.9\n    digest: \"\"\nnamed:\n  image: {name: acme/named, tag: '5'}\n",
        &[
            "3:9 helm-values image.tag ghcr.io/acme/web 1.2.3",
            "5:64 helm-values side.proxyImage.tag quay.io/acme/proxy v2@a",
            "11:8 helm-values extra[0].tag a/b 1.0@b",
            "13:19 helm-values job.image acme/job 7",
            "16:14 helm-values old.imageTag docker.io/acme/old 8",
            "21:10 helm-values controller.image.tag registry.k8s.io/ingress/controller v1.9",
            "24:35 helm-values named.image.tag acme/named 5",
        ],
        &[],
    );
}

#[test]
fn every_image_of_a_text_is_said() {
    check(
        "cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    spec:\n      image: ghcr.io/acme/web:1.2.3\n      other: {image: \
         \"ghcr.io/acme/api:2.0\"}\n      again: ghcr.io/acme/web:1.2.3\n  b: \"x:\\n  image: nginx:1.25\\n\"\n  c: '{\"image\":\"busybox:1.36\",\"n\":1}'\n  d: \
         |\n    repository: acme/side\n    tag: v1\n  e: \"{{ .image }}:1.2\"\n  f: '[a: b]'\n",
        &[],
        &[
            "6: text inside this value names an image",
            "7: text inside this value names an image",
            "9: text inside this value names an image",
            "10: text inside this value names an image",
            "13: text inside this value names an image",
        ],
    );
}

#[test]
fn references_in_markup_are_said() {
    let agent = "      <image>registry.example.com/jenkins/agent:v4.3.9</image>\n      <alwaysPullImage>true</alwaysPullImage>\n";
    let name = "agents.yaml";
    let text = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  template1: |-\n    <pod>\n{agent}    </pod>\n");
    check(name, &text, &[], &["6: text inside this value names an image"]);
}

#[test]
fn artifacts_of_an_oci_repository() {
    let web = "oci-artifact";
    for (reference, pins, said) in [
        ("tag: 0.10.3", vec![format!("5:15 {web} spec.ref.tag oci://ghcr.io/acme/web 0.10.3")], vec![]),
        ("semver: 1.2.3", vec![format!("5:18 {web} spec.ref.semver oci://ghcr.io/acme/web 1.2.3")], vec![]),
        ("semver: \">= 1.8.0-rc.0\"", vec![], vec!["5: a range of versions of an OCI artifact"]),
        ("semver: 1.x, tag: 1.0.0", vec![], vec!["5: a range of versions of an OCI artifact"]),
        ("digest: \"@a@\"", vec![format!("5:19 {web} spec.ref.digest oci://ghcr.io/acme/web @a")], vec![]),
        ("tag: v1, digest: \"@a@\"", vec![format!("5:15 {web} spec.ref.tag oci://ghcr.io/acme/web v1@a")], vec![]),
        ("tag: 1.0.0+a", vec![], vec!["5: `1.0.0+a` is not a tag"]),
        ("tag: \"${tag}\"", vec![], vec!["5: a template"]),
        ("tag: \"\"", vec![], vec![]),
        ("", vec![], vec![]),
    ] {
        let text = format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nspec:\n  url: oci://ghcr.io/acme/web\n  ref: {{ {reference} }}\n",
        );
        let pins: Vec<&str> = pins.iter().map(String::as_str).collect();
        check("oci.yaml", &text, &pins, &said);
    }
    let head = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nspec:\n";
    for (url, said) in [
        ("", "5: no repository next to the tag"),
        ("  url: ghcr.io/acme/web\n", "6: no repository next to the tag"),
        ("  url: oci://{{ .registry }}/web\n", "6: a template"),
        ("  url: oci://ghcr.io/Acme/web\n", "6: `oci://ghcr.io/Acme/web` is not"),
    ] {
        check("oci.yaml", &format!("{head}{url}  ref:\n    tag: 1.0.0\n"), &[], &[said]);
    }
}

/// Flux asks for the tag as it is written; in the list of the registry it is the version that Helm made it from.
#[test]
fn a_version_with_metadata_is_written_as_its_place_reads_it() {
    let artifact = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nspec: {url: oci://ghcr.io/acme/web, ref: {tag: 1.0.0_a}}\n";
    let chart = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {repoURL: ghcr.io/acme, chart: web, targetRevision: \
                 1.0.0+a}}\n";
    let path = RepoPath::parse("a.yaml").unwrap();
    for (text, now) in [(artifact, "1.1.0_b"), (chart, "1.1.0+b")] {
        let scan = scan_file(&path, text.as_bytes());
        let [pin] = scan.pins.as_slice() else { panic!("{scan:?}") };
        assert_eq!(
            (pin.version.to_string().as_str(), pin.name.to_string().as_str()),
            ("1.0.0+a", "oci://ghcr.io/acme/web")
        );
        let to = Version { tag: Some(Tag::parse("1.1.0+b").unwrap()), digest: None };
        let new = edit(&path, text.as_bytes(), &[PinEdit { pin, to: to.clone(), rename: None }]).unwrap();
        let old = if now.contains('_') { "1.0.0_a" } else { "1.0.0+a" };
        assert_eq!(String::from_utf8(new.clone()).unwrap(), text.replace(old, now));
        assert_eq!(scan_file(&path, &new).pins[0].version, to);
    }
}

#[test]
fn packages_of_crossplane() {
    let text = |kind: &str, package: &str| {
        format!("apiVersion: pkg.crossplane.io/v1\nkind: {kind}\nspec:\n  package: {package}\n")
    };
    for kind in ["Provider", "Function", "Configuration"] {
        check(
            "x.yaml",
            &text(kind, "xpkg.example.com/acme/provider:v1.2.3@@a@"),
            &["4:43 crossplane-package spec.package xpkg.example.com/acme/provider v1.2.3@a"],
            &[],
        );
    }
    for (package, said) in [
        ("crossplane/provider-aws:v0.1.0", "4: a Crossplane package without a registry's host"),
        ("xpkg.example.com/acme/provider", "4: no tag or digest is written"),
        ("\"xpkg.example.com/acme/provider:{{ .v }}\"", "4: a template"),
        ("xpkg.example.com/Acme/provider:v1", "4: `xpkg.example.com/Acme/provider` is not"),
    ] {
        check("x.yaml", &text("Provider", package), &[], &[said]);
    }
    // The runtime of a package is a pod like any other.
    check(
        "x.yaml",
        "apiVersion: pkg.crossplane.io/v1beta1\nkind: DeploymentRuntimeConfig\nspec:\n  deploymentTemplate: {spec: {template: {spec: \
         {containers: [{image: web:1}]}}}}\n",
        &["4:74 container spec.deploymentTemplate.spec.template.spec.containers[0].image web 1"],
        &[],
    );
}

#[test]
fn charts_of_argo_cd() {
    let app = |source: &str| {
        format!("apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source: {{ {source} }}\n")
    };
    let at = "4:29 chart spec.source.targetRevision";
    for (rest, pin) in [
        ("repoURL: https://charts.example.com/stable/, chart: web", "https://charts.example.com/stable/web 1.2.3"),
        ("repoURL: ghcr.io/acme/charts, chart: web", "oci://ghcr.io/acme/charts/web 1.2.3"),
        ("repoURL: oci://ghcr.io/acme/charts, chart: web", "oci://ghcr.io/acme/charts/web 1.2.3"),
    ] {
        check("app.yaml", &app(&format!("targetRevision: 1.2.3, {rest}")), &[&format!("{at} {pin}")], &[]);
    }
    let chart = "repoURL: https://charts.example.com, chart: web";
    check(
        "app.yaml",
        &app(&format!("targetRevision: 104.0.0+up0.15.0, {chart}")),
        &[&format!("{at} https://charts.example.com/web 104.0.0+up0.15.0")],
        &[],
    );
    check(
        "app.yaml",
        &app("targetRevision: v2, repoURL: 'oci://ghcr.io/acme/deploy', path: ."),
        &["4:29 oci-artifact spec.source.targetRevision oci://ghcr.io/acme/deploy v2"],
        &[],
    );
    let digest = "targetRevision: \"@a@\", repoURL: oci://ghcr.io/acme/deploy";
    check(
        "app.yaml",
        &app(digest),
        &["4:30 oci-artifact spec.source.targetRevision oci://ghcr.io/acme/deploy @a"],
        &[],
    );
    for (source, said) in [
        (format!("targetRevision: 1.x, {chart}"), "4: a range of versions of a chart"),
        (format!("targetRevision: '*', {chart}"), "4: a range of versions of a chart"),
        (format!("targetRevision: '{{{{ .v }}}}', {chart}"), "4: a template"),
        ("targetRevision: 1.2.3, chart: web".to_owned(), "4: no repository next to the tag"),
        ("targetRevision: 1.2.3, chart: web, repoURL: '{{ .url }}'".to_owned(), "4: a template"),
        (
            "targetRevision: 1.2.3, chart: web, repoURL: 'https://a:b@charts.example.com'".to_owned(),
            "4: `https://charts.example.com/web` is",
        ),
        (
            "targetRevision: 1.2.3, chart: ../web, repoURL: 'https://charts.example.com'".to_owned(),
            "4: `../web` is not",
        ),
        ("targetRevision: '>= 1', repoURL: oci://ghcr.io/acme/deploy".to_owned(), "4: a range of versions of an OCI"),
    ] {
        check("app.yaml", &app(&source), &[], &[said]);
    }
    for source in ["targetRevision: main, repoURL: https://git.example.com/a", "repoURL: oci://ghcr.io/acme/a", chart] {
        check("app.yaml", &app(source), &[], &[]);
    }
    check(
        "set.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  template:\n    spec:\n      sources:\n      - repoURL: \
         https://charts.example.com\n        chart: web\n        targetRevision: &v 1.2.3\n      - repoURL: \
         https://charts.example.com\n        chart: api\n        targetRevision: *v\n",
        &[],
        &["9: shared through the anchor", "12: an alias"],
    );
}

#[test]
fn charts_of_flux() {
    let release = |spec: &str| {
        format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: web, namespace: apps}}\nspec:\n  chart: {{spec: {{ {spec} }} }}\n"
        )
    };
    let source = |name: &str, url: &str| {
        format!(
            "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name}\nspec: {{url: '{url}'}}\n"
        )
    };
    let at = "5:28 chart spec.chart.spec.version";
    let (https, oci) = ("https://charts.example.com/stable/", "oci://ghcr.io/acme/charts");
    for (more, source, pin) in [
        (
            "name: stable",
            source("{name: stable, namespace: apps}", https),
            "https://charts.example.com/stable/web 1.2.3",
        ),
        ("name: stable", source("{name: stable}", https), "https://charts.example.com/stable/web 1.2.3"),
        (
            "name: stable, namespace: flux",
            source("{name: stable, namespace: flux}", oci),
            "oci://ghcr.io/acme/charts/web 1.2.3",
        ),
        ("name: stable, kind: HelmRepository", source("{name: stable}", oci), "oci://ghcr.io/acme/charts/web 1.2.3"),
    ] {
        let text = release(&format!("version: 1.2.3, chart: web, sourceRef: {{ {more} }}")) + &source;
        check("hr.yaml", &text, &[&format!("{at} {pin}")], &[]);
    }
    check(
        "chart.yaml",
        &("apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: web}\nspec:\n  version: '1.2.3+up1'\n  chart: web\n  sourceRef: {name: stable}\n".to_owned() + &source("{name: stable, namespace: x}", https)),
        &["5:13 chart spec.version https://charts.example.com/stable/web 1.2.3+up1"],
        &[],
    );
    let there = source("{name: stable}", https);
    let named = "chart: web, sourceRef: {name: stable}";
    for (spec, source, said) in [
        (format!("version: 1.x, {named}"), &there, "5: a range of versions of a chart"),
        ("version: '>=1.0.0'".to_owned(), &there, "5: a range"),
        (format!("version: '*', {named}"), &there, "5: a range"),
        (format!("version: '${{v}}', {named}"), &there, "5: a template"),
        ("version: 1.2.3, chart: '${c}', sourceRef: {name: stable}".to_owned(), &there, "5: a template"),
        (format!("version: 1.2.3, {named}"), &source("{name: stable}", "https://${host}/x"), "5: a template"),
        (format!("version: 1.2.3, {named}"), &source("{name: stable}", "charts"), "5: `charts` is not"),
        (
            format!("version: 1.2.3, {named}"),
            &source("{name: other}", https),
            "5: no file declares the HelmRepository apps/stable",
        ),
        ("version: 1.2.3".to_owned(), &there, "5: the version of a chart without `chart` and `sourceRef`"),
        ("version: 1.2.3, chart: a/b, sourceRef: {name: stable}".to_owned(), &there, "5: `a/b` is not"),
        (
            "version: 1.2.3, chart: ../b, sourceRef: {name: stable}".to_owned(),
            &source("{name: stable}", oci),
            "5: `oci://",
        ),
        (
            "version: 1.2.3, chart: ./charts/web, sourceRef: {kind: GitRepository, name: a}".to_owned(),
            &there,
            "5: a chart from a Git repository",
        ),
    ] {
        check("hr.yaml", &(release(&spec) + source), &[], &[said]);
    }
    check("hr.yaml", &(release(named) + &there), &[], &[]);
    let below = release("version: 1.2.3, chart: a/b, sourceRef: {name: stable}") + &source("{name: stable}", oci);
    check("hr.yaml", &below, &[&format!("{at} oci://ghcr.io/acme/charts/a/b 1.2.3")], &[]);
}

#[test]
fn charts_of_charts_kustomizations_and_helmfiles() {
    check(
        "x/Chart.yaml",
        "apiVersion: v2\nname: x\nversion: 0.1.0\ndependencies:\n- {name: a, version: 1.2.3, repository: 'https://c.example.com/'}\n- {name: b, version: \
         '1.2.3', repository: oci://ghcr.io/acme}\n- {name: c, version: 1.x, repository: 'https://c.example.com'}\n- {name: d, version: 1.2.3, repository: \
         'file://../d'}\n- {name: e, version: 1.2.3, repository: '@stable'}\n- {name: f, version: 1.2.3}\n- {name: g, version: '{{ v }}', repository: \
         'https://c.example.com'}\n",
        &[
            "5:22 chart dependencies[0].version https://c.example.com/a 1.2.3",
            "6:23 chart dependencies[1].version oci://ghcr.io/acme/b 1.2.3",
        ],
        &[
            "7: a range",
            "8: a chart in a folder",
            "9: the chart's repository is only named here (@stable)",
            "10: a chart in",
            "11: a template",
        ],
    );
    check(
        "kustomization.yaml",
        "helmCharts:\n- {name: a, repo: 'https://c.example.com', version: 1.2.3}\n- {name: b, repo: 'oci://ghcr.io/acme'}\n- {name: c, version: 1.2.3}\n",
        &["2:53 chart helmCharts[0].version https://c.example.com/a 1.2.3"],
        &["4: a chart in a folder"],
    );
    check(
        "helmfile.yaml",
        "repositories:\n- {name: s, url: 'https://c.example.com/x/'}\n- {name: o, url: ghcr.io/acme, oci: true}\nreleases:\n- {name: a, chart: s/a, version: \
         1.2.3}\n- {name: b, chart: o/b, version: 1.2.3}\n- {name: c, chart: 'oci://ghcr.io/x/c', version: 1.2.3}\n- {name: d, chart: ./d, version: \
         1.2.3}\n- {name: e, chart: no/e, version: 1.2.3}\n- {name: f, chart: s/f, version: ~1.2}\n- {name: g, chart: s/g}\n",
        &[
            "5:34 chart releases[0].version https://c.example.com/x/a 1.2.3",
            "6:34 chart releases[1].version oci://ghcr.io/acme/b 1.2.3",
            "7:50 chart releases[2].version oci://ghcr.io/x/c 1.2.3",
        ],
        &["8: a chart in a folder", "9: the chart's repository is only named here (no)", "10: a range"],
    );
}

#[test]
fn a_tag_without_an_image_beside_it_is_said() {
    check(
        "values.yaml",
        "global:\n  imageRegistry: ghcr.io/acme\n  imageTag: v1.10.0\n  imagePullPolicy: Always\nother:\n  image_tag: \"\"\n  \
         imageTagged: x\n",
        &[],
        &["3: no repository next to the tag"],
    );
}

/// Some charts write their keys with capitals.
#[test]
fn keys_of_helm_values_in_any_case() {
    check(
        "values.yaml",
        "Ldap:\n  Image: docker.io/acme/ldap\n  ImageTag: \"1.1.10\"\nWeb:\n  Image: {Repository: acme/web, Tag: v2}\n",
        &["3:14 helm-values Ldap.ImageTag docker.io/acme/ldap 1.1.10", "5:38 helm-values Web.Image.Tag acme/web v2"],
        &[],
    );
    check(
        "app.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n      values: |\n        Image: acme/ldap\n        \
         ImageTag: \"1.1\"\n",
        &["8:20 argo-application spec.source.helm.values.ImageTag acme/ldap 1.1"],
        &[],
    );
}

#[test]
fn helm_values_that_are_left_alone() {
    check(
        "values.yaml",
        "a:\n  image:\n    tag: 1.2.3\nb:\n  image:\n    repository: x/y\n    tag: \"\"\nc:\n  image:\n    repository: x/y\nd:\n  image: nginx\ne:\n  \
         image:\n    repository: x/y\n    tag: 1.0\n    sha: abc\nf:\n  image: {repository: x/y, name: z, tag: '1'}\ng:\n  repository: \
         https://charts.example.com\n  tag: 1\nh:\n  image: '{{ .Values.x }}:1'\ni:\n  image: \"\"\n  useImage: true\n  logoImage: \
         https://x.example.com/a.png\nj:\n  image: {repository: x/y, tag: \"\", digest: \"\"}\nk: {image: {pullPolicy: Always}}\nl:\n  \
         image: {repository: x/y, tag: 1@@a@, digest: @b@}\n",
        &[],
        &[
            "3: no repository next to the tag",
            "7: no tag or digest: the tag is empty",
            "10: no tag or digest next to the repository",
            "12: no tag or digest is written",
            "16: a digest is written as `sha`",
            "19: it has both `repository` and a second name",
            "24: a template",
            "30: no tag or digest: the tag is empty",
            "33: the digest is written twice",
        ],
    );
    // Digest alone is a pin; the empty tag is not touched.
    check(
        "values.yaml",
        "image: {repository: x/y, tag: \"\", digest: @a@}\n",
        &["1:43 helm-values image.digest x/y @a"],
        &[],
    );
}

#[test]
fn helm_releases() {
    check(
        "hr.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  chart:\n    spec:\n      version: 1.2.3\n      valuesFiles: \
         [charts/web/prod.yaml]\n  values:\n    image:\n      repository: a/b\n      tag: v1\n  postRenderers:\n  - kustomize:\n      images:\n      \
         - name: c\n        newTag: v2\n",
        &[
            "11:12 helm-release spec.values.image.tag a/b v1",
            "16:17 kustomize spec.postRenderers[0].kustomize.images[0].newTag c v2",
        ],
        &["6: the version of a chart without `chart` and `sourceRef` beside it"],
    );
}

#[test]
fn argo_applications() {
    check(
        "app.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  sources:\n  - helm:\n      valuesObject: {image: {repository: a/b, tag: \
         '1'}}\n      parameters:\n      - name: image.repository\n        value: c/d\n      - name: image.tag\n        value: \"2\"\n      - \
         {name: side.image.tag, value: x}\n      - {name: job.image, value: 'e/f:3'}\n  - kustomize:\n      images:\n      - \
         g=registry.example.com:5000/h:4\n      - i@@a@\n      - j=k\n      - l=*:5\n",
        &[
            "6:53 argo-application spec.sources[0].helm.valuesObject.image.tag a/b 1",
            "11:17 argo-application spec.sources[0].helm.parameters[1].value c/d 2",
            "13:39 argo-application spec.sources[0].helm.parameters[3].value e/f 3",
            "16:39 argo-application spec.sources[1].kustomize.images[0] registry.example.com:5000/h 4",
            "17:11 argo-application spec.sources[1].kustomize.images[1] i @a",
        ],
        &["12: no `repository` parameter", "18: no tag or digest", "19: "],
    );
    check(
        "set.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  generators:\n  - list:\n      template:\n        spec: {source: \
         {kustomize: {images: ['a:1']}}}\n  template:\n    spec:\n      source:\n        helm:\n          values: |\n            # comment\n            \
         image:\n              repository: b/c\n              tag: \"2\"\n\n            job: {image: d/e:3}\n          x: 1\n",
        &[
            "7:49 argo-application spec.generators[0].list.template.spec.source.kustomize.images[0] a 1",
            "16:21 argo-application spec.template.spec.source.helm.values.image.tag b/c 2",
            "18:30 argo-application spec.template.spec.source.helm.values.job.image d/e 3",
        ],
        &[],
    );
}

#[test]
fn values_as_text_that_are_left_alone() {
    let application = |values: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n      values: {values}\n"
        )
    };
    for (values, reason) in [
        ("\"image: {repository: a/b, tag: v1}\"", "6: values as text are edited only in a literal block scalar"),
        (">\n        image: {repository: a/b, tag: v1}", "7: values as text are edited only in a literal block scalar"),
        ("|\n        image: {{ .x }}\n        - {{ if }}", "7: the values in it are not YAML"),
    ] {
        check("app.yaml", &application(values), &[], &[reason]);
    }
    check("app.yaml", &application("|\n        replicas: 2"), &[], &[]);
}

#[test]
fn setter_markers() {
    check(
        "flux.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - image: a/b:1 # {\"$imagepolicy\": \
         \"flux-system:a\"}\n      - image: c/d:1\n",
        &[
            "7:20 setter spec.template.spec.containers[0].image a/b 1",
            "8:20 container spec.template.spec.containers[1].image c/d 1",
        ],
        &[],
    );
    check(
        KUSTOMIZATION,
        "images:\n- name: a\n  newName: b/c # {\"$imagepolicy\": \"f:a:name\"}\n  newTag: v1 # {\"$imagepolicy\": \"f:a:tag\"}\n  digest: @a@ # \
         {\"$imagepolicy\": \"f:a:digest\"}\n",
        &["4:11 setter images[0].newTag b/c v1@a"],
        &[],
    );
    check(
        "values-x.yaml",
        "image:\n  repository: a/b\n  tag: v1 # {\"$imagepolicy\": \"f:a:tag\"}\n",
        &["3:8 setter image.tag a/b v1"],
        &[],
    );
    check(
        "any/thing.yaml",
        "web:\n  version: v1 # {\"$imagepolicy\": \"f:a:tag\"}\n  sum: @a@ # {\"$imagepolicy\": \"f:a:digest\"}\nnames:\n- a/b # {\"$imagepolicy\": \
         \"f:a:name\"}\nwhole: c/d:2 # {\"$imagepolicy\": \"f:b\"}\n",
        &["2:12 setter web.version a/b v1@a", "6:12 setter whole c/d 2"],
        &[],
    );
}

#[test]
fn setter_markers_that_are_left_alone() {
    check(
        "any/thing.yaml",
        "a: v1 # {\"$imagepolicy\": \"f:a:tag\"}\nb: x/y # {\"$imagepolicy\": \"f:b\"}\n# {\"$imagepolicy\": \"f:b\"}\nc: {d: e, f: g} # \
         {\"$imagepolicy\": \"f:b\"}\ng: x:1 # {\"$imagepolicy\": \"f\"}\nh: x:1 # {\"$imagepolicy\": f:a}\ni: x:1 # {\"$imagepolicy\": \"f:a:b\"}\n",
        &[],
        &[
            "1: a setter marker for a part of a reference, but no image",
            "2: no tag or digest",
            "3: a setter marker without a value",
            "4: a setter marker behind more than one value",
            "5: a setter marker that cannot be read",
            "6: a setter marker that cannot be read",
            "7: a setter marker that cannot be read",
        ],
    );
    check(
        KUSTOMIZATION,
        "images:\n- name: a\n  newTag: v1 # {\"$imagepolicy\": \"f:a\"}\n",
        &[],
        &["3: the setter marker and its surroundings disagree"],
    );
}

#[test]
fn anchors_aliases_and_merges() {
    check(
        "values.yaml",
        "x: &shared\n  repository: a/b\n  tag: v1\nimage: *shared\nonce: &once\n  image: c/d:2\nown:\n  image:\n    <<: *shared\n    tag: v3\ny: &t v4\nz: {image: \
         {repository: e/f, tag: *t}}\n",
        &["6:14 helm-values once.image c/d 2", "10:10 helm-values own.image.tag a/b v3"],
        &["3: shared through the anchor in line", "12: an alias: the value is at the anchor in line 11"],
    );
    check(
        KUSTOMIZATION,
        "images:\n- name: a\n  newTag: v1\n  newTag: v2\n- name: b\n  newTag: v3\n",
        &["6:11 kustomize images[1].newTag b v3"],
        &["3: the key `newTag` occurs twice (again in line 4)"],
    );
    check(KUSTOMIZATION, "images: &i\n- {name: a, newTag: v1}\nother: *i\n", &[], &["2: shared through the anchor"]);
}

#[test]
fn what_is_written_in_unusual_ways() {
    check(
        KUSTOMIZATION,
        "images:\n- name: a\n  newTag: |-\n    v1\n- name: b\n  newTag: \"v\\x31\"\n- name: c\n  newTag: !!str 1.10\n- name: d\n  newTag: !x v1\n- name: \
         e\n  newTag: \"v1\\\n    .2\"\n- ? name\n  : f\n  ? newTag\n  : v9\n",
        &["8:17 kustomize images[2].newTag c 1.10", "17:5 kustomize images[5].newTag f v9"],
        &[
            "4: written over several lines",
            "6: the tag is written with escape",
            "10: the value carries",
            "12: written over several lines",
        ],
    );
    for ending in ["\n", "\r\n", "\r"] {
        let text = "\u{feff}# ä\nimages:\n- {ä: \"ö\", name: a, newTag: v1}\n".replace('\n', ending);
        check(KUSTOMIZATION, &text, &["3:29 kustomize images[0].newTag a v1"], &[]);
    }
    check(KUSTOMIZATION, "\u{feff}{images: [{name: a, newTag: v1}]}", &["1:29 kustomize images[0].newTag a v1"], &[]);
    check(
        "x.json",
        r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"ghcr.io\/acme\/web:1"}]}}"#,
        &["1:84 container spec.containers[0].image ghcr.io/acme/web 1"],
        &[],
    );
}

#[test]
fn markers_behind_what_is_commented_out_are_one_line() {
    let marker = "# image: a/b:1 # {\"$imagepolicy\": \"f:a\"}\n";
    let text = format!("a: 1\n{marker}{marker}{marker}");
    check("x.yaml", &text, &[], &["2: 3 setter markers behind values that are commented out"]);
}

#[test]
fn a_tag_that_an_operator_has_a_second_time_is_left_alone() {
    let spark = |version: &str| {
        format!(
            "apiVersion: sparkoperator.k8s.io/v1beta2\nkind: SparkApplication\nspec:\n  image: apache/spark:3.5.1\n  sparkVersion: {version}\n"
        )
    };
    let scan = scan_file(&path("x.yaml"), spark("3.5.1").as_bytes());
    assert!(scan.pins.is_empty());
    let SkipReason::VersionRepeated { key, line } = &scan.skipped[0].reason else { panic!("{scan:?}") };
    assert_eq!((key.as_str(), *line), ("sparkVersion", 5));
    assert_eq!(scan_file(&path("x.yaml"), spark("4.0.0").as_bytes()).pins.len(), 1, "another version says nothing");
}

#[test]
fn encrypted_and_unreadable_files() {
    let sops = "sops:\n  mac: x\n  lastmodified: y\n";
    check("x.yaml", &format!("image: a:1\n{sops}"), &[], &["file: encrypted with SOPS"]);
    check("values.yaml", "image: a:1\nx: ENC[AES256_GCM,data:x,type:str]\n", &[], &["file: encrypted with SOPS"]);
    check("x.yaml", &format!("a: 1\n---\nimage: a:1\n{sops}"), &[], &["file: encrypted with SOPS"]);
    check("x.yaml", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n", &[], &["file: a SealedSecret"]);
    check("x.yaml", "a: b: c\n", &[], &["1: not valid YAML"]);
    check("x.yaml", "a: 1\n---\nb: [\n", &[], &["3: not valid YAML"]);
    check("t.yaml", "{{- if .x }}\na: 1\n{{- end }}\n", &[], &["1: a template"]);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12\n", "a".repeat(64));
    check("x.yaml", &pointer, &[], &["file: kept in Git LFS"]);
    let bytes = scan_file(&RepoPath::parse("x.yaml").unwrap(), b"a: 1\nb: \xff\n");
    assert_eq!(bytes.skipped[0].line, Some(2));
    let large = scan_file(&RepoPath::parse("x.yaml").unwrap(), &vec![b' '; MAX_BYTES + 1]);
    assert_eq!(large.skipped.len(), 1);
    for empty in ["", "\u{feff}", "---\n", "# only\n", "---\n---\n...\n"] {
        check("x.yaml", empty, &[], &[]);
    }
}

#[test]
fn hostile_files_cost_little() {
    let deep = "[".repeat(100_000);
    let bomb = {
        let mut text = String::from("a0: &a0 [x, x]\n");
        for n in 1..200 {
            let before = format!("*a{}", n - 1);
            text.push_str(&format!("a{n}: &a{n} [{}]\n", vec![before; 50].join(", ")));
        }
        text + "image: *a199\n"
    };
    let merges = {
        let mut text = String::from("a0: &a0 {x: 1}\n");
        for n in 1..200 {
            text.push_str(&format!("a{n}: &a{n} {{<<: [{}]}}\n", vec![format!("*a{}", n - 1); 50].join(", ")));
        }
        text
    };
    let cycle = "image: &a\n  <<: *a\n  tag: x\n".to_owned();
    let documents = "--- {image: 'a:1'}\n".repeat(20_000);
    let markers = "a: v1 # {\"$imagepolicy\": \"f:a:tag\"}\n".repeat(20_000);
    let braces = "{a: ".repeat(5_000);
    let wide = (0..20_000).map(|n| format!("k{n}: 1\n")).collect::<String>();
    let wide =
        format!("base: &b\n{}{}", wide.replace('k', "  k"), "- {<<: *b, tag: x}\n".repeat(20_000).replace("- ", "m: "));
    for text in [deep, bomb, merges, cycle, documents, markers, braces, wide] {
        let scan = scan_file(&RepoPath::parse("values.yaml").unwrap(), text.as_bytes());
        assert!(scan.pins.len() + scan.skipped.len() + scan.values_skipped.len() + scan.values.len() < 100_001);
    }
}

#[test]
fn values_files_are_named_by_others() {
    for (name, text, files) in [
        (
            "apps/app.yaml",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    path: charts/web\n    helm: {valueFiles: [prod.yaml, /env/a.yaml, \
             $values/env/b.yaml, ../c.yaml]}\n",
            &[
                "apps/prod.yaml",
                "c.yaml",
                "charts/c.yaml",
                "charts/web/prod.yaml",
                "env/a.yaml",
                "env/b.yaml",
                "prod.yaml",
            ][..],
        ),
        (
            "apps/x/kustomization.yaml",
            "helmCharts:\n- name: x\n  valuesFile: env/prod.yaml\n  additionalValuesFiles: [more.yaml]\n",
            &["apps/x/env/prod.yaml", "apps/x/more.yaml", "env/prod.yaml", "more.yaml"],
        ),
        (
            "set.yaml",
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  template:\n    spec:\n      source: {path: charts/web, helm: {valueFiles: \
             ['env-{{env}}.yaml']}}\n",
            &["charts/web/env-*.yaml", "env-*.yaml"],
        ),
    ] {
        let scan = scan_file(&RepoPath::parse(name).unwrap(), text.as_bytes());
        assert_eq!(scan.names_values, files, "{name}");
    }
}

#[test]
fn candidates() {
    for (name, wanted) in [
        ("a/b.yaml", true),
        ("b.YML", true),
        ("b.json", true),
        ("x/Kustomization", true),
        (".landfallignore", true),
        ("x/.landfallignore", false),
        ("README.md", false),
        ("yaml", false),
    ] {
        assert_eq!(is_candidate(&RepoPath::parse(name).unwrap()), wanted, "{name}");
    }
}

#[test]
fn what_is_left_alone_by_design_is_told_from_what_hides_an_update() {
    for (text, by_design) in [
        ("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: web\n", true),
        ("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: 'web:{{ .Values.tag }}'\n", true),
        ("apiVersion: v1\nkind: Secret\nsops:\n  mac: x\n", true),
        ("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: &a web:1\n  - image: *a\n", false),
        ("kind: Pod\n  spec: [\n", false),
    ] {
        let scan = super::super::scan_file(&super::path("a.yaml"), text.as_bytes());
        assert!(!scan.skipped.is_empty(), "{text}");
        assert!(scan.skipped.iter().all(|skipped| skipped.reason.is_expected() == by_design), "{:?}", scan.skipped);
    }
}

/// Where a policy has ranges replaced, each place with one is a pin, and an edit leaves a version there and nothing else changed.
#[test]
fn a_range_of_a_chart_s_versions_is_replaced_where_a_policy_says_so() {
    let pinning = KeyPaths::default().pinning_ranges(vec![PathPattern::parse("charts/**").unwrap()]);
    let set = |name: &str, text: &str| {
        let scan = scan_with(&pinning, &path(name), text.as_bytes());
        let edits: Vec<_> =
            scan.pins.iter().map(|pin| PinEdit { pin, to: version("1.4.0+up2"), rename: None }).collect();
        assert!(scan.pins.iter().all(|pin| pin.version.is_range()), "{scan:#?}");
        String::from_utf8(edit(&path(name), text.as_bytes(), &edits).unwrap()).unwrap()
    };
    for (range, written) in [
        ("1.x", "1.4.0+up2"),
        ("1", "1.4.0+up2"),
        ("1.2", "1.4.0+up2"),
        ("^1.2", "1.4.0+up2"),
        ("'>=1.0.0 <2'", "'1.4.0+up2'"),
        ("\"~1 || ^2\"", "\"1.4.0+up2\""),
        ("'1.2 - 1.4'", "'1.4.0+up2'"),
        ("'*'", "'1.4.0+up2'"),
        ("=1.2.3", "1.4.0+up2"),
    ] {
        let text = |version: &str| {
            format!(
                "apiVersion: v2\r\nname: a\r\ndependencies:\r\n- name: web # ours\r\n  version: {version} # keep\r\n  repository: oci://ghcr.io/acme\r\n"
            )
        };
        assert_eq!(set("charts/a/Chart.yaml", &text(range)), text(written), "{range}");
        let shown = range.trim_matches(['\'', '"']);
        let column = if range == shown { 12 } else { 13 };
        let pin = format!("5:{column} chart dependencies[0].version oci://ghcr.io/acme/web {shown}");
        check_with(&pinning, "charts/a/Chart.yaml", &text(range), &[&pin], &[]);
        check_with(&pinning, "apps/a/Chart.yaml", &text(range), &[], &["5: a range of versions of a chart"]);
    }
    let chart = |version: &str| {
        format!(
            "apiVersion: v2\nname: a\ndependencies:\n- {{name: web, repository: 'https://charts.example.com', version: {version}}}\n"
        )
    };
    let long = format!("'{} 1.x'", "1.x ".repeat(50));
    for (range, said) in [
        ("'{{ .v }}'", "4: a template"),
        ("&v 1.x", ""),
        ("'1.x\n\n  '", "4: written over several lines"),
        ("'1.x; rm'", "4: `1.x; rm` is not"),
        ("\"1.x\\u0020\"", "4: the tag is written with escape"),
        ("[1.x]", "4: not a single value"),
        (&long, "4: `1.x 1.x"),
    ] {
        let skips: Vec<&str> = [said].into_iter().filter(|said| !said.is_empty()).collect();
        let pins: &[&str] = if skips.is_empty() {
            &["4:69 chart dependencies[0].version https://charts.example.com/web 1.x"]
        } else {
            &[]
        };
        check_with(&pinning, "charts/a/Chart.yaml", &chart(range), pins, &skips);
    }
    let shared = "apiVersion: v2\nname: a\ndependencies:\n- {name: web, repository: 'https://charts.example.com', version: &v 1.x}\n\
                  - {name: api, repository: 'https://charts.example.com', version: *v}\n";
    check_with(&pinning, "charts/a/Chart.yaml", shared, &[], &["4: shared through the anchor", "5: an alias"]);
}
