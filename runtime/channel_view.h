// One end of a channel as this domain sees it: where its parts are mapped, and how the peer is rung.
//
// Geometry, identities and state come from the kernels (channel_info), never from the pages. Owned by whoever embeds it.
#pragma once
#include "abi/channel.h"
#include "runtime/fence.h"
#include "runtime/kernel_call.h"
#include <stdbool.h>

struct channel_view {
	// The six that follow are 0 for a notification: it has no memory.
	struct channel_client_page *client; // the server's end maps this read-only
	struct channel_server_page *server; // the client's end maps this read-only
	struct request *requests;
	struct completion *records;
	uint8_t *out;
	uint8_t *in;
	volatile uint32_t *doorbell; // 0: ring by channel_view_ring_slowly
	volatile uint32_t *doorbell_page; // 0: through the kernel
	uint32_t peer_identity;
	uint32_t own_identity;
	uint64_t key;    // both ends have it
	uint64_t secret; // of a server's end; 0 at a client's
	uint64_t physical; // of the memory, 0: no DMA right
	uint64_t peer; // CHANNEL_PEER
	unsigned slot; // of the domain, for kernel calls
	unsigned priority;
	unsigned role;
	enum channel_state state;
	struct channel_geometry geometry;
};

// Reads everything that the kernel knows of the slot. ERR_HANDLE: nothing there; ERR_PROTOCOL: numbers out of range.
enum error channel_view_load(struct channel_view *view, unsigned slot);
// Reads what can change: state, identities, doorbell, peer.
enum error channel_view_refresh(struct channel_view *view);
void channel_view_ring_slowly(const struct channel_view *view); // through the kernel, or traced
// The peer runs now, on another core: worth a short wait without sleeping (KERNEL.md rule 8).
bool channel_view_peer_runs(const struct channel_view *view);

// Rings the peer if its flag says that it sleeps. After the tail was stored.
static inline void channel_view_ring(const struct channel_view *view, const uint32_t *peer_wants)
{
	fence_doorbell(); // partner: fence_sleep between the peer's flag and its second look
	if (!load32(peer_wants))
		return;
	if (view->doorbell)
		store32(view->doorbell, view->peer_identity);
	else
		channel_view_ring_slowly(view);
}
