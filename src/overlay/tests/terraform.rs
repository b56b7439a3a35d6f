//! Terraform and OpenTofu, in HCL and JSON.

use super::{check, check_with, set};
use crate::model::{KeyPaths, PathPattern};

#[test]
fn images_of_resources_locals_variables_and_modules() {
    let text = r#"# ghcr.io/acme/no:1.0
resource "docker_image" "web" {
  name = "ghcr.io/acme/web:1.2.3" # keep
}
resource "kubernetes_deployment" "web" {
  spec {
    template {
      spec {
        container {
          image = "acme/a:1"
        }
        init_container {
          image = "acme/b@@a@"
        }
      }
    }
  }
}
resource "aws_ecs_task_definition" "x" {
  container_definitions = jsonencode([{ name = "x", image = "acme/c:1", cpu = 1 }])
}
locals {
  sidecar_image = "acme/d:1"
  images        = { web = "ghcr.io/acme/e:1.0" }
}
variable "web_image" {
  type    = string
  default = "acme/f:1"
}
variable "api_image" {
  default = "acme/g"
}
variable "api_image_tag" {
  default = "1.2.3"
}
module "y" {
  source           = "git::https://example.com/y.git?ref=v1.0"
  image_repository = "acme/h"
  image_tag        = "1.2.3"
  proxy            = { registry = "ghcr.io", repository = "acme/i", tag = "1" }
}
"#;
    check(
        "infra/main.tf",
        text,
        &[
            "3:28 terraform resource.docker_image.web.name ghcr.io/acme/web 1.2.3",
            "10:27 terraform resource.kubernetes_deployment.web.spec[0].template[0].spec[0].container[0].image acme/a 1",
            "13:27 terraform resource.kubernetes_deployment.web.spec[0].template[0].spec[0].init_container[0].image acme/b @a",
            "20:69 terraform resource.aws_ecs_task_definition.x.container_definitions[0].image acme/c 1",
            "23:27 terraform locals[0].sidecar_image acme/d 1",
            "24:43 terraform locals[0].images.web ghcr.io/acme/e 1.0",
            "28:21 terraform variable.web_image.default acme/f 1",
            "34:14 terraform variable.api_image_tag.default acme/g 1.2.3",
            "39:23 terraform module.y.image_tag acme/h 1.2.3",
            "40:76 terraform module.y.proxy.tag ghcr.io/acme/i 1",
        ],
        &[],
    );
    let expected = text.replace("acme/web:1.2.3", "acme/web:1.10").replace("@@a@", &format!("@{}", super::digest('a')));
    assert_eq!(set("infra/main.tofu", text, "ghcr.io/acme/web", "1.10").unwrap(), expected);
    let expected = text.replace(
        "repository = \"acme/i\", tag = \"1\"",
        &format!("repository = \"acme/i\", tag = \"1.10@{}\"", super::digest('b')),
    );
    let expected = expected.replace("@@a@", &format!("@{}", super::digest('a')));
    assert_eq!(set("infra/main.tf", text, "ghcr.io/acme/i", "1.10@b").unwrap(), expected);
}

const RELEASES: &str = r#"resource "helm_release" "web" {
  name       = "web"
  repository = "https://charts.example.com/stable"
  chart      = "web"
  version    = "1.2.3" # keep
  set {
    name  = "image.repository"
    value = "ghcr.io/acme/web"
  }
  set {
    name  = "image.tag"
    value = "1.0.0"
  }
  set {
    name  = "sidecar.image"
    value = "acme/sidecar:2"
  }
  set_sensitive {
    name  = "image.tag"
    value = "s3cr3t"
  }
  values = [yamlencode({ proxy = { repository = "acme/proxy", tag = "3" } })]
}
resource "helm_release" "api" {
  chart   = "oci://ghcr.io/acme/charts/api"
  version = "2.0.0+up1"
  set = [
    { name = "web.image.registry", value = "ghcr.io" },
    { name = "web.image.repository", value = "acme/api" },
    { name = "web.image.tag", value = "4" },
    { name = "replicas", value = 3 },
  ]
}
resource "helm_release" "db" {
  repository = "oci://ghcr.io/acme/charts/"
  chart      = "db"
  version    = "~> 1.2"
}
"#;

