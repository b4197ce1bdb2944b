/*
 * Adoption, by the rules of include/abi/channel.h and RECOVERY.md 1, 2, 4: one client, one server whose incarnations
 * die at any step, also in adoption; the client dies too, and comes back or not.
 *
 * The server keeps in memory which requests it performed, and commits that to its disk with the mark. A request is
 * logged (has a serial) and stands for any ONCE operation. What it checks: no request is performed twice on top of the
 * same history (in memory or on disk); no completion is lost (an invalid end state); at the end everything that was
 * acknowledged is on the disk; the completion ring has room. Two requests are performed at a time, as fibers do.
 *
 * Steps are sequentially consistent here; the pairs of fences that make them so are argued in docs/fences.md, and
 * mutants 4, 10, 11, 12 show that their order matters. Mutants (environment MUTANT=n) each lack one rule, and must fail.
 */
c_decl {
	\#include "abi/channel.h"
	\#include <stdlib.h>
	static int mutant;
	static void __attribute__((constructor)) mutant_choose(void)
	{
		struct channel_geometry g;
		mutant = getenv("MUTANT") ? atoi(getenv("MUTANT")) : 0;
		if (channel_layout(&g, CHANNEL_SLOTS_MAX, 0, 0)) /* the model's rings hold twice the slots */
			abort();
	}
}

/* The numbers are known to run.sh by their order here. */
#define TRUST_TAILS c_expr { mutant == 1 }        /* adoption goes on from submit_head and does not look at slots */
#define KEEP_DUPLICATES c_expr { mutant == 2 }    /* an index is performed although the record says it was */
#define FORGET_BUSY c_expr { mutant == 3 }        /* an index is taken although its request is under way */
#define EPOCH_FIRST c_expr { mutant == 4 }        /* epoch is written before complete_tail */
#define COMMIT_BEFORE_RECORD c_expr { mutant == 5 }
#define FREE_AT_COMPLETION c_expr { mutant == 6 } /* the client does not wait for committed */
#define NO_LOOK_AT_RECORDS c_expr { mutant == 7 } /* at a new epoch the client goes on with the ring alone */
#define EPOCH_READ_AGAIN c_expr { mutant == 8 }   /* the client remembers the epoch that it reads after its look */
#define SERIALS_FROM_MARK c_expr { mutant == 9 }  /* serials start above the mark only, not above all records */
#define COMMITTED_EARLY c_expr { mutant == 10 }   /* committed is published before the disk has it */
#define TAIL_BEFORE_INDEX c_expr { mutant == 11 } /* complete_tail before the index in complete_ring */
#define SEQ_BEFORE_PAYLOAD c_expr { mutant == 12 } /* request is valid before it is written */
#define NUMBER_TAKEN_LATE c_expr { mutant == 13 } /* next_seq moves after the request; the client dies between */
#define CLOSED_IS_DROPPED c_expr { mutant == 14 } /* a new incarnation does not replay for a client that is gone */

#define SLOTS 2
#ifndef RING
#define RING 4 /* indices that a ring holds: twice the slots */
#endif
#ifndef REQUESTS
#define REQUESTS 3
#endif
#ifndef SERVER_DEATHS
#define SERVER_DEATHS 2
#endif
#ifndef CLIENT_DEATHS
#define CLIENT_DEATHS 0
#endif

#define BIT(s) (1 << (s))

/* Page 0, written by the client. Sequence numbers are request numbers 1..REQUESTS. */
byte submit_tail, complete_head, next_seq = 1;
byte submit_ring[RING];
byte request_seq[SLOTS], request_payload[SLOTS];

/* Page 1 and records, written by the server. */
byte submit_head, complete_tail, epoch, committed;
byte complete_ring[RING];
byte record_seq[SLOTS], record_serial[SLOTS], record_digest[SLOTS];

/* The server's disk. */
byte disk, mark;

/* What the client knows for sure, and what it sent: for the final check. */
byte acknowledged, issued;
bool client_done, client_gone, released;

bool kill_server, kill_client;

#define RECORDED(slot, s) (record_seq[slot] == (s) && record_digest[slot] == (s))

