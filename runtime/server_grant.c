// The server's side of grants (server.h: server_lent; docs/grants.md).
//
// Owns, for each channel, who has taken which grant; the kernel owns the mapping. Never ends a grant that another request uses, whatever
// a client wrote: two requests can name the same one. If this domain dies here, the kernel unmaps, and the next incarnation takes
// again what the request in the ring names; one whose answer is recorded it ends. The client's kernel keeps the pages until then.
#include "runtime/inject.h"
#include "runtime/kernel_call.h"
#include "runtime/local.h"
#include "runtime/server_channel.h"
#include <string.h>

enum error server_lent(struct server_request *request, unsigned prot, void **at, uint64_t *bytes)
{
	struct server_channel *channel = request->channel;
	struct server_request **taker = &channel->taker[request->copy.grant % GRANT_PLACES];
	if (request->copy.grant == 0)
		return channel->local ? local_lent(request, prot, at, bytes) : ERR_NOT_FOUND;
	if (request->once) // a replay would need what the record's digest does not cover
		return ERR_UNSUPPORTED;
	if (*taker)
		return ERR_STATE;
	struct kernel_result r = kcall(CALL_grant_take, channel->ring.view.slot, request->copy.grant);
	if (r.error != ERR_OK)
		return r.error;
	*taker = request;
	inject("runtime.lent");
	*at = (void *)(uintptr_t)r.value[0];
	*bytes = r.value[1];
	return prot & ~r.value[2] ? ERR_DENIED : ERR_OK;
}

// One copy, by who gets it: memory has one owner for life (decision 0024).
enum error server_given(struct server_request *request, void **at, uint64_t *bytes)
{
	void *lent;
	enum error error = server_lent(request, PROT_READ, &lent, bytes);
	if (error != ERR_OK)
		return error;
	struct kernel_result r = kcall(CALL_memory_alloc, *bytes / PAGE_SIZE);
	if (r.error != ERR_OK)
		return r.error;
	*at = (void *)(uintptr_t)r.value[0];
	memcpy(*at, lent, *bytes);
	return ERR_OK;
}

void server_grant_end(struct server_channel *channel, const struct server_request *request)
{
	struct server_request **taker = &channel->taker[request->copy.grant % GRANT_PLACES];
	if (*taker && *taker != request)
		return;
	*taker = 0;
	kernel_call_short(CALL_grant_end, channel->ring.view.slot, request->copy.grant, 0); // HANDLE: a number of the client's own
}

void server_grants_look(struct server_channel *channel, void (*recalled)(struct server_request *request))
{
	for (unsigned i = 0; i < GRANT_PLACES; i++) {
		struct server_request *taker = channel->taker[i];
		if (taker && kcall(CALL_grant_take, channel->ring.view.slot, taker->copy.grant).error == ERR_LOST)
			recalled(taker);
	}
}
