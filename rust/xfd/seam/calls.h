/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of kernel functions that modules cannot link to: through a gate in the module, and directly if
 * this code is built into the kernel.
 */
#ifndef XFD_CALLS_H
#define XFD_CALLS_H

#ifdef MODULE
#include "gates.h"
#define XFD_CALL(symbol) static_call(xfd_gate_##symbol)
#else
#define XFD_CALL(symbol) symbol
#endif

#endif
