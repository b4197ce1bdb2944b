# Planaria. `make help` lists what one can do here.
#
# Images by convention: a domain image NAME is supervisor/*.c, servers/NAME/*.c, apps/NAME/*.c or apps/NAME.c, with
# runtime/ and recovery/ as a library. The kernel is kernel/**, core-local/* and libfdt. Products go to build/.

CROSS ?= riscv64-unknown-elf-
CC_TARGET := $(CROSS)gcc
B := build

CORES ?= 4
MEM ?= 512M
SYSTEM ?= default
GUESTS ?= 7
export QEMU ?= qemu-system-riscv64
# What is typed at the shell and what goes to QEMU is not make's to expand: $? and $( are the shell's. Hence $(value ..),
# and no copy in the environment, for which make would expand them.
unexport CMD QEMUFLAGS

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '%-6s %s\n' '$(1)' '$(2)')

ifeq ($(wildcard systems/$(SYSTEM).toml),)
$(error SYSTEM=$(SYSTEM): there is no systems/$(SYSTEM).toml; there are $(sort $(patsubst systems/%.toml,%,$(wildcard systems/*.toml))))
endif

include tools/target.mk
include tools/host.mk
include tools/tests.mk
include tools/bench.mk

##all: the kernel and the boot image of SYSTEM (also plain `make`)
.PHONY: all
all: $(B)/kernel.elf $(B)/boot-$(SYSTEM).img
	@:

##run: boot in QEMU; CORES=4 MEM=512M SYSTEM=default GUESTS=7 DISK=file (DISK=none: without) QEMU=path QEMUFLAGS='...'; CMD='a; b' runs that and powers off, LIMIT=1800 seconds at most
.PHONY: run
run: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(RUN) $(if $(value CMD),--command $(call quote,$(value CMD)))
RUN = python3 tools/run.py --cores $(call quote,$(CORES)) --memory $(call quote,$(MEM)) --system '$(SYSTEM)' \
	--guests $(call quote,$(GUESTS)) $(if $(DISK),--disk $(call quote,$(DISK))) \
	$(if $(value QEMUFLAGS),--flags=$(call quote,$(value QEMUFLAGS)))

##trace: as run with CMD='a; b', and OUT=build/trace.pftrace is a trace of it for ui.perfetto.dev (docs/trace.md)
.PHONY: trace
trace: setup
	$(if $(value CMD),,$(error trace: CMD='...' says what is to be traced))
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(RUN) --command $(call quote,$(value CMD)) --trace $(call quote,$(or $(OUT),$(B)/trace.pftrace))

quote = '$(subst ','\'',$(1))'

##gdb: boot stopped, with gdb attached and all symbols (same variables as run)
.PHONY: gdb
gdb: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(RUN) --gdb

##setup: name the Debian packages that are missing, or install them (as root or by sudo)
.PHONY: setup setup-test
setup:
	$(Q)tools/setup.sh run
setup-test: setup
	$(Q)tools/setup.sh test

##help: this list
.PHONY: help
help:
	@echo 'make TARGET [VARIABLE=value ...]   (V=1 shows the commands)'
	@sed -n 's/^##\([a-z-]*\): \(.*\)/  \1\t\2/p' Makefile tools/*.mk | expand -t 14

##clean: remove build/ but for libfdt's sources
.PHONY: clean
clean:
	$(Q)test ! -d $(B) || find $(B) -mindepth 1 -maxdepth 1 ! -name libfdt -exec rm -rf {} +
