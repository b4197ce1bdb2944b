# What runs on the target: libfdt, the kernel, the domain images, the boot image.

LIBFDT := $(B)/libfdt
LIBFDT_READY := $(LIBFDT)/.ready
LIBFDT_FILES := fdt fdt_check fdt_ro fdt_wip fdt_sw fdt_rw fdt_strerror fdt_addresses

$(LIBFDT_READY): tools/fetch-libfdt.sh | setup
	$(call say,FETCH,libfdt)
	$(Q)tools/fetch-libfdt.sh $(LIBFDT)

# Multilib names: the libraries of picolibc and libgcc are chosen by the plain -march at link time.
KERNEL_ARCH := -march=rv64imc_zicsr_zifencei -mabi=lp64
KERNEL_LINK_ARCH := -march=rv64im -mabi=lp64
DOMAIN_ARCH := -march=rv64imac_zicsr_zifencei -mabi=lp64
DOMAIN_LINK_ARCH := -march=rv64imac -mabi=lp64

WARNINGS := -Wall -Wextra -Werror -Wno-format-truncation
COMMON_FLAGS := --specs=picolibc.specs -mcmodel=medany -O2 -g -std=gnu17 -fno-common -fno-strict-aliasing \
	-ffunction-sections -fdata-sections -Iinclude -I. -isystem $(LIBFDT) -MMD -MP \
	-ffile-prefix-map=$(CURDIR)=.
KERNEL_FLAGS := $(KERNEL_ARCH) $(COMMON_FLAGS) -ffreestanding -mstrict-align
DOMAIN_FLAGS := $(DOMAIN_ARCH) $(COMMON_FLAGS) $(if $(RECOVERABLE),-DRECOVERABLE=$(RECOVERABLE))

# ---- kernel

KERNEL_SOURCES := $(sort $(shell find boot kernel core-local -name '*.[cS]' 2>/dev/null))
KERNEL_OBJECTS := $(KERNEL_SOURCES:%=$(B)/obj/%.o) $(LIBFDT_FILES:%=$(B)/obj/kernel-libfdt/%.o)

$(B)/obj/boot/%: KERNEL_FLAGS += -fno-jump-tables
$(B)/obj/boot/% $(B)/obj/kernel/% $(B)/obj/core-local/%: FLAGS = $(KERNEL_FLAGS) $(WARNINGS)

$(B)/obj/kernel-libfdt/%.o: $(LIBFDT_READY)
	@mkdir -p $(@D)
	$(call say,CC,libfdt/$*.c (kernel))
	$(Q)$(CC_TARGET) $(KERNEL_FLAGS) -w -c $(LIBFDT)/$*.c -o $@

##kernel: build/kernel.elf alone
.PHONY: kernel
kernel: $(B)/kernel.elf

$(B)/kernel.elf: $(KERNEL_OBJECTS) kernel/kernel.ld tools/check-kernel.sh
	$(call say,LD,$@)
	$(Q)$(CC_TARGET) $(KERNEL_LINK_ARCH) --specs=picolibc.specs -mcmodel=medany -nostartfiles -static \
		-T kernel/kernel.ld -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments -Wl,-Map,$(@:.elf=.map) \
		$(KERNEL_OBJECTS) -o $@
	$(Q)tools/check-kernel.sh $@ $(CROSS)objdump

# ---- domains

