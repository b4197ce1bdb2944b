// Who died, who hangs, who is complained about: kernel events turned into restarts.
#pragma once
#include "supervisor/services.h"

// Pings within a hang deadline. 4: the deadline is met to a quarter, and a domain is rung no oftener than that.
#define WATCH_TICKS 4u

// ms from start to ready, while all that a service uses is there. 10 s: a file system replays a full log in less.
#define WATCH_START_MS 10000u

#define WATCH_EXIT_COMPLAINT 76 // exit code of a supervisor that a client complained about

// Gives it that time to become ready.
void watch_start(struct service *service);
// Arms the kernel's pings for the service (nothing when its record has no hang_ms). Error: of domain_watch.
enum error watch_arm(struct service *service);
// An event of loop_on_event: EVENT_DOMAIN, EVENT_CORE, EVENT_COMPLAINT.
void watch_event(unsigned kind, uint64_t a, uint64_t b, uint64_t c);
// Looks at the domain and does what its state asks for.
void watch_check(struct service *service);
// The supervisor was restarted by its kernel: tells why, and how long it took. `service`: its own entry; `started`: rdtime.
void watch_tell_own(struct service *service, uint64_t started);
// Its core is back: it goes on there, or is restarted; a job that cannot go on ends. `lost`: rdtime of the loss. False: the core is lost again.
bool watch_return(struct service *service, uint64_t lost);
// Stops the service from outside and reincarnates it. ERR_STATE: it does not run.
enum error watch_kill(struct service *service);
// As watch_kill, but forgets its history, and starts it when it is held.
enum error watch_restart(struct service *service);
