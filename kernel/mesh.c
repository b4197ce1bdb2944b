// Messages between kernels (mesh.h).
#include "kernel/mesh.h"
#include "abi/call.h"
#include "abi/fence.h"
#include "abi/words.h"
#include "core-local/info.h"
#include "boot/plan.h"
#include "kernel/call.h"
#include "kernel/channel.h"
#include "kernel/grant.h"
#include "kernel/kernel.h"
#include "kernel/reboot.h"
#include "kernel/riscv/imsic.h"
#include "kernel/riscv/sbi.h"
#include "kernel/schedule.h"
#include "kernel/trace.h"
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
		p->info = partition_info(theirs);
		p->seen = partition_seen(core->partition) + i;
		p->seen_by = partition_seen(theirs) + core->id;
	}
}

bool mesh_core_online(const struct core *core, unsigned peer)
{
	const struct mesh_peer *p = &core->peers[peer];
	return p->info->state == CORE_ONLINE && !p->fenced && !(p->rebooting && p->dying == p->info->incarnation);
}

// There, or on the way: worth to be told something.
bool mesh_core_alive(const struct core *core, unsigned peer)
{
	const struct mesh_peer *p = &core->peers[peer];
	return (p->info->state == CORE_ONLINE || p->info->state == CORE_STARTING) && !p->fenced; // peer_renew ends that
}

// We too: domains of ours lend to one another, and what one maps of another's is told by a ring as any.
bool mesh_core_awaited(const struct core *core, unsigned peer)
{
	bool boot = core->id == 0 && core->incarnation == 1;
	return boot ? !mesh_core_online(core, peer) : mesh_core_alive(core, peer) && !core->peers[peer].listed;
}

// Both have begun their side of the two rings anew since the other's incarnation began (INV-17).
static bool is_met(const struct core *core, unsigned peer)
{
	const struct mesh_peer *p = &core->peers[peer];
	return p->info->incarnation == p->incarnation && *p->seen_by == core->incarnation;
}

void mesh_forget(struct core *core, unsigned peer)
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = core->domains[i];
		if (d && call_waits_for(d, peer))
			call_finish(d, ERR_CORE_LOST, call_nothing);
		if (d)
			call_ring_give_up(d, peer, 0);
	}
}

// A new incarnation. Its predecessor is stopped, so nobody writes to its ring here but we; it reads ours when it sees
// that we have seen it.
static void peer_renew(struct core *core, unsigned peer)
{
	struct mesh_peer *p = &core->peers[peer];
	p->incarnation = p->info->incarnation;
	p->out_tail = p->head = p->outstanding = 0;
	p->listed = p->fenced = false;
	memset(p->out, 0, PAGE_SIZE);
	*(volatile uint32_t *)p->in_head = 0;
	fence_w_w(); // partner: fence_r_r in mesh_take; rings before the word that says so
	*(volatile uint32_t *)p->seen = p->incarnation;
	fence_w_ro(); // partner: fence_i_r in mesh_take
	imsic_ring(p->doorbell, MESH_IDENTITY);
	if (peer != core->id)
		mesh_forget(core, peer);
	channel_ask_all(core, peer);
	core->listing |= 1ul << peer;
}

// Leaves `room` slots.
static inline __attribute__((always_inline)) bool push(struct core *core, unsigned peer, unsigned room, struct mesh_message *m)
{
	struct mesh_peer *p = &core->peers[peer];
	uint32_t head = *(const volatile uint32_t *)p->out_head, used = p->out_tail - head;
	m->incarnation = core->incarnation;
	if (used >= MESH_SLOTS - room || !is_met(core, peer) || !mesh_ring_push_producer(p->out, &p->out_tail, head, m))
		return false;
	fence_w_ro(); // partner: fence_i_r after the claim in mesh_take; message before the ring of the doorbell
	if (m->op != NOTICE_GRANT || used >= (MESH_SLOTS - MESH_NOTICE_ROOM) / 2)
		imsic_ring(p->doorbell, MESH_IDENTITY);
	info_count(core->info, INFO_MESH_SENT);
	trace(core, TRACE_SENT, peer, m->request, m->op, m->is_reply);
	return true;
}

bool mesh_notice(struct core *core, unsigned peer, enum mesh_notice notice, const uint64_t word[6])
{
	if (!mesh_core_alive(core, peer)) // nobody is there to be told; the next incarnation asks
		return true;
	struct mesh_message m = {.op = (uint16_t)notice};
	words_few(m.word, word, 6);
	return push(core, peer, MESH_NOTICE_ROOM, &m);
}

uint32_t mesh_number(struct core *core)
{
	if (++core->call_number == 0)
		core->call_number = 1;
	return core->call_number;
}

// False: too many outstanding, or no room.
static bool request(struct core *core, unsigned peer, unsigned op, const uint64_t word[6], unsigned limit, uint32_t *number)
{
	struct mesh_peer *p = &core->peers[peer];
	struct mesh_message m = {.op = (uint16_t)op, .request = mesh_number(core)};
	memcpy(m.word, word, sizeof(m.word));
	if (p->outstanding >= limit || !push(core, peer, 0, &m))
		return false;
	if (peer != core->id) // our own answers take no message; each domain has one channel_open at most, so the ring has room
		p->outstanding++;
	*number = m.request;
	return true;
}

bool mesh_ask(struct core *core, unsigned peer, const uint64_t word[6], uint32_t *number)
{
	return !mesh_core_alive(core, peer) || request(core, peer, NOTICE_CHANNEL, word, MESH_CLIENT_REQUESTS - 1, number);
}

