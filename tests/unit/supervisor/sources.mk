# Sources that each test of the supervisor links.
BUILD_OF_IMAGES := tests/unit/supervisor/build.c
TEST_test_policy := supervisor/policy.c
TEST_test_manifest := supervisor/manifest.c $(BUILD_OF_IMAGES)
TEST_test_cpio := supervisor/cpio.c $(BUILD_OF_IMAGES)
TEST_test_elf := supervisor/elf.c supervisor/symbols.c $(BUILD_OF_IMAGES)
TEST_test_crash_log := supervisor/crash_log.c
