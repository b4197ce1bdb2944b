// The server's side of grants (server.h: server_lent; docs/grants.md).
//
// Owns, for each channel, who has taken which grant; the kernel owns the mapping. Never ends a grant that another request uses, whatever
// a client wrote: two requests can name the same one. If this domain dies here, the kernel unmaps, and the next incarnation takes
// again what the request in the ring names; one whose answer is recorded it ends. The client's kernel keeps the pages until then.
#include "runtime/inject.h"
#include "runtime/kernel_call.h"
#include "runtime/server_channel.h"

enum error server_lent(struct server_request *request, unsigned prot, void **at, uint64_t *bytes)
{
	struct server_channel *channel = request->channel;
	const struct server_request **taker = &channel->taker[request->copy.grant % GRANT_PLACES];
	if (request->copy.grant == 0)
		return ERR_NOT_FOUND;
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

void server_grant_end(struct server_channel *channel, const struct server_request *request)
{
	const struct server_request **taker = &channel->taker[request->copy.grant % GRANT_PLACES];
	if (*taker && *taker != request)
		return;
	*taker = 0;
	kcall(CALL_grant_end, channel->ring.view.slot, request->copy.grant); // HANDLE: a number of the client's own
}
