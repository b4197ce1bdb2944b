// Requests to the service "supervisor" (proto/supervisor.h).
#pragma once

struct server;

extern const struct server requests_server;
// Answers those who wait for a job that has ended meanwhile. After each event.
void requests_answer_waiters(void);
