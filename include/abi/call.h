// Kernel calls: numbers, arguments, results.
//
// ecall from VS-mode with a7 = number, a0..a5 = arguments. On return a0 = enum error, a1..a5 = results (zero where
// none is named); all other registers are kept. Every call validates first and then performs a phase that cannot fail.
// All but those marked P and W are for the supervisor alone. All but W, which wait for other domains or are about the caller's
// registers, can also be made from a ring (call_ring.h). S concerns its own core, C a core that is named, D a domain by its
// handle from domain_create or domain_open, E a domain or (0) the caller. A named core, and a domain's core, may be any: the
// caller waits for that kernel's reply, at most CALL_DEADLINE_MS, and then gets ERR_CORE_LOST.
#pragma once
#include <stdint.h>

#define CALL_DEADLINE_MS 2000
#define ENDPOINT_LIMIT_US 1000000000u // the longest patience of an endpoint's caller
#define BUDGET_LEAST_US 100u        // of a domain_budget: a switch is a tenth of it
#define BUDGET_PERIOD_US 10000000u  // the longest
#define PING_DEADLINE_MS 500 // of core_ping alone: who asks for a sign of life asks again

// X(name, right, arguments -> results)
#define CALL_TABLE(X)                                                                                                  \
	/* the fast path knows these by their numbers, 0 to 2 (endpoint.h) */                                         \
	X(null, P, "-> ; nothing, and a0 alone is changed")                                                            \
	X(endpoint_call, W, "handle, 8 words -> 8 words; a7: epoch of the server")                                     \
	X(endpoint_receive, W, "whom to answer, 8 words -> 8 words; a7: badge")                                        \
	/* any domain */                                                                                             \
	X(endpoint_call_give, W, "as endpoint_call; a6 is a handle, which becomes one of the receiver's (0: it has no place)") \
	X(endpoint_reply, W, "as endpoint_receive, but comes back at once -> ")                                        \
	X(endpoint_reply_give, W, "the same; a6 is a handle")                                                          \
	X(endpoint_keep, W, "-> what endpoint_receive and endpoint_reply take to answer the present caller later")     \
	X(endpoint_serve, P, "-> ; the caller takes calls from now on")                                                \
	X(endpoint_open, P, "name (2 words) -> handle, epoch ; of a service published on this core")                   \
	X(endpoint_mint, P, "badge -> handle to the caller's own endpoint, to be given")                               \
	X(endpoint_close, P, "handle -> ")                                                                             \
	X(endpoint_limit, P, "handle, us -> ; calls through it end with TIMEOUT after that, 0: never")                 \
	X(yield, W, "-> ")                                                                                             \
	X(self, P, "-> core, domain index, epoch, first incarnation? 0:1, guest file (0: rings come through kernel)")  \
	X(exit, W, "code -> never returns")                                                                            \
	X(ready, P, "-> ; this incarnation has adopted its channels and serves")                                       \
	X(log, P, "length <= 40, 5 words of text -> ; a line of the core's log, on the console until it is taken")     \
	X(event_next, P, "-> event kind, argument 0, 1, 2 (EVENT_NONE when there is none)")                            \
	X(doorbell, P, "slot -> ; ring the peer of a channel end through the kernels")                                 \
	X(doorbell_claim, P, "-> 4 words: sticky identities 0..255, cleared by this; for domains without a guest file") \
	X(memory_alloc, W, "pages, piece -> gpa ; 0: the block lies together; else it is mapped in pieces of so many pages, 64 pieces of 64 at most (INVALID), with an unmapped page behind each") \
	X(memory_free, P, "gpa -> ")                                                                                   \
	X(channel_open, W, "name (2 words), slots << 32 | priority, out bytes, in bytes -> slot; waits for the server; all 0: a notification") \
	X(channel_accept, P, "slot -> ; server takes the client of EVENT_CHANNEL_REQUEST")                             \
	X(channel_refuse, P, "slot -> ")                                                                               \
	X(channel_close, P, "slot -> ; client: server is told, slot is free after its release; "                      \
			    "server: release after EVENT_CHANNEL_CLOSED")                                                    \
	X(channel_info, P, "slot -> state and role, slots << 32 | identity, out bytes, in bytes, peer (struct channel_peer)") \
	X(channel_name, P, "slot -> service name (2 words), physical address of the memory (DMA right) or 0, key, secret (server) or 0") \
	X(channel_complain, P, "slot, reason (enum complaint) -> ")                                                    \
	X(grant_lend, W, "slot | place << 32, gpa, pages << 8 | prot -> grant ; a client's pages of its heap, of a block that lies together, for the server of that channel until it ends the grant; STATE: that place (of GRANT_PLACES) has one, whatever else is wrong") \
	X(grant_take, W, "slot, grant -> gpa, bytes, prot ; server: maps what was lent. STATE: it has it; LOST: taken back, and clear pages of its own are mapped there; HANDLE: ended, or never heard of") \
	X(grant_end, W, "slot, grant -> ; server: unmapped, the client's alone again. Client: ends as soon as the server has not taken it") \
	X(grant_recall, W, "slot, grant -> ; client: takes it back, whatever the server does. OK: the pages are its alone; AGAIN: they will be, ask again; PEER_LOST: never, that core is fenced off") \
	X(device_info, P, "index -> gpa, bytes, identity of its interrupt, physical MSI address, MSI data")            \
	X(memory_physical, P, "gpa -> physical address; only for domains with the DMA right")                          \
	X(pong, P, "number of EVENT_PING, ticks asleep in its own wfi, doorbells claimed, requests served, all so far -> ; the main loop is alive")                                                 \
	X(ring_open, W, "gpa of a page that it can write, 0: none any more -> ; calls are taken from there (call_ring.h)")      \
	X(ring_enter, W, "wait 0:1 -> ; takes the calls that were submitted; 1: comes back when none is under way any more")   \
	/* supervisor */                                                                                               \
	X(domain_create, C, "core, name (2 words), quota in pages, priority << 32 | flags -> D, domain index")         \
	X(domain_open, C, "core, domain index -> D, epoch ; adopt a running domain by index")                          \
	X(domain_load, D, "D, gpa, pages << 8 | prot, offset in the boot image, length -> ; a segment: copied, rest zero; 0 pages, when STOPPED: forgets all segments, the domain is CREATED again (another image follows)") \
	X(domain_start, D, "D, entry, stack pointer -> epoch ; epoch + 1, adopts its channels")                        \
	X(domain_stop, D, "D, fault kind to record -> ")                                                               \
	X(domain_unregister, D, "D, final -> ; unmap its server ends; final: clients are told PEER_LOST")              \
	X(domain_restore, D, "D -> ; segments to their pristine content, heap freed, registers cleared; in chunks")    \
	X(domain_destroy, D, "D -> ; all returned to the partition once every peer has let go")                        \
	X(domain_status, D, "D, group -> 5 words of struct domain_status (fault.h)")                                   \
	X(domain_publish, D, "D, name (2 words), state -> ; a line in its core's info page")                           \
	X(domain_watch, D, "D, tick in us, ticks -> ; ping, report EVENT_DOMAIN/hang if not answered within")          \
	X(domain_poke, D, "D, place, mask -> the word as it was ; fault injection: 8 bytes of its memory at that gpa, or saved register 0 (pc) to 31, are xored")  \
	X(domain_budget, D, "D, us, period in us -> ; so long in each period while others want the core, 0: no limit")  \
	X(domain_ping, D, "D -> ; one ping now, under the watch's tick and count")                                     \
	X(device_map, E, "D, physical address, bytes -> gpa ; D = 0: the caller itself")                               \
	X(interrupt_bind, D, "D, device index, source (0: MSI) -> identity, MSI address, MSI data")                    \
	X(boot_image_map, S, "-> gpa, bytes ; into the caller, read-only")                                             \
	X(device_tree_map, S, "-> gpa, bytes ; into the caller, read-only")                                            \
	X(core_ping, C, "core, again -> incarnation, ticks it took; again: there will be more, and without them that core asks ours whether it lives")                                                          \
	X(core_log, C, "core, offset -> 4 words of its kernel's log, the offset behind them (the same: no more)")      \
	X(core_reboot, S, "core -> ; it is dead or silent: its hart starts again when it has stopped (EVENT_CORE tells); CORE_LOST: it is fenced off; "  \
			  "ALIVE: it has answered our kernel, which asks for a second, and nothing is done to it")             \
	X(core_crash, C, "core, enum core_crash, doom, CALL_EARNEST -> ; that core's kernel dies; doom: how many of the next incarnations << 3 | enum doom")  \
	X(memory_count, C, "core -> free frames, all frames, frames quarantined")                                      \
	X(power, S, "0 off, 1 reboot; exit code; CALL_EARNEST -> never returns")

