/* How micro/gyre.c starts a timer; two programs differ in it. */
#ifndef MICRO_GYRE_ARM_H
#define MICRO_GYRE_ARM_H

#include <gyre.h>

void micro_gyre_arm(gyre_loop *loop, gyre_timer *timer, uint64_t delay_ns, gyre_timer_cb cb);

#endif
