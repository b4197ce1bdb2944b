// perform: does what scripts on the disk say, and prints what was acknowledged. Part of the tests.
//
//   perform SCRIPT [SCRIPT..]
//
// Each further script is performed by a job of its own, at the same time. A script has one operation on each line; after its
// acknowledgement, and not before, `SCRIPT:LINE ok [figures]` is printed, or the error's sentence. Whoever reads that knows
// what a client was promised and nothing else; what the tree must be then is the reader's affair (tests/fault/test_replay.py).
// It must never check by itself. Owns a second channel to the file system for operations that are under way together. If
// this domain dies, its jobs go on, and what it had not printed nobody knows of. As a service it is restarted (its script is the
// argument in the manifest), and goes on with what the script says for that life.
#include "abi/fault.h"
#include "runtime/client.h"
#include "runtime/console.h"
#include "runtime/error_text.h"
#include "runtime/fiber.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include "runtime/supervision.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX 32768u
#define WORDS_MAX 8u
#define HELD_MAX 8u
#define JOBS_MAX 4u
#define PAYLOAD_MAX 4096u
#define POUR_SLOTS 128u
#define CLASH_STEP 37u
#define LOG_PAUSE_US 5000u

static char script[SCRIPT_MAX];
static const char *script_name;
static unsigned script_line;
static bool failed;
static struct file held[HELD_MAX]; // open files, by number
static uint8_t payload[PAYLOAD_MAX];
static struct client *pourer;
static struct client_request poured[POUR_SLOTS];
static uint64_t log_seen; // the crash log up to here is older than the script

// The same bytes as content() in tests/power/oracle.py.
static void payload_fill(size_t length, unsigned pattern)
{
	for (size_t i = 0; i < length; i++)
		payload[i] = (uint8_t)(pattern * 37 + (i & 0xff) * 7 + (i >> 8) * 11 + 1);
}

static uint64_t payload_hash(uint64_t hash, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ payload[i]) * 0x100000001b3ull;
	return hash;
}

static uint64_t number(const char *word)
{
	return strtoull(word, 0, 10);
}

static void acknowledge(const char *figures)
{
	printf("%s:%u ok%s\n", script_name, script_line, figures);
}

// --- operations: each acknowledges by itself when it has figures to tell

static enum error path_handle(const char *path, uint64_t *handle)
{
	struct path_node node;
	enum error e = path_find(path, true, &node);
	*handle = node.handle;
	return e;
}

static enum error write_handle(uint64_t handle, char **word)
{
	uint64_t offset = strcmp(word[0], "end") == 0 ? FS_APPEND : number(word[0]);
	size_t length = number(word[1]);
	char figures[32];
	if (length > PAYLOAD_MAX)
		return ERR_TOO_BIG;
	payload_fill(length, (unsigned)number(word[2]));
	struct client_request request = {
		.op = FS_OP_WRITE, .arg = {handle, offset}, .out = payload, .out_length = (uint32_t)length};
	enum error e = file_system_call(&request);
	snprintf(figures, sizeof(figures), " %" PRIu64, request.completion.result[1]);
	if (e == ERR_OK)
		acknowledge(figures);
	return e;
}

static enum error do_write(char **word)
{
	uint64_t handle;
	enum error e = path_handle(word[0], &handle);
	return e == ERR_OK ? write_handle(handle, word + 1) : e;
}

static enum error do_create(char **word)
{
	struct file file;
	enum error e = file_open(&file, word[0], FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);
	file_close(&file);
	return e;
}

static enum error do_mkdir(char **word)
{
	return file_make_directory(word[0], 0755);
}

static enum error do_rmdir(char **word)
{
	return file_remove_directory(word[0]);
}

static enum error do_unlink(char **word)
{
	return file_unlink(word[0]);
}

static enum error do_rename(char **word)
{
	return file_rename(word[0], word[1]);
}

static enum error do_link(char **word)
{
	return file_link(word[0], word[1]);
}

static enum error do_symlink(char **word)
{
	return file_symlink(word[1], word[0]);
}

static enum error do_truncate(char **word)
{
	struct file file = {.flags = FILE_WRITE};
	enum error e = path_handle(word[0], &file.handle);
	return e == ERR_OK ? file_truncate(&file, number(word[1])) : e;
}

static enum error do_sync(char **word)
{
	(void)word;
	return file_sync();
}

// --- open files

static struct file *held_file(const char *word)
{
	return &held[number(word) % HELD_MAX];
}

