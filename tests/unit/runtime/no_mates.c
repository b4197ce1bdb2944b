// For tests of one side of a channel: no component has mates.
#include "runtime/local.h"
#include "world.h"

const struct component *component_serving(const char *service)
{
	(void)service;
	return 0;
}

bool component_absent(const char *service)
{
	(void)service;
	return false;
}

enum error local_open(struct client *client, const struct component *component, const struct client_options *options)
{
	(void)client, (void)component, (void)options;
	fail();
	return ERR_STATE;
}

void local_close(struct client *client)
{
	(void)client;
	fail();
}

enum error local_submit(struct client *client, struct client_request *request, bool waits)
{
	(void)client, (void)request, (void)waits;
	fail();
	return ERR_STATE;
}

void local_cancel(struct client *client, struct client_request *request)
{
	(void)client, (void)request;
	fail();
}

enum error local_take_back(struct client *client, struct client_request *request)
{
	(void)client, (void)request;
	fail();
	return ERR_STATE;
}

quick_answer_t local_quick(struct client *client, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	(void)client, (void)op, (void)a, (void)b, (void)c;
	fail();
	return 0;
}

void local_complete(struct server_request *request, enum error status, const uint64_t result[5])
{
	(void)request, (void)status, (void)result;
	fail();
}

enum error local_lent(const struct server_request *request, unsigned prot, void **at, uint64_t *bytes)
{
	(void)request, (void)prot, (void)at, (void)bytes;
	fail();
	return ERR_STATE;
}

const struct server_order *local_log_order(void)
{
	return 0;
}

bool local_log_commit(uint64_t serial)
{
	(void)serial;
	return false;
}

bool local_log_session_any(bool (*has)(const struct server_channel *channel, const void *session, uint64_t word), uint64_t word)
{
	(void)has, (void)word;
	fail();
	return false;
}

void local_release(struct server_channel *channel)
{
	(void)channel;
	fail();
}

uint64_t local_out_physical(const struct server_request *request)
{
	(void)request;
	fail();
	return 0;
}

uint64_t local_in_physical(const struct server_request *request)
{
	(void)request;
	fail();
	return 0;
}