enum call {
#define X(name, right, text) CALL_##name,
	CALL_TABLE(X)
#undef X
	CALL_COUNT
};

enum call_right { CALL_RIGHT_W, CALL_RIGHT_P, CALL_RIGHT_S, CALL_RIGHT_C, CALL_RIGHT_D, CALL_RIGHT_E };

#define CALL_EARNEST 0x6e72616573742121ul // what ends a kernel or the machine wants this word, which no slip of a register makes
#define WATCH_TICK_MIN_US 250u // of domain_watch: a shorter one would keep its kernel from everything else
#define CORE_LOG_SHOWN (~1ull) // core_log's offset: nothing is read; the end told is that of what the firmware's console has shown

#define DOMAIN_FLAG_DMA 1u       // may ask for physical addresses of its memory
#define DOMAIN_FLAG_NO_FILE 2u   // never gets a guest interrupt file (tests of the path through the kernels)
#define DOMAIN_FLAG_CONSOLE 4u   // owns the UART: the kernels stop printing when it is ready
// The second class of domain: it has page tables of its own (vsatp), programs in VU-mode, and takes their exceptions and its own by a
// handler (stvec); its heap may hold text. What it has no handler for reaches its kernel as any domain's faults do (docs/library-os.md).
#define DOMAIN_FLAG_LIBRARY_OS 8u

