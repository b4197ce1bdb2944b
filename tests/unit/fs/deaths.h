// A volume whose server dies and comes back, and a workload in between: what the tests of crashes share.
#pragma once
#include "model.h"

// Death after so many steps from here; 0: never.
void die_after(uint64_t steps);
// The image is on the disk, and nothing is left of a former run.
void host_power_on(struct host *h, const uint8_t *image);
// The boot, or the next incarnation. False: it died on the way.
bool host_start(struct host *h, bool resumed);
// A boot that dies at one of its first steps now and then, and so do the incarnations that follow, until one is up.
void host_start_with_deaths(struct host *h, unsigned steps);
// Random operations on both, with a commit after each `commit_every` of them. False: it died.
bool model_run(struct model *m, struct host *h, unsigned ops, unsigned commit_every);