#[test]
fn charts_of_helm_releases_and_the_images_that_they_set() {
    let own = [
        "5:17 chart resource.helm_release.web.version https://charts.example.com/stable/web 1.2.3",
        "12:14 terraform resource.helm_release.web.set[1].value ghcr.io/acme/web 1.0.0",
        "16:27 terraform resource.helm_release.web.set[2].value acme/sidecar 2",
        "22:70 terraform resource.helm_release.web.values[0].proxy.tag acme/proxy 3",
        "26:14 chart resource.helm_release.api.version oci://ghcr.io/acme/charts/api 2.0.0+up1",
        "30:40 terraform resource.helm_release.api.set[2].value ghcr.io/acme/api 4",
    ];
    check("infra/main.tf", RELEASES, &own, &["37: a range of versions of a chart"]);
    let pinning = KeyPaths::default().pinning_ranges(vec![PathPattern::parse("**").unwrap()]);
    let range = "37:17 chart resource.helm_release.db.version oci://ghcr.io/acme/charts/db ~> 1.2";
    check_with(&pinning, "infra/main.tf", RELEASES, &[&own[..], &[range]].concat(), &[]);
    for (image, from, to) in [
        ("https://charts.example.com/stable/web", "\"1.2.3\" # keep", "1.3.0"),
        ("oci://ghcr.io/acme/charts/api", "\"2.0.0+up1\"", "2.1.0+up2"),
        ("ghcr.io/acme/web", "\"1.0.0\"", "1.10"),
        ("ghcr.io/acme/api", "value = \"4\"", "5"),
    ] {
        let version = from.split('"').nth(1).unwrap();
        let expected = RELEASES.replace(from, &from.replace(version, to));
        assert_eq!(set("infra/main.tf", RELEASES, image, to).unwrap(), expected, "{image}");
        let lines = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(set("infra/main.tf", &lines(RELEASES), image, to).unwrap(), lines(&expected), "{image}");
    }
    let json = r#"{"resource": {"helm_release": {"web": [{"repository": "https://charts.example.com", "chart": "web", "version": "1.2.3", "set": [{"name": "image", "value": "acme/web:1"}]}], "api": {"chart": "oci://ghcr.io/acme/api", "version": "1.0.0", "set": {"name": "image", "value": "acme/api:1"}}}}}"#;
    check(
        "main.tf.json",
        json,
        &[
            "1:113 chart resource.helm_release.web[0].version https://charts.example.com/web 1.2.3",
            "1:166 terraform resource.helm_release.web[0].set[0].value acme/web 1",
            "1:229 chart resource.helm_release.api.version oci://ghcr.io/acme/api 1.0.0",
            "1:281 terraform resource.helm_release.api.set.value acme/api 1",
        ],
        &[],
    );
}

#[test]
fn charts_of_helm_releases_that_are_left_alone() {
    let release = |attributes: &str| format!("resource \"helm_release\" \"a\" {{\n  {attributes}\n}}\n");
    let here = "repository = \"https://charts.example.com\"\n  chart = \"web\"";
    for (attributes, said) in [
        (format!("{here}\n  version = var.version"), "4: an expression"),
        (format!("{here}\n  version = \"${{local.v}}\""), "4: a template"),
        (format!("{here}\n  version = \"1.2\""), "4: a range of versions of a chart"),
        (format!("{here}\n  version = \"1.2.\\u0033\""), "4: the tag is written with escape"),
        ("repository = var.charts\n  chart = \"web\"\n  version = \"1.2.3\"".to_owned(), "4: an expression"),
        ("chart = \"./charts/web\"\n  version = \"1.2.3\"".to_owned(), "3: a chart in a folder"),
        ("chart = \"https://example.com/web-1.2.3.tgz\"\n  version = \"1.2.3\"".to_owned(), "3: a chart in a folder"),
        ("chart = \"stable/web\"\n  version = \"1.2.3\"".to_owned(), "3: the chart's repository is only named here (stable)"),
        ("chart = local.chart\n  version = \"1.2.3\"".to_owned(), "3: an expression"),
        ("version = \"1.2.3\"".to_owned(), "2: no repository next to the tag"),
        (
            "repository = \"https://a:b@charts.example.com\"\n  chart = \"web\"\n  version = \"1.2.3\"".to_owned(),
            "4: `https://charts.example.com/web` is",
        ),
        ("set {\n    name = \"image.tag\"\n    value = \"1.2.3\"\n  }".to_owned(), "4: no `repository` parameter"),
        ("set = [{ name = \"image\", value = \"${var.x}:1\" }]".to_owned(), "2: a template"),
        (
            "set = [{ name = \"image.repository\", value = var.x }, { name = \"image.tag\", value = \"1\" }]".to_owned(),
            "2: an expression",
        ),
        (
            "set = [{ name = \"image.tag\", value = \"1\" }, { name = \"image.tag\", value = \"2\" }, { name = \"image.repository\", value = \"acme/a\" }]".to_owned(),
            "2: the parameter image.tag occurs twice",
        ),
    ] {
        check("main.tf", &release(&attributes), &[], &[said]);
    }
    for attributes in [
        here.to_owned(),
        format!("{here}\n  version = \"\""),
        "set {\n    name = var.n\n    value = \"1\"\n  }".to_owned(),
    ] {
        check("main.tf", &release(&attributes), &[], &[]);
    }
}

