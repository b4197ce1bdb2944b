/*
 * Ring and doorbell handshake of include/abi/channel.h: one producer, one consumer that sleeps, dies and is started
 * again at any step.
 *
 * The consumer sleeps by way of its loop, and then naps as often as it likes.
 *
 * What it checks: the consumer takes every message once it was published, in order, with the right content; no wake-up
 * is lost (that would be an invalid end state); the ring is never overrun.
 *
 * Spin itself is sequentially consistent. So the stores of both sides pass through a buffer here, one place for each
 * location, which empties in any order, and the consumer's load of a slot may be early. A fence w,* waits for the own
 * buffer; a fence r,r forbids the early load. This is weaker than TSO, and what RVWMO adds is argued in
 * docs/fences.md. Mutants (environment MUTANT=n) each lack one rule and must fail.
 */
c_decl {
	\#include <stdlib.h>
	static int mutant;
	static void __attribute__((constructor)) mutant_choose(void)
	{
		mutant = getenv("MUTANT") ? atoi(getenv("MUTANT")) : 0;
	}
}

/* The numbers are known to run.sh by their order here. */
#define FLAG_AFTER_LOOK c_expr { mutant == 1 }        /* no second look */
#define TAIL_BEFORE_SLOT c_expr { mutant == 2 }
#define BELL_BEFORE_TAIL c_expr { mutant == 3 }
#define NO_FENCE_W_W c_expr { mutant == 4 }           /* slot, tail */
#define NO_FENCE_W_RO c_expr { mutant == 5 }          /* tail, flag and doorbell */
#define NO_FENCE_W_R c_expr { mutant == 6 }           /* sleep flag, second look */
#define NO_FENCE_R_R c_expr { mutant == 7 }           /* tail, slot */
#define HEAD_BEFORE_COPY c_expr { mutant == 8 }       /* what fence rw,w prevents */
#define SLEEP_AFTER_RESTART c_expr { mutant == 9 }    /* a new incarnation waits before it looked */
#define NAP_WITH_FLAG_DOWN c_expr { mutant == 10 }    /* as soon as it was taken down, before the loop's turn */
#define NAP_LOOK_BEFORE_CLAIM c_expr { mutant == 11 } /* what rings between them is claimed and not looked at */
#define NAP_AFTER_ONE c_expr { mutant == 12 }         /* one bit can stand for several messages */

#define SLOTS 2
#define MESSAGES 4
#define DEATHS 2

/* Memory as all see it, and the doorbell: a bit in the consumer's interrupt file. */
byte slot[SLOTS];
byte tail, head;
bool want, bell;

/* Stores on their way. */
byte slot_new[SLOTS], tail_new, head_new;
bool want_new;
bool slot_late[SLOTS], tail_late, head_late, want_late;

bool kill, finished;

#define PRODUCER_DRAINED (!slot_late[0] && !slot_late[1] && !tail_late)
#define CONSUMER_DRAINED (!head_late && !want_late)

inline store_slot(i, value)
{
	atomic { !slot_late[i] -> slot_new[i] = value; slot_late[i] = true }
}

inline store_tail(value)
{
	atomic { !tail_late -> tail_new = value; tail_late = true }
}

inline store_head(value)
{
	atomic { !head_late -> head_new = value; head_late = true }
}

inline store_want(value)
{
	atomic { !want_late -> want_new = value; want_late = true }
}

active proctype buffers()
{
end:
	do
	:: d_step { slot_late[0] -> slot[0] = slot_new[0]; slot_late[0] = false }
	:: d_step { slot_late[1] -> slot[1] = slot_new[1]; slot_late[1] = false }
	:: d_step { tail_late -> tail = tail_new; tail_late = false }
	:: d_step { head_late -> head = head_new; head_late = false }
	:: d_step { want_late -> want = want_new; want_late = false }
	od
}

active proctype killer()
{
	byte left = DEATHS;

	do
	:: atomic { left > 0 && !finished && !kill -> left--; kill = true }
	:: break
	od
}

