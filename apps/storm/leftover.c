// What an interrupted storm leaves: its directory, which the next storm removes.
//
// A run that would remove its files at its end puts a file `owner` into its directory: who works there. If this domain
// ends before its time (^C, a fault), that file stays, and a later storm that finds the owner gone removes the directory.
// Must never touch one without such a file (--keep, a campaign, a run that ended with errors: evidence), nor that of a
// storm that still runs. Right because a domain's slot has another epoch for each program, and a name tells those of
// another boot apart but for the same slot: then the directory stays, and nothing is lost but room.
#include "apps/storm/storm.h"
#include "runtime/file.h"
#include "runtime/runtime.h"
#include <stdio.h>
#include <string.h>

#define LEFTOVERS_MAX 32u // directories that are looked at

struct owner {
	uint32_t core;
	uint32_t domain;
	uint32_t epoch;
};

static struct owner owner_self(void)
{
	return (struct owner){self_core(), self_domain(), self_epoch()};
}

static const char *owner_path(const char *directory, char path[64])
{
	snprintf(path, 64, "%s/owner", directory);
	return path;
}

enum error leftover_mark(const char *directory)
{
	char path[64];
	struct file file;
	size_t done;
	struct owner owner = owner_self();
	enum error e = file_open(&file, owner_path(directory, path), FILE_WRITE | FILE_CREATE);
	if (e == ERR_OK)
		e = file_write(&file, &owner, sizeof(owner), &done);
	file_close(&file);
	return e;
}

enum error leftover_unmark(const char *directory)
{
	char path[64];
	return file_unlink(owner_path(directory, path));
}

static bool owner_read(const char *directory, struct owner *owner)
{
	char path[64];
	struct file file;
	size_t got = 0;
	enum error e = file_open(&file, owner_path(directory, path), FILE_READ);
	if (e == ERR_OK)
		e = file_read(&file, owner, sizeof(*owner), &got);
	file_close(&file);
	return e == ERR_OK && got == sizeof(*owner);
}

// Another storm that runs. We ourselves own no directory yet: what names us is of another boot.
static bool owner_lives(const struct owner *owner)
{
	static struct info_page page;
	struct owner self = owner_self();
	if (memcmp(owner, &self, sizeof(self)) == 0 || owner->domain >= DOMAIN_MAX || !info_read(self_core(), &page) ||
	    owner->core >= page.core_count)
		return false;
	if (!info_read(owner->core, &page) || page.state != CORE_ONLINE)
		return true; // its kernel is being started again, and then it goes on
	const struct info_domain *d = &page.domains[owner->domain];
	return d->state != DOMAIN_FREE && d->epoch == owner->epoch &&
	       strncmp(d->name, self_manifest()->name, NAME_SIZE) == 0;
}

static void worker_remove(const char *directory)
{
	static struct directory listing;
	static struct directory_entry entry;
	char path[FILE_PATH_MAX];
	enum error e = directory_open(&listing, directory);
	while (e == ERR_OK && (e = directory_next(&listing, &entry)) == ERR_OK)
		if (path_join(path, directory, entry.name) == ERR_OK)
			(void)file_unlink(path); // not "." and "..": those are refused
	(void)file_remove_directory(directory);
}

// What cannot be removed stays, with its owner file or without: the run that begins has a directory of its own.
static void leftover_remove(const char *directory)
{
	char path[96];
	for (unsigned i = 0; i < STORM_WORKERS_MAX; i++) {
		snprintf(path, sizeof(path), "%s/w%u", directory, i);
		worker_remove(path);
	}
	(void)leftover_unmark(directory);
	(void)file_remove_directory(directory);
}

void leftovers_remove(void)
{
	char directory[32];
	struct owner owner;
	for (unsigned i = 0; i < LEFTOVERS_MAX; i++) {
		snprintf(directory, sizeof(directory), "/storm%u", i);
		if (owner_read(directory, &owner) && !owner_lives(&owner))
			leftover_remove(directory);
	}
}
