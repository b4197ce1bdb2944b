// Fault injection: owns the list of points that were passed at least once, and what is armed.
//
// Never allocates. Right because a point is a static struct of its place in the code: it registers at its first passage,
// and an order for a name that was not passed yet waits in `ordered`. All state lies in the domain's own memory, so a
// restart disarms. If the domain dies here, that was the purpose.
#include "runtime/inject.h"
#include "runtime/inject_list.h"
#include "runtime/runtime.h"
#include "runtime/trace.h"
#include <string.h>

#define ORDERS 8u // names that can be armed before their first passage

struct inject_order {
	char name[INJECT_NAME_SIZE];
	uint64_t passage;
	uint32_t action;
	uint32_t parameter;
};

static bool any_armed;
uint32_t inject_wrong_reply;
static uint64_t any_left; // passages of any point until it fires
static uint32_t any_action;
static uint32_t any_parameter;
static struct inject_point *points;

#define NEVER (1ll << 62) // passages that no point sees

static struct inject_order ordered[ORDERS];
static volatile uint64_t *volatile wild = (uint64_t *)0x18; // page 0 is never mapped

static struct inject_point *point_find(const char *name)
{
	struct inject_point *point = points;
	while (point && strncmp(point->name, name, INJECT_NAME_SIZE))
		point = point->next;
	return point;
}

static uint64_t point_passages(const struct inject_point *point)
{
	return point->counted + (uint64_t)(point->start - point->left);
}

// Lets the counter run down to the next passage that is of interest.
static void point_wind(struct inject_point *point)
{
	point->calm = false;
	point->counted = point_passages(point);
	point->start = any_armed || (point->traced && trace_is_on()) ? 1 : point->at > point->counted ? (int64_t)(point->at - point->counted) : NEVER;
	point->left = point->start;
}

static void point_arm(struct inject_point *point, uint32_t action, uint64_t after, uint32_t parameter)
{
	point->action = action;
	point->parameter = parameter;
	point->at = action == INJECT_NONE ? 0 : point_passages(point) + after;
	point_wind(point);
}

static void point_register(struct inject_point *point)
{
	point->registered = 1;
	point->next = points;
	points = point;
	for (unsigned i = 0; i < ORDERS; i++) {
		struct inject_order *order = &ordered[i];
		if (order->action == INJECT_NONE || strncmp(order->name, point->name, INJECT_NAME_SIZE))
			continue;
		point->action = order->action;
		point->parameter = order->parameter;
		point->at = order->passage; // this passage, the first, counts
		order->action = INJECT_NONE;
	}
}

static void exhaust_stack(volatile uint64_t *above)
{
	volatile uint64_t here[64];
	here[0] = *above + 1;
	if (here[0]) // always: the compiler does not know
		exhaust_stack(here);
	here[1] = here[0];
}

static enum error point_act(const struct inject_point *point, uint32_t action, uint32_t parameter)
{
	static const char *const words[] = {
#define X(name, word, text) word,
		INJECT_ACTION_TABLE(X)
#undef X
	};
	log_line("inject %s passage %lu: %s", point->name, (unsigned long)point_passages(point), words[action]);
	uint64_t seed = 0;
	switch (action) {
	case INJECT_ILLEGAL:
		__asm__ volatile(".word 0"); // defined to be illegal
		__builtin_unreachable();
	case INJECT_WILD:
		*wild = 0x77696c64;
		break;
	case INJECT_STACK:
		exhaust_stack(&seed);
		break;
	case INJECT_ASSERT:
		domain_panic(__FILE__, __LINE__, point->name);
	case INJECT_HANG:
		for (;;)
			__asm__ volatile("" ::: "memory");
	case INJECT_ERROR:
		return parameter != ERR_OK && parameter < ERROR_COUNT ? (enum error)parameter : ERR_INJECTED;
	case INJECT_REPLY:
		inject_wrong_reply = 1;
		break;
	case INJECT_EXIT:
		domain_exit(INJECT_EXIT_CODE);
	default:
		break;
	}
	return ERR_OK;
}

enum error inject_fire(struct inject_point *point)
{
	if (!point->registered)
		point_register(point);
	uint64_t passage = point_passages(point);
	uint32_t action = INJECT_NONE;
	uint32_t parameter = 0;
	if (any_armed && --any_left == 0) {
		any_armed = false;
		action = any_action;
		parameter = any_parameter;
	} else if (passage == point->at) {
		action = point->action;
		parameter = point->parameter;
		point->at = 0;
	}
	point_wind(point);
	return action == INJECT_NONE ? ERR_OK : point_act(point, action, parameter);
}

enum error inject_fire_as(struct inject_point *point, enum trace_kind kind, unsigned subject, uint64_t word, uint64_t a, uint64_t b)
{
	if (kind == TRACE_POINT)
		trace_point(point->name);
	else
		trace_here(kind, subject, word, a, b);
	if (point->calm) // of a place that does not ask by itself: inject_shown
		return ERR_OK;
	enum error error = inject_fire(point);
	point->calm = trace_is_on() && !any_armed && !point->at;
	return error;
}

// The order for that name, or one that is free; 0: none.
static struct inject_order *order_find(const char *name)
{
	struct inject_order *room = 0;
	for (unsigned i = 0; i < ORDERS; i++) {
		if (ordered[i].action == INJECT_NONE)
			room = &ordered[i];
		else if (strncmp(ordered[i].name, name, INJECT_NAME_SIZE) == 0)
			return &ordered[i];
	}
	return room;
}

static enum error order_put(const char *name, enum inject_action action, uint64_t passage, uint32_t parameter)
{
	struct inject_order *order = order_find(name);
	if (!order)
		return ERR_LIMIT;
	strncpy(order->name, name, INJECT_NAME_SIZE - 1);
	order->action = action;
	order->passage = passage;
	order->parameter = parameter;
	return ERR_OK;
}

enum error inject_arm(const char *name, enum inject_action action, uint64_t passage, uint32_t parameter)
{
	if ((unsigned)action >= INJECT_ACTIONS)
		return ERR_INVALID;
	if (passage == 0)
		passage = 1;
	if (name[0] == 0) {
		any_action = action;
		any_parameter = parameter;
		any_left = passage;
		any_armed = action != INJECT_NONE;
		for (struct inject_point *point = points; point; point = point->next)
			point_wind(point);
		return ERR_OK;
	}
	struct inject_point *point = point_find(name);
	if (!point)
		return order_put(name, action, passage, parameter);
	point_arm(point, action, passage, parameter);
	return ERR_OK;
}

static bool is_armed(const char *name)
{
	const struct inject_point *point = point_find(name);
	const struct inject_order *order = order_find(name);
	if (name[0] == 0)
		return any_armed;
	return point ? point->at != 0 : order && order->action != INJECT_NONE;
}

bool inject_disarm(const char *name)
{
	bool armed = is_armed(name);
	if (armed)
		(void)inject_arm(name, INJECT_NONE, 1, 0);
	return armed;
}

unsigned inject_list(unsigned first, struct inject_point_info *info, unsigned room)
{
	unsigned n = 0;
	for (struct inject_point *point = points; point && n < room; point = point->next) {
		if (first > 0) {
			first--;
			continue;
		}
		memset(&info[n], 0, sizeof(info[n]));
		strncpy(info[n].name, point->name, INJECT_NAME_SIZE - 1);
		info[n].passages = point_passages(point);
		info[n].action = point->at ? point->action : INJECT_NONE;
		info[n].at = (uint32_t)point->at;
		n++;
	}
	return n;
}
