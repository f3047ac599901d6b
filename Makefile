# Every command a person or CI needs. The work is done in scripts/, a few lines each.

.DEFAULT_GOAL := help
.PHONY: help run test test-all check cover cost bench bench-quick bench-docs bench-peers soak fuzz sbom lock \
    prices news image agents clean
MAKEFLAGS += --no-print-directory

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	    || sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

run:  ## start apiproxy here; with no provider key in the environment, the demo
	@scripts/run

test:  ## everything CI runs: lint, types, import rules, all tests, coverage
	@scripts/test

test-all:  ## all tests on each of Python 3.11, 3.12 and 3.13 that is installed
	@scripts/test-all

check:  ## ruff, mypy and import-linter, without the tests
	@scripts/check

cover:  ## all tests under trial, with their coverage, and under pytest
	@scripts/cover

cost:  ## count what a request, an event and a frame call, and write it down in tests/cost
	@scripts/cost

bench:  ## measure apiproxy against its peers: one table, and JSON with every sample
	@scripts/bench $(ARGS)

bench-quick:  ## its main rows, in less than two minutes
	@scripts/bench-quick $(ARGS)

bench-docs:  ## put table and pictures of the last run, and of the last soak, into docs/performance.md
	@scripts/bench-docs

bench-peers:  ## install the peers it compares with, and matplotlib, into .bench/
	@scripts/bench-peers

soak: SECONDS ?= 3600
soak:  ## constant mixed load for SECONDS (3600), memory sampled, with a plot
	@scripts/soak --seconds $(SECONDS)

fuzz: SECONDS ?= 1200
fuzz:  ## every parser and every port with bytes of all kinds, for SECONDS (1200)
	@scripts/fuzz $(SECONDS)

sbom:  ## write sbom.json (CycloneDX), what the image is made of, from the lock file
	@scripts/sbom

lock:  ## pin the dependencies anew after a change in setup.cfg (ARGS=--upgrade: newest of all)
	@scripts/lock $(ARGS)

prices:  ## take the prices of all models over from genai-prices, as it is installed
	@scripts/prices

news:  ## show what the next entry of CHANGELOG.md will say
	@scripts/news

image:  ## build the container image
	@scripts/image

agents:  ## run the real CLIs and SDKs through apiproxy, offline, and print the matrix (needs npm, root)
	@scripts/agents $(ARGS)

clean:  ## remove virtual environments, caches and build results
	@scripts/clean
