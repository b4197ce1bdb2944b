# The benchmarks: ours, and the same on Debian's Linux beside it (bench/). Linux's kernel comes from Debian's package into
# build/linux; nothing of it is in the tree.

LINUX_FOLDER := $(B)/linux
LINUX_PROGRAMS := $(patsubst bench/linux/%.c,%,$(filter-out %/figures.c %/driver.c,$(sort $(wildcard bench/linux/*.c))))
LINUX_CC ?= riscv64-linux-gnu-gcc
LINUX_FLAGS := -O2 -static -pthread -std=gnu17 -Iinclude $(WARNINGS)

# Counts instructions of all harts from outside, as a plugin of QEMU.
COUNTER := $(B)/bench/count.so
$(COUNTER): $(wildcard bench/count/*.[ch]) include/proto/mark.h
	@mkdir -p $(@D)
	$(call say,HOSTCC,$@)
	$(Q)$(HOST_CC) -O2 -std=gnu17 -fPIC -shared -fvisibility=hidden -pthread -Iinclude $(WARNINGS) $(filter %.c,$^) -o $@

system: $(COUNTER)

##bench: the benchmarks in one run, then beside Debian's Linux in the same QEMU: LINUX=no skips it, RUNS=3, QEMU=path; report in build/bench (docs/bench.md)
.PHONY: bench
bench:
	$(Q)$(MAKE) --no-print-directory run CMD='bench'
	$(Q)$(if $(filter no,$(LINUX)),,$(MAKE) --no-print-directory bench-linux)

##bench-linux: the second half of bench alone: both systems side by side
.PHONY: bench-linux
bench-linux: linux-side $(COUNTER)
	$(Q)python3 bench/side_by_side.py --cores $(CORES) --runs $(or $(RUNS),3)

##trace-price: what tracing costs in instructions; BOOTS=3 of each, on one core and on two (docs/trace.md)
.PHONY: trace-price
trace-price: all $(COUNTER)
	$(Q)python3 bench/trace_price.py --boots $(or $(BOOTS),3)

##linux-side: Debian's kernel and our programs for it, in build/linux
.PHONY: linux-side setup-bench
linux-side: setup-bench all $(LINUX_FOLDER)/.ready $(LINUX_PROGRAMS:%=$(LINUX_FOLDER)/programs/%)
setup-bench:
	$(Q)tools/setup.sh bench

$(LINUX_FOLDER)/.ready: tools/fetch-linux.sh tools/own-apt.sh
	$(call say,FETCH,Linux)
	$(Q)tools/fetch-linux.sh $(LINUX_FOLDER)

$(LINUX_FOLDER)/programs/%: bench/linux/%.c bench/linux/figures.c bench/linux/driver.c $(wildcard bench/linux/*.h) include/proto/mark.h | setup-bench
	@mkdir -p $(@D)
	$(call say,CC,$< (Linux))
	$(Q)$(LINUX_CC) $(LINUX_FLAGS) $< bench/linux/figures.c bench/linux/driver.c -o $@

##placement: fs and its driver on two cores, on one core, in one domain: instructions, times, memory, recovery; ROUNDS=3, COUNTS=3 (docs/placement.md)
.PHONY: placement
placement: all $(B)/boot-one-domain.img
	$(Q)python3 tools/placement.py --rounds $(or $(ROUNDS),3) --counts $(or $(COUNTS),3) --cores $(CORES)
