// What the file commands share: one large buffer and the rule for destinations.
#pragma once
#include "runtime/file.h"

#define FILES_BUFFER (128u * 1024u)
extern uint8_t files_buffer[FILES_BUFFER]; // contents under way; of the running command

// Where `from` goes when the user names `to`: into it when it is a directory.
enum error files_destination(char result[FILE_PATH_MAX], const char *from, const char *to);
