// Reads a channel end's facts from the kernel. Owns nothing; keeps nothing between calls.
#include "runtime/channel_view.h"
#include "runtime/machine.h"
#include "runtime/runtime.h"
#include "runtime/trace.h"

static void view_take(struct channel_view *view, const struct kernel_result *r)
{
	uint64_t word = r->value[0];
	view->role = CHANNEL_INFO_ROLE(word);
	view->state = (enum channel_state)CHANNEL_INFO_STATE(word);
	view->priority = CHANNEL_INFO_PRIORITY(word);
	view->own_identity = CHANNEL_OWN_IDENTITY(r->value[1]);
	view->peer_identity = CHANNEL_PEER_IDENTITY(r->value[1]);
	view->peer = r->value[4];
	volatile uint32_t *page = word & CHANNEL_HAS_DOORBELL_PAGE ? machine_doorbell(view->slot) : 0;
	// Rings of notifications are events; those of requests are told by the claim, and by the requests (abi/trace.h).
	view->doorbell = trace_is_on() && !view->geometry.bytes ? 0 : page;
	view->doorbell_page = page;
}

enum error channel_view_load(struct channel_view *view, unsigned slot)
{
	*view = (struct channel_view){.slot = slot};
	struct kernel_result info = kcall(CALL_channel_info, slot);
	if (info.error != ERR_OK)
		return info.error;
	struct channel_geometry *g = &view->geometry;
	bool sound = channel_layout(g, info.value[1] >> 32, info.value[2], info.value[3]);
	view_take(view, &info);
	if (view->state == CHANNEL_FREE)
		return ERR_HANDLE;
	if (!sound)
		return ERR_PROTOCOL;
	struct kernel_result name = kcall(CALL_channel_name, slot);
	if (name.error != ERR_OK)
		return name.error;
	view->physical = name.value[2];
	view->key = name.value[3];
	view->secret = name.value[4];
	if (g->bytes == 0)
		return ERR_OK;
	uint8_t *memory = machine_channel(slot);
	view->client = (struct channel_client_page *)memory;
	view->server = (struct channel_server_page *)(memory + PAGE_SIZE);
	view->requests = (struct request *)(memory + g->requests);
	view->records = (struct completion *)(memory + g->records);
	view->out = memory + g->out;
	view->in = memory + g->in;
	trace_channel(view);
	return ERR_OK;
}

enum error channel_view_refresh(struct channel_view *view)
{
	struct kernel_result info = kcall(CALL_channel_info, view->slot);
	if (info.error == ERR_OK)
		view_take(view, &info);
	if (view->client)
		trace_channel(view); // who is accepted has an identity from now on
	return info.error;
}

void channel_view_ring_slowly(const struct channel_view *view)
{
	if (!view->doorbell_page) {
		kcall(CALL_doorbell, view->slot); // a peer that is gone needs no ring
		return;
	}
	trace_here(TRACE_RING, view->slot, view->peer_identity, 0, 0);
	store32(view->doorbell_page, view->peer_identity);
}

bool channel_view_peer_runs(const struct channel_view *view)
{
	unsigned core = CHANNEL_PEER_CORE(view->peer);
	if (core == self_core() || core >= CORE_MAX)
		return false;
	const struct info_page *page = machine_info(core);
	return load32(&page->running_domain) == CHANNEL_PEER_DOMAIN(view->peer);
}
