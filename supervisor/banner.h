// The banner: cores, memory of each partition, services with core and epoch.
#pragma once

// Into the log, from the info pages and the table of services.
void banner_say(void);