active proctype killer()
{
	byte server_deaths = SERVER_DEATHS, client_deaths = CLIENT_DEATHS;

	do
	:: atomic { server_deaths > 0 && !kill_server && !released -> server_deaths--; kill_server = true }
	:: atomic { client_deaths > 0 && !kill_client && !client_done -> client_deaths--; kill_client = true }
	:: break
	od
}

/*
 * An atomic below holds one access to what others see, and what the process does for itself around it.
 */

/* ---- server ---- */

/* In memory, and the record, as one step without yielding (but the server may die between any two stores). */
inline perform(i)
{
	atomic {
		assert(request_payload[i] == busy[i]);
		assert(!(memory & BIT(busy[i])));
		memory = memory | BIT(busy[i]);
		serial++;
		if
		:: COMMIT_BEFORE_RECORD -> disk = memory; mark = serial
		:: else
		fi
	};
	atomic { record_serial[i] = serial; record_digest[i] = busy[i] };
	record_seq[i] = busy[i]; /* last */
	/* publish */
	if
	:: atomic { TAIL_BEFORE_INDEX -> complete_tail++ }; complete_ring[(complete_tail - 1) % RING] = i
	:: atomic { else -> complete_ring[complete_tail % RING] = i }; complete_tail++
	fi;
	busy[i] = 0
}

inline commit()
{
	if
	:: atomic { COMMITTED_EARLY -> committed = serial }; atomic { disk = memory; mark = serial }
	:: atomic { else -> disk = memory; mark = serial }; committed = mark /* a transaction: all or nothing */
	fi
}

/* Takes the request of slot i, unless it is done, under way, or the slot was freed since. */
inline request_take(i)
{
	s = request_seq[i];
	if
	:: s == 0
	:: s != 0 && RECORDED(i, s) && !KEEP_DUPLICATES
	:: s != 0 && !(RECORDED(i, s) && !KEEP_DUPLICATES) && busy[i] == s && !FORGET_BUSY
	:: else ->
		assert(busy[i] == 0); /* else two fibers would perform it */
		busy[i] = s
	fi;
	s = 0
}

#define OVERRUN (submit_tail - head > RING)

/* One index from the submission ring. Duplicates can overrun it when a client is restarted (never else): then all slots
   are looked at. What is overwritten while it is read is no loss, since a restarted client puts all indices again. */
inline take()
{
	if
	:: atomic { OVERRUN -> assert(CLIENT_DEATHS > 0); head = submit_tail };
		submit_head = head;
		atomic { request_take(0) };
		atomic { request_take(1) }
	:: atomic { !OVERRUN -> i = submit_ring[head % RING]; head++ };
		submit_head = head;
		atomic { request_take(i); i = 0 }
	fi
}

inline replay(i)
{
	atomic {
		s = request_seq[i];
		if
		:: s != 0 && RECORDED(i, s) && record_serial[i] > mark ->
			assert(!(memory & BIT(s)));
			memory = memory | BIT(s)
		:: else
		fi;
		s = 0
	}
}

inline adopt()
{
	atomic {
		incarnation++;
		memory = disk;
		if
		:: TRUST_TAILS -> head = submit_head
		:: else -> head = submit_tail
		fi
	};
	submit_head = head;
	if
	:: atomic { EPOCH_FIRST -> epoch = incarnation }
	:: else
	fi;
	i = complete_head;
	atomic { complete_tail = i; i = 0 };
	epoch = incarnation;
	/* Nobody else writes records now, and requests only appear. */
	atomic {
		serial = mark;
		if
		:: SERIALS_FROM_MARK
		:: else ->
			serial = (record_serial[0] > serial -> record_serial[0] : serial);
			serial = (record_serial[1] > serial -> record_serial[1] : serial)
		fi
	};
	if
	:: atomic { TRUST_TAILS || (client_gone && CLOSED_IS_DROPPED) }
	:: else -> replay(0); replay(1)
	fi;
	if
	:: atomic { TRUST_TAILS || client_gone } /* what was not performed is dropped */
	:: atomic { else -> request_take(0) }; atomic { request_take(1) }
	fi
}

