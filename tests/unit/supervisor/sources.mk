# Sources that each test of the supervisor links.
BUILD_OF_IMAGES := tests/unit/supervisor/build.c
TEST_test_policy := supervisor/policy.c
TEST_test_manifest := supervisor/manifest.c $(BUILD_OF_IMAGES)
TEST_test_cpio := supervisor/cpio.c $(BUILD_OF_IMAGES)
TEST_test_elf := supervisor/elf.c supervisor/symbols.c $(BUILD_OF_IMAGES)
TEST_test_crash_log := supervisor/crash_log.c
TEST_test_supervisor := supervisor/services.c supervisor/audit.c supervisor/cores.c supervisor/jobs.c supervisor/restart.c supervisor/watch.c \
	supervisor/loader.c supervisor/image.c supervisor/manifest.c supervisor/cpio.c supervisor/elf.c \
	supervisor/symbols.c supervisor/policy.c supervisor/crash_log.c runtime/trace.c $(BUILD_OF_IMAGES) \
	tests/unit/supervisor/fake_kernel.c
TEST_test_requests := supervisor/requests.c supervisor/crash_log.c
TEST_test_print := supervisor/print.c supervisor/kernel_log.c supervisor/crash_log.c
