// The shell: reads a line, splits it into commands, runs each by the tables, keeps $?.
//
// Owns the terminal while it has the focus. Must never hold state that anybody else needs: services, files and jobs
// live elsewhere. Right because each command is a function of its arguments and of what the services answer. If the
// shell dies, its supervisor starts it again and the user sees a new prompt; a job that it waited for goes on.
#include "apps/shell/shell.h"
#include "apps/shell/line.h"
#include "apps/shell/parse.h"
#include "runtime/await.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT "planaria> "

static const struct command *const tables[] = {commands_shell,  commands_files,  commands_trees,
					       commands_system, commands_faults, commands_jobs};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

static struct line editor;
static bool colours = true;
static int last_status;

int complain(const char *what, enum error error)
{
	printf("%s%s%s: %s\n", shade(SHADE_BAD), what, shade(SHADE_NONE), error_sentence(error));
	return STATUS_FAILED;
}

bool option_take(int *argc, char **argv, const char *option)
{
	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], option) != 0)
			continue;
		memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof(argv[0]));
		(*argc)--;
		return true;
	}
	return false;
}

bool pause_us(uint64_t us)
{
	const struct await interrupt = {.flag = console_interrupt_flag()};
	return await_any(&interrupt, 1, time_now() + time_ticks_from_us(us)) == 0;
}

bool number_parse(const char *text, uint64_t *number)
{
	char *end;
	*number = strtoull(text, &end, 0);
	return end != text && *end == 0 && *text != '-';
}

const char *shade(enum shade shade)
{
	static const char *const codes[] = {"\033[0m", "\033[1m", "\033[32m", "\033[31m", "\033[2m"};
	return colours ? codes[shade] : "";
}

const char *duration_text(uint64_t ticks, char text[24])
{
	uint64_t us = time_us_from_ticks(ticks);
	if (us < 10000)
		snprintf(text, 24, "%lu us", us);
	else if (us < 10000000)
		snprintf(text, 24, "%lu.%lu ms", us / 1000, us / 100 % 10);
	else
		snprintf(text, 24, "%lu.%lu s", us / 1000000, us / 100000 % 10);
	return text;
}

const char *size_text(uint64_t bytes, char text[24])
{
	static const char units[] = "BKMGT";
	unsigned unit = 0;
	uint64_t tenths = bytes * 10;
	while (tenths >= 10240 && units[unit + 1]) {
		tenths /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(text, 24, "%lu B", bytes);
	else
		snprintf(text, 24, "%lu.%lu %ciB", tenths / 10, tenths % 10, units[unit]);
	return text;
}

// --- running commands

static const struct command *command_find(const char *name)
{
	for (unsigned t = 0; t < TABLES; t++)
		for (const struct command *c = tables[t]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return 0;
}

static int command_run(struct parsed *parsed)
{
	const struct command *command = command_find(parsed->words[0]);
	if (!command) {
		printf("%s: no such command; `help` lists them\n", parsed->words[0]);
		return STATUS_UNKNOWN;
	}
	int status = command->run(parsed->count, parsed->words);
	if (status != STATUS_USAGE)
		return status;
	printf("usage: %s %s\n", command->name, command->arguments);
	return STATUS_MISUSED;
}

static void line_run(const char *rest)
{
	static struct parsed parsed;
	for (;;) {
		enum parse_result result = parse_command(&rest, last_status, &parsed);
		if (result == PARSE_END)
			return;
		if (result != PARSE_COMMAND) {
			printf("%s\n", parse_sentence(result));
			last_status = STATUS_MISUSED;
			return;
		}
		if (parsed.count > 0)
			last_status = command_run(&parsed);
		if (console_interrupted()) {
			last_status = STATUS_INTERRUPTED;
			return;
		}
	}
}

static void editor_read(void)
{
	enum line_result result;
	line_begin(&editor);
	do {
		console_flush();
		result = line_feed(&editor, (uint8_t)console_read_byte());
	} while (result == LINE_MORE);
	if (result != LINE_DONE)
		return;
	console_interrupt_catch(true);
	line_run(editor.text);
	console_interrupt_catch(false);
}

int program_main(void)
{
	enum error e = console_focus();
	if (e != ERR_OK) {
		log_line("shell: no console: %s", error_sentence(e));
		return (int)e;
	}
	editor.output = console_write;
	editor.prompt = PROMPT;
	if (self_restarted()) {
		last_status = STATUS_LOST;
		printf("\nthe shell was restarted (epoch %u)\n", self_epoch());
	}
	for (;;)
		editor_read();
}

// --- commands of the shell itself

static int command_help(int argc, char **argv)
{
	if (argc > 2)
		return STATUS_USAGE;
	if (argc == 2) {
		const struct command *c = command_find(argv[1]);
		if (!c)
			return complain(argv[1], ERR_NOT_FOUND);
		printf("%s %s\n    %s\n", c->name, c->arguments, c->help);
		return STATUS_OK;
	}
	for (unsigned t = 0; t < TABLES; t++)
		for (const struct command *c = tables[t]; c->name; c++)
			printf("  %s%-10s%s %-34s %s\n", shade(SHADE_HEAD), c->name, shade(SHADE_NONE), c->arguments,
			       c->help);
	printf("`;` separates commands, $? is the last exit status (%d: the shell died), '..' and \"..\" quote, # starts a "
	       "comment\n", STATUS_LOST);
	return STATUS_OK;
}

static int command_echo(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		printf("%s%s", i > 1 ? " " : "", argv[i]);
	printf("\n");
	return STATUS_OK;
}

static int command_color(int argc, char **argv)
{
	bool on = argc == 2 && strcmp(argv[1], "on") == 0;
	if (argc != 2 || (!on && strcmp(argv[1], "off") != 0))
		return STATUS_USAGE;
	colours = on;
	return STATUS_OK;
}

static int command_history(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return STATUS_USAGE;
	for (unsigned n = LINE_HISTORY; n > 0; n--)
		if (line_history(&editor, n))
			printf("%s\n", line_history(&editor, n));
	return STATUS_OK;
}

static int command_true(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return STATUS_OK;
}

static int command_false(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return STATUS_FAILED;
}

static int command_sleep(int argc, char **argv)
{
	uint64_t ms;
	if (argc != 2 || !number_parse(argv[1], &ms))
		return STATUS_USAGE;
	(void)pause_us(ms * 1000);
	return STATUS_OK;
}

const struct command commands_shell[] = {
	{"help", "[COMMAND]", "list the commands, or say what one does", command_help},
	{"echo", "TEXT..", "print the words", command_echo},
	{"sleep", "MILLISECONDS", "wait", command_sleep},
	{"true", "", "exit status 0", command_true},
	{"false", "", "exit status 1", command_false},
	{"history", "", "the lines typed before", command_history},
	{"color", "on|off", "colours on the terminal", command_color},
	{0},
};
