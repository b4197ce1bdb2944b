// The disk's driver, taken from its device and given back, by sysfs. Owns nothing. A failure ends the program.
#pragma once

void driver_unbind(void);
void driver_bind(void);
// The block device that is there now: it may have another name after a bind. Waits for it; ended by the caller's limit.
const char *driver_disk(void);
