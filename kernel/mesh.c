// Messages between kernels (mesh.h).
#include "kernel/mesh.h"
#include "abi/call.h"
#include "abi/fence.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/kernel.h"
#include "kernel/riscv/imsic.h"
#include "kernel/schedule.h"
#include <string.h>

#define RETRY_US 200 // until a full ring is tried again; the peer empties it in one entry, some 10 us

void mesh_init(struct core *core)
{
	for (unsigned i = 0; i < core->core_count; i++) {
		struct mesh_peer *p = &core->peers[i];
		paddr_t theirs = core->plan->cores[i].partition;
		p->out = partition_ring(theirs, core->id);
		p->out_head = partition_heads(theirs) + core->id;
		p->in = partition_ring(core->partition, i);
		p->in_head = partition_heads(core->partition) + i;
		p->doorbell = core->plan->cores[i].imsic;
	}
}

bool mesh_core_online(const struct core *core, unsigned peer)
{
	const volatile struct info_page *page = partition_info(core->plan->cores[peer].partition);
	return page->state == CORE_ONLINE;
}

static uint32_t room_used(const struct mesh_peer *p)
{
	return p->out_tail - *(const volatile uint32_t *)p->out_head;
}

static bool push(struct core *core, unsigned peer, struct mesh_message *m)
{
	struct mesh_peer *p = &core->peers[peer];
	m->incarnation = core->incarnation;
	if (!mesh_ring_push_producer(p->out, &p->out_tail, *(const volatile uint32_t *)p->out_head, m))
		return false;
	fence_w_ro(); // partner: fence_i_r after the claim in mesh_take; message before the ring of the doorbell
	imsic_ring(p->doorbell, MESH_IDENTITY);
	info_count(core->info, INFO_MESH_SENT);
	return true;
}

bool mesh_notice(struct core *core, unsigned peer, enum mesh_notice notice, const uint64_t word[6])
{
	if (!mesh_core_online(core, peer)) // nobody is there to be told, now or later
		return true;
	if (room_used(&core->peers[peer]) >= MESH_SLOTS - MESH_NOTICE_ROOM)
		return false;
	struct mesh_message m = {.op = (uint16_t)notice};
	memcpy(m.word, word, sizeof(m.word));
	return push(core, peer, &m);
}

uint32_t mesh_number(struct core *core)
{
	if (++core->call_number == 0)
		core->call_number = 1;
	return core->call_number;
}

enum error mesh_call(struct domain *d, unsigned peer, unsigned number, const uint64_t word[6], bool deadline)
{
	struct core *core = d->core;
	struct mesh_peer *p = &core->peers[peer];
	// Clients wait long for a server that is down. The supervisor's calls, which bring it back, have one left.
	if (p->outstanding >= MESH_REQUESTS_MAX - (number == CALL_channel_open))
		return ERR_AGAIN;
	struct mesh_message m = {.op = (uint16_t)number, .request = mesh_number(core)};
	memcpy(m.word, word, sizeof(m.word));
	if (!push(core, peer, &m))
		return ERR_AGAIN;
	if (peer != core->id) // our own answers take no message; each domain has one call at most, so the ring has room
		p->outstanding++;
	call_wait(d, peer, number, m.request);
	if (deadline) {
		uint64_t ticks = CALL_DEADLINE_MS * core->plan->timebase / 1000;
		deadline_arm(&core->deadlines, &d->deadline, time_read() + ticks);
	}
	return ERR_OK;
}

void mesh_call_expired(struct domain *d)
{
	static const uint64_t none[5];
	if (d->state == DOMAIN_CALLING)
		call_finish(d, ERR_CORE_LOST, none);
}

static void answer_local(struct core *core, unsigned from, uint32_t request, enum error error, const uint64_t value[5])
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = core->domains[i];
		if (d && d->state == DOMAIN_CALLING && d->call_request == request && d->call_core == from) {
			call_finish(d, error, value);
			return;
		}
	}
	channel_answered_late(core, from, request, error);
}

void mesh_answer(struct core *core, struct origin origin, enum error error, const uint64_t value[5])
{
	if (!origin.waits)
		return;
	if (origin.core == core->id) {
		answer_local(core, core->id, origin.request, error, value);
		return;
	}
	struct mesh_message m = {.is_reply = 1, .error = (uint8_t)error, .request = origin.request};
	memcpy(m.word, value, 5 * sizeof(value[0]));
	push(core, origin.core, &m); // room: mesh.h
}

static void notice_take(struct core *core, unsigned from, const struct mesh_message *m)
{
	if (m->op == NOTICE_CHANNEL)
		channel_notice(core, from, m->word);
	else if (m->op == NOTICE_DOORBELL)
		channel_notice_ring(core, from, m->word[0]);
	else if (m->op == NOTICE_DOMAIN)
		call_notice_domain(core, from, m->word);
	else if (m->op == NOTICE_COMPLAINT)
		call_notice_complaint(core, m->word);
	else if (m->op == NOTICE_CORE)
		call_notice_core(core, from);
}

static void message_take(struct core *core, unsigned from, const struct mesh_message *m)
{
	struct mesh_peer *p = &core->peers[from];
	info_count(core->info, INFO_MESH_RECEIVED);
	if (m->is_reply) {
		if (p->outstanding > 0)
			p->outstanding--;
		answer_local(core, from, m->request, m->error < ERROR_COUNT ? m->error : ERR_PROTOCOL, m->word);
	} else if (m->op >= NOTICE_CHANNEL) {
		notice_take(core, from, m);
	} else {
		call_of_kernel(core, from, m);
	}
}

void mesh_take(struct core *core)
{
	fence_i_r(); // partner: fence_w_ro in push; claim before the look
	for (unsigned from = 0; from < core->core_count; from++) {
		struct mesh_peer *p = &core->peers[from];
		struct mesh_message m;
		for (unsigned n = 0; n < MESH_SLOTS && mesh_ring_pop_consumer(p->in, &p->head, &m); n++) {
			fence_rw_w(); // partner: the sender's read of our head; the copy before the slot is free
			*(volatile uint32_t *)p->in_head = p->head;
			message_take(core, from, &m);
		}
	}
}

void mesh_flush(struct core *core)
{
	if (!core->notices)
		return;
	for (uint32_t left = core->notices; left; left &= left - 1) {
		struct domain *d = core->domains[__builtin_ctz(left)];
		core->notices &= ~(left & -left);
		if (d && !channel_notices_send(d)) {
			core->notices |= left & -left;
			uint64_t ticks = RETRY_US * core->plan->timebase / 1000000;
			deadline_arm(&core->deadlines, &core->mesh_retry, time_read() + ticks);
		}
	}
}
