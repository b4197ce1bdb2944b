// Sentences for errors: the one table of abi/error.h turned into text. Owns no mutable state and must never call
// anything, so that it can be used while everything else is failing. If the domain dies here, nothing is lost.
#include "runtime/error_text.h"

static const char *const sentences[ERROR_COUNT] = {
#define X(name, sentence) [ERR_##name] = sentence,
	ERROR_TABLE(X)
#undef X
};

const char *error_sentence(unsigned error)
{
	return error < ERROR_COUNT ? sentences[error] : "an error number that is not in the table";
}
