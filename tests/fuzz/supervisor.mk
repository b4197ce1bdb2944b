# Sources that each fuzzer of the supervisor's readers links.
FUZZ_fuzz_manifest := supervisor/manifest.c
FUZZ_fuzz_cpio := supervisor/cpio.c
FUZZ_fuzz_elf := supervisor/elf.c supervisor/symbols.c