static enum error do_hold(char **word)
{
	return file_open(held_file(word[0]), word[1], FILE_READ | FILE_WRITE);
}

static enum error do_put(char **word)
{
	return write_handle(held_file(word[0])->handle, word + 1);
}

static enum error do_get(char **word)
{
	const struct file *file = held_file(word[0]);
	uint64_t size = 0, hash = 0xcbf29ce484222325ull;
	size_t got = PAYLOAD_MAX;
	char figures[64];
	while (got == PAYLOAD_MAX) {
		enum error e = file_read_at(file, size, payload, PAYLOAD_MAX, &got);
		if (e != ERR_OK)
			return e;
		hash = payload_hash(hash, got);
		size += got;
	}
	snprintf(figures, sizeof(figures), " %" PRIu64 " %016" PRIx64, size, hash);
	acknowledge(figures);
	return ERR_OK;
}

static enum error do_fsync(char **word)
{
	return file_fsync(held_file(word[0]), false);
}

// Until an open file is so long.
static enum error do_grown(char **word)
{
	struct fs_stat status = {0};
	enum error e = file_status(held_file(word[0]), &status);
	while (e == ERR_OK && status.size < number(word[1])) {
		fiber_sleep_us(LOG_PAUSE_US);
		e = file_status(held_file(word[0]), &status);
	}
	return e;
}

static enum error do_drop(char **word)
{
	file_close(held_file(word[0]));
	return ERR_OK;
}

// --- the words of handles

static enum error stat_word(uint64_t word)
{
	struct fs_stat status;
	return file_system_call(
		&(struct client_request){.op = FS_OP_STAT, .arg = {word}, .in = &status, .in_length = sizeof(status)});
}

// Until that name is there.
static enum error do_meet(char **word)
{
	struct path_node node;
	enum error e;
	while ((e = path_find(word[0], true, &node)) == ERR_NOT_FOUND)
		fiber_sleep_us(LOG_PAUSE_US);
	return e;
}

// Writes the word that an open file has here into a file, for another client.
static enum error do_tell(char **word)
{
	struct file file;
	size_t done;
	enum error e = file_open(&file, word[1], FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE);
	if (e == ERR_OK)
		e = file_write(&file, &held_file(word[0])->handle, sizeof(uint64_t), &done);
	file_close(&file);
	return e;
}

// Uses what another client has told as its handle.
static enum error do_borrow(char **word)
{
	struct file file;
	uint64_t told;
	size_t done = 0;
	enum error e = file_open(&file, word[0], FILE_READ);
	if (e == ERR_OK)
		e = file_read(&file, &told, sizeof(told), &done);
	file_close(&file);
	if (e == ERR_OK && done < sizeof(told))
		e = ERR_INVALID;
	return e == ERR_OK ? stat_word(told) : e;
}

// Uses what is known of the file as its handle.
static enum error do_guess(char **word)
{
	struct fs_stat status;
	enum error e = file_stat(word[0], true, &status);
	return e == ERR_OK ? stat_word(status.identity) : e;
}

// --- many at once

// `step`: how far behind one another the writes begin, within as many bytes as one has; FS_APPEND: each at the end.
static enum error pour_begin(char **word, uint64_t step)
{
	static const struct client_options options = {.slots = POUR_SLOTS};
	uint64_t handle, count = number(word[1]), length = number(word[2]);
	enum error e = count > POUR_SLOTS || length > PAYLOAD_MAX ? ERR_TOO_BIG : ERR_OK;
	if (e == ERR_OK && !pourer)
		e = client_open(&pourer, "fs", &options);
	if (e == ERR_OK)
		e = path_find_by(pourer, word[0], &handle);
	for (uint64_t i = 0; i < count && e == ERR_OK; i++) {
		payload_fill(length, (unsigned)(number(word[3]) + i));
		uint64_t at = step == FS_APPEND ? FS_APPEND : i * step % length;
		poured[i] = (struct client_request){
			.op = FS_OP_WRITE, .arg = {handle, at}, .out = payload, .out_length = (uint32_t)length};
		e = client_submit(pourer, &poured[i]);
	}
	return e;
}

static enum error pour_end(enum error e, char **word)
{
	for (uint64_t i = 0; i < number(word[1]) && e == ERR_OK; i++) {
		e = client_wait(pourer, &poured[i]);
		if (e == ERR_OK)
			printf("%s:%u.%u ok %" PRIu64 "\n", script_name, script_line, (unsigned)i, poured[i].completion.result[1]);
	}
	return e;
}

