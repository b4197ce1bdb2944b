// The runtime's server side, on the host: requests are made by the test, completions are kept.
#pragma once
#include "runtime/runtime.h"
#include "runtime/server.h"

#define FAKE_COMPLETIONS 4096

struct server_channel {
	void *context;
	bool released;
};

struct fake_completion {
	struct server_request *request;
	enum error status;
	uint64_t result[5];
};

extern struct server fake_server;    // what program_main gave to server_run
extern enum error fake_server_error; // what its start returned
extern struct fake_completion fake_completions[FAKE_COMPLETIONS];
extern unsigned fake_completion_count;
extern struct loop_source *fake_sources[8];
extern unsigned fake_source_count;
extern struct timer *fake_timer; // armed

void fake_server_reset(void);
int program_main(void);
// One turn of the loop: the source of that identity, then those that are polled, then a timer that is due.
void fake_turn(unsigned identity);
// The completion of a request, 0: none yet.
struct fake_completion *fake_completion_of(const struct server_request *request);
