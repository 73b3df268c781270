// What emitted kernels include. Where CANN is installed this name is CANN's own header; here it is the simulator's, which offers
// exactly what Beiming emits, executes it and checks it.
#pragma once

#include "sim/copy.h"
#include "sim/cube.h"
#include "sim/sync.h"
#include "sim/vector.h"
