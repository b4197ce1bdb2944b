// Partners at endpoints: a server that does what the first word of a call says, and a caller that checks its answers.
#include "apps/kernel_partner/partner.h"
#include "runtime/endpoint_trap.h"

static uint64_t transformed(uint64_t word, unsigned place)
{
	return word * 3 + place;
}

// ---- server

static uint64_t kept;         // a caller that is answered later

static void spin_us(uint64_t us)
{
	uint64_t end = time_read() + us * partner_self.timebase / 1000000;
	while (time_read() < end)
		;
}

static void server_keep(struct endpoint_words *w)
{
	struct kernel_result r = kcall(CALL_endpoint_keep);
	kept = r.error ? 0 : r.value[0];
	*w = (struct endpoint_words){{0}};
}

static void server_release(void)
{
	struct endpoint_words late = {{PARTNER_DOOR_KEEP, 77}};
	endpoint_trap(CALL_endpoint_reply, kept, &late);
	kept = 0;
}

// A handle to our own endpoint with the badge that was asked for, in the words of the answer.
static void server_give(struct endpoint_words *w)
{
	struct kernel_result made = kcall(CALL_endpoint_mint, w->word[1]);
	*w = (struct endpoint_words){{PARTNER_DOOR_GIVE, made.error, 0, 0, 0, made.value[0]}};
	endpoint_trap(CALL_endpoint_reply_give, 0, w);
	kcall(CALL_endpoint_close, made.value[0]);
}

// A call to ourselves, and one through the handle that came with the call: to who waits for us.
static uint64_t server_calls_in_circle(struct endpoint_words *w)
{
	uint64_t own = kcall(CALL_endpoint_mint, 1).value[0];
	struct endpoint_words words = {{0}};
	enum error to_self = endpoint_trap(CALL_endpoint_call, own, &words).error;
	kcall(CALL_endpoint_close, own);
	enum error back = w->word[5] ? endpoint_trap(CALL_endpoint_call, w->word[5], &words).error : ERR_OK;
	kcall(CALL_endpoint_close, w->word[5]);
	return (uint64_t)to_self << 32 | back;
}

// Says what it finds in the registers without copies, and leaves other values there.
static void server_controls(struct endpoint_words *w)
{
	uint64_t environment = w->word[1];
	*w = (struct endpoint_words){{PARTNER_DOOR_CONTROLS, csr_read(CSR_SCOUNTEREN), csr_read(CSR_SENVCFG)}};
	csr_write(CSR_SCOUNTEREN, 2);
	csr_write(CSR_SENVCFG, environment);
}

// The words of the answer; whom to answer, for the next receive.
static uint64_t server_perform(struct endpoint_words *w, uint64_t badge)
{
	uint64_t op = w->word[0];
	for (unsigned i = 1; i < ENDPOINT_WORDS && op == PARTNER_DOOR_ECHO; i++)
		w->word[i] = transformed(w->word[i], i);
	if (op == PARTNER_DOOR_DIE)
		__asm__ volatile("unimp");
	if (op == PARTNER_DOOR_SPIN)
		spin_us(w->word[1]);
	if (op == PARTNER_DOOR_FLOAT) { // its registers are switched from now on
		__asm__ volatile(".option push\n .option arch, +d\n fmv.d.x f9, %0\n fmv.x.d %0, f9\n .option pop" : "+r"(w->word[1]));
		w->word[1] = transformed(w->word[1], 1);
	}
	if (op == PARTNER_DOOR_WHO)
		*w = (struct endpoint_words){{op, badge, partner_self.epoch}};
	if (op == PARTNER_DOOR_CIRCLE)
		w->word[1] = server_calls_in_circle(w);
	if (op == PARTNER_DOOR_CONTROLS)
		server_controls(w);
	if (op == PARTNER_DOOR_KEEP)
		server_keep(w);
	if (op == PARTNER_DOOR_RELEASE)
		server_release();
	if (op == PARTNER_DOOR_GIVE)
		server_give(w);
	if (op == PARTNER_DOOR_FORGET) { // neither answered nor kept: refused, and answered then
		struct endpoint_words none = {{0}};
		w->word[1] = endpoint_trap(CALL_endpoint_receive, ENDPOINT_NOBODY, &none).error;
	}
	return op == PARTNER_DOOR_KEEP || op == PARTNER_DOOR_GIVE ? ENDPOINT_NOBODY : 0;
}