#[test]
fn values_and_json() {
    check(
        "prod.auto.tfvars",
        "web_image = \"acme/web:1.2.3\"\napi_repository = \"acme/api\"\napi_tag = \"1\"\n",
        &["1:23 terraform web_image acme/web 1.2.3", "3:12 terraform api_tag acme/api 1"],
        &[],
    );
    let json = r#"{"resource": {"docker_container": {"web": {"image": "acme/web:1.2.3"}}}, "variable": {"image": [{"default": "acme/a:1"}]}, "locals": {"x_image": "${var.y}:1"}}"#;
    check(
        "main.tf.json",
        json,
        &[
            "1:63 terraform resource.docker_container.web.image acme/web 1.2.3",
            "1:117 terraform variable.image[0].default acme/a 1",
        ],
        &["1: a template"],
    );
    assert_eq!(set("main.tf.json", json, "acme/web", "1.10").unwrap(), json.replace("1.2.3", "1.10"));
}

#[test]
fn what_is_put_together_is_left_alone() {
    let text = "a_image = \"${var.repository}:1.2.3\"\nb_image = var.image\nc_image = format(\"%s:1\", x)\nd_image = <<EOT\nacme/d:1\nEOT\ne_image = \"acme/e\"\n\
                vm_image = \"debian-cloud/debian-11\"\nf_image = \"aws/codebuild/standard:5.0\"\ng_tag = \"x\"\nh_image = \"Canonical:Ubuntu:22.04\"\n\
                repository = \"https://charts.example.com\"\nplain = \"ghcr.io/acme/p:1.0\"\ntag = \"1.2.3\"\nimage = 1\n";
    check(
        "x.tfvars",
        text,
        &[],
        &[
            "1: a template",
            "2: an expression",
            "3: an expression",
            "4: a heredoc",
            "13: looks like an image",
            "15: not a text",
        ],
    );
    check("x.tf", "x = {\n", &[], &["1: not valid HCL"]);
    check("x.tf", "image_repository = var.x\nimage_tag = \"1.2.3\"\n", &[], &["2: no repository next to the tag"]);
}

#[test]
fn what_is_no_container_image_is_none_and_what_may_have_some_is_said() {
    let text = "git_repository = \"acme/infra\"\ngit_tag = \"v1.2.3\"\nami_image = \"ami-123:abc\"\n\
                resource \"lxd_instance\" \"a\" {\n  image = \"ubuntu:22.04\"\n}\n";
    check("main.tf", text, &[], &[]);
    let text = "resource \"aws_ecs_task_definition\" \"a\" {\n  container_definitions = <<EOF\n[{\"image\":\"acme/hd:1.2.3\"}]\nEOF\n}\n";
    check("main.tf", text, &[], &["2: a heredoc"]);
    let text = "web_image = \"acme/web:1.2.3\"\nweb_image_tag = \"1.2.3\"\n";
    check("main.tfvars", text, &["1:23 terraform web_image acme/web 1.2.3"], &["2: "]);
}

#[test]
fn what_is_nested_without_end_is_refused_and_overflows_no_stack() {
    let directives = |depth| format!("a = \"{}x{}\"\n", "%{ if true }".repeat(depth), "%{ endif }".repeat(depth));
    let brackets = |depth| format!("a = {}1{}\n", "[".repeat(depth), "]".repeat(depth));
    for depth in [65, 1000, 20_000] {
        for text in [directives(depth), brackets(depth)] {
            check("main.tf", &text, &[], &["1: not valid HCL"]);
        }
    }
    for text in [directives(60), brackets(60)] {
        check("main.tf", &text, &[], &[]);
    }
    let fair = format!("web_image = {}\"acme/web:1.2.3\"{}\n", "[".repeat(20), "]".repeat(20));
    check("main.tf", &fair, &[], &["1: looks like an image"]);
}
