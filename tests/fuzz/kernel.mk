# Sources that the fuzzers of the kernel's readers link.
FUZZ_fuzz_device_tree := boot/plan.c libfdt
