//! The kinds of pins, one per file: how each is recognised, its name, its documentation.
//!
//! A new kind is a file with a `KIND`, and a line in the table below; dispatch, `--kind` and the help follow from that.
//! Each document of a file is offered to the kinds in the table's order; the first that claims it reads all of it.
//! Anything that looks like an image but was read by no kind is reported afterwards (`unclaimed`), so that no image
//! reference is skipped silently.

use super::collector::Collector;
use super::tree::{Id, Spelling};
use crate::model::observation::group_of;
use crate::model::{ImageReference, PinKind, SkipReason};

mod unclaimed;

macro_rules! kinds {
    ($($kind:ident),+ $(,)?) => {
        $(mod $kind;)+

        /// All kinds, in the order in which a document is offered to them.
        const TABLE: &[Recognizer] = &[$($kind::KIND),+];

        /// Every kind of pin.
        pub const PIN_KINDS: &[PinKind] = &[$($kind::KIND.kind),+];
    };
}

kinds![
    kustomize,
    argo_application,
    helm_release,
    crossplane_package,
    oci_artifact,
    chart,
    setter,
    container,
    compose,
    helm_values,
    terraform,
    key_path,
];

pub(super) use argo_application::sources;
pub(super) use chart::{chart_name, is_chart_file};
pub(super) use container::VersionKey;
pub(super) use helm_values::is_helmfile;
pub(super) use helm_values::{PlainKeys, ends_in_image};
pub(super) use kustomize::{FILES as KUSTOMIZATION_FILES, is_kustomization_file};
pub(super) use setter::WORD as SETTER;
pub(super) use unclaimed::{certain_reference, is_numbered};

/// The kind of what policies declare.
pub(super) const KEY_PATH: PinKind = key_path::KIND.kind;
/// The kind of charts' versions.
pub(super) const CHART: PinKind = chart::KIND.kind;
/// The kind of images in Compose files.
pub(super) const COMPOSE: PinKind = compose::KIND.kind;
/// The kind of images in Terraform.
pub(super) const TERRAFORM: PinKind = terraform::KIND.kind;

/// Maximum nesting of Lists in Lists.
const MAX_LISTS: u8 = 4;

/// How a kind finds its pins.
struct Recognizer {
    kind: PinKind,
    /// Reads a document if it is of this kind.
    document: fn(&mut Collector<'_, '_>, &Document<'_>) -> Claim,
    /// Reads the file as a whole, after its documents.
    file: fn(&mut Collector<'_, '_>),
}

/// Whether a document is of a kind.
enum Claim {
    Taken,
    Passed,
}

/// One document, or one item of a List.
struct Document<'t> {
    root: Id,
    form: Form,
    /// The API group and kind of an object; empty for everything else.
    group: &'t str,
    kind: &'t str,
}

/// The form of a document, before its content is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A kustomization, because of the file's name.
    Kustomization,
    /// It has `apiVersion` and `kind`.
    Object,
    /// Another mapping: Helm values, or something unrelated.
    Mapping,
    /// A list or a scalar.
    Other,
}

/// The kind with this name.
#[must_use]
pub fn pin_kind(name: &str) -> Option<PinKind> {
    PIN_KINDS.iter().find(|kind| kind.name == name).copied()
}

impl Collector<'_, '_> {
    /// One document of a file.
    pub(in crate::overlay) fn document(&mut self, root: Id) {
        self.item(root, MAX_LISTS);
    }

    /// The file as a whole, after its documents.
    pub(in crate::overlay) fn whole_file(&mut self) {
        for kind in TABLE {
            (kind.file)(self);
        }
    }

    fn item(&mut self, root: Id, lists: u8) {
        let tree = self.tree;
        let (version, kind) = (tree.text_at(root, "apiVersion"), tree.text_at(root, "kind").unwrap_or(""));
        let form = match version {
            _ if is_kustomization_file(self.path.file_name()) => Form::Kustomization,
            Some(_) if !kind.is_empty() => Form::Object,
            _ if tree.is_mapping(root) => Form::Mapping,
            _ => Form::Other,
        };
        let group = group_of(version.unwrap_or(""));
        let document = Document { root, form, group, kind };
        match form {
            Form::Object if self.unclear_object(root) => return,
            Form::Object if kind == "SealedSecret" => return self.skip(root, SkipReason::SealedSecret),
            // Its schemas have fields that are named like images but hold none.
            Form::Object if kind == "CustomResourceDefinition" => return,
            Form::Mapping if self.is_policy_file(root) => return,
            Form::Object if kind.ends_with("List") && lists > 0 && tree.get(root, "items").is_some() => {
                let items = tree.get(root, "items").map_or(&[][..], |items| tree.items(items));
                for item in items {
                    let object = tree.text_at(*item, "apiVersion").and(tree.text_at(*item, "kind")).is_some();
                    if object { self.item(*item, lists - 1) } else { self.object_images(*item) }
                }
                return;
            }
            _ => {}
        }
        let taken = TABLE.iter().any(|kind| matches!((kind.document)(self, &document), Claim::Taken));
        if taken {
            self.values = form == Form::Mapping && !self.counts_anyway(&document);
            self.unclaimed(&document);
            self.values = false;
        } else {
            self.json_patch(root);
            self.unclaimed(&document);
        }
    }

    /// Whether it is not clear what an object is, which is said then.
    fn unclear_object(&mut self, root: Id) -> bool {
        let unclear = self.unclear(root, &["apiVersion", "kind"], Spelling::Exact);
        let is_unclear = unclear.is_some();
        unclear.into_iter().for_each(|reason| self.skip(root, reason));
        is_unclear
    }

    /// Whether a mapping is Landfall's own: the images in it say what is updated, and nothing runs them.
    fn is_policy_file(&self, root: Id) -> bool {
        let policies = || self.tree.get(root, "policies").map_or(&[][..], |policies| self.tree.items(policies));
        self.path.as_str().split('/').any(|folder| folder == ".landfall")
            || policies().iter().any(|policy| self.tree.get(*policy, "keyPaths").is_some())
    }

    /// Whether a mapping counts whatever the file is used for.
    fn counts_anyway(&self, document: &Document<'_>) -> bool {
        argo_application::is_source_file(self.path.file_name())
            || helm_values::is_helmfile(self, document.root)
            || compose::is_compose(self, document.root)
    }

    /// A JSON patch (RFC 6902) in a file of its own: reported, because somebody may expect it to be a pin. An operation sets
    /// the image itself, or adds a container with one.
    fn json_patch(&mut self, root: Id) {
        let tree = self.tree;
        for operation in tree.items(root) {
            let (Some(path), Some(_)) = (tree.text_at(*operation, "path"), tree.get(*operation, "op")) else {
                continue;
            };
            let Some(value) = tree.get(*operation, "value") else { continue };
            if path.ends_with("/image") {
                self.patched_image(value);
            }
            for id in value..tree.node(value).last {
                if tree.key(id).is_some_and(ends_in_image) {
                    self.patched_image(id);
                }
            }
        }
    }

    fn patched_image(&mut self, value: Id) {
        let reference = self.tree.scalar(value).and_then(|scalar| ImageReference::parse(&scalar.value).ok());
        if let Some(reference) = reference {
            self.skip_image(value, SkipReason::JsonPatch, Some(reference.name));
        }
    }
}

/// For kinds that read only documents.
fn nothing_more(_: &mut Collector<'_, '_>) {}
