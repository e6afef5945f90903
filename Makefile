# A thin front door. `make help` lists the targets.
.DEFAULT_GOAL := help
BUILD ?= build
SANITIZE ?=
BUSTED := lua5.4 /usr/bin/busted
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

BUILD_PACKAGES := gcc libc6-dev cmake pkg-config libcivetweb-dev liblua5.4-dev libcurl4-openssl-dev \
  libyaml-dev libssl-dev libsodium-dev lua-dkjson ca-certificates
RUN_PACKAGES := curl
TEST_PACKAGES := clang-format-14 cppcheck lua5.4 lua-busted lua-check lua-socket lua-luv lua-cjson lua-yaml \
  lua-filesystem curl openssl unzip debootstrap iproute2 nghttp2-proxy python3-requests
FUZZ_PACKAGES := clang-14 libclang-rt-14-dev
FUZZ_BUILD := build/fuzzing
FUZZ_SECONDS ?= 60
SOAK_PACKAGES := gnuplot-nox
SOAK_SECONDS ?= 600
BENCH_PACKAGES := wrk curl
BENCH_SECONDS ?= 4
BENCH_TURNS ?= 5
INJECT_ROUNDS ?= 10000

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: .deps-build ## compile
	@cmake -S . -B $(BUILD) -DSANITIZE=$(SANITIZE) >/dev/null
	@cmake --build $(BUILD) -j 2 -- --no-print-directory -s

run: build .deps-run ## the main job on loopback: service, simulated Domino and Kubernetes
	$(BUILD)/rayclusterscaler demo

lint: .deps-test ## the form of C and Lua, and what can be seen without running it
	luacheck --no-color -q .
	find host spec -name '*.[ch]' -exec clang-format-14 --dry-run -Werror {} +
	cppcheck -q -j 2 --std=c11 --enable=warning,performance,portability --inline-suppr \
	  --library=spec/support/cppcheck.cfg --error-exitcode=1 -Ihost host

test: lint build build/tools build-fuzz ## everything that must hold; SUITES="plain address thread" to choose
	@spec/support/suites.sh $(SUITES)

test-cluster: build build/tools ## what Kubernetes is asked, against the real cluster of KUBECONFIG
	spec/cluster/run.sh

build-fuzz: .deps-build .deps-fuzz
	@cmake -S . -B $(FUZZ_BUILD) -DFUZZ=ON -DCMAKE_C_COMPILER=clang-14 >/dev/null
	@cmake --build $(FUZZ_BUILD) -j 2 --target fuzz -- --no-print-directory -s

fuzz: build-fuzz .deps-test ## each fuzz target for FUZZ_SECONDS (60)
	@lua5.4 spec/fuzz/run.lua $(FUZZ_BUILD) $(FUZZ_SECONDS)

bench: build .deps-test .deps-bench ## the service beside its peers, as a table and build/bench.json
	@cmake --build $(BUILD) --target bench_peer -- --no-print-directory -s
	@BUILD_DIR=$(BUILD) lua5.4 spec/bench/run.lua $(BENCH_SECONDS) $(BENCH_TURNS)

soak: build .deps-test .deps-soak ## load, edits, failing upstreams and hostile clients for SOAK_SECONDS (600)
	@BUILD_DIR=$(BUILD) lua5.4 spec/soak/run.lua $(SOAK_SECONDS)

inject: build .deps-test ## 10,000 rounds of start, serve, reload, stop while the system fails at random
	@spec/inject/run.sh $(INJECT_ROUNDS)

image-test: .deps-test ## follow the Dockerfile in a chroot and run the result
	spec/image/run.sh

# Installs the packages that are missing, once; again when this file changes.
define install
	@missing=$$(for name in $(1); do \
	  dpkg-query -W -f='$${db:Status-Abbrev}' $$name 2>/dev/null | grep -q '^ii' || echo $$name; done); \
	if [ -n "$$missing" ]; then echo "installing" $$missing && $(SUDO) apt-get update -qq && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
	@touch $@
endef

.deps-build: Makefile
	$(call install,$(BUILD_PACKAGES))
.deps-run: Makefile
	$(call install,$(RUN_PACKAGES))
.deps-test: Makefile
	$(call install,$(TEST_PACKAGES))
.deps-soak: Makefile
	$(call install,$(SOAK_PACKAGES))
.deps-bench: Makefile
	$(call install,$(BENCH_PACKAGES))
.deps-fuzz: Makefile
	$(call install,$(FUZZ_PACKAGES))

# helm, kubectl, promtool and Kubernetes' types, for the chart's specs.
build/tools: spec/helm/tools.sh | .deps-test
	spec/helm/tools.sh $@
	@touch $@

.PHONY: help build build-fuzz lint run test test-cluster bench soak fuzz inject image-test
