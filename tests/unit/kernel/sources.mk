# Sources that each test of the kernel's pure parts links.
TEST_test_plan := boot/plan.c libfdt
