"""Makes signatures.json: an image, and signatures of it without a key, by authorities that exist nowhere else.

Everything that Sigstore's public instance would do is done here by hand, with keys that are thrown away: a certificate authority issues a
certificate to a workflow, a log of certificates and a transparency log promise to have it, and the workflow signs. Run it again only to
change what is signed: python3 make.py > signatures.json (needs the package cryptography).
"""

import base64
import datetime
import hashlib
import json
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AT = datetime.datetime(2026, 1, 5, 12, 0, tzinfo=datetime.timezone.utc)
IDENTITY = "https://github.com/acme/web/.github/workflows/release.yaml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
LOG = "rekor.example.com"


def b64(data):
    return base64.b64encode(data).decode()


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def sign(key, data):
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def canonical(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def new():
    return ec.generate_private_key(ec.SECP256R1())


class Authorities:
    """A certificate authority, a log of certificates, and a transparency log with as many entries as there are signatures."""

    def __init__(self):
        self.ca, self.ct, self.log = new(), new(), new()
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "example"), x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
        self.root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.ca.public_key())
            .serial_number(1)
            .not_valid_before(AT - datetime.timedelta(days=1))
            .not_valid_after(AT + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .sign(self.ca, hashes.SHA256())
        )

    def issue(self, key, identity, issuer, at=AT):
        def build(extra):
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([]))
                .issuer_name(self.root.subject)
                .public_key(key.public_key())
                .serial_number(2)
                .not_valid_before(at)
                .not_valid_after(at + datetime.timedelta(minutes=10))
                .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.public_key()), critical=False)
                .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
                .add_extension(
                    x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), issuer.encode()), critical=False
                )
                .add_extension(
                    x509.UnrecognizedExtension(
                        x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), bytes([0x0C, len(issuer)]) + issuer.encode()
                    ),
                    critical=False,
                )
            )
            if extra is not None:
                oid = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
                builder = builder.add_extension(x509.UnrecognizedExtension(oid, extra), critical=False)
            return builder.sign(self.ca, hashes.SHA256())

        tbs = build(None).tbs_certificate_bytes
        moment = int(at.timestamp() * 1000)
        entry = hashlib.sha256(spki(self.ca)).digest() + len(tbs).to_bytes(3, "big") + tbs
        signed = sign(self.ct, struct.pack(">BBQH", 0, 0, moment, 1) + entry + b"\0\0")
        sct = b"\0" + hashlib.sha256(spki(self.ct)).digest() + struct.pack(">QH", moment, 0) + b"\x04\x03" + struct.pack(">H", len(signed)) + signed
        listed = struct.pack(">H", len(sct)) + sct
        listed = struct.pack(">H", len(listed)) + listed
        octets = bytes([0x04, 0x81, len(listed)]) if len(listed) > 127 else bytes([0x04, len(listed)])
        return build(octets + listed)

    def entry(self, body, index, at=AT):
        identity = hashlib.sha256(spki(self.log)).digest()
        time = int(at.timestamp()) + 5
        promise = sign(
            self.log, canonical({"body": b64(body), "integratedTime": time, "logIndex": index, "logID": identity.hex()})
        )
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"{LOG} - 1\n1\n{b64(root)}\n"
        checkpoint = f"{note}\n\u2014 {LOG} {b64(identity[:4] + sign(self.log, note.encode()))}\n"
        kind = json.loads(body)
        return {
            "logIndex": str(index),
            "logId": {"keyId": b64(identity)},
            "kindVersion": {"kind": kind["kind"], "version": kind["apiVersion"]},
            "integratedTime": str(time),
            "inclusionPromise": {"signedEntryTimestamp": b64(promise)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": b64(body),
        }

    def trusted_root(self):
        def log(key):
            return {
                "baseUrl": f"https://{LOG}",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": b64(spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2026-01-01T00:00:00Z"},
                },
                "logId": {"keyId": b64(hashlib.sha256(spki(key)).digest())},
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.log)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "example", "commonName": "ca"},
                    "uri": "https://fulcio.example.com",
                    "certChain": {"certificates": [{"rawBytes": b64(self.root.public_bytes(serialization.Encoding.DER))}]},
                    "validFor": {"start": "2026-01-01T00:00:00Z"},
                }
            ],
            "ctlogs": [log(self.ct)],
            "timestampAuthorities": [],
        }


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def bundle(authorities, digest, kind, index, identity=IDENTITY, issuer=ISSUER):
    key = new()
    certificate = authorities.issue(key, identity, issuer)
    statement = canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "web", "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicateType": kind,
            "predicate": {},
        }
    )
    payload_type = "application/vnd.in-toto+json"
    signature = sign(key, b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(statement), statement))
    envelope = {"payload": b64(statement), "payloadType": payload_type, "signatures": [{"sig": b64(signature)}]}
    body = canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(canonical(envelope)).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()},
                "signatures": [{"signature": b64(signature), "verifier": b64(pem(certificate))}],
            },
        }
    )
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": {"rawBytes": b64(certificate.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [authorities.entry(body, index)],
        },
        "dsseEnvelope": envelope,
    }


def simple(authorities, digest, index):
    """What cosign wrote before bundles: a payload, and annotations beside it."""
    key = new()
    certificate = authorities.issue(key, IDENTITY, ISSUER)
    payload = canonical(
        {
            "critical": {
                "identity": {"docker-reference": ""},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )
    signature = sign(key, payload)
    body = canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
                "signature": {"content": b64(signature), "publicKey": {"content": b64(pem(certificate))}},
            },
        }
    )
    entry = authorities.entry(body, index)
    log = {
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logIndex": index,
            "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
        },
    }
    return {
        "payload": payload.decode(),
        "annotations": {
            "dev.cosignproject.cosign/signature": b64(signature),
            "dev.sigstore.cosign/certificate": pem(certificate).decode(),
            "dev.sigstore.cosign/chain": pem(authorities.root).decode(),
            "dev.sigstore.cosign/bundle": json.dumps(log),
        },
    }


def main():
    config = json.dumps({"created": "2026-01-05T00:00:00Z", "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}})
    digest = "sha256:" + hashlib.sha256(config.encode()).hexdigest()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)},
            "layers": [],
        }
    )
    image = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    authorities, others = Authorities(), Authorities()
    sign_type = "https://sigstore.dev/cosign/sign/v1"
    print(
        json.dumps(
            {
                "identity": IDENTITY,
                "issuer": ISSUER,
                "digest": image,
                "config": config,
                "manifest": manifest,
                "trustedRoot": authorities.trusted_root(),
                "signed": bundle(authorities, image, sign_type, 4711),
                "attested": bundle(authorities, image, "https://slsa.dev/provenance/v1", 4712),
                "ofAnotherImage": bundle(authorities, digest, sign_type, 4713),
                "byAnotherIdentity": bundle(authorities, image, sign_type, 4714, identity=IDENTITY + "-fork"),
                "byAnotherIssuer": bundle(authorities, image, sign_type, 4715, issuer="https://example.com"),
                "byAnotherAuthority": bundle(others, image, sign_type, 4716),
                "simple": simple(authorities, image, 4717),
            },
            indent=1,
        )
    )


main()
