# Sources that each test of core-local links.
TEST_test_frames := core-local/frames.c
TEST_test_deadline := core-local/deadline.c
TEST_test_run_queue := core-local/run_queue.c
TEST_test_mesh_ring :=
TEST_test_gstage := core-local/gstage.c
TEST_test_info := core-local/info.c
TEST_test_budget := core-local/budget.c
TEST_test_door := core-local/door.c
TEST_test_log := core-local/log.c