inline ring_if_wanted()
{
	if
	:: want -> bell = true
	:: else
	fi
}

active proctype producer()
{
	byte n = 0; /* private tail; message k has content k + 1 */

	do
	:: n == MESSAGES -> break
	:: else ->
		n - head < SLOTS; /* the stores below depend on this load: partner is the consumer's fence rw,w */
		if
		:: BELL_BEFORE_TAIL -> ring_if_wanted()
		:: else
		fi;
		if
		:: TAIL_BEFORE_SLOT -> store_tail(n + 1); PRODUCER_DRAINED; store_slot(n % SLOTS, n + 1)
		:: else ->
			store_slot(n % SLOTS, n + 1);
			if
			:: NO_FENCE_W_W
			:: else -> PRODUCER_DRAINED /* fence w,w */
			fi;
			store_tail(n + 1)
		fi;
		n++;
		if
		:: NO_FENCE_W_RO
		:: else -> PRODUCER_DRAINED /* fence w,ro */
		fi;
		if
		:: BELL_BEFORE_TAIL
		:: else -> ring_if_wanted()
		fi
	od
}

/* One look at the ring: takes at most one message. */
inline look()
{
	found = false;
	early = 0;
	if
	:: early = slot[h % SLOTS] /* a load that was made too soon */
	:: skip
	fi;
	t = tail;
	assert(t >= h && t - h <= SLOTS);
	if
	:: t == h
	:: else ->
		found = true;
		if
		:: NO_FENCE_R_R
		:: else -> early = 0 /* fence r,r */
		fi;
		if
		:: HEAD_BEFORE_COPY -> store_head(h + 1); CONSUMER_DRAINED
		:: else
		fi;
		if
		:: early == 0 -> early = slot[h % SLOTS]
		:: else
		fi;
		assert(early == h + 1);
		h++;
		if
		:: HEAD_BEFORE_COPY
		:: else -> store_head(h) /* fence rw,w before: loads are done in order here */
		fi
	fi
}

/* Naps after a sleep (loop_nap_claim): the flag stays up, and nothing is looked at before the wfi; until the loop has its turn. */
inline naps()
{
	do
	:: break
	:: h < MESSAGES ->
		bell; /* wfi */
		if
		:: NAP_LOOK_BEFORE_CLAIM -> look()
		:: else
		fi;
		bell = false; /* claim; fence i,r */
		found = !(NAP_LOOK_BEFORE_CLAIM);
		do
		:: found && h < MESSAGES ->
			look();
			if
			:: NAP_AFTER_ONE -> break
			:: else
			fi
		:: else -> break
		od
	od
}

active proctype consumer()
{
	byte h = 0; /* private head */
	byte t, early;
	bool found, reborn = false;

life:
	{
		if
		:: reborn && SLEEP_AFTER_RESTART -> bell
		:: else
		fi;
		do
		:: h == MESSAGES -> break
		:: else ->
			bell = false; /* claim; fence i,r */
			look();
			if
			:: found
			:: else ->
				store_want(true);
				if
				:: NO_FENCE_W_R
				:: else -> CONSUMER_DRAINED /* fence w,r */
				fi;
				if
				:: FLAG_AFTER_LOOK
				:: else -> look()
				fi;
				if
				:: found
				:: else ->
					bell; /* wfi: falls through when the bit is pending */
					if
					:: NAP_WITH_FLAG_DOWN -> store_want(false)
					:: else
					fi;
					naps()
				fi;
				store_want(false)
			fi
		od;
		finished = true
	} unless {
		atomic { kill -> kill = false }
	};
	if
	:: finished
	:: else ->
		/* The next incarnation: the hart's stores are done, the interrupt file is cleared, and adoption takes
		   what is in the ring (adoption.pml). The flag keeps its last value. */
		CONSUMER_DRAINED;
		bell = false;
		h = tail;
		store_head(h);
		early = 0; /* local state is lost */
		found = false;
		t = 0;
		reborn = true;
		goto life
	fi
}
