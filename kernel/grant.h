// Grants: pages of a client's heap that its server may use until it says that it does not any more.
//
//   client's kernel                           server's kernel
//   lend: LENT, the block is held         ->  OFFERED: nothing is mapped
//                                             take: TAKEN, mapped in the window of that channel end
//   NONE: the client's alone again        <-  end: unmapped, hfence.gvma, ENDED
//   recall: RECALLED                      ->  what is not taken is ENDED; else a clear page of the server's is mapped in the
//   its alone again, the place is not     <-  place of each (KERNEL rule 14), hfence.gvma, RETURNED, and the server is told
//   NONE                                  <-  end: ENDED
//
// Owns the records in a channel's two ends. Never: unmaps what a living server has taken (KERNEL rule 14), or gives back a
// frame that a server's tables name (INV-71). The shootdown is one fence on the server's hart, which alone uses those tables
// (rule 12), and one message for all pages; no kernel waits. Its deadline is the request's: who does not answer is restarted.
// Death: of the server: OFFERED to the next incarnation; fenced off: held for ever. Of the client (or it frees the block): what is
// not taken ends, and the rest is held until it ends. Of a kernel: each tells the other what it lent and holds; what a server that goes on
// had TAKEN is mapped again when its client's kernel has said where it lies; clear pages need nobody's word.
#pragma once
#include "kernel/call.h"

enum grants_change {
	GRANTS_TELL,  // all, once more
	GRANTS_UNMAP, // server's end: its incarnation has gone, or lets go
	GRANTS_OVER,  // client's end: its server has nothing mapped any more, unless it is fenced off
	GRANTS_CLAIM, // in a reborn kernel: what checks out is kept, and held
	GRANTS_REBORN // then, when every peer has said what it lends: what a server goes on with is mapped
};
// Of all of that end. False: there is something left to tell.
bool grants_change(struct domain *d, unsigned slot, enum grants_change change);
void grant_notice(struct core *core, unsigned from, const uint64_t word[6]);
