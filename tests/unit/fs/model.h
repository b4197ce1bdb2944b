// A file system as a tree in memory, and a random workload that does the same to it and to a volume.
#pragma once
#include "fixture.h"

struct node;
struct dentry {
	char name[256];
	struct node *node;
};
struct node {
	uint64_t handle;
	uint32_t mode;
	unsigned links;
	uint8_t *data; // content, or the link's target
	size_t size;
	struct dentry *entries;
	size_t entry_count;
	struct node *parent; // of a directory
	struct node *all_next;
};
struct model {
	struct node *root;
	struct node *all;
	struct node *keep; // lost+found, or 0
	size_t file_max; // files stay below that size
	unsigned ops, changed;
	uint8_t *payload; // of the operation under way: a death jumps out of it
};

// Takes over the volume's tree as it is (the root must only hold lost+found).
void model_make(struct model *m, struct host *h);
// The same below an empty directory, so that several models can share a volume.
void model_make_below(struct model *m, struct host *h, uint64_t directory);
void model_free(struct model *m);
// One random operation on both; the errors must be the same. False (with a message) when they differ.
bool model_step(struct model *m, struct host *h);
// The whole tree, read through the operations, equals the model.
bool model_equal(struct model *m, struct host *h);
// The same by debugfs on the host.
bool model_equal_debugfs(struct model *m, struct host *h);
