/* By the loop's cached time, as libev's and libuv's timers are started. */
#include "gyre_arm.h"

void micro_gyre_arm(gyre_loop *loop, gyre_timer *timer, uint64_t delay_ns, gyre_timer_cb cb)
{
    gyre_timer_start_at(timer, gyre_loop_now_ns(loop) + delay_ns, 0, cb);
}
