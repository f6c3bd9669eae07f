# The first command of the README on a system that is no Debian, with Docker or Podman:
#
#   docker build -t torment-nexus .
#   docker run -it --rm torment-nexus                  the cabinet
#   docker run --rm torment-nexus script/test          the tests
#
# Tried with Podman on an amd64 host, not on an arm64 one.
FROM debian:bookworm-slim
WORKDIR /torment-nexus
# What script/setup would install: a layer of its own, which a change of the code keeps.
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates cargo-web cmake g++ libclang-dev make rustc-web && rm -rf /var/lib/apt/lists/*
COPY . .
# Builds the program, and has it say its version.
RUN script/demo --version
CMD ["script/demo"]