void partner_door(uint64_t argument)
{
	struct endpoint_words words = {{0}};
	uint64_t whom = ENDPOINT_NOBODY;
	kcall(CALL_endpoint_serve);
	kcall(CALL_ready);
	if (argument)
		spin_us(argument);
	for (;;) {
		struct endpoint_result r = endpoint_trap(CALL_endpoint_receive, whom, &words);
		whom = ENDPOINT_NOBODY;
		if (r.error == ERR_AGAIN) {
			bare_claim(&partner_self);
			partner_events_answer();
		} else if (r.error) {
			partner_exit(PARTNER_FAILED(90, r.error));
		} else {
			whom = server_perform(&words, r.tag);
		}
	}
}

// ---- caller

static uint64_t door_open(char service)
{
	struct kernel_result r = kcall(CALL_endpoint_open, partner_service(service), 0);
	if (r.error)
		partner_exit(PARTNER_FAILED(1, r.error));
	return r.value[0];
}

static struct endpoint_result call(uint64_t door, uint64_t op, uint64_t word, struct endpoint_words *w)
{
	*w = (struct endpoint_words){{op, word, word + 2, word + 3, word + 4, word + 5, word + 6, word + 7}};
	return endpoint_trap(CALL_endpoint_call, door, w);
}

static void demand(bool truth, unsigned step, uint64_t found)
{
	if (!truth)
		partner_exit(PARTNER_FAILED(step, found));
}

// Again after each restart, as who may repeat its request does.
static void echo_rounds(uint64_t door, unsigned rounds)
{
	struct endpoint_words w;
	for (unsigned n = 0; n < rounds;) {
		struct endpoint_result r = call(door, PARTNER_DOOR_ECHO, n, &w);
		if (r.error == ERR_RESTARTED) {
			demand(w.word[0] > 1 && w.word[1] <= 1, 10, w.word[0]);
			continue;
		}
		demand(r.error == ERR_OK, 11, r.error);
		demand(w.word[1] == transformed(n, 1), 12, w.word[1]);
		for (unsigned i = 2; i < ENDPOINT_WORDS; i++)
			demand(w.word[i] == transformed(n + i, i), 12, w.word[i]);
		n++;
	}
}

// Callee-saved registers are kept, the others hold the answer or nothing.
static void registers_survive(uint64_t door)
{
	uint64_t found[32];
	for (uint64_t seed = 1; seed < 50; seed++) {
		partner_call_registers(seed << 32, CALL_endpoint_call, door, found);
		demand(found[10] == ERR_OK, 13, found[10]);
		for (unsigned i = 5; i < 30; i = i == 7 ? 28 : i + 1)
			demand(found[i] == 0 || found[i] == (seed << 32) + i, 14, i);
		for (unsigned i = 18; i < 28; i++)
			demand(found[i] == (seed << 32) + i, 16, i);
		demand(found[1] == (seed << 32) + 1 && found[3] == (seed << 32) + 3 && found[4] == (seed << 32) + 4 &&
			       found[8] == (seed << 32) + 8 && found[9] == (seed << 32) + 9,
		       17, found[1]);
	}
}

static void one_dies(uint64_t door)
{
	struct endpoint_words w;
	struct endpoint_result r = call(door, PARTNER_DOOR_DIE, 0, &w);
	demand(r.error == ERR_RESTARTED, 20, r.error);
	demand(w.word[0] == 2 && w.word[1] == 1, 21, w.word[0]);
	r = call(door, PARTNER_DOOR_WHO, 0, &w);
	demand(r.error == ERR_OK && w.word[2] == 2 && r.tag == 2, 22, r.error);
}

