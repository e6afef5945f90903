# The image: compiled with all that takes, run with the libraries alone. spec/image follows these stages in `make test`.

FROM debian:12-slim AS build
WORKDIR /src
# The packages are the Makefile's, so that there is one list of them.
COPY Makefile ./
RUN apt-get update \
 && apt-get install -y --no-install-recommends make \
 && make .deps-build
COPY CMakeLists.txt ./
COPY host host
RUN make build \
 && strip build/rayclusterscaler

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    ca-certificates libcivetweb1 libcurl4 liblua5.4-0 libsodium23 libssl3 libyaml-0-2 lua-dkjson \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/rayclusterscaler /usr/bin/rayclusterscaler
# `serve` finds scripts/ and policies/ here when nothing is mounted, `demo` the simulator.
WORKDIR /usr/share/rayclusterscaler
COPY scripts scripts
COPY policies policies
COPY spec/simulator spec/simulator
# Each thread would keep up to seven freed blocks of each size; there are some 200 threads. With one, the service takes
# half of the memory, and as much after a day as after a minute.
ENV GLIBC_TUNABLES=glibc.malloc.tcache_count=1
# By number, so that Kubernetes sees that it is not root.
USER 1000:1000
EXPOSE 6000 6001
ENTRYPOINT ["/usr/bin/rayclusterscaler"]
CMD ["serve"]
