// Notifications (notification.h).
//
// Owns the list of this domain's ends. Must never touch a channel's window: there is nothing mapped behind these. Right because a ring
// is a bit in our interrupt file until it is claimed, and what could get lost between two lives is made good by raising both
// ends when the second begins. If this domain dies, its kernel keeps the ends; if the peer does, it is told (EVENT_CHANNEL_STATE).
#include "runtime/notification.h"
#include "runtime/channel_open.h"
#include "runtime/fiber.h"
#include "runtime/loop.h"
#include <stdlib.h>

static struct notification *notifications;

static struct notification *notification_of_slot(unsigned slot)
{
	struct notification *n = notifications;
	while (n && n->view.slot != slot)
		n = n->next;
	return n;
}

static bool slot_is_taken(unsigned slot)
{
	return notification_of_slot(slot) != 0;
}

// --- being raised

// The program may close it here: it is not touched afterwards.
static void notification_raise(struct notification *n)
{
	bool outside = !loop_running();
	n->raised = true;
	if (n->fiber)
		fiber_wake(n->fiber);
	if (!n->notified)
		return;
	if (outside)
		loop_enter();
	n->notified(n);
	if (outside)
		loop_leave();
}

static void notification_rung(struct loop_source *source)
{
	notification_raise((struct notification *)((char *)source - offsetof(struct notification, source)));
}

// From here on rings are seen. What came before is nobody's, or covered by raising it.
static void notification_listen(struct notification *n)
{
	n->source = (struct loop_source){.notify = notification_rung, .identity = n->view.own_identity};
	loop_source_add(&n->source);
	(void)loop_take(n->source.identity);
}

// EVENT_CHANNEL_STATE of a client's end. What was signalled to the dead incarnation, or by it, may have got lost.
static void notification_state_changed(unsigned slot)
{
	struct notification *n = notification_of_slot(slot);
	if (!n || channel_view_refresh(&n->view) != ERR_OK)
		return;
	n->gone = n->view.state == CHANNEL_LOST;
	if (n->view.state == CHANNEL_OPEN)
		notification_signal(n);
	if (n->view.state != CHANNEL_DOWN)
		notification_raise(n);
}

static struct loop_listener listener = {.state_changed = notification_state_changed};

// --- open and close

static void notification_insert(struct notification *n)
{
	n->next = notifications;
	notifications = n;
}

enum error notification_open(struct notification **result, const char *service, unsigned priority)
{
	const struct channel_wish wish = {.priority = priority, .taken = slot_is_taken};
	struct notification *n = calloc(1, sizeof(*n));
	unsigned slot;
	bool resumed;
	if (!n)
		return ERR_NO_MEMORY;
	enum error e = channel_end_open(service, &wish, &slot, &resumed);
	if (e == ERR_OK)
		e = channel_view_load(&n->view, slot);
	if (e != ERR_OK) {
		free(n);
		return e;
	}
	loop_listener_add(&listener);
	notification_insert(n);
	notification_listen(n);
	n->raised = true;
	if (resumed)
		notification_signal(n);
	*result = n;
	return ERR_OK;
}

void notification_close(struct notification *n)
{
	struct notification **at = &notifications;
	invariant(n->view.role == CHANNEL_ROLE_CLIENT || n->gone);
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	if (n->source.notify)
		loop_source_remove(&n->source);
	kcall(CALL_channel_close, n->view.slot);
	free(n);
}

// --- looking

bool notification_take(struct notification *n)
{
	bool raised = loop_take(n->source.identity) || n->raised;
	n->raised = false;
	return raised;
}

enum error notification_wait(struct notification *n)
{
	struct fiber *bound = n->fiber;
	n->fiber = fiber_self();
	while (!notification_take(n) && !n->gone)
		fiber_park();
	n->fiber = bound;
	return n->gone ? ERR_PEER_LOST : ERR_OK;
}

void notification_bind(struct notification *n, struct fiber *fiber)
{
	n->fiber = fiber;
}

// --- the server's end

unsigned notification_ends(uint64_t peer)
{
	unsigned ends = 0;
	for (const struct notification *n = notifications; n; n = n->next)
		ends += n->notified && n->view.peer == peer;
	return ends;
}

void notification_accept(unsigned slot, void (*notified)(struct notification *))
{
	struct notification *n = notified ? calloc(1, sizeof(*n)) : 0;
	if (!n) {
		kcall(CALL_channel_refuse, slot);
		return;
	}
	if (kcall(CALL_channel_accept, slot).error != ERR_OK || channel_view_load(&n->view, slot) != ERR_OK) {
		free(n);
		return;
	}
	n->notified = notified;
	notification_insert(n);
	notification_listen(n);
	notification_raise(n);
}

void notification_adopt(unsigned slot, void (*notified)(struct notification *))
{
	struct notification *n = calloc(1, sizeof(*n));
	enum error e = n ? channel_view_load(&n->view, slot) : ERR_NO_MEMORY;
	invariant(e == ERR_OK); // without it signals would be lost; the restart rule decides
	n->notified = notified;
	n->gone = n->view.state == CHANNEL_CLOSED;
	notification_insert(n);
}

// Tells the program that the client has gone; where there is nobody to tell, that was all.
static void notification_end(struct notification *n)
{
	n->gone = true;
	if (n->notified)
		notification_raise(n);
	else
		notification_close(n);
}

bool notification_closed(unsigned slot)
{
	struct notification *n = notification_of_slot(slot);
	if (!n)
		return false;
	n->gone = true;
	if (n->source.notify) // else it is told when the server serves
		notification_end(n);
	return true;
}

static void notification_begin(struct notification *n)
{
	notification_listen(n);
	if (n->gone)
		notification_end(n);
	else
		notification_raise(n);
}

void notification_serve(void)
{
	struct notification *n = notifications;
	while (n) {
		bool adopted = !n->source.notify;
		if (adopted)
			notification_begin(n);
		n = adopted ? notifications : n->next; // the program may have closed any
	}
}
