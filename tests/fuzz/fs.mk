# Fuzzers of the file system. What the unit tests call its core is named in tests/unit/fs/sources.mk.
FUZZ_FS := $(FS_CORE) tests/fuzz/fs_runtime.c
FUZZ_fuzz_ext2 := $(FUZZ_FS)
FUZZ_fuzz_journal := $(FUZZ_FS)
