// The programs of vu, and the calls that they make: a7 = number, a0 and a1 = arguments, a0 = result.
//
// Owns nothing. All of them lie in one page that is mapped for them where Linux links a static program; they are position-independent.
#pragma once

#define VU_TEXT 0x10000
#define VU_DATA 0x200000 // lies below the image of vu, which is linked higher than others
#define VU_EXIT 0  // code -> never returns
#define VU_WRITE 1 // address, length ->
#define VU_ROUND 2 // number of the round ->

#define VU_PAGES 16

#ifndef __ASSEMBLER__
extern const char vu_programs[], vu_hello[], vu_touch[], vu_illegal[], vu_endless[], vu_rounds[];
#endif
