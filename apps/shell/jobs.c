// Commands that run other programs in domains of their own: run, storm, bench.
//
// Owns the wait for one job. Must never keep the interrupt key from the user: waiting ends at ^C, which stops the job.
// If the shell dies, the job goes on under the supervisor and its result is lost to the shell's successor.
#include "abi/fault.h"
#include "apps/shell/shell.h"
#include "runtime/await.h"
#include "runtime/console.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ARGUMENTS_SIZE 500u
#define STATUS_LARGEST 125 // above are the shell's own
#define STATUS_FAULT 128 // plus enum fault_kind

static bool join_words(int argc, char **argv, char *text, size_t room)
{
	size_t used = 0;
	text[0] = 0;
	for (int i = 0; i < argc; i++) {
		size_t length = strlen(argv[i]);
		if (used + length + 2 > room)
			return false;
		if (i > 0)
			text[used++] = ' ';
		memcpy(text + used, argv[i], length + 1);
		used += length;
	}
	return true;
}

// One answer; ^C stops the job and goes on waiting for that.
static enum error job_ask(uint64_t job, struct client_request *request, bool *stopped)
{
	const struct await awaited[] = {{.request = request}, {.flag = console_interrupt_flag()}};
	*request = (struct client_request){.op = SUPERVISOR_OP_WAIT, .arg = {job}, .patient = true};
	enum error e = client_submit(supervision_client(), request);
	if (e != ERR_OK)
		return e;
	while (!(await_any(awaited, *stopped ? 1 : 2, AWAIT_FOREVER) & 1)) {
		*stopped = true;
		(void)supervision_stop(job);
	}
	return (enum error)request->completion.status;
}

// Waits for the job's end.
static enum error job_wait(uint64_t job, uint64_t *code, uint64_t *fault)
{
	struct client_request request;
	bool stopped = false;
	unsigned doubts = 0;
	enum error e;
	do {
		e = job_ask(job, &request, &stopped);
	} while (supervision_doubts_end(job, e, &doubts));
	*code = request.completion.result[0];
	*fault = request.completion.result[1];
	return e;
}

static int job_run(const char *app, int argc, char **argv)
{
	char arguments[ARGUMENTS_SIZE];
	uint64_t job, code, fault;
	if (!join_words(argc, argv, arguments, sizeof(arguments)))
		return complain(app, ERR_TOO_BIG);
	console_flush();
	enum error e = supervision_spawn(app, arguments, &job);
	if (e == ERR_OK)
		e = job_wait(job, &code, &fault);
	if (e != ERR_OK)
		return complain(app, e);
	if (fault != FAULT_NONE && fault != FAULT_EXIT) {
		printf("%s ended by %s; `log` says more\n", app, supervision_fault_word((unsigned)fault));
		return STATUS_FAULT + (int)fault;
	}
	return code > STATUS_LARGEST ? STATUS_LARGEST : (int)code;
}

static int command_run(int argc, char **argv)
{
	return argc >= 2 ? job_run(argv[1], argc - 2, argv + 2) : STATUS_USAGE;
}

static int command_storm(int argc, char **argv)
{
	uint64_t seconds;
	if (argc < 2 || !number_parse(argv[1], &seconds))
		return STATUS_USAGE;
	return job_run("storm", argc - 1, argv + 1);
}

static int command_bench(int argc, char **argv)
{
	return job_run("bench", argc - 1, argv + 1);
}

const struct command commands_jobs[] = {
	{"run", "APP [ARGUMENT..]", "run a program in a domain of its own", command_run},
	{"storm", "SECONDS [OPTION..]",
	 "work on files while services die; --rate N --seed S --only A,B --actions A,B --workers N --count N --keep --quiet",
	 command_storm},
	{"bench", "[TOPIC..] [OPTION..]",
	 "measure; topics: doorbell kernel channel switch files crash; --count N, --icount, --lines for scripts", command_bench},
	{0},
};
