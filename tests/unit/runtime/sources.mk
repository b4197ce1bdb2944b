# Sources that each test of the runtime links. test_server, test_grant, test_replay and test_channel_death include runtime/server.c.
WORLD := tests/unit/runtime/world.c tests/unit/runtime/world_fiber.c
TEST_test_channel_ring := runtime/client_ring.c runtime/server_ring.c runtime/digest.c runtime/channel_view.c runtime/trace.c \
	$(WORLD)
TEST_test_channel_death := runtime/client_ring.c runtime/server_ring.c runtime/digest.c runtime/channel_view.c \
	runtime/server_runtime.c runtime/server_quick.c runtime/server_grant.c runtime/notification.c runtime/channel_open.c runtime/inject.c runtime/trace.c $(WORLD) \
	tests/unit/runtime/no_mates.c
TEST_test_server := $(TEST_test_channel_death)
TEST_test_grant := $(TEST_test_channel_death)
TEST_test_replay := $(TEST_test_channel_death)
TEST_test_client := runtime/client_ring.c runtime/server_ring.c runtime/digest.c runtime/channel_view.c runtime/inject.c runtime/trace.c \
	runtime/channel_open.c runtime/timer.c runtime/client_quick.c runtime/client_burst.c runtime/client_gather.c tests/unit/runtime/no_mates.c $(WORLD)
TEST_test_client_fibers := $(filter-out tests/unit/runtime/world_fiber.c,$(TEST_test_client)) runtime/fiber.c tests/unit/runtime/switch.c
TEST_test_await := $(TEST_test_client_fibers) runtime/notification.c runtime/await.c
TEST_test_notification := runtime/server_quick.c runtime/channel_view.c runtime/channel_open.c runtime/server_ring.c runtime/digest.c \
	runtime/server_runtime.c runtime/server_grant.c runtime/inject.c runtime/trace.c tests/unit/runtime/no_mates.c $(WORLD)
TEST_test_local := runtime/local.c runtime/local_log.c runtime/local_open.c runtime/mate.c runtime/component.c runtime/client.c runtime/client_quick.c runtime/client_burst.c runtime/client_gather.c \
	runtime/server.c runtime/server_runtime.c runtime/server_quick.c runtime/server_grant.c runtime/notification.c runtime/client_ring.c runtime/server_ring.c runtime/digest.c \
	runtime/channel_view.c runtime/channel_open.c runtime/timer.c runtime/inject.c runtime/trace.c $(WORLD)
TEST_test_local_log := $(TEST_test_local)
TEST_test_mate := runtime/mate.c runtime/fiber.c runtime/timer.c tests/unit/runtime/switch.c
TEST_test_user_table := runtime/user_table.c
TEST_test_timer := runtime/timer.c $(WORLD)
TEST_test_inject := runtime/inject.c runtime/trace.c $(WORLD)
TEST_test_endpoint := runtime/endpoint.c
TEST_test_call_ring := runtime/call_ring.c
TEST_test_loop := runtime/loop.c runtime/timer.c runtime/inject.c runtime/trace.c
TEST_test_fiber := runtime/fiber.c runtime/timer.c tests/unit/runtime/switch.c
TEST_test_trace := runtime/client_ring.c runtime/server_ring.c runtime/digest.c runtime/channel_view.c runtime/inject.c \
	runtime/trace.c $(WORLD)
TEST_test_digest := runtime/digest.c
