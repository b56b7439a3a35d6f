//! What a registry holds of signatures of an image: Sigstore bundles and attestations that refer to it, and what cosign stored under
//! tags before.
//!
//! Promise: every document that is handed on has the digest by which it is named; nothing else of it is checked here. What is too
//! large, missing or not readable is handed on as such, so that it is neither taken for a signature nor hides that there are
//! others. An answer is complete, or it is an error: that a registry does not answer is never "there are none".
//!
//! Design: four places, in this order: the referrers API; the index under the tag `sha256-HEX`, for registries without it (or with one
//! that knows nothing of what was pushed before); the tags `sha256-HEX.sig` and, if attestations are wanted, `sha256-HEX.att`.
//! Whoever takes the documents says when there are enough.

use std::collections::{BTreeMap, BTreeSet};

use http::header::LINK;
use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::error::Cause;
use super::exchange::{Ask, RegistryResponse, Session, said};
use super::host::Failure;
use super::link;
use super::manifest::{ask, descriptor_digest, matches};
use crate::model::{BesideSignature, Digest, Interest, SignatureDocument};

/// The media types of an index, which is what referrers and their tags are.
const INDEX: &str =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";
/// How many manifests that refer to an image are looked into.
const MAX_REFERRERS: usize = 32;
/// How many layers of one of them.
const MAX_LAYERS: usize = 32;
/// How many pages of referrers are read.
const MAX_PAGES: usize = 4;
/// Largest index of referrers, and manifest among them.
const MAX_MANIFEST: u64 = 1 << 20;
/// Largest document: an SBOM that is attested whole has some megabytes.
const MAX_DOCUMENT: u64 = 4 << 20;
/// Largest text that cosign wrote beside a signature.
const MAX_BESIDE: usize = 64 << 10;

/// The artifact types of manifests with signatures; for a while cosign wrote the empty type, or none.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const COSIGN: &str = "application/vnd.dev.cosign.";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Who takes the documents, and says whether more are wanted.
pub(super) type Taker<'t> = &'t mut (dyn FnMut(&SignatureDocument) -> Interest + Send);

/// Which tags are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoughtDocuments {
    /// Signatures.
    Signatures,
    /// Signatures and attestations.
    SignaturesAndAttestations,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct SignatureManifest {
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
}

