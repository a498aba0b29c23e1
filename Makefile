# What a developer needs, with nothing but Go installed. CI runs .ci/run, which
# calls these.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -s -w -X main.version=$(VERSION)

.PHONY: build test race lint fuzz bench test-peers clean

build: ## the binary, as released
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/modelwarden ./cmd/modelwarden

test: ## all tests that need nothing but Go
	$(GO) test ./...

race: ## the same under the race detector (needs a C compiler)
	$(GO) test -race ./internal/... ./cmd/... ./test/azure/...

lint: ## format, vet, static analysis
	@out="$$(gofmt -l cmd infra internal test)"; if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# A count, not a duration: when a duration ends, go test may fail without having
# found anything (golang/go#51484).
fuzz: ## every fuzz target for a while: make fuzz FUZZTIME=1000000x
	@for pkg in $$($(GO) list ./internal/... ./test/azure/...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),100000x) $$pkg || exit 1; done; done

bench: ## every claim about speed, as ratios measured in one run
	$(GO) run ./test/bench

test-peers: ## tests against real peers; installs them
	./test/peers/run

clean:
	rm -rf bin
