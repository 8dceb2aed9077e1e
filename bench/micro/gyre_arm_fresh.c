/* By gyre_timer_start, which reads the clock each time, so that a timer is never early. */
#include "gyre_arm.h"

void micro_gyre_arm(gyre_loop *loop, gyre_timer *timer, uint64_t delay_ns, gyre_timer_cb cb)
{
    (void)loop;
    gyre_timer_start(timer, delay_ns, 0, cb);
}
