// Endpoints: calls between two domains of one core, a switch from one to the other and back.
//
// A call is an ecall with a7 = CALL_endpoint_call, a0 = handle and eight words in a1..a6, t5, t6. It comes back with a0 =
// enum error, a7 = epoch of the server and its eight words in the same registers. A server takes calls by
// CALL_endpoint_receive, which also answers the last one: a0 = 0 (to its caller, with the words), ENDPOINT_NOBODY, or what
// CALL_endpoint_keep gave. It comes back with a0 = ERR_OK, a7 = badge and the caller's words; or with ERR_AGAIN when an
// interrupt is pending. Both lose t0..t4 and, of the CSRs, sepc, scause, stval and siselect.
// With ERR_RESTARTED (the server died) a1 = epoch of its next incarnation, a2 = 1 if the dead one had received the call.
#pragma once

#define ENDPOINT_WORDS 8
#define ENDPOINT_DOORS 16   // handles of one domain to endpoints, its own included
#define ENDPOINT_NOBODY 1ul // receive: nobody is answered
// A badge says through which handle a call came: what the server minted, or of a handle opened by name, this:
#define ENDPOINT_BADGE_OPENED (1ul << 63)
#define ENDPOINT_BADGE(domain, generation) (ENDPOINT_BADGE_OPENED | (unsigned long)(generation) << 16 | (domain))
