// What a server's program is, so that it can be linked alone or beside others of one domain (docs/placement.md).
//
// An image NAME holds the component NAME; an image "fs.blk" holds fs, whose service the domain publishes, and blk, which serves its
// mates alone. Which component serves which name within its domain stands in the domain's manifest record. A component owns nothing
// here: if one dies, its domain does, all components with it.
#pragma once
#include "runtime/server.h"

struct component {
	const char *name; // of its folder in servers/
	const struct server *server;
};

// In a server's source, in place of a main program: COMPONENT(fs, &fs_server)
#define COMPONENT(folder, its_server)                                                                                  \
	static const struct component component_##folder = {.name = #folder, .server = its_server};                   \
	__attribute__((section("components"), used)) static const struct component *const component_entry_##folder =  \
		&component_##folder

// The one whose service the domain publishes; 0: this image has none.
const struct component *component_own(void);
// The one that serves that name within this domain; 0: nobody here does.
const struct component *component_serving(const char *service);
// It does not serve it in this boot, nor has it: it is to have a device, and the machine has none.
bool component_absent(const char *service);
