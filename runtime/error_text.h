// The sentence of an error, from the table in abi/error.h. Owns nothing; read-only data, so nothing can be lost here.
#pragma once
#include "abi/error.h"

// Never 0; a number outside the table gets a sentence of its own. The text has no capital and no full stop, so that it
// fits after "name: ".
const char *error_sentence(unsigned error);
