# What runs on the host: unit tests (gcc, CMocka, ASan, UBSan, coverage) and fuzzers (clang, libFuzzer).
#
# tests/unit/<area>/sources.mk says `TEST_test_x := servers/fs/ext2.c ...` for tests/unit/<area>/test_x.c; the word
# `libfdt` in such a list links libfdt. tests/fuzz/<area>.mk says `FUZZ_fuzz_x := ...` for tests/fuzz/fuzz_x.c.

HOST_CC ?= gcc
HOST_FLAGS := -O1 -g -std=gnu17 $(WARNINGS) -fno-common -fno-strict-aliasing -fno-omit-frame-pointer \
	-Iinclude -I. -isystem $(LIBFDT) -MMD -MP
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
LIBFDT_HOST := $(LIBFDT_FILES:%=$(B)/host/libfdt/%.o)

-include $(wildcard tests/unit/*/sources.mk tests/fuzz/*.mk)

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/*/test_*.c)))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

$(B)/host/%.c.o: %.c tools/host.mk | setup-test $(LIBFDT_READY)
	@mkdir -p $(@D)
	$(call say,HOSTCC,$<)
	$(Q)$(HOST_CC) $(HOST_FLAGS) $(SANITIZERS) --coverage -I$(dir $<) -c $< -o $@

$(B)/host/libfdt/%.o: $(LIBFDT_READY)
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) -O1 -g -w $(SANITIZERS) -fno-sanitize=undefined -I$(LIBFDT) -c $(LIBFDT)/$*.c -o $@

define unit_rule
$(B)/unit/$(1): $(B)/host/tests/unit/$(1).c.o $(patsubst %.c,$(B)/host/%.c.o,$(filter %.c,$(TEST_$(notdir $(1))))) $(if $(filter libfdt,$(TEST_$(notdir $(1)))),$(LIBFDT_HOST))
	@mkdir -p $$(@D)
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(HOST_CC) $$(SANITIZERS) --coverage $$(filter %.o,$$^) -lcmocka -o $$@
endef
$(foreach t,$(UNIT_TESTS:$(B)/unit/%=%),$(eval $(call unit_rule,$(t))))

define fuzz_rule
$(B)/fuzz/$(1): tests/fuzz/$(1).c $(filter %.c,$(FUZZ_$(1))) | setup-test $(LIBFDT_READY)
	@mkdir -p $$(@D)
	$$(call say,FUZZCC,$$<)
	$$(Q)clang -O1 -g -std=gnu17 -Wall -Iinclude -I. -isystem $(LIBFDT) -fno-strict-aliasing -MMD -MP -MF $$@.d \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$$(filter %.c,$$^) $(if $(filter libfdt,$(FUZZ_$(1))),$(LIBFDT_FILES:%=$(LIBFDT)/%.c)) -o $$@
endef
$(foreach f,$(FUZZERS),$(eval $(call fuzz_rule,$(f))))

-include $(shell find $(B)/host -name '*.d' 2>/dev/null)

# The file server's core for the power-cut harness (tests/power/host.py): many thousands of mounts, so optimized.
POWER_SOURCES := tests/power/fs_host.c tests/unit/fs/fixture.c $(FS_CORE)
$(B)/power/fs_host: $(POWER_SOURCES) $(wildcard servers/fs/*.h tests/unit/fs/*.h include/*/*.h runtime/*.h) tools/host.mk | setup-test
	@mkdir -p $(@D)
	$(call say,HOSTCC,$@)
	$(Q)$(HOST_CC) $(HOST_FLAGS) -O2 $(SANITIZERS) $(filter %.c,$^) -MF /dev/null -o $@
