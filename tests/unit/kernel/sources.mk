# Sources that each test of the kernel links.
TEST_test_plan := boot/plan.c libfdt
TEST_test_grant_deaths := kernel/grant.c
TEST_test_heap := core-local/gstage.c core-local/frames.c core-local/door.c tests/unit/kernel/never_called.c
TEST_test_mesh := # includes kernel/mesh.c
