# Landfall's container image: the program, git and ssh on a slim Debian, for a fixed user without rights.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --push --sbom=true --provenance=true \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" \
#     --tag registry.example.com/landfall:0.1.0 .
#
# `--target ci` is the same with what docs/how-to/ci.md needs. Nothing secret goes into any stage: the program reads its
# secrets when it runs, from its environment or from mounted files.

# Debian's stable release moves by security updates alone; a pinned version of its packages would vanish with the next one.
# hadolint global ignore=DL3008

ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

# Each platform is built on itself (natively or by QEMU): aws-lc and mimalloc are C, which would need a cross compiler.
FROM docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /src
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY src src
# What `landfall version` says; where nothing was said, it says nothing.
ARG REVISION=unknown
# The caches are the builder's, not the image's; the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=landfall-${TARGETPLATFORM},sharing=locked \
    if [ "${REVISION}" != unknown ]; then export LANDFALL_COMMIT="${REVISION}"; fi \
    && cargo build --locked --release --bin landfall \
    && install -m 0755 target/release/landfall /landfall

FROM docker.io/library/debian:${DEBIAN}-slim AS runtime
# ssh asks who its user is: a user id without a line in /etc/passwd cannot use ssh addresses.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 65532 landfall \
    && useradd --uid 65532 --gid 65532 --no-log-init --home-dir /nonexistent --shell /usr/sbin/nologin landfall \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/landfall
COPY --from=build /landfall /usr/local/bin/landfall
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Landfall" \
      org.opencontainers.image.description="GitOps image automation that proves every update landed" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The state folder is where the bot writes; with a read-only root file system it is a volume, and so is /tmp.
# Freed memory goes back to the system at once: a little slower, and a tenth less of it.
ENV XDG_STATE_HOME=/var/lib \
    LANDFALL_CONFIG=/etc/landfall/landfall.yaml \
    MIMALLOC_PURGE_DELAY=0
USER 65532:65532
WORKDIR /var/lib/landfall
EXPOSE 8080
# tini reaps what git leaves behind, and hands on SIGTERM, upon which the bot ends its cycle.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/landfall"]
CMD ["run"]

# For pipelines: a shell script around `landfall check`, `plan` and `apply`, and the two programs that it calls.
FROM runtime AS ci
USER 0:0
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl jq \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
COPY --chmod=0755 deploy/ci/landfall-ci /usr/local/bin/landfall-ci
USER 65532:65532

# What is built without --target.
FROM runtime
