// See fake_server.h.
#include "fake_server.h"
#include "fake_host.h"
#include "runtime/component.h"
#include "runtime/fiber.h"

struct server fake_server;
enum error fake_server_error;
struct fake_completion fake_completions[FAKE_COMPLETIONS];
unsigned fake_completion_count;
struct loop_source *fake_sources[8];
unsigned fake_source_count;
struct timer *fake_timer;

void fake_server_reset(void)
{
	fake_completion_count = 0;
	fake_source_count = 0;
	fake_timer = 0;
}

enum error server_run(const struct server *server)
{
	uint64_t mark = 1;

	fake_server = *server;
	fake_server_error = server->start(&mark);
	return fake_server_error;
}

extern const struct component *const __start_components[]; // the linker's: of the only server in the test

int program_main(void)
{
	return (int)server_run(__start_components[0]->server);
}

void server_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	struct fake_completion *completion = &fake_completions[fake_completion_count++];

	assert_true(fake_completion_count < FAKE_COMPLETIONS);
	completion->request = request;
	completion->status = status;
	memcpy(completion->result, result, sizeof(completion->result));
}

void server_release(struct server_channel *channel)
{
	channel->released = true;
}

uint64_t server_out_physical(const struct server_request *request)
{
	return (uint64_t)request->out;
}

uint64_t server_in_physical(const struct server_request *request)
{
	return (uint64_t)request->in;
}

uint64_t server_physical_named(const struct server_request *request, bool out)
{
	return (uint64_t)(out ? request->out : request->in);
}

void *server_channel_context(const struct server_channel *channel)
{
	return channel->context;
}

void server_channel_set_context(struct server_channel *channel, void *context)
{
	channel->context = context;
}

void loop_source_add(struct loop_source *source)
{
	fake_sources[fake_source_count++] = source;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
	timer->deadline = deadline;
	timer->armed = true;
	fake_timer = timer;
}

void timer_cancel(struct timer *timer)
{
	timer->armed = false;
	fake_timer = 0;
}

static void sources_notify(unsigned identity)
{
	for (unsigned i = 0; i < fake_source_count; i++)
		if (fake_sources[i]->identity == identity)
			fake_sources[i]->notify(fake_sources[i]);
}

void fake_turn(unsigned identity)
{
	struct timer *timer = fake_timer;

	if (identity != 0)
		sources_notify(identity);
	sources_notify(0);
	if (timer != 0 && timer->deadline <= time_now()) {
		fake_timer = 0;
		timer->armed = false;
		timer->expired(timer);
	}
}

struct fake_completion *fake_completion_of(const struct server_request *request)
{
	for (unsigned i = 0; i < fake_completion_count; i++)
		if (fake_completions[i].request == request)
			return &fake_completions[i];
	return 0;
}