static void time_limits(uint64_t door)
{
	struct endpoint_words w;
	kcall(CALL_endpoint_limit, door, 2000);
	struct endpoint_result r = call(door, PARTNER_DOOR_KEEP, 0, &w);
	demand(r.error == ERR_TIMEOUT, 30, r.error);
	demand(kcall(CALL_endpoint_limit, door, ENDPOINT_LIMIT_US + 1ul).error == ERR_INVALID, 31, 0);
	kcall(CALL_endpoint_limit, door, 0);
	demand(call(door, PARTNER_DOOR_RELEASE, 0, &w).error == ERR_OK, 32, 0); // the late answer goes nowhere
	echo_rounds(door, 20);
}

static void handles_are_checked(uint64_t door)
{
	struct endpoint_words w;
	for (unsigned i = 0; i < 64; i++) {
		uint64_t wrong = i < 32 ? i : door ^ 1ul << (i * 2 % 64);
		if (wrong != door)
			demand(call(wrong, PARTNER_DOOR_ECHO, 0, &w).error == ERR_HANDLE, 40, i);
	}
	demand(kcall(CALL_endpoint_mint, ENDPOINT_BADGE_OPENED).error == ERR_INVALID, 41, 0);
	demand(kcall(CALL_endpoint_open, partner_service('q'), 0).error == ERR_NOT_FOUND, 42, 0);
	demand(kcall(CALL_endpoint_close, door).error == ERR_OK, 43, 0);
	demand(kcall(CALL_endpoint_close, door).error == ERR_HANDLE, 44, 0);
	demand(call(door, PARTNER_DOOR_ECHO, 0, &w).error == ERR_HANDLE, 45, 0);
	for (unsigned i = 0; i < 3 * ENDPOINT_DOORS; i++) { // places are used again, handles are not
		uint64_t other = door_open('d');
		demand(other != door, 46, other);
		demand(call(door, PARTNER_DOOR_ECHO, 0, &w).error == ERR_HANDLE, 47, i);
		echo_rounds(other, 2);
		kcall(CALL_endpoint_close, other);
	}
	for (unsigned i = 0; i < ENDPOINT_DOORS; i++)
		door_open('d');
	demand(kcall(CALL_endpoint_open, partner_service('d'), 0).error == ERR_LIMIT, 48, 0);
}

static void badges_and_gifts(uint64_t door)
{
	struct endpoint_words w;
	call(door, PARTNER_DOOR_WHO, 0, &w);
	uint64_t generation = w.word[1] >> 16 & 0xffffffff;
	demand(w.word[1] == ENDPOINT_BADGE(partner_self.domain, generation), 50, w.word[1]);
	struct endpoint_result r = call(door, PARTNER_DOOR_GIVE, 0x1234, &w);
	demand(r.error == ERR_OK && w.word[0] == PARTNER_DOOR_GIVE && w.word[1] == 0, 51, w.word[1]);
	uint64_t given = w.word[5];
	r = call(given, PARTNER_DOOR_WHO, 0, &w);
	demand(r.error == ERR_OK && w.word[1] == 0x1234, 52, w.word[1]);
	w = (struct endpoint_words){{PARTNER_DOOR_CIRCLE, 0, 0, 0, 0, 999}};
	demand(endpoint_trap(CALL_endpoint_call_give, door, &w).error == ERR_HANDLE, 53, 0);
	uint64_t own = kcall(CALL_endpoint_mint, 5).value[0];
	w = (struct endpoint_words){{PARTNER_DOOR_CIRCLE, 0, 0, 0, 0, own}};
	r = endpoint_trap(CALL_endpoint_call_give, door, &w);
	demand(r.error == ERR_OK, 54, r.error);
	demand(w.word[1] == ((uint64_t)ERR_STATE << 32 | ERR_STATE), 55, w.word[1]);
	r = call(door, PARTNER_DOOR_FORGET, 0, &w);
	demand(r.error == ERR_OK && w.word[1] == ERR_STATE, 56, w.word[1]);
	echo_rounds(given, 3);
}

