# Sources that each test of the kernel links.
TEST_test_plan := boot/plan.c libfdt
TEST_test_grant_deaths := kernel/grant.c
