# syntax=docker/dockerfile:1
# The command s3dlio and libs3dlio in small images. docs/packages.md says what is in which layer.
#
#   docker build -t s3dlio .                        the command and the shared library
#   docker build -t s3dlio-dev --target dev .       with headers, a compiler, CMake and pkg-config, to build against it

ARG DEBIAN=bookworm
ARG RUST=1.94

# ---- build: everything that is thrown away
FROM rust:${RUST}-${DEBIAN} AS build
ARG DEBIAN
ARG DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The folders of cargo stay between builds; what is installed goes to /out as a layer of its own.
# cargo goes by times: sources of another checkout may be older than what an earlier build left, hence touch. Its
# folder is one for each release and machine, as C objects of a newer Debian do not link in an older one.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=s3dlio-target,target=/src/target \
    touch build.rs src/lib.rs src/bin/s3dlio/main.rs \
    && cmake -S . -B /build -DCMAKE_INSTALL_PREFIX=/usr \
        -DS3DLIO_CARGO_TARGET_DIR="/src/target/${DEBIAN}-$(uname -m)" \
    && cmake --build /build \
    && DESTDIR=/out cmake --install /build \
    && mkdir /runtime
WORKDIR /out
# The library by its own name and the SONAME; what only a compiler wants stays out.
RUN cp -a --parents usr/bin usr/share/bash-completion usr/share/doc usr/lib/*/libs3dlio.so.* /runtime

# ---- dev: to compile programs against the library
FROM debian:${DEBIAN}-slim AS dev
ARG DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates cmake g++ make pkg-config \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /
RUN ldconfig

# ---- the image: the command and the shared library
FROM debian:${DEBIAN}-slim
ARG DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 s3dlio \
    && install -d -o s3dlio -g s3dlio /data
COPY --from=build /runtime/ /
RUN ldconfig
USER 1000
WORKDIR /data
ENTRYPOINT ["s3dlio"]
CMD ["--help"]
