// Offsets that assembly uses; asserted from C in domain.h.
#pragma once

#define FRAME_X(n) ((n) * 8) // x1..x31; the place of x0 holds the pc
#define FRAME_KERNEL_SP 256
#define FRAME_FP 264         // f0..f31
#define FRAME_FCSR 520
