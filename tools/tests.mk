# Tests of every kind. Each kind prints `N passed, N failed` and leaves the counts in build/results/KIND, which
# `make test` adds up. T=word chooses cases (none that holds the word: an error), FULL=1 the long sizes.

FUZZ_SECONDS ?= $(if $(FULL),300,3)
JOBS ?= 2
ALL_SYSTEMS := $(patsubst systems/%.toml,$(B)/boot-%.img,$(wildcard systems/*.toml))
ifneq ($(FULL),)
export FULL
else
unexport FULL
endif

# Those of the given files whose path in build/ holds T, and a complaint when that is none.
chosen = $(if $(T),$(foreach t,$(1),$(if $(findstring $(T),$(t:$(B)/%=%)),$(t))),$(1))
must_choose = $(if $(strip $(2)),,$(error $(1): no case holds '$(T)'))

##test: all of the below, with the sum at the end; FULL=1 runs the long sizes
.PHONY: test
test: setup-test
	$(if $(T),$(error T=$(T) chooses cases of one kind: make system T=$(T), say))
	$(Q)python3 tools/test_all.py '$(MAKE)' lint docs manifest unit model fuzz power system fault

##lint: layers, headers alone, unique names, unfinished work, lengths
.PHONY: lint
lint: all
	$(Q)python3 tools/lint.py --kernel '$(CC_TARGET) $(KERNEL_FLAGS) $(WARNINGS)' \
		--domain '$(CC_TARGET) $(DOMAIN_FLAGS) $(WARNINGS)'

##docs: what the pages name exists: paths, targets, functions, tests
.PHONY: docs
docs:
	$(Q)python3 tests/docs/run.py $(if $(T),$(call quote,$(T)))

##manifest: exact error sentences of tests/manifest/
.PHONY: manifest
manifest:
	$(Q)python3 tests/manifest/run.py $(if $(T),$(call quote,$(T)))

##unit: host unit tests (T=word runs those whose path holds the word); coverage report in build/coverage
.PHONY: unit
unit: $(call chosen,$(UNIT_TESTS)) | setup-test
	$(call must_choose,unit,$^)
	$(Q)find $(B)/host -name '*.gcda' -delete 2>/dev/null || true
	$(Q)python3 tools/run_unit.py $^; code=$$?; $(if $(T),,tools/coverage.sh $(B) &&) exit $$code

##model: model checking by spin of tests/model/
.PHONY: model
model: setup-test
	$(Q)python3 tools/counted.py model tests/model/run.sh $(if $(T),$(call quote,$(T)))

##fuzz: each fuzzer for FUZZ_SECONDS; T=word chooses
.PHONY: fuzz
fuzz: $(call chosen,$(FUZZERS:%=$(B)/fuzz/%)) | setup-test
	$(call must_choose,fuzz,$^)
	$(Q)python3 tools/run_fuzz.py $(FUZZ_SECONDS) $^

##system: tests in QEMU; T=word chooses, JOBS=2 at a time
.PHONY: system
system: all $(ALL_SYSTEMS)
	$(Q)python3 tests/system/run.py --jobs $(JOBS) $(if $(T),$(call quote,$(T)))

##fault: the fault campaign in QEMU; T=word chooses
.PHONY: fault
fault: all $(ALL_SYSTEMS)
	$(Q)python3 tests/system/run.py --kind fault --jobs $(JOBS) $(if $(T),$(call quote,$(T)))

##power: power cuts at every write, on the host and in QEMU; T=word, SEED=n, FULL=1; ID=id replays one image
.PHONY: power
power: $(B)/power/fs_host $(if $(ID),,all $(ALL_SYSTEMS))
	$(Q)$(if $(ID),python3 tests/power/host.py --id $(call quote,$(ID)),POWER_SEED='$(SEED)' python3 tests/system/run.py \
		--kind power --jobs $(JOBS) $(if $(T),$(call quote,$(T))))

##campaign: FAULTS=20000 random faults under load, SEED=1, VOLLEY=100 in a trial, JOBS machines at a time; report in build/campaign (docs/faults.md)
.PHONY: campaign
campaign: all $(ALL_SYSTEMS)
	$(Q)python3 tools/run_campaign.py --faults $(or $(FAULTS),20000) --seed $(or $(SEED),1) --volley $(or $(VOLLEY),100) --jobs $(if $(filter command line,$(origin JOBS)),$(JOBS),1)

##recovery: fs with a full ring of unsynced operations, crash to first answer, by phases in times and instructions; ROUNDS=5, COUNTS=3 (docs/bench.md)
.PHONY: recovery
recovery: all
	$(Q)python3 tools/recovery.py --rounds $(or $(ROUNDS),5) --counts $(or $(COUNTS),3)

##price: what recoverability costs, beside a build without it, in times and in instructions; ROUNDS=7, COUNTS=5 (docs/bench.md)
.PHONY: price
price: all
	$(Q)$(MAKE) --no-print-directory B=build/plain LIBFDT='$(LIBFDT)' RECOVERABLE=0 SYSTEM=default all
	$(Q)python3 tools/price.py --rounds $(or $(ROUNDS),7) --counts $(or $(COUNTS),5)
