// The logs of the kernels, forwarded into the supervisor's once the console is a server's.
#pragma once

// From here on: lines that a core's kernel logged before were printed by it.
void kernel_log_begin(unsigned cores);
// Takes what is new in the log of that core; nothing before kernel_log_begin. Waits for nobody but that kernel.
void kernel_log_pull(unsigned core);
void kernel_log_pull_all(void);