static void floats_in_a_call(uint64_t door)
{
	struct endpoint_words w;
	echo_rounds(door, 3);
	for (unsigned i = 0; i < 5; i++) {
		demand(call(door, PARTNER_DOOR_FLOAT, i, &w).error == ERR_OK, 60, 0);
		demand(w.word[1] == transformed(i, 1), 61, w.word[1]);
		echo_rounds(door, 3);
	}
}

// What either side leaves in them the other one never finds: its own of now or of before, or what the kernel puts there. So one side alone
// ever sets senvcfg: this one if `own` is 1.
static void controls_in_a_call(uint64_t door, uint64_t own)
{
	struct endpoint_words w;
	for (unsigned i = 0; i < 30; i++) {
		csr_write(CSR_SCOUNTEREN, 4);
		csr_write(CSR_SENVCFG, own);
		demand(call(door, PARTNER_DOOR_CONTROLS, !own, &w).error == ERR_OK, 90, 0);
		demand(w.word[1] == 7 || w.word[1] == 2, 91, w.word[1]);
		demand(!own || w.word[2] == 0, 92, w.word[2]);
		demand(csr_read(CSR_SCOUNTEREN) == 7 || csr_read(CSR_SCOUNTEREN) == 4, 93, csr_read(CSR_SCOUNTEREN));
		demand(own || csr_read(CSR_SENVCFG) == 0, 94, csr_read(CSR_SENVCFG));
	}
}

static void own_controls(uint64_t door)
{
	controls_in_a_call(door, 1);
}

static void their_controls(uint64_t door)
{
	controls_in_a_call(door, 0);
}

static void kept_until_released(uint64_t door)
{
	struct endpoint_words w;
	struct endpoint_result r = call(door, PARTNER_DOOR_KEEP, 0, &w);
	demand(r.error == ERR_OK && w.word[1] == 77, 70, r.error);
}

static void until_it_is_lost(uint64_t door)
{
	struct endpoint_words w;
	struct endpoint_result r;
	kcall(CALL_ready);
	do
		r = call(door, PARTNER_DOOR_ECHO, 0, &w);
	while (r.error == ERR_OK || r.error == ERR_RESTARTED);
	demand(r.error == ERR_PEER_LOST, 80, r.error);
	demand(call(door, PARTNER_DOOR_ECHO, 0, &w).error == ERR_PEER_LOST, 81, 0);
}

static void release(uint64_t door)
{
	struct endpoint_words w;
	demand(call(door, PARTNER_DOOR_RELEASE, 0, &w).error == ERR_OK, 71, 0);
}

static void many_rounds(uint64_t door)
{
	kcall(CALL_ready);
	echo_rounds(door, 3000);
}

// Calls without end in which the server works, and the caller does not.
static void long_calls(uint64_t door)
{
	struct endpoint_words w;
	while (call(door, PARTNER_DOOR_SPIN, 300, &w).error == ERR_OK)
		;
}

static void some_rounds(uint64_t door)
{
	echo_rounds(door, 200);
	registers_survive(door);
}

void partner_caller(uint64_t argument)
{
	static void (*const orders[])(uint64_t door) = {
		[PARTNER_CALLS_ECHO] = some_rounds,	 [PARTNER_CALLS_DEATH] = one_dies,
		[PARTNER_CALLS_LIMIT] = time_limits,	 [PARTNER_CALLS_HANDLES] = handles_are_checked,
		[PARTNER_CALLS_BADGES] = badges_and_gifts, [PARTNER_CALLS_FLOATS] = floats_in_a_call,
		[PARTNER_CALLS_KEPT] = kept_until_released, [PARTNER_CALLS_RELEASE] = release,
		[PARTNER_CALLS_LOST] = until_it_is_lost,   [PARTNER_CALLS_MANY] = many_rounds,
		[PARTNER_CALLS_LONG] = long_calls,	   [PARTNER_CALLS_OWN_CONTROLS] = own_controls,
		[PARTNER_CALLS_THEIR_CONTROLS] = their_controls,
	};
	if (argument >= sizeof(orders) / sizeof(orders[0]))
		partner_exit(PARTNER_FAILED(2, argument));
	orders[argument](door_open('d'));
	partner_exit(0);
}