active proctype server()
{
	byte incarnation = 0; /* the kernel's number, survives */
	byte head, i, s, serial, memory;
	byte busy[SLOTS];

life:
	{
		adopt();
end:
		do
		:: atomic { !client_gone && head != submit_tail -> skip }; take()
		:: busy[0] != 0 -> perform(0)
		:: busy[1] != 0 -> perform(1)
		:: disk != memory || committed != serial -> commit()
		:: atomic { client_gone && disk == memory && committed == serial -> released = true; break }
		od
	} unless {
		atomic {
			kill_server && !released -> kill_server = false;
			head = 0; i = 0; s = 0; serial = 0; memory = 0; busy[0] = 0; busy[1] = 0
		}
	};
	if
	:: released -> assert((acknowledged & disk) == acknowledged)
	:: else -> goto life
	fi
}

/* ---- client ---- */

inline index_put(slot)
{
	submit_ring[submit_tail % RING] = slot;
	submit_tail++
}

inline request_publish(slot)
{
	atomic { request_seq[slot] = s; issued = issued | BIT(s) }
}

inline submit(slot)
{
	atomic {
		s = next_seq;
		outstanding[slot] = s;
		if
		:: NUMBER_TAKEN_LATE
		:: else -> next_seq = s + 1
		fi
	};
	if
	:: SEQ_BEFORE_PAYLOAD -> request_publish(slot); request_payload[slot] = s
	:: atomic { else -> request_payload[slot] = s }; request_publish(slot)
	fi;
	index_put(slot);
	atomic {
		if
		:: NUMBER_TAKEN_LATE -> next_seq = s + 1
		:: else
		fi;
		s = 0
	}
}

/* Completes the request of that slot if its record stands: the caller has its answer. */
inline look_at_record(slot)
{
	if
	:: outstanding[slot] != 0 && RECORDED(slot, outstanding[slot]) ->
		outstanding[slot] = 0;
		held[slot] = record_serial[slot];
		acknowledged = acknowledged | BIT(request_seq[slot])
	:: else
	fi
}

inline new_epoch()
{
	e = epoch;
	head = complete_tail;
	complete_head = head;
	if
	:: NO_LOOK_AT_RECORDS
	:: atomic { else -> look_at_record(0) }; atomic { look_at_record(1) }
	fi;
	atomic {
		if
		:: EPOCH_READ_AGAIN -> seen = epoch
		:: else -> seen = e
		fi;
		e = 0
	}
}

inline consume()
{
	atomic { assert(complete_tail - head <= RING); e = complete_ring[head % RING] };
	atomic { look_at_record(e); e = 0; head++ };
	complete_head = head
}

inline free_slot(i)
{
	atomic { request_seq[i] = 0; held[i] = 0 }
}

#define FREE(i) (request_seq[i] == 0)
#define MAY_FREE(i) (held[i] != 0 && (committed >= held[i] || FREE_AT_COMPLETION))

/* A restarted client goes on with its channel: every slot in use is outstanding, its index is put once more. */
inline resume()
{
	atomic {
		head = complete_head;
		outstanding[0] = request_seq[0];
		outstanding[1] = request_seq[1]
	};
	if
	:: outstanding[0] != 0 -> index_put(0)
	:: else
	fi;
	if
	:: outstanding[1] != 0 -> index_put(1)
	:: else
	fi
}

active proctype client()
{
	byte head, seen, e, s;
	byte outstanding[SLOTS]; /* seq that waits for completion */
	byte held[SLOTS];        /* serial that waits for committed */

life:
	{
		resume();
		do
		:: next_seq <= REQUESTS && FREE(0) -> submit(0)
		:: next_seq <= REQUESTS && !FREE(0) && FREE(1) -> submit(1)
		:: epoch != seen -> new_epoch()
		:: complete_tail > head -> consume() /* a tail behind head is of an epoch not seen yet */
		:: MAY_FREE(0) -> free_slot(0)
		:: MAY_FREE(1) -> free_slot(1)
		:: atomic { next_seq > REQUESTS && FREE(0) && FREE(1) -> client_done = true; break }
		od
	} unless {
		atomic {
			kill_client && !client_done -> kill_client = false;
			head = 0; seen = 0; e = 0; s = 0;
			outstanding[0] = 0; outstanding[1] = 0; held[0] = 0; held[1] = 0
		}
	};
	if
	:: client_done ->
		assert(acknowledged == issued);
		assert(disk == issued)
	:: !client_done -> goto life
	:: !client_done -> client_gone = true /* for ever; its memory stays until the server releases it */
	fi
}