static enum error do_pour(char **word)
{
	return pour_end(pour_begin(word, FS_APPEND), word);
}

// Under way together, over one another.
static enum error do_clash(char **word)
{
	return pour_end(pour_begin(word, CLASH_STEP), word);
}

// Under way, and nobody waits for them.
static enum error do_throw(char **word)
{
	return pour_begin(word, FS_APPEND);
}

// A bit of what was poured is another from now on, in the log too.
static enum error do_forge(char **word)
{
	uint8_t *out = client_out(pourer);
	out[(size_t)poured[number(word[0]) % POUR_SLOTS].slot * client_out_room(pourer)] ^= 1;
	return ERR_OK;
}

// --- deaths

static enum error death_arm(char *words, uint32_t epoch)
{
	char *rest = 0;
	const char *point = strtok_r(words, ":", &rest);
	const char *action = strtok_r(0, ":", &rest);
	const char *passage = strtok_r(0, ":", &rest);
	if (!point || !action || !passage)
		return ERR_INVALID;
	if (epoch)
		return supervision_inject_later("fs", epoch, point, supervision_action(action), number(passage));
	return supervision_inject("fs", point, supervision_action(action), number(passage), 0);
}

static enum error fs_epoch(uint32_t *epoch)
{
	struct supervisor_service fs;
	enum error e = supervision_find("fs", &fs);
	*epoch = e == ERR_NOT_FOUND ? self_epoch() : fs.epoch; // it can be a component of our own domain
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

// POINT:ACTION:PASSAGE for this incarnation of the file system, then for each that follows it; the last ones first, so
// that nobody dies before all is prepared.
static enum error do_deaths(char **word)
{
	uint32_t epoch;
	unsigned count = 0;
	enum error e = fs_epoch(&epoch);
	while (count < WORDS_MAX && word[count])
		count++;
	while (count-- > 0 && e == ERR_OK)
		e = death_arm(word[count], count ? epoch + count : 0);
	return e;
}

// Figures: incarnation, operations that it replayed, and that it performed for its predecessors.
static enum error do_settle(char **word)
{
	(void)word;
	uint32_t epoch;
	struct client *client;
	char figures[64];
	struct client_request request = {.op = RUNTIME_OP_STATISTICS};
	enum error e = supervision_channel("fs", &client);
	if (e == ERR_OK)
		e = client_call(client, &request);
	if (e == ERR_OK)
		e = fs_epoch(&epoch);
	if (e != ERR_OK)
		return e;
	const uint64_t *result = request.completion.result;
	snprintf(figures, sizeof(figures), " %u %" PRIu64 " %" PRIu64, (unsigned)epoch, result[3], result[4]);
	acknowledge(figures);
	return ERR_OK;
}

// True: the text stands in the crash log behind what was seen. `text` 0: only goes to the end.
static bool log_holds(const char *text)
{
	static char piece[512];
	static size_t matched;
	size_t got = 1;
	while (got > 0 && supervision_log(log_seen, piece, sizeof(piece), &got, &log_seen) == ERR_OK) {
		for (size_t i = 0; i < got && text; i++) {
			matched = piece[i] == text[matched] ? matched + 1 : piece[i] == text[0];
			if (!text[matched]) {
				matched = 0; // the next text is looked for from here on
				log_seen -= got - i - 1;
				return true;
			}
		}
	}
	return false;
}

// Until a domain has logged that it passes a fault at that point.
static enum error do_await(char **word)
{
	char text[64];
	snprintf(text, sizeof(text), "inject %s", word[0]);
	while (!log_holds(text))
		fiber_sleep_us(LOG_PAUSE_US);
	return ERR_OK;
}

// Until that service has been restarted, in this boot.
static enum error do_back(char **word)
{
	struct supervisor_service service;
	enum error e;
	while ((e = supervision_find(word[0], &service)) == ERR_OK && service.epoch == 1)
		fiber_sleep_us(LOG_PAUSE_US);
	return e;
}

// A service has nothing more to do, and does not end.
static _Noreturn enum error do_stay(char **word)
{
	(void)word;
	console_flush();
	for (;;)
		fiber_sleep_us(LOG_PAUSE_US);
}

static enum error do_die(char **word)
{
	(void)word;
	console_flush();
	__builtin_trap();
}

// --- scripts

static const struct {
	const char *word;
	unsigned arguments; // at least
	enum error (*perform)(char **word);
	bool figures; // acknowledges by itself
} operations[] = {
	{"create", 1, do_create, false}, {"mkdir", 1, do_mkdir, false},	    {"rmdir", 1, do_rmdir, false},
	{"unlink", 1, do_unlink, false}, {"rename", 2, do_rename, false},   {"link", 2, do_link, false},
	{"symlink", 2, do_symlink, false}, {"truncate", 2, do_truncate, false}, {"write", 4, do_write, true},
	{"sync", 0, do_sync, false},	 {"hold", 2, do_hold, false},	    {"put", 4, do_put, true},
	{"get", 1, do_get, true},	 {"drop", 1, do_drop, false},	    {"pour", 4, do_pour, false},
	{"fsync", 1, do_fsync, false},	 {"throw", 4, do_throw, false},	    {"forge", 1, do_forge, false},
	{"deaths", 1, do_deaths, false}, {"settle", 0, do_settle, true},    {"await", 1, do_await, false},
	{"die", 0, do_die, false},	 {"clash", 4, do_clash, false},
	{"stay", 0, do_stay, false},	 {"meet", 1, do_meet, false},	    {"tell", 2, do_tell, false},
	{"borrow", 1, do_borrow, false}, {"guess", 1, do_guess, false},	    {"back", 1, do_back, false},
	{"grown", 2, do_grown, false},
};

static void perform_line(char *line)
{
	char *word[WORDS_MAX + 2] = {0}, *rest = 0;
	unsigned count = 0;
	for (char *w = strtok_r(line, " ", &rest); w && count <= WORDS_MAX; w = strtok_r(0, " ", &rest))
		word[count++] = w;
	for (unsigned i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (count == 0 || strcmp(word[0], operations[i].word) != 0 || count <= operations[i].arguments)
			continue;
		enum error e = operations[i].perform(word + 1);
		if (e != ERR_OK)
			printf("%s:%u %s\n", script_name, script_line, error_sentence(e));
		else if (!operations[i].figures)
			acknowledge("");
		failed |= e != ERR_OK;
		return;
	}
	printf("%s:%u is no operation\n", script_name, script_line);
	failed = true;
}

static bool script_read(const char *path)
{
	struct file file;
	size_t got = 0;
	enum error e = file_open(&file, path, FILE_READ);
	if (e == ERR_OK)
		e = file_read(&file, script, SCRIPT_MAX - 1, &got);
	file_close(&file);
	if (e == ERR_OK && got == SCRIPT_MAX - 1)
		e = ERR_TOO_BIG;
	if (e != ERR_OK)
		printf("perform: %s: %s\n", path, error_sentence(e));
	script_name = path_base(path);
	return e == ERR_OK;
}

// Behind `life N` stands what the N-th incarnation of a service does, and no other.
static void script_perform(void)
{
	bool ours = true;
	for (char *line = script; *line;) {
		char *end = strchr(line, '\n');
		if (end)
			*end = 0;
		script_line++;
		if (strncmp(line, "life ", 5) == 0)
			ours = number(line + 5) == self_epoch();
		else if (ours)
			perform_line(line);
		if (!end)
			return;
		line = end + 1;
	}
}

int program_main(void)
{
	static char arguments[512];
	uint64_t jobs[JOBS_MAX], code, fault;
	unsigned count = 0;
	struct client *first; // adopted before our others, so that faults in the adoption of those are armed in time
	char *rest = 0;
	if (supervision_argument(arguments, sizeof(arguments)) != ERR_OK)
		return 2;
	const char *own = strtok_r(arguments, " ", &rest);
	if (!own) {
		printf("usage: perform SCRIPT [SCRIPT..]\n");
		return 2;
	}
	(void)log_holds(0);
	(void)supervision_channel("fs", &first);
	if (!script_read(own))
		return 1;
	for (char *path; count < JOBS_MAX && (path = strtok_r(0, " ", &rest)); count += !strchr(path, '='))
		if (!strchr(path, '=') && // else it is for the file system in our domain
		    supervision_spawn("perform", path, &jobs[count]) != ERR_OK)
			return 1;
	script_perform();
	while (count-- > 0)
		failed |= supervision_wait(jobs[count], &code, &fault) != ERR_OK || code != 0 ||
			  (fault != FAULT_NONE && fault != FAULT_EXIT);
	console_flush();
	return failed;
}