enum error mesh_call(struct domain *d, unsigned peer, unsigned number, const uint64_t word[6], struct call_flight *flight)
{
	struct core *core = d->core;
	uint32_t sent;
	// Clients wait long for a server that is down. The supervisor's calls, which bring it back, have their own places left.
	if (!request(core, peer, number, word, number == CALL_channel_open ? MESH_CLIENT_REQUESTS : MESH_REQUESTS_MAX, &sent))
		return ERR_AGAIN;
	uint64_t ms = number == CALL_core_ping ? PING_DEADLINE_MS : CALL_DEADLINE_MS, end = time_read() + ms * core->plan->timebase / 1000;
	call_wait(d, flight, peer, number, sent, end);
	return ERR_OK;
}

static void answer_local(struct core *core, unsigned from, uint32_t request, enum error error, const uint64_t value[5])
{
	for (unsigned i = 0; i < DOMAIN_MAX; i++) {
		struct domain *d = core->domains[i];
		if (d && call_waits_for(d, from) && d->call_request == request) {
			call_finish(d, error, value);
			return;
		}
		if (d && call_ring_answered(d, from, request, error, value))
			return;
	}
	channel_answered(core, from, request, error);
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
	push(core, origin.core, 0, &m); // room: mesh.h
}

static void notice_take(struct core *core, unsigned from, const struct mesh_message *m)
{
	if (m->op == NOTICE_CHANNEL) {
		bool found = channel_notice(core, from, m->word);
		mesh_answer(core, (struct origin){(uint16_t)from, m->request, m->request != 0}, found ? ERR_OK : ERR_NOT_FOUND,
			    call_nothing);
	}
	if (m->op == NOTICE_DOORBELL)
		channel_notice_ring(core, from, m->word[0]);
	else if (m->op == NOTICE_DOMAIN)
		call_notice_domain(core, from, m->word);
	else if (m->op == NOTICE_COMPLAINT)
		call_notice_complaint(core, m->word);
	else if (m->op == NOTICE_CORE)
		reboot_notice(core, from, m->word);
	else if (m->op == NOTICE_STOP && m->word[0])
		sbi_hart_stop();
	else if (m->op == NOTICE_STOP)
		kernel_panic(core, "core %u found this one silent", from);
	else if (m->op == NOTICE_PING && m->word[0])
		mesh_notice(core, from, NOTICE_PING, call_nothing);
	else if (m->op == NOTICE_GRANT)
		grant_notice(core, from, m->word);
	else if (m->op == NOTICE_LISTED)
		reboot_listed(core, from, m->word);
}

static void message_take(struct core *core, unsigned from, const struct mesh_message *m)
{
	struct mesh_peer *p = &core->peers[from];
	info_count(core->info, INFO_MESH_RECEIVED);
	trace(core, TRACE_TAKEN, from, m->request, m->op, m->is_reply);
	if (m->incarnation != p->incarnation)
		return;
	p->heard = true;
	if (m->is_reply) {
		if (!core_has_asked(core, m->request)) // late, to a former life: not one of those that are outstanding
			return;
		if (p->outstanding > 0)
			p->outstanding--;
		answer_local(core, from, m->request, m->error < ERROR_COUNT ? m->error : ERR_PROTOCOL, m->word);
	} else if (m->op >= NOTICE_CHANNEL) {
		notice_take(core, from, m);
	} else {
		call_of_kernel(core, from, m);
	}
}

void mesh_take_from(struct core *core, unsigned from)
{
	struct mesh_peer *p = &core->peers[from];
	struct mesh_message m;
	if (p->info->incarnation != p->incarnation)
		peer_renew(core, from);
	if (!is_met(core, from))
		return;
	fence_r_r(); // partner: fence_w_w in peer_renew
	for (unsigned n = 0; n < MESH_SLOTS && mesh_ring_pop_consumer(p->in, &p->head, &m); n++) {
		fence_rw_w(); // partner: the sender's read of our head; the copy before the slot is free
		*(volatile uint32_t *)p->in_head = p->head;
		message_take(core, from, &m);
	}
}

void mesh_take(struct core *core)
{
	fence_i_r(); // partner: fence_w_ro in push; claim before the look
	for (unsigned from = 0; from < core->core_count; from++)
		mesh_take_from(core, from);
}

// Who begins anew allocates nothing until all have said what they hold of its memory (RECOVERY rule 11): then, this.
static void listing_end(struct core *core)
{
	if (core->notices || !core->listing)
		return;
	uint64_t word[6] = {0, core->chief};
	for (unsigned i = 0; i < core->core_count; i++)
		word[0] |= (uint64_t)core->peers[i].fenced << i;
	for (uint64_t left = core->listing; left; left &= left - 1)
		if (mesh_notice(core, word_lowest_bit(left), NOTICE_LISTED, word))
			core->listing &= ~(left & -left);
}

void mesh_flush(struct core *core)
{
	for (uint32_t left = core->notices; left; left &= left - 1) {
		struct domain *d = core->domains[word_lowest_bit(left)];
		core->notices &= ~(left & -left);
		if (d && !channel_notices_send(d))
			core->notices |= left & -left;
	}
	listing_end(core);
	if (core->notices || core->listing)
		deadline_arm(&core->deadlines, &core->mesh_retry, time_read() + RETRY_US * core->plan->timebase / 1000000);
}
