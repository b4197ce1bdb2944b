// Reboot: the death of another core's kernel, and its next start.
//
//   panicking kernel          the first core that is online       supervisor
//   epitaph, PANICKED,        NOTICE_CORE: calls end,         ->  EVENT_CORE: marks its services
//   NOTICE_CORE, HSM stop     waits until HSM says STOPPED
//                             starts the hart: pristine image,
//   adopts, meets all,        the same partition
//   ONLINE, NOTICE_CORE   ->  all                             ->  EVENT_CORE: restarts its services
//
// A kernel that does not answer the supervisor's ping is told to stop itself (NOTICE_STOP), in case that it is late only.
// A hart that does not stop is fenced off: there is no proof of its death, so nothing that it could still write is used
// again (RECOVERY rule 10), and its clients are told that their servers are lost. The same for one whose kernel dies again
// and again before it is online, or hangs there.
//
// The supervisor's own core is guarded by the others: when its pings stay away, they ask its kernel; the lowest of them that
// lives does first what is to be done. If that core has to be fenced off, the supervisor begins anew on the core that did it.
#pragma once
#include "kernel/domain.h"

// That core is dead, or, though its page says that it is online, `silent`: its hart is started again as soon as it has stopped.
void reboot_begin(struct core *core, unsigned dead, bool silent);
// The first core that is online starts all others that are dead, or that are about to start and whom nobody may be looking after.
void reboot_duty(struct core *core);
// Looks at the harts that are waited for (DEADLINE_REBOOT).
void reboot_look(struct core *core);
// The supervisor has pinged us, and promises to go on; DEADLINE_GUARD: it has not.
void reboot_guard_begin(struct core *core);
void reboot_guard(struct core *core);
// NOTICE_CORE and NOTICE_LISTED (mesh.h).
void reboot_notice(struct core *core, unsigned from, const uint64_t word[6]);
void reboot_listed(struct core *core, unsigned from, const uint64_t word[6]);