// HANG: a loop with interrupts off, which other kernels can stop; DEAF: one outside of its own text, where they cannot; NAP: the same for CORE_NAP_MS.
// SPOIL: the records of its domains are wrong, so that the next incarnation cannot believe them. GRANTS: what they say about grants is.
enum core_crash {
	CORE_CRASH_PANIC,
	CORE_CRASH_JUMP,
	CORE_CRASH_STORE,
	CORE_CRASH_HANG,
	CORE_CRASH_NAP,
	CORE_CRASH_SPOIL,
	CORE_CRASH_DEAF,
	CORE_CRASH_GRANTS,
	CORE_CRASH_KINDS
};
#define CORE_NAP_MS 20000u // until it is fenced off, and longer
// Where a new incarnation of a kernel dies: before it claims its records, before it meets the other kernels, before and after it
// makes its tables anew, or when it has just come online (YOUNG); or it hangs before it meets them.
enum doom { DOOM_NONE, DOOM_CLAIM, DOOM_MEET, DOOM_FINISH, DOOM_ONLINE, DOOM_HANG, DOOM_YOUNG, DOOM_STEPS };

#define PROT_READ 1u
#define PROT_WRITE 2u
#define PROT_EXEC 4u

// channel_info a1: role in bit 0, state in bits 1..7, the client's priority in bits 8..9
#define CHANNEL_INFO_ROLE(w) ((unsigned)(w) & 1u)
#define CHANNEL_INFO_STATE(w) ((unsigned)(w) >> 1 & 0x7fu)
#define CHANNEL_INFO_PRIORITY(w) ((unsigned)(w) >> 8 & 3u)
#define CHANNEL_ROLE_CLIENT 0u
#define CHANNEL_ROLE_SERVER 1u
enum channel_state {
	CHANNEL_FREE,
	CHANNEL_REQUESTED, // server has not answered yet
	CHANNEL_OPEN,
	CHANNEL_DOWN,    // client's view: the server's incarnation is gone, the next one will adopt
	CHANNEL_CLOSED,  // client has gone; server commits, then releases
	CHANNEL_LOST,    // server will not come back
};

// channel_info a5
#define CHANNEL_PEER(core, domain, epoch) ((uint64_t)(core) << 48 | (uint64_t)(domain) << 32 | (uint32_t)(epoch))
#define CHANNEL_PEER_CORE(p) ((unsigned)((p) >> 48))
#define CHANNEL_PEER_DOMAIN(p) ((unsigned)((p) >> 32) & 0xffff)
#define CHANNEL_PEER_EPOCH(p) ((uint32_t)(p))

// channel_info a2 of an OPEN end: low word = identity | peer's identity << 16 (what to store to ring the peer)
#define CHANNEL_OWN_IDENTITY(w) ((uint32_t)(w) & 0xffff)
#define CHANNEL_PEER_IDENTITY(w) ((uint32_t)(w) >> 16 & 0xffff)
#define CHANNEL_INFO_SLOTS(w) ((uint32_t)((w) >> 32))
#define CHANNEL_HAS_DOORBELL_PAGE 0x80000000u // in a1: store to GPA_DOORBELL + slot page; else CALL_doorbell

enum complaint {
	// Evidence: the kernel finds the same request without a completion at two complaints, at least this far apart, of one
	// life of the server. The first complaint gets ERR_AGAIN. (A request's own time stamp is the client's word.)
#define COMPLAINT_AGE_MS 100
	COMPLAINT_NO_ANSWER = 1,
	COMPLAINT_BAD_INDEX,     // evidence: complete_tail ahead of anything submitted
	COMPLAINT_BAD_COMPLETION // evidence: claimed, counted; three of them restart
};