IMAGES := $(sort $(if $(wildcard supervisor/*.c),supervisor) \
	$(patsubst servers/%/,%,$(dir $(wildcard servers/*/*.c))) \
	$(patsubst apps/%/,%,$(dir $(wildcard apps/*/*.c))) \
	$(patsubst apps/%.c,%,$(wildcard apps/*.c)))
# Of several components: "fs.blk" is made of what fs and blk are made of. SYSTEM:IMAGE for each that a manifest's same_domain asks for.
COMPOSED := $(if $(shell grep -ls same_domain systems/*.toml),$(shell python3 tools/manifest.py --composed \
	$(shell grep -ls same_domain systems/*.toml) 2>/dev/null))
composed_of = $(patsubst $(1):%,%,$(filter $(1):%,$(COMPOSED)))
COMPOSED_IMAGES := $(sort $(foreach c,$(COMPOSED),$(lastword $(subst :, ,$(c)))))
image_sources = $(sort $(if $(filter supervisor,$(1)),$(wildcard supervisor/*.[cS])) \
	$(wildcard servers/$(1)/*.[cS] apps/$(1)/*.[cS] apps/$(1).c))

# Library OSes are linked at the end of the window of images: below them is room for their programs (docs/library-os.md).
LIBRARY_OSES := vu
image_base = $(if $(filter $(1),$(LIBRARY_OSES)),-Wl$(comma)--defsym=__image_base=0x0c000000)
comma := ,

RUNTIME_SOURCES := $(sort $(wildcard runtime/*.[cS] recovery/*.[cS]))
RUNTIME_LIBRARY := $(B)/obj/libruntime.a
DOMAIN_LIBFDT := $(B)/obj/libfdt.a

FLAGS = $(DOMAIN_FLAGS) $(WARNINGS)

$(B)/obj/%.c.o: %.c tools/target.mk | $(LIBFDT_READY)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC_TARGET) $(FLAGS) -c $< -o $@

$(B)/obj/%.S.o: %.S tools/target.mk | $(LIBFDT_READY)
	@mkdir -p $(@D)
	$(call say,AS,$<)
	$(Q)$(CC_TARGET) $(FLAGS) -c $< -o $@

$(B)/obj/domain-libfdt/%.o: $(LIBFDT_READY)
	@mkdir -p $(@D)
	$(call say,CC,libfdt/$*.c (domain))
	$(Q)$(CC_TARGET) $(DOMAIN_FLAGS) -w -c $(LIBFDT)/$*.c -o $@

$(DOMAIN_LIBFDT): $(LIBFDT_FILES:%=$(B)/obj/domain-libfdt/%.o)
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

$(RUNTIME_LIBRARY): $(RUNTIME_SOURCES:%=$(B)/obj/%.o)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

define image_rule
$(B)/images/$(1).elf: $(foreach i,$(subst ., ,$(1)),$(patsubst %,$(B)/obj/%.o,$(call image_sources,$(i)))) $(RUNTIME_LIBRARY) $(DOMAIN_LIBFDT) runtime/domain.ld
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC_TARGET) $$(DOMAIN_LINK_ARCH) --specs=picolibc.specs -mcmodel=medany -nostartfiles -static \
		-T runtime/domain.ld $(call image_base,$(1)) -Wl,-z,max-page-size=4096 -Wl,--no-warn-rwx-segments -Wl,-Map,$$(@:.elf=.map) \
		$$(filter %.o,$$^) $(RUNTIME_LIBRARY) $(DOMAIN_LIBFDT) -o $$@
endef
$(foreach i,$(IMAGES) $(COMPOSED_IMAGES),$(eval $(call image_rule,$(i))))

.PRECIOUS: $(B)/stripped/%.elf
# What goes into the boot image keeps its symbol table: crash lines name function and offset.
$(B)/stripped/%.elf: $(B)/images/%.elf
	@mkdir -p $(@D)
	$(Q)$(CROSS)objcopy --strip-debug -R .comment -R .riscv.attributes $< $@

##images: all domain images, build/images/NAME.elf
.PHONY: images
images: $(patsubst %,$(B)/images/%.elf,$(IMAGES) $(COMPOSED_IMAGES))

# ---- boot image

FALLBACK := $(shell find systems/fallback -type f 2>/dev/null)

$(foreach s,$(sort $(foreach c,$(COMPOSED),$(firstword $(subst :, ,$(c))))),$(eval \
	$(B)/boot-$(s).img: $(patsubst %,$(B)/stripped/%.elf,$(call composed_of,$(s)))))
$(B)/boot-%.img: systems/%.toml $(IMAGES:%=$(B)/stripped/%.elf) tools/boot_image.py tools/manifest.py tools/abi.py \
		include/abi/manifest.h include/abi/boot_image.h $(FALLBACK)
	@mkdir -p $(@D)
	$(call say,BOOT,$@)
	$(Q)python3 tools/boot_image.py $< -o $@ --fallback systems/fallback $(filter %.elf,$^)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