/// Hands the documents about an image to `take`, until that wants no more.
pub(super) async fn signatures(
    session: &Session<'_>,
    (digest, sought): (&Digest, SoughtDocuments),
    take: Taker<'_>,
) -> Result<(), Failure> {
    let mut visit = Visit { session, seen: BTreeSet::new(), left: MAX_REFERRERS, take };
    let tag = digest.as_str().replace(':', "-");
    let (signature, attestation) = (format!("{tag}.sig"), format!("{tag}.att"));
    let mut failed = None;
    for place in 0..4 {
        let interest = match place {
            0 => visit.referrers(digest).await,
            1 => visit.index(&tag).await,
            2 => visit.tagged(&signature).await,
            _ if sought == SoughtDocuments::SignaturesAndAttestations => visit.tagged(&attestation).await,
            _ => Ok(Interest::More),
        };
        match interest {
            Ok(Interest::Enough) => return Ok(()),
            Ok(Interest::More) => {}
            // One place that is refused or broken does not matter where another has what is needed. A host that does not answer
            // is not asked three times more.
            Err(failure) if failure.cause.is_sick_host() => return Err(failure),
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// What has been looked at so far.
struct Visit<'v, 's> {
    session: &'v Session<'s>,
    seen: BTreeSet<Digest>,
    /// How many manifests may still be looked into.
    left: usize,
    take: Taker<'v>,
}

impl Visit<'_, '_> {
    /// The referrers API (OCI distribution specification 1.1). A registry without it answers 404, or that it does not know it.
    async fn referrers(&mut self, digest: &Digest) -> Result<Interest, Failure> {
        let mut next = Some(self.session.url(&format!("referrers/{digest}"))?);
        for _ in 0..MAX_PAGES {
            let Some(url) = next else { return Ok(Interest::More) };
            let answer = self.session.send(&Ask::get(url.clone(), INDEX, MAX_MANIFEST)).await?;
            match answer.status {
                StatusCode::OK => {}
                _ if answer.status.is_client_error() => return Ok(Interest::More),
                _ => return Err(Failure::protocol(format!("its referrers: it answered {}", said(&answer)))),
            }
            next = next_page(&answer)?;
            // Some registries without the API answer everything with a page of their own.
            let Some(index) = parsed::<Index>(&answer) else { return Ok(Interest::More) };
            drop(answer);
            if self.listed(index).await? == Interest::Enough {
                return Ok(Interest::Enough);
            }
        }
        Err(Failure::protocol(format!("its referrers have more than {MAX_PAGES} pages")))
    }

    /// The index under the tag that stands in for the API.
    async fn index(&mut self, tag: &str) -> Result<Interest, Failure> {
        let answer = ask(self.session, Method::GET, tag).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Interest::More),
            _ => return Err(Failure::protocol(format!("tag {tag}: it answered {}", said(&answer)))),
        }
        let index = parsed::<Index>(&answer);
        drop(answer);
        match index {
            Some(index) => self.listed(index).await,
            None => Ok((self.take)(&unusable(format!("the tag {tag} is not an index")))),
        }
    }

    /// The manifests of an index that may be signatures, those first that say so.
    async fn listed(&mut self, index: Index) -> Result<Interest, Failure> {
        let kind = |entry: &Descriptor| match entry.artifact_type.as_deref() {
            Some(kind) if kind.starts_with(BUNDLE) => Some(0),
            Some(kind) if kind.starts_with(COSIGN) => Some(1),
            None | Some("" | EMPTY) => Some(2),
            Some(_) => None,
        };
        let mut entries: Vec<(u8, Descriptor)> =
            index.manifests.into_iter().flatten().filter_map(|entry| Some((kind(&entry)?, entry))).collect();
        entries.sort_by_key(|(kind, _)| *kind);
        for (_, entry) in entries {
            let digest = descriptor_digest(&entry.digest)?;
            if self.seen.contains(&digest) {
                continue;
            }
            if self.left == 0 {
                return Ok((self.take)(&unusable(format!(
                    "more than {MAX_REFERRERS} manifests refer to the image, and the rest was not looked at"
                ))));
            }
            self.left -= 1;
            let interest = match self.referring(&digest).await {
                Ok(interest) => interest,
                Err(failure) => self.skipped(failure)?,
            };
            self.seen.insert(digest);
            if interest == Interest::Enough {
                return Ok(Interest::Enough);
            }
        }
        Ok(Interest::More)
    }

    async fn referring(&mut self, digest: &Digest) -> Result<Interest, Failure> {
        let answer = ask(self.session, Method::GET, digest.as_str()).await?;
        self.manifest(answer, Some(digest)).await
    }

    /// Goes on after something that is broken in itself, and only that.
    fn skipped(&mut self, failure: Failure) -> Result<Interest, Failure> {
        match failure.cause {
            Cause::Protocol(reason) => Ok((self.take)(&unusable(reason))),
            _ => Err(failure),
        }
    }

    /// What cosign stored under a tag.
    async fn tagged(&mut self, tag: &str) -> Result<Interest, Failure> {
        let answer = ask(self.session, Method::GET, tag).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(Interest::More),
            _ => self.manifest(answer, None).await.map_err(|failure| failure.at(&format!("tag {tag}"))),
        }
    }

    /// The layers of a manifest that may be signatures.
    async fn manifest(&mut self, answer: RegistryResponse, digest: Option<&Digest>) -> Result<Interest, Failure> {
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok((self.take)(&unusable("its manifest is gone".to_owned()))),
            _ => return Err(Failure::protocol(format!("a signature's manifest: it answered {}", said(&answer)))),
        }
        if let Some(digest) = digest {
            matches(&answer.body, digest)?;
        }
        let Some(manifest) = parsed::<SignatureManifest>(&answer) else {
            return Ok((self.take)(&unusable("its manifest cannot be read".to_owned())));
        };
        drop(answer);
        let layers = manifest.layers.unwrap_or_default();
        let more = layers.len().saturating_sub(MAX_LAYERS);
        for layer in layers.into_iter().take(MAX_LAYERS) {
            let known = layer.media_type.starts_with(BUNDLE) || [SIMPLE, ENVELOPE].contains(&layer.media_type.as_str());
            if !known {
                continue;
            }
            let interest = match self.layer(layer).await {
                Ok(interest) => interest,
                Err(failure) => self.skipped(failure)?,
            };
            if interest == Interest::Enough {
                return Ok(Interest::Enough);
            }
        }
        if more > 0 {
            return Ok((self.take)(&unusable(format!("{more} more layers of its manifest were not looked at"))));
        }
        Ok(Interest::More)
    }

    /// One document.
    async fn layer(&mut self, layer: Descriptor) -> Result<Interest, Failure> {
        let too_large = || unusable(format!("it has more than {} MiB", MAX_DOCUMENT >> 20));
        if layer.size > MAX_DOCUMENT {
            return Ok((self.take)(&too_large()));
        }
        let digest = descriptor_digest(&layer.digest)?;
        let url = self.session.url(&format!("blobs/{digest}"))?;
        // The size that is promised is all that is read.
        let limit = if layer.size == 0 { MAX_DOCUMENT } else { layer.size };
        let mut answer = self.session.send(&Ask::get(url, "*/*", limit)).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok((self.take)(&unusable("its content is gone".to_owned()))),
            _ => return Err(Failure::protocol(format!("a signature's content: it answered {}", said(&answer)))),
        }
        matches(&answer.body, &digest)?;
        // The bytes keep their place in memory until they have been looked at.
        let body = std::mem::take(&mut answer.body.bytes);
        let mut annotations = layer.annotations.unwrap_or_default();
        let document = if layer.media_type.starts_with(BUNDLE) {
            SignatureDocument::Bundle(body)
        } else if layer.media_type == ENVELOPE {
            SignatureDocument::Envelope { body, beside: beside(&mut annotations) }
        } else {
            match annotations.remove("dev.cosignproject.cosign/signature") {
                Some(signature) => {
                    SignatureDocument::Simple { payload: body, signature, beside: beside(&mut annotations) }
                }
                None => unusable("its layer has no annotation with a signature".to_owned()),
            }
        };
        Ok((self.take)(&document))
    }
}

fn beside(annotations: &mut BTreeMap<String, String>) -> BesideSignature {
    let mut text = |name: &str| {
        annotations
            .remove(&format!("dev.sigstore.cosign/{name}"))
            .filter(|text| !text.is_empty() && text.len() <= MAX_BESIDE)
    };
    BesideSignature { certificate: text("certificate"), chain: text("chain"), log: text("bundle") }
}

fn unusable(reason: String) -> SignatureDocument {
    SignatureDocument::Unusable { reason }
}

fn parsed<T: for<'de> Deserialize<'de>>(answer: &RegistryResponse) -> Option<T> {
    serde_json::from_slice(&answer.body).ok()
}

fn next_page(answer: &RegistryResponse) -> Result<Option<Url>, Failure> {
    for header in answer.headers.get_all(LINK) {
        let text = header.to_str().map_err(|_| Failure::protocol("the Link header cannot be read"))?;
        if let Some(target) = link::next(text).map_err(Failure::protocol)? {
            return link::resolve(&answer.url, target).map(Some).map_err(Failure::protocol);
        }
    }
    Ok(None)
}
