// Endpoints (abi/endpoint.h): who calls whom on this core, and what becomes of a call when one of the two dies.
//
// The fast path is riscv/endpoint.S; it is the same thing for the case that nothing else is to be done: both plain, the
// server open, nobody else waiting, no limit. All other cases come here. Whom a domain calls (`callee`) and whom it serves
// (`client`, or `reply_to` when the fast path may answer it) stands in the records of both; a call that was not received yet
// is a bit in the server's `waiting`. Of callers the best priority comes first, then the oldest.
// A caller donates its priority: the server runs at it, or at that of a better one that waits, until it receives again.
// If the server dies, its callers wait for the next incarnation and then get ERR_RESTARTED; if it is lost, ERR_PEER_LOST.
// If a caller dies, the server's answer goes nowhere. If the kernel dies, callers that go on get ERR_RESTARTED.
#pragma once
#include "kernel/domain.h"

// The time of `d`'s call is up.
void endpoint_timed_out(struct domain *d);
// `d` stopped: it calls nobody any more; its own callers wait for its next incarnation.
void endpoint_halted(struct domain *d);
// `d` begins a new incarnation: those who called the last one are told.
void endpoint_begun(struct domain *d);
// `d` will not come back under its name, or not at all.
void endpoint_lost(struct domain *d);
void endpoint_destroyed(struct domain *d);
// `d`, blocked, is woken by something else than a call.
void endpoint_interrupted(struct domain *d);
// The fast path must not answer its client: something has changed that only the slow path sees to.
void endpoint_slow(struct domain *d);
// Its own priority has changed, and with it what it donates.
void endpoint_reprice(struct domain *d);
// Whom it serves, 0: nobody.
static inline struct domain *endpoint_client(const struct domain *d)
{
	return d->reply_to ? d->reply_to : d->client;
}
// Whose time it is that `d` uses: of who called it, or who called that one.
static inline struct domain *endpoint_payer(struct domain *d)
{
	while (endpoint_client(d))
		d = endpoint_client(d);
	return d;
}
// After a rebirth: doors that lead to no domain of this core lead nowhere.
void endpoint_check_doors(struct domain *d);
