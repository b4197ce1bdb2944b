# Tests of every kind. Each kind prints `N passed, N failed` and leaves the counts in build/results/KIND, which
# `make test` adds up.

FUZZ_SECONDS ?= $(if $(FULL),300,5)

##unit: host unit tests (T=word runs those whose path holds the word); coverage report in build/coverage
.PHONY: unit
unit: $(if $(T),$(foreach t,$(UNIT_TESTS),$(if $(findstring $(T),$(t)),$(t))),$(UNIT_TESTS))
	$(Q)find $(B)/host -name '*.gcda' -delete 2>/dev/null || true
	$(Q)python3 tools/run_unit.py $^; code=$$?; $(if $(T),,tools/coverage.sh $(B) &&) exit $$code

##manifest: exact error sentences of tests/manifest/
.PHONY: manifest
manifest:
	$(Q)python3 tests/manifest/run.py $(T)
