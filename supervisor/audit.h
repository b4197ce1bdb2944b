// Audit: questions that the supervisor asks itself whenever its kernel asks whether it lives. See audit.c.
#pragma once

// Looks in a row at which a death is still not taken note of; one look a second (SUPERVISOR_HANG_MS and WATCH_TICKS).
#define AUDIT_LOOKS 3u

// Before the answer to a ping. Does not come back if an answer is wrong: the kernel restores us, and we adopt.
void audit_self(void);
